//! One file a check. Each is called by `run_check`, in a thread of its own, and answers before its deadline.

pub(crate) mod command;
pub(crate) mod directory;
pub(crate) mod env_file_disk;
pub(crate) mod http;
pub(crate) mod tcp;
