//! What a process has done so far, by libproc: CPU time, bytes of disk input and output. Called by `sys::process::activity`,
//! which compares the numbers with earlier ones of the same process; their unit does not matter.

use crate::sys::macos::ffi;

/// What one process has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// CPU time, in the kernel's own unit.
    cpu: u64,
    /// Bytes read from and written to disks. What goes through pipes and sockets shows as CPU time only.
    moved: u64,
}

/// What the process has done; `None` if it is gone or does not tell.
pub(crate) fn of(pid: i32) -> Option<Work> {
    let usage = ffi::usage(pid).ok()?;
    Some(Work {
        cpu: usage.ri_user_time.saturating_add(usage.ri_system_time),
        moved: usage.ri_diskio_bytesread.saturating_add(usage.ri_diskio_byteswritten),
    })
}
