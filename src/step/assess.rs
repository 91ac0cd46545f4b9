//! What a snapshot means under the caller's thresholds: the one way from a step's files to a verdict. Called by the waiting
//! loop and by every command that judges a step.

use crate::decide::policy::{Policy, ThresholdOptions};
use crate::decide::snapshot::{Observation, Snapshot};
use crate::decide::tracker::{RunTracker, meta_for, pid_file_id};
use crate::decide::verdict::{Verdict, judge};
use crate::error::Error;
use crate::record::step_name::StepName;
use crate::step::snapshot::{SnapshotReader, refuse_newer, settled};

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
    let observation = tracker.note(&snapshot);
    let meta = meta_for(&snapshot, pid_file_id(&snapshot));
    let policy = Policy::resolve(thresholds, meta)?;
    let verdict = judge(&observation, &policy, snapshot.at);
    Ok(Assessment { snapshot, observation, policy, verdict })
}

/// Judges a step, once it stands still, by its files and process alone: no threshold applies.
///
/// # Errors
/// A sentence: it cannot be read, or a newer program wrote its record.
pub(crate) fn assess_settled(reader: &mut SnapshotReader) -> Result<Assessment, Error> {
    let (snapshot, observation) = settled(reader)?;
    let policy = Policy::without_limits(snapshot.at);
    let verdict = judge(&observation, &policy, snapshot.at);
    Ok(Assessment { snapshot, observation, policy, verdict })
}
