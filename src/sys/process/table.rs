//! All processes at one moment, for questions about many runs: what each one's have used so far.
//!
//! The table is a hint, not proof: a process that left the run's group and session and whose parent has exited is
//! missing. No process is signalled because it is in the table.

use crate::sys::platform::process as machine;
use crate::sys::process::ProcessInfo;
use crate::sys::process::info::trees;
use std::collections::{BTreeMap, HashSet};
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
    all: BTreeMap<i32, ProcessInfo>,
    /// The CPU time that each has used.
    used: BTreeMap<i32, Duration>,
}

impl ProcessTable {
    /// Looks.
    fn take() -> Self {
        Self::of(machine::pids().into_iter().filter_map(machine::usage))
    }

    fn of(processes: impl Iterator<Item = (ProcessInfo, Duration)>) -> Self {
        let (all, used) = processes.map(|(entry, used)| ((entry.pid, entry), (entry.pid, used))).unzip();
        Self { all, used }
    }

    /// How much CPU time a wrapper, COMMAND's group and session, and all who descend from these have used together;
    /// `None` if the wrapper is not there.
    pub(crate) fn cpu_time(&self, wrapper: i32, group: Option<i32>) -> Option<Duration> {
        Some(self.members(wrapper, group)?.keys().filter_map(|pid| self.used.get(pid)).sum())
    }

    fn members(&self, wrapper: i32, group: Option<i32>) -> Option<BTreeMap<i32, ProcessInfo>> {
        let root = self.all.get(&wrapper)?;
        // Without a group of the run's own, the wrapper's where it leads one.
        let group = group.or((root.group == root.pid).then_some(root.group));
        let may_be = |entry: &ProcessInfo| entry.started >= root.started && !entry.kernel_thread;
        Some(trees(&self.all, |entry| may_be(entry) && (entry.pid == wrapper || entry.is_in(group)), may_be))
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
