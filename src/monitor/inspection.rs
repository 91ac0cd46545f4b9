//! How the state machine inspects one step: watch its run's end, read it, search its log, and do what follows from the
//! verdict: keep watching, have the run ended, or report. Called by `machine` for one step at a time; each part ends with an
//! action whose event calls the next.

use crate::decide::policy::{LOOKS, MAX_TIMEOUT, SAFETY_RESCAN, SettleTimes};
use crate::decide::snapshot::{Process, Snapshot};
use crate::decide::verdict::Verdict;
use crate::error::Error;
use crate::monitor::event::{MonitorAction, Task};
use crate::monitor::log_search::without_marker;
use crate::monitor::machine::{Inspection, InspectionDepth, Monitor, WaitStage};
use crate::monitor::options::{StepResult, WaitEnd, WaitMode};
use crate::monitor::step_state::{PastTermination, Phase, ReadFailure};
use crate::record::evidence::TreeProcess;
use crate::record::file_names::Record;
use crate::record::outcome::Outcome;
use crate::record::time::MonotonicTime;
use crate::step::terminate::Termination;
use crate::sys::watch::WatchResult;
use std::time::Duration;

/// How often a step is read once more in one inspection, because its run's end came to be watched after the read: each time
/// it is another run's end, so that many runs may follow each other within the inspection.
const MAX_REREADS: usize = 4;
/// How often a file that has just been made is read again without a pause, until its writer has filled it.
const MAX_SPINS: usize = 8;
/// For how long every read of a step has to fail before that is believed, and how soon the first is repeated.
const FAILURE_CONFIRM: Duration = Duration::from_millis(100);
const RETRY_MIN: Duration = Duration::from_millis(10);

impl Monitor<'_> {
    pub(super) fn inspect(&mut self, step: usize, depth: InspectionDepth) {
        let state = &self.steps[step];
        if state.phase != Phase::Watching {
            return;
        }
        self.inspection = Inspection::default();
        match depth {
            _ if state.is_log_only() => self.consult_log(step),
            InspectionDepth::Verdict if state.read_failure.is_some() => {}
            InspectionDepth::Verdict => self.consult_log(step),
            InspectionDepth::IfChanged if state.runs_steadily() => {
                self.actions.push_back(MonitorAction::CheckUnchanged(step));
            }
            InspectionDepth::IfChanged | InspectionDepth::Read => self.begin_read(step),
        }
    }

    /// A run that an earlier snapshot showed alive is watched first, and read after that (I2).
    pub(super) fn begin_read(&mut self, step: usize) {
        if !self.watch_exit(step) {
            self.actions.push_back(MonitorAction::ReadSnapshot(step));
        }
    }

    /// Asks to watch for the end of the step's run where it is not watched yet; whether that was needed.
    fn watch_exit(&mut self, step: usize) -> bool {
        let run = self.steps[step].exit_to_watch().filter(|run| self.inspection.exit != Some(*run));
        let Some(run) = run.filter(|_| self.stage == WaitStage::Watching) else { return false };
        self.inspection.exit = Some(run);
        self.actions.push_back(MonitorAction::WatchExit(step, run.pid));
        true
    }

    pub(super) fn on_exit_watch(&mut self, step: usize, watch: Option<WatchResult>) {
        let (run, state) = (self.inspection.exit, &mut self.steps[step]);
        let changed = match watch {
            Some(watch) => {
                (state.exit, state.polls_for_exit) = (run, false);
                state.exit_notified = watch == WatchResult::AlreadyExited;
                true
            }
            // From now on it is polled for.
            None => !std::mem::replace(&mut state.polls_for_exit, true),
        };
        // An end between the read and the watch is reported by nothing else: read once more (I2).
        if !self.inspection.has_read || changed && self.inspection.rereads < MAX_REREADS {
            self.inspection.rereads += usize::from(self.inspection.has_read);
            self.actions.push_back(MonitorAction::ReadSnapshot(step));
        } else {
            self.proceed(step);
        }
    }

    pub(super) fn on_snapshot(&mut self, step: usize, snapshot: Snapshot) {
        let options = self.options;
        self.inspection.has_read = true;
        if let Err(error) = self.steps[step].assess(snapshot, &options.thresholds, options.new) {
            return self.end(Err(error));
        }
        if self.stage == WaitStage::FirstReads {
            return;
        }
        let pending = matches!(self.steps[step].verdict(), Some(Verdict::Pending { .. }));
        if !(pending && self.watch_exit(step)) {
            self.proceed(step);
        }
    }

    /// Goes on with a step whose snapshot is read. The end of its run is watched by now, where that can be.
    fn proceed(&mut self, step: usize) {
        let state = &self.steps[step];
        let writing = matches!(state.verdict(), Some(Verdict::Pending { poll_fast: true, .. }));
        // A shell makes a file and fills it some microseconds later, maybe on this very processor.
        if writing && self.stage == WaitStage::Watching && state.may_spin() && self.inspection.spins < MAX_SPINS {
            self.inspection.spins += 1;
            self.actions.push_back(MonitorAction::SpinUntilChanged(step));
        } else {
            self.consult_log(step);
        }
    }

    /// Whether the run is over and is not to be terminated: nothing more comes into its log then.
    pub(super) fn has_ended(&self, step: usize) -> bool {
        self.steps[step].recorded_end().is_some() || matches!(self.steps[step].verdict(), Some(Verdict::Record(..)))
    }

    /// Looks into the log before what follows from the verdict: a line of it may end the wait before the run does.
    pub(super) fn consult_log(&mut self, step: usize) {
        let own = self.options.logs.as_ref().is_some_and(|logs| logs.file.is_none());
        let ended = self.has_ended(step);
        let state = &mut self.steps[step];
        let readable = !own || state.owns_its_log();
        let Some(scanner) = state.scanner.as_mut().filter(|_| readable) else {
            return self.follow_up(step, MonotonicTime::NEVER);
        };
        if ended {
            let next = scanner.begin(true);
            self.scan_on(step, next);
        } else {
            let (watching, may_watch) = (scanner.watching, scanner.may_watch(self.now));
            self.actions.push_back(MonitorAction::WatchLog { step, watching, may_watch });
        }
    }

    /// Does what follows from the verdict; the log is scanned again at `again` at the latest.
    pub(super) fn follow_up(&mut self, step: usize, again: MonotonicTime) {
        if self.steps[step].is_log_only() {
            return self.follow_up_log_wait(step, again);
        }
        let Some(verdict) = self.steps[step].verdict().cloned() else { return };
        if let Some(past) = self.steps[step].termination.take() {
            if !past.termination.recorded || !self.steps[step].shows_other_run(past.run) {
                return self.finish_termination(step, past, Some(verdict));
            }
            // It was replaced while it was being terminated, and the new run is followed.
            self.steps[step].evidence = None;
        }
        let (outcome, detail) = verdict.answer();
        match verdict {
            Verdict::Pending { recheck_at, poll_fast } => self.keep_watching(step, recheck_at.min(again), poll_fast),
            Verdict::Report(..) => self.report(StepResult::new(step, outcome, detail)),
            // The wait is over, so nothing is begun any more.
            Verdict::Record(..) | Verdict::Terminate { .. } if self.decided_early => {}
            Verdict::Record(..) if !self.options.kill => self.report(StepResult::new(step, outcome, detail)),
            Verdict::Record(reason, _) => self.terminate(step, outcome, Task::RecordDeath(reason)),
            Verdict::Terminate { .. } if !self.options.kill => self.actions.push_back(MonitorAction::Diagnose(step)),
            Verdict::Terminate { intent, why, .. } => self.terminate(step, outcome, Task::Terminate(intent, why)),
        }
    }

    /// Sleeps on, until a file that is being written or a step that is only polled for has to be read again.
    fn keep_watching(&mut self, step: usize, recheck_at: MonotonicTime, poll_fast: bool) {
        let polls = self.sources.polls;
        let state = &mut self.steps[step];
        let files = state.files_to_follow();
        state.followed.retain(|known| files.contains(known));
        let unfollowed: Vec<Record> =
            files.iter().filter(|file| !state.followed.contains(file)).map(|(record, _)| *record).collect();
        // A pause shows only by a look that comes late. Where the threshold is short, the rescan does not look often enough.
        let often = state.assessment.as_ref().and_then(|last| Some(last.policy.stale? / LOOKS));
        let often = often.filter(|often| *often < SAFETY_RESCAN).map(|often| self.now.plus(often));
        let mut next = recheck_at.min(often.unwrap_or(MonotonicTime::NEVER));
        if poll_fast || state.lock_outlives_process() {
            next = next.min(self.now.plus(state.next_backoff()));
        }
        if polls || state.polls_for_exit {
            next = next.min(self.now.plus(self.options.poll_interval));
        }
        self.schedule(step, next);
        if self.stage == WaitStage::Watching {
            self.actions.extend(unfollowed.into_iter().map(|record| MonitorAction::WatchWrites(step, record)));
        }
    }

    pub(super) fn on_writes_watched(&mut self, step: usize, record: Record, watched: bool) {
        let state = &mut self.steps[step];
        let pause = if watched {
            let file = state.files_to_follow().into_iter().find(|(known, _)| *known == record);
            state.followed.extend(file);
            // The watch came after the read: what was written in between is reported by nothing (I2).
            state.next_backoff()
        } else {
            self.options.poll_interval
        };
        let at = self.now.plus(pause);
        if at < self.steps[step].deadline {
            self.schedule(step, at);
        }
    }

    fn terminate(&mut self, step: usize, outcome: Outcome, task: Task) {
        let run = self.steps[step].snapshot_of_run().and_then(Snapshot::pid_file_id);
        self.steps[step].phase = Phase::Terminating(run, outcome);
        self.actions.push_back(MonitorAction::Terminate(step, task));
    }

    pub(super) fn on_diagnosed(&mut self, step: usize, processes: Vec<TreeProcess>) {
        self.steps[step].evidence = Some(processes);
        if let Some((outcome, detail)) = self.steps[step].verdict().map(Verdict::answer) {
            self.report(StepResult::new(step, outcome, detail));
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

    /// Reports what came of a termination, by a read after it where there is one.
    fn finish_termination(&mut self, step: usize, past: PastTermination, verdict: Option<Verdict>) {
        let Termination { killed, recorded, detail, .. } = past.termination;
        match verdict {
            Some(Verdict::Report(outcome, found)) if outcome.is_end() => {
                self.report(StepResult { killed, ..StepResult::new(step, outcome, detail.or(found)) });
            }
            // Its result is still to come.
            Some(Verdict::Pending { recheck_at, poll_fast }) if recorded => {
                self.steps[step].evidence = None;
                self.keep_watching(step, recheck_at, poll_fast);
            }
            _ => self.report(StepResult { killed, ..StepResult::new(step, past.outcome, detail) }),
        }
    }

    /// The files cannot be read now, and may be the next time. Nothing is judged meanwhile, so the bounds of the wait are
    /// kept here: a step that can never be read must not hold it for ever.
    pub(super) fn on_read_failure(&mut self, step: usize, reason: String, process: Process) {
        self.inspection.has_read = true;
        let now = self.now;
        let ReadFailure { since, dead_since, reason } = self.steps[step].note_failure(now, reason, process);
        if self.stage == WaitStage::FirstReads {
            return;
        }
        // Where a termination recorded nothing, no later read could tell more than it did.
        if let Some(past) = self.steps[step].termination.take_if(|past| !past.termination.recorded) {
            return self.finish_termination(step, past, None);
        }
        // Once is nothing: it is repeated, soon at first, before that is an answer.
        let sure = since.plus(FAILURE_CONFIRM);
        let thresholds = &self.options.thresholds;
        let until = thresholds.until.max(sure);
        let longest = thresholds.max_timeout.resolve(None, MAX_TIMEOUT);
        // Of a step that was never read nothing says that it has started.
        let start = self.steps[step].snapshot().is_none().then_some(thresholds.start_timeout);
        let longest = longest.into_iter().chain(start).min();
        let given_up = longest.map_or(MonotonicTime::NEVER, |longest| since.plus(longest)).max(sure);
        // The directory may be gone for good, and the run with it.
        let died = dead_since.plus(SettleTimes::CONTRACT.death).max(sure);
        if now >= died {
            let detail = format!("its process has ended, and its files cannot be read: {reason}");
            self.report(StepResult::new(step, Outcome::Died, Some(detail)));
        } else if now >= until && died == MonotonicTime::NEVER {
            // Nothing is known of the step at the end of the wait: that it has not started would be a claim.
            let detail = format!("it cannot be looked at: {reason}");
            self.report(StepResult::new(step, Outcome::Running, Some(detail)));
        } else if now >= given_up {
            let (label, directory) = (self.steps[step].label(), self.directory.display());
            let sentence = format!("cannot look at {label} in {directory}: {reason}; the work was left alone");
            self.end(Err(Error::internal(sentence)));
        } else {
            let pause = now.since(since).max(RETRY_MIN).min(self.options.poll_interval);
            self.schedule(step, now.plus(pause).min(until.max(now.plus(RETRY_MIN))).min(given_up).min(died));
        }
    }

    pub(super) fn report(&mut self, mut result: StepResult) {
        let step = result.index;
        let state = &mut self.steps[step];
        state.phase = Phase::Reported;
        self.unreported -= 1;
        let has_marker = self.options.logs.as_ref().is_some_and(|logs| logs.patterns.has_marker());
        if has_marker && !state.is_log_only() {
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
        match self.options.mode {
            WaitMode::All => {}
            WaitMode::FailFast => {
                self.decided_early |= outcome.is_bad_end() || outcome == Outcome::NotStarted;
            }
            WaitMode::Any if outcome.is_end() || outcome == Outcome::Marker => self.decided_early = true,
            // None has won yet: whether this is reported is known at the end.
            WaitMode::Any => {
                self.steps[step].pending_result = Some(result);
                return;
            }
        }
        self.actions.push_back(MonitorAction::Report(Box::new(result)));
    }

    /// The last answers: the steps that are not reported yet still run, or have not started.
    pub(super) fn close(&mut self) {
        if self.options.mode == WaitMode::FailFast {
            let open: Vec<usize> = self.open_steps().collect();
            for step in open {
                self.steps[step].termination = None;
                self.report(StepResult::new(step, self.steps[step].outcome_so_far(), None));
            }
        }
        if self.options.mode == WaitMode::Any && !self.decided_early {
            let pending = self.steps.iter_mut().filter_map(|step| step.pending_result.take());
            let (running, others): (Vec<StepResult>, Vec<StepResult>) =
                pending.partition(|result| result.outcome == Outcome::Running);
            // None has won: each that runs is reported, or, where none has started, the first.
            let last = if running.is_empty() { others.into_iter().take(1).collect() } else { running };
            self.actions.extend(last.into_iter().map(|result| MonitorAction::Report(Box::new(result))));
        }
        self.end(Ok(WaitEnd::Answered));
    }
}
