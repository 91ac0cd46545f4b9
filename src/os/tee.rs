//! A log passed through to standard output while it is written, by a thread of its own.
//!
//! It reads the log file, not a pipe from COMMAND: a reader that is slow, or gone, holds up nobody but this thread.

use super::platform::growth::Growth;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;

/// How long the thread rests where no notice of growth is to be had, in milliseconds.
const REST: u16 = 50;

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
        let log = File::open(path)?;
        let (stop, stopped) = UnixStream::pair()?;
        let path = path.to_path_buf();
        let thread = std::thread::Builder::new().name("tee".into()).spawn(move || pass(log, &path, &stopped))?;
        Ok(Self { thread, stop })
    }

    /// Passes on what is there and ends.
    pub(crate) fn finish(self) {
        drop(self.stop);
        // A thread that panicked has nothing more to pass on.
        let _panicked = self.thread.join();
    }
}

fn pass(mut log: File, path: &Path, stopped: &UnixStream) {
    let growth = Growth::new().ok();
    let mut stopping = false;
    loop {
        // Armed before the read, so that what is written after it raises a notice (I2).
        let armed = growth.as_ref().is_some_and(|growth| {
            growth.drain();
            growth.arm(path).is_ok()
        });
        match copy(&mut log) {
            // Whoever read the output is gone.
            Err(_) => return,
            Ok(()) if stopping => return,
            Ok(()) => {}
        }
        let mut waited = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        waited.extend(
            growth.as_ref().filter(|_| armed).map(|growth| PollFd::new(growth.descriptor(), PollFlags::POLLIN)),
        );
        let limit = if armed { PollTimeout::NONE } else { PollTimeout::from(REST) };
        // An interruption only makes it look earlier.
        let _woken = poll(&mut waited, limit);
        // One more round after the word to stop: what was written before it is still passed on.
        stopping = waited.first().and_then(PollFd::any).unwrap_or(false);
    }
}

/// Copies what the log holds beyond what was read, without the zeros of a hole.
fn copy(log: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut out = io::stdout().lock();
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return out.flush(),
            Ok(length) => {
                let part = &buffer[..length];
                let hole = part.iter().take_while(|&&byte| byte == 0).count();
                // COMMAND's own zeros come with other bytes; a whole buffer of them is what the bound took away.
                out.write_all(if hole == length { &[] } else { part })?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
