//! What a terminator is about to do to a run, published in the run's record before its first signal, and taken back where
//! nothing came of it. `step::terminate` calls it; the runner has `own_run`.

use crate::error::Error;
use crate::record::evidence::TreeProcess;
use crate::record::meta::Meta;
use crate::record::outcome::Intent;
use crate::record::pid::PidFileId;
use crate::record::time::millis;
use crate::step::outcome::{RunStatus, change_record, run_status};
use crate::step::snapshot::SnapshotReader;
use crate::sys::process::tree::Escalation;

/// What came of announcing an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It stands in the record now.
    First,
    /// Another terminator had announced its own, and that stays.
    Joined,
    /// The run had an outcome already, or another run has the step now: nothing is to be ended.
    Over,
}

/// Announces what a terminator is about to record, with the tree as it then was. With `escalation` the wrapper is asked to
/// end its own tree so: once it gets a signal it reads that in the record.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn announce(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    intent: Intent,
    detail: &str,
    evidence: Option<&[TreeProcess]>,
    escalation: Option<Escalation>,
) -> Result<Announced, Error> {
    let mut announced = Announced::First;
    let status = change(reader, run, |meta| {
        let first = meta.announce(intent, detail, evidence.map(<[TreeProcess]>::to_vec));
        announced = if first { Announced::First } else { Announced::Joined };
        // An announcer that was refused has seen nothing of the tree; one that was not is ending it already.
        let sees_more = meta.evidence.is_none() && evidence.is_some();
        if sees_more {
            meta.evidence = evidence.map(<[TreeProcess]>::to_vec);
        }
        let asks = escalation.filter(|_| meta.end_within_ms.is_none());
        if let Some(Escalation { signal, grace }) = asks {
            (meta.end_within_ms, meta.end_signal) = (Some(millis(grace)), Some(signal.to_string()));
        }
        first || sees_more || asks.is_some()
    })?;
    Ok(match status {
        RunStatus::Running => announced,
        RunStatus::Ended | RunStatus::Replaced => Announced::Over,
    })
}

/// Takes an intent back of which nothing came: the run goes on, and its own end will be reported as it is.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn withdraw(reader: &mut SnapshotReader, run: Option<PidFileId>, intent: Intent) -> Result<(), Error> {
    change(reader, run, |meta| {
        let stands = meta.intent == Some(intent) && meta.reason.is_none();
        if stands {
            meta.withdraw(None);
        }
        stands
    })
    .map(|_status| ())
}

/// Changes the record of a run that has no outcome yet; published where `by` says that it changed.
fn change(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    by: impl FnOnce(&mut Meta) -> bool,
) -> Result<RunStatus, Error> {
    let mut status = RunStatus::Running;
    change_record(reader, |meta, snapshot| {
        status = run_status(snapshot, run);
        matches!(status, RunStatus::Running) && by(meta)
    })?;
    Ok(status)
}
