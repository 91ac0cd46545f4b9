//! Linux: pidfd, procfs, inotify, statfs. `sys/macos` has the same functions.

pub(crate) mod cgroup;
mod deferred_close;
pub(crate) mod diagnose;
pub(crate) mod dir_watcher;
pub(crate) mod exit_watcher;
pub(crate) mod fd_table;
pub(crate) mod fs_type;
mod inotify;
pub(crate) mod machine;
pub(crate) mod pid_namespace;
pub(crate) mod process;
pub(crate) mod procfs;
mod procfs_read;
pub(crate) mod usage;
pub(crate) mod wait_reason;
pub(crate) mod watch_limits;
pub(crate) mod write_watcher;
