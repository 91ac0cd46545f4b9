//! Processes by libproc and sysctl: who they are, and signals to exactly them. The same functions as `linux::process`.
//!
//! Before each kill(2) the start time is compared. macOS has no descriptor of a process that could close the window in
//! between, but pids are given out in order up to `PID_MAX`, 99,999, before one is reused (xnu `bsd/kern/kern_fork.c`), so
//! within those microseconds the pid does not come to mean another process.
//!
//! A process that is exiting counts as there (I4): first kill(2) and kqueue do not find it any more (`proc_prepareexit`), then its
//! threads end, then kqueue reports the exit (`proc_exit`), and only after that is it a zombie (xnu `bsd/kern/kern_exit.c`).

use crate::record::time::{MonotonicTime, WallTime};
pub(crate) use crate::sys::absent::process_of_thread;
use crate::sys::macos::ffi;
use crate::sys::macos::parse::kinfo::{self, Info, Stage};
use crate::sys::macos::parse::proc_args;
use crate::sys::macos::parse::timebase::Timebase;
use crate::sys::process::{Environment, Lookup, ProcessInfo, signal_by_number};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};
use std::collections::HashSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

/// How long a process on its way out is waited for between two looks, and how many looks it gets. kqueue's notice comes
/// some instructions before the process is a zombie: a caller that checks because of it must not miss the end.
const SETTLING: (Duration, usize) = (Duration::from_millis(1), 50);

/// Whether a child's raw start time is never below its parent's: here it is wall time, which can be set back.
pub(crate) const STARTS_ARE_ORDERED: bool = false;

/// What the kernel says of one process.
pub(crate) fn look(pid: i32) -> Lookup {
    let (pause, looks) = SETTLING;
    for _ in 1..looks {
        match find(pid) {
            Ok(found) if found.stage == Stage::Exiting => sleep(pause),
            other => return lookup(other),
        }
    }
    glance(pid)
}

/// A process that has not ended, with the CPU time that it has used so far.
pub(crate) fn usage(pid: i32) -> Option<(ProcessInfo, Duration)> {
    glance(pid).found().map(|entry| (entry, used(ffi::task(pid).ok().as_ref())))
}

/// The CPU time in what libproc tells of a process's task; none where it tells nothing.
pub(crate) fn used(task: Option<&libc::proc_taskinfo>) -> Duration {
    let ticks = task.map_or(0, |task| task.pti_total_user.saturating_add(task.pti_total_system));
    Timebase::of_libproc(ffi::timebase(), is_translated()).duration(ticks)
}

/// Whether Rosetta runs this process. The name exists on Apple processors only.
fn is_translated() -> bool {
    let mut value = [0; 4];
    let length = ffi::sysctl_by_name(c"sysctl.proc_translated", &mut value);
    length == Ok(value.len()) && i32::from_ne_bytes(value) == 1
}

/// As [`look`], without waiting for one that is on its way out.
fn glance(pid: i32) -> Lookup {
    lookup(find(pid))
}

/// What the kernel says of one process, of any user.
///
/// # Errors
/// `ESRCH` where there is none; `EPERM` where neither source tells of it.
pub(crate) fn find(pid: i32) -> Result<Info, Errno> {
    match ffi::process(pid) {
        Ok(found) => Ok(from_libproc(&found)),
        // libproc tells of other users' processes only to root (xnu bsd/kern/proc_info.c, proc_security_policy); sysctl
        // tells every user, as it does for pgrep(1).
        Err(Errno::EPERM) => of_another_user(pid).ok_or(Errno::EPERM),
        Err(errno) => Err(errno),
    }
}

fn from_libproc(found: &libc::proc_bsdinfo) -> Info {
    // <sys/proc_info.h>
    const PROC_FLAG_SYSTEM: u32 = 1;
    const PROC_FLAG_INEXIT: u32 = 4;
    // The long name, where the process has one; else the one that ps(1) shows, which is shorter.
    let from: &[libc::c_char] = if found.pbi_name[0] == 0 { &found.pbi_comm } else { &found.pbi_name };
    let mut name = [0; kinfo::NAME];
    for (to, from) in name.iter_mut().zip(from) {
        *to = from.to_ne_bytes()[0];
    }
    let (status, group) = (found.pbi_status, found.pbi_pgid.cast_signed());
    let stage = kinfo::stage(status, found.pbi_flags & PROC_FLAG_INEXIT != 0);
    let process = ProcessInfo {
        pid: found.pbi_pid.cast_signed(),
        parent: found.pbi_ppid.cast_signed(),
        group,
        session: group,
        started: kinfo::micros(found.pbi_start_tvsec, found.pbi_start_tvusec),
        kernel_thread: found.pbi_flags & PROC_FLAG_SYSTEM != 0,
        stopped: stage == Stage::Stopped,
    };
    Info { process, user: found.pbi_ruid, status, stage, name }
}

fn of_another_user(pid: i32) -> Option<Info> {
    let mut block = [0; kinfo::LENGTH];
    let length = ffi::sysctl(&[libc::CTL_KERN, libc::KERN_PROC, libc::KERN_PROC_PID, pid], &mut block).ok()?;
    Info::from_kinfo(block.get(..length)?).filter(|found| found.process.pid == pid)
}

fn lookup(found: Result<Info, Errno>) -> Lookup {
    match found {
        Ok(Info { stage: Stage::Zombie, .. }) | Err(Errno::ESRCH) => Lookup::NotFound,
        Ok(found) => Lookup::Found(entry(found.process)),
        Err(_) => Lookup::Hidden,
    }
}

/// The same with its session. Of one on its way out the kernel does not say that any more; its group is the nearest that is
/// known.
fn entry(found: ProcessInfo) -> ProcessInfo {
    ProcessInfo { session: getsid(Some(Pid::from_raw(found.pid))).map_or(found.group, Pid::as_raw), ..found }
}

/// The numbers of all processes, zombies included; in the order of their numbers.
pub(crate) fn pids() -> Vec<i32> {
    let mut pids = ffi::pids();
    pids.sort_unstable();
    pids
}

/// Every process that has ended and waits for its parent to look.
pub(crate) fn zombies() -> Vec<ProcessInfo> {
    let found = ffi::pids().into_iter().filter_map(|pid| find(pid).ok());
    found.filter(|found| found.stage == Stage::Zombie).map(|found| entry(found.process)).collect()
}

/// The real user of a process.
pub(crate) fn user(pid: i32) -> Option<u32> {
    find(pid).ok().map(|found| found.user)
}

/// Whether a process was given exactly this variable (`NAME=value`).
///
/// The environment of Apple's own restricted programs, /bin/sh among them, is hidden from every user while System Integrity
/// Protection is on: those are found by their group, session or parent only.
pub(crate) fn environment_holds(pid: i32, variable: &str) -> Environment {
    match arguments(pid) {
        Some(block) => proc_args::environment_holds(&block, variable).map_or(Environment::Hidden, Environment::of),
        None if matches!(glance(pid), Lookup::Found(_)) => Environment::Hidden,
        None => Environment::Changing,
    }
}

/// The number that was given last: macOS does not tell it.
pub(crate) fn newest_pid() -> Option<i32> {
    None
}

/// Whether this process may have a child: macOS is not asked, and children count as the run's where they show that.
pub(crate) fn has_children() -> bool {
    true
}

/// Tells each child of this process that no list of processes shows: macOS shows all.
pub(crate) fn for_each_own_child(_first: i32, _tell: &mut dyn FnMut(i32), _is_over: &mut dyn FnMut() -> bool) {}

/// The block of a process's arguments and environment.
pub(crate) fn arguments(pid: i32) -> Option<Vec<u8>> {
    let name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid];
    let mut block = vec![0; ffi::sysctl(&name, &mut []).ok()?];
    let length = ffi::sysctl(&name, &mut block).ok()?;
    block.truncate(length);
    Some(block)
}

/// The numbers that visible processes bear in PID namespaces of their own: there are none on macOS.
pub(crate) fn borne_elsewhere() -> HashSet<i32> {
    HashSet::new()
}

/// A raw start time on the wall clock. The kernel took it from that clock at the fork and leaves it so, whatever the
/// clock is set to later (xnu `bsd/kern/kern_fork.c`).
pub(crate) fn started_wall(started: u64, _wall: WallTime, _since_boot: MonotonicTime) -> WallTime {
    WallTime::from_nanos(i64::try_from(started.saturating_mul(1000)).unwrap_or(i64::MAX))
}

/// Sends a signal to the process with this number and start time; false where it has ended.
///
/// # Errors
/// `EPERM` where it may not be signalled.
pub(crate) fn signal(pid: i32, started: u64, signal: Signal) -> io::Result<bool> {
    let is_same = matches!(glance(pid), Lookup::Found(entry) if entry.started == started);
    if is_same { signal_by_number(pid, signal) } else { Ok(false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::info::current_pid;

    #[test]
    fn a_process_of_another_user_is_there_too() {
        let Lookup::Found(first) = look(1) else { panic!("launchd is not seen") };
        assert_eq!((first.pid, first.parent, user(1)), (1, 0, Some(0)));
        assert!(pids().contains(&1));
    }

    #[test]
    fn both_sources_say_the_same_of_this_process() {
        // The name may be longer in libproc's structure.
        let by_sysctl = of_another_user(current_pid()).unwrap();
        let by_libproc = find(current_pid()).unwrap();
        assert_eq!(by_sysctl, Info { name: by_sysctl.name, ..by_libproc });
        assert!(by_libproc.name().starts_with(by_sysctl.name()));
    }

    #[test]
    fn the_start_time_is_on_the_wall_clock() {
        let before = crate::sys::clock::wall();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let Lookup::Found(entry) = look(child.id().cast_signed()) else { panic!("not seen") };
        let started = started_wall(entry.started, before, MonotonicTime::from_nanos(0));
        // The kernel's time has whole microseconds, and is not read by the same way as this process's.
        let slack = Duration::from_millis(1);
        assert!(started.plus(slack) >= before && started <= crate::sys::clock::wall().plus(slack));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_process_was_given_its_own_variables() {
        let (name, value) = std::env::vars().next().unwrap();
        assert_eq!(environment_holds(current_pid(), &format!("{name}={value}")), Environment::Holds);
        assert_eq!(environment_holds(current_pid(), &format!("{name}={value}x")), Environment::Lacks);
    }
}
