//! What is said of one step: every fact of the contract, absent ones as null.
//!
//! Refuses to judge again: it gathers what the last look showed and what the files beside it tell.

use crate::decide::breaker::{MAX_CONSECUTIVE, is_open};
use crate::decide::log_match::LogMatch;
use crate::decide::tracker::{PidFileId, meta_for, pid_file_id};
use crate::monitor::Told;
use crate::record::SCHEMA;
use crate::record::evidence::TreeProcess;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::File;
use crate::record::meta::Meta;
use crate::record::outcome::{Action, Outcome};
use crate::record::result::{ParsedResult, one_line};
use crate::record::step_name::StepName;
use crate::record::time::{WallTime, millis};
use crate::step::breaker_file;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file;
use serde::Serialize;
use serde_json::value::RawValue;
use std::path::Path;
use std::time::Duration;

/// What is known of one step. As JSON it is one object with these keys; absent facts are null.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The step's name.
    pub step: String,
    /// How it stands or ended.
    pub outcome: Outcome,
    /// What the caller should do next.
    pub action: Action,
    /// COMMAND's exit code, where it is known.
    pub exit_code: Option<i32>,
    /// The signal that ended COMMAND, such as `SIGTERM`.
    pub signal: Option<String>,
    /// How long the run took, or has taken so far, in milliseconds.
    pub elapsed_ms: Option<u64>,
    /// How old the heartbeat is, in milliseconds.
    pub heartbeat_age_ms: Option<u64>,
    /// The wrapper's process id.
    pub pid: Option<i32>,
    /// Whether this call ended the run's processes, and all of them are gone.
    pub killed: bool,
    /// The result, exactly as written but for white space between tokens.
    pub result: Option<Box<RawValue>>,
    /// Why there is no result although a file of it is there.
    pub result_error: Option<String>,
    /// A sentence for people.
    pub detail: Option<String>,
    /// Where the log is.
    pub log: Option<String>,
    /// The log's last lines, on anything but success.
    pub log_tail: Option<Vec<String>>,
    /// The log line that matched.
    pub marker: Option<String>,
    /// The processes of a hung or overdue run before the first signal, parents before children; none where they could
    /// not be seen.
    pub evidence: Option<Vec<TreeProcess>>,
    /// How long ago the log was last written, in milliseconds.
    pub output_age_ms: Option<u64>,
    /// The circuit breaker that counts the run.
    pub breaker: Option<Circuit>,
    /// How changes were noticed: `inotify`, `kqueue`, `poll`, or `none` where nothing had to be.
    pub backend: &'static str,
    /// The monitor directory.
    pub dir: String,
    /// The run's unique id.
    pub run_id: Option<String>,
    /// The form of this object.
    pub schema: u64,
}

/// A circuit breaker as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Circuit {
    /// Its name.
    pub name: String,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// How many failures in a row open it; zero for never.
    pub max_consecutive: u32,
    /// Whether it is open.
    pub open: bool,
}

impl Report {
    /// Puts together what is said of a step.
    pub(crate) fn of(told: &Told, step: &StepName, directory: &MonitorDir, log_tail: usize) -> Self {
        let look = told.look.as_ref().filter(|_| told.outcome != Outcome::NotStarted);
        let key = look.and_then(pid_file_id);
        let meta = look.and_then(|look| meta_for(look, key));
        let log_path = directory.join(&file_name(step, Record::Log));
        let log_modified = match directory.stat(&file_name(step, Record::Log)) {
            Ok(File::There { stamp, .. }) => Some(stamp.modified),
            Ok(File::Absent | File::Unfit(_)) | Err(_) => None,
        };
        let wanted = !matches!(told.outcome, Outcome::Success | Outcome::Marker) && log_modified.is_some();
        let (result, result_error) = match look.filter(|_| told.outcome == Outcome::Success).map(|look| &look.result) {
            Some(File::There { content: ParsedResult::Json(value), .. }) => (Some(one_line(value)), None),
            Some(File::There { content: ParsedResult::Unfinished(error), .. }) => (None, Some(error.clone())),
            Some(File::Unfit(fault)) => (None, Some(format!("the result file {fault}"))),
            Some(File::Absent) | None => (None, None),
        };
        let breaker = look.and_then(|_| circuit_of(meta, step, directory));
        let circuit_open = breaker.as_ref().is_some_and(|breaker| breaker.open);
        let detail = if told.outcome == Outcome::NotStarted {
            Some(crate::ops::absence(directory, step))
        } else {
            told.detail.clone()
        };
        Self {
            step: step.as_str().to_owned(),
            outcome: told.outcome,
            action: Action::after(told.outcome, circuit_open),
            exit_code: meta.and_then(|meta| meta.exit_code),
            signal: meta.and_then(|meta| meta.signal.clone()),
            elapsed_ms: elapsed(told, meta, key).map(millis),
            heartbeat_age_ms: told.fresh.zip(look).map(|(fresh, look)| millis(look.at.since(fresh))),
            pid: key.map(|(pid, _)| pid),
            killed: told.killed,
            result,
            result_error,
            detail,
            log: log_modified.map(|_| log_path.to_string_lossy().into_owned()),
            log_tail: wanted.then(|| file::tail(&log_path, log_tail)),
            marker: marker(told),
            evidence: evidence(told, meta),
            output_age_ms: log_modified.map(|modified| millis(file_wall(told).since(modified))),
            breaker,
            backend: told.backend,
            dir: directory.path().to_string_lossy().into_owned(),
            run_id: meta.map(|meta| meta.run_id.clone()),
            schema: SCHEMA,
        }
    }

    /// Puts together what is said of a log for which no step was named: it goes by the file's name.
    pub(crate) fn of_file(told: &Told, file: &Path, directory: &MonitorDir, log_tail: usize) -> Self {
        let mut report = Self {
            step: file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned(),
            outcome: told.outcome,
            action: Action::after(told.outcome, false),
            exit_code: None,
            signal: None,
            elapsed_ms: told.began.map(|began| millis(clock::now().since(began))),
            heartbeat_age_ms: None,
            pid: None,
            killed: false,
            result: None,
            result_error: None,
            detail: told.detail.clone(),
            log: None,
            log_tail: None,
            marker: marker(told),
            evidence: None,
            output_age_ms: None,
            breaker: None,
            backend: told.backend,
            dir: directory.path().to_string_lossy().into_owned(),
            run_id: None,
            schema: SCHEMA,
        };
        report.set_log(file, log_tail);
        report
    }

    /// Tells of another log than the step's own.
    pub(crate) fn set_log(&mut self, path: &Path, log_tail: usize) {
        let modified = file::modified(path);
        self.log = modified.map(|_| path.to_string_lossy().into_owned());
        self.output_age_ms = modified.map(|modified| millis(clock::wall().since(modified)));
        let wanted = !matches!(self.outcome, Outcome::Success | Outcome::Marker) && modified.is_some();
        self.log_tail = wanted.then(|| file::tail(path, log_tail));
    }
}

fn marker(told: &Told) -> Option<String> {
    match &told.sign {
        Some((LogMatch::Marker(line), _)) => Some(line.clone()),
        Some((LogMatch::Fail(_), _)) | None => None,
    }
}

impl Report {
    /// What is said of a step, or a log, that could not be looked at: that it runs, as far as anybody knows.
    pub(crate) fn unseen(name: &str, directory: &Path, detail: String) -> Self {
        Self {
            step: name.to_owned(),
            outcome: Outcome::Running,
            action: Action::after(Outcome::Running, false),
            exit_code: None,
            signal: None,
            elapsed_ms: None,
            heartbeat_age_ms: None,
            pid: None,
            killed: false,
            result: None,
            result_error: None,
            detail: Some(detail),
            log: None,
            log_tail: None,
            marker: None,
            evidence: None,
            output_age_ms: None,
            breaker: None,
            backend: "none",
            dir: directory.to_string_lossy().into_owned(),
            run_id: None,
            schema: SCHEMA,
        }
    }
}

/// What was recorded with the outcome is everybody's; before that, what this call saw itself.
fn evidence(told: &Told, meta: Option<&Meta>) -> Option<Vec<TreeProcess>> {
    if !matches!(told.outcome, Outcome::Hung | Outcome::Timeout) {
        return None;
    }
    let announced = meta.and_then(|meta| meta.evidence.as_ref());
    let recorded = announced.filter(|_| meta.is_some_and(|meta| meta.reason.is_some()));
    Some(recorded.or(told.evidence.as_ref()).or(announced).cloned().unwrap_or_default())
}

/// By the run's own two stamps, by its two files' times, or until the last look.
fn elapsed(told: &Told, meta: Option<&Meta>, key: Option<PidFileId>) -> Option<Duration> {
    let look = told.look.as_ref()?;
    if told.outcome.is_end()
        && let Some(took) = meta.and_then(Meta::took)
    {
        return Some(took);
    }
    let written = look.status.stamp().map(|stamp| stamp.modified);
    let since = |written: WallTime, (_, began): PidFileId| written.since(began);
    match (told.outcome.is_end(), written, key) {
        (true, Some(written), Some(key)) => Some(since(written, key)),
        (true, Some(_), None) => None,
        _ => told.began.map(|began| look.at.since(began)),
    }
}

/// This moment on the clock that stamps the files.
fn file_wall(told: &Told) -> WallTime {
    told.look.as_ref().map_or_else(clock::wall, |look| look.file_wall.plus(clock::now().since(look.at)))
}

fn circuit_of(meta: Option<&Meta>, step: &StepName, directory: &MonitorDir) -> Option<Circuit> {
    // A run of this program says which breaker counts it, or that none does; a plain-shell run's has the step's name.
    let name = match meta {
        Some(meta) => StepName::parse(meta.breaker.as_deref()?).ok()?,
        None => step.clone(),
    };
    let max_consecutive = meta.and_then(|meta| meta.max_consecutive).unwrap_or(MAX_CONSECUTIVE);
    let record = breaker_file::read(directory, &name).ok()?;
    Some(Circuit {
        name: name.as_str().to_owned(),
        consecutive_failures: record.consecutive_failures,
        max_consecutive,
        open: is_open(&record, max_consecutive),
    })
}
