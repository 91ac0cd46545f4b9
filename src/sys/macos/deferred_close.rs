//! Leaving without waiting for directory watches to be torn down: kqueue's go at once, and there is nothing to do.
//!
//! Refuses to start a process for it.

use std::os::fd::BorrowedFd;

/// Does nothing here.
pub(crate) fn leave() {}

/// Does nothing here.
pub(crate) fn foresee(_watches: &[BorrowedFd<'_>]) {}

/// Does nothing here.
pub(crate) fn defer() {}

/// Does nothing here: the process ends as any other.
pub(crate) fn end(_code: u8) {}
