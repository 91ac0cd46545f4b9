//! Waiting: directory events, a channel with a descriptor, and poll(2) over all of them.

pub(crate) mod channel;
pub(crate) mod dir;
pub(crate) mod poll;

/// What came of asking for a notice of a process's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchResult {
    /// The notice will come.
    Watching,
    /// The process has ended already: no notice comes.
    AlreadyExited,
}
