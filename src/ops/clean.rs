//! `clean`: deletes finished runs, with the step's history.
//!
//! A run that lives, or may live elsewhere, stays; so do locks, whose absence would let two runs start at once, and circuit
//! breakers, whose count a tidy directory must not reset. An end that was not recorded yet is recorded and counted first.

use crate::decide::policy::GRACE;
use crate::decide::recovery::Plan;
use crate::error::{Error, ErrorKind};
use crate::ops::check::{CheckOptions, plans};
use crate::ops::{absence, each_once, names, open, readers};
use crate::record::file_names::{Record, parse_file_name, parse_temporary_name};
use crate::record::step_name::StepName;
use crate::record::time::WallTime;
use crate::step::prepare::{
    acquire_step_lock, adopt_lock_file, finalize_previous_run, remove_previous_records, remove_records,
    remove_stale_temp_files,
};
use crate::step::snapshot::SnapshotReader;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What came of one step. As JSON it is one object with these keys.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cleaned {
    /// The step.
    pub(crate) step: String,
    /// Whether its files are gone, or would be.
    #[serde(rename = "cleaned")]
    pub(crate) gone: bool,
    /// Why not.
    pub(crate) detail: Option<String>,
    #[serde(skip)]
    pub(crate) absent: bool,
}

/// Deletes finished runs, of all steps where none is named, or only says which with `dry_run`; a step that is named and lives,
/// or was never there, is reported. With `older_than` a step stays of which something was written within this time.
///
/// # Errors
/// `ErrorKind::Internal` where the directory cannot be read.
pub(crate) fn clean(
    directory: &Path,
    named: Option<&[StepName]>,
    older_than: Option<Duration>,
    dry_run: bool,
    trouble: &mut dyn FnMut(&str),
) -> Result<Vec<Cleaned>, Error> {
    let directory = open(directory)?;
    let there = records(&directory)?;
    let mut steps = named.map_or_else(|| there.keys().cloned().collect(), each_once);
    if let Some(age) = older_than {
        let before = clock::wall().minus(age);
        steps.retain(|step| newest(&directory, &there[step]) <= before);
    }
    let reader = readers(&directory);
    let mut done = Vec::new();
    for step in steps {
        let cleaned = |gone, detail, absent| Cleaned { step: step.as_str().to_owned(), gone, detail, absent };
        let Some(files) = there.get(&step) else {
            done.push(cleaned(false, Some(absence(&directory, &step)), true));
            continue;
        };
        let outcome =
            if dry_run { may_go(directory.path(), &step) } else { take_away(&mut reader(&step), files, trouble) };
        match outcome {
            Ok(()) => done.push(cleaned(true, None, false)),
            // Who asks for what is old does not ask for what runs.
            Err(error) if named.is_none() && error.kind() == ErrorKind::AlreadyRunning => {}
            Err(error) => done.push(cleaned(false, Some(error.to_string()), false)),
        }
    }
    Ok(done)
}

/// The files of each step that a clean takes away: its records, and what writers left that were killed, if none of them
/// writes still.
fn records(directory: &MonitorDir) -> Result<BTreeMap<StepName, Vec<String>>, Error> {
    let mut steps: BTreeMap<StepName, Vec<String>> = BTreeMap::new();
    for name in names(directory)? {
        let counts = |(_, record): &(&str, Record)| !matches!(record, Record::Lock | Record::Breaker);
        let published = parse_file_name(&name).filter(counts).map(|(step, _)| step);
        let step = published.or_else(|| parse_temporary_name(&name));
        if let Some(step) = step.and_then(|step| StepName::parse(step).ok()) {
            steps.entry(step).or_default().push(name);
        }
    }
    Ok(steps)
}

/// When any of these records was last written.
fn newest(directory: &MonitorDir, files: &[String]) -> WallTime {
    // Waiters add to the history what ended long ago.
    let is_of_run = |name: &&String| parse_file_name(name).is_some_and(|(_, record)| record != Record::History);
    let times = files
        .iter()
        .filter(is_of_run)
        .filter_map(|name| directory.stat(name).ok()?.stamp().map(|stamp| stamp.modified));
    // What has no time cannot be called old.
    times.max().unwrap_or(WallTime::from_nanos(i64::MAX))
}

fn may_go(directory: &Path, step: &StepName) -> Result<(), Error> {
    let plans = plans(&CheckOptions::new(directory).step(step.clone()))?;
    if plans.iter().any(|checked| matches!(checked.plan, Plan::Wait | Plan::End)) {
        return Err(Error::already_running(format!("step {step} is running; end it first with: dogwatch kill {step}")));
    }
    Ok(())
}

/// With the lock held and the pid removed first, a concurrent reader sees a step that has not started.
fn take_away(reader: &mut SnapshotReader, files: &[String], trouble: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let (directory, step) = (&Arc::clone(reader.directory()), &reader.step().clone());
    let lock = acquire_step_lock(reader)?;
    reader.assume_lock_held(&lock);
    finalize_previous_run(reader, GRACE, trouble)?;
    remove_previous_records(directory, step)?;
    remove_records(directory, step, &[Record::Heartbeat, Record::Log, Record::Meta, Record::History])?;
    // What killed runs left unpublished.
    adopt_lock_file(&lock, directory, step, "");
    remove_stale_temp_files(directory, step, files);
    drop(lock);
    Ok(())
}
