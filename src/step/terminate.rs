//! Ending a run: announce, look once more, signal the whole tree, verify, look once more, record.
//!
//! Refuses to record an end that it has not verified: where the target may not be signalled, or still lives, every later
//! look has to judge anew. For work that cannot be seen from here the word of the caller's own kill command is taken.

use super::kill_command::{self, End};
use super::look::Looker;
use super::record::{Ending, Rooms, Written, announce, record, remove_unpublished};
use crate::decide::history::{meta_of, run_key};
use crate::decide::observation::{Look, Process};
use crate::decide::remark::out_of_reach;
use crate::os::tree::{self, Report, Target};
use crate::protocol::file::Hold;
use crate::protocol::outcome::{Intent, Reason};
use crate::protocol::time::Wall;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// The variable by which every process of a run can be found.
pub(crate) const MARK: &str = "DOGWATCH_RUN_ID";

/// By what a run is ended.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    /// From TERM to KILL; with a command, how long the run may take to say how it ended.
    pub(crate) grace: Duration,
    /// The caller's own command, which replaces the signals.
    pub(crate) command: Option<OsString>,
}

impl Means {
    /// By signals.
    pub(crate) fn signals(grace: Duration) -> Self {
        Self { grace, command: None }
    }
}

/// What came of ending a run.
#[derive(Clone, Debug)]
pub(crate) struct Termination {
    /// Whether processes were signalled and all are gone, or the caller's command said that it has ended the work.
    pub(crate) killed: bool,
    /// Whether the outcome stands in the files: read them again.
    pub(crate) recorded: bool,
    /// What a person should know.
    pub(crate) detail: Option<String>,
}

/// Ends the run that this look shows, for this reason.
pub(crate) fn terminate(looker: &mut Looker, look: &Look, intent: Intent, why: &str, means: &Means) -> Termination {
    if means.command.is_none()
        && let Some(fault) = beyond_signals(look, why)
    {
        return unverified(fault);
    }
    // The look before the first signal is the one under the record lock: work that finished in between has finished.
    match announce(looker, run_key(look), intent, why) {
        Ok(Written::ByUs) => {}
        Ok(Written::Already | Written::Replaced) => {
            return Termination { killed: false, recorded: true, detail: None };
        }
        Err(fault) => return unverified(fault),
    }
    let ending = Ending { detail: Some(why.to_owned()), ..Ending::of(intent.reason()) };
    if let Some(command) = &means.command {
        return by_command(looker, look, &ending, (command, means.grace), why);
    }
    let report = tree::terminate(&target(look), means.grace);
    if let Some(detail) = fault(&report) {
        return Termination { killed: false, recorded: false, detail: Some(format!("{why}; {detail}")) };
    }
    finish(looker, look, &ending, &report)
}

/// Why nothing may be signalled, where that is known before looking at any process.
fn beyond_signals(look: &Look, why: &str) -> Option<String> {
    if let Some(remark) = out_of_reach(look) {
        return Some(remark.to_string());
    }
    let Some((pid, _)) = run_key(look) else {
        return Some(format!("{why}; no pid says which process to end, so nothing was signalled"));
    };
    // It is not known to be dead, or this would be a burial; it lives where it cannot be seen, and could not be seen
    // to go either.
    let unseen = look.lock != Hold::Held && matches!(look.process, Process::Gone { .. } | Process::Hidden);
    unseen.then(|| format!("{why}; process {pid} is not to be seen from here, so nothing was signalled"))
}

/// Has the caller's command end the run. Its word is taken where nothing is to be seen of the run from here, and not
/// against a process that still lives.
fn by_command(
    looker: &mut Looker,
    look: &Look,
    ending: &Ending,
    (command, grace): (&OsStr, Duration),
    why: &str,
) -> Termination {
    let run = run_key(look);
    let detail = kill_command::call(looker, run, command, grace).err().map(|fault| format!("{why}; {fault}"));
    let killed = detail.is_none();
    match (kill_command::look_for_end(looker, look, grace), detail) {
        (End::Succeeded, detail) => Termination { killed: false, recorded: true, detail },
        (End::Recorded, detail) => Termination { killed, recorded: true, detail },
        // Dead as any dead run: what it left here is ended.
        (End::Gone, detail) => {
            let report = Report { killed, ..end_remains(look, grace) };
            let termination = finish(looker, look, ending, &report);
            Termination { detail: termination.detail.or(detail), ..termination }
        }
        (End::Alive | End::Unseen, Some(detail)) => unverified(format!("{detail}, so nothing was recorded")),
        (End::Alive, None) => unverified(format!(
            "{why}; the kill command ended with exit code 0 and the run's process still lives, so nothing was recorded"
        )),
        // Nothing of it is tidied up from here: it may still be on its way out over there.
        (End::Unseen, None) => {
            let recorded = record(looker, run, ending, Rooms::default());
            Termination { killed, recorded: recorded.is_ok(), detail: recorded.err() }
        }
    }
}

/// Records the end of a run whose process is dead, after what it left has been ended: here by signals, elsewhere by the
/// caller's command, since a wrapper's death says nothing of the job that it had started on another machine.
pub(crate) fn bury(looker: &mut Looker, look: &Look, reason: Reason, means: &Means) -> Termination {
    let mut report = end_remains(look, means.grace);
    // One that said how it ended, and could only not publish it, has ended its work.
    let command = means.command.as_ref().filter(|_| !matches!(reason, Reason::Success | Reason::Failed));
    let called = command.map(|command| kill_command::call_after_death(looker, look, command, means.grace));
    report.killed |= called == Some(Ok(true));
    let detail = (reason == Reason::Died).then(|| match run_key(look) {
        Some((pid, _)) => format!("process {pid} is gone and left no status"),
        None => "its process is gone and left no status".to_owned(),
    });
    let also = called.and_then(Result::err);
    let also = also.map(|fault| detail.iter().cloned().chain([fault]).collect::<Vec<_>>().join("; "));
    let mut termination = finish(looker, look, &Ending { detail, ..Ending::of(reason) }, &report);
    if let Some(fault) = fault(&report).or(also) {
        termination.detail = Some(fault);
    }
    termination
}

/// Ends what a dead run left here, as far as that may be signalled.
fn end_remains(look: &Look, grace: Duration) -> Report {
    if out_of_reach(look).is_none() { tree::terminate(&remains(look), grace) } else { Report::default() }
}

fn finish(looker: &mut Looker, look: &Look, ending: &Ending, report: &Report) -> Termination {
    let recorded = record(looker, run_key(look), ending, Rooms::default());
    if let Some(meta) = meta_of(look, run_key(look)).filter(|meta| meta.locked && report.survivors.is_empty()) {
        remove_unpublished(looker.directory(), looker.step(), &meta.run_id);
    }
    Termination { killed: report.killed, recorded: recorded.is_ok(), detail: recorded.err().or(fault(report)) }
}

fn unverified(detail: String) -> Termination {
    Termination { killed: false, recorded: false, detail: Some(detail) }
}

fn fault(report: &Report) -> Option<String> {
    if let Some(refusal) = &report.refusal {
        return Some(refusal.clone());
    }
    (!report.survivors.is_empty()).then(|| format!("these processes are still there: {:?}", report.survivors))
}

/// The whole tree of a living run.
fn target(look: &Look) -> Target {
    let run = run_key(look);
    let meta = meta_of(look, run);
    Target {
        pid: run.map(|(pid, _)| pid),
        started: meta.and_then(|meta| meta.pid_started_at),
        claimed_at: run.map_or(Wall::from_nanos(0), |(_, modified)| modified),
        // Without either nobody is the run's user, and nothing is signalled.
        owner: look.pid.stamp().map(|stamp| stamp.owner).or(meta.and_then(|meta| meta.uid)).unwrap_or(u32::MAX),
        group: meta.and_then(|meta| meta.process_group),
        mark: meta.filter(|meta| meta.child_pid.is_some()).map(|meta| format!("{MARK}={}", meta.run_id)),
        own_descendants: false,
    }
}

/// What a dead wrapper left: never the number in its pid file, which may be anybody's by now.
fn remains(look: &Look) -> Target {
    Target { pid: None, ..target(look) }
}
