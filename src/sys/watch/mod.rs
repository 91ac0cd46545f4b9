//! Waiting: directory events, a channel with a descriptor, and poll(2) over all of them.

pub(crate) mod channel;
pub(crate) mod dir;
pub(crate) mod poll;
