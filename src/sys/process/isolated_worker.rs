//! Runs work that may block for ever in a process of its own, relays its output, and abandons it if it does not answer.
//!
//! A thread that waits for a dead mount keeps its whole process from exiting, even after SIGKILL; a child process does
//! not keep its parent. The worker holds no descriptor of the caller's: a pipe that stayed open there would keep its
//! reader waiting for as long as the mount is dead. The parent never touches the files that the worker reads.
//!
//! One of the files with unsafe code: fork has no safe form.

use crate::record::time::MonotonicTime;
use crate::sys::clock;
use crate::sys::fs::io::read_once;
use crate::sys::platform::machine;
use crate::sys::process::daemonize::close_inherited;
use crate::sys::process::spawn::{ExitStatus, null_input, wait_for_child};
use crate::sys::signals::{Pending, Signal};
use crate::sys::stdio;
use crate::sys::watch::poll::ready;
use nix::sys::signal::kill;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, dup2_stderr, dup2_stdin, dup2_stdout, fork, setpgid};
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

/// Where a worker tells how it gets on; set in a worker only.
static STATUS_PIPE: OnceLock<PipeWriter> = OnceLock::new();

/// Says, in a worker, that it rests for so long at most. In any other process nothing.
pub(crate) fn report_idle(span: Duration) {
    tell(&format!("rest {}\n", span.as_millis()));
}

/// Says, in a worker, that it has answered for this name. In any other process nothing.
pub(crate) fn report_answered(name: &str) {
    tell(&format!("answered {name}\n"));
}

fn tell(word: &str) {
    if let Some(mut watcher) = STATUS_PIPE.get() {
        // One write of less than PIPE_BUF is atomic. If the parent has gone, the message is not needed.
        let _gone = watcher.write_all(word.as_bytes());
    }
}

/// A worker as its watcher sees it.
pub(crate) struct Worker {
    pid: Pid,
    streams: [Option<PipeReader>; 3],
    signals: Pending,
    word: Vec<u8>,
    answered: Vec<String>,
    began: MonotonicTime,
    /// Deadline of the next status message; `None` if no status message has come yet.
    next: Option<MonotonicTime>,
}

/// How a worker was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WorkerExit {
    /// It has ended with this code, all it said was passed on.
    Exited(u8),
    /// A signal ended it; or one asked this process to stop, and the worker, asked too, does not answer.
    Signaled(Signal),
    /// It does not answer; these names it had answered for.
    Unresponsive(Vec<String>),
}

/// Where, after standard output and standard error, a [`Worker`] has the stream in which it says how it gets on.
const STATUS_STREAM: usize = 2;
/// How late a worker may be, and how long it may take over a signal.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take to end once it is killed, before it counts as stuck in the kernel.
const KILLED: Duration = Duration::from_millis(200);

/// Goes on in two processes: the one that was called gets the worker, and the worker gets `None`. Call it before any thread
/// is started.
///
/// # Errors
/// No process or descriptor to be had.
pub(crate) fn fork_worker(signals: &[Signal]) -> io::Result<Option<Worker>> {
    let pipes = [io::pipe()?, io::pipe()?, io::pipe()?];
    let began = clock::now();
    // SAFETY: this process has one thread, so the child may go on as if nothing had happened.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        let streams = pipes.map(|(read, _)| Some(read));
        let signals = Pending::catch(signals)?;
        let (word, answered) = (Vec::new(), Vec::new());
        return Ok(Some(Worker { pid: child, streams, signals, word, answered, began, next: None }));
    }
    let [out, error, word] = pipes.map(|(_read, write)| write);
    machine::die_with_parent()?;
    // A terminal's signals go to the watcher, which passes them on: once each.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    dup2_stdin(null_input()?)?;
    dup2_stdout(out)?;
    dup2_stderr(error)?;
    close_inherited(&word)?;
    // Set once: a worker splits no further.
    let _first = STATUS_PIPE.set(word);
    Ok(None)
}

impl Worker {
    /// Passes on what the worker says until it has ended, or is both past `limit` and silent. The limit is asked for
    /// with the moment of the call and whether the worker has sent a status message. `print` writes to standard output.
    pub(crate) fn supervise(
        mut self,
        limit: impl Fn(MonotonicTime, bool) -> MonotonicTime,
        print: &dyn Fn(&[u8]),
    ) -> WorkerExit {
        let mut interrupted: Option<(Signal, MonotonicTime)> = None;
        loop {
            let late_at = self.next.unwrap_or(self.began).plus(RESPONSE_TIMEOUT);
            let mut give_up = limit(self.began, self.next.is_some()).max(late_at);
            if let Some((_, at)) = interrupted {
                give_up = give_up.min(at.plus(RESPONSE_TIMEOUT));
            }
            let now = clock::now();
            if now >= give_up {
                return self.detach(interrupted, print);
            }
            self.poll_streams(give_up.since(now), print);
            for signal in self.signals.fetch() {
                // Gone already: its end is seen next.
                let _gone = kill(self.pid, signal);
                interrupted.get_or_insert((signal, clock::now()));
            }
            // Only the worker holds that stream; a program that it has started may hold the other two.
            if self.streams[STATUS_STREAM].is_none() {
                while self.poll_streams(Duration::ZERO, print) {}
                return self.reap();
            }
        }
    }

    /// Waits for a word, a signal or the end of so much time; whether a stream had anything.
    fn poll_streams(&mut self, rest: Duration, print: &dyn Fn(&[u8])) -> bool {
        let [out, error, status] = self.streams.each_ref().map(|stream| stream.as_ref().map(AsFd::as_fd));
        let [out, error, status, _signalled] = ready([out, error, status, Some(self.signals.descriptor())], rest);
        let told = [out, error, status];
        for place in (0..told.len()).filter(|&place| told[place]) {
            self.relay(place, print);
        }
        told.contains(&true)
    }

    fn relay(&mut self, place: usize, print: &dyn Fn(&[u8])) {
        let mut bytes = [0; 4096];
        let Some(stream) = &mut self.streams[place] else { return };
        let length = read_once(stream, &mut bytes).unwrap_or(0);
        let said = &bytes[..length];
        match place {
            _ if said.is_empty() => self.streams[place] = None,
            0 => print(said),
            1 => {
                // There is no other place to report a failure of standard error.
                let _failed = stdio::write_all(&mut io::stderr().lock(), said);
            }
            _ => self.parse_status(said),
        }
    }

    fn parse_status(&mut self, said: &[u8]) {
        self.word.extend_from_slice(said);
        while let Some(end) = self.word.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.word.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match line.trim_end().split_once(' ') {
                Some(("rest", span)) => {
                    let span = Duration::from_millis(span.parse().unwrap_or(0));
                    self.next = Some(clock::now().plus(span));
                }
                Some(("answered", name)) => self.answered.push(name.to_owned()),
                _ => {}
            }
        }
    }

    /// Kills the worker and leaves it. Where the kernel can end it, it is reaped first; in a call on a filesystem that does
    /// not answer it ends with that call, if ever: no other process of this program outlives the call it was made for.
    fn detach(mut self, interrupted: Option<(Signal, MonotonicTime)>, print: &dyn Fn(&[u8])) -> WorkerExit {
        let _gone = kill(self.pid, Signal::SIGKILL);
        let until = clock::now().plus(KILLED);
        while self.streams[STATUS_STREAM].is_some() && clock::now() < until {
            self.poll_streams(until.since(clock::now()), print);
        }
        if self.streams[STATUS_STREAM].is_none() {
            let _reaped = waitpid(self.pid, None);
        }
        match interrupted {
            Some((signal, _)) => WorkerExit::Signaled(signal),
            None => WorkerExit::Unresponsive(self.answered),
        }
    }

    /// The worker has closed its stream, which it does by ending.
    fn reap(self) -> WorkerExit {
        match wait_for_child(Some(self.pid.as_raw()), true) {
            Ok(Some((_, ExitStatus::Code(code)))) => WorkerExit::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
            Ok(Some((_, ExitStatus::Signal(number)))) => {
                WorkerExit::Signaled(Signal::try_from(number).unwrap_or(Signal::SIGKILL))
            }
            // It was reaped elsewhere: it has exited, and how is not known.
            Ok(None) | Err(_) => WorkerExit::Signaled(Signal::SIGKILL),
        }
    }
}
