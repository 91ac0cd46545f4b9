//! Waiting: directory events, a channel with a descriptor, and poll(2) over all of them.

pub(crate) mod channel;
pub(crate) mod dir;
pub(crate) mod notify_source;
pub(crate) mod poll;

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What came of asking for a notice of a process's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchResult {
    /// The notice will come.
    Watching,
    /// The process has ended already: no notice comes.
    AlreadyExited,
}

/// What the system's facility says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DirEvent<'event> {
    /// An entry of this name came, went, or was written.
    Entry(&'event OsStr),
    /// Entries changed and it is not said which, or events were lost.
    Unknown,
    /// The folder itself was moved or removed, or its filesystem was: nothing more is told of it.
    Gone,
}

/// A watch on a folder and on single files in it, by one facility.
pub(crate) trait DirWatcher {
    /// What is readable when there is something to tell.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Tells what has come, without waiting for more.
    ///
    /// # Errors
    /// Nothing comes any more.
    fn take(&mut self, tell: &mut dyn FnMut(DirEvent<'_>)) -> io::Result<()>;

    /// Watches the file that has this path now for writes, instead of the one that had it before.
    ///
    /// # Errors
    /// No watch or descriptor left, or no such file.
    fn follow(&mut self, path: &Path) -> io::Result<()>;
}
