//! What COMMAND leaves running when it exits: readers of its last words finish by themselves, the rest is ended.
//!
//! `runner::finish` calls it before the end is published. `exec > >(tee log)` and `cmd > >(gzip > file)` leave a reader that
//! has not read all yet; it meets the end of its pipe once nothing writes to that any more, and has the grace for it.

use crate::record::evidence::ProcessState;
use crate::runner::end_tree;
use crate::runner::start::ActiveRun;
use crate::runner::supervise::{sleep, tend};
use crate::runner::{Job, OnEvent};
use crate::sys::clock;
use crate::sys::platform::diagnose::glimpse;
use crate::sys::platform::fd_table::pipe_ends;
use crate::sys::platform::process;
use crate::sys::process::ProcessInfo;
use crate::sys::process::info::{self, current_pid};
use crate::sys::process::pipes::{PipeEnds, PipeId};
use crate::sys::process::tree::Escalation;
use crate::sys::signals::{self, Signal};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How soon the processes that are left are looked at again: not every end of one of them raises a signal here.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftBehind {
    /// The processes that were ended, each with its start time.
    ended: BTreeSet<(i32, u64)>,
    /// Those that are still there, as text; `None` if there is none.
    pub(super) survivors: Option<String>,
}

impl LeftBehind {
    /// How many processes were ended, as a sentence; `None` if none was.
    pub(super) fn sentence(&self) -> Option<String> {
        match self.ended.len() {
            0 => None,
            1 => Some("COMMAND left 1 process running, which was ended".to_owned()),
            count => Some(format!("COMMAND left {count} processes running, which were ended")),
        }
    }
}

/// What becomes of a process that COMMAND left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It reads from a pipe that has no writer left, or only writers that drain themselves: it meets the end of it.
    Drains,
    /// It reads from a pipe that others of these processes write to.
    Depends,
    /// Which pipes it reads, or what still writes to them, cannot be told at this moment.
    Unsettled,
    /// Nothing tells it to end.
    RunsOn,
}

/// Lets what COMMAND left end, and ends what does not, until nothing of the run is left.
pub(super) fn settle(run: &mut ActiveRun, job: &Job, on_event: OnEvent<'_>) -> LeftBehind {
    let mut left = LeftBehind::default();
    let give_up = clock::now().plus(job.grace);
    let mut pause = FIRST_PAUSE;
    while end_tree::has_leftovers(run) {
        let hurried = is_interrupted(run);
        let members = members(run);
        let now = clock::now();
        if hurried || now >= give_up || members.is_empty() {
            let asked = |entry: &ProcessInfo| left.ended.contains(&(entry.pid, entry.started));
            // Who has not heeded TERM had the grace already.
            let grace = if now >= give_up && members.iter().all(asked) { Duration::ZERO } else { job.grace };
            left.ended.extend(members.iter().map(|entry| (entry.pid, entry.started)));
            left.survivors = end_tree::end(run, Escalation::term(grace)).survivors;
            return left;
        }
        let fates = fates(&members.iter().map(|entry| (entry.pid, pipe_ends(entry))).collect());
        let any = |fate| fates.values().any(|&found| found == fate);
        let waits = any(Fate::Drains) || any(Fate::Unsettled);
        let to_end = if any(Fate::RunsOn) || waits { Fate::RunsOn } else { Fate::Depends };
        for entry in members.iter().filter(|entry| fates.get(&entry.pid) == Some(&to_end)) {
            if left.ended.insert((entry.pid, entry.started)) {
                ask(entry.pid, entry.started);
            }
        }
        tend(run, job, now, on_event);
        let next = run.heartbeat.due().min(run.output.due()).min(give_up);
        sleep(run, next.min(now.plus(pause)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    left
}

/// The processes that are left and may be signalled, the oldest first; zombies have ended already.
fn members(run: &ActiveRun) -> Vec<ProcessInfo> {
    let listed = end_tree::killer(run).map_or_else(Vec::new, |mut killer| killer.list());
    let lives = |entry: &ProcessInfo| {
        info::start_of(entry.pid) == Some(entry.started)
            && glimpse(entry).is_some_and(|seen| seen.state != ProcessState::Zombie)
    };
    listed.into_iter().filter(|entry| entry.pid != current_pid() && lives(entry)).collect()
}

/// Asks one process to end; a stopped one handles that only once it goes on.
fn ask(pid: i32, started: u64) {
    for signal in [Signal::SIGTERM, Signal::SIGCONT] {
        // One that has ended meanwhile, or may not be signalled, is seen at the next look.
        let _gone = process::signal(pid, started, signal);
    }
}

/// Whether a signal came that asks for the end: nothing is waited for then. COMMAND's group is not signalled any more, since
/// its number may mean another once COMMAND is reaped.
fn is_interrupted(run: &mut ActiveRun) -> bool {
    let mut interrupted = false;
    for signal in run.signals.fetch() {
        if signal == Signal::SIGTSTP {
            signals::stop_this_process();
        }
        interrupted |= matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT);
    }
    interrupted
}

/// What becomes of each of these processes, by the pipes that they have open; `None` if those cannot be told now.
fn fates(processes: &BTreeMap<i32, Option<PipeEnds>>) -> BTreeMap<i32, Fate> {
    let mut writers: BTreeMap<PipeId, BTreeSet<i32>> = BTreeMap::new();
    for (&pid, ends) in processes {
        for &pipe in ends.iter().flat_map(|ends| &ends.writes) {
            writers.entry(pipe).or_default().insert(pid);
        }
    }
    // A process that is exiting may have held the other end of a reader's pipe a moment ago.
    let all_known = processes.values().all(Option::is_some);
    let fate = |ends: &Option<PipeEnds>, drains: &BTreeSet<i32>| {
        let Some(ends) = ends else { return Fate::Unsettled };
        // Where a process has both ends, as in a pool of jobs, it never meets the end.
        let inputs: Vec<PipeId> = ends.reads.difference(&ends.writes).copied().collect();
        let meets_end = |pipe: &PipeId| match writers.get(pipe) {
            None => ends.at_end.contains(pipe),
            Some(writers) => writers.is_subset(drains),
        };
        if inputs.iter().any(meets_end) {
            Fate::Drains
        } else if inputs.iter().any(|pipe| writers.contains_key(pipe)) {
            Fate::Depends
        } else if all_known || inputs.is_empty() {
            Fate::RunsOn
        } else {
            Fate::Unsettled
        }
    };
    let mut drains = BTreeSet::new();
    loop {
        let fates: BTreeMap<i32, Fate> = processes.iter().map(|(&pid, ends)| (pid, fate(ends, &drains))).collect();
        let draining = fates.iter().filter(|(_, fate)| **fate == Fate::Drains).map(|(&pid, _)| pid).collect();
        if draining == drains {
            return fates;
        }
        drains = draining;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe(number: u64) -> (u64, u64) {
        (0, number)
    }

    /// A process that reads, writes, and has these pipes at their end.
    fn ends(reads: &[u64], writes: &[u64], at_end: &[u64]) -> PipeEnds {
        let set = |pipes: &[u64]| pipes.iter().copied().map(pipe).collect();
        PipeEnds { reads: set(reads), writes: set(writes), at_end: set(at_end) }
    }

    fn told(processes: &[PipeEnds]) -> Vec<Fate> {
        fates(&(1..).zip(processes.iter().cloned().map(Some)).collect()).into_values().collect()
    }

    #[test]
    fn a_reader_drains_only_once_nothing_writes_to_its_pipe() {
        assert_eq!(told(&[ends(&[1], &[], &[1])]), [Fate::Drains]);
        assert_eq!(told(&[ends(&[1], &[], &[])]), [Fate::RunsOn], "a writer outside, who may go on for ever");
        assert_eq!(told(&[ends(&[], &[], &[])]), [Fate::RunsOn]);
        // tee | gzip: the first reads what COMMAND wrote, the second what the first still writes.
        assert_eq!(told(&[ends(&[1], &[2], &[1]), ends(&[2], &[], &[])]), [Fate::Drains, Fate::Drains]);
        // A background job holds the pipe that tee reads.
        assert_eq!(told(&[ends(&[1], &[], &[]), ends(&[], &[1], &[])]), [Fate::Depends, Fate::RunsOn]);
        // Both ends in each of two: a pool of jobs.
        assert_eq!(told(&[ends(&[1], &[1], &[]), ends(&[1], &[1], &[])]), [Fate::RunsOn, Fate::RunsOn]);
        // A parent and its worker, each reading what the other writes.
        assert_eq!(told(&[ends(&[1], &[2], &[]), ends(&[2], &[1], &[])]), [Fate::Depends, Fate::Depends]);
    }

    #[test]
    fn while_one_process_is_forked_or_exits_no_reader_is_judged_by_what_it_may_hold() {
        let with_an_exiting_one = |known| {
            let all = BTreeMap::from([(1, Some(known)), (2, None)]);
            fates(&all).into_values().collect::<Vec<_>>()
        };
        assert_eq!(with_an_exiting_one(ends(&[1], &[], &[])), [Fate::Unsettled, Fate::Unsettled]);
        assert_eq!(with_an_exiting_one(ends(&[1], &[], &[1])), [Fate::Drains, Fate::Unsettled]);
        assert_eq!(with_an_exiting_one(ends(&[], &[1], &[])), [Fate::RunsOn, Fate::Unsettled]);
    }
}
