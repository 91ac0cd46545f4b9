//! Processes by procfs and pidfd: their identity, and signals that reach exactly them.
//!
//! A pid alone is never signalled: a pidfd is opened, then the identity is checked, and only then is the pidfd
//! signalled (`pidfd_open(2)`, NOTES on reuse). If the kernel has no pidfd (before 5.3, or an old container's filter),
//! the start time is compared right before `kill(2)`.

use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::linux::{procfs, procfs_read};
use crate::sys::process::{Environment, Lookup, ProcessInfo, signal_by_number};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, SysconfVar, sysconf};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use std::collections::HashSet;
use std::io;
use std::time::Duration;

/// Whether a child's raw start time is never below its parent's: ticks since boot are set by no clock.
pub(crate) const STARTS_ARE_ORDERED: bool = true;

/// What the kernel says of one process.
pub(crate) fn look(pid: i32) -> Lookup {
    match procfs_read::record(format!("/proc/{pid}/stat")) {
        Ok(bytes) => procfs::stat(&bytes).map_or(Lookup::Hidden, |stat| lookup(&stat)),
        Err(error) => match error.raw_os_error() {
            // ESRCH: it went between the open and the read.
            Some(libc::ENOENT | libc::ESRCH) => missing(pid),
            _ => Lookup::Hidden,
        },
    }
}

/// A process that has not ended, with the CPU time that it has used so far, by one look.
pub(crate) fn usage(pid: i32) -> Option<(ProcessInfo, Duration)> {
    stat(pid).filter(|stat| !has_ended(stat)).map(|stat| (stat.process, of_ticks(stat.used)))
}

/// All that one look tells of a process, or of a thread.
pub(crate) fn stat(pid: i32) -> Option<procfs::Stat> {
    procfs::stat(&procfs_read::record(format!("/proc/{pid}/stat")).ok()?)
}

/// procfs may be mounted so that others' processes are not shown (`hidepid`, proc(5)); kill(2) tells those apart.
fn missing(pid: i32) -> Lookup {
    match kill(Pid::from_raw(pid), None) {
        Ok(()) | Err(Errno::EPERM) => Lookup::Hidden,
        Err(_) => Lookup::NotFound,
    }
}

fn lookup(stat: &procfs::Stat) -> Lookup {
    // A zombie has ended; only its parent has not looked yet. A thread's number is no process's: kill(2) with it would
    // reach the whole process that it belongs to.
    if has_ended(stat) || stat.is_thread { Lookup::NotFound } else { Lookup::Found(stat.process) }
}

fn has_ended(stat: &procfs::Stat) -> bool {
    matches!(stat.state, 'Z' | 'X' | 'x')
}

/// Every process that has ended and waits for its parent to look.
pub(crate) fn zombies() -> Vec<ProcessInfo> {
    pids().into_iter().filter_map(stat).filter(has_ended).map(|stat| stat.process).collect()
}

/// The numbers of all processes that are visible here, zombies included; the youngest process comes last.
pub(crate) fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // Read after the list, so that no process in it is younger.
    procfs::in_order_of_birth(pids, newest_pid())
}

/// The number that was given last in this PID namespace: while it stays the same, no process is created.
pub(crate) fn newest_pid() -> Option<i32> {
    procfs::newest_pid(&procfs_read::text_record("/proc/loadavg")?)
}

/// The process that this number is a thread of, where it is no process's own.
pub(crate) fn process_of_thread(number: i32) -> Option<i32> {
    procfs::thread_group(&procfs_read::text(format!("/proc/{number}/status"))?).filter(|&process| process != number)
}

/// The real user of a process.
pub(crate) fn user(pid: i32) -> Option<u32> {
    procfs::user(&procfs_read::text(format!("/proc/{pid}/status"))?)
}

/// Whether a process was given exactly this variable (`NAME=value`).
pub(crate) fn environment_holds(pid: i32, variable: &str) -> Environment {
    let read = || match procfs_read::whole(format!("/proc/{pid}/environ")) {
        Ok(block) if block.is_empty() => None,
        Ok(block) => Some(Environment::of(procfs::environment_holds(&block, variable))),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Some(Environment::Hidden),
        Err(_) => Some(Environment::Changing),
    };
    // In an exec the new variables come some time after the old ones are gone (`exec_mmap` in `fs/exec.c`, then
    // `create_elf_tables` in `fs/binfmt_elf.c`), and after both the address of the stack is written down. With the same
    // address before and after, it was one program all the while, and it has no environment.
    let stack = || procfs::stack(&procfs_read::record(format!("/proc/{pid}/stat")).ok()?).filter(|&start| start != 0);
    read().unwrap_or_else(|| {
        let Some(before) = stack() else { return Environment::Changing };
        let is_same = || stack() == Some(before);
        read().unwrap_or_else(|| if is_same() { Environment::Lacks } else { Environment::Changing })
    })
}

/// Tells each child of this process that has not ended, found by asking for every number from `first` on: for where no
/// list of processes can be had; until `is_over`, which is asked now and then. About a second of system calls where numbers
/// go up to the greatest limit (`PID_MAX_LIMIT`, `include/linux/threads.h`).
pub(crate) fn for_each_own_child(first: i32, tell: &mut dyn FnMut(i32), is_over: &mut dyn FnMut() -> bool) {
    const GREATEST: i32 = 4 << 20;
    let most = procfs_read::text_record("/proc/sys/kernel/pid_max");
    let most = most.and_then(|text| text.trim().parse().ok()).unwrap_or(GREATEST);
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    for pid in (first.min(most)..most).chain(2..first.min(most)) {
        if pid % 4096 == 0 && is_over() {
            return;
        }
        // Neither reaps nor waits: an error says that there is no such child.
        if waitid(Id::Pid(Pid::from_raw(pid)), flags) == Ok(WaitStatus::StillAlive) {
            tell(pid);
        }
    }
}

/// Whether this process has a child, ended or not.
pub(crate) fn has_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(Errno::ECHILD)
}

/// The numbers that visible processes bear in PID namespaces of their own: a look at every process.
pub(crate) fn borne_elsewhere() -> HashSet<i32> {
    let inner = |pid| procfs::inner_pid(&procfs_read::text(format!("/proc/{pid}/status"))?);
    pids().into_iter().filter_map(inner).collect()
}

/// A raw start time on the wall clock, granular by one tick (10 ms) and rounded down.
pub(crate) fn started_wall(started: u64, wall: WallTime, since_boot: MonotonicTime) -> WallTime {
    let after_boot = of_ticks(started);
    let boot = wall.minus(since_boot.since(MonotonicTime::from_nanos(0)));
    boot.plus(after_boot)
}

/// A number of clock ticks as a span of time.
pub(crate) fn of_ticks(ticks: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let per_second = per_second.filter(|&ticks| ticks != 0).unwrap_or(100);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

/// Sends a signal to the process with this number and start time; false where it has ended.
///
/// # Errors
/// `EPERM` where it may not be signalled.
pub(crate) fn signal(pid: i32, started: u64, signal: Signal) -> io::Result<bool> {
    let Some(number) = rustix::process::Pid::from_raw(pid) else { return Ok(false) };
    let descriptor = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(descriptor) => Some(descriptor),
        // EINVAL, since Linux 6.9 ENOENT: the number is a thread's (pidfd_open(2)), and kill(2) would reach its process.
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => return Ok(false),
        // ENOSYS, EPERM of a container's filter, or no descriptor left: the start time has to do.
        Err(_) => None,
    };
    // After the pidfd: had the number been reused before, the start time shows it; the pidfd keeps to this process.
    if !matches!(look(pid), Lookup::Found(entry) if entry.started == started) {
        return Ok(false);
    }
    if let (Some(descriptor), Some(named)) = (descriptor, rustix::process::Signal::from_named_raw(signal as i32)) {
        match pidfd_send_signal(descriptor, named) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            // A container's filter may know pidfd_open(2) and not this call. Where it is the kernel's own answer, kill(2)
            // gives the same one.
            Err(_) => {}
        }
    }
    signal_by_number(pid, signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn an_environment_that_may_not_be_read_is_hidden_and_that_of_no_process_cannot_be_read_now() {
        // The first process is root's; in some containers root may not read it either.
        let denied = std::fs::read("/proc/1/environ").is_err();
        let expected = if denied { Environment::Hidden } else { Environment::Lacks };
        assert_eq!(environment_holds(1, "NO_SUCH_VARIABLE=1"), expected);
        assert_eq!(environment_holds(i32::MAX, "A=1"), Environment::Changing);
    }

    #[test]
    fn a_process_whose_name_is_no_text_is_told_as_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe) Z"));
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut child = std::process::Command::new(&program).arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let (seen, owner) = (look(pid), user(pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(seen, Lookup::Found(entry) if entry.pid == pid), "{seen:?}");
        assert_eq!(owner, Some(nix::unistd::getuid().as_raw()));
    }
}
