//! Which processes belong to a run: the one place that answers it for evidence, for sums and for signals.
//!
//! A process belongs to a run by descent from its wrapper or COMMAND, by COMMAND's group or session once that is proven, or
//! by the variable that every process of the run was given. None of them is older than COMMAND. One scan proves nothing
//! while processes come and go: a process may exit between being listed and being read, and what it forked in between is
//! in no list yet. A group's number proves nothing by itself: it may have come to mean another group.

use crate::sys::platform::process as machine;
use crate::sys::process::info::{current_pid, my_lineage, trees};
use crate::sys::process::tree::{KillTarget, Wrapper, claim, granularity, started_after};
use crate::sys::process::{Environment, Lookup, ProcessInfo};
use crate::sys::{clock, env};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many empty scans in a row are believed where no process was created meanwhile, and where some were.
const QUIET_SCANS: usize = 2;
const BUSY_SCANS: usize = 10;
/// How long an exec is waited out, and how often it is looked at: a process that waits for a processor in the middle of
/// one, on a machine that has none to spare, takes so long.
const EXEC_LIMIT: Duration = Duration::from_millis(500);
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// A living process of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunProcess {
    pub(super) entry: ProcessInfo,
    /// Whether it may be signalled: not where it has become another user's.
    pub(super) may_signal: bool,
}

pub(super) type Members = BTreeMap<i32, RunProcess>;

/// Why a scan may have missed a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Uncertain {
    /// Processes were created while it was made.
    Forking,
    /// A process stands in the middle of an exec and shows nothing of itself, or the table could not be read.
    Unreadable,
}

/// The tree of a run whose claimed process was checked, with what its scans have shown so far: it can be listed, and then
/// ended.
pub(crate) struct TreeKiller {
    target: KillTarget,
    /// This process and its ancestors, which are never signalled, whatever a file claims.
    protected: Vec<ProcessInfo>,
    /// The claimed process, where it lives.
    pub(crate) root: Option<ProcessInfo>,
    /// The claimed process, and every other that was ever found to belong to the run, with its start time.
    known: BTreeMap<i32, u64>,
    /// Which listed processes had exited before they were read, in the last scan.
    exited: BTreeSet<i32>,
    /// Why that scan may have missed a process.
    uncertain: Option<Uncertain>,
    /// Processes that were seen to be none of the run's: no exec makes one of them.
    strangers: BTreeSet<(i32, u64)>,
    /// Members that the kernel does not let this process signal.
    refused: BTreeSet<(i32, u64)>,
    /// Whether anything was signalled.
    pub(super) signalled: bool,
    /// Whether the group that `run` made was seen to be still the run's.
    group_is_proven: bool,
}

impl TreeKiller {
    /// Checks the claim; nothing is signalled yet.
    ///
    /// # Errors
    /// A sentence that says why the claimed process must not be signalled.
    pub(crate) fn open(target: KillTarget) -> Result<Self, String> {
        let protected = my_lineage();
        let root = claim(&target, &protected)?;
        Ok(Self {
            target,
            protected,
            root,
            known: root.iter().map(|root| (root.pid, root.started)).collect(),
            exited: BTreeSet::new(),
            uncertain: None,
            strangers: BTreeSet::new(),
            refused: BTreeSet::new(),
            signalled: false,
            group_is_proven: false,
        })
    }

    /// Whether this process is the run's wrapper.
    pub(super) fn is_own(&self) -> bool {
        self.target.wrapper != Wrapper::Other
    }

    /// Sends a signal to a member, unless it has ended.
    pub(super) fn send(&mut self, entry: &ProcessInfo, signal: Signal) {
        match machine::signal(entry.pid, entry.started, signal) {
            Ok(sent) => self.signalled |= sent,
            // It is among the survivors, unless it exits by itself.
            Err(_) => {
                self.refused.insert((entry.pid, entry.started));
            }
        }
    }

    /// The living members, once that can be told: an empty scan is repeated until it proves something.
    pub(super) fn settled(&mut self) -> Members {
        let began = clock::now();
        let (mut quiet, mut busy) = (0, 0);
        loop {
            let members = self.scan(&mut |_, _| {});
            if !members.is_empty() {
                return members;
            }
            let now = clock::now();
            match self.uncertain {
                None => quiet += 1,
                Some(Uncertain::Forking) => (quiet, busy) = (0, busy + 1),
                Some(Uncertain::Unreadable) if now < began.plus(EXEC_LIMIT) => {
                    quiet = 0;
                    clock::sleep_until(now.plus(EXEC_PAUSE));
                }
                Some(Uncertain::Unreadable) => return members,
            }
            if quiet >= QUIET_SCANS || busy >= BUSY_SCANS {
                return members;
            }
        }
    }

    /// The living members, by one reading of the process table. `on_sight` gets each process that shows by itself that it is a member as soon as it is
    /// seen: a link of a chain that forks and exits lives for a millisecond.
    pub(super) fn scan(&mut self, on_sight: &mut dyn FnMut(&mut Self, &ProcessInfo)) -> Members {
        let group = self.trusted_group();
        let newest = machine::newest_pid();
        let (mut all, mut own, mut exited) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let pids = machine::pids();
        let mut unreadable = !pids.contains(&current_pid());
        // The youngest first: they are the ones that may exit before they are read. A chain of forks whose numbers had begun
        // anew outlived KILL by a second where the greatest number came first.
        for pid in pids.into_iter().rev() {
            let Lookup::Found(entry) = machine::look(pid) else {
                exited.insert(pid);
                continue;
            };
            all.insert(pid, entry);
            match self.belongs_at_sight(&entry, group) {
                Some(true) => {
                    own.insert(pid);
                    on_sight(self, &entry);
                }
                Some(false) => {}
                None if matches!(machine::look(pid), Lookup::Found(_)) => unreadable = true,
                None => {
                    exited.insert(pid);
                }
            }
        }
        let members: Members = trees(&all, |entry| own.contains(&entry.pid), |child| self.inherits(child))
            .into_values()
            .map(|entry| (entry.pid, RunProcess { entry, may_signal: self.may_signal(&entry) }))
            .collect();
        self.known.extend(members.values().map(|member| (member.entry.pid, member.entry.started)));
        // Every process between a listed member and one that is missed was created meanwhile. Where the kernel does not tell
        // which number was given last, an exit of a process that the last scan did not see exit has to do.
        let forking = match (newest, machine::newest_pid()) {
            (Some(before), Some(after)) => before != after,
            _ => !exited.is_subset(&self.exited),
        };
        self.exited = exited;
        self.uncertain = if unreadable { Some(Uncertain::Unreadable) } else { forking.then_some(Uncertain::Forking) };
        members
    }

    /// Whether one process by itself shows that it is the run's; `None` if that cannot be told now.
    fn belongs_at_sight(&mut self, entry: &ProcessInfo, group: Option<i32>) -> Option<bool> {
        if self.known.get(&entry.pid) == Some(&entry.started) {
            return Some(true);
        }
        if self.is_excluded(entry) {
            return Some(false);
        }
        let adopts = self.target.wrapper == Wrapper::Adopting;
        let is_child = entry.parent == current_pid();
        if adopts && is_child && !self.target.has_older_children {
            return Some(true);
        }
        // Where orphans are adopted the group's own are children of the wrapper, or descend from one.
        let in_group = entry.is_in(group) && (is_child || !adopts);
        if in_group && self.group_is_proven {
            return Some(true);
        }
        // The variable finds those that left group and session and have no parent left that is the run's.
        let Some(mark) = &self.target.mark else { return Some(false) };
        if self.strangers.contains(&(entry.pid, entry.started)) {
            return Some(false);
        }
        // Any user can give that variable to a process of their own.
        let marked = if machine::user(entry.pid)? == self.target.owner {
            machine::environment_holds(entry.pid, mark)
        } else {
            Environment::Lacks
        };
        match marked {
            Environment::Holds => self.group_is_proven |= in_group,
            Environment::Lacks => {
                self.strangers.insert((entry.pid, entry.started));
            }
            Environment::Hidden => {}
            Environment::Changing => return None,
        }
        Some(marked == Environment::Holds)
    }

    /// Whether a process cannot be the run's, whatever its parent and group are.
    fn is_excluded(&self, entry: &ProcessInfo) -> bool {
        // COMMAND is the oldest of them but for the wrapper. Where that is not known, the claimed process is.
        let oldest = self.target.group_started.or(self.root.map(|root| root.started));
        entry.pid <= 1
            || entry.kernel_thread
            || entry.pid == current_pid()
            || self.protected.iter().any(|one| one.pid == entry.pid)
            || machine::STARTS_ARE_ORDERED && oldest.is_some_and(|oldest| entry.started < oldest)
    }

    /// Whether a child of a member is one too. A wrapper that had children before COMMAND, by an exec in their shell, may have
    /// adopted their orphans too: of its children only those count that show by themselves that they are the run's.
    fn inherits(&self, child: &ProcessInfo) -> bool {
        let is_wrappers = self.root.is_some_and(|root| root.pid == child.parent);
        !(self.is_excluded(child) || self.target.has_older_children && is_wrappers)
    }

    /// The group and session to take whole: led by the claimed process itself, or made by `run` for COMMAND.
    fn trusted_group(&mut self) -> Option<i32> {
        let led = self.root.filter(|root| root.group == root.pid).map(|root| (root.pid, Some(root.started)));
        let made = self.target.group.map(|group| (group, self.target.group_started));
        let (group, leader_started) = made.or(led)?;
        // A group or session that holds this process or an ancestor is the caller's own, not the run's.
        if group <= 1 || self.protected.iter().any(|one| one.is_in(Some(group))) {
            return None;
        }
        match machine::look(group) {
            // The number leads another group now.
            Lookup::Found(leader) if leader_started.is_some_and(|started| started != leader.started) => return None,
            Lookup::Found(_) if leader_started.is_some() => self.group_is_proven = true,
            // While a group has members its number is given to no new process, so one member with the run's variable proves
            // that it is still the run's; where the run has no variable, a leader no younger than the pid file does.
            Lookup::Found(leader) if self.target.mark.is_none() => {
                self.group_is_proven |=
                    !started_after(&leader, self.target.claimed_at, granularity(self.target.claimed_at));
            }
            // The wrapper lives and has made it; no other process was given its number since.
            Lookup::NotFound if self.is_own() => self.group_is_proven = true,
            Lookup::Found(_) | Lookup::NotFound | Lookup::Hidden => {}
        }
        Some(group)
    }

    /// Whether a member may be signalled.
    fn may_signal(&self, entry: &ProcessInfo) -> bool {
        if self.refused.contains(&(entry.pid, entry.started)) {
            return false;
        }
        // What root's own run started under another name is still root's run. One that is just exiting has no user any more.
        let is_owners = machine::user(entry.pid).is_none_or(|user| user == self.target.owner);
        is_owners || self.target.owner == 0 && env::is_root()
    }
}
