//! Ending a whole process tree, safely: who belongs to it, who may be signalled, and that it is gone.
//!
//! Refuses to signal pid 1 and below, this process, its ancestors, threads of the kernel, processes of other users, and
//! whoever has a recycled number; each refusal has its sentence. Refuses to report a tree gone that it has not seen gone.

use super::clock;
use super::environment;
use super::platform::process::{self as machine, Handle};
use super::process::{Entry, Lookup, my_ancestors, myself};
use crate::protocol::time::{Moment, Wall};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long KILL may take to empty a tree. Only a process stuck in the kernel (state D) needs longer.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// How often the tree is listed anew while it ends, for what it forks meanwhile.
const RELIST: Duration = Duration::from_millis(20);
/// How many times the tree is listed while TERM is sent, until nothing new is in it: a fork bomb never settles.
const ROUNDS: usize = 20;
/// How much later than the `.pid` file a process may seem to have started and still be the one it names.
const RECYCLED_SLACK: Duration = Duration::from_secs(2);

/// What is to be ended.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The wrapper's pid, as `.pid` claims it; nothing where only what a dead one left is to be ended.
    pub(crate) pid: Option<i32>,
    /// The wrapper's raw start time, where the run recorded it.
    pub(crate) started: Option<u64>,
    /// When `.pid` was written: a process that started later is not the one it names.
    pub(crate) claimed_at: Wall,
    /// Who owns `.pid`: nobody else's process is signalled.
    pub(crate) owner: u32,
    /// The process group and session that `run` made for COMMAND.
    pub(crate) group: Option<i32>,
    /// The variable (`NAME=value`) that every process of the run was given.
    pub(crate) mark: Option<String>,
    /// Whether this process's own descendants belong to the run: it is the wrapper.
    pub(crate) own_descendants: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Whether anything was signalled and all of it is gone.
    pub(crate) killed: bool,
    /// Processes of the run that are still there.
    pub(crate) survivors: Vec<i32>,
    /// Why the claimed process was not signalled.
    pub(crate) refusal: Option<String>,
}

/// Ends the tree: TERM, the wrapper last; KILL after `grace`; verified gone.
pub(crate) fn terminate(target: &Target, grace: Duration) -> Report {
    match Hunt::begin(target.clone()) {
        Ok(hunt) => hunt.end(grace),
        Err(refusal) => Report { refusal: Some(refusal), ..Report::default() },
    }
}

/// Those who are never signalled, whatever a file claims.
struct Protected {
    pids: BTreeSet<i32>,
    groups: BTreeSet<i32>,
    sessions: BTreeSet<i32>,
}

impl Protected {
    fn now() -> Self {
        let mut entries = my_ancestors();
        if let Lookup::There(me) = machine::look(myself()) {
            entries.push(me);
        }
        let mut pids: BTreeSet<i32> = entries.iter().map(|entry| entry.pid).collect();
        pids.insert(myself());
        Self {
            pids,
            // A group or session that holds this process or an ancestor is the caller's own, not the run's.
            groups: entries.iter().map(|entry| entry.group).collect(),
            sessions: entries.iter().map(|entry| entry.session).collect(),
        }
    }
}

/// Checks the claim in `.pid`. No process at all is no refusal: what it left may still be there.
fn claim(target: &Target, protected: &Protected) -> Result<Option<Entry>, String> {
    let Some(pid) = target.pid else { return Ok(None) };
    if pid <= 1 {
        return Err(format!("process {pid} is never signalled: it is no run's own process"));
    }
    if pid == myself() {
        return Err(format!("process {pid} is this one and was not signalled"));
    }
    if protected.pids.contains(&pid) {
        return Err(format!("process {pid} is an ancestor of this one and was not signalled"));
    }
    let entry = match machine::look(pid) {
        Lookup::There(entry) => entry,
        Lookup::Gone => return Ok(None),
        Lookup::Hidden => return Err(format!("process {pid} cannot be seen from here and was not signalled")),
    };
    if entry.kernel_thread {
        return Err(format!("process {pid} is a thread of the kernel and was not signalled"));
    }
    let same = match target.started {
        Some(started) => started == entry.started,
        None => !started_after(&entry, target.claimed_at),
    };
    if !same {
        // The run is dead and the number is somebody else's now: they are left alone, and it is no refusal either.
        return Ok(None);
    }
    match machine::user(pid) {
        Some(user) if user == target.owner => {}
        Some(user) => {
            return Err(format!(
                "process {pid} belongs to user {user}, not to user {} who wrote the pid file, and was not signalled",
                target.owner
            ));
        }
        None => return Err(format!("the owner of process {pid} cannot be seen, and it was not signalled")),
    }
    if !environment::is_root() && target.owner != environment::user() {
        return Err(format!("process {pid} belongs to user {}, not to you, and was not signalled", target.owner));
    }
    Ok(Some(entry))
}

fn started_after(entry: &Entry, claimed_at: Wall) -> bool {
    let started = machine::started_wall(entry.started, clock::wall(), super::platform::machine::with_sleep());
    started > claimed_at.plus(RECYCLED_SLACK)
}

/// A tree whose claim was checked: it can be listed, and then ended as it was listed.
pub(crate) struct Hunt {
    target: Target,
    protected: Protected,
    root: Option<Entry>,
    /// Everybody who was ever found to belong to the run, with a hold on each where it was still there.
    known: BTreeMap<i32, (u64, Option<Handle>)>,
    signalled: bool,
}

impl Hunt {
    /// Checks the claim; nobody is signalled yet.
    ///
    /// # Errors
    /// A sentence that says why the claimed process must not be signalled.
    pub(crate) fn begin(target: Target) -> Result<Self, String> {
        let protected = Protected::now();
        let root = claim(&target, &protected)?;
        Ok(Self { target, protected, root, known: BTreeMap::new(), signalled: false })
    }

    /// Ends it.
    pub(crate) fn end(mut self, grace: Duration) -> Report {
        self.ask();
        let asked = clock::now();
        self.wait(asked.plus(grace), Signal::SIGTERM);
        if !self.members().is_empty() {
            self.kill();
            self.wait(clock::now().plus(KILL_LIMIT), Signal::SIGKILL);
        }
        let survivors: Vec<i32> = self.members().into_keys().collect();
        Report { killed: self.signalled && survivors.is_empty(), survivors, refusal: None }
    }

    /// Who would be ended now, and this process where it is the wrapper; the oldest come first, so a parent before its
    /// children. After them all their zombies, which nothing can end: a parent that never looks may have thousands.
    pub(crate) fn list(&mut self) -> Vec<Entry> {
        let mut members = self.members();
        if self.target.own_descendants
            && let Lookup::There(me) = machine::look(myself())
        {
            members.insert(me.pid, me);
        }
        let mut zombies = machine::zombies();
        zombies.retain(|zombie| members.contains_key(&zombie.parent));
        let mut listed: Vec<Entry> = members.into_values().collect();
        for part in [&mut listed, &mut zombies] {
            part.sort_by_key(|entry| (entry.started, entry.pid));
        }
        listed.append(&mut zombies);
        listed
    }

    /// The living processes of the run, as one fresh listing shows them.
    fn members(&mut self) -> BTreeMap<i32, Entry> {
        let all: BTreeMap<i32, Entry> = machine::all().into_iter().map(|entry| (entry.pid, entry)).collect();
        let group = self.trusted_group(&all);
        let mut members: BTreeMap<i32, Entry> = BTreeMap::new();
        for entry in all.values() {
            let is_root = self.root.is_some_and(|root| root.pid == entry.pid && root.started == entry.started);
            let is_known = self.known.get(&entry.pid).is_some_and(|(started, _)| *started == entry.started);
            let in_group = group.is_some_and(|group| entry.group == group || entry.session == group);
            let is_own_child = self.target.own_descendants && entry.parent == myself();
            if is_root || is_known || is_own_child || (in_group && self.may_signal(entry, false)) {
                members.insert(entry.pid, *entry);
            }
        }
        // Without a wrapper that still holds them together, the mark finds those who left group and session.
        if let Some(mark) = &self.target.mark {
            let marked = all.values().filter(|entry| !members.contains_key(&entry.pid));
            let found: Vec<Entry> = marked
                .filter(|entry| self.may_signal(entry, false) && machine::environment_holds(entry.pid, mark))
                .copied()
                .collect();
            members.extend(found.into_iter().map(|entry| (entry.pid, entry)));
        }
        add_descendants(&all, &mut members);
        members.retain(|_, entry| {
            let is_root = self.root.is_some_and(|root| root.pid == entry.pid);
            is_root || self.may_signal(entry, true)
        });
        for entry in members.values() {
            let (started, handle) = self.known.entry(entry.pid).or_insert((entry.started, None));
            if *started != entry.started {
                (*started, *handle) = (entry.started, None);
            }
        }
        members
    }

    /// The group and session to take whole: led by the wrapper itself, or made by `run` for COMMAND.
    fn trusted_group(&self, all: &BTreeMap<i32, Entry>) -> Option<i32> {
        let led = self.root.filter(|root| root.group == root.pid).map(|root| root.pid);
        let made = self.target.group.filter(|&group| {
            // While a group has members its number is given to no new process, so a leader that is older than the pid
            // file, or a member with the run's mark, proves that it is still the run's.
            let leader = all.get(&group);
            let old_leader = leader.is_some_and(|leader| !started_after(leader, self.target.claimed_at));
            old_leader
                || self.target.own_descendants
                || (leader.is_none() && self.root.is_some())
                || self.target.mark.as_ref().is_some_and(|mark| {
                    let mut members = all.values().filter(|entry| entry.group == group || entry.session == group);
                    members.any(|entry| machine::environment_holds(entry.pid, mark))
                })
        });
        made.or(led).filter(|group| {
            *group > 1 && !self.protected.groups.contains(group) && !self.protected.sessions.contains(group)
        })
    }

    /// Whether a process that seems to belong to the run may be signalled.
    fn may_signal(&self, entry: &Entry, is_descendant: bool) -> bool {
        if entry.pid <= 1 || entry.kernel_thread || self.protected.pids.contains(&entry.pid) {
            return false;
        }
        // None of the run's processes is older than the run.
        if machine::STARTS_ARE_ORDERED && self.root.is_some_and(|root| entry.started < root.started) {
            return false;
        }
        match machine::user(entry.pid) {
            Some(user) if user == self.target.owner => true,
            // What root's own run started under another name is still root's run.
            Some(_) => is_descendant && self.target.owner == 0 && environment::is_root(),
            None => false,
        }
    }

    /// TERM to everybody but the wrapper, until a listing shows nobody new; then to the wrapper.
    ///
    /// The wrapper is stopped meanwhile: a shell whose child was ended first would go on with its next line, and were
    /// that the one that writes SUCCESS, the run would have succeeded by being killed. It goes on with TERM pending, so
    /// it handles that first. Parents come before children for the same reason.
    fn ask(&mut self) {
        if let Some(root) = self.root {
            self.send(&root, Signal::SIGSTOP);
        }
        let mut asked = BTreeSet::new();
        for _ in 0..ROUNDS {
            let members = self.members();
            let mut new: Vec<Entry> = members
                .into_values()
                .filter(|entry| self.root.is_none_or(|root| root.pid != entry.pid))
                .filter(|entry| asked.insert((entry.pid, entry.started)))
                .collect();
            if new.is_empty() {
                break;
            }
            new.sort_by_key(|entry| (entry.started, entry.pid));
            for entry in new {
                self.send(&entry, Signal::SIGTERM);
            }
        }
        if let Some(root) = self.root {
            self.send(&root, Signal::SIGTERM);
        }
    }

    fn kill(&mut self) {
        for entry in self.members().into_values().collect::<Vec<_>>() {
            self.send(&entry, Signal::SIGKILL);
        }
    }

    fn send(&mut self, entry: &Entry, signal: Signal) {
        let (started, handle) = self.known.entry(entry.pid).or_insert((entry.started, None));
        if handle.is_none() {
            *handle = Handle::open(entry.pid, *started);
        }
        let Some(handle) = handle else { return };
        // Whoever cannot be signalled from here shows up among the survivors.
        let Ok(sent) = handle.signal(signal) else { return };
        self.signalled |= sent;
        if signal == Signal::SIGTERM {
            // A stopped process handles TERM only once it goes on. Gone at once is no fault either.
            let _gone = handle.signal(Signal::SIGCONT);
        }
    }

    /// Waits until a listing is empty or `deadline`; whoever is new meanwhile gets the signal too.
    fn wait(&mut self, deadline: Moment, signal: Signal) {
        let mut told: BTreeSet<(i32, u64)> = self.known.iter().map(|(&pid, &(started, _))| (pid, started)).collect();
        loop {
            let members = self.members();
            let now = clock::now();
            if members.is_empty() || now >= deadline {
                return;
            }
            for entry in members.values() {
                if told.insert((entry.pid, entry.started)) || signal == Signal::SIGKILL {
                    self.send(entry, signal);
                }
            }
            let handles: Vec<&Handle> = members
                .keys()
                .filter_map(|pid| self.known.get(pid)?.1.as_ref())
                .filter(|handle| !handle.has_ended())
                .collect();
            machine::wait_for_any(&handles, RELIST.min(deadline.since(now)));
        }
    }
}

fn add_descendants(all: &BTreeMap<i32, Entry>, members: &mut BTreeMap<i32, Entry>) {
    loop {
        let children: Vec<Entry> = all
            .values()
            .filter(|entry| !members.contains_key(&entry.pid))
            .filter(|entry| {
                members
                    .get(&entry.parent)
                    .is_some_and(|parent| !machine::STARTS_ARE_ORDERED || parent.started <= entry.started)
            })
            .copied()
            .collect();
        if children.is_empty() {
            return;
        }
        members.extend(children.into_iter().map(|entry| (entry.pid, entry)));
    }
}

#[cfg(test)]
mod tests;
