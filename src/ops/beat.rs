//! `beat`: a sign of life, for scripts that are their own wrapper and commands that beat for themselves.
//!
//! For a step that is there it takes two system calls.

use crate::error::Error;
use crate::ops::{absence, is_missing, open};
use crate::record::file_names::{Record, file_name};
use crate::record::step_name::StepName;
use crate::sys::fs::at::FileAt;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::path::{Path, PathBuf};

/// Beats for a step of a directory. A sentence where the name may be misspelt: the beat is the first sign of the step, and
/// other steps are there.
///
/// # Errors
/// `ErrorKind::NotStarted` where the directory is not there, `ErrorKind::Internal` where the heartbeat cannot be written.
pub(crate) fn beat(directory: PathBuf, step: &StepName) -> Result<Option<String>, Error> {
    let directory = MonitorDir::at(directory);
    let path = directory.join(&file_name(step, Record::Heartbeat));
    let warning = is_missing(&directory, step)
        .then(|| format!("{}; this heartbeat is its first sign", absence(&directory, step)));
    beat_at(&path).map_err(|error| match open(directory.path()) {
        Err(refusal) => refusal,
        Ok(_) if !directory.is_there() => Error::not_started(absence(&directory, step)),
        Ok(_) => error,
    })?;
    Ok(warning)
}

/// Beats at the place that a run told its COMMAND.
///
/// # Errors
/// As [`beat`].
pub(crate) fn beat_at(path: &Path) -> Result<(), Error> {
    FileAt::by_path(path).touch().map_err(|error| Error::io(format!("cannot beat {}", path.display()), error))
}
