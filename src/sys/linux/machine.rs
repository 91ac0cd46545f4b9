//! This boot of this kernel: its clocks, its id, its namespaces, and what it does for a wrapper's children.

use crate::sys::linux::{procfs, procfs_read};
use nix::time::ClockId;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

/// The monotonic clock that stops in suspend (`clock_getres(2)`: `CLOCK_MONOTONIC` does not count suspended time).
pub(crate) const AWAKE: ClockId = ClockId::CLOCK_MONOTONIC;

/// The monotonic clock that goes on in suspend.
pub(crate) const WITH_SLEEP: ClockId = ClockId::CLOCK_BOOTTIME;

/// The id that the kernel drew at this boot (`random(4)`).
pub(crate) fn boot_id() -> Option<String> {
    procfs_read::text_record("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

/// The number of this process's PID namespace (`pid_namespaces(7)`).
pub(crate) fn pid_namespace() -> Option<u64> {
    std::fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())
}

/// The number of the initial time namespace, which has no offsets (`PROC_TIME_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL_TIME_NAMESPACE: u64 = 0xEFFF_FFFA;

/// The number of this process's time namespace, which only its exec or setns(2) changes (`time_namespaces(7)`).
pub(crate) fn time_namespace() -> Option<u64> {
    static NUMBER: OnceLock<Option<u64>> = OnceLock::new();
    *NUMBER.get_or_init(|| std::fs::metadata("/proc/self/ns/time").ok().map(|metadata| metadata.ino()))
}

/// By how many nanoseconds this process's time namespace sets the clock that counts sleep further ahead than the one that
/// does not: such a difference is no sleep.
pub(crate) fn clock_offset() -> i64 {
    if matches!(time_namespace(), None | Some(INITIAL_TIME_NAMESPACE)) {
        return 0;
    }
    procfs_read::text("/proc/self/timens_offsets").map_or(0, |text| procfs::clock_offset(&text))
}

/// Makes orphans among this process's descendants its own children, so that they can be seen and reaped
/// (`PR_SET_CHILD_SUBREAPER(2const)`); whether that is so now.
///
/// # Errors
/// As prctl(2).
pub(crate) fn adopt_orphans() -> io::Result<bool> {
    nix::sys::prctl::set_child_subreaper(true).map(|()| true).map_err(io::Error::from)
}

/// Has the kernel kill this process when the thread that forked it ends. Called between fork and exec, so it makes one
/// system call and nothing else.
///
/// # Errors
/// As prctl(2).
pub(crate) fn die_with_parent() -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(io::Error::from)
}

/// The signals that this process ignores, and those that it catches: a bit each, from signal 1 on (`proc_pid_status(5)`).
/// `None` if /proc does not tell.
pub(crate) fn signal_dispositions() -> Option<(u64, u64)> {
    procfs::signal_dispositions(&procfs_read::text_record("/proc/self/status")?)
}

/// Gives the disk space of a file's first `length` bytes back; its size stays.
///
/// # Errors
/// `EOPNOTSUPP` where the filesystem cannot.
pub(crate) fn punch(file: &File, length: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    Ok(rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length)?)
}

/// Reserves disk space for a file's first `length` bytes, without changing what it reads as beyond its end.
///
/// # Errors
/// `ENOSPC` where there is none, `EOPNOTSUPP` where the filesystem cannot.
pub(crate) fn reserve(file: &File, length: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, length)?)
}
