//! Calls on a directory whose filesystem may not answer, held to their own limits all the same.
//!
//! The call goes on in a process of its own (`sys::process::isolated_worker`); this one passes on what it says, and answers in its place once
//! a limit is past and nothing is heard. Refuses to invent an outcome: what cannot be looked at is running as far as
//! anybody knows, or the call has failed. Where the filesystem is this machine's own nothing of this happens.

use crate::cli::arguments::{Color, Global};
use crate::cli::exit_code::ExitCode;
use crate::cli::{complain, print_report, wait};
use crate::decide::policy::{MAX_TIMEOUT, Threshold};
use crate::ops::Error;
use crate::ops::check::Check;
use crate::ops::report::Report;
use crate::ops::wait::Wait;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::fs::mounts::may_block;
use crate::sys::process::isolated_worker::{Left, Side, split};
use crate::sys::signals::{Signal, not_ignored};
use crate::sys::terminal;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The least time that a filesystem is given for its first answer, and all that a look which may not block gets.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a call may take when nothing is heard.
pub(super) struct CallDeadline {
    directory: PathBuf,
    /// The log to look through, where it is not a step's own.
    log: Option<PathBuf>,
    steps: Vec<StepName>,
    /// `--for`: then the work is said to be running.
    at_most: Option<Duration>,
    /// Without `--for`, while the filesystem has not answered at all.
    first: Duration,
    /// Without `--for`, once it has answered; nothing for ever.
    later: Option<Duration>,
}

impl CallDeadline {
    pub(super) fn of_wait(request: &Wait) -> Self {
        let limit = Threshold { flag: request.max_timeout, environment: request.environment_max_timeout };
        Self {
            directory: request.directory.clone(),
            log: request.log.clone(),
            steps: request.steps.clone(),
            at_most: request.at_most,
            first: request.start_timeout.max(ANSWER),
            later: limit.or(MAX_TIMEOUT),
        }
    }

    pub(super) fn of_check(request: &Check) -> Self {
        let (directory, steps) = (request.directory.clone(), request.steps.clone());
        Self { directory, log: None, steps, at_most: None, first: ANSWER, later: Some(ANSWER) }
    }

    fn limit(&self, began: MonotonicTime, heard: bool) -> MonotonicTime {
        let span = match (self.at_most, heard) {
            (Some(span), _) => Some(span),
            (None, false) => Some(self.first),
            (None, true) => self.later,
        };
        span.map_or(MonotonicTime::NEVER, |span| began.plus(span))
    }

    /// Does `work` within the bounds.
    ///
    /// # Errors
    /// As `work`; and where the filesystem does not answer.
    pub(super) fn hold(&self, global: &Global, work: impl FnOnce(&Global) -> Result<u8, Error>) -> Result<u8, Error> {
        if !may_block(&self.directory) && !self.log.as_deref().is_some_and(may_block) {
            return work(global);
        }
        // A worker's output goes through a pipe; whether there is a terminal behind it is known only here.
        let color = match global.color {
            Color::Auto if terminal::stdout_is_terminal() => super::colors_by_environment(),
            Color::Auto => Color::Never,
            chosen @ (Color::Always | Color::Never) => chosen,
        };
        let global = Global { color, ..global.clone() };
        let signals = not_ignored(&[Signal::SIGINT, Signal::SIGTERM]);
        match split(&signals).map_err(|error| Error::Own(format!("cannot start a process: {error}")))? {
            Side::Worker => work(&global),
            Side::Watcher(worker) => match worker.attend(|began, heard| self.limit(began, heard)) {
                Left::Ended(code) => Ok(code),
                Left::Killed(signal) if !signals.contains(&signal) => {
                    Err(Error::Own(format!("the process that looked at {} was ended by {signal}", self.shown())))
                }
                Left::Interrupted(signal) | Left::Killed(signal) => Ok(wait::interrupted(signal, &self.steps, &global)),
                Left::Stuck(answered) => self.stuck(&answered, &global),
            },
        }
    }

    fn shown(&self) -> std::path::Display<'_> {
        self.directory.display()
    }

    fn stuck(&self, answered: &[String], global: &Global) -> Result<u8, Error> {
        let shown = self.shown();
        if self.at_most.is_none() {
            return Err(Error::Own(format!(
                "cannot look at {shown}: its filesystem does not answer; the work was left alone"
            )));
        }
        // A log waited for by itself has its own name.
        let log = self.log.as_deref().filter(|_| self.steps.is_empty()).and_then(Path::file_name);
        let log = log.map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = self.steps.iter().map(StepName::to_string).chain(log).collect();
        let mut told: HashSet<&String> = answered.iter().collect();
        for name in &names {
            if told.insert(name) {
                let detail = "its filesystem does not answer".to_owned();
                print_report(&Report::unseen(name, &self.directory, detail), global, global.quiet);
            }
        }
        if global.verbose > 0 {
            complain(&format!("{shown} does not answer; the process that looks at it was left behind"));
        }
        // Whatever the others' outcomes: under `--for` a running step speaks for all.
        Ok(ExitCode::Running.code())
    }
}
