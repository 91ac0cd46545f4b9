//! Whether the end of a run has been told to a caller of `run --for`: a mark in the run's record, so that callers that are
//! killed, race or come late neither lose an end nor start the work a second time. Called by `ops::one_call` and
//! `runner::start`.

use crate::decide::snapshot::Snapshot;
use crate::error::Error;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::FileState;
use crate::record::step_name::StepName;
use crate::step::outcome::{change_record, change_record_of};
use crate::step::snapshot::SnapshotReader;
use crate::sys::fs::monitor_dir::MonitorDir;

/// Whether a caller waits for the end of the run that stands there, or has waited for it and was not told.
pub(crate) fn is_owed(snapshot: &Snapshot) -> bool {
    // The record may be all that is left of the run: a later run that was killed on its start has taken the pid away.
    snapshot.possible_meta().is_some_and(|meta| meta.told == Some(false))
}

/// Notes in the record of the run that stands there that its end is owed to a caller.
///
/// # Errors
/// A sentence: the record cannot be written.
pub(crate) fn owe(reader: &mut SnapshotReader) -> Result<(), Error> {
    change_record(reader, |meta, _| {
        let is_new = meta.told.is_none();
        meta.told.get_or_insert(false);
        is_new
    })
}

/// Notes that the end of this run was told. Nothing happens where another run has the step, or the run goes on.
///
/// # Errors
/// A sentence: the record cannot be written, and the end will be told once more.
pub(crate) fn mark_told(directory: &MonitorDir, step: &StepName, run: &str) -> Result<(), Error> {
    change_record_of(directory, step, run, |meta| {
        // Another process than the run's own may have told its end, by the status alone.
        let has_status = || matches!(directory.stat(&file_name(step, Record::Status)), Ok(FileState::Present { .. }));
        let applies = meta.told == Some(false) && (meta.reason.is_some() || has_status());
        if applies {
            meta.told = Some(true);
        }
        applies
    })
}
