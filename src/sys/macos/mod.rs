//! macOS: libproc, sysctl, kqueue, statfs. The same signatures stand in `os/linux`.

mod bsdinfo;
pub(crate) mod cgroup;
pub(crate) mod diagnose;
pub(crate) mod dir_watcher;
pub(crate) mod exit_watcher;
mod ffi;
pub(crate) mod fs_type;
pub(crate) mod machine;
pub(crate) mod pid_namespace;
pub(crate) mod process;
pub(crate) mod usage;
pub(crate) mod watch_limits;
pub(crate) mod write_watcher;
