//! `wait`: blocks until steps end, and says how.
//!
//! A start timeout, a staleness and a maximum are in force unless they are taken off: no wait is without a bound.

use crate::decide::log_match::Patterns;
use crate::decide::policy::{GRACE, POLL_INTERVAL, SettleTimes, ThresholdOptions};
use crate::error::Error;
use crate::monitor::{
    self, Backend, LogOptions, MonitorOptions, StepProgress, StepResult, WaitEnd, WaitEvent, WaitMode,
};
use crate::ops::check::LOG_TAIL;
use crate::ops::event::{Event, Progress};
use crate::ops::report::Report;
use crate::ops::{each_once, open, warn_of_missing};
use crate::record::file_names::{Record, file_name};
use crate::record::outcome::{Outcome, Reason};
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::step::history;
use crate::step::outcome::count_seen;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Waits for steps, and says how each ended.
///
/// # Examples
///
/// A plain shell's run, which tells by one file how it ended:
///
/// ```
/// use dogwatch::{Action, Outcome, WaitOptions};
/// use std::process::Command;
///
/// let folder = tempfile::tempdir()?;
/// let script = "echo '{\"tests\":12}' > build.result; echo SUCCESS > build.status";
/// let mut shell = Command::new("sh").args(["-c", script]).current_dir(folder.path()).spawn()?;
///
/// let reports = WaitOptions::new(folder.path()).step("build".parse()?).wait()?;
/// assert_eq!((reports[0].outcome, reports[0].action), (Outcome::Success, Action::Continue));
/// assert_eq!(reports[0].result.as_ref().map(|result| result.get()), Some(r#"{"tests":12}"#));
/// # shell.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WaitOptions {
    pub(crate) directory: PathBuf,
    /// What the loop is asked for, but for its deadline, when it stops, and what it searches for.
    pub(crate) monitor: MonitorOptions,
    pub(crate) at_most: Option<Duration>,
    any: bool,
    pub(crate) fail_fast: bool,
    log_tail: usize,
    pub(crate) log: Option<PathBuf>,
    pub(crate) patterns: Patterns,
}

impl WaitOptions {
    /// Waits in this monitor directory, with every default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            monitor: MonitorOptions {
                steps: Vec::new(),
                thresholds: ThresholdOptions { settle: SettleTimes::CONTRACT, ..ThresholdOptions::ONCE },
                mode: WaitMode::All,
                new: false,
                kill: true,
                grace: GRACE,
                kill_command: None,
                backend: Backend::Auto,
                poll_interval: POLL_INTERVAL,
                progress: false,
                logs: None,
            },
            at_most: None,
            any: false,
            fail_fast: false,
            log_tail: LOG_TAIL,
            log: None,
            patterns: Patterns::default(),
        }
    }

    /// Waits for this step too; one named twice counts once.
    pub fn step(mut self, step: StepName) -> Self {
        self.monitor.steps.push(step);
        self
    }

    /// Waits for these steps too.
    pub fn steps(mut self, steps: impl IntoIterator<Item = StepName>) -> Self {
        self.monitor.steps.extend(steps);
        self
    }

    /// A heartbeat of this age means hung; zero for never. `None`, the default, takes the run's own threshold, else 60 s.
    pub fn stale(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.monitor.thresholds.stale.flag = limit.into();
        self
    }

    /// A run of this age is out of time; zero for never. `None`, the default, takes the run's own limit, and 30 min for a plain
    /// shell's run.
    pub fn max_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.monitor.thresholds.max_timeout.flag = limit.into();
        self
    }

    /// How long processes have from TERM to KILL where a run has to be ended: 5 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.monitor.grace = grace;
        self
    }

    /// Whether a hung or overdue run is ended, as by default; else it is only reported, and nothing is recorded.
    pub fn kill(mut self, kill: bool) -> Self {
        self.monitor.kill = kill;
        self
    }

    /// A shell command that ends a run instead of signals, for work on a cluster or another host. It sees the step's name, its
    /// wrapper's pid and this directory as `DOGWATCH_STEP`, `DOGWATCH_PID` and `DOGWATCH_DIR`.
    pub fn kill_command(mut self, command: impl Into<OsString>) -> Self {
        self.monitor.kill_command = Some(command.into());
        self
    }

    /// The longest this call blocks; then a step that goes on is reported as running. `None`, the default, for as long as it
    /// takes.
    pub fn at_most(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.at_most = limit.into();
        self
    }

    /// How long a step may take to start: 60 s by default.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.monitor.thresholds.start_timeout = limit;
        self
    }

    /// Waits until the first step has ended, whatever its outcome.
    pub fn any(mut self, any: bool) -> Self {
        self.any = any;
        self
    }

    /// Waits until all steps have ended, or one of them without success.
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Ignores an outcome that was recorded before the call.
    pub fn ignore_existing(mut self, ignore: bool) -> Self {
        self.monitor.new = ignore;
        self
    }

    /// Succeeds, with [`Outcome::Marker`], as soon as a line of the log matches, from the log's beginning.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind): it is no regular expression.
    pub fn marker(mut self, regex: &str) -> Result<Self, Error> {
        self.patterns.merge(Patterns::new(Some(regex), None)?);
        Ok(self)
    }

    /// Fails as soon as a line of the log matches; it wins over [`marker`](Self::marker).
    ///
    /// # Errors
    /// As [`marker`](Self::marker).
    pub fn fail_marker(mut self, regex: &str) -> Result<Self, Error> {
        self.patterns.merge(Patterns::new(None, Some(regex))?);
        Ok(self)
    }

    /// The log to search for markers, where it is not the step's own; with one no step need be named.
    pub fn log(mut self, file: impl Into<PathBuf>) -> Self {
        self.log = Some(file.into());
        self
    }

    /// How many of the log's last lines are reported on anything but success; 20 by default.
    pub fn log_tail(mut self, lines: usize) -> Self {
        self.log_tail = lines;
        self
    }

    /// How changes are noticed: by events where they report every change, else by polling, by default.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.monitor.backend = backend;
        self
    }

    /// How often files are read where there are no events: every second by default.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.monitor.poll_interval = interval;
        self
    }

    /// Whether [`Event::Progress`] is reported.
    pub fn progress(mut self, progress: bool) -> Self {
        self.monitor.progress = progress;
        self
    }

    /// Blocks until the steps have ended; a report a step, in the order in which they ended.
    ///
    /// A signal that asks this process to stop (INT, TERM) ends the wait early and leaves the work alone: the answers so far
    /// come back. Afterwards signals do again what they did before.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind) where a threshold does not fit the run,
    /// [`ErrorKind::Internal`](crate::ErrorKind) where the directory cannot be read.
    pub fn wait(&self) -> Result<Vec<Report>, Error> {
        let mut reports = Vec::new();
        self.wait_with(&mut |event| {
            if let Event::Answer(report) = event {
                reports.push(*report);
            }
        })?;
        Ok(reports)
    }

    /// As [`wait`](Self::wait), with each answer as it comes: [`Event::Answer`].
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_with(&self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<(), Error> {
        wait(self, on_event).map(|_reason| ())
    }
}

/// As [`WaitOptions::wait_with`], with why the wait stopped.
pub(crate) fn wait(request: &WaitOptions, on_event: &mut dyn FnMut(Event<'_>)) -> Result<WaitEnd, Error> {
    let directory = open(&request.directory)?;
    let options = monitor_options(request);
    if !request.monitor.thresholds.start_timeout.is_zero() && request.at_most.is_none_or(|span| !span.is_zero()) {
        warn_of_missing(&directory, &request.monitor.steps, &mut |sentence| on_event(Event::Warning(sentence)));
    }
    monitor::wait(&directory, &options, &mut |event| relay(event, &directory, &options, request, on_event))
}

/// Passes on what the loop reports, with the facts that callers want to know.
fn relay(
    event: WaitEvent<'_>,
    directory: &MonitorDir,
    options: &MonitorOptions,
    request: &WaitOptions,
    on_event: &mut dyn FnMut(Event<'_>),
) {
    match event {
        WaitEvent::Result(result) => {
            let log = request.log.as_deref();
            let mut report = match options.steps.get(result.index) {
                Some(step) => {
                    count(directory, step, &result, &mut |sentence| on_event(Event::Warning(sentence)));
                    Report::of(&result, step, directory, request.log_tail)
                }
                // No step was named: the file is what is reported on.
                None => Report::of_file(&result, log.unwrap_or(directory.path()), directory),
            };
            if let Some(log) = log {
                report.set_log(log, request.log_tail);
            }
            on_event(Event::Answer(Box::new(report)));
        }
        WaitEvent::Diagnostic(line) => on_event(Event::Diagnostic(line)),
        WaitEvent::Progress(steps, more) => {
            let known = steps.iter().filter_map(|step| Some((step, options.steps.get(step.index)?)));
            let shown: Vec<Progress> = known.map(|(step, name)| progress(step, name, directory, request)).collect();
            on_event(Event::Progress(&shown, more));
        }
        WaitEvent::Idle(longest) => on_event(Event::Idle(longest)),
    }
}

fn progress(now: &StepProgress, step: &StepName, directory: &MonitorDir, request: &WaitOptions) -> Progress {
    let own = || directory.join(&file_name(step, Record::Log));
    Progress {
        step: step.as_str().to_owned(),
        elapsed: now.elapsed,
        expected: history::expected(directory, step).map(Duration::from_millis),
        heartbeat_age: now.heartbeat,
        ending: now.terminating,
        last_line: file::last_line(&request.log.clone().unwrap_or_else(own)).filter(|_| now.elapsed.is_some()),
    }
}

/// The first process that notices an end which this program did not record counts it.
fn count(directory: &MonitorDir, step: &StepName, result: &StepResult, trouble: &mut dyn FnMut(&str)) {
    let Some(snapshot) = &result.snapshot else { return };
    let meta = snapshot.run_meta();
    // Who records a reason counts it before the status is out.
    if meta.is_some_and(|meta| meta.reason.is_some()) {
        return;
    }
    let has_status = snapshot.status.content().is_some_and(|status| status.word().is_some());
    // Without a status and a pid nothing tells one run from another: each caller would count it once more.
    if !has_status && snapshot.pid_file_id().is_none() {
        return;
    }
    // The run's own end counts, whatever was said of its log.
    let reason = match result.run_outcome {
        Some(Outcome::Success) => Reason::Success,
        // What a run writes while it is terminated is its terminator's, and was not counted yet.
        Some(outcome) if has_status || outcome == Outcome::Failed => {
            Reason::settled(None, meta.and_then(|meta| meta.intent), Reason::Failed)
        }
        // The others were counted when they were recorded.
        _ => return,
    };
    if let Err(error) = count_seen(directory, step, snapshot, reason) {
        trouble(&error.to_string());
    }
}

/// What the loop is asked for, from this moment on.
pub(super) fn monitor_options(request: &WaitOptions) -> MonitorOptions {
    let WaitOptions { monitor, patterns, .. } = request;
    let until = request.at_most.map_or(MonotonicTime::NEVER, |span| clock::now().plus(span));
    let log = || LogOptions { patterns: Arc::new(patterns.clone()), file: request.log.clone() };
    MonitorOptions {
        steps: each_once(&monitor.steps),
        thresholds: ThresholdOptions { until, ..monitor.thresholds },
        mode: match (request.any, request.fail_fast) {
            (true, _) => WaitMode::Any,
            (false, true) => WaitMode::FailFast,
            (false, false) => WaitMode::All,
        },
        logs: (!patterns.is_empty()).then(log),
        ..monitor.clone()
    }
}
