//! `beat`: a sign of life, for scripts that are their own wrapper and commands that beat for themselves.
//!
//! Refuses to do more than one system call where the heartbeat is there.

use super::Error;
use crate::os::beat::touch;
use crate::os::directory::{Directory, why};
use crate::protocol::layout::{Record, file_name};
use crate::protocol::step::StepName;
use std::path::{Path, PathBuf};

/// Beats for a step of a directory.
///
/// # Errors
/// [`Error::Own`] where the heartbeat cannot be written.
pub(crate) fn beat(directory: PathBuf, step: &StepName) -> Result<(), Error> {
    let directory = Directory::at(directory);
    beat_at(&directory.join(&file_name(step, Record::Heartbeat)))
}

/// Beats at the place that a run told its COMMAND.
///
/// # Errors
/// As [`beat`].
pub(crate) fn beat_at(path: &Path) -> Result<(), Error> {
    touch(path).map_err(|error| Error::Own(format!("cannot beat {}: {}", path.display(), why(&error))))
}
