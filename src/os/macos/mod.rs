//! macOS: libproc, sysctl, kqueue, statfs. The same signatures stand in `os/linux`.

mod calls;
pub(crate) mod events;
pub(crate) mod evidence;
pub(crate) mod exits;
pub(crate) mod growth;
mod info;
pub(crate) mod locality;
pub(crate) mod machine;
pub(crate) mod memory;
pub(crate) mod parting;
pub(crate) mod process;
pub(crate) mod supplies;
pub(crate) mod work;
