//! macOS: libproc, sysctl, kqueue, statfs. `sys/linux` has the same functions.

pub(crate) mod diagnose;
pub(crate) mod dir_watcher;
pub(crate) mod exit_watcher;
mod ffi;
pub(crate) mod fs_type;
pub(crate) mod machine;
mod parse;
pub(crate) mod process;
pub(crate) mod usage;
pub(crate) mod write_watcher;

pub(crate) use crate::sys::absent::{cgroup, fd_table, pid_namespace, watch_limits};
