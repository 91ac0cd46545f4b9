//! One step on disk: one consistent snapshot of it, one recorded end, one safe termination.
//!
//! It lies between `sys`, which reads and draws no conclusions, and the two loops. It reads the snapshot that `decide` needs,
//! and carries out what follows from a verdict, once, whichever other processes do the same. It waits for nothing but short
//! locks.

pub(crate) mod breaker_file;
pub(crate) mod history;
pub(crate) mod intent;
mod kill_command;
pub(crate) mod outcome;
pub(crate) mod own_run;
pub(crate) mod prepare;
pub(crate) mod publisher;
pub(crate) mod snapshot;
pub(crate) mod start_files;
pub(crate) mod telling;
pub(crate) mod terminate;
mod termination_lock;
