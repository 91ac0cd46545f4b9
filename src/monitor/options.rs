//! What a wait is asked for, and what it answers: plain values.
//!
//! Refuses to hold anything of how it is done.

use crate::decide::log_match::LogMatch;
use crate::decide::policy::{StaleTooShort, ThresholdOptions};
use crate::decide::snapshot::Snapshot;
use crate::monitor::Backend;
use crate::monitor::log_scan::LogOrder;
use crate::record::evidence::TreeProcess;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::step::snapshot::TooNew;
use crate::sys::signals::Signal;
use std::ffi::OsString;
use std::time::Duration;

/// What to wait for, and how.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The steps, each once.
    pub(crate) steps: Vec<StepName>,
    /// The thresholds wished for.
    pub(crate) wishes: ThresholdOptions,
    /// Which ends end the wait.
    pub(crate) until: StopWhen,
    /// Whether an outcome recorded before the call is passed over.
    pub(crate) new: bool,
    /// Whether a hung or overdue run is ended; else it is only reported.
    pub(crate) kill: bool,
    /// From TERM to KILL.
    pub(crate) grace: Duration,
    /// What ends a run instead of signals.
    pub(crate) kill_command: Option<OsString>,
    /// How changes are noticed.
    pub(crate) backend: Backend,
    /// How often is looked where no events come.
    pub(crate) poll_interval: Duration,
    /// What is looked for in logs; nothing where none is read.
    pub(crate) logs: Option<LogOrder>,
}

/// Which ends end the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopWhen {
    /// Every step's.
    All,
    /// The first one, whatever it is.
    Any,
    /// Every step's, or the first bad one.
    FirstBad,
}

/// What is said of a step when its waiting is over.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its place in the order.
    pub(crate) index: usize,
    /// The answer.
    pub(crate) outcome: Outcome,
    /// A sentence for people.
    pub(crate) detail: Option<String>,
    /// Whether processes were signalled and all are gone, or the caller's command said that it has ended the work.
    pub(crate) killed: bool,
    /// The last look, from which the facts are told; nothing where none was possible.
    pub(crate) look: Option<Snapshot>,
    /// How the change was noticed: `inotify`, `kqueue`, `poll` or `none`.
    pub(crate) backend: &'static str,
    /// When its heartbeat last beat.
    pub(crate) fresh: Option<MonotonicTime>,
    /// When it began.
    pub(crate) began: Option<MonotonicTime>,
    /// The tree of a hung or overdue run, where this call looked at it.
    pub(crate) evidence: Option<Vec<TreeProcess>>,
    /// The log line that ended the wait, and how the run itself had ended, where it had.
    pub(crate) sign: Option<(LogMatch, Option<Outcome>)>,
}

/// How the wait came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Every answer was told.
    Answered,
    /// A signal asked this process to stop; the work was left alone.
    Interrupted(Signal),
}

/// Why there can be no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The thresholds do not fit the run; nothing was touched.
    Usage(String),
    /// This program could not do its part.
    Own(String),
}

impl From<StaleTooShort> for Failure {
    fn from(error: StaleTooShort) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<TooNew> for Failure {
    fn from(TooNew(sentence): TooNew) -> Self {
        Self::Own(sentence)
    }
}
