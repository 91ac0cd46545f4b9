//! Linux: pidfd, procfs, inotify, statfs. The same signatures stand in `os/macos`.

mod blocked;
mod descriptors;
pub(crate) mod events;
pub(crate) mod evidence;
pub(crate) mod exits;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod growth;
mod inotify;
pub(crate) mod locality;
pub(crate) mod machine;
pub(crate) mod memory;
mod mount;
pub(crate) mod parting;
pub(crate) mod process;
mod procfs;
mod reading;
pub(crate) mod supplies;
pub(crate) mod work;
