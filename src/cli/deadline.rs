//! Deadlines for calls on a directory whose filesystem may not answer. Called by `wait`, `recover` and `check`.
//!
//! The call goes on in a process of its own (`sys::process::isolated_worker`); this one passes on what it prints, and answers
//! in its place once a deadline is past and nothing came. It invents no outcome: what cannot be read is running as far as is
//! known, or the call has failed. Where the filesystem is local nothing of this happens.

use super::Context;
use super::output::print_error;
use crate::decide::policy::MAX_TIMEOUT;
use crate::error::Error;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::check::CheckOptions;
use crate::ops::report::Report;
use crate::ops::wait::WaitOptions;
use crate::record::shell_word::shell_word;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::fs::mounts::crosses_remote_mount;
use crate::sys::process::isolated_worker::{WorkerExit, fork_worker};
use crate::sys::signals::{INTERRUPTS, Signal, not_ignored};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The least time that a filesystem is given for its first answer, and all that a call gets which may not block.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a call may take while nothing comes from its worker.
pub(super) struct CallDeadline {
    directory: PathBuf,
    /// The log to search, where it is not a step's own.
    log: Option<PathBuf>,
    steps: Vec<StepName>,
    /// `--for`: then the work is reported as running.
    at_most: Option<Duration>,
    /// Without `--for`, while the filesystem has not answered at all.
    first: Duration,
    /// Without `--for`, once it has answered; none for no deadline.
    later: Option<Duration>,
}

impl CallDeadline {
    pub(super) fn of_wait(request: &WaitOptions) -> Self {
        Self {
            directory: request.directory.clone(),
            log: request.log.clone(),
            steps: request.monitor.steps.clone(),
            at_most: request.at_most,
            first: request.monitor.thresholds.start_timeout.max(ANSWER),
            later: request.monitor.thresholds.max_timeout.resolve(None, MAX_TIMEOUT),
        }
    }

    pub(super) fn of_check(request: &CheckOptions) -> Self {
        let (directory, steps) = (request.directory.clone(), request.steps.clone());
        Self { directory, log: None, steps, at_most: None, first: ANSWER, later: Some(ANSWER) }
    }

    fn deadline(&self, began: MonotonicTime, has_answered: bool) -> MonotonicTime {
        let by_answer = if has_answered { self.later } else { Some(self.first) };
        self.at_most.or(by_answer).map_or(MonotonicTime::NEVER, |span| began.plus(span))
    }

    /// Does `work` within the deadlines, and answers for a call that a signal ended before its worker could; the exit code.
    ///
    /// # Errors
    /// As `work`; and where the filesystem does not answer.
    pub(super) fn run_within(&self, context: &Context, work: impl FnOnce() -> Result<u8, Error>) -> Result<u8, Error> {
        if !crosses_remote_mount(&self.directory) && !self.log.as_deref().is_some_and(crosses_remote_mount) {
            return work();
        }
        let signals = not_ignored(&INTERRUPTS);
        let worker = fork_worker(&signals).map_err(|error| Error::io("cannot start a process", error))?;
        // In the worker itself there is none.
        let Some(worker) = worker else { return work() };
        let deadline = |began, has_answered| self.deadline(began, has_answered);
        match worker.supervise(deadline, &|bytes| context.out.print(bytes)) {
            WorkerExit::Exited(code) => Ok(code),
            WorkerExit::Signaled(signal) if !signals.contains(&signal) => Err(Error::internal(format!(
                "the process that read {} was ended by {signal}",
                self.directory.display()
            ))),
            WorkerExit::Signaled(signal) => Ok(report_interrupt(signal, &self.steps, context)),
            WorkerExit::Unresponsive(answered) => self.report_unresponsive(&answered, context),
        }
    }

    fn report_unresponsive(&self, answered: &[String], context: &Context) -> Result<u8, Error> {
        let shown = self.directory.display();
        if self.at_most.is_none() {
            return Err(Error::internal(format!(
                "cannot read {shown}: its filesystem does not answer; the work was left alone"
            )));
        }
        // A log that is waited for by itself goes by its file's name.
        let log = self.log.as_deref().filter(|_| self.steps.is_empty()).and_then(Path::file_name);
        let log = log.map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = self.steps.iter().map(StepName::to_string).chain(log).collect();
        let mut reported: HashSet<&String> = answered.iter().collect();
        for name in names.iter().filter(|name| reported.insert(name)) {
            let detail = "its filesystem does not answer".to_owned();
            context.out.print_report(&Report::unseen(name, &self.directory, detail));
        }
        if context.out.verbose > 0 {
            print_error(&format!("{shown} does not answer; the process that reads it was left behind"));
        }
        // Whatever the others' outcomes: under `--for` a running step decides for all.
        Ok(ExitCode::Running.code())
    }
}

/// Says after a signal how to go on; the exit code.
pub(super) fn report_interrupt(signal: Signal, steps: &[StepName], context: &Context) -> u8 {
    if !context.out.quiet {
        let how = if steps.is_empty() {
            "the same call searches the log from its beginning again".to_owned()
        } else {
            let names: Vec<&str> = steps.iter().map(StepName::as_str).collect();
            let dir = context.dir.as_ref().map(|dir| format!(" --dir {}", shell_word(&dir.to_string_lossy())));
            format!("wait again with: dogwatch wait {}{}", names.join(" "), dir.unwrap_or_default())
        };
        print_error(&format!("interrupted; the work is left alone, {how}"));
    }
    of_signal(signal as i32)
}
