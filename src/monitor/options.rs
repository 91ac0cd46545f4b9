//! What a wait is asked for and what it answers: plain values, used by every other file of the loop.

use crate::decide::log_match::{LogMatch, Patterns};
use crate::decide::policy::ThresholdOptions;
use crate::decide::snapshot::Snapshot;
use crate::decide::verdict::Assessment;
use crate::error::{UnknownWord, Word};
use crate::record::evidence::TreeProcess;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::signals::Signal;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// What to wait for, and how.
#[derive(Clone, Debug)]
pub(crate) struct MonitorOptions {
    /// The steps, each once; none where only a log is waited for.
    pub(crate) steps: Vec<StepName>,
    /// The thresholds that the caller gave.
    pub(crate) thresholds: ThresholdOptions,
    /// Which ends end the wait.
    pub(crate) mode: WaitMode,
    /// Whether an outcome recorded before the call is ignored.
    pub(crate) new: bool,
    /// Whether a hung or overdue run is terminated; else it is only reported.
    pub(crate) kill: bool,
    /// From TERM to KILL.
    pub(crate) grace: Duration,
    /// The command that ends a run instead of signals.
    pub(crate) kill_command: Option<OsString>,
    /// How changes are noticed.
    pub(crate) backend: Backend,
    /// How often files are read where no events come.
    pub(crate) poll_interval: Duration,
    /// Whether progress is reported.
    pub(crate) progress: bool,
    /// What is searched for in logs; `None` if none is read.
    pub(crate) logs: Option<LogOptions>,
}

/// What to search logs for.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// The lines that end the wait.
    pub(crate) patterns: Arc<Patterns>,
    /// The log, where it is not the step's own.
    pub(crate) file: Option<PathBuf>,
}

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// By events where they report every change, else by polling.
    Auto,
    /// By events, whatever the filesystem.
    Event,
    /// By events through the notify library, whatever the filesystem.
    Notify,
    /// By reading at every poll interval.
    Poll,
}

impl Backend {
    /// The words of the command line.
    pub(crate) const WORDS: [Word<Self>; 4] = [
        ("auto", Self::Auto, "Events where they tell everything, else polling"),
        ("event", Self::Event, "Events"),
        ("notify", Self::Notify, "Events through a portable library, for comparison"),
        ("poll", Self::Poll, "Polling"),
    ];
}

impl FromStr for Backend {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        UnknownWord::find(word, &Self::WORDS)
    }
}

/// Which ends end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitMode {
    /// Every step's.
    All,
    /// The first one, whatever it is.
    Any,
    /// Every step's, or the first bad one.
    FailFast,
}

/// The answer about one step.
#[derive(Clone, Debug)]
pub(crate) struct StepResult {
    /// Its position among the steps.
    pub(crate) index: usize,
    /// The answer.
    pub(crate) outcome: Outcome,
    /// How the run itself has ended, whatever the answer says of its log; `None` if it goes on.
    pub(crate) run_outcome: Option<Outcome>,
    /// A sentence for people.
    pub(crate) detail: Option<String>,
    /// Whether processes were signalled and all are gone, or the caller's command said that it has ended the work.
    pub(crate) killed: bool,
    /// The last snapshot, from which the facts are told; `None` if none could be read.
    pub(crate) snapshot: Option<Snapshot>,
    /// When its heartbeat last beat.
    pub(crate) fresh: Option<MonotonicTime>,
    /// When the run, or the wait for a log alone, began.
    pub(crate) began: Option<MonotonicTime>,
    /// How the change was noticed: `inotify`, `kqueue`, `poll` or `none`.
    pub(crate) backend: &'static str,
    /// The tree of a hung or overdue run, where this call read it.
    pub(crate) evidence: Option<Vec<TreeProcess>>,
    /// The log line that ended the wait.
    pub(crate) log_match: Option<LogMatch>,
}

impl StepResult {
    /// An answer without any facts.
    pub(crate) fn new(index: usize, outcome: Outcome, detail: Option<String>) -> Self {
        Self {
            index,
            outcome,
            run_outcome: outcome.is_end().then_some(outcome),
            detail,
            killed: false,
            snapshot: None,
            fresh: None,
            began: None,
            backend: "none",
            evidence: None,
            log_match: None,
        }
    }

    /// The same with the facts of an assessment.
    pub(crate) fn with_facts(self, Assessment { snapshot, observation: seen, .. }: Assessment) -> Self {
        Self {
            fresh: seen.heartbeat.map(|beat| beat.fresh),
            began: seen.absent_since.is_none().then_some(seen.began),
            snapshot: Some(snapshot.without_left_over(&seen)),
            ..self
        }
    }
}

/// How a running step stands, once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepProgress {
    /// Its position among the steps.
    pub(crate) index: usize,
    /// How long it has run; `None` if it has not started.
    pub(crate) elapsed: Option<Duration>,
    /// How old its heartbeat is.
    pub(crate) heartbeat: Option<Duration>,
    /// Whether it is being terminated.
    pub(crate) terminating: bool,
}

/// What a wait reports while it goes on.
#[derive(Debug)]
pub(crate) enum WaitEvent<'event> {
    /// One step's answer.
    Result(Box<StepResult>),
    /// A line about how the waiting is done.
    Diagnostic(&'event str),
    /// How some steps stand, once a second, and how many more there are.
    Progress(&'event [StepProgress], usize),
    /// The loop works, and will be silent for so long at most.
    Idle(Duration),
}

/// How the wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// Every answer was reported.
    Answered,
    /// A signal asked this process to end; the work was left alone.
    Interrupted(Signal),
}
