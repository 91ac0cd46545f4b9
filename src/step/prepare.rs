//! Prepares a new run of a step: refuses it while another run lives, and records the end of a run that ended
//! unrecorded.
//!
//! This comes before any file of the old run is touched. A run that may still live on another machine counts as
//! running.

use crate::decide::liveness::is_copy;
use crate::decide::policy::{Policy, ThresholdOptions};
use crate::decide::snapshot::{Liveness, Status};
use crate::decide::tracker::observe;
use crate::decide::verdict::Assessment;
use crate::decide::warning::Warning;
use crate::error::Error;
use crate::record::file_names::{Record, file_name, parse_temporary_name, record_lock};
use crate::record::outcome::Reason;
use crate::record::pid::PidFileId;
use crate::record::step_name::StepName;
use crate::step::outcome::{PATIENCE, count_seen, remove_unpublished};
use crate::step::snapshot::SnapshotReader;
use crate::step::terminate::{KillMethod, record_death};
use crate::sys::clock;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::process::tree::Escalation;
use std::sync::Arc;
use std::time::Duration;

/// How long a newcomer waits for a lock that a run with a complete status has not dropped yet.
const FINISHING: Duration = Duration::from_secs(5);
/// How long a newcomer tries before it takes a held lock for a living run's. Lookers hold it for microseconds.
const LOOKERS: Duration = Duration::from_millis(50);

/// Takes `STEP.lock`, or says who has it.
///
/// # Errors
/// [`Error`].
pub(crate) fn acquire_step_lock(reader: &mut SnapshotReader) -> Result<Lock, Error> {
    let (directory, step) = (Arc::clone(reader.directory()), reader.step().clone());
    let name = file_name(&step, Record::Lock);
    let began = clock::now();
    loop {
        let now = clock::now();
        let taken = Lock::take(&directory.file(&name), Duration::ZERO)
            .map_err(|error| Error::io(format!("cannot lock {}", directory.join(&name).display()), error))?;
        match taken {
            Some(lock) => return Ok(lock),
            None if now >= began.plus(LOOKERS) => {
                let snapshot = reader.read().map_err(|error| Error::io("cannot look at the step", error))?;
                let seen = observe(&snapshot);
                let over = matches!(seen.status, Status::Complete { .. });
                let starting = matches!(seen.liveness, Liveness::Starting { .. });
                if over && now >= began.plus(FINISHING) {
                    let pid = snapshot.pid_file_id().map_or(String::new(), |key| format!(" (pid {})", key.pid));
                    return Err(Error::already_running(format!(
                        "the outcome of step {step} is recorded, and its work goes on{pid}; end that with: dogwatch kill {step}"
                    )));
                }
                if !(over || starting) || now >= began.plus(FINISHING) {
                    return Err(running(&step, snapshot.pid_file_id()));
                }
            }
            // A reader has it for a moment.
            None => {}
        }
        clock::sleep_until(now.plus(Duration::from_millis(2)));
    }
}

fn running(step: &StepName, key: Option<PidFileId>) -> Error {
    let pid = key.map_or(String::new(), |key| format!(" (pid {})", key.pid));
    Error::already_running(format!("step {step} is already running{pid}; wait for it with: dogwatch wait {step}"))
}

/// Leaves this run's id in the lock file, and removes what the run whose id stood there left unpublished. A run that is
/// killed before it has published anything can be cleaned up after by nothing else, short of listing the directory.
pub(crate) fn adopt_lock_file(lock: &Lock, directory: &MonitorDir, step: &StepName, id: &str) {
    let noted = lock.noted();
    let is_id = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if let Some(before) = std::str::from_utf8(&noted).ok().filter(is_id) {
        remove_unpublished(directory, step, before);
    }
    // On a full disk a left-over or two may stay; that is no reason not to run.
    let _stays = lock.note(id.as_bytes());
}

/// Settles the run before: refuses where it still lives, records and counts its end if that was not done. What is left
/// of it gets `grace` from TERM to KILL.
///
/// # Errors
/// [`Error`].
pub(crate) fn finalize_previous_run(
    reader: &mut SnapshotReader,
    grace: Duration,
    trouble: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let step = reader.step().clone();
    let Assessment { snapshot, observation: seen, .. } = reader.assess_settled()?;
    if seen.absent_since.is_some() {
        return Ok(());
    }
    let key = snapshot.pid_file_id();
    let copy = is_copy(&snapshot);
    let reason = match (&seen.status, seen.liveness) {
        (Status::Complete { word, .. }, _) => Reason::settled(seen.recorded, seen.intent, word.reason()),
        (_, Liveness::Alive) if copy => {
            return Err(Error::already_running(format!("{}; {}", running(&step, key), Warning::Copy)));
        }
        (_, Liveness::Alive) => return Err(running(&step, key)),
        // What another directory's run left is that one's to record and to count.
        (_, Liveness::Dead { .. }) if copy => return Ok(()),
        (Status::Unfinished { .. }, Liveness::Dead { .. }) => Reason::Failed,
        (_, Liveness::Dead { .. }) => {
            let reason = Reason::settled(seen.recorded, seen.intent, Reason::Died);
            let method = KillMethod::signals(Escalation::term(grace));
            let recorded = record_death(reader, &snapshot, reason, &method);
            if let Some(sentence) = recorded.detail {
                trouble(&sentence);
            }
            remove_stale_temp_files(reader.directory(), &step, &reader.directory().names().unwrap_or_default());
            return Ok(());
        }
        (_, Liveness::Unknown | Liveness::Starting { .. }) => {
            let stale =
                Policy::resolve(&ThresholdOptions::ONCE, snapshot.run_meta()).ok().and_then(|policy| policy.stale);
            // A pid that is no number, or not yet, is a run's that has not beaten so far.
            let alive_at = seen.heartbeat.map(|beat| beat.fresh).or(snapshot.pid.stamp().map(|_| seen.began));
            let fresh = alive_at.zip(stale).is_some_and(|(at, stale)| snapshot.at < at.plus(stale));
            if fresh {
                return Err(running(&step, key));
            }
            Reason::Died
        }
    };
    if let Err(error) = count_seen(reader.directory(), &step, &snapshot, reason) {
        trouble(&error.to_string());
    }
    Ok(())
}

/// Takes the run before away, its pid first: from then on, with the lock held and no pid, everybody knows that a run is
/// starting and takes nothing else that is there for its own. The meta stays until the new one replaces it: should this
/// process be killed on the way, it tells how the run before ended.
///
/// # Errors
/// [`Error`].
pub(crate) fn remove_previous_records(directory: &MonitorDir, step: &StepName) -> Result<(), Error> {
    remove_records(directory, step, &[Record::Pid, Record::Status, Record::Result])
}

/// Removes these records of a step, in this order.
///
/// # Errors
/// [`Error`].
pub(crate) fn remove_records(directory: &MonitorDir, step: &StepName, records: &[Record]) -> Result<(), Error> {
    records.iter().try_for_each(|&record| {
        let name = file_name(step, record);
        let removed = directory.file(&name).remove();
        removed.map_err(|error| Error::io(format!("cannot remove {}", directory.join(&name).display()), error))
    })
}

/// Removes those of these files that a killed writer left for the step. The record lock keeps living writers out
/// meanwhile.
pub(crate) fn remove_stale_temp_files(directory: &MonitorDir, step: &StepName, names: &[String]) {
    let Ok(Some(_held)) = Lock::take(&directory.file(&record_lock(step)), PATIENCE) else { return };
    for name in names.iter().filter(|name| parse_temporary_name(name) == Some(step.as_str())) {
        // What cannot be removed does no harm: no reader takes it for a record.
        let _stays = directory.file(name).remove();
    }
}
