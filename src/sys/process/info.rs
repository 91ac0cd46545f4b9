//! Who this process itself is, and who descends from whom.

use crate::sys::platform;
use crate::sys::process::ProcessInfo;
use std::collections::{BTreeMap, HashSet};

/// This process's number.
pub(crate) fn current_pid() -> i32 {
    std::process::id().cast_signed()
}

/// The kernel's raw start time of the process that has this number now.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    platform::process::look(pid).found().map(|entry| entry.started)
}

/// Adds to `members` each process of `all` that descends from one of them; a process for which `is_meant` is false is left
/// out, with what descends from it.
pub(crate) fn add_descendants(
    all: &BTreeMap<i32, ProcessInfo>,
    members: &mut BTreeMap<i32, ProcessInfo>,
    is_meant: impl Fn(&ProcessInfo) -> bool,
) {
    loop {
        let is_child = |entry: &&ProcessInfo| {
            let parent = members.get(&entry.parent).filter(|_| !members.contains_key(&entry.pid));
            let is_born_after = |parent: &ProcessInfo| parent.started <= entry.started;
            parent.is_some_and(|parent| !platform::process::STARTS_ARE_ORDERED || is_born_after(parent))
                && is_meant(entry)
        };
        let children: Vec<ProcessInfo> = all.values().filter(is_child).copied().collect();
        if children.is_empty() {
            return;
        }
        members.extend(children.into_iter().map(|entry| (entry.pid, entry)));
    }
}

/// This process and its ancestors, the nearest first, as far as they are visible.
pub(crate) fn my_lineage() -> Vec<ProcessInfo> {
    let look = |pid| platform::process::look(pid).found();
    let parent = |process: &ProcessInfo| Some(process.parent).filter(|&pid| pid > 0).and_then(look);
    // The set bounds the walk even where processes change parents while it goes on.
    let mut seen = HashSet::new();
    std::iter::successors(look(current_pid()), parent).take_while(|process| seen.insert(process.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Lookup;

    #[test]
    fn this_process_is_seen_with_its_parent_among_its_ancestors() {
        let Lookup::Found(me) = platform::process::look(current_pid()) else { panic!("not seen") };
        assert_eq!((me.pid, me.kernel_thread), (current_pid(), false));
        assert_eq!(start_of(current_pid()), Some(me.started));
        assert!(my_lineage().iter().any(|ancestor| ancestor.pid == me.parent) || me.parent == 0);
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
