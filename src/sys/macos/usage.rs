//! How much a process has done so far, by libproc, as a number of which only a change says something. Called by
//! `sys::process::activity`.

use crate::sys::macos::ffi;

/// The sum of its CPU time and the bytes that it has read from and written to disks: neither ever becomes less. What goes
/// through pipes and sockets shows as CPU time only. `None` if it is gone or does not tell.
pub(crate) fn of(pid: i32) -> Option<u64> {
    let usage = ffi::usage(pid).ok()?;
    let cpu = usage.ri_user_time.saturating_add(usage.ri_system_time);
    Some(cpu.saturating_add(usage.ri_diskio_bytesread).saturating_add(usage.ri_diskio_byteswritten))
}
