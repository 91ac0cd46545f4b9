//! `history`: which runs of a step have ended, when and how.

use crate::error::Error;
use crate::ops::{absence, named_or_with, open};
use crate::record::SCHEMA;
use crate::record::file_names::{Record, file_name};
use crate::record::history::HistoryEntry;
use crate::record::step_name::StepName;
use crate::step::history;
use crate::sys::fs::monitor_dir::MonitorDir;
use serde::Serialize;
use std::path::Path;

/// One ended run. As JSON it is one object with these keys.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EndedRun {
    /// The form of this object.
    schema: u64,
    /// The step.
    pub(crate) step: String,
    /// The run.
    #[serde(flatten)]
    pub(crate) run: HistoryEntry,
}

/// The ended runs of a step, or of all steps, the oldest first.
///
/// # Errors
/// `ErrorKind::NotStarted` where there is no such step, `ErrorKind::Internal` where the directory cannot be read.
pub(crate) fn history(directory: &Path, named: Option<&StepName>) -> Result<Vec<EndedRun>, Error> {
    let directory = open(directory)?;
    let mut ended = Vec::new();
    for step in named_or_with(&directory, named, Record::History)? {
        let runs = history::read_after_writer(&directory, &step);
        // What else has such a name, a directory for one, spoils no answer of all.
        if runs.is_empty() && named.is_some() && !is_known(&directory, &step) {
            return Err(Error::not_started(absence(&directory, &step)));
        }
        ended.extend(runs.into_iter().map(|run| EndedRun { schema: SCHEMA, step: step.to_string(), run }));
    }
    Ok(ended)
}

/// Whether any file shows that the step has started.
pub(crate) fn is_known(directory: &MonitorDir, step: &StepName) -> bool {
    let is_there = |record| directory.stat(&file_name(step, record)).is_ok_and(|file| file.is_there());
    Record::ALL.into_iter().any(|record| record.shows_start() && is_there(record))
}
