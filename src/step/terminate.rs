//! Ending a run: announce, look once more, signal the whole tree, verify, look once more, record.
//!
//! Refuses to record an end that it has not verified: where the target may not be signalled, or still lives, every later
//! look has to judge anew.

use super::look::Looker;
use super::record::{Ending, Rooms, Written, announce, record, remove_unpublished};
use crate::decide::history::{meta_of, run_key};
use crate::decide::observation::{Look, Process};
use crate::decide::remark::out_of_reach;
use crate::os::tree::{self, Report, Target};
use crate::protocol::file::Hold;
use crate::protocol::outcome::{Intent, Reason};
use crate::protocol::time::Wall;
use std::time::Duration;

/// The variable by which every process of a run can be found.
pub(crate) const MARK: &str = "DOGWATCH_RUN_ID";

/// What came of ending a run.
#[derive(Clone, Debug)]
pub(crate) struct Termination {
    /// Whether processes were signalled and all are gone.
    pub(crate) killed: bool,
    /// Whether the outcome stands in the files: read them again.
    pub(crate) recorded: bool,
    /// What a person should know.
    pub(crate) detail: Option<String>,
}

/// Ends the run that this look shows, for this reason.
pub(crate) fn terminate(looker: &mut Looker, look: &Look, intent: Intent, why: &str, grace: Duration) -> Termination {
    let run = run_key(look);
    if let Some(remark) = out_of_reach(look) {
        return unverified(remark.to_string());
    }
    let Some((pid, _)) = run else {
        return unverified(format!("{why}; no pid says which process to end, so nothing was signalled"));
    };
    // It is not known to be dead, or this would be a burial; it lives where it cannot be seen, and could not be seen
    // to go either.
    if look.lock != Hold::Held && matches!(look.process, Process::Gone { .. } | Process::Hidden) {
        return unverified(format!("{why}; process {pid} is not to be seen from here, so nothing was signalled"));
    }
    // The look before the first signal is the one under the record lock: work that finished in between has finished.
    match announce(looker, run, intent, why) {
        Ok(Written::ByUs) => {}
        Ok(Written::Already | Written::Replaced) => {
            return Termination { killed: false, recorded: true, detail: None };
        }
        Err(fault) => return unverified(fault),
    }
    let report = tree::terminate(&target(look), grace);
    if let Some(detail) = fault(&report) {
        return Termination { killed: false, recorded: false, detail: Some(format!("{why}; {detail}")) };
    }
    let ending = Ending { detail: Some(why.to_owned()), ..Ending::of(intent.reason()) };
    finish(looker, look, &ending, &report)
}

/// Records the end of a run whose process is dead, after what it left has been ended.
pub(crate) fn bury(looker: &mut Looker, look: &Look, reason: Reason, grace: Duration) -> Termination {
    let report = if out_of_reach(look).is_none() { tree::terminate(&remains(look), grace) } else { Report::default() };
    let detail = (reason == Reason::Died).then(|| match run_key(look) {
        Some((pid, _)) => format!("process {pid} is gone and left no status"),
        None => "its process is gone and left no status".to_owned(),
    });
    let mut termination = finish(looker, look, &Ending { detail, ..Ending::of(reason) }, &report);
    if let Some(fault) = fault(&report) {
        termination.detail = Some(fault);
    }
    termination
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
        group_started: meta.and_then(|meta| meta.child_started_at),
        mark: meta.filter(|meta| meta.child_pid.is_some()).map(|meta| format!("{MARK}={}", meta.run_id)),
        own_descendants: false,
    }
}

/// What a dead wrapper left: never the number in its pid file, which may be anybody's by now.
fn remains(look: &Look) -> Target {
    Target { pid: None, ..target(look) }
}
