//! Who this process itself is, and who descends from whom.

use crate::sys::platform::process::{STARTS_ARE_ORDERED, look};
use crate::sys::process::ProcessInfo;
use std::collections::{BTreeMap, HashSet};

/// This process's number.
pub(crate) fn current_pid() -> i32 {
    std::process::id().cast_signed()
}

/// The kernel's raw start time of the process that has this number now.
pub(crate) fn start_of(pid: i32) -> Option<u64> {
    look(pid).found().map(|entry| entry.started)
}

/// The processes for which `is_root` is true, and each that descends from one of them; a descendant for which `is_meant` is
/// false is left out, with what descends from it.
pub(crate) fn trees(
    all: &BTreeMap<i32, ProcessInfo>,
    is_root: impl Fn(&ProcessInfo) -> bool,
    is_meant: impl Fn(&ProcessInfo) -> bool,
) -> BTreeMap<i32, ProcessInfo> {
    let roots = all.values().filter(|entry| is_root(entry));
    let mut members: BTreeMap<i32, ProcessInfo> = roots.map(|entry| (entry.pid, *entry)).collect();
    loop {
        let before = members.len();
        for entry in all.values() {
            let parent = members.get(&entry.parent).filter(|_| !members.contains_key(&entry.pid));
            let is_born_after = |parent: &ProcessInfo| parent.started <= entry.started;
            if parent.is_some_and(|parent| !STARTS_ARE_ORDERED || is_born_after(parent)) && is_meant(entry) {
                members.insert(entry.pid, *entry);
            }
        }
        if members.len() == before {
            return members;
        }
    }
}

/// This process and its ancestors, the nearest first, as far as they are visible.
pub(crate) fn my_lineage() -> Vec<ProcessInfo> {
    let look = |pid| look(pid).found();
    let parent = |process: &ProcessInfo| Some(process.parent).filter(|&pid| pid > 0).and_then(look);
    // The set bounds the walk even where processes change parents while it goes on.
    let mut seen = HashSet::new();
    std::iter::successors(look(current_pid()), parent).take_while(|process| seen.insert(process.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::platform::process::pids;
    use crate::sys::process::Lookup;

    #[test]
    fn this_process_is_seen_with_its_parent_among_its_ancestors() {
        let Lookup::Found(me) = look(current_pid()) else { panic!("not seen") };
        assert_eq!((me.pid, me.kernel_thread), (current_pid(), false));
        assert_eq!(start_of(current_pid()), Some(me.started));
        assert!(my_lineage().iter().any(|ancestor| ancestor.pid == me.parent) || me.parent == 0);
        assert!(pids().contains(&current_pid()));
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id().cast_signed();
        // Until it has ended it is there; it is never reaped before the look that says gone.
        while matches!(look(pid), Lookup::Found(_)) {
            std::thread::yield_now();
        }
        assert_eq!(look(pid), Lookup::NotFound);
        child.wait().unwrap();
        assert_eq!(look(pid), Lookup::NotFound);
    }
}
