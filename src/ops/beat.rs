//! `beat`: a sign of life, for scripts that are their own wrapper and commands that beat for themselves.
//!
//! If the heartbeat file exists, this is one system call.

use crate::error::Error;
use crate::record::file_names::{Record, file_name};
use crate::record::step_name::StepName;
use crate::sys::fs::at::FileAt;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::path::{Path, PathBuf};

/// Beats for a step of a directory.
///
/// # Errors
/// `ErrorKind::Internal` where the heartbeat cannot be written.
pub(crate) fn beat(directory: PathBuf, step: &StepName) -> Result<(), Error> {
    let directory = MonitorDir::at(directory);
    beat_at(&directory.join(&file_name(step, Record::Heartbeat)))
}

/// Beats at the place that a run told its COMMAND.
///
/// # Errors
/// As [`beat`].
pub(crate) fn beat_at(path: &Path) -> Result<(), Error> {
    FileAt::by_path(path).touch().map_err(|error| Error::io(format!("cannot beat {}", path.display()), error))
}
