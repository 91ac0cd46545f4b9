//! Processes as values that both platforms fill, and who this process itself is.
//!
//! Refuses a bare pid as an identity: a process is its number and the kernel's raw start time (I7).

use crate::sys::platform;
use std::collections::{BTreeMap, HashSet};

/// What the kernel says of one living process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
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

/// What came of looking at one pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It lives.
    There(Entry),
    /// There is no such process, or only its zombie.
    Gone,
    /// The kernel does not tell.
    Hidden,
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

/// This process's number.
pub(crate) fn current_pid() -> i32 {
    std::process::id().cast_signed()
}

/// The kernel's raw start time of this process.
pub(crate) fn current_start_time() -> Option<u64> {
    start_of(current_pid())
}

/// The kernel's raw start time of the process that has this number now.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    match platform::process::look(pid) {
        Lookup::There(entry) => Some(entry.started),
        Lookup::Gone | Lookup::Hidden => None,
    }
}

/// Adds to `members` everybody of `all` who descends from one of them.
pub(crate) fn add_descendants(all: &BTreeMap<i32, Entry>, members: &mut BTreeMap<i32, Entry>) {
    loop {
        let children: Vec<Entry> = all
            .values()
            .filter(|entry| !members.contains_key(&entry.pid))
            .filter(|entry| {
                members
                    .get(&entry.parent)
                    .is_some_and(|parent| !platform::process::STARTS_ARE_ORDERED || parent.started <= entry.started)
            })
            .copied()
            .collect();
        if children.is_empty() {
            return;
        }
        members.extend(children.into_iter().map(|entry| (entry.pid, entry)));
    }
}

/// This process's ancestors, the nearest first, as far as they are visible.
pub(crate) fn my_ancestors() -> Vec<Entry> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    let mut pid = current_pid();
    // The set bounds the walk even where processes change parents while it goes on.
    while let Lookup::There(entry) = platform::process::look(pid) {
        if !seen.insert(pid) {
            break;
        }
        if pid != current_pid() {
            chain.push(entry);
        }
        if entry.parent <= 0 {
            break;
        }
        pid = entry.parent;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_seen_with_its_parent_among_its_ancestors() {
        let Lookup::There(me) = platform::process::look(current_pid()) else { panic!("not seen") };
        assert_eq!((me.pid, me.kernel_thread), (current_pid(), false));
        assert_eq!(current_start_time(), Some(me.started));
        assert!(my_ancestors().iter().any(|ancestor| ancestor.pid == me.parent) || me.parent == 0);
        assert!(platform::process::pids().contains(&current_pid()));
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        // Until it has ended it is there; it is never reaped before the look that says gone.
        while matches!(platform::process::look(pid), Lookup::There(_)) {
            std::thread::yield_now();
        }
        assert_eq!(platform::process::look(pid), Lookup::Gone);
        child.wait().unwrap();
        assert_eq!(platform::process::look(pid), Lookup::Gone);
    }
}
