//! `wait`: blocks until steps end, and says how.
//!
//! Refuses to wait without a bound that the caller can know: a start timeout, a staleness and a maximum are in force
//! unless they are taken off.

use crate::decide::log_match::Patterns;
use crate::decide::policy::{GRACE, POLL_INTERVAL, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::error::Error;
use crate::monitor;
use crate::monitor::{Backend, LogOptions, MonitorOptions, Observer, StepProgress, StepResult, StopReason, StopWhen};
use crate::ops::history::is_known;
use crate::ops::report::Report;
use crate::ops::{absence, readable, steps_there};
use crate::record::file_names::{Record, file_name};
use crate::record::outcome::{Outcome, Reason};
use crate::record::step_name::StepName;
use crate::record::time::millis;
use crate::step::history;
use crate::step::outcome::count_seen;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What to wait for, and how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitOptions {
    /// The monitor directory.
    pub directory: PathBuf,
    /// The steps; one named twice counts once.
    pub steps: Vec<StepName>,
    /// How old a heartbeat may become; zero for any age. Nothing takes the run's own, then the default of 60 s.
    pub stale: Option<Duration>,
    /// How long a run may take; zero for as long as it likes. Nothing takes the run's own, then the default of 30 min.
    pub max_timeout: Option<Duration>,
    /// From TERM to KILL where a run has to be ended.
    pub grace: Duration,
    /// Whether a hung or overdue run is ended; else it is only reported.
    pub kill: bool,
    /// A shell command that ends a run instead of signals, for work on a cluster or another host. It sees the step's
    /// name, its wrapper's pid and this directory as `DOGWATCH_STEP`, `DOGWATCH_PID` and `DOGWATCH_DIR`.
    pub kill_command: Option<OsString>,
    /// The longest this call blocks.
    pub at_most: Option<Duration>,
    /// How long a step may take to start.
    pub start_timeout: Duration,
    /// Whether the first end of any step ends the wait.
    pub any: bool,
    /// Whether the first bad end ends the wait.
    pub fail_fast: bool,
    /// Whether an outcome recorded before the call is passed over.
    pub new: bool,
    /// How many of the log's last lines are reported on anything but success.
    pub log_tail: usize,
    /// The log to look through for markers, where it is not the step's own; with one the steps may be none.
    pub(crate) log: Option<PathBuf>,
    pub(crate) markers: Option<Arc<Patterns>>,
    pub(crate) backend: Backend,
    pub(crate) poll_interval: Duration,
    pub(crate) environment_stale: Option<Duration>,
    pub(crate) environment_max_timeout: Option<Duration>,
}

impl WaitOptions {
    /// Waits for these steps with every default.
    #[must_use]
    pub fn new(directory: PathBuf, steps: Vec<StepName>) -> Self {
        Self {
            directory,
            steps,
            stale: None,
            max_timeout: None,
            grace: GRACE,
            kill: true,
            kill_command: None,
            at_most: None,
            start_timeout: START_TIMEOUT,
            any: false,
            fail_fast: false,
            new: false,
            log_tail: 20,
            log: None,
            markers: None,
            backend: Backend::Auto,
            poll_interval: POLL_INTERVAL,
            environment_stale: None,
            environment_max_timeout: None,
        }
    }
}

/// Hears the answers of a wait as they come.
pub(crate) trait Listener {
    /// One step's answer.
    fn answer(&mut self, report: Report);
    /// A line on how the waiting is done.
    fn verbose(&mut self, line: &str);
    /// Something that could not be done and changes no answer.
    fn trouble(&mut self, line: &str);
    /// Whether somebody looks on; else nothing is gathered for it.
    fn looks_on(&self) -> bool {
        false
    }
    /// How some steps stand, once a second, and how many more there are.
    fn progress(&mut self, _steps: &[Progress], _more: usize) {}
    /// The wait goes on, and will be silent for so long at most.
    fn idle(&mut self, _longest: Duration) {}
}

/// How a step stands that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Its name.
    pub(crate) step: String,
    /// How long it has run, in milliseconds; nothing where it has not started.
    pub(crate) elapsed_ms: Option<u64>,
    /// How long it usually takes, where enough runs of it are known.
    pub(crate) expected: Option<Duration>,
    /// How old its heartbeat is, in milliseconds.
    pub(crate) heartbeat_age_ms: Option<u64>,
    /// Whether it is being ended.
    pub(crate) ending: bool,
    /// Its log's last line.
    pub(crate) last_line: Option<String>,
}

/// Blocks until the steps have ended.
///
/// Each answer comes back in the order in which the steps ended. A signal that asks this process to stop (INT, TERM)
/// ends the wait early and leaves the work alone: the answers so far come back. Afterwards signals do again what they did
/// before.
///
/// # Examples
///
/// A plain shell's run, which tells by one file how it ended:
///
/// ```
/// use dogwatch::{Action, Outcome, StepName, WaitOptions, wait};
/// use std::process::Command;
///
/// let folder = tempfile::tempdir()?;
/// let script = "echo '{\"tests\":12}' > build.result; echo SUCCESS > build.status";
/// let mut shell = Command::new("sh").args(["-c", script]).current_dir(folder.path()).spawn()?;
///
/// let reports = wait(&WaitOptions::new(folder.path().to_path_buf(), vec![StepName::parse("build")?]))?;
/// assert_eq!(reports[0].outcome, Outcome::Success);
/// assert_eq!(reports[0].action, Action::Continue);
/// assert_eq!(reports[0].result.as_ref().map(|result| result.get()), Some(r#"{"tests":12}"#));
/// # shell.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `ErrorKind::InvalidOptions` where a threshold does not fit the run, `ErrorKind::Internal` where the directory cannot be read.
pub fn wait(request: &WaitOptions) -> Result<Vec<Report>, Error> {
    struct Collected(Vec<Report>);
    impl Listener for Collected {
        fn answer(&mut self, report: Report) {
            self.0.push(report);
        }
        fn verbose(&mut self, _line: &str) {}
        fn trouble(&mut self, _line: &str) {}
    }
    let mut collected = Collected(Vec::new());
    listen(request, &mut collected)?;
    Ok(collected.0)
}

/// As [`wait`], with each answer told as it comes.
pub(crate) fn listen(request: &WaitOptions, listener: &mut dyn Listener) -> Result<StopReason, Error> {
    let directory = MonitorDir::at(request.directory.clone());
    readable(&directory)?;
    let options = monitor_options(request);
    say_what_is_missing(&directory, request, listener);
    let mut relay = Relay { directory: &directory, options: &options, request, listener };
    Ok(monitor::wait(&directory, &options, &mut relay)?)
}

/// Says at once of a name that is not there, where other steps are: it may be misspelt, and the wait for its start is long.
fn say_what_is_missing(directory: &MonitorDir, request: &WaitOptions, listener: &mut dyn Listener) {
    if request.start_timeout.is_zero() || request.at_most.is_some_and(|span| span.is_zero()) {
        return;
    }
    for step in request.steps.iter().filter(|step| !is_known(directory, step)) {
        if !steps_there(directory).is_empty() {
            listener.trouble(&format!("{}; waiting for it to start", absence(directory, step)));
        }
    }
}

/// Turns what the loop reports into what the caller of [`wait`] is told.
struct Relay<'call> {
    directory: &'call MonitorDir,
    options: &'call MonitorOptions,
    request: &'call WaitOptions,
    listener: &'call mut dyn Listener,
}

impl Observer for Relay<'_> {
    fn result(&mut self, result: StepResult) {
        let Self { directory, request, .. } = *self;
        let Some(step) = self.options.steps.get(result.index) else {
            // No step was named: the file is what is reported on.
            let file = request.log.as_deref().unwrap_or(directory.path());
            return self.listener.answer(Report::of_file(&result, file, directory, request.log_tail));
        };
        count(directory, step, &result, &mut |line| self.listener.trouble(line));
        let mut report = Report::of(&result, step, directory, request.log_tail);
        if let Some(log) = &request.log {
            report.set_log(log, request.log_tail);
        }
        self.listener.answer(report);
    }

    fn diagnostic(&mut self, line: &str) {
        self.listener.verbose(line);
    }

    fn wants_progress(&self) -> bool {
        self.listener.looks_on()
    }

    fn progress(&mut self, steps: &[StepProgress], more: usize) {
        let shown = |step: &StepProgress| {
            let name = self.options.steps.get(step.index)?;
            Some(progress(step, name, self.directory, self.request))
        };
        let steps: Vec<Progress> = steps.iter().filter_map(shown).collect();
        self.listener.progress(&steps, more);
    }

    fn idle(&mut self, longest: Duration) {
        self.listener.idle(longest);
    }
}

fn progress(glimpse: &StepProgress, step: &StepName, directory: &MonitorDir, request: &WaitOptions) -> Progress {
    let own = || directory.join(&file_name(step, Record::Log));
    Progress {
        step: step.as_str().to_owned(),
        elapsed_ms: glimpse.elapsed.map(millis),
        expected: history::expected(directory, step).map(Duration::from_millis),
        heartbeat_age_ms: glimpse.heartbeat.map(millis),
        ending: glimpse.terminating,
        last_line: file::last_line(&request.log.clone().unwrap_or_else(own)).filter(|_| glimpse.elapsed.is_some()),
    }
}

/// A run whose end nobody of this program recorded is counted by whoever sees it.
fn count(directory: &MonitorDir, step: &StepName, result: &StepResult, trouble: &mut dyn FnMut(&str)) {
    let Some(look) = &result.look else { return };
    // The run's own end counts, whatever was said of its log.
    let reason = match result.run_outcome {
        Some(Outcome::Success) => Reason::Success,
        Some(Outcome::Failed) => Reason::Failed,
        // The others were counted when they were recorded.
        _ => return,
    };
    let key = crate::decide::tracker::pid_file_id(look);
    let meta = crate::decide::tracker::meta_for(look, key);
    // Who records a reason counts it before the status is out.
    if meta.is_some_and(|meta| meta.reason.is_some()) {
        return;
    }
    if let Err(sentence) = count_seen(directory, step, look, reason) {
        trouble(&sentence);
    }
}

fn monitor_options(request: &WaitOptions) -> MonitorOptions {
    let mut steps: Vec<StepName> = Vec::with_capacity(request.steps.len());
    let mut seen = std::collections::HashSet::new();
    steps.extend(request.steps.iter().filter(|step| seen.insert(step.as_str())).cloned());
    MonitorOptions {
        steps,
        thresholds: ThresholdOptions {
            stale: Threshold { flag: request.stale, environment: request.environment_stale },
            max_timeout: Threshold { flag: request.max_timeout, environment: request.environment_max_timeout },
            start_timeout: request.start_timeout,
            until: request.at_most.map(|span| clock::now().plus(span)),
            settle: SettleTimes::CONTRACT,
        },
        stop_when: match (request.any, request.fail_fast) {
            (true, _) => StopWhen::AnyDone,
            (false, true) => StopWhen::FirstFailure,
            (false, false) => StopWhen::AllDone,
        },
        new: request.new,
        kill: request.kill,
        grace: request.grace,
        kill_command: request.kill_command.clone(),
        backend: request.backend,
        poll_interval: request.poll_interval,
        logs: request
            .markers
            .as_ref()
            .map(|markers| LogOptions { patterns: Arc::clone(markers), file: request.log.clone() }),
    }
}
