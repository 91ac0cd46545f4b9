//! `wait`: blocks until steps end, and says how.
//!
//! Refuses to wait without a bound that the caller can know: a start timeout, a staleness and a maximum are in force
//! unless they are taken off.

use crate::decide::log_match::Patterns;
use crate::decide::policy::{GRACE, POLL_INTERVAL, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::monitor;
use crate::monitor::{Backend, End, LogOrder, Order, ProgressFn, StepProgress, StopWhen};
use crate::ops::report::Report;
use crate::ops::{Error, readable};
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
pub struct Wait {
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

impl Wait {
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
/// use dogwatch::{Action, Outcome, StepName, Wait, wait};
/// use std::process::Command;
///
/// let folder = tempfile::tempdir()?;
/// let script = "echo '{\"tests\":12}' > build.result; echo SUCCESS > build.status";
/// let mut shell = Command::new("sh").args(["-c", script]).current_dir(folder.path()).spawn()?;
///
/// let reports = wait(&Wait::new(folder.path().to_path_buf(), vec![StepName::parse("build")?]))?;
/// assert_eq!(reports[0].outcome, Outcome::Success);
/// assert_eq!(reports[0].action, Action::Continue);
/// assert_eq!(reports[0].result.as_ref().map(|result| result.get()), Some(r#"{"tests":12}"#));
/// # shell.wait()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Usage`] where a threshold does not fit the run, [`Error::Own`] where the directory cannot be read.
pub fn wait(request: &Wait) -> Result<Vec<Report>, Error> {
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
pub(crate) fn listen(request: &Wait, listener: &mut dyn Listener) -> Result<End, Error> {
    let directory = MonitorDir::at(request.directory.clone());
    readable(&directory)?;
    let order = order(request);
    // Two closures and one listener: what each has to say is kept until the loop gives the turn back.
    let listener = std::cell::RefCell::new(listener);
    let mut tell = |told: monitor::Told| {
        let Some(step) = order.steps.get(told.index) else {
            // No step was named: the file is what is told of.
            return listener.borrow_mut().answer(Report::of_file(
                &told,
                request.log.as_deref().unwrap_or(directory.path()),
                &directory,
                request.log_tail,
            ));
        };
        count(&directory, step, &told, &mut |line| listener.borrow_mut().trouble(line));
        let mut report = Report::of(&told, step, &directory, request.log_tail);
        if let Some(log) = &request.log {
            report.set_log(log, request.log_tail);
        }
        listener.borrow_mut().answer(report);
    };
    let mut verbose = |line: &str| listener.borrow_mut().verbose(line);
    let looks_on = listener.borrow().looks_on();
    let mut onlook = |glimpses: &[StepProgress], more: usize| {
        let progress = |glimpse: &StepProgress| progress(glimpse, &order.steps[glimpse.index], &directory, request);
        let steps: Vec<Progress> = glimpses.iter().map(progress).collect();
        listener.borrow_mut().progress(&steps, more);
    };
    let onlooker: Option<ProgressFn<'_>> = if looks_on { Some(&mut onlook) } else { None };
    Ok(match (&order.logs, &request.log) {
        (Some(logs), Some(file)) if order.steps.is_empty() => {
            monitor::wait_for_line(&order, logs, file, &mut tell, &mut verbose)?
        }
        _ => monitor::wait(&directory, &order, &mut tell, &mut verbose, onlooker)?,
    })
}

fn progress(glimpse: &StepProgress, step: &StepName, directory: &MonitorDir, request: &Wait) -> Progress {
    let own = || directory.join(&file_name(step, Record::Log));
    Progress {
        step: step.as_str().to_owned(),
        elapsed_ms: glimpse.elapsed.map(millis),
        expected: history::expected(directory, step).map(Duration::from_millis),
        heartbeat_age_ms: glimpse.heartbeat.map(millis),
        ending: glimpse.ending,
        last_line: file::last_line(&request.log.clone().unwrap_or_else(own)).filter(|_| glimpse.elapsed.is_some()),
    }
}

/// A run whose end nobody of this program recorded is counted by whoever sees it.
fn count(directory: &MonitorDir, step: &StepName, told: &monitor::Told, trouble: &mut dyn FnMut(&str)) {
    let Some(look) = &told.look else { return };
    // What a log line says of a run that goes on is no end of it.
    let outcome = match &told.sign {
        Some((_, ended)) => ended.unwrap_or(Outcome::Marker),
        None => told.outcome,
    };
    let reason = match outcome {
        Outcome::Success => Reason::Success,
        Outcome::Failed => Reason::Failed,
        // These were recorded, and counted with it, or they are no end.
        Outcome::Hung | Outcome::Died | Outcome::Timeout | Outcome::NotStarted | Outcome::Running | Outcome::Marker => {
            return;
        }
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

fn order(request: &Wait) -> Order {
    let mut steps: Vec<StepName> = Vec::with_capacity(request.steps.len());
    let mut seen = std::collections::HashSet::new();
    steps.extend(request.steps.iter().filter(|step| seen.insert(step.as_str())).cloned());
    Order {
        steps,
        wishes: ThresholdOptions {
            stale: Threshold { flag: request.stale, environment: request.environment_stale },
            max_timeout: Threshold { flag: request.max_timeout, environment: request.environment_max_timeout },
            start_timeout: request.start_timeout,
            until: request.at_most.map(|span| clock::now().plus(span)),
            settle: SettleTimes::CONTRACT,
        },
        until: match (request.any, request.fail_fast) {
            (true, _) => StopWhen::Any,
            (false, true) => StopWhen::FirstBad,
            (false, false) => StopWhen::All,
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
            .map(|markers| LogOrder { markers: Arc::clone(markers), file: request.log.clone() }),
    }
}
