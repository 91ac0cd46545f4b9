//! Lines on standard error that never block their writer.
//!
//! `run` prints its own lines through it. A write to a pipe that no process reads, or to a terminal after Ctrl-S, blocks for
//! ever; made by the run itself it would hold up a limit, a signal or the record of an end. So a thread writes. It is
//! started with the first line.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

/// How many lines wait at most.
const QUEUE: usize = 256;
/// How long the last lines are waited for in the end.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Writes lines in the background. Dropped, it waits for the last ones, half a second at most.
#[derive(Debug, Default)]
pub(crate) struct StderrWriter {
    /// Takes the lines; and what is closed when the thread has written everything.
    thread: Option<(Sender<String>, Receiver<()>)>,
    dropped: usize,
}

impl StderrWriter {
    /// Writes a line as soon as it is taken; drops it where too many wait already.
    pub(crate) fn print(&mut self, line: String) {
        if self.thread.is_none() {
            self.thread = start().ok();
        }
        let Some((lines, _)) = &self.thread else { return };
        let text = if self.dropped == 0 { line } else { format!("{} lines were dropped here\n{line}", self.dropped) };
        match lines.try_send(text) {
            Ok(()) => self.dropped = 0,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped += 1,
        }
    }
}

impl Drop for StderrWriter {
    /// Waits for the last lines to be taken, but not for long: what was not taken by then is lost with the process.
    fn drop(&mut self) {
        if let Some((lines, done)) = self.thread.take() {
            drop(lines);
            let _taken = done.recv_timeout(LAST_LINES);
        }
    }
}

fn start() -> io::Result<(Sender<String>, Receiver<()>)> {
    // Not by way of std's handle: its lock would be held while a write blocks, and a panic's message wait for it.
    let mut out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let (lines, waiting) = bounded::<String>(QUEUE);
    let (finished, done) = bounded(0);
    std::thread::Builder::new().name("stderr".into()).spawn(move || {
        for line in waiting {
            // There is no other place to report a failure of standard error.
            let _failed = out.write_all(format!("{line}\n").as_bytes());
        }
        drop(finished);
    })?;
    Ok((lines, done))
}
