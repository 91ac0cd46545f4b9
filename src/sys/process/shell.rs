//! Shell commands with a time limit: started in a session of their own, ended whole when the limit is over.
//!
//! If a command runs over its time limit, its whole tree is killed, also processes that changed their group: they are
//! found by a variable in their environment. A background reader of the output is not waited for, only the end of the
//! output is kept, and the command's standard input is empty.

use crate::env_vars;
use crate::record::time::MonotonicTime;
use crate::sys::fs::io::read_once;
use crate::sys::process::exits::wait_for_exit;
use crate::sys::process::info::start_of;
use crate::sys::process::spawn::{CommandSpec, ExitStatus, HeldChild, null_input, signal_group, wait_for_child};
use crate::sys::process::tree::{self, Escalation, KillTarget, Wrapper};
use crate::sys::signals::{self, Signal};
use crate::sys::{clock, env};
use crossbeam_channel::{Receiver, bounded};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The variable that marks what a command starts.
const MARK: &str = env_vars::COMMAND_ID;
/// The variable that tells the shell where to go first.
const FOLDER: &str = env_vars::COMMAND_FOLDER;
/// How much of a command's output is kept: its end.
const KEPT: usize = 4096;
/// How long the rest of the output is waited for once the command has ended.
const DRAIN: Duration = Duration::from_millis(100);

/// A command that is to be run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShellCommand<'text> {
    /// What `sh -c` is given.
    pub(crate) text: &'text OsStr,
    /// Where it runs; nothing for this process's own folder.
    pub(crate) folder: Option<&'text Path>,
    /// What it is told beyond what this process was.
    pub(crate) variables: &'text [(&'text str, OsString)],
    /// When it has to be over.
    pub(crate) deadline: MonotonicTime,
    /// From TERM to KILL when it is not.
    pub(crate) grace: Duration,
    /// Where its output goes, and whether what it leaves in the background lives on.
    pub(crate) purpose: ShellMode,
}

/// What a command is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShellMode {
    /// To learn something: its output is kept, and nothing of it is left.
    Capture,
    /// To change something: its output goes to this process's standard error, and a service that it starts lives on.
    Inherit,
}

/// How a command came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShellOutput {
    /// How it ended.
    pub(crate) end: ShellExit,
    /// The end of what it wrote, where that is kept.
    pub(crate) output: Vec<u8>,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShellExit {
    /// By itself or by a signal.
    Known(ExitStatus),
    /// It ended, and the kernel did not say how.
    Unknown,
    /// Its time was over first, and it was ended.
    OutOfTime,
}

/// Runs shell commands, from several threads at once, until it is told to stop.
#[derive(Debug, Default)]
pub(crate) struct ShellRunner {
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    targets: Vec<KillTarget>,
    stopped: bool,
}

impl ShellRunner {
    /// Runs one command to its end or its deadline.
    ///
    /// # Errors
    /// No shell, process or descriptor to be had; or everything was stopped.
    pub(crate) fn run(&self, command: &ShellCommand<'_>) -> io::Result<ShellOutput> {
        // Where the caller ignores SIGCHLD, wait(2) tells no exit code. Without this the command still runs.
        let _inherited = signals::hear_of_children();
        let mark = env::unique();
        let (program, output) = program(command, &mark)?;
        let claimed_at = clock::wall();
        let held = HeldChild::fork(&program)?;
        // The child has its own copies of the streams: without these the reader comes to the end with the command.
        drop(program);
        let pid = held.pid();
        // Held before its exec it cannot have ended, so the handle is surely the child's.
        let started = start_of(pid);
        let target = KillTarget {
            pid: Some(pid),
            started,
            claimed_at,
            owner: env::user(),
            group: Some(pid),
            group_started: started,
            mark: Some(format!("{MARK}={mark}")),
            wrapper: Wrapper::Other,
            has_older_children: false,
        };
        if !self.note(&target) {
            drop(held);
            reap(pid, true);
            return Err(io::Error::other("everything was stopped"));
        }
        let outcome = attend(held, &target, command);
        self.lock().targets.retain(|target| target.pid != Some(pid));
        let output = output.map(OutputReader::finish).unwrap_or_default();
        Ok(ShellOutput { end: outcome?, output })
    }

    /// Ends every command that runs, and lets none start any more.
    pub(crate) fn stop(&self) {
        let targets = {
            let mut running = self.lock();
            running.stopped = true;
            std::mem::take(&mut running.targets)
        };
        for target in &targets {
            // The caller is about to exit; a survivor is stuck in the kernel and shows in any process list.
            let _survivors = tree::terminate(target, Escalation::term(Duration::ZERO));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        // A thread that panicked in between left a list that is still one.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, target: &KillTarget) -> bool {
        let mut running = self.lock();
        if !running.stopped {
            running.targets.push(target.clone());
        }
        !running.stopped
    }
}

/// Lets a held command go, and waits for it.
fn attend(held: HeldChild, target: &KillTarget, command: &ShellCommand<'_>) -> io::Result<ShellExit> {
    let (pid, started) = (held.pid(), target.started);
    if let Err(error) = held.release() {
        reap(pid, true);
        return Err(error);
    }
    while started.is_none() || start_of(pid) == started {
        // Where processes cannot be seen (no procfs) the kernel is asked each time.
        if started.is_none()
            && let Some(end) = reap(pid, false)
        {
            return Ok(end);
        }
        let now = clock::now();
        if now >= command.deadline {
            let report = tree::terminate(target, Escalation::term(command.grace));
            // One that is stuck in the kernel is left to init.
            let _left = reap(pid, report.survivors.is_empty() && report.refusal.is_none());
            return Ok(ShellExit::OutOfTime);
        }
        wait_for_exit(&[(pid, started)], command.deadline.since(now));
    }
    if command.purpose == ShellMode::Capture {
        // Not reaped yet, the command's pid still names its group. An empty group is no error.
        signal_group(pid, Signal::SIGKILL);
    }
    Ok(reap(pid, true).unwrap_or(ShellExit::Unknown))
}

/// Takes a child's end from the kernel, waiting for it where `wait` says so; `None` if it goes on.
fn reap(pid: i32, wait: bool) -> Option<ShellExit> {
    match wait_for_child(Some(pid), wait) {
        Ok(end) => end.map(|(_, status)| ShellExit::Known(status)),
        Err(_) => Some(ShellExit::Unknown),
    }
}

fn program(command: &ShellCommand<'_>, mark: &str) -> io::Result<(CommandSpec, Option<OutputReader>)> {
    let mut variables = vec![(MARK.to_owned(), OsString::from(mark))];
    variables.extend(command.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let mut text = OsString::new();
    if let Some(folder) = command.folder {
        // The shell goes to the folder itself: what it says of errors is then the same as at a prompt there.
        text.push(format!("cd -- \"${FOLDER}\" || exit 126; "));
        variables.push((FOLDER.to_owned(), folder.into()));
    }
    text.push(command.text);
    let (output, stream) = match command.purpose {
        ShellMode::Capture => {
            let (reader, writer) = io::pipe()?;
            (Some(OutputReader::start(reader)?), OwnedFd::from(writer))
        }
        ShellMode::Inherit => (None, io::stderr().as_fd().try_clone_to_owned()?),
    };
    let stream = Arc::new(File::from(stream));
    let program = CommandSpec {
        command: vec!["sh".into(), "-c".into(), text],
        variables,
        stdin: Some(null_input()?),
        stdout: Some(Arc::clone(&stream)),
        stderr: Some(stream),
        folder: None,
        ignore_hangup: false,
    };
    Ok((program, output))
}

/// The end of what a command writes, read by a thread of its own.
struct OutputReader {
    kept: Arc<Mutex<Vec<u8>>>,
    /// Closed when the thread has read everything.
    done: Receiver<()>,
}

impl OutputReader {
    fn start(mut pipe: PipeReader) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let (finished, done) = bounded(0);
        let shared = Arc::clone(&kept);
        std::thread::Builder::new().name("output".into()).spawn(move || {
            let mut buffer = [0; KEPT];
            while let Ok(length @ 1..) = read_once(&mut pipe, &mut buffer) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
            drop(finished);
        })?;
        Ok(Self { kept, done })
    }

    /// What was written. One who left group and session may hold the pipe for ever; it is not waited for.
    fn finish(self) -> Vec<u8> {
        let _late = self.done.recv_timeout(DRAIN);
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::platform::process as machine;
    use crate::sys::process::Lookup;

    fn command(text: &str, limit: Duration, purpose: ShellMode) -> io::Result<ShellOutput> {
        let deadline = clock::now().plus(limit);
        let (text, folder) = (OsStr::new(text), Some(Path::new("/")));
        let variables = &[("WORD", OsString::from("x y"))];
        ShellRunner::default().run(&ShellCommand { text, folder, variables, deadline, grace: Duration::ZERO, purpose })
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_command_tells_its_end_and_the_end_of_its_output() {
        let outcome = command("pwd; echo b >&2; exit 7", LONG, ShellMode::Capture).unwrap();
        assert_eq!(
            (outcome.end, outcome.output.as_slice()),
            (ShellExit::Known(ExitStatus::Code(7)), b"/\nb\n".as_slice())
        );
        let outcome = command("test \"$WORD\" = 'x y' && ! read line", LONG, ShellMode::Capture).unwrap();
        assert_eq!(outcome.end, ShellExit::Known(ExitStatus::Code(0)));
        let outcome = command("kill -TERM $$", LONG, ShellMode::Capture).unwrap();
        assert_eq!(outcome.end, ShellExit::Known(ExitStatus::Signal(15)));
        let outcome = command("yes | head -n 100000; echo end", LONG, ShellMode::Capture).unwrap();
        assert_eq!(outcome.output.len(), KEPT);
        assert!(outcome.output.ends_with(b"y\nend\n"));
    }

    #[test]
    fn a_command_over_its_limit_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        // In a session of its own, where there is the program for it.
        let apart = if cfg!(target_os = "linux") { "setsid" } else { "" };
        let script = format!(
            "sleep 60 & echo $! > {0}; {apart} sh -c 'echo $$ >> {0}; sleep 60' & \
             while [ \"$(wc -l < {0})\" -lt 2 ]; do :; done; wait",
            pids.display()
        );
        // Long enough for a shell on a loaded machine to have started both.
        let outcome = command(&script, Duration::from_secs(3), ShellMode::Capture).unwrap();
        assert_eq!(outcome.end, ShellExit::OutOfTime);
        let text = std::fs::read_to_string(&pids).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        for pid in text.lines() {
            assert_eq!(machine::look(pid.parse().unwrap()), Lookup::NotFound, "{pid}");
        }
    }

    #[test]
    fn what_a_check_leaves_is_ended_and_what_a_fix_starts_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        for (purpose, lives) in [(ShellMode::Capture, false), (ShellMode::Inherit, true)] {
            let file = folder.path().join(format!("{lives}"));
            let script = format!("sleep 60 >/dev/null 2>&1 & echo $! > {}", file.display());
            assert_eq!(command(&script, LONG, purpose).unwrap().end, ShellExit::Known(ExitStatus::Code(0)));
            let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
            // Killed and orphaned, it may take init a moment; a fix's service is there all the time.
            let patience = clock::now().plus(Duration::from_secs(20));
            while !lives && matches!(machine::look(pid), Lookup::Found(_)) && clock::now() < patience {
                std::thread::yield_now();
            }
            assert_eq!(matches!(machine::look(pid), Lookup::Found(_)), lives);
            let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    #[test]
    fn nothing_starts_after_the_word_to_stop() {
        let shells = ShellRunner::default();
        shells.stop();
        let command = ShellCommand {
            text: OsStr::new("true"),
            folder: None,
            variables: &[],
            deadline: MonotonicTime::NEVER,
            grace: Duration::ZERO,
            purpose: ShellMode::Capture,
        };
        assert!(shells.run(&command).is_err());
    }
}
