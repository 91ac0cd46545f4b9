//! `breaker`: shows, closes and feeds a circuit breaker by hand.
//!
//! A result that is recorded by hand counts as a run of its own.

use crate::decide::breaker::{MAX_CONSECUTIVE, count, reset as closed};
use crate::error::Error;
use crate::ops::history::is_known;
use crate::ops::report::BreakerStatus;
use crate::ops::{named_or_with, open};
use crate::record::file_names::{Record, file_name};
use crate::record::outcome::Reason;
use crate::record::step_name::StepName;
use crate::step::breaker_file;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::{clock, env};
use std::path::Path;

/// Breakers, each or why it cannot be told: one that cannot be read hides no other.
type Statuses = Vec<Result<BreakerStatus, Error>>;

/// The breakers of a directory, or the one that is named.
///
/// # Errors
/// `ErrorKind::Internal` where the directory cannot be read.
pub(crate) fn show(directory: &Path, name: Option<&StepName>, max_consecutive: u32) -> Result<Statuses, Error> {
    let directory = open(directory)?;
    let status = |name| Ok(BreakerStatus::of(&breaker_file::read(&directory, name)?, name, max_consecutive));
    Ok(named_or_with(&directory, name, Record::Breaker)?.iter().map(status).collect())
}

/// Closes a circuit; every one of the directory where none is named.
///
/// # Errors
/// `ErrorKind::NotStarted` where there is neither such a breaker nor such a step, `ErrorKind::Internal` where the directory
/// cannot be read.
pub(crate) fn reset(directory: &Path, name: Option<&StepName>) -> Result<Statuses, Error> {
    let directory = open(directory)?;
    if let Some(name) = name {
        check_known(&directory, name)?;
    }
    let change = |name: &StepName| {
        let record = breaker_file::update(&directory, name, closed)?;
        Ok(BreakerStatus::of(&record, name, MAX_CONSECUTIVE))
    };
    Ok(named_or_with(&directory, name, Record::Breaker)?.iter().map(change).collect())
}

/// Counts one success or failure.
///
/// # Errors
/// `ErrorKind::Internal` where the record cannot be written.
pub(crate) fn record(
    directory: &Path,
    name: &StepName,
    success: bool,
    max_consecutive: u32,
) -> Result<BreakerStatus, Error> {
    let directory = MonitorDir::at(directory.to_path_buf());
    directory.create()?;
    let reason = if success { Reason::Success } else { Reason::Failed };
    let id = env::unique();
    let after = breaker_file::update(&directory, name, |record| count(record, &id, reason, clock::wall()))?;
    Ok(BreakerStatus::of(&after, name, max_consecutive))
}

/// Refuses a name that is neither a breaker's nor that of a step without a failure.
fn check_known(directory: &MonitorDir, name: &StepName) -> Result<(), Error> {
    let is_there = directory.stat(&file_name(name, Record::Breaker)).is_ok_and(|file| file.is_there());
    if is_there || is_known(directory, name) {
        return Ok(());
    }
    let place = directory.path().display();
    let there = named_or_with(directory, None, Record::Breaker)?;
    let there: Vec<&str> = there.iter().map(StepName::as_str).collect();
    let there = match there.as_slice() {
        [] => "and none of another name".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    Err(Error::not_started(format!("there is no circuit breaker {name} in {place}; {there}")))
}
