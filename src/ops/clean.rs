//! `clean`: deletes finished runs, with the step's history.
//!
//! A run that lives, or may live elsewhere, stays; so do locks, whose absence would let two runs start at once, and circuit
//! breakers, whose count a tidy directory must not reset. An end that was not recorded yet is recorded and counted first.

use crate::decide::policy::GRACE;
use crate::decide::recovery::Plan;
use crate::error::{Error, ErrorKind};
use crate::ops::check::{CheckOptions, plans};
use crate::ops::{absence, each_once, open};
use crate::record::file_names::{Record, file_name, parse_file_name, parse_temporary_name};
use crate::record::step_name::StepName;
use crate::record::time::WallTime;
use crate::step::prepare::{
    acquire_step_lock, adopt_lock_file, finalize_previous_run, remove_previous_records, remove_stale_temp_files,
};
use crate::step::snapshot::{SnapshotReader, local_context};
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Which runs to delete.
#[derive(Clone, Debug)]
pub(crate) struct Clean {
    /// The monitor directory.
    pub(crate) directory: PathBuf,
    /// Which steps.
    pub(crate) which: Which,
    /// Whether it is only said.
    pub(crate) dry_run: bool,
}

/// Which steps.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// All.
    All,
    /// These.
    Named(Vec<StepName>),
    /// All of which nothing has been written for this long.
    OlderThan(Duration),
}

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

/// Deletes them; a step that is named and lives, or was never there, is reported.
///
/// # Errors
/// `ErrorKind::Internal` where the directory cannot be read.
pub(crate) fn clean(request: &Clean, trouble: &mut dyn FnMut(&str)) -> Result<Vec<Cleaned>, Error> {
    let directory = open(&request.directory)?;
    let there = records(&directory)?;
    let (steps, named) = match &request.which {
        Which::Named(steps) => (each_once(steps), true),
        Which::All => (there.keys().cloned().collect(), false),
        Which::OlderThan(age) => {
            let before = clock::wall().minus(*age);
            (
                there
                    .iter()
                    .filter(|(_, files)| newest(&directory, &files.published) <= before)
                    .map(|(step, _)| step.clone())
                    .collect(),
                false,
            )
        }
    };
    let here = Arc::new(local_context(&directory));
    let mut done = Vec::new();
    for step in steps {
        let cleaned = |gone, detail, absent| Cleaned { step: step.as_str().to_owned(), gone, detail, absent };
        let Some(files) = there.get(&step) else {
            done.push(cleaned(false, Some(absence(&directory, &step)), true));
            continue;
        };
        let outcome = if request.dry_run {
            may_go(request, &step)?
        } else {
            let mut reader = SnapshotReader::new(Arc::clone(&directory), step.clone(), Arc::clone(&here));
            take_away(&mut reader, files, trouble)
        };
        match outcome {
            Ok(()) => done.push(cleaned(true, None, false)),
            // Who asks for what is old does not ask for what runs.
            Err(error) if !named && error.kind() == ErrorKind::AlreadyRunning => {}
            Err(error) => done.push(cleaned(false, Some(error.to_string()), false)),
        }
    }
    Ok(done)
}

/// What a clean takes away of one step.
#[derive(Debug, Default)]
struct StepFiles {
    /// Its records.
    published: Vec<String>,
    /// What writers left that were killed, if none of them writes still.
    unpublished: Vec<String>,
}

/// The files of each step that a clean takes away.
fn records(directory: &MonitorDir) -> Result<BTreeMap<StepName, StepFiles>, Error> {
    let names =
        directory.names().map_err(|error| Error::io(format!("cannot list {}", directory.path().display()), error))?;
    let mut steps: BTreeMap<StepName, StepFiles> = BTreeMap::new();
    for name in names {
        let counts = |(_, record): &(&str, Record)| !matches!(record, Record::Lock | Record::Breaker);
        let published = parse_file_name(&name).filter(counts).and_then(|(step, _)| StepName::parse(step).ok());
        let unpublished = parse_temporary_name(&name).and_then(|step| StepName::parse(step).ok());
        if let Some(step) = published {
            steps.entry(step).or_default().published.push(name);
        } else if let Some(step) = unpublished {
            steps.entry(step).or_default().unpublished.push(name);
        }
    }
    Ok(steps)
}

/// When any of these was last written.
fn newest(directory: &MonitorDir, files: &[String]) -> WallTime {
    // Waiters add to the history what ended long ago.
    let is_of_run = |name: &&String| parse_file_name(name).is_none_or(|(_, record)| record != Record::History);
    let times = files
        .iter()
        .filter(is_of_run)
        .filter_map(|name| directory.stat(name).ok()?.stamp().map(|stamp| stamp.modified));
    // What has no time cannot be called old.
    times.max().unwrap_or(WallTime::from_nanos(i64::MAX))
}

fn may_go(request: &Clean, step: &StepName) -> Result<Result<(), Error>, Error> {
    let plans = plans(&CheckOptions::new(&request.directory).step(step.clone()))?;
    let stays = plans.iter().any(|(_, plan)| matches!(plan, Plan::Wait | Plan::End(_)));
    Ok(if stays {
        Err(Error::already_running(format!("step {step} is running; end it first with: dogwatch kill {step}")))
    } else {
        Ok(())
    })
}

/// With the lock held and the pid removed first, a concurrent reader sees a step that has not started.
fn take_away(reader: &mut SnapshotReader, files: &StepFiles, trouble: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let (directory, step) = (&Arc::clone(reader.directory()), &reader.step().clone());
    let lock = acquire_step_lock(directory, reader, step)?;
    reader.assume_lock_held(&lock);
    finalize_previous_run(reader, GRACE, trouble)?;
    remove_previous_records(directory, step)?;
    for record in [Record::Heartbeat, Record::Log, Record::Meta, Record::History] {
        let name = file_name(step, record);
        directory
            .remove(&name)
            .map_err(|error| Error::io(format!("cannot remove {}", directory.join(&name).display()), error))?;
    }
    // What killed runs left unpublished.
    adopt_lock_file(&lock, directory, step, "");
    remove_stale_temp_files(directory, step, &files.unpublished);
    lock.release();
    Ok(())
}
