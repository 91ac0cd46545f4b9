//! Fork and exec, by hand: COMMAND is held between the two until its run's start files stand, and gets clean signals.
//!
//! std's `Command` does not fit: its `spawn` returns only after the exec, which has to be held back here, and it passes
//! on inherited signal masks and dispositions. Everything that the child needs is prepared before the fork: between
//! fork and exec only async-signal-safe calls are allowed (signal-safety(7)).
//!
//! One of the files with unsafe code: fork, exec and signal dispositions have no safe form.

use crate::sys::platform::machine;
use crate::sys::process::exec::Prepared;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The greatest number of a signal.
const LAST_SIGNAL: i32 = if cfg!(target_os = "linux") { 64 } else { 31 };

/// A file as one of a program's standard streams.
pub(crate) type Stream = File;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct CommandSpec {
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// Variables set beyond those inherited.
    pub(crate) variables: Vec<(String, OsString)>,
    /// Its standard input; nothing keeps the inherited one.
    pub(crate) stdin: Option<File>,
    /// Its standard output; nothing keeps the inherited one.
    pub(crate) stdout: Option<Arc<File>>,
    /// Its standard error; nothing keeps the inherited one.
    pub(crate) stderr: Option<Arc<File>>,
    /// The folder in which it starts; nothing keeps the inherited one.
    pub(crate) folder: Option<CString>,
    /// Whether HUP stays ignored, as `nohup` asked for.
    pub(crate) ignore_hangup: bool,
}

/// A child that waits before its exec. Dropped without release, it ends without having run anything.
#[derive(Debug)]
pub(crate) struct HeldChild {
    pid: i32,
    /// Takes the word to go on, and gives the error of an exec that has failed.
    channel: UnixStream,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// With this exit code.
    Code(i32),
    /// By this signal's number.
    Signal(i32),
}

/// An open `/dev/null` for reading.
///
/// # Errors
/// As open(2).
pub(crate) fn null_input() -> io::Result<File> {
    File::open("/dev/null")
}

/// An open `/dev/null` for writing.
///
/// # Errors
/// As open(2).
pub(crate) fn null_output() -> io::Result<File> {
    OpenOptions::new().write(true).open("/dev/null")
}

impl HeldChild {
    /// Forks a child into a session and process group of its own, up to its exec.
    ///
    /// # Errors
    /// No process or descriptor to be had, or a NUL in an argument.
    pub(crate) fn fork(program: &CommandSpec) -> io::Result<Self> {
        let mut prepared = Prepared::new(&program.command, &program.variables)?;
        // std's sockets are close-on-exec from the start, so no other child can keep one of these ends open.
        let (channel, end_of_child) = UnixStream::pair()?;
        let parent = Pid::this();
        // Signals are kept out of the child until its handlers are gone: a handler of ours run there would write into
        // the parent's own pipe.
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut before))?;
        // SAFETY: the child's branch makes only async-signal-safe calls and never returns: all that allocates was done
        // in `Prepared::new`.
        #[expect(unsafe_code, reason = "fork has no safe form")]
        let child = match unsafe { fork() } {
            Ok(ForkResult::Child) => {
                // The child's copy: the end of file must be seen when the parent is gone.
                drop(channel);
                become_command(program, &mut prepared, parent, &end_of_child)
            }
            Ok(ForkResult::Parent { child }) => Ok(child),
            Err(errno) => Err(errno),
        };
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
        Ok(Self { pid: child?.as_raw(), channel })
    }

    /// The child's pid, which is also its process group and session.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets the child go on to its exec, and says whether that worked.
    ///
    /// # Errors
    /// The exec's own error; the child has ended then and waits to be reaped.
    pub(crate) fn release(mut self) -> io::Result<()> {
        // A child that is gone (killed while held) closed its end: EPIPE, and the reaping tells the rest.
        let _gone = self.channel.write_all(b"g");
        let mut answer = [0; 4];
        match self.channel.read_exact(&mut answer) {
            Ok(()) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(answer))),
            // The exec has closed the child's end; or a kill, before the child had read the word.
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn become_command(program: &CommandSpec, prepared: &mut Prepared, parent: Pid, mut channel: &UnixStream) -> ! {
    let mut set_up = || -> Result<(), Errno> {
        // A session of its own is a process group of its own too, has no terminal to be stopped by, and marks the
        // run's processes, so that a waiter finds them after the wrapper was killed.
        setsid()?;
        machine::die_with_parent().map_err(|_| Errno::last())?;
        // The parent may have ended before that call took effect (PR_SET_PDEATHSIG(2const), CAVEATS).
        if nix::unistd::getppid() != parent {
            return Err(Errno::ESRCH);
        }
        program.stdin.as_ref().map_or(Ok(()), dup2_stdin)?;
        program.stdout.as_ref().map_or(Ok(()), dup2_stdout)?;
        program.stderr.as_ref().map_or(Ok(()), dup2_stderr)?;
        program.folder.as_deref().map_or(Ok(()), chdir)?;
        reset_signals(program.ignore_hangup);
        // Held: nothing of COMMAND runs until the start files stand. End of file means the wrapper is gone.
        channel.read_exact(&mut [0]).map_err(|_| Errno::ESRCH)
    };
    let errno = match set_up() {
        Ok(()) => prepared.exec(),
        Err(errno) => errno as i32,
    };
    // The reader may have gone; then the exit status says the rest.
    let _told = channel.write_all(&errno.to_ne_bytes());
    // SAFETY: _exit(2) is async-signal-safe and runs no destructors or handlers of the parent's.
    #[expect(unsafe_code, reason = "a forked child must not unwind into the parent's frames")]
    unsafe {
        libc::_exit(127)
    }
}

/// Default dispositions for every signal, none blocked. Called in the child.
fn reset_signals(ignore_hangup: bool) {
    // By number, so that the real-time ones are among them.
    for number in 1..=LAST_SIGNAL {
        set_ignored(number, ignore_hangup && number == libc::SIGHUP);
    }
    let _cannot_fail = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
}

/// Ignores a signal from now on, or has it do what it does by default.
fn set_ignored(number: i32, is_ignored: bool) {
    let handler = if is_ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: default and ignore run no code of ours; signal(2) is async-signal-safe.
    #[expect(unsafe_code, reason = "a disposition has no safe form")]
    unsafe {
        libc::signal(number, handler);
    }
}

/// What this process does on signals: a bit each, from signal 1 on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dispositions {
    ignored: u64,
    caught: u64,
}

impl Dispositions {
    /// As they are now.
    pub(crate) fn now() -> Self {
        let (ignored, caught) = machine::signal_dispositions().unwrap_or_else(|| {
            (1..=LAST_SIGNAL).map(disposition).fold((0, 0), |(ignored, caught), (number, handler)| match handler {
                libc::SIG_DFL => (ignored, caught),
                libc::SIG_IGN => (ignored | bit(number), caught),
                _ => (ignored, caught | bit(number)),
            })
        });
        Self { ignored, caught }
    }

    pub(crate) fn ignores(self, signal: Signal) -> bool {
        self.ignored & bit(signal as i32) != 0
    }

    pub(crate) fn catches(self, signal: Signal) -> bool {
        self.caught & bit(signal as i32) != 0
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What this process does on one signal; the default for a number that sigaction(2) refuses.
fn disposition(number: i32) -> (i32, libc::sighandler_t) {
    let mut found = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; the answer goes to memory of its type, for which all zeros are a value.
    #[expect(unsafe_code, reason = "nix's sigaction can only be asked by a change")]
    let handler = unsafe {
        libc::sigaction(number, std::ptr::null(), found.as_mut_ptr());
        found.assume_init().sa_sigaction
    };
    (number, handler)
}

/// Sends a signal to the group that a child leads. One that has just ended is no error: the reaping tells how.
pub(crate) fn signal_group(child: i32, signal: Signal) {
    let _gone = killpg(Pid::from_raw(child), signal);
}

/// Whether any process is in the group that a child led.
pub(crate) fn group_exists(child: i32) -> bool {
    killpg(Pid::from_raw(child), None).is_ok()
}

/// Ignores a signal from now on.
pub(crate) fn ignore(signal: Signal) {
    set_ignored(signal as i32, true);
}

/// Reaps every child that has ended, or only this one; with whether any of them is left.
pub(crate) fn reap(only: Option<i32>) -> (Vec<(i32, ExitStatus)>, bool) {
    let mut ended = Vec::new();
    loop {
        match wait_for_child(only, false) {
            Ok(Some(end)) => ended.push(end),
            Ok(None) => return (ended, true),
            Err(_) => return (ended, false),
        }
    }
}

/// Reaps one child, this one or any; where none has ended it waits for that, or says `None`.
///
/// By libc's call, since nix has no value for an end by a real-time signal and would lose it.
///
/// # Errors
/// `ECHILD`: there is no such child, or SIGCHLD is ignored, and the kernel has thrown the end away (waitpid(2), NOTES).
pub(crate) fn wait_for_child(only: Option<i32>, wait: bool) -> Result<Option<(i32, ExitStatus)>, Errno> {
    let flags = if wait { 0 } else { libc::WNOHANG };
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a local that outlives the call.
        #[expect(unsafe_code, reason = "waitpid's safe form cannot tell of a real-time signal")]
        let pid = unsafe { libc::waitpid(only.unwrap_or(-1), &raw mut status, flags) };
        match pid {
            0 => return Ok(None),
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => return Err(Errno::last()),
            pid if libc::WIFEXITED(status) => return Ok(Some((pid, ExitStatus::Code(libc::WEXITSTATUS(status))))),
            pid if libc::WIFSIGNALED(status) => return Ok(Some((pid, ExitStatus::Signal(libc::WTERMSIG(status))))),
            // Stops and continuations are not asked for.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_dispositions_is_what_each_signal_says_for_itself() {
        // std ignores SIGPIPE at start and catches SIGSEGV, and no test touches USR2.
        let found = Dispositions::now();
        assert!(found.ignores(Signal::SIGPIPE) && !found.catches(Signal::SIGPIPE));
        assert!(found.catches(Signal::SIGSEGV) && !found.ignores(Signal::SIGSEGV));
        assert!(!found.catches(Signal::SIGUSR2) && !found.ignores(Signal::SIGUSR2));
        assert_eq!(disposition(libc::SIGPIPE).1, libc::SIG_IGN);
        assert_eq!(disposition(libc::SIGUSR2).1, libc::SIG_DFL);
        assert_ne!(disposition(libc::SIGSEGV).1, libc::SIG_DFL);
    }
}
