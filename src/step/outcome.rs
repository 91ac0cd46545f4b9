//! Records the end of a run once: the first process to notice it records it; all others read that record (I6).
//!
//! An outcome is never overwritten, and none is written for a run that another has replaced: the files are read again
//! under the step's record lock before anything is written. The order is result, breaker, meta, status, history: a reader
//! that sees the status finds all that come before it, and if the writer dies in between, its meta tells the next writer
//! how to go on.

use crate::decide::breaker::MAX_CONSECUTIVE;
use crate::decide::snapshot::{LocalContext, Process, Snapshot, Status};
use crate::decide::tracker::observe;
use crate::error::Error;
use crate::record::file_names::{Record, file_name, record_lock, unpublished};
use crate::record::history::HistoryEntry;
use crate::record::meta::{LONGEST, Meta, ParsedMeta};
use crate::record::outcome::Reason;
use crate::record::pid::PidFileId;
use crate::record::status::ParsedStatus;
use crate::record::step_name::StepName;
use crate::step::publisher::{Ending, Publisher, publish_end};
use crate::step::snapshot::SnapshotReader;
use crate::step::{breaker_file, history};
use crate::sys::env;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::time::Duration;

/// How long the record lock is waited for; it is held for a few reads and renames.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a run that starts waits for it.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Records the end of the run that `run` names, where that had no outcome yet: an outcome that is there stays, and nothing is
/// written for a run that was replaced. Returns how the run stood before.
///
/// # Errors
/// The first thing that could not be written, as a sentence. What could be written after it was: a status without its
/// meta is better than none.
pub(crate) fn record(reader: &mut SnapshotReader, run: Option<PidFileId>, ending: &Ending) -> Result<RunStatus, Error> {
    let directory = reader.directory().clone();
    let step = reader.step().clone();
    let _held = lock(&directory, &step)?;
    let snapshot = reader.read_again()?;
    let before = run_status(&snapshot, run);
    if before == RunStatus::Running {
        let (_, faults) = publish_end(&mut Publisher::new(&directory, &step), known_meta(&snapshot, &step), ending);
        faults.into_iter().next().map_or(Ok(()), Err)?;
    }
    Ok(before)
}

/// Removes what a run that has ended, or never began, left unpublished. Its id is in every name, so nothing of another
/// run's is touched.
pub(crate) fn remove_unpublished(directory: &MonitorDir, step: &StepName, run: &str) {
    for name in unpublished(step, run) {
        // What cannot be removed does no harm: no reader takes it for a record.
        let _stays = directory.file(&name).remove();
    }
}

/// Counts a run whose end stands in the files already, for its breaker. A run counts once, however many processes
/// notice its end.
///
/// # Errors
/// As [`crate::step::breaker_file::update`].
pub(crate) fn count_seen(
    directory: &MonitorDir,
    step: &StepName,
    snapshot: &Snapshot,
    reason: Reason,
) -> Result<(), Error> {
    let meta = known_meta(snapshot, step);
    add_to_history(directory, step, snapshot, &meta, reason);
    breaker_file::count_end(directory, &meta, reason)?;
    if meta.counted || meta.breaker.is_none() || snapshot.run_meta().is_none() {
        return Ok(());
    }
    // The breaker remembers its last runs only: the run's own record keeps it from being counted again after those.
    change_record_of(directory, step, &meta.run_id, |meta| !std::mem::replace(&mut meta.counted, true))
}

/// Changes the record of this run under the record lock, where it stands there; published where `by` says that it changed.
///
/// # Errors
/// [`Error`]; nothing was written.
pub(super) fn change_record_of(
    directory: &MonitorDir,
    step: &StepName,
    run: &str,
    by: impl FnOnce(&mut Meta) -> bool,
) -> Result<(), Error> {
    let _held = lock(directory, step)?;
    if let Some(mut meta) = standing_meta(directory, step).filter(|meta| meta.run_id == run)
        && by(&mut meta)
    {
        Publisher::new(directory, step).publish_meta(&meta)?;
    }
    Ok(())
}

/// The record that stands there, whatever run it speaks of; `None` if there is none that this program understands.
pub(super) fn standing_meta(directory: &MonitorDir, step: &StepName) -> Option<Box<Meta>> {
    let read = directory.read(&file_name(step, Record::Meta), LONGEST).ok()?;
    match ParsedMeta::parse(read.content()?) {
        ParsedMeta::Known(meta) => Some(meta),
        ParsedMeta::Newer(_) | ParsedMeta::Broken(_) => None,
    }
}

/// Adds a run to the history whose writer kept none. No error is reported: a reader of another user's directory may not
/// write there, and misses nothing else. A success makes no history where there is none: who waits for it would have to
/// wait for two new files.
fn add_to_history(directory: &MonitorDir, step: &StepName, snapshot: &Snapshot, meta: &Meta, reason: Reason) {
    let entries = history::read(directory, step);
    if entries.iter().any(|known| known.run_id == meta.run_id) || entries.is_empty() && reason == Reason::Success {
        return;
    }
    let Ok(_held) = lock(directory, step) else { return };
    let ended = snapshot.status.stamp().map(|stamp| stamp.modified);
    let took = meta.took().or_else(|| Some(ended?.since(snapshot.pid_file_id()?.written)));
    let _unwritten = history::append(directory, step, HistoryEntry::of(meta, reason.outcome(), took));
}

/// Takes the lock under which an outcome is recorded, for a run that starts: as long as its files come to stand, no process
/// records the end of another run. `None` if another process keeps it for longer than a record takes, since nothing that
/// is stuck may keep work from starting. Makes its file, if it is missing: a disk with no room for one more file must not
/// keep an end from being recorded later.
///
/// # Errors
/// [`Error`].
pub(crate) fn take_record_lock(directory: &MonitorDir, step: &StepName) -> Result<Option<Lock>, Error> {
    let name = record_lock(step);
    let taken = Lock::take(&directory.file(&name), START_PATIENCE);
    taken.map_err(|error| Error::io(format!("cannot make {}", directory.join(&name).display()), error))
}

/// Takes the lock under which a step's record is changed.
///
/// # Errors
/// A sentence: it cannot be opened, or stays taken.
pub(super) fn lock(directory: &MonitorDir, step: &StepName) -> Result<Lock, Error> {
    directory.lock(&record_lock(step), PATIENCE)
}

/// Changes the record of the run that stands there, under the record lock; published where `by` says that it changed.
///
/// # Errors
/// [`Error`]; nothing was written.
pub(super) fn change_record(
    reader: &mut SnapshotReader,
    by: impl FnOnce(&mut Meta, &Snapshot) -> bool,
) -> Result<(), Error> {
    let (directory, step) = (reader.directory().clone(), reader.step().clone());
    let _held = lock(&directory, &step)?;
    let snapshot = reader.read_again()?;
    let mut meta = known_meta(&snapshot, &step);
    if by(&mut meta, &snapshot) {
        Publisher::new(&directory, &step).publish_meta(&meta)?;
    }
    Ok(())
}

/// What the files say of the run that a caller means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunStatus {
    /// It has no outcome yet.
    Running,
    /// It has one.
    Ended,
    /// Another run has the step now.
    Replaced,
}

pub(super) fn run_status(snapshot: &Snapshot, run: Option<PidFileId>) -> RunStatus {
    if snapshot.pid_file_id() != run {
        return RunStatus::Replaced;
    }
    match snapshot.status.content().and_then(ParsedStatus::word) {
        // Not where it is an earlier run's: older than the living process, or by more than the slack older than the dead one's
        // pid file.
        Some(_) if observe(snapshot).status != Status::Absent => RunStatus::Ended,
        _ => RunStatus::Running,
    }
}

/// The meta record of the run that stands there, or one made up for a plain-shell run.
pub(crate) fn known_meta(snapshot: &Snapshot, step: &StepName) -> Meta {
    let key = snapshot.pid_file_id();
    if let Some(meta) = snapshot.run_meta() {
        return meta.clone();
    }
    let LocalContext { host, boot_id, pid_namespace, time_namespace, local_filesystem, .. } = snapshot.here.as_ref();
    let run_id = match (key, snapshot.status.stamp().or(snapshot.heartbeat.stamp())) {
        (Some(PidFileId { pid, written }), _) => format!("pid-{pid}-{}", written.as_nanos()),
        (None, Some(stamp)) => format!("status-{}", stamp.modified.as_nanos()),
        // With nothing there at all the run is one that only says how it ended: none has its id.
        (None, None) => env::unique(),
    };
    let started = snapshot.process.started().filter(|_| key.is_some());
    // On a shared filesystem a process that is not to be seen may be another host's, and here another namespace's: what
    // is not known is not written down.
    let (here, inside) = match snapshot.process {
        Process::Running { .. } => (true, true),
        Process::Gone { borne_elsewhere: true } | Process::Hidden => (*local_filesystem, false),
        Process::Gone { borne_elsewhere: false } | Process::NotAsked => (*local_filesystem, *local_filesystem),
    };
    Meta {
        run_id,
        host: here.then(|| host.clone()),
        boot_id: here.then(|| boot_id.clone()).filter(|id| !id.is_empty()),
        pid_namespace: pid_namespace.filter(|_| inside),
        time_namespace: time_namespace.filter(|_| started.is_some()),
        pid: key.map(|key| key.pid),
        pid_mtime_ns: key.map(|key| key.written.as_nanos()),
        pid_started_at: started,
        uid: snapshot.pid.stamp().map(|stamp| stamp.owner),
        breaker: Some(step.as_str().to_owned()),
        max_consecutive: Some(MAX_CONSECUTIVE),
        started_at: key.map(|key| key.written.rfc3339()),
        ..Meta::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::file_state::{FileStamp, FileState};
    use crate::record::pid::ParsedPid;
    use crate::record::time::{MonotonicTime, WallTime};
    use std::sync::Arc;

    fn snapshot(process: Process, local_filesystem: bool) -> Snapshot {
        let stamp = FileStamp { modified: WallTime::from_nanos(7), size: 2, inode: 1, owner: 0 };
        let here = LocalContext {
            host: "h".into(),
            boot_id: "b".into(),
            pid_namespace: Some(1),
            local_filesystem,
            ..LocalContext::default()
        };
        let begun =
            Snapshot::empty(MonotonicTime::from_millis(1), WallTime::from_nanos(8), Duration::ZERO, Arc::new(here));
        let pid = FileState::Present { stamp, content: ParsedPid::Pid(5) };
        Snapshot { pid, process, ..begun }
    }

    #[test]
    fn a_record_made_up_for_a_plain_shell_run_places_it_no_more_exactly_than_is_known() {
        let running = Process::Running { started: 3, started_wall: WallTime::from_nanos(3) };
        let gone = |borne_elsewhere| Process::Gone { borne_elsewhere };
        for (process, local, host, namespace) in [
            (running, false, Some("h"), Some(1)),
            (gone(false), true, Some("h"), Some(1)),
            (gone(true), true, Some("h"), None),
            (Process::Hidden, true, Some("h"), None),
            (gone(false), false, None, None),
        ] {
            let meta = known_meta(&snapshot(process, local), &StepName::parse("s").unwrap());
            assert_eq!((meta.host.as_deref(), meta.pid_namespace), (host, namespace), "{process:?}");
            assert_eq!(meta.boot_id.is_some(), meta.host.is_some());
        }
    }
}
