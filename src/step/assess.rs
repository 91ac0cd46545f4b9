//! What a snapshot means under the caller's thresholds: the one way from a step's files to a verdict. Called by the waiting
//! loop and by every command that judges a step.

use crate::decide::policy::{Policy, SettleTimes, ThresholdOptions};
use crate::decide::snapshot::{Liveness, Observation, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{SETTLE_START, Verdict, evaluate};
use crate::error::Error;
use crate::record::step_name::StepName;
use crate::step::snapshot::{SnapshotReader, refuse_newer};
use crate::sys::clock;
use std::time::Duration;

/// How often a step is looked at until it stands still.
const SETTLING: Duration = Duration::from_millis(5);

/// A snapshot and its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Assessment {
    /// What was read.
    pub(crate) snapshot: Snapshot,
    /// What it means, with what earlier snapshots showed.
    pub(crate) observation: Observation,
    /// The thresholds of this run.
    pub(crate) policy: Policy,
    /// What follows.
    pub(crate) verdict: Verdict,
}

/// Judges a step by a snapshot; `tracker` remembers the earlier ones.
///
/// # Errors
/// A newer program wrote its record, or the caller's staleness does not fit the run; nothing was touched.
pub(crate) fn assess(
    tracker: &mut RunTracker,
    step: &StepName,
    snapshot: Snapshot,
    thresholds: &ThresholdOptions,
) -> Result<Assessment, Error> {
    refuse_newer(&snapshot, step)?;
    let observation = tracker.observe(&snapshot);
    let meta = snapshot.run_meta();
    let policy = Policy::resolve(thresholds, meta)?;
    let verdict = evaluate(&observation, &policy, snapshot.at);
    Ok(Assessment { snapshot, observation, policy, verdict })
}

/// Judges a step, once it stands still, by its files and process alone: no threshold applies. A run that is just starting
/// has started by then, and one whose process is gone has had its time to say how it ended.
///
/// # Errors
/// A sentence: it cannot be read, or a newer program wrote its record.
pub(crate) fn assess_settled(reader: &mut SnapshotReader) -> Result<Assessment, Error> {
    let mut tracker = RunTracker::default();
    loop {
        let snapshot = reader.read().map_err(|error| {
            Error::io(format!("cannot look at {} in {}", reader.step(), reader.directory().path().display()), error)
        })?;
        refuse_newer(&snapshot, reader.step())?;
        let observation = tracker.observe(&snapshot);
        let mut policy = Policy::without_limits(snapshot.at);
        // A run that held the lock says how it ended before it lets go of it; a plain shell does so after its process's end.
        if !snapshot.run_meta().is_some_and(|meta| meta.locked) {
            policy.settle.death = SettleTimes::CONTRACT.death;
        }
        let verdict = evaluate(&observation, &policy, snapshot.at);
        let is_starting = matches!(observation.liveness,
            Liveness::Starting { since } if snapshot.at < since.plus(SETTLE_START));
        if !is_starting && matches!(verdict, Verdict::Final(_)) {
            return Ok(Assessment { snapshot, observation, policy, verdict });
        }
        clock::sleep_until(snapshot.at.plus(SETTLING));
    }
}
