//! The PID namespace of this process and the command that it was made for, as the kernel shows them. Called by `ops::sandbox`.

use std::time::Duration;

/// A process of this process's PID namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its pid in that namespace.
    pub(crate) pid: i32,
    pub(crate) name: String,
    /// When it started, counted from the boot.
    pub(crate) started: Duration,
}

/// Where this process comes from within a PID namespace that is not the system's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamespaceOrigin {
    /// The first process. When it ends, the kernel kills every other process of the namespace (`pid_namespaces(7)`).
    pub(crate) init: Member,
    /// The child of `init` that this process descends from, or is; `init` where this process is that itself.
    pub(crate) command: Member,
}
