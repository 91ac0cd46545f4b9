//! What is said of one step: every fact of the contract, absent ones as null.
//!
//! Built by the operations from the last snapshot of a step and from the files beside it; printed by `cli`.

use crate::decide::breaker::{MAX_CONSECUTIVE, is_open};
use crate::decide::log_match::{LogMatch, MarkerMatch};
use crate::decide::snapshot::{Liveness, Snapshot, Status};
use crate::decide::tracker::observe;
use crate::monitor::StepResult;
use crate::record::SCHEMA;
use crate::record::breaker::BreakerRecord;
use crate::record::evidence::TreeProcess;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::FileState;
use crate::record::meta::Meta;
use crate::record::outcome::{Action, Circumstances, Intent, Outcome, Reason};
use crate::record::pid::PidFileId;
use crate::record::result::{ParsedResult, one_line};
use crate::record::step_name::StepName;
use crate::record::time::{WallTime, millis};
use crate::step::{breaker_file, history};
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file;
use serde::Serialize;
use serde_json::value::RawValue;
use std::path::Path;
use std::time::Duration;

/// How many bytes of a command line a report has.
const COMMAND_BYTES: usize = 4096;

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
    /// The log's last lines as a person sees them, of a run that did not succeed; none while it runs.
    pub log_tail: Option<Vec<String>>,
    /// The log line that matched, and what the pattern's groups matched in it.
    pub marker: Option<MarkerMatch>,
    /// The processes of a hung or overdue run before the first signal, parents before children; none where they could
    /// not be seen.
    pub evidence: Option<Vec<TreeProcess>>,
    /// How long ago the log was last written, in milliseconds.
    pub output_age_ms: Option<u64>,
    /// The circuit breaker that counts the run.
    pub breaker: Option<BreakerStatus>,
    /// How changes were noticed: `inotify`, `kqueue`, `poll`, or `none` where nothing had to be.
    pub backend: &'static str,
    /// The monitor directory.
    pub dir: String,
    /// The run's unique id.
    pub run_id: Option<String>,
    /// COMMAND and its arguments, where the run's record has them; what is beyond 4 KiB is left out, with an ellipsis.
    pub command: Option<Vec<String>>,
    /// The folder in which COMMAND was started.
    pub cwd: Option<String>,
    /// When the run began (RFC 3339, UTC).
    pub started_at: Option<String>,
    /// When the run ended (RFC 3339, UTC).
    pub ended_at: Option<String>,
    /// How long a run of this step usually takes, in milliseconds: the median of its last successes, from three on.
    pub expected_ms: Option<u64>,
    /// The words by which the run can be chosen.
    pub tags: Vec<String>,
    /// The form of this object.
    pub schema: u64,
    /// Whether the run goes on, one that is hung or overdue and was not ended included.
    #[serde(skip)]
    pub(crate) still_runs: bool,
}

/// A circuit breaker as a report shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BreakerStatus {
    /// Its name.
    pub name: String,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// How many failures in a row open it; zero for never.
    pub max_consecutive: u32,
    /// Whether it is open.
    pub open: bool,
}

impl BreakerStatus {
    /// What a record says of a breaker with this limit.
    pub(crate) fn of(record: &BreakerRecord, name: &StepName, max_consecutive: u32) -> Self {
        Self {
            name: name.as_str().to_owned(),
            consecutive_failures: record.consecutive_failures,
            max_consecutive,
            open: is_open(record, max_consecutive),
        }
    }
}

impl Report {
    /// Puts together what is said of a step.
    pub(crate) fn of(told: &StepResult, step: &StepName, directory: &MonitorDir, log_tail: usize) -> Self {
        let breaker = seen(told).and_then(|snapshot| circuit_of(snapshot.run_meta(), step, directory));
        let mut report = Self::without_log(told, step.as_str(), directory.path(), breaker);
        report.expected_ms = history::expected(directory, step);
        if told.outcome == Outcome::NotStarted {
            let known = super::history::is_known(directory, step);
            let missed = || format!("no new run of {step} had started by then");
            report.detail = Some(if known { missed() } else { super::absence(directory, step) });
        }
        let log = directory.stat(&file_name(step, Record::Log));
        let log_modified = log.ok().and_then(|log| Some(log.stamp()?.modified));
        report.add_log(&directory.join(&file_name(step, Record::Log)), log_modified, file_wall(told), log_tail);
        report
    }

    /// Puts together what is said of a log for which no step was named, but for the log itself: it goes by the file's name.
    pub(crate) fn of_file(told: &StepResult, file: &Path, directory: &MonitorDir) -> Self {
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        Self::without_log(told, &name, directory.path(), None)
    }

    /// What is said of a step, or a log, that could not be looked at: that it runs, as far as is known.
    pub(crate) fn unseen(name: &str, directory: &Path, detail: String) -> Self {
        Self::without_log(&StepResult::new(0, Outcome::Running, Some(detail)), name, directory, None)
    }

    /// What the result of a look says, and no other file.
    fn without_log(told: &StepResult, name: &str, directory: &Path, breaker: Option<BreakerStatus>) -> Self {
        let snapshot = seen(told);
        let key = snapshot.and_then(Snapshot::pid_file_id);
        let meta = snapshot.and_then(|snapshot| snapshot.run_meta());
        let (result, result_error) = result(told, snapshot);
        let about = Circumstances {
            circuit_open: breaker.as_ref().is_some_and(|breaker| breaker.open),
            stopped: meta.is_some_and(was_stopped),
            still_running: still_runs(told, snapshot),
            exit_code: meta.and_then(|meta| meta.exit_code),
        };
        Self {
            step: name.to_owned(),
            outcome: told.outcome,
            action: Action::advise(told.outcome, about),
            exit_code: about.exit_code,
            signal: meta.and_then(|meta| meta.signal.clone()),
            elapsed_ms: elapsed(told, meta, key).map(millis),
            heartbeat_age_ms: told.fresh.zip(snapshot).map(|(fresh, snapshot)| millis(snapshot.at.since(fresh))),
            pid: key.map(|key| key.pid),
            killed: told.killed,
            result,
            result_error,
            detail: told.detail.clone(),
            log: None,
            log_tail: None,
            marker: match &told.log_match {
                Some(LogMatch::Marker(matched)) => Some(matched.clone()),
                Some(LogMatch::Fail(_)) | None => None,
            },
            evidence: evidence(told, meta),
            output_age_ms: None,
            breaker,
            backend: told.backend,
            dir: directory.to_string_lossy().into_owned(),
            run_id: meta.map(|meta| meta.run_id.clone()),
            command: meta.map(|meta| meta.command.as_slice()).filter(|command| !command.is_empty()).map(shortened),
            cwd: meta.and_then(|meta| meta.cwd.clone()),
            started_at: meta.and_then(|meta| meta.started_at.clone()).or_else(|| Some(key?.written.rfc3339())),
            ended_at: ended_at(meta, snapshot).filter(|_| told.outcome.is_end() && !about.still_running),
            expected_ms: None,
            tags: meta.map_or_else(Vec::new, |meta| meta.tags.clone()),
            schema: SCHEMA,
            still_runs: about.still_running || told.outcome == Outcome::Running,
        }
    }

    /// Reports another log than the step's own.
    pub(crate) fn set_log(&mut self, path: &Path, log_tail: usize) {
        self.add_log(path, file::modified(path), clock::wall(), log_tail);
    }

    fn add_log(&mut self, path: &Path, modified: Option<WallTime>, now: WallTime, log_tail: usize) {
        self.log = modified.map(|_| path.to_string_lossy().into_owned());
        self.output_age_ms = modified.map(|modified| millis(now.since(modified)));
        // A success needs none, and of a run that goes on each call would repeat it.
        let wanted = !matches!(self.outcome, Outcome::Success | Outcome::Marker | Outcome::Running);
        self.log_tail = modified.filter(|_| wanted).map(|_| file::tail(path, log_tail));
    }

    /// The word for how the step stands: its outcome, or `overdue` for a run that is over its limit and still runs.
    pub(crate) fn state_word(&self) -> &'static str {
        if self.outcome == Outcome::Timeout && self.still_runs { "overdue" } else { self.outcome.as_str() }
    }
}

/// What was read of a run that is there.
fn seen(told: &StepResult) -> Option<&Snapshot> {
    told.snapshot.as_ref().filter(|_| told.outcome != Outcome::NotStarted)
}

/// Whether this run was ended on request: also if only the intent was recorded, and the end by another process.
fn was_stopped(meta: &Meta) -> bool {
    meta.reason.map_or(meta.intent == Some(Intent::Killed), |reason| reason == Reason::Killed)
}

/// Whether the run goes on although the outcome is no `running`: a line of its log was the answer, or it is hung or overdue
/// and was not ended.
fn still_runs(told: &StepResult, snapshot: Option<&Snapshot>) -> bool {
    if told.log_match.is_some() {
        return snapshot.is_some() && told.run_outcome.is_none();
    }
    let Some(snapshot) = snapshot.filter(|_| !told.killed && matches!(told.outcome, Outcome::Hung | Outcome::Timeout))
    else {
        return false;
    };
    let seen = observe(snapshot);
    let over = seen.recorded.is_some() || matches!(seen.status, Status::Complete { .. });
    !over && !matches!(seen.liveness, Liveness::Dead { .. })
}

fn result(told: &StepResult, snapshot: Option<&Snapshot>) -> (Option<Box<RawValue>>, Option<String>) {
    let Some(snapshot) = snapshot.filter(|_| told.outcome.is_end()) else { return (None, None) };
    let recorded = || snapshot.run_meta()?.result_error.clone();
    match &snapshot.result {
        FileState::Present { content: ParsedResult::Json(value), .. } => (Some(one_line(value)), recorded()),
        FileState::Present { content: ParsedResult::Unfinished(error), .. } => (None, Some(error.clone())),
        FileState::Invalid(fault) => (None, Some(format!("the result file {fault}"))),
        FileState::Missing => (None, recorded()),
    }
}

/// A command line of bounded length: a report is read by people and by models, and arguments may take megabytes.
pub(crate) fn shortened(command: &[String]) -> Vec<String> {
    let mut left = COMMAND_BYTES;
    let mut words = Vec::new();
    for word in command {
        if word.len() > left {
            words.push(format!("{}…", &word[..word.floor_char_boundary(left)]));
            break;
        }
        left -= word.len();
        words.push(word.clone());
    }
    words
}

/// As recorded, else when the status was written.
fn ended_at(meta: Option<&Meta>, snapshot: Option<&Snapshot>) -> Option<String> {
    let recorded = meta.filter(|meta| meta.reason.is_some()).and_then(|meta| meta.ended_at.clone());
    recorded.or_else(|| Some(snapshot?.status.stamp()?.modified.rfc3339()))
}

/// The evidence that was recorded with the outcome, else what this call saw itself; without the run's own wrapper, which
/// only waits for COMMAND.
fn evidence(told: &StepResult, meta: Option<&Meta>) -> Option<Vec<TreeProcess>> {
    if told.snapshot.is_none() || !matches!(told.outcome, Outcome::Hung | Outcome::Timeout) {
        return None;
    }
    let announced = meta.and_then(|meta| meta.evidence.as_ref());
    let recorded = announced.filter(|_| meta.is_some_and(|meta| meta.reason.is_some()));
    let seen = recorded.or(told.evidence.as_ref()).or(announced).map_or(&[][..], Vec::as_slice);
    let wrapper = meta.filter(|meta| meta.child_pid.is_some()).and_then(|meta| meta.pid);
    Some(seen.iter().filter(|process| Some(process.pid) != wrapper).cloned().collect())
}

/// By the run's own two stamps, by its two files' times, or until the last look; of a log alone until now.
fn elapsed(told: &StepResult, meta: Option<&Meta>, key: Option<PidFileId>) -> Option<Duration> {
    let Some(snapshot) = &told.snapshot else { return Some(clock::now().since(told.began?)) };
    let is_end = told.outcome.is_end();
    if let Some(took) = meta.filter(|_| is_end).and_then(Meta::took) {
        return Some(took);
    }
    match snapshot.status.stamp().filter(|_| is_end) {
        Some(status) => Some(status.modified.since(key?.written)),
        None => Some(snapshot.at.since(told.began?)),
    }
}

/// This moment on the clock that stamps the files.
fn file_wall(told: &StepResult) -> WallTime {
    told.snapshot.as_ref().map_or_else(clock::wall, |snapshot| snapshot.file_wall.plus(clock::now().since(snapshot.at)))
}

fn circuit_of(meta: Option<&Meta>, step: &StepName, directory: &MonitorDir) -> Option<BreakerStatus> {
    // A run of this program says which breaker counts it, or that none does; a plain-shell run's has the step's name.
    let name = match meta {
        Some(meta) => StepName::parse(meta.breaker.as_deref()?).ok()?,
        None => step.clone(),
    };
    let max_consecutive = meta.and_then(|meta| meta.max_consecutive).unwrap_or(MAX_CONSECUTIVE);
    let record = breaker_file::read(directory, &name).ok()?;
    Some(BreakerStatus::of(&record, &name, max_consecutive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_line_is_cut_at_a_character() {
        let short = ["make", "all"].map(str::to_owned);
        assert_eq!(shortened(&short), short);
        let long = ["echo".to_owned(), "ä".repeat(4000), "more".to_owned()];
        let cut = shortened(&long);
        assert_eq!((cut.len(), cut[1].chars().count(), cut[1].ends_with('…')), (2, 2047, true));
    }
}
