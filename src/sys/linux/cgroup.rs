//! How many processes the kernel has killed for memory in this process's control group.
//!
//! Without a readable counter there is no answer: a KILL alone does not prove that memory ran out.

use crate::sys::linux::procfs_read;
use std::path::PathBuf;

/// The count, where it can be read: of the unified hierarchy (cgroup v2, `memory.events`), else of the memory controller's
/// own (cgroup v1, `memory.oom_control`).
pub(crate) fn kills() -> Option<u64> {
    let groups = procfs_read::text_record("/proc/self/cgroup")?;
    let mounts = procfs_read::text("/proc/self/mountinfo")?;
    counters(&groups, &mounts).iter().find_map(|file| count(&procfs_read::text_record(file)?))
}

/// The files that may hold the count, from `/proc/PID/cgroup` (cgroups(7)) and `/proc/PID/mountinfo`
/// (`proc_pid_mountinfo(5)`).
pub(crate) fn counters(groups: &str, mounts: &str) -> Vec<PathBuf> {
    let in_group = |controller: &str, filesystem: &str, file: &str| {
        let group = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let named = fields.next()?.split(',').any(|name| name == controller);
            fields.next().filter(|_| named)
        })?;
        let (root, point) = mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut after = after.split(' ');
            let is_it = after.next()? == filesystem
                && (controller.is_empty() || after.nth(1)?.split(',').any(|option| option == controller));
            let mut fields = before.split(' ').skip(3);
            is_it.then_some((fields.next()?, fields.next()?))
        })?;
        // A container's mount begins at its own group, and the path may still be the whole one.
        let below = group.strip_prefix(root).filter(|_| root != "/").unwrap_or(group);
        Some(PathBuf::from(format!("{point}/{}", below.trim_start_matches('/'))).join(file))
    };
    let unified = in_group("", "cgroup2", "memory.events");
    let own = in_group("memory", "cgroup", "memory.oom_control");
    unified.into_iter().chain(own).collect()
}

pub(crate) fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_counters_of_each_layout_are_found() {
        let hybrid = "9:name=systemd:/x\n4:cpu,memory:/work/a\n0::/u\n";
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,cpu,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(
            counters(hybrid, mounts),
            paths(&["/sys/fs/cgroup/unified/u/memory.events", "/sys/fs/cgroup/memory/work/a/memory.oom_control"])
        );
        let unified = "0::/user.slice/a.scope\n";
        let mount = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(counters(unified, mount), paths(&["/sys/fs/cgroup/user.slice/a.scope/memory.events"]));
        let container = "30 23 0:26 /docker/7 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        assert_eq!(counters("0::/docker/7/b\n", container), paths(&["/sys/fs/cgroup/b/memory.events"]));
        assert!(counters("", mounts).is_empty() && counters(hybrid, "").is_empty());
    }

    #[test]
    fn the_count_is_read_from_both_forms() {
        assert_eq!(count("low 0\noom 2\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(groups in "[0-9:a-z,/\n]{0,80}", mounts in "[a-z0-9 /:,\n-]{0,160}") {
            let _any = counters(&groups, &mounts);
            let _count = count(&mounts);
        }
    }
}
