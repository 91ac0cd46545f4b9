//! Which pipes a process has open, and whether anything can still come through them.
//!
//! The platform fills it (`fd_table::pipe_ends`); the runner calls it for what COMMAND left.

use std::collections::BTreeSet;

/// A pipe or FIFO, by its device and inode number.
pub(crate) type PipeId = (u64, u64);

/// The pipes of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PipeEnds {
    /// Those it can read from.
    pub(crate) reads: BTreeSet<PipeId>,
    /// Those it can write to.
    pub(crate) writes: BTreeSet<PipeId>,
    /// Those it reads from that no process at all writes to. A FIFO does not tell (fifo(7)); it is among them.
    pub(crate) at_end: BTreeSet<PipeId>,
}
