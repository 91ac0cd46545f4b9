//! The history of a step on disk: which runs have ended, and how. Called where an end is recorded or first noticed.

use crate::record::file_names::{Record, TempFile, file_name, record_lock};
use crate::record::file_state::FileState;
use crate::record::history::{HistoryEntry, LONGEST, encode, expected_ms, parse};
use crate::record::step_name::StepName;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::io;
use std::time::Duration;

/// How long a writer is waited for: it writes one small file.
const WRITER: Duration = Duration::from_secs(1);

/// The ended runs of a step, the oldest first; none where there is no history, or one that cannot be read.
pub(crate) fn read(directory: &MonitorDir, step: &StepName) -> Vec<HistoryEntry> {
    let read = directory.read(&file_name(step, Record::History), LONGEST);
    read.ok().as_ref().and_then(FileState::content).map(|bytes| parse(bytes)).unwrap_or_default()
}

/// The same, after a process that has just recorded an end has added it: the status is out before the history is.
pub(crate) fn read_after_writer(directory: &MonitorDir, step: &StepName) -> Vec<HistoryEntry> {
    let is_there = directory.stat(&record_lock(step)).is_ok_and(|file| file.is_there());
    let held = is_there.then(|| Lock::take(&directory.file(&record_lock(step)), WRITER)).transpose();
    let entries = read(directory, step);
    drop(held);
    entries
}

/// How long a run of the step usually takes, in milliseconds.
pub(crate) fn expected(directory: &MonitorDir, step: &StepName) -> Option<u64> {
    expected_ms(&read(directory, step))
}

/// Adds a run, once. The caller holds the record lock: two writers would each lose the other's line.
///
/// # Errors
/// The file cannot be written.
pub(super) fn append(directory: &MonitorDir, step: &StepName, entry: HistoryEntry) -> io::Result<()> {
    let mut entries = read(directory, step);
    if entries.iter().any(|known| known.run_id == entry.run_id) {
        return Ok(());
    }
    // A record of another writer may hold any text there, a path among others.
    let is_plain = |one: &char| one.is_ascii_alphanumeric() || *one == '-';
    let run: String = entry.run_id.chars().filter(is_plain).take(64).collect();
    entries.push(entry);
    // Named after the run: what a killed writer leaves is removed with all that its run had not published.
    let temporary = TempFile::Start(Record::History).of(step, &run);
    directory.file(&temporary).remove()?;
    directory.publish(&temporary, &file_name(step, Record::History), &encode(&entries), None)
}
