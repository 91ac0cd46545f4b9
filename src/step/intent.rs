//! What a terminator is about to do to a run, published in the run's record before its first signal, and taken back where
//! nothing came of it. `step::terminate` calls it; the runner has `own_run`.

use crate::decide::tracker::PidFileId;
use crate::error::io_reason;
use crate::record::evidence::TreeProcess;
use crate::record::meta::Meta;
use crate::record::outcome::Intent;
use crate::record::time::millis;
use crate::step::outcome::{RunStatus, known_meta, lock, standing};
use crate::step::publisher::Publisher;
use crate::step::snapshot::SnapshotReader;
use std::time::Duration;

/// What came of announcing an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It stands in the record now.
    First,
    /// Another terminator had announced its own, and that stays.
    Joined,
    /// The run had an outcome already.
    Ended,
    /// Another run has the step now.
    Replaced,
}

/// Announces what a terminator is about to record, with the tree as it then was. With `grace` the wrapper is asked to end
/// its own tree: once it gets a signal it reads that in the record.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn announce(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    intent: Intent,
    detail: &str,
    evidence: Option<&[TreeProcess]>,
    grace: Option<Duration>,
) -> Result<Announced, String> {
    let mut announced = Announced::First;
    let standing = change(reader, run, &mut |meta| {
        // The first announcer's word counts, and what it saw: two terminators then report the same, and the second sees a
        // tree that the first is ending already. Only one that was refused has seen nothing.
        let (first, sees_more) = (meta.intent.is_none(), meta.evidence.is_none() && evidence.is_some());
        announced = if first { Announced::First } else { Announced::Joined };
        if first {
            meta.intent = Some(intent);
            meta.detail = Some(detail.to_owned());
            meta.announcements += 1;
        }
        if first || sees_more {
            meta.evidence = evidence.map(<[TreeProcess]>::to_vec);
        }
        let asks = grace.map(millis).filter(|_| meta.end_within_ms.is_none());
        meta.end_within_ms = meta.end_within_ms.or(asks);
        first || sees_more || asks.is_some()
    })?;
    Ok(match standing {
        RunStatus::Running => announced,
        RunStatus::Ended => Announced::Ended,
        RunStatus::Replaced => Announced::Replaced,
    })
}

/// Takes an intent back of which nothing came, or not all: the run goes on, and its own end will be reported as it is. With
/// the processes that could not be ended.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn withdraw(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    intent: Intent,
    survivors: Option<&str>,
) -> Result<(), String> {
    change(reader, run, &mut |meta| {
        let stands = meta.intent == Some(intent) && meta.reason.is_none();
        if stands {
            (meta.intent, meta.end_within_ms, meta.detail, meta.evidence) = (None, None, None, None);
            meta.survivors = survivors.map(str::to_owned);
            meta.announcements += 1;
        }
        stands
    })
    .map(|_standing| ())
}

/// Changes the record of a run that has no outcome yet, under the record lock; published where `by` says that it changed.
fn change(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    by: &mut dyn FnMut(&mut Meta) -> bool,
) -> Result<RunStatus, String> {
    let directory = reader.directory().clone();
    let step = reader.step().clone();
    let held = lock(&directory, &step)?;
    let look = reader.look().map_err(|error| format!("cannot look at {step} again: {}", io_reason(&error)))?;
    let standing = standing(&look, run);
    if matches!(standing, RunStatus::Running) {
        let mut meta = known_meta(&look, &step);
        if by(&mut meta) {
            Publisher { directory: &directory, step: &step }.publish_meta(&meta, None)?;
        }
    }
    held.release();
    Ok(standing)
}
