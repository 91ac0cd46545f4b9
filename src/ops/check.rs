//! `check`: the decision tree of `wait`, once. Nothing is waited for, ended or recorded.

use crate::decide::liveness::is_copy;
use crate::decide::policy::{Policy, ThresholdOptions};
use crate::decide::recovery::{Plan, plan};
use crate::decide::snapshot::{Observation, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Assessment, Verdict, assess};
use crate::decide::warning::{Warning, remarks};
use crate::error::Error;
use crate::monitor::StepResult;
use crate::ops::report::Report;
use crate::ops::{each_once, open, reader, readers};
use crate::record::outcome::{Outcome, Reason, detail_of};
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::record::units::shown;
use crate::step::snapshot::SnapshotReader;
use crate::step::terminate::{cpu_time, cpu_time_in, evidence, left_no_status};
use crate::sys::process::table::LazyProcessTable;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Looks once at steps: how each stands and what to do, without waiting and without changing anything.
///
/// # Examples
///
/// ```
/// use dogwatch::{Action, CheckOptions, Outcome};
///
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("build.status"), "FAILED\n")?;
///
/// let reports = CheckOptions::new(folder.path()).step("build".parse()?).step("deploy".parse()?).check()?;
/// assert_eq!((reports[0].outcome, reports[0].action), (Outcome::Failed, Action::Retry));
/// assert_eq!(reports[1].outcome, Outcome::NotStarted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct CheckOptions {
    pub(crate) directory: PathBuf,
    pub(crate) steps: Vec<StepName>,
    pub(crate) thresholds: ThresholdOptions,
    pub(crate) log_tail: usize,
    /// The tags that a step must have to be listed.
    pub(crate) tags: Vec<String>,
}

impl CheckOptions {
    /// Looks into this monitor directory, with every default.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let (directory, thresholds) = (directory.into(), ThresholdOptions::ONCE);
        Self { directory, steps: Vec::new(), thresholds, log_tail: LOG_TAIL, tags: Vec::new() }
    }

    /// Looks at this step too; one named twice counts once.
    pub fn step(mut self, step: StepName) -> Self {
        self.steps.push(step);
        self
    }

    /// Looks at these steps too.
    pub fn steps(mut self, steps: impl IntoIterator<Item = StepName>) -> Self {
        self.steps.extend(steps);
        self
    }

    /// As [`WaitOptions::stale`](crate::WaitOptions::stale).
    pub fn stale(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.thresholds.stale.flag = limit.into();
        self
    }

    /// As [`WaitOptions::max_timeout`](crate::WaitOptions::max_timeout).
    pub fn max_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.thresholds.max_timeout.flag = limit.into();
        self
    }

    /// How many of the log's last lines are reported on anything but success; 20 by default.
    pub fn log_tail(mut self, lines: usize) -> Self {
        self.log_tail = lines;
        self
    }

    /// Looks once; a report a step, in their order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidOptions`](crate::ErrorKind) where a threshold does not fit the run,
    /// [`ErrorKind::Internal`](crate::ErrorKind) where the files cannot be read.
    pub fn check(&self) -> Result<Vec<Report>, Error> {
        Ok(plans(self)?.into_iter().map(|checked| checked.report).collect())
    }

    /// Looks once at one step; its report.
    ///
    /// # Errors
    /// As [`CheckOptions::check`].
    pub(crate) fn check_step(&self, step: &StepName) -> Result<Report, Error> {
        Ok(check_one(self, &mut reader(&open(&self.directory)?, step), None)?.report)
    }
}

/// As [`CheckOptions::check`], with what a recovery would do about each.
///
/// # Errors
/// As [`CheckOptions::check`].
pub(crate) fn plans(request: &CheckOptions) -> Result<Vec<Checked>, Error> {
    let directory = open(&request.directory)?;
    let reader = readers(&directory);
    let steps = each_once(&request.steps);
    steps.iter().map(|step| check_one(request, &mut reader(step), None)).collect()
}

/// How many of a log's last lines are reported unless it is said otherwise.
pub(super) const LOG_TAIL: usize = 20;

/// What one look at a step showed.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// How it stands.
    pub(crate) report: Report,
    /// What a recovery would do about it.
    pub(crate) plan: Plan,
    /// How much CPU time the processes of a run that goes on have used.
    pub(crate) cpu_time: Option<Duration>,
}

/// Looks once at one step: with a table of all processes, which serves many steps, at its files, whether its process lives, and
/// what its processes have used; without one, by a scan of all processes, at what they do, too.
///
/// # Errors
/// As [`CheckOptions::check`].
pub(crate) fn check_one(
    request: &CheckOptions,
    reader: &mut SnapshotReader,
    processes: Option<&LazyProcessTable>,
) -> Result<Checked, Error> {
    let step = reader.step().clone();
    let directory = Arc::clone(reader.directory());
    let snapshot = reader
        .read()
        .map_err(|error| Error::io(format!("cannot look at {step} in {}", directory.path().display()), error))?;
    // Patience is over at once, and no end needs a second look: that is what "once" means.
    let thresholds = ThresholdOptions { until: snapshot.at, ..request.thresholds };
    let assessment = assess(&mut RunTracker::default(), &step, snapshot, &thresholds)?;
    let Assessment { snapshot, observation: seen, policy, verdict } = &assessment;
    let plan = plan(verdict);
    let tree = (processes.is_none() && plan == Plan::End).then(|| evidence(snapshot));
    let (outcome, detail) = verdict.answer();
    let is_unrecorded_death = matches!(verdict, Verdict::Record(Reason::Died, _));
    let detail = detail.or_else(|| is_unrecorded_death.then(|| left_no_status(snapshot)));
    let copied = (outcome != Outcome::Running && is_copy(snapshot)).then(|| Warning::Copy.to_string());
    let mut sentences: Vec<String> = detail.into_iter().chain(copied).collect();
    let mut used = None;
    if outcome == Outcome::Running {
        used = match processes {
            Some(processes) => cpu_time_in(snapshot, processes.table()),
            None => cpu_time(snapshot),
        };
        sentences.extend(about_running(snapshot, seen, policy, used));
    }
    let answer = StepResult::new(0, outcome, detail_of(sentences)).with_facts(assessment);
    let told = StepResult { evidence: tree, ..answer };
    let mut report = Report::of(&told, &step, &directory, request.log_tail);
    if let Some(action) = plan.action() {
        report.action = action;
        report.still_runs = true;
    }
    if outcome == Outcome::Running {
        report.detail = detail_of(report.detail.take().into_iter().chain(slowness(&report)));
    }
    Ok(Checked { report, plan, cpu_time: used })
}

/// What is worth knowing of a run that goes on.
fn about_running(snapshot: &Snapshot, seen: &Observation, policy: &Policy, cpu_time: Option<Duration>) -> Vec<String> {
    let mut sentences: Vec<String> =
        remarks(snapshot, seen.liveness).into_iter().map(|remark| remark.to_string()).collect();
    let used = |used| format!("its processes have used {} of CPU time", humantime::format_duration(used));
    sentences.extend(cpu_time.map(used));
    let is_stale = |fresh: MonotonicTime| policy.stale.is_some_and(|stale| snapshot.at >= fresh.plus(stale));
    if seen.heartbeat.is_some_and(|beat| beat.unconfirmed.is_some() && is_stale(beat.fresh)) {
        let local = snapshot.here.local_filesystem;
        let doubt = if local { "this machine has slept since boot" } else { "its time may be of another clock" };
        sentences.push(format!("the heartbeat looks stale, but {doubt}: look again soon"));
    }
    sentences
}

/// Says of a run that it takes much longer than usual.
fn slowness(report: &Report) -> Option<String> {
    /// How many times the usual time is remarkable.
    const MUCH: u64 = 3;
    let (elapsed, expected) = report.elapsed_ms.zip(report.expected_ms)?;
    let is_much = elapsed > expected.saturating_mul(MUCH);
    is_much.then(|| format!("it usually takes {}, less than a third of this", shown(expected)))
}
