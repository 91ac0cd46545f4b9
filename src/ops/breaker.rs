//! `breaker`: shows, closes and feeds a circuit breaker by hand.
//!
//! Refuses to invent a run: what is recorded by hand counts as one of its own.

use crate::decide::breaker::{MAX_CONSECUTIVE, count, is_open, reset as closed};
use crate::error::Error;
use crate::ops::history::is_known;
use crate::ops::report::BreakerStatus;
use crate::record::breaker::BreakerRecord;
use crate::record::file_names::{Record, file_name, parse_file_name};
use crate::record::outcome::Reason;
use crate::record::step_name::StepName;
use crate::step::breaker_file;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::{clock, env};
use std::path::PathBuf;

fn shown(record: &BreakerRecord, name: &StepName, max_consecutive: u32) -> BreakerStatus {
    BreakerStatus {
        name: name.as_str().to_owned(),
        consecutive_failures: record.consecutive_failures,
        max_consecutive,
        open: is_open(record, max_consecutive),
    }
}

/// The breakers of a directory, or the one that is named.
///
/// # Errors
/// `ErrorKind::Internal` where a record cannot be read.
pub(crate) fn show(
    directory: PathBuf,
    name: Option<&StepName>,
    max_consecutive: Option<u32>,
) -> Result<Vec<BreakerStatus>, Error> {
    let directory = MonitorDir::at(directory);
    crate::ops::readable(&directory)?;
    let names = match name {
        Some(name) => vec![name.clone()],
        None => breakers(&directory),
    };
    let limit = max_consecutive.unwrap_or(MAX_CONSECUTIVE);
    let read = |name: &StepName| breaker_file::read(&directory, name).map(|record| shown(&record, name, limit));
    names.iter().map(read).collect()
}

/// Closes a circuit; every one of the directory where none is named.
///
/// # Errors
/// `ErrorKind::NotStarted` where there is neither such a breaker nor such a step, `ErrorKind::Internal` where a record cannot be
/// written.
pub(crate) fn reset(directory: PathBuf, name: Option<&StepName>) -> Result<Vec<BreakerStatus>, Error> {
    let directory = MonitorDir::at(directory);
    crate::ops::readable(&directory)?;
    let names = match name {
        Some(name) => vec![known(&directory, name)?],
        None => breakers(&directory),
    };
    let change = |name: &StepName| {
        let record = breaker_file::change(&directory, name, closed)?;
        Ok(shown(&record, name, MAX_CONSECUTIVE))
    };
    names.iter().map(change).collect()
}

/// Counts one success or failure.
///
/// # Errors
/// `ErrorKind::Internal` where the record cannot be written.
pub(crate) fn record(
    directory: PathBuf,
    name: &StepName,
    success: bool,
    max_consecutive: Option<u32>,
) -> Result<BreakerStatus, Error> {
    let directory = MonitorDir::at(directory);
    directory.create()?;
    let reason = if success { Reason::Success } else { Reason::Failed };
    let id = env::unique();
    let after = breaker_file::change(&directory, name, |record| count(record, &id, reason, clock::wall()))?;
    Ok(shown(&after, name, max_consecutive.unwrap_or(MAX_CONSECUTIVE)))
}

/// A breaker that is there, or that of a step without a failure.
fn known(directory: &MonitorDir, name: &StepName) -> Result<StepName, Error> {
    let is_there = directory.stat(&file_name(name, Record::Breaker)).is_ok_and(|file| file.is_there());
    if is_there || is_known(directory, name) {
        return Ok(name.clone());
    }
    let place = directory.path().display();
    let there: Vec<String> = breakers(directory).iter().map(|name| name.as_str().to_owned()).collect();
    let there = match there.as_slice() {
        [] => "and none of another name".to_owned(),
        names => format!("there are: {}", names.join(", ")),
    };
    Err(Error::not_started(format!("there is no circuit breaker {name} in {place}; {there}")))
}

fn breakers(directory: &MonitorDir) -> Vec<StepName> {
    let mut names: Vec<StepName> = directory
        .names()
        .unwrap_or_default()
        .iter()
        .filter_map(|file| parse_file_name(file))
        .filter(|(_, record)| *record == Record::Breaker)
        .filter_map(|(name, _)| StepName::parse(name).ok())
        .collect();
    names.sort();
    names
}
