//! What the state machine reports of a step, and what it has done to a run before that. Called by `inspection` and `machine`.

use crate::decide::log_match::LogMatch;
use crate::decide::policy::Policy;
use crate::decide::snapshot::Snapshot;
use crate::decide::verdict::{Finding, RequiredAction, Verdict};
use crate::error::Error;
use crate::monitor::event::{MonitorAction, Task};
use crate::monitor::log_scan::LogScanner;
use crate::monitor::machine::{InspectionDepth, Monitor};
use crate::monitor::options::{StepResult, StopReason, StopWhen};
use crate::monitor::step_state::{PastTermination, Phase, StepState};
use crate::record::evidence::TreeProcess;
use crate::record::outcome::Outcome;
use crate::record::time::MonotonicTime;
use crate::step::terminate::Termination;

impl Monitor<'_> {
    pub(super) fn finish_on_match(&mut self, step: usize, found: LogMatch) {
        let (outcome, detail) = found.answer();
        let run_outcome = match self.steps[step].verdict() {
            Some(Verdict::Final(Finding { outcome, next: RequiredAction::Report, .. })) if outcome.is_end() => {
                Some(*outcome)
            }
            _ => None,
        };
        let killed = self.steps[step].termination.take().is_some_and(|past| past.termination.killed);
        self.report(StepResult {
            run_outcome,
            log_match: Some(found),
            killed,
            ..StepResult::new(step, outcome, detail)
        });
    }

    /// Does what follows from the verdict; the log is scanned again at `again` at the latest.
    pub(super) fn follow_up(&mut self, step: usize, again: MonotonicTime) {
        if self.steps[step].is_log_only() {
            return self.follow_up_log_wait(step, again);
        }
        let Some(verdict) = self.steps[step].verdict().cloned() else { return };
        if let Some(past) = self.steps[step].termination.take() {
            if !past.termination.recorded || !self.steps[step].shows_other_run(past.run) {
                return self.finish_termination(step, past, verdict);
            }
            // It was replaced while it was being terminated, and the new run is followed.
            self.steps[step].evidence = None;
        }
        match verdict {
            Verdict::Pending { recheck_at, poll_fast } => self.keep_watching(step, recheck_at.min(again), poll_fast),
            Verdict::Final(Finding { outcome, next: RequiredAction::Report, detail }) => {
                self.report(StepResult::new(step, outcome, detail));
            }
            // The wait is over, so nothing is begun any more.
            Verdict::Final(_) if self.over => {}
            Verdict::Final(Finding { outcome, next: RequiredAction::Record(_), detail }) if !self.options.kill => {
                self.report(StepResult::new(step, outcome, detail));
            }
            Verdict::Final(Finding { next: RequiredAction::Terminate(_), .. }) if !self.options.kill => {
                self.actions.push_back(MonitorAction::Diagnose(step));
            }
            Verdict::Final(Finding { outcome, next: RequiredAction::Terminate(intent), .. }) => {
                let why = self.steps[step].termination_reason(intent);
                self.terminate(step, outcome, Task::Terminate(intent, why));
            }
            Verdict::Final(Finding { outcome, next: RequiredAction::Record(reason), .. }) => {
                self.terminate(step, outcome, Task::RecordDeath(reason));
            }
        }
    }

    fn terminate(&mut self, step: usize, outcome: Outcome, task: Task) {
        let run = self.steps[step].snapshot_of_run().and_then(Snapshot::pid_file_id);
        self.steps[step].phase = Phase::Terminating(run, outcome);
        self.actions.push_back(MonitorAction::Terminate(step, task));
    }

    pub(super) fn on_diagnosed(&mut self, step: usize, processes: Vec<TreeProcess>) {
        self.steps[step].evidence = Some(processes);
        if let Some(Verdict::Final(Finding { outcome, next: RequiredAction::Terminate(intent), .. })) =
            self.steps[step].verdict()
        {
            let answer = StepResult::new(step, *outcome, Some(self.steps[step].overdue_reason(*intent)));
            self.report(answer);
        }
    }

    /// What is in the files is the outcome for everybody, this process too: work that finished in between has finished, and
    /// another terminator may have recorded its reason first. So they are read before the answer.
    pub(super) fn on_terminated(&mut self, step: usize, mut termination: Termination) {
        let state = &mut self.steps[step];
        let Phase::Terminating(run, outcome) = state.phase else { return };
        state.phase = Phase::Watching;
        state.evidence = termination.evidence.take();
        state.termination = Some(PastTermination { run, outcome, termination });
        self.mark(step, InspectionDepth::Read);
    }

    fn finish_termination(&mut self, step: usize, past: PastTermination, verdict: Verdict) {
        let Termination { killed, recorded, detail, .. } = past.termination;
        match verdict {
            Verdict::Final(Finding { outcome, next: RequiredAction::Report, detail: found }) if outcome.is_end() => {
                self.report(StepResult { killed, ..StepResult::new(step, outcome, detail.or(found)) });
            }
            // Its result is still to come.
            Verdict::Pending { recheck_at, poll_fast } if recorded => {
                self.steps[step].evidence = None;
                self.keep_watching(step, recheck_at, poll_fast);
            }
            Verdict::Pending { .. } | Verdict::Final(_) => {
                self.report(StepResult { killed, ..StepResult::new(step, past.outcome, detail) });
            }
        }
    }

    /// Where a termination recorded nothing, no later read could tell more than it did.
    pub(super) fn report_unrecorded(&mut self, step: usize) -> bool {
        let unrecorded = self.steps[step].termination.take_if(|past| !past.termination.recorded);
        let Some(PastTermination { outcome, termination: Termination { killed, detail, .. }, .. }) = unrecorded else {
            return false;
        };
        self.report(StepResult { killed, ..StepResult::new(step, outcome, detail) });
        true
    }

    /// Nothing is known of the step at the end of the wait: that it has not started would be a claim.
    pub(super) fn report_unreadable(&mut self, step: usize, reason: &str) {
        self.report(StepResult::new(step, Outcome::Running, Some(format!("it cannot be looked at: {reason}"))));
    }

    /// The caller's time is over, and a marker may still stand in what was not read.
    pub(super) fn report_unread_log(&mut self, step: usize) {
        let detail = "the time was over before its log was read to the end; nothing matched so far".to_owned();
        self.report(StepResult::new(step, Outcome::Running, Some(detail)));
    }

    pub(super) fn report_unreadable_death(&mut self, step: usize, reason: &str) {
        let detail = format!("its process has ended, and its files cannot be read: {reason}");
        self.report(StepResult::new(step, Outcome::Died, Some(detail)));
    }

    pub(super) fn give_up(&mut self, step: usize, reason: &str) {
        let (label, directory) = (self.steps[step].label(), self.directory.display());
        let sentence = format!("cannot look at {label} in {directory}: {reason}; the work was left alone");
        self.stop(Err(Error::internal(sentence)));
    }

    /// A log for which no step is named ends by a line, or by the bounds of the wait.
    fn follow_up_log_wait(&mut self, step: usize, again: MonotonicTime) {
        let policy = match Policy::resolve(&self.options.thresholds, None) {
            Ok(policy) => policy,
            Err(error) => return self.stop(Err(error.into())),
        };
        let exists = self.steps[step].scanner.as_ref().is_some_and(LogScanner::exists);
        let until = policy.until.unwrap_or(MonotonicTime::NEVER);
        let given_up = if exists { MonotonicTime::NEVER } else { self.started.plus(policy.start_timeout) };
        let over = policy.max_timeout.map_or(MonotonicTime::NEVER, |limit| self.started.plus(limit));
        let due = |at: MonotonicTime| at != MonotonicTime::NEVER && self.now >= at;
        let answer = if !exists && (due(given_up) || due(until)) {
            let file = self.options.logs.as_ref().and_then(|logs| logs.file.as_deref()).unwrap_or(self.directory);
            StepResult::new(step, Outcome::NotStarted, Some(format!("there is no file {}", file.display())))
        } else if due(over) {
            let limit = humantime::format_duration(policy.max_timeout.unwrap_or_default());
            StepResult::new(step, Outcome::Timeout, Some(format!("no line matched for {limit}; nothing was ended")))
        } else if due(until) {
            StepResult::new(step, Outcome::Running, None)
        } else {
            return self.schedule(step, again.min(until).min(over).min(given_up));
        };
        self.report(answer);
    }

    fn report(&mut self, mut result: StepResult) {
        let step = result.index;
        let state = &mut self.steps[step];
        state.phase = Phase::Reported;
        self.unreported -= 1;
        if self.options.has_marker() && !state.is_log_only() {
            result = without_marker(result, state);
        }
        if state.files_are_gone() && result.outcome.is_end() {
            result.detail.get_or_insert_with(|| "its files are gone, and nothing could be recorded".to_owned());
        }
        result.detail = state.sentences(result.outcome, result.detail, result.killed);
        (result.backend, result.evidence) = (self.sources.backend, state.evidence.take());
        if let Some(assessment) = state.assessment.take() {
            result = result.with_facts(assessment);
        } else if state.is_log_only() {
            result.began = Some(self.started);
        }
        let outcome = result.outcome;
        self.cancel_timer(step);
        if self.unreported > 0 && self.steps[step].exit.is_some() {
            self.actions.push_back(MonitorAction::ForgetExit(step));
        }
        match self.options.stop_when {
            StopWhen::AllDone => {}
            StopWhen::FirstFailure => {
                self.over |= outcome.is_end() && outcome != Outcome::Success || outcome == Outcome::NotStarted;
            }
            StopWhen::AnyDone if outcome.is_end() || outcome == Outcome::Marker => self.over = true,
            // None has won yet: whether this is reported is known at the end.
            StopWhen::AnyDone => {
                self.steps[step].pending_result = Some(result);
                return;
            }
        }
        self.actions.push_back(MonitorAction::Report(Box::new(result)));
    }

    /// The last answers: the steps that are not reported yet still run, or have not started.
    pub(super) fn close(&mut self) {
        if self.options.stop_when == StopWhen::FirstFailure {
            for step in 0..self.steps.len() {
                if self.steps[step].phase != Phase::Reported {
                    let state = &mut self.steps[step];
                    state.termination = None;
                    let outcome = state.outcome_so_far();
                    self.report(StepResult::new(step, outcome, None));
                }
            }
        }
        if self.options.stop_when == StopWhen::AnyDone && !self.over {
            let pending: Vec<StepResult> =
                self.steps.iter_mut().filter_map(|step| step.pending_result.take()).collect();
            let running: Vec<StepResult> =
                pending.iter().filter(|result| result.outcome == Outcome::Running).cloned().collect();
            // None has won: each that runs is reported, or, where none has started, the first.
            let last = if running.is_empty() { pending.into_iter().take(1).collect() } else { running };
            self.actions.extend(last.into_iter().map(|result| MonitorAction::Report(Box::new(result))));
        }
        self.stop(Ok(StopReason::Answered));
    }
}

/// With a marker only a line ends the wait well: a run that ends before one matched has failed to say it.
fn without_marker(answer: StepResult, state: &StepState) -> StepResult {
    if answer.log_match.is_some() || !matches!(answer.outcome, Outcome::Success | Outcome::Failed) {
        return answer;
    }
    let meta = state.snapshot().and_then(|snapshot| snapshot.run_meta());
    let how = match meta.map(|meta| (meta.exit_code, meta.signal.as_deref())) {
        Some((Some(code), _)) => format!(", exit code {code}"),
        Some((None, Some(signal))) => format!(", {signal}"),
        Some((None, None)) | None => String::new(),
    };
    let sentence = format!("ended ({}{how}) before a line matched", answer.outcome.as_str());
    let detail = std::iter::once(sentence).chain(answer.detail.clone()).collect::<Vec<_>>().join("; ");
    StepResult { outcome: Outcome::Failed, detail: Some(detail), ..answer }
}
