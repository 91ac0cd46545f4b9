//! Waiting: directory events, a channel with a descriptor, and poll(2) over all of them.

pub(crate) mod channel;
pub(crate) mod dir;
pub(crate) mod notify_source;
pub(crate) mod poll;

use std::ffi::OsStr;

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
    /// Entries changed; it is not said which.
    Folder,
    /// The folder itself was moved or removed, or its filesystem was: nothing more is told of it.
    Gone,
    /// Events were lost.
    Lost,
}
