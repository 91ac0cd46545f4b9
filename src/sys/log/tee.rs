//! A log passed on while it is written: to `run`'s standard output by a thread of its own, or to whoever follows it.
//!
//! It reads the log file, not a pipe from COMMAND: a reader that is slow, or gone, holds up nobody but this thread.

use crate::sys::log::follower::{Follower, Piece, Standing};
use crate::sys::platform::write_watcher::WriteWatcher;
use crate::sys::watch::poll::ready;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the thread rests where no notice of growth is to be had.
const REST: Duration = Duration::from_millis(50);
/// How long it rests where one is: the bound on the damage of a lost notice.
const LONGEST_REST: Duration = Duration::from_secs(15);

/// A log being passed through.
#[derive(Debug)]
pub(crate) struct Tee {
    thread: JoinHandle<()>,
    /// Dropped, it tells the thread that nothing more is written.
    stop: UnixStream,
}

impl Tee {
    /// Begins at the log's beginning.
    ///
    /// # Errors
    /// No thread or descriptor to be had, or no such log.
    pub(crate) fn start(path: &Path) -> io::Result<Self> {
        let log = Follower::from(path.to_path_buf(), 0)?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name("tee".into()).spawn(move || {
            // Whoever read the output is gone; the work goes on.
            let _gone = pass(log, &stopped, &mut |bytes| {
                let mut out = io::stdout().lock();
                out.write_all(bytes).and_then(|()| out.flush())
            });
        })?;
        Ok(Self { thread, stop })
    }

    /// Passes on what is there and ends.
    pub(crate) fn finish(self) {
        drop(self.stop);
        // A thread that panicked has nothing more to pass on.
        let _panicked = self.thread.join();
    }
}

/// Passes a log on while `work` goes on in a thread of its own, and the rest of it after; what came of the work, or
/// nothing where nobody takes the log any more.
///
/// # Errors
/// No thread or descriptor to be had, or a log that cannot be read.
pub(crate) fn pass_during<T: Send + 'static>(
    log: Follower,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (stop, stopped) = UnixStream::pair()?;
    let thread = std::thread::Builder::new().name("work".into()).spawn(move || {
        let done = work();
        drop(stop);
        done
    })?;
    // A reader that has gone has read enough: the work is left to itself.
    if !pass(log, &stopped, out)? {
        return Ok(None);
    }
    Ok(thread.join().ok())
}

/// Whether all was passed on.
fn pass(mut log: Follower, stopped: &UnixStream, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<bool> {
    let mut growths = WriteWatcher::new().ok();
    let mut stopping = false;
    loop {
        // Armed before the read, so that what is written after it raises a notice (I2).
        let armed = log.standing() == Standing::Named
            && growths.as_mut().is_some_and(|growths| {
                growths.take(&mut Vec::new());
                growths.arm(0, log.path())
            });
        loop {
            match log.read()? {
                Piece::Bytes(bytes) => {
                    if out(bytes).is_err() {
                        return Ok(false);
                    }
                }
                Piece::Anew => {}
                Piece::End => break,
            }
        }
        if stopping {
            return Ok(true);
        }
        let grown = growths.as_ref().filter(|_| armed).map(WriteWatcher::descriptor);
        let [told, _grown] = ready([Some(stopped.as_fd()), grown], if armed { LONGEST_REST } else { REST });
        // One more round after the word to stop: what was written before it is still passed on.
        stopping = told;
    }
}
