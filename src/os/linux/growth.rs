//! A notice that one file has grown, or has lost its name: inotify on the file itself, one event at a time.
//!
//! A log is written thousands of times a second or not for an hour. One event (`IN_ONESHOT`) wakes the reader, who looks
//! and arms again when it likes: no wake-up while nothing is written, and never more than the reader asked for.

use rustix::fs::inotify;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A watch on one file.
#[derive(Debug)]
pub(crate) struct Growth {
    descriptor: OwnedFd,
}

impl Growth {
    /// Prepares a watch; it is not armed yet.
    ///
    /// # Errors
    /// No inotify instance left, or none on this system: the caller looks by a timer instead.
    pub(crate) fn new() -> io::Result<Self> {
        let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        Ok(Self { descriptor })
    }

    /// Asks for one notice of the next write to this file, or of its renaming or removal. Look at the file afterwards: a write before is not told.
    ///
    /// # Errors
    /// No watch left, or no such file.
    pub(crate) fn arm(&self, path: &Path) -> io::Result<()> {
        // A rename, and a removal, which changes the number of links (inotify(7), IN_ATTRIB): the name is another file's then.
        let mask = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::ATTRIB
            | inotify::WatchFlags::ONESHOT;
        inotify::add_watch(&self.descriptor, path, mask)?;
        Ok(())
    }

    /// What poll(2) waits for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }

    /// Throws the notices away, so that the descriptor is quiet again.
    pub(crate) fn drain(&self) {
        let mut buffer = [0_u8; 1024];
        while rustix::io::read(&self.descriptor, &mut buffer).is_ok_and(|length| length > 0) {}
    }
}
