//! All processes at one moment, for questions about many runs: what each one's have used so far.
//!
//! Refuses to prove anything: who left the run's group and session with a parent that has gone is not counted, and
//! nobody may be signalled for standing in it.

use super::evidence::cpu_time;
use super::platform::process as machine;
use super::process::{Entry, Lookup};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// One look at every process.
#[derive(Debug)]
pub(crate) struct Census {
    all: HashMap<i32, Entry>,
    children: HashMap<i32, Vec<i32>>,
    groups: HashMap<i32, Vec<i32>>,
}

impl Census {
    /// Looks.
    pub(crate) fn take() -> Self {
        let there = machine::pids().into_iter().filter_map(|pid| match machine::look(pid) {
            Lookup::There(entry) => Some((pid, entry)),
            Lookup::Gone | Lookup::Hidden => None,
        });
        Self::of(there.collect())
    }

    fn of(all: HashMap<i32, Entry>) -> Self {
        let (mut children, mut groups) = (HashMap::<i32, Vec<i32>>::new(), HashMap::<i32, Vec<i32>>::new());
        for entry in all.values().filter(|entry| !entry.kernel_thread) {
            children.entry(entry.parent).or_default().push(entry.pid);
            groups.entry(entry.group).or_default().push(entry.pid);
            if entry.session != entry.group {
                groups.entry(entry.session).or_default().push(entry.pid);
            }
        }
        Self { all, children, groups }
    }

    /// How much CPU time a wrapper, COMMAND's group and session, and all who descend from these have used together;
    /// nothing where the wrapper is not there.
    pub(crate) fn cpu_time(&self, wrapper: i32, group: Option<i32>) -> Option<Duration> {
        let members = self.members(wrapper, group)?;
        Some(cpu_time(&members.into_values().collect::<Vec<Entry>>()))
    }

    fn members(&self, wrapper: i32, group: Option<i32>) -> Option<BTreeMap<i32, Entry>> {
        let root = self.all.get(&wrapper)?;
        // Without a group of the run's own, the wrapper's where it leads one.
        let group = group.or((root.group == root.pid).then_some(root.group));
        let mut open = vec![wrapper];
        open.extend(group.and_then(|group| self.groups.get(&group)).into_iter().flatten());
        let mut members = BTreeMap::new();
        while let Some(pid) = open.pop() {
            let Some(entry) = self.all.get(&pid).filter(|entry| entry.started >= root.started) else { continue };
            if members.insert(pid, *entry).is_none() {
                open.extend(self.children.get(&pid).into_iter().flatten());
            }
        }
        Some(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process::myself;

    fn entry(pid: i32, parent: i32, group: i32, session: i32, started: u64) -> (i32, Entry) {
        (pid, Entry { pid, parent, group, session, started, kernel_thread: false, stopped: false })
    }

    #[test]
    fn a_runs_members_are_its_wrapper_its_group_and_session_and_their_descendants() {
        let census = Census::of(HashMap::from([
            entry(2, 1, 2, 2, 1),
            entry(10, 2, 2, 2, 5),
            entry(20, 10, 20, 20, 6),
            // An orphan in the group, one in the session, and a child of that in a session of its own.
            entry(21, 1, 20, 20, 7),
            entry(22, 1, 22, 20, 7),
            entry(23, 22, 23, 23, 8),
            // Somebody else's, and one who is older than the run.
            entry(30, 2, 2, 2, 9),
            entry(19, 10, 20, 20, 4),
        ]));
        let of = |wrapper, group| census.members(wrapper, group).map(|members| members.into_keys().collect::<Vec<_>>());
        assert_eq!(of(10, Some(20)), Some(vec![10, 20, 21, 22, 23]));
        assert_eq!(of(10, None), Some(vec![10, 20]));
        assert_eq!(of(20, None), Some(vec![20, 21, 22, 23]));
        assert_eq!(of(99, Some(20)), None);
    }

    #[test]
    fn this_process_has_used_some() {
        while Census::take().cpu_time(myself(), None) == Some(Duration::ZERO) {}
        assert!(Census::take().cpu_time(myself(), None).is_some());
    }
}
