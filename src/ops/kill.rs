//! `kill`: ends runs on request, each with its whole tree, and records that it was so.
//!
//! It signals nothing that a waiter may not signal either. A signal to this process cuts nothing short that has begun: in
//! the middle of ending a tree its processes are stopped.

use crate::decide::policy::STOPPED;
use crate::decide::verdict::{Assessment, Verdict};
use crate::error::Error;
use crate::monitor::StepResult;
use crate::ops::parallel::map_parallel;
use crate::ops::report::Report;
use crate::ops::{each_once, open, readers};
use crate::record::outcome::{Intent, Outcome};
use crate::record::step_name::StepName;
use crate::step::snapshot::SnapshotReader;
use crate::step::terminate::{KillMethod, Termination, end_after_outcome, record_death, terminate};
use crate::sys::env;
use crate::sys::process::tree::Escalation;
use crate::sys::signals::{INTERRUPTS, Pending, Signal};
use std::path::Path;

/// How many runs are ended at once: each may take its grace.
const AT_ONCE: usize = 32;
/// How many descriptors ending a run takes, and how many this process has open besides.
const DESCRIPTORS: u64 = 8;
const OTHER_DESCRIPTORS: u64 = 24;

/// What came of ending runs.
#[derive(Debug)]
pub(crate) struct Killed {
    /// One report a step, in their order; fewer where a signal came.
    pub(crate) reports: Vec<Report>,
    /// Whether nothing of any of them is left.
    pub(crate) complete: bool,
    /// The signal that came to this process meanwhile.
    pub(crate) interrupted: Option<Signal>,
}

/// Ends the runs of these steps; one named twice counts once. `running` in a report means that the run could not be ended.
///
/// # Errors
/// `ErrorKind::Internal` where the files cannot be read.
pub(crate) fn kill(directory: &Path, steps: &[StepName], escalation: Escalation) -> Result<Killed, Error> {
    let directory = open(directory)?;
    let reader = readers(&directory);
    let steps = each_once(steps);
    let mut signals = Pending::borrow(&INTERRUPTS).ok();
    let most = AT_ONCE as u64;
    let room = env::allow_descriptors(most * DESCRIPTORS + OTHER_DESCRIPTORS).saturating_sub(OTHER_DESCRIPTORS);
    let at_once = usize::try_from((room / DESCRIPTORS).clamp(1, most)).unwrap_or(1);
    let mut reports = Vec::with_capacity(steps.len());
    let mut interrupted = None;
    for some in steps.chunks(at_once) {
        for report in map_parallel(some.iter().collect(), &|step| kill_one(reader(step), escalation)) {
            reports.push(report.unwrap_or_else(|| Err(Error::internal("a run was not ended for a fault in dogwatch"))));
        }
        interrupted = signals.as_mut().and_then(|signals| signals.fetch().first().copied());
        if interrupted.is_some() {
            break;
        }
    }
    let ended: Vec<(Report, bool)> = reports.into_iter().collect::<Result<_, _>>()?;
    let (reports, complete): (_, Vec<bool>) = ended.into_iter().unzip();
    Ok(Killed { reports, complete: !complete.contains(&false), interrupted })
}

/// Ends one; with whether nothing of it is left.
fn kill_one(mut reader: SnapshotReader, escalation: Escalation) -> Result<(Report, bool), Error> {
    let method = KillMethod::signals(escalation);
    let why = if escalation.signal == Signal::SIGTERM {
        STOPPED.to_owned()
    } else {
        format!("{STOPPED}; the first signal was {}", escalation.signal)
    };
    let before = reader.assess_settled()?;
    let termination = match &before.verdict {
        Verdict::Record(reason, _) => Some(record_death(&mut reader, &before.snapshot, *reason, &method)),
        Verdict::Report(Outcome::Running, _) => {
            Some(terminate(&mut reader, &before.snapshot, Intent::Killed, &why, &method))
        }
        Verdict::Report(..) => end_after_outcome(&reader, &before.snapshot, escalation),
        Verdict::Terminate { .. } | Verdict::Pending { .. } => None,
    };
    let Some(Termination { killed, detail, refusal, .. }) = termination else {
        return Ok((report(&reader, before, false, None), true));
    };
    // A run that was not ended has not stopped: the reason for ending it is not told.
    let detail = refusal.or(detail);
    // What is in the files now is the outcome: work that finished in between has finished.
    let after = reader.assess_settled()?;
    let complete = killed || detail.is_none();
    Ok((report(&reader, after, killed, detail), complete))
}

fn report(reader: &SnapshotReader, assessment: Assessment, killed: bool, detail: Option<String>) -> Report {
    let (outcome, found) = assessment.verdict.answer();
    let told = StepResult { killed, ..StepResult::new(0, outcome, detail.or(found)).with_facts(assessment) };
    Report::of(&told, reader.step(), reader.directory(), 0)
}
