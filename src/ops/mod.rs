//! The operations, one file a subcommand: read, evaluate, act, report. `cli` calls them, and so may another Rust program.
//!
//! Requests come in as values that are already valid, and reports go out as values; parsing and printing is `cli`'s.

pub(crate) mod beat;
pub(crate) mod breaker;
pub(crate) mod brief;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod directory;
pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod one_call;
mod parallel;
#[cfg(feature = "preflight")]
pub(crate) mod preflight;
pub(crate) mod project;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod schema;
pub(crate) mod select;
pub(crate) mod self_managed;
pub(crate) mod skill;
pub(crate) mod wait;

use crate::error::Error;
use crate::ops::history::is_known;
use crate::ops::project::Project;
use crate::record::file_names::{Record, parse_file_name};
use crate::record::step_name::StepName;
use crate::step::snapshot::{SnapshotReader, local_context};
use crate::sys::fs::monitor_dir::MonitorDir;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The steps, or circuit breakers, of which one of these records is there, by name.
///
/// # Errors
/// The directory cannot be listed.
fn steps_with(directory: &MonitorDir, is_meant: impl Fn(Record) -> bool) -> Result<BTreeSet<StepName>, Error> {
    let names = names(directory)?;
    let meant = names.iter().filter_map(|name| parse_file_name(name)).filter(|(_, record)| is_meant(*record));
    Ok(meant.filter_map(|(step, _)| StepName::parse(step).ok()).collect())
}

/// The step, or circuit breaker, that is named, else all of which this record is there.
///
/// # Errors
/// The directory cannot be listed.
fn named_or_with(directory: &MonitorDir, name: Option<&StepName>, record: Record) -> Result<Vec<StepName>, Error> {
    match name {
        Some(name) => Ok(vec![name.clone()]),
        None => Ok(steps_with(directory, |other| other == record)?.into_iter().collect()),
    }
}

/// The names of all files of a directory.
///
/// # Errors
/// The directory cannot be listed.
fn names(directory: &MonitorDir) -> Result<Vec<String>, Error> {
    directory.names().map_err(|error| Error::io(format!("cannot list {}", directory.path().display()), error))
}

/// The steps that have started in a directory.
fn steps_there(directory: &MonitorDir) -> Vec<String> {
    let steps = steps_with(directory, Record::shows_start).unwrap_or_default();
    steps.iter().map(StepName::to_string).collect()
}

/// These steps, or tags, each once.
pub(crate) fn each_once<'names>(names: impl IntoIterator<Item = &'names StepName>) -> Vec<StepName> {
    let mut seen = HashSet::new();
    names.into_iter().filter(|step| seen.insert(step.as_str())).cloned().collect()
}

/// The sentence about a step that is not there: which steps are, the one of the nearest name, and how to start one.
fn absence(directory: &MonitorDir, step: &StepName) -> String {
    const SHOWN: usize = 10;
    let place = directory.path().display();
    let hint = || Project::hint(directory.path()).map_or_else(String::new, |hint| format!("; {hint}"));
    if !directory.is_there() {
        return format!("there is no directory {place}; start the step with: dogwatch run {step} -- COMMAND{}", hint());
    }
    let mut there = steps_there(directory);
    // It may have started since it was missed.
    there.retain(|name| name != step.as_str());
    if there.is_empty() {
        return format!("no step has started in {place}; start it with: dogwatch run {step} -- COMMAND{}", hint());
    }
    let more = if there.len() > SHOWN { format!(" and {} more", there.len() - SHOWN) } else { String::new() };
    let nearest = nearest(step.as_str(), &there).map_or_else(String::new, |name| format!("; did you mean {name}?"));
    format!(
        "there is no step {step} in {place}; there {} {}{more}{nearest}",
        if there.len() == 1 { "is" } else { "are:" },
        there[..there.len().min(SHOWN)].join(", ")
    )
}

/// Whether a step is not there, and others are: its name may be misspelt.
fn is_missing(directory: &MonitorDir, step: &StepName) -> bool {
    if is_known(directory, step) {
        return false;
    }
    let there = steps_there(directory);
    // It may have started since it was missed.
    !there.is_empty() && !there.iter().any(|name| name == step.as_str())
}

/// Warns at once of names that may be misspelt: the wait for a start is long.
fn warn_of_missing(directory: &MonitorDir, steps: &[StepName], warn: &mut dyn FnMut(&str)) {
    for step in steps.iter().filter(|step| is_missing(directory, step)) {
        warn(&format!("{}; waiting for it to start", absence(directory, step)));
    }
}

/// The name that was probably meant: the most similar one, where it is similar enough.
fn nearest<'names>(name: &str, names: &'names [String]) -> Option<&'names str> {
    /// Jaro-Winkler, 0 to 1; clap asks for as much before it makes a suggestion.
    const SIMILAR: f64 = 0.7;
    let likeness = names.iter().map(|other| (strsim::jaro_winkler(name, other), other.as_str()));
    let best = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(likeness, _)| *likeness > SIMILAR).map(|(_, name)| name)
}

/// Makes the readers of the steps' files in one directory.
fn readers(directory: &Arc<MonitorDir>) -> impl Fn(&StepName) -> SnapshotReader + use<> {
    let (directory, here) = (Arc::clone(directory), Arc::new(local_context(directory)));
    move |step| SnapshotReader::new(Arc::clone(&directory), step.clone(), Arc::clone(&here))
}

/// A reader of one step's files.
fn reader(directory: &Arc<MonitorDir>, step: &StepName) -> SnapshotReader {
    readers(directory)(step)
}

/// A directory of steps, which need not be there.
///
/// # Errors
/// It cannot be read, or lies in a base that is another user's.
fn open(directory: &Path) -> Result<Arc<MonitorDir>, Error> {
    let directory = MonitorDir::at(directory.to_path_buf());
    directory.check_readable()?;
    Ok(Arc::new(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_none_that_is_not_similar() {
        let names = ["build", "build-docs", "test"].map(str::to_owned);
        assert_eq!(nearest("biuld", &names), Some("build"));
        assert_eq!(nearest("build-dcos", &names), Some("build-docs"));
        assert_eq!(nearest("zzz", &names), None);
        assert_eq!(nearest("build", &[]), None);
    }

    #[test]
    fn a_step_that_starts_just_then_is_not_named_in_its_own_place() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["deploy.pid", "build.pid"] {
            std::fs::write(folder.path().join(name), "1").unwrap();
        }
        let directory = MonitorDir::at(folder.path().to_path_buf());
        let sentence = absence(&directory, &StepName::parse("deploy").unwrap());
        assert!(sentence.ends_with("; there is build"), "{sentence}");
    }
}
