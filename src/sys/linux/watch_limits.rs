//! What inotify has left for this user: its two limits, and what is used of them as far as procfs shows.
//!
//! Both limits count by real user, in whatever container their processes run (inotify(7), `/proc` interfaces).

use crate::sys::env;
use crate::sys::fs::probe::{Supplies, Supply};
use crate::sys::linux::process;
use std::fs::{self, DirEntry};

/// What an inotify descriptor's link in `/proc/PID/fd` says.
const INSTANCE: &str = "anon_inode:inotify";

/// The kernel's supplies for directory events; `None` if it does not tell.
pub(crate) fn supplies() -> Option<Supplies> {
    let limit = |global: &str, namespace: &str| {
        let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        // A user namespace may have lower limits of its own (namespaces(7), /proc/sys/user).
        let global = read(&format!("/proc/sys/fs/inotify/{global}"))?;
        Some(read(&format!("/proc/sys/user/{namespace}")).map_or(global, |own| own.min(global)))
    };
    let instances = limit("max_user_instances", "max_inotify_instances")?;
    let watches = limit("max_user_watches", "max_inotify_watches")?;
    let me = Some(env::user());
    let own = process::pids().into_iter().filter(|&pid| process::user(pid) == me).map(of_process);
    let (used, watched) = own.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    Some(Supplies { instances: Supply { used, limit: instances }, watches: Supply { used: watched, limit: watches } })
}

/// One process's instances and watches; none where it may not be looked into, or is gone.
fn of_process(pid: i32) -> (u64, u64) {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return (0, 0) };
    let is_instance = |entry: &DirEntry| fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == INSTANCE);
    descriptors.flatten().filter(is_instance).fold((0, 0), |(instances, watches), entry| {
        let info = format!("/proc/{pid}/fdinfo/{}", entry.file_name().display());
        let text = fs::read_to_string(info).unwrap_or_default();
        // A line a watch (proc_pid_fdinfo(5)).
        (instances + 1, watches + text.lines().filter(|line| line.starts_with("inotify ")).count() as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fs::probe::watch_for;

    #[test]
    fn an_instance_and_its_watch_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let _events = watch_for(folder.path(), "x").unwrap();
        let found = supplies().unwrap();
        // Other tests of this process have theirs.
        assert!(found.instances.used >= 1 && found.watches.used >= 1, "{found:?}");
        assert!(found.instances.limit >= 1 && found.watches.limit >= 1);
    }
}
