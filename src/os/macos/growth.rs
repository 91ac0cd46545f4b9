//! A notice that one file has grown, or has lost its name: kqueue on the file itself, one event at a time.
//!
//! A log is written thousands of times a second or not for an hour. One event (`EV_ONESHOT`) wakes the reader, who
//! looks and arms again when it likes: no wake-up while nothing is written, and never more than the reader asked for.
//!
//! Refuses to follow the name: what is watched is the file that has it when the watch is armed.

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A watch on one file.
#[derive(Debug)]
pub(crate) struct Growth {
    queue: Kqueue,
    /// What is watched: kqueue knows files by descriptor, and closing it takes the watch away (kqueue(2)).
    file: Mutex<Option<File>>,
}

impl Growth {
    /// Prepares a watch; it is not armed yet.
    ///
    /// # Errors
    /// No descriptor left: the caller looks by a timer instead.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: Kqueue::new()?, file: Mutex::new(None) })
    }

    /// Asks for one notice of the next write to this file, or of its renaming or removal. Look at the file afterwards: a write before is not told.
    ///
    /// # Errors
    /// No descriptor left, or no such file.
    pub(crate) fn arm(&self, path: &Path) -> io::Result<()> {
        // Opened anew each time, since the name may have come to mean another file. O_EVTONLY does not keep the volume
        // from being unmounted (open(2)); O_NONBLOCK does not wait for a pipe's other end.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_EVTONLY | libc::O_NONBLOCK).open(path)?;
        let descriptor = usize::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
        let request = KEvent::new(
            descriptor,
            EventFilter::EVFILT_VNODE,
            EvFlags::EV_ADD | EvFlags::EV_ONESHOT,
            FilterFlag::NOTE_WRITE | FilterFlag::NOTE_EXTEND | FilterFlag::NOTE_RENAME | FilterFlag::NOTE_DELETE,
            0,
            0,
        );
        self.queue.kevent(&[request], &mut [], None)?;
        // The new watch stands before the old one goes.
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// What poll(2) waits for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Throws the notices away, so that the descriptor is quiet again.
    pub(crate) fn drain(&self) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let nothing = KEvent::new(0, EventFilter::EVFILT_VNODE, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        let mut events = [nothing; 8];
        while self.queue.kevent(&[], &mut events, Some(at_once)).is_ok_and(|count| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::io::Write;

    fn told(growth: &Growth, limit: PollTimeout) -> bool {
        poll(&mut [PollFd::new(growth.descriptor(), PollFlags::POLLIN)], limit).unwrap() == 1
    }

    #[test]
    fn a_write_is_told_once_and_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = File::create(&path).unwrap();
        let growth = Growth::new().unwrap();
        log.write_all(b"before\n").unwrap();
        growth.arm(&path).unwrap();
        assert!(!told(&growth, PollTimeout::ZERO));
        log.write_all(b"after\n").unwrap();
        assert!(told(&growth, PollTimeout::from(20_000_u16)));
        growth.drain();
        log.write_all(b"unasked\n").unwrap();
        assert!(!told(&growth, PollTimeout::ZERO));
        assert!(growth.arm(&folder.path().join("none")).is_err());
    }
}
