//! All processes at one moment, for questions about many runs: what each one's have used so far.
//!
//! The table is a hint, not proof: a process that left the run's group and session and whose parent has exited is
//! missing. No process is signalled because it is in the table.

use crate::sys::platform::process as machine;
use crate::sys::process::ProcessInfo;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;
use std::time::Duration;

/// All processes; each table is read once, when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct LazyProcessTable {
    table: OnceLock<ProcessTable>,
    elsewhere: OnceLock<HashSet<i32>>,
}

impl LazyProcessTable {
    /// Who there is.
    pub(crate) fn table(&self) -> &ProcessTable {
        self.table.get_or_init(ProcessTable::take)
    }

    /// Whether a process has this pid in an inner PID namespace.
    pub(crate) fn bears_elsewhere(&self, pid: i32) -> bool {
        self.elsewhere.get_or_init(machine::borne_elsewhere).contains(&pid)
    }
}

/// One look at every process.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    /// Each with the CPU time that it has used.
    all: HashMap<i32, (ProcessInfo, Duration)>,
    /// By parent, and by group and session: of thousands of runs none walks over all processes.
    children: HashMap<i32, Vec<i32>>,
    groups: HashMap<i32, Vec<i32>>,
}

impl ProcessTable {
    /// Looks.
    fn take() -> Self {
        Self::of(machine::pids().into_iter().filter_map(machine::usage))
    }

    fn of(processes: impl Iterator<Item = (ProcessInfo, Duration)>) -> Self {
        let all: HashMap<i32, (ProcessInfo, Duration)> = processes.map(|process| (process.0.pid, process)).collect();
        let (mut children, mut groups) = (HashMap::<i32, Vec<i32>>::new(), HashMap::<i32, Vec<i32>>::new());
        for (entry, _) in all.values().filter(|(entry, _)| !entry.kernel_thread) {
            children.entry(entry.parent).or_default().push(entry.pid);
            groups.entry(entry.group).or_default().push(entry.pid);
            if entry.session != entry.group {
                groups.entry(entry.session).or_default().push(entry.pid);
            }
        }
        Self { all, children, groups }
    }

    /// How much CPU time a wrapper, COMMAND's group and session, and all who descend from these have used together;
    /// `None` if the wrapper is not there.
    pub(crate) fn cpu_time(&self, wrapper: i32, group: Option<i32>) -> Option<Duration> {
        Some(self.members(wrapper, group)?.into_values().fold(Duration::ZERO, Duration::saturating_add))
    }

    /// Them, each with its CPU time.
    fn members(&self, wrapper: i32, group: Option<i32>) -> Option<BTreeMap<i32, Duration>> {
        let (root, _) = self.all.get(&wrapper)?;
        // Without a group of the run's own, the wrapper's where it leads one.
        let group = group.or((root.group == root.pid).then_some(root.group));
        let mut open = vec![wrapper];
        open.extend(group.and_then(|group| self.groups.get(&group)).into_iter().flatten());
        let mut members = BTreeMap::new();
        while let Some(pid) = open.pop() {
            let Some((_, used)) = self.all.get(&pid).filter(|(entry, _)| entry.started >= root.started) else {
                continue;
            };
            if members.insert(pid, *used).is_none() {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        Some(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::info::current_pid;

    fn entry(pid: i32, parent: i32, group: i32, session: i32, started: u64) -> (ProcessInfo, Duration) {
        let entry = ProcessInfo { pid, parent, group, session, started, kernel_thread: false, stopped: false };
        (entry, Duration::from_secs(started))
    }

    #[test]
    fn a_runs_members_are_its_wrapper_its_group_and_session_and_their_descendants() {
        let table = ProcessTable::of(
            [
                entry(2, 1, 2, 2, 1),
                entry(10, 2, 2, 2, 5),
                entry(20, 10, 20, 20, 6),
                // An orphan in the group, one in the session, and a child of that in a session of its own.
                entry(21, 1, 20, 20, 7),
                entry(22, 1, 22, 20, 7),
                entry(23, 22, 23, 23, 8),
                // Of another user, or older than the run.
                entry(30, 2, 2, 2, 9),
                entry(19, 10, 20, 20, 4),
            ]
            .into_iter(),
        );
        let of = |wrapper, group| table.members(wrapper, group).map(|members| members.into_keys().collect::<Vec<_>>());
        assert_eq!(of(10, Some(20)), Some(vec![10, 20, 21, 22, 23]));
        assert_eq!(of(10, None), Some(vec![10, 20]));
        assert_eq!(of(20, None), Some(vec![20, 21, 22, 23]));
        assert_eq!(of(99, Some(20)), None);
        assert_eq!(table.cpu_time(10, None), Some(Duration::from_secs(5 + 6)));
    }

    #[test]
    fn this_process_has_used_some() {
        while ProcessTable::take().cpu_time(current_pid(), None) == Some(Duration::ZERO) {}
        assert!(ProcessTable::take().cpu_time(current_pid(), None).is_some());
    }
}
