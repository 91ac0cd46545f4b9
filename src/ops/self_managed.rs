//! `start`, `succeed`, `fail`: for a script that is its own wrapper, the same files as `run` writes, in the same order.
//!
//! A pid that cannot be the caller's is an error, and so are a start while another run lives and a second, different
//! outcome: the first recorded outcome stays (I6).

use crate::decide::policy::GRACE;
use crate::decide::tracker::observe;
use crate::error::Error;
use crate::ops::check::CheckOptions;
use crate::ops::report::Report;
use crate::ops::{absence, open, reader};
use crate::record::file_names::{Record, file_name};
use crate::record::meta::Meta;
use crate::record::outcome::{Outcome, Reason};
use crate::record::result::{LONGEST, ParsedResult, one_line};
use crate::record::sanitize::cut;
use crate::record::step_name::StepName;
use crate::step::outcome::{RunStatus, record, remove_unpublished, take_record_lock};
use crate::step::prepare::{acquire_step_lock, adopt_lock_file, finalize_previous_run, remove_previous_records};
use crate::step::publisher::Ending;
use crate::step::snapshot::local_context;
use crate::step::start_files::StartFiles;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::platform::process;
use crate::sys::process::{Lookup, ProcessInfo};
use crate::sys::{clock, env, stdin};
use serde_json::value::RawValue;
use std::path::Path;
use std::sync::Arc;

/// Writes the start files for a process that runs already: meta and pid. It counts as beating only from its first beat
/// on, so a script that never beats is never called hung.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the process cannot be the caller's, `ErrorKind::AlreadyRunning` where the step runs already.
pub(crate) fn start(
    directory: &Path,
    step: &StepName,
    pid: i32,
    max_consecutive: u32,
    trouble: &mut dyn FnMut(&str),
) -> Result<Report, Error> {
    let entry = own_process(pid)?;
    let directory = Arc::new(MonitorDir::at(directory.to_path_buf()));
    directory.create()?;
    let mut reader = reader(&directory, step);
    let id = env::unique();
    let lock = acquire_step_lock(&mut reader)?;
    reader.assume_lock_held(&lock);
    finalize_previous_run(&mut reader, GRACE, trouble)?;
    adopt_lock_file(&lock, &directory, step, &id);
    let files = StartFiles { directory: &directory, step, id: &id };
    let mut meta = meta(&files, &entry, max_consecutive);
    let recording = take_record_lock(&directory, step)?;
    let written = files.write(&mut meta).and_then(|_written| {
        remove_previous_records(&directory, step)?;
        // Of the run before: this one has not beaten yet.
        let heartbeat = directory.file(&file_name(step, Record::Heartbeat)).remove();
        heartbeat.map_err(|error| files.cannot_write(Record::Heartbeat, error))?;
        files.publish(&[Record::Meta, Record::Pid])
    });
    if written.is_err() {
        remove_unpublished(&directory, step, &id);
    }
    drop(recording);
    drop(lock);
    written?;
    report(&directory, step)
}

fn report(directory: &MonitorDir, step: &StepName) -> Result<Report, Error> {
    CheckOptions::new(directory.path()).log_tail(0).check_step(step)
}

fn own_process(pid: i32) -> Result<ProcessInfo, Error> {
    let refuse = |fault: String| {
        Err(Error::invalid_options(format!("{fault}; name a process of yours, such as your shell's $$")))
    };
    let entry = match process::look(pid) {
        Lookup::Found(entry) if pid > 1 && !entry.kernel_thread => entry,
        Lookup::Found(_) => return refuse(format!("process {pid} is the system's")),
        Lookup::NotFound => {
            return refuse(match process::process_of_thread(pid) {
                Some(whole) => format!("{pid} is a thread of process {whole}"),
                None => format!("there is no process {pid}"),
            });
        }
        Lookup::Hidden => return refuse(format!("process {pid} cannot be seen from here")),
    };
    match process::user(pid) {
        Some(user) if user == env::user() => Ok(entry),
        Some(user) => refuse(format!("process {pid} belongs to user {user}")),
        None => refuse(format!("there is no process {pid}")),
    }
}

fn meta(files: &StartFiles<'_>, entry: &ProcessInfo, max_consecutive: u32) -> Meta {
    Meta {
        pid: Some(entry.pid),
        pid_started_at: Some(entry.started),
        // The process itself holds no lock: it is known by its number and start time.
        locked: false,
        breaker: Some(files.step.as_str().to_owned()),
        max_consecutive: Some(max_consecutive),
        cwd: env::current_folder().ok().map(|folder| folder.to_string_lossy().into_owned()),
        heartbeat_on: Some("manual".to_owned()),
        ..files.first_meta(&local_context(files.directory), clock::now())
    }
}

/// Records a success, with a result where one is given.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the result is no JSON, `ErrorKind::NotStarted` where there is no such step: nothing was touched.
/// `ErrorKind::Internal` where the run has ended otherwise.
pub(crate) fn succeed(directory: &Path, step: &StepName, result: Option<&str>) -> Result<Report, Error> {
    let result = match result {
        Some("-") => Some(
            stdin::read(LONGEST + 1).map_err(|error| Error::io("cannot read the result from standard input", error))?,
        ),
        Some(text) => Some(text.as_bytes().to_vec()),
        None => None,
    };
    let value = result.as_deref().map(json).transpose()?;
    let ending = Ending { result: result.map(with_line_end), ..Ending::of(Reason::Success) };
    let report = end(directory, step, &ending)?;
    if let (Some(value), Some(there)) = (&value, &report.result)
        && one_line(value).get() != there.get()
    {
        return Err(Error::internal(format!(
            "step {step} has succeeded already, with another result, and that stays; start a new run to record another"
        )));
    }
    Ok(report)
}

fn json(bytes: &[u8]) -> Result<Box<RawValue>, Error> {
    if bytes.len() > LONGEST {
        return Err(Error::invalid_options(format!("the result is longer than {} MiB; give less", LONGEST >> 20)));
    }
    match ParsedResult::parse(bytes) {
        ParsedResult::Json(value) => Ok(value),
        ParsedResult::Unfinished(fault) => Err(Error::invalid_options(format!("{fault}; nothing was recorded"))),
    }
}

fn with_line_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.ends_with(b"\n") {
        bytes.push(b'\n');
    }
    bytes
}

/// Records a failure.
///
/// # Errors
/// `ErrorKind::Internal` where the run has ended otherwise.
pub(crate) fn fail(directory: &Path, step: &StepName, detail: Option<&str>) -> Result<Report, Error> {
    // `--detail "$(command)"` may have nothing to say.
    let detail = detail.filter(|detail| !detail.trim().is_empty()).map(|detail| cut(detail.as_bytes()));
    end(directory, step, &Ending { detail, ..Ending::of(Reason::Failed) })
}

fn end(directory: &Path, step: &StepName, ending: &Ending) -> Result<Report, Error> {
    let directory = open(directory)?;
    if ending.reason != Reason::Success {
        directory.create()?;
    }
    let mut reader = reader(&directory, step);
    let snapshot = reader.read().map_err(|error| Error::io(format!("cannot look at {step}"), error))?;
    snapshot.refuse_unreadable(step)?;
    // A failure is recorded in any case; a success of a misspelt name would reach no waiter.
    if ending.reason == Reason::Success && observe(&snapshot).absent_since.is_some() {
        return Err(Error::not_started(absence(&directory, step)));
    }
    let before = record(&mut reader, snapshot.pid_file_id(), ending)?;
    let report = report(&directory, step)?;
    if before == RunStatus::Replaced {
        return Err(Error::internal(format!("another run of {step} has just begun; try again")));
    }
    let same = match (report.outcome, ending.reason) {
        (Outcome::Success, reason) => reason == Reason::Success,
        (Outcome::Failed, reason) => reason != Reason::Success,
        // What a terminator announced first: it is why this failed.
        _ => before == RunStatus::Running,
    };
    if same {
        return Ok(report);
    }
    let why = report.detail.map_or(String::new(), |detail| format!(" ({detail})"));
    Err(Error::internal(format!(
        "step {step} has ended already, as {}{why}, and that stays; start a new run first",
        report.outcome.as_str()
    )))
}
