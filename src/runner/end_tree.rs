//! Ends the wrapper's own tree: COMMAND and all that descends from it. `runner::supervise` calls it for a limit, a
//! request or a signal, `runner::left_behind` for what COMMAND left.
//!
//! The wrapper adopts orphans, so the kernel itself proves that nothing is left: this process has no child then (`ECHILD`,
//! wait(2)). Where it has children that are not the run's, scans have to do.

use crate::runner::start::ActiveRun;
use crate::step::terminate::MARK;
use crate::sys::env;
use crate::sys::process::activity::{self, Activity};
use crate::sys::process::spawn::{ExitStatus, group_exists, reap};
use crate::sys::process::tree::{Escalation, KillTarget, TreeKiller, Wrapper, end_unlisted, names};
use std::time::Duration;

/// How many times the tree is ended anew while the kernel still knows of a child.
const ROUNDS: usize = 3;

/// What came of it.
pub(super) struct TreeEnd {
    /// How COMMAND ended, where it has and was not reaped before.
    pub(super) command: Option<ExitStatus>,
    /// The processes of the run that are still there, as text; `None` if there is none.
    pub(super) survivors: Option<String>,
    /// Whether the kernel has said that no process of the run is left.
    pub(super) is_gone: bool,
}

/// Whether every child of this process is the run's.
fn owns_children(run: &ActiveRun) -> bool {
    run.adopts && !run.has_older_children
}

/// COMMAND's group, where the run's processes have to be found by it. Once COMMAND is reaped and the group is empty its
/// number may come to mean another, and where all children are the run's it is not needed.
fn group(run: &ActiveRun) -> Option<i32> {
    (!owns_children(run)).then_some(run.child)
}

/// Reaps what has ended; `None` while COMMAND has not.
pub(super) fn reap_command(run: &ActiveRun) -> Option<TreeEnd> {
    let (command, children) = reap_all(run);
    command.map(|_| TreeEnd { command, survivors: None, is_gone: owns_children(run) && !children })
}

/// Reaps what has ended of this process's children, where the run may wait for all of them; else COMMAND alone. With how
/// COMMAND ended, if it is among them, and whether any of them is left.
fn reap_all(run: &ActiveRun) -> (Option<ExitStatus>, bool) {
    let (ended, children) = reap((!run.adopts).then_some(run.child));
    (ended.into_iter().find(|(pid, _)| *pid == run.child).map(|(_, how)| how), children)
}

/// The tree, to be looked at before it is ended.
pub(super) fn killer(run: &ActiveRun) -> Option<TreeKiller> {
    TreeKiller::open(target(run)).ok()
}

fn target(run: &ActiveRun) -> KillTarget {
    KillTarget {
        // COMMAND is this process's own child: no file has to claim it.
        pid: None,
        started: None,
        claimed_at: run.pid_file.written,
        owner: env::user(),
        group: group(run),
        group_started: run.child_started,
        mark: (!owns_children(run)).then(|| format!("{MARK}={}", run.id)),
        wrapper: if run.adopts { Wrapper::Adopting } else { Wrapper::This },
        has_older_children: run.has_older_children,
    }
}

/// Whether COMMAND, which has ended, left processes.
pub(super) fn has_leftovers(run: &ActiveRun) -> bool {
    let (_, children) = reap_all(run);
    if owns_children(run) { children } else { group_exists(run.child) || run.adopts && children }
}

/// Ends it: the first signal, KILL after the grace, until the kernel says that no child is left.
pub(super) fn end(run: &ActiveRun, mut escalation: Escalation) -> TreeEnd {
    let mut command = None;
    let mut may_go_on = || {
        let (ended, left) = reap_all(run);
        command = command.or(ended);
        !run.adopts || left
    };
    let mut survivors = Vec::new();
    for _ in 0..ROUNDS {
        let Some(killer) = killer(run) else { break };
        survivors = killer.end(escalation, &mut may_go_on).survivors;
        let may_be_unlisted = owns_children(run) || !run.other_children.is_empty();
        if !survivors.is_empty() || !may_be_unlisted || !may_go_on() {
            break;
        }
        // A child that no scan shows: procfs is not there, or hides it.
        survivors = end_unlisted(&run.other_children, run.child, escalation, &mut may_go_on);
        escalation.grace = Duration::ZERO;
    }
    // COMMAND may have become a zombie after the kernel was last asked, and its end is wanted below.
    let is_gone = !may_go_on() && owns_children(run);
    TreeEnd { command, survivors: names(&survivors, env::user()), is_gone }
}

/// What the run's processes have done so far.
pub(super) fn activity(run: &ActiveRun) -> Activity {
    activity::below_myself(group(run), owns_children(run))
}
