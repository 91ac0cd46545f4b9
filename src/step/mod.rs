//! One step as it stands in the directory: looked at, recorded, ended.
//!
//! Between `os`, which reports without judging, and the two loops: it gathers one consistent look for `decide`, and
//! carries out what follows from a verdict, once, whichever other processes do the same. It refuses to decide and to
//! wait for anything but a short lock.

mod ask_wrapper;
pub(crate) mod assess;
pub(crate) mod breaker_file;
pub(crate) mod history;
pub(crate) mod intent;
mod kill_command;
pub(crate) mod outcome;
pub(crate) mod own_run;
pub(crate) mod prepare;
pub(crate) mod publisher;
pub(crate) mod snapshot;
pub(crate) mod telling;
pub(crate) mod terminate;
