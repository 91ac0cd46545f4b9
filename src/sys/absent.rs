//! What a platform answers that lacks a facility: macOS re-exports these where Linux has functions of its own.

use std::fs::File;
use std::io;

/// Memory limits of control groups.
pub(crate) mod cgroup {
    /// How many processes the kernel has killed for memory in this process's control group: not counted.
    pub(crate) fn kills() -> Option<u64> {
        None
    }
}

/// Limits of directory events beside the process's own descriptors.
pub(crate) mod watch_limits {
    use crate::sys::fs::probe::Supplies;

    /// What the kernel has left of them for a user: there are none.
    pub(crate) fn supplies() -> Option<Supplies> {
        None
    }
}

/// The descriptors of other processes.
pub(crate) mod fd_table {
    use crate::sys::process::ProcessInfo;
    use crate::sys::process::pipes::PipeEnds;

    /// The pipes that a process has open: not looked at. What COMMAND leaves is ended at once then, readers of pipes too.
    #[expect(clippy::unnecessary_wraps, reason = "Linux may not be able to tell")]
    pub(crate) fn pipe_ends(_entry: &ProcessInfo) -> Option<PipeEnds> {
        Some(PipeEnds::default())
    }
}

/// PID namespaces.
pub(crate) mod pid_namespace {
    use crate::sys::process::namespace::NamespaceOrigin;

    /// Where this process comes from within one: there are none.
    pub(crate) fn origin() -> Option<NamespaceOrigin> {
        None
    }
}

/// The number of this process's PID namespace: there is only one, without a number.
pub(crate) fn pid_namespace() -> Option<u64> {
    None
}

/// The number of this process's time namespace: there are none.
pub(crate) fn time_namespace() -> Option<u64> {
    None
}

/// By how many nanoseconds a time namespace sets two clocks apart: there are none.
pub(crate) fn clock_offset() -> i64 {
    0
}

/// The signals that this process ignores, and those that it catches: no file tells of them all.
pub(crate) fn signal_dispositions() -> Option<(u64, u64)> {
    None
}

/// Makes orphans among this process's descendants its own children: they go to launchd, which reaps them. The process
/// that ends the tree finds them by group, session and mark.
///
/// # Errors
/// None here.
#[expect(clippy::unnecessary_wraps, reason = "Linux has errors")]
pub(crate) fn adopt_orphans() -> io::Result<bool> {
    Ok(false)
}

/// Has the kernel kill this process when the thread that forked it ends: it does not. A COMMAND whose wrapper was killed
/// runs on until a waiter, which finds it by its group, session or mark, ends the run.
///
/// # Errors
/// None here.
#[expect(clippy::unnecessary_wraps, reason = "Linux has errors")]
pub(crate) fn die_with_parent() -> io::Result<()> {
    Ok(())
}

/// The process that this number is a thread of: threads have no numbers of that kind.
pub(crate) fn process_of_thread(_number: i32) -> Option<i32> {
    None
}

/// Has the filesystem of an open file asked for its size and times: opening it has done so (close-to-open).
pub(crate) fn refresh(_file: &File) {}
