//! The circuit breaker on disk: read, asked and counted under its own lock.
//!
//! Concurrent writers lose no count, because each holds the lock. A breaker that cannot be written does not fail the
//! run: the caller gets a warning to print.

use crate::decide::breaker::{Admission, admit, count, try_out};
use crate::error::Error;
use crate::record::breaker::{BreakerRecord, LONGEST};
use crate::record::file_names::{Record, breaker_lock, file_name, temporary_name};
use crate::record::file_state::FileState;
use crate::record::meta::Meta;
use crate::record::outcome::Reason;
use crate::record::step_name::StepName;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::{clock, env};
use std::fmt::Display;
use std::time::Duration;

/// How long the breaker's lock is waited for; it is held for one read and one rename.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a breaker; one that was never written is closed.
///
/// # Errors
/// A sentence where the file is there and is no such record.
pub(crate) fn read(directory: &MonitorDir, name: &StepName) -> Result<BreakerRecord, Error> {
    let file = file_name(name, Record::Breaker);
    let say =
        |fault: &dyn Display| Error::internal(format!("cannot read {}: {fault}", directory.join(&file).display()));
    match directory.read(&file, LONGEST) {
        Ok(FileState::Missing) => Ok(BreakerRecord { name: name.as_str().to_owned(), ..BreakerRecord::default() }),
        Ok(FileState::Invalid(fault)) => Err(say(&format_args!("it {fault}"))),
        Ok(FileState::Present { content, .. }) => BreakerRecord::parse(&content).map_err(|fault| say(&fault)),
        Err(error) => Err(Error::io(format!("cannot read {}", directory.join(&file).display()), error)),
    }
}

/// Reads, changes and publishes a breaker, alone.
///
/// # Errors
/// A sentence; the file is as it was.
pub(crate) fn update(
    directory: &MonitorDir,
    name: &StepName,
    change: impl FnOnce(BreakerRecord) -> BreakerRecord,
) -> Result<BreakerRecord, Error> {
    let _held = directory.lock(&breaker_lock(name), PATIENCE)?;
    let before = read(directory, name)?;
    let after = change(before.clone());
    if after != before {
        let file = file_name(name, Record::Breaker);
        let temporary = temporary_name(name, Record::Breaker, &env::unique());
        directory
            .publish(&temporary, &file, &after.encode(), None)
            .map_err(|error| Error::io(format!("cannot write {}", directory.join(&file).display()), error))?;
    }
    Ok(after)
}

/// Counts the end of a run for its breaker, once, unless its record says that it was counted. A success of a breaker that was
/// never written leaves it so.
///
/// # Errors
/// As [`update`].
pub(super) fn count_end(directory: &MonitorDir, meta: &Meta, reason: Reason) -> Result<(), Error> {
    let name = meta.breaker.as_deref().and_then(|name| StepName::parse(name).ok());
    let Some(name) = name.filter(|_| !meta.counted) else { return Ok(()) };
    let before = read(directory, &name)?;
    let nothing_to_reset = reason == Reason::Success && before.runs.is_empty() && before.consecutive_failures == 0;
    if nothing_to_reset || before.has_counted(&meta.run_id) {
        return Ok(());
    }
    update(directory, &name, |record| count(record, &meta.run_id, reason, clock::wall())).map(|_record| ())
}

/// Asks whether a run may start. With the id of a run that starts now, a trial is written down, so that no second one
/// starts beside it.
///
/// # Errors
/// As [`update`].
pub(crate) fn ask(
    directory: &MonitorDir,
    name: &StepName,
    max_consecutive: u32,
    cooldown: Option<Duration>,
    run: Option<&str>,
) -> Result<(Admission, BreakerRecord), Error> {
    let record = read(directory, name)?;
    let admission = admit(&record, max_consecutive, cooldown, clock::wall());
    let Some(run) = run.filter(|_| admission == Admission::Trial) else { return Ok((admission, record)) };
    let mut admission = Admission::Open;
    let record = update(directory, name, |record| {
        // Asked again under the lock: another run may have taken the trial since.
        let now = clock::wall();
        admission = admit(&record, max_consecutive, cooldown, now);
        if admission == Admission::Trial { try_out(record, run, now) } else { record }
    })?;
    Ok((admission, record))
}
