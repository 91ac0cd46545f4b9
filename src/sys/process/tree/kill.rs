//! Ends a process tree: stop, TERM or another first signal, continue, KILL after a grace, and scans until one shows that
//! nothing is left. `step::terminate` ends the trees of dead, silent and foreign wrappers with it, `runner::end_tree` the
//! wrapper's own.

use crate::record::time::MonotonicTime;
use crate::sys::clock;
use crate::sys::platform::process as machine;
use crate::sys::process::exits::wait_for_exit;
use crate::sys::process::info::current_pid;
use crate::sys::process::tree::membership::{Members, TreeKiller};
use crate::sys::process::tree::{Escalation, KillReport};
use crate::sys::process::{Lookup, ProcessInfo};
use nix::sys::signal::Signal;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long KILL may take to empty a tree. Only a process stuck in the kernel (state D) needs longer.
pub(crate) const KILL_LIMIT: Duration = Duration::from_secs(4);
/// How often the tree is scanned anew while it ends, for what it forks meanwhile.
const RESCAN: Duration = Duration::from_millis(20);
/// How many times the tree is scanned while the first signal is sent, until nothing new is in it: a chain of forks never
/// settles.
const ROUNDS: usize = 20;
/// How long it may take until all of a tree are stopped: one that waits for a disk does not stop.
const STOP_LIMIT: Duration = Duration::from_millis(200);
/// How often they are looked at meanwhile.
const STOP_PAUSE: Duration = Duration::from_millis(1);
/// How many exits are waited for at once. Each takes a descriptor, of which a process may have few.
const WATCHED: usize = 16;

impl TreeKiller {
    /// Ends it: the first signal, KILL after the grace; verified gone. `may_go_on` is asked again and again for whether the kernel
    /// says that this process has a child left (wait(2), `ECHILD`). Where it is the wrapper and adopts orphans, no child is the
    /// proof that no descendant is left either; where the children prove nothing it is always true.
    pub(crate) fn end(mut self, escalation: Escalation, may_go_on: &mut dyn FnMut() -> bool) -> KillReport {
        let Escalation { signal, grace } = escalation;
        let deadline = clock::now().plus(grace);
        let asked = self.terminate(signal);
        let mut left = self.await_exits(signal, asked, deadline, may_go_on);
        if left.values().any(|member| member.may_signal) {
            left = self.kill(clock::now().plus(KILL_LIMIT), may_go_on);
        }
        let survivors: Vec<i32> = left.into_keys().collect();
        let signalled = self.signalled;
        KillReport { killed: signalled && survivors.is_empty(), signalled, survivors, refusal: None }
    }

    /// What would be ended now, and this process where it is the wrapper; the oldest come first, so a parent before its
    /// children. After them all their zombies, which nothing can end: a parent that never waits may have thousands.
    pub(crate) fn list(&mut self) -> Vec<ProcessInfo> {
        let mut listed: Vec<ProcessInfo> = self.settled().into_values().map(|member| member.entry).collect();
        if self.is_own()
            && let Lookup::Found(me) = machine::look(current_pid())
        {
            listed.push(me);
        }
        let mut zombies = machine::zombies();
        zombies.retain(|zombie| listed.iter().any(|entry| entry.pid == zombie.parent));
        for part in [&mut listed, &mut zombies] {
            part.sort_by_key(|entry| (entry.started, entry.pid));
        }
        listed.append(&mut zombies);
        listed
    }

    /// Stops all, until two scans in a row show nothing new and nothing that runs.
    ///
    /// A process that forks between being listed and being ended leaves a child that descends from no member by the next
    /// scan, and without a group or a variable of the run's nothing would find it. A stopped process is in the middle of no
    /// fork; of one with threads the first may stop before the others, hence two. Parents are stopped before their children:
    /// a shell with job control goes on with its next line when a child of its is stopped.
    fn stop(&mut self) {
        if let Some(root) = self.root {
            self.send(&root, Signal::SIGSTOP);
        }
        let until = clock::now().plus(STOP_LIMIT);
        let (mut asked, mut quiet) = (BTreeSet::new(), 0);
        loop {
            let mut still = true;
            let members = self.scan(&mut |_, _| {});
            let mut entries: Vec<ProcessInfo> = signalable(&members).collect();
            entries.sort_by_key(|entry| (entry.started, entry.pid));
            for entry in entries {
                still &= entry.stopped;
                if asked.insert((entry.pid, entry.started)) {
                    self.send(&entry, Signal::SIGSTOP);
                }
            }
            quiet = if still { quiet + 1 } else { 0 };
            if quiet == 2 || clock::now() >= until {
                return;
            }
            clock::sleep_until(clock::now().plus(STOP_PAUSE));
        }
    }

    /// Sends the first signal to all while they are stopped, and then lets them go on, children before their parents. Which
    /// processes got it, each with its start time.
    ///
    /// With it pending, none runs a line of its program before it handles that: a shell whose child was ended first would
    /// go on with its next line, and were that the one that writes SUCCESS, the run would have succeeded by being killed. And
    /// none exits before those below it go on: the kernel hangs up a group that has stopped members once the exit of its
    /// last connection orphans it (`kill_orphaned_pgrp` in kernel/exit.c), and HUP would end them before they handle it.
    fn terminate(&mut self, signal: Signal) -> BTreeSet<(i32, u64)> {
        self.stop();
        let mut asked = BTreeSet::new();
        let mut members = Members::new();
        for _ in 0..ROUNDS {
            members = self.scan(&mut |_, _| {});
            let new: Vec<ProcessInfo> =
                signalable(&members).filter(|entry| asked.insert((entry.pid, entry.started))).collect();
            if new.is_empty() {
                break;
            }
            for entry in new {
                self.send(&entry, signal);
            }
        }
        for entry in children_first(&members) {
            self.send(&entry, Signal::SIGCONT);
        }
        asked
    }

    /// Waits until nothing is left or `deadline`; what was not `asked` yet gets the first signal too. What is left.
    fn await_exits(
        &mut self,
        signal: Signal,
        mut asked: BTreeSet<(i32, u64)>,
        deadline: MonotonicTime,
        may_go_on: &mut dyn FnMut() -> bool,
    ) -> Members {
        loop {
            if !may_go_on() {
                return Members::new();
            }
            let members = self.settled();
            if members.is_empty() || clock::now() >= deadline {
                return members;
            }
            for entry in signalable(&members).filter(|entry| asked.insert((entry.pid, entry.started))) {
                self.send(&entry, signal);
                self.send(&entry, Signal::SIGCONT);
            }
            rest(&members, deadline);
        }
    }

    /// KILL to all, as soon as each is seen, until nothing is left or `deadline`. What is left.
    fn kill(&mut self, deadline: MonotonicTime, may_go_on: &mut dyn FnMut() -> bool) -> Members {
        self.stop();
        loop {
            if !may_go_on() {
                return Members::new();
            }
            let mut members = self.scan(&mut |tree, entry| tree.send(entry, Signal::SIGKILL));
            if members.is_empty() {
                members = self.settled();
            }
            for entry in signalable(&members) {
                self.send(&entry, Signal::SIGKILL);
            }
            if !members.values().any(|member| member.may_signal) || clock::now() >= deadline {
                return members;
            }
            rest(&members, deadline);
        }
    }
}

fn signalable(members: &Members) -> impl Iterator<Item = ProcessInfo> {
    members.values().filter(|member| member.may_signal).map(|member| member.entry)
}

/// Children before their parents, the youngest first.
fn children_first(members: &Members) -> Vec<ProcessInfo> {
    let depth = |entry: &ProcessInfo| {
        let mut above = 0;
        let mut parent = entry.parent;
        // Bounded where processes change parents between being read.
        while let Some(member) = members.get(&parent).filter(|_| above < members.len()) {
            (above, parent) = (above + 1, member.entry.parent);
        }
        above
    };
    let mut entries: Vec<ProcessInfo> = signalable(members).collect();
    entries.sort_by_key(|entry| Reverse((depth(entry), entry.started, entry.pid)));
    entries
}

/// Sleeps until the next scan, or until one of these exits. Not at all where one of them has exited already: what it left
/// behind may be the next link of a chain.
fn rest(members: &Members, deadline: MonotonicTime) {
    let watched = members.values().map(|member| (member.entry.pid, Some(member.entry.started))).take(WATCHED);
    wait_for_exit(&watched.collect::<Vec<_>>(), RESCAN.min(deadline.since(clock::now())));
}
