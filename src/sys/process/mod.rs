//! Processes: identity, trees, starting COMMAND, ending a tree, evidence. A process is its number and the kernel's raw start
//! time, never a bare pid (I7).

pub(crate) mod activity;
pub(crate) mod daemonize;
pub(crate) mod diagnose;
pub(crate) mod exec;
pub(crate) mod exits;
pub(crate) mod info;
pub(crate) mod isolated_worker;
pub(crate) mod namespace;
pub(crate) mod pipes;
pub(crate) mod shell;
pub(crate) mod spawn;
pub(crate) mod table;
pub(crate) mod tree;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;

/// What the kernel says of one living process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessInfo {
    /// Its number.
    pub(crate) pid: i32,
    /// Its parent.
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// Its session.
    pub(crate) session: i32,
    /// The kernel's raw start time: clock ticks after boot (Linux), microseconds since 1970 (macOS).
    pub(crate) started: u64,
    /// Whether it is a thread of the kernel.
    pub(crate) kernel_thread: bool,
    /// Whether it is stopped: it does nothing, and is in the middle of nothing.
    pub(crate) stopped: bool,
}

impl ProcessInfo {
    /// Whether this is its group or its session.
    pub(crate) fn is_in(&self, group: Option<i32>) -> bool {
        group.is_some_and(|group| self.group == group || self.session == group)
    }
}

/// What came of looking at one pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It lives.
    Found(ProcessInfo),
    /// There is no such process, or only its zombie.
    NotFound,
    /// The kernel does not tell.
    Hidden,
}

impl Lookup {
    /// The process, where it is seen to live.
    pub(crate) fn found(self) -> Option<ProcessInfo> {
        match self {
            Self::Found(process) => Some(process),
            Self::NotFound | Self::Hidden => None,
        }
    }
}

/// Whether a process was given a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Environment {
    /// Exactly this variable, with this value.
    Holds,
    Lacks,
    /// It may not be read, now or later, so whether the process has the variable is unknown.
    Hidden,
    /// It cannot be read now: the process has ended, or is in the middle of an exec.
    Changing,
}

impl Environment {
    /// Of an environment that was read.
    pub(crate) fn of(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Lacks }
    }
}

/// Sends a signal to whatever process has this number now; false where there is none. The caller has just looked which it is.
///
/// # Errors
/// `EPERM` where it may not be signalled.
pub(crate) fn signal_by_number(pid: i32, signal: Signal) -> io::Result<bool> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) => Ok(true),
        Err(Errno::ESRCH) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}
