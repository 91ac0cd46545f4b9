//! Who this process itself is, and who descends from whom.

use crate::sys::platform;
use crate::sys::process::{Lookup, ProcessInfo};
use std::collections::{BTreeMap, HashSet};

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
    platform::process::look(pid).found().map(|entry| entry.started)
}

/// Adds to `members` everybody of `all` who descends from one of them.
pub(crate) fn add_descendants(all: &BTreeMap<i32, ProcessInfo>, members: &mut BTreeMap<i32, ProcessInfo>) {
    loop {
        let children: Vec<ProcessInfo> = all
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
pub(crate) fn my_ancestors() -> Vec<ProcessInfo> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    let mut pid = current_pid();
    // The set bounds the walk even where processes change parents while it goes on.
    while let Lookup::Found(entry) = platform::process::look(pid) {
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
        let Lookup::Found(me) = platform::process::look(current_pid()) else { panic!("not seen") };
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
        while matches!(platform::process::look(pid), Lookup::Found(_)) {
            std::thread::yield_now();
        }
        assert_eq!(platform::process::look(pid), Lookup::NotFound);
        child.wait().unwrap();
        assert_eq!(platform::process::look(pid), Lookup::NotFound);
    }
}
