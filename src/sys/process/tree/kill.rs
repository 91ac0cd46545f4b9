//! The hunt for a tree: list it, signal it, list it again, until a listing shows that nobody is left.
//!
//! Refuses to conclude from one listing while processes come and go: a process may end between being listed and being
//! looked at, and what it had forked in between stands in no listing yet. Refuses a group's number as a proof: it may
//! have come to mean another group.

use crate::record::time::MonotonicTime;
use crate::sys::platform::process as machine;
use crate::sys::platform::process::Handle;
use crate::sys::process::info::{Entry, Environment, Lookup, add_descendants, current_pid};
use crate::sys::process::tree::{KillTarget, Protected, Report, claim, granularity, started_after};
use crate::sys::{clock, env};
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long KILL may take to empty a tree. Only a process stuck in the kernel (state D) needs longer.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// How often the tree is listed anew while it ends, for what it forks meanwhile.
const RELIST: Duration = Duration::from_millis(20);
/// How many times the tree is listed while TERM is sent, until nothing new is in it: a chain of forks never settles.
const ROUNDS: usize = 20;
/// How long it may take until all of a tree stand still: one that waits for a disk does not stop.
const FREEZE_LIMIT: Duration = Duration::from_millis(200);
/// How often they are looked at meanwhile.
const FREEZE_PAUSE: Duration = Duration::from_millis(1);
/// How many empty listings in a row are believed where processes keep ending on the machine.
const BELIEVED: usize = 10;
/// How long an exec is waited out, and how often it is looked at: a process that waits for a processor in the middle of
/// one, on a machine that has none to spare, takes so long.
const EXEC_LIMIT: Duration = Duration::from_millis(500);
const EXEC_PAUSE: Duration = Duration::from_millis(1);

/// A tree whose claim was checked: it can be listed, and then ended as it was listed.
pub(crate) struct TreeKiller {
    target: KillTarget,
    protected: Protected,
    root: Option<Entry>,
    /// Everybody who was ever found to belong to the run, with a hold on each where it was still there.
    known: BTreeMap<i32, (u64, Option<Handle>)>,
    /// Who was listed and had ended by the time it was looked at, at the last listing.
    ended: BTreeSet<i32>,
    /// Who was seen to be none of the run's: no exec makes one of it.
    strangers: BTreeSet<(i32, u64)>,
    /// Whether the group that `run` made was seen to be still the run's.
    group_is_proven: bool,
    /// Whether anybody was signalled.
    signalled: bool,
}

/// One look at all processes.
struct Listing {
    /// Those of the run that live.
    members: BTreeMap<i32, Entry>,
    /// Why somebody may have been missed; nothing where everybody who was listed could be told.
    doubt: Option<Doubt>,
}

/// Why a listing may have missed somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// Somebody ended between being listed and being looked at, and may have left a child that stands in no listing yet.
    Ended,
    /// Somebody stands in the middle of an exec, and shows nothing of itself.
    InExec,
}

impl TreeKiller {
    /// Checks the claim; nobody is signalled yet.
    ///
    /// # Errors
    /// A sentence that says why the claimed process must not be signalled.
    pub(crate) fn begin(target: KillTarget) -> Result<Self, String> {
        let protected = Protected::now();
        let root = claim(&target, &protected)?;
        Ok(Self {
            target,
            protected,
            root,
            known: BTreeMap::new(),
            ended: BTreeSet::new(),
            strangers: BTreeSet::new(),
            group_is_proven: false,
            signalled: false,
        })
    }

    /// Ends it: TERM, the wrapper last; KILL after `grace`; verified gone.
    pub(crate) fn end(mut self, grace: Duration) -> Report {
        self.ask();
        let mut left = self.wait(clock::now().plus(grace));
        if !left.is_empty() {
            left = self.kill(clock::now().plus(KILL_LIMIT));
        }
        let survivors: Vec<i32> = left.into_keys().collect();
        Report { killed: self.signalled && survivors.is_empty(), survivors, refusal: None }
    }

    /// Who would be ended now, and this process where it is the wrapper; the oldest come first, so a parent before its
    /// children. After them all their zombies, which nothing can end: a parent that never looks may have thousands.
    pub(crate) fn list(&mut self) -> Vec<Entry> {
        let mut members = self.members();
        if self.target.own_descendants
            && let Lookup::There(me) = machine::look(current_pid())
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

    /// The living processes of the run, once that can be told: where it seems that there is none, processes that come
    /// and go are waited out.
    fn members(&mut self) -> BTreeMap<i32, Entry> {
        let began = clock::now();
        let mut empty = 0;
        loop {
            let Listing { members, doubt } = self.survey(None);
            empty += 1;
            let now = clock::now();
            match doubt {
                _ if !members.is_empty() => return members,
                Some(Doubt::Ended) if empty < BELIEVED => {}
                Some(Doubt::InExec) if now < began.plus(EXEC_LIMIT) => clock::sleep_until(now.plus(EXEC_PAUSE)),
                _ => return members,
            }
        }
    }

    /// Lists everybody. With `strike`, whoever is known for the run's at first sight gets that signal there and then: a
    /// link of a chain that forks and ends lives for a millisecond.
    fn survey(&mut self, strike: Option<Signal>) -> Listing {
        let group = self.trusted_group();
        let mut all = BTreeMap::new();
        let mut members = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let mut in_exec = false;
        // The youngest first: they are the ones that may end before they are looked at. A chain of forks whose numbers
        // had begun anew outlived the KILL by a second where the greatest number came first.
        for pid in machine::pids().into_iter().rev() {
            match machine::look(pid) {
                Lookup::There(entry) => {
                    all.insert(pid, entry);
                    match self.belongs_at_sight(&entry, group) {
                        Some(true) => {
                            members.insert(pid, entry);
                            if let Some(signal) = strike {
                                self.send(&entry, signal);
                            }
                        }
                        Some(false) => {}
                        None if matches!(machine::look(pid), Lookup::There(_)) => in_exec = true,
                        None => {
                            ended.insert(pid);
                        }
                    }
                }
                Lookup::Gone => {
                    ended.insert(pid);
                }
                Lookup::Hidden => {}
            }
        }
        add_descendants(&all, &mut members);
        let is_root = |entry: &Entry| self.root.is_some_and(|root| root.pid == entry.pid);
        members.retain(|_, entry| is_root(entry) || self.may_signal(entry, true) == Some(true));
        for entry in members.values() {
            let (started, handle) = self.known.entry(entry.pid).or_insert((entry.started, None));
            if *started != entry.started {
                (*started, *handle) = (entry.started, None);
            }
        }
        // A zombie that stood there at the listing before is nothing that goes on.
        let doubt = match (in_exec, ended.is_subset(&self.ended)) {
            (true, _) => Some(Doubt::InExec),
            (false, false) => Some(Doubt::Ended),
            (false, true) => None,
        };
        self.ended = ended;
        Listing { members, doubt }
    }

    /// Whether one process by itself shows that it is the run's; nothing where it cannot be told now.
    fn belongs_at_sight(&mut self, entry: &Entry, group: Option<i32>) -> Option<bool> {
        if self.root.is_some_and(|root| root.pid == entry.pid && root.started == entry.started)
            || self.known.get(&entry.pid).is_some_and(|(started, _)| *started == entry.started)
        {
            return Some(true);
        }
        if self.target.own_descendants && entry.parent == current_pid() {
            return self.may_signal(entry, true);
        }
        let in_group = group.is_some_and(|group| entry.group == group || entry.session == group);
        if in_group && self.group_is_proven {
            return self.may_signal(entry, false);
        }
        // Without a wrapper that still holds them together, the mark finds those who left group and session.
        let Some(mark) = &self.target.mark else { return Some(false) };
        if self.strangers.contains(&(entry.pid, entry.started)) {
            return Some(false);
        }
        let marked = self.may_signal(entry, false)?.then(|| machine::environment_holds(entry.pid, mark));
        match marked {
            Some(Environment::Holds) => self.group_is_proven |= in_group,
            // What hides its environment may be the run's or not; only what is proven to be is signalled.
            Some(Environment::Lacks | Environment::Hidden) | None => {
                self.strangers.insert((entry.pid, entry.started));
            }
            Some(Environment::Changing) => return None,
        }
        Some(marked == Some(Environment::Holds))
    }

    /// The group and session to take whole: led by the wrapper itself, or made by `run` for COMMAND.
    fn trusted_group(&mut self) -> Option<i32> {
        let led = self.root.filter(|root| root.group == root.pid).map(|root| (root.pid, Some(root.started)));
        let made = self.target.group.map(|group| (group, self.target.group_started));
        let (group, leader_started) = made.or(led)?;
        if group <= 1 || self.protected.groups.contains(&group) || self.protected.sessions.contains(&group) {
            return None;
        }
        match machine::look(group) {
            // The number leads a group of somebody else's now.
            Lookup::There(leader) if leader_started.is_some_and(|started| started != leader.started) => return None,
            Lookup::There(_) if leader_started.is_some() => self.group_is_proven = true,
            // While a group has members its number is given to no new process, so one member with the run's mark proves
            // that it is still the run's; where there is no mark to be had, a leader no younger than the pid file does.
            Lookup::There(leader) if self.target.mark.is_none() => {
                self.group_is_proven |=
                    !started_after(&leader, self.target.claimed_at, granularity(self.target.claimed_at));
            }
            // The wrapper lives and has made it; nobody else was given its number since.
            Lookup::Gone if self.target.own_descendants => self.group_is_proven = true,
            Lookup::There(_) | Lookup::Gone | Lookup::Hidden => {}
        }
        Some(group)
    }

    /// Whether a process that seems to belong to the run may be signalled; nothing where its user cannot be seen now.
    fn may_signal(&self, entry: &Entry, is_descendant: bool) -> Option<bool> {
        if entry.pid <= 1 || entry.kernel_thread || self.protected.pids.contains(&entry.pid) {
            return Some(false);
        }
        // None of the run's processes is older than the run.
        if machine::STARTS_ARE_ORDERED && self.root.is_some_and(|root| entry.started < root.started) {
            return Some(false);
        }
        let user = machine::user(entry.pid)?;
        // What root's own run started under another name is still root's run.
        Some(user == self.target.owner || is_descendant && self.target.owner == 0 && env::is_root())
    }

    /// Stops everybody, until two listings in a row show nobody new and nobody who goes on.
    ///
    /// Whoever forks between being listed and being ended leaves a child that descends from nobody by the next listing,
    /// and without a group or a mark of the run's nothing would find it. A stopped process is in the middle of no fork;
    /// of one with threads the first may stop before the others, hence two.
    fn freeze(&mut self) {
        if let Some(root) = self.root {
            self.send(&root, Signal::SIGSTOP);
        }
        let until = clock::now().plus(FREEZE_LIMIT);
        let (mut asked, mut quiet) = (BTreeSet::new(), 0);
        loop {
            let mut still = true;
            for entry in oldest_first(self.survey(None).members) {
                still &= entry.stopped;
                if asked.insert((entry.pid, entry.started)) {
                    self.send(&entry, Signal::SIGSTOP);
                }
            }
            quiet = if still { quiet + 1 } else { 0 };
            if quiet == 2 || clock::now() >= until {
                return;
            }
            clock::sleep_until(clock::now().plus(FREEZE_PAUSE));
        }
    }

    /// TERM to everybody but the wrapper, until a listing shows nobody new; then to the wrapper.
    ///
    /// All are stopped before. The wrapper stays so: a shell whose child was ended first would go on with its next line,
    /// and were that the one that writes SUCCESS, the run would have succeeded by being killed. It goes on with TERM
    /// pending, so it handles that first. Parents come before children for the same reason.
    fn ask(&mut self) {
        self.freeze();
        let mut asked = BTreeSet::new();
        for _ in 0..ROUNDS {
            let mut new = oldest_first(self.survey(None).members);
            new.retain(|entry| self.root.is_none_or(|root| root.pid != entry.pid));
            new.retain(|entry| asked.insert((entry.pid, entry.started)));
            if new.is_empty() {
                break;
            }
            for entry in new {
                self.send(&entry, Signal::SIGTERM);
            }
        }
        if let Some(root) = self.root {
            self.send(&root, Signal::SIGTERM);
        }
    }

    fn send(&mut self, entry: &Entry, signal: Signal) {
        let (started, handle) = self.known.entry(entry.pid).or_insert((entry.started, None));
        if *started != entry.started {
            (*started, *handle) = (entry.started, None);
        }
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

    /// Waits until nobody is left or `deadline`; whoever is new meanwhile gets TERM too. Who is left.
    fn wait(&mut self, deadline: MonotonicTime) -> BTreeMap<i32, Entry> {
        let mut told: BTreeSet<(i32, u64)> = self.known.iter().map(|(&pid, &(started, _))| (pid, started)).collect();
        loop {
            let members = self.members();
            if members.is_empty() || clock::now() >= deadline {
                return members;
            }
            for entry in members.values() {
                if told.insert((entry.pid, entry.started)) {
                    self.send(entry, Signal::SIGTERM);
                }
            }
            let handles = self.handles(&members);
            if handles.is_empty() {
                clock::sleep_until(clock::now().plus(RELIST).min(deadline));
            } else {
                machine::wait_for_any(&handles, RELIST.min(deadline.since(clock::now())));
            }
        }
    }

    /// KILL to everybody, as soon as each is seen, until nobody is left or `deadline`. Who is left.
    fn kill(&mut self, deadline: MonotonicTime) -> BTreeMap<i32, Entry> {
        self.freeze();
        loop {
            let mut members = self.survey(Some(Signal::SIGKILL)).members;
            if members.is_empty() {
                members = self.members();
            }
            for entry in members.values() {
                self.send(entry, Signal::SIGKILL);
            }
            if members.is_empty() || clock::now() >= deadline {
                return members;
            }
            // Not at all where one of them has ended already: what it left behind may be the next link of a chain.
            let handles = self.handles(&members);
            if handles.len() == members.len() {
                machine::wait_for_any(&handles, RELIST.min(deadline.since(clock::now())));
            }
        }
    }

    /// The holds on those of these that have not ended.
    fn handles(&self, members: &BTreeMap<i32, Entry>) -> Vec<&Handle> {
        let held = members.keys().filter_map(|pid| self.known.get(pid)?.1.as_ref());
        held.filter(|handle| !handle.has_ended()).collect()
    }
}

/// A parent before its children.
fn oldest_first(members: BTreeMap<i32, Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = members.into_values().collect();
    entries.sort_by_key(|entry| (entry.started, entry.pid));
    entries
}
