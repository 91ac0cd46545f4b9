//! The machine, without judgement: files, clocks, processes, signals, events, each said exactly as the kernel says it.
//!
//! This is the only layer that reads a clock, opens a file or calls the kernel. It refuses to conclude anything: a
//! missing process is `Gone`, not "died"; an old file has a time, not an age. What the two platforms do differently
//! stands in files of the same signatures under `platform`, chosen in one line.

pub(crate) mod activity;
pub(crate) mod apart;
mod base;
pub(crate) mod beat;
pub(crate) mod census;
pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod detach;
pub(crate) mod directory;
pub(crate) mod durable;
pub(crate) mod environment;
pub(crate) mod events;
pub(crate) mod evidence;
mod exec;
mod far;
pub(crate) mod follow;
pub(crate) mod input;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod mailbox;
pub(crate) mod mounts;
pub(crate) mod net;
pub(crate) mod paths;
pub(crate) mod process;
pub(crate) mod publish;
pub(crate) mod ready;
pub(crate) mod reserve;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod start;
pub(crate) mod tee;
pub(crate) mod terminal;
pub(crate) mod tree;
pub(crate) mod trial;

#[cfg_attr(target_os = "linux", path = "linux/mod.rs")]
#[cfg_attr(target_os = "macos", path = "macos/mod.rs")]
#[cfg_attr(not(any(target_os = "linux", target_os = "macos")), path = "unsupported.rs")]
pub(crate) mod platform;
