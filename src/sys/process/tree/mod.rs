//! Ending a whole process tree, safely: which processes belong to it, which may be signalled, and that it is gone.
//!
//! Never signalled are pid 1 and below, this process, its ancestors, threads of the kernel, processes of other users, and
//! a process that has taken over a recycled number; each refusal has its sentence.

mod kill;
mod membership;
mod unlisted;

use crate::record::time::WallTime;
use crate::sys::clock;
use crate::sys::env;
use crate::sys::platform::diagnose::glimpse;
use crate::sys::platform::process as machine;
use crate::sys::process::info::current_pid;
use crate::sys::process::{Lookup, ProcessInfo};
use crate::sys::signals::Signal;
pub(crate) use kill::KILL_LIMIT;
pub(crate) use membership::TreeKiller;
use std::time::Duration;
pub(crate) use unlisted::end_unlisted;

/// From so much later on a process has not the number that the `.pid` file names, but took it over.
const RECYCLED: Duration = Duration::from_secs(2);

/// What is to be ended.
#[derive(Clone, Debug)]
pub(crate) struct KillTarget {
    /// The wrapper's pid, as `.pid` claims it; `None` if only what a dead one left is to be ended.
    pub(crate) pid: Option<i32>,
    /// The wrapper's raw start time, where the run recorded it.
    pub(crate) started: Option<u64>,
    /// When `.pid` was written: a process that started later is not the one it names.
    pub(crate) claimed_at: WallTime,
    /// The owner of `.pid`: processes of other users are not signalled.
    pub(crate) owner: u32,
    /// The process group and session that `run` made for COMMAND.
    pub(crate) group: Option<i32>,
    /// The raw start time of that group's leader, where the run recorded it.
    pub(crate) group_started: Option<u64>,
    /// The variable (`NAME=value`) that every process of the run was given.
    pub(crate) mark: Option<String>,
    /// Which process the wrapper is.
    pub(crate) wrapper: Wrapper,
    /// Whether the wrapper may have children that are not the run's: it had some before COMMAND, or waits for COMMAND alone.
    /// A child of the wrapper belongs to the run only if it shows that by itself then.
    pub(crate) has_older_children: bool,
}

/// Which process is a run's wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapper {
    /// Another one, or there is none.
    Other,
    /// This one; orphans of the run do not become its children.
    This,
    /// This one, and every orphan of the run becomes its child.
    Adopting,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KillReport {
    /// Whether anything was signalled and all of it is gone.
    pub(crate) killed: bool,
    /// Whether anything was signalled.
    pub(crate) signalled: bool,
    /// Processes of the run that are still there.
    pub(crate) survivors: Vec<i32>,
    /// Why the claimed process was not signalled.
    pub(crate) refusal: Option<String>,
}

/// How a tree is asked to end, and when it is made to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escalation {
    /// What every process gets first.
    pub(crate) signal: Signal,
    /// From that signal to KILL.
    pub(crate) grace: Duration,
}

impl Escalation {
    /// TERM, and KILL after `grace`.
    pub(crate) fn term(grace: Duration) -> Self {
        Self { signal: Signal::SIGTERM, grace }
    }
}

/// Ends the tree of another process than the wrapper; verified gone.
pub(crate) fn terminate(target: &KillTarget, escalation: Escalation) -> KillReport {
    match TreeKiller::open(target.clone()) {
        Ok(killer) => killer.end(escalation, &mut || true),
        Err(refusal) => KillReport { refusal: Some(refusal), ..KillReport::default() },
    }
}

/// Processes as text: each pid with its name, and with its user where that is not the owner; `None` if there are none.
pub(crate) fn names(pids: &[i32], owner: u32) -> Option<String> {
    let named = |&pid: &i32| {
        let name = machine::look(pid).found().and_then(|entry| glimpse(&entry)).map(|process| process.command);
        let user = machine::user(pid).filter(|&user| user != owner).map(|user| format!("of user {user}"));
        let aside: Vec<String> = name.into_iter().chain(user).collect();
        if aside.is_empty() { pid.to_string() } else { format!("{pid} ({})", aside.join(" ")) }
    };
    (!pids.is_empty()).then(|| pids.iter().map(named).collect::<Vec<_>>().join(", "))
}

/// Checks the claim in `.pid`. No process at all is no refusal: what it left may still be there.
fn claim(target: &KillTarget, protected: &[ProcessInfo]) -> Result<Option<ProcessInfo>, String> {
    let Some(pid) = target.pid else { return Ok(None) };
    let refuse = |why: &str| Err(format!("process {pid} {why}"));
    if pid <= 1 {
        return refuse("is never signalled: it is no run's own process");
    }
    if pid == current_pid() {
        return refuse("is this one and was not signalled");
    }
    if protected.iter().any(|one| one.pid == pid) {
        return refuse("is an ancestor of this one and was not signalled");
    }
    let entry = match machine::look(pid) {
        Lookup::Found(entry) if entry.kernel_thread => {
            return refuse("is a thread of the kernel and was not signalled");
        }
        Lookup::Found(entry) => entry,
        Lookup::NotFound => return Ok(None),
        Lookup::Hidden => return refuse("cannot be seen from here and was not signalled"),
    };
    // Where it is another's the run is dead: the other is left alone, and that is no refusal.
    match target.started {
        Some(started) if started != entry.started => return Ok(None),
        None if started_after(&entry, target.claimed_at, RECYCLED) => return Ok(None),
        // A clock that was set forward in between makes the run's own process look so too.
        None if started_after(&entry, target.claimed_at, granularity(target.claimed_at)) => {
            return refuse(
                "seems to have started after the pid file was written, so it may be another's, and was not signalled",
            );
        }
        _ => {}
    }
    let owner = target.owner;
    match machine::user(pid) {
        Some(user) if user == owner => {}
        Some(user) => {
            return refuse(&format!(
                "belongs to user {user}, not to user {owner} who wrote the pid file, and was not signalled"
            ));
        }
        None => {
            return Err(format!("the owner of process {pid} cannot be seen, and it was not signalled"));
        }
    }
    if !env::is_root() && owner != env::user() {
        return refuse(&format!("belongs to user {owner}, not to you, and was not signalled"));
    }
    Ok(Some(entry))
}

fn started_after(entry: &ProcessInfo, claimed_at: WallTime, slack: Duration) -> bool {
    let started = machine::started_wall(entry.started, clock::wall(), clock::with_sleep());
    started > claimed_at.plus(slack)
}

/// How much later than the `.pid` file its own process may seem to have started, by the graining of the two times alone:
/// start times have ticks (10 ms), file times a jiffy (10 ms at most), or whole seconds on old filesystems.
fn granularity(claimed_at: WallTime) -> Duration {
    if claimed_at.is_whole_second() { RECYCLED } else { Duration::from_millis(50) }
}

#[cfg(test)]
mod tests;
