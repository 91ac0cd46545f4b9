//! Files: the monitor directory, locks, atomic writes, and what is known of the filesystem below a path.

pub(crate) mod at;
pub(crate) mod atomic_write;
pub(crate) mod foreign_writers;
pub(crate) mod fsync;
pub(crate) mod io;
pub(crate) mod lock;
pub(crate) mod metadata;
pub(crate) mod monitor_dir;
pub(crate) mod mounts;
pub(crate) mod preallocate;
pub(crate) mod private_dir;
pub(crate) mod probe;
pub(crate) mod remote;

/// Where a directory lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FsType {
    /// Whether only this machine writes there, through its own kernel.
    pub(crate) local: bool,
    /// The filesystem's name, or its number where it has none here.
    pub(crate) name: String,
}
