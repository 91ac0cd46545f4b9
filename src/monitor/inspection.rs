//! How the state machine inspects one step: watch its run's end, read it, search its log, and do what follows. Called by
//! `machine` for one step at a time; each part ends with an action whose event calls the next.

use crate::decide::policy::{MAX_TIMEOUT, SettleTimes};
use crate::decide::snapshot::{Process, Snapshot};
use crate::decide::verdict::{Finding, RequiredAction, Verdict};
use crate::monitor::event::MonitorAction;
use crate::monitor::log_scan::{LogScanner, Scan, ScanOutcome, ScanStep};
use crate::monitor::machine::{Inspection, InspectionDepth, Monitor, WaitStage};
use crate::monitor::step_state::Phase;
use crate::record::file_names::Record;
use crate::record::time::MonotonicTime;
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
/// For how long after the end of the caller's time a log is still read that was not read to its end: a call that only asks
/// (`--for 0`) searches what is there.
const LAST_READ: Duration = Duration::from_millis(500);

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
    pub(super) fn watch_exit(&mut self, step: usize) -> bool {
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
            // From now on it is polled for; the read that found this out came before.
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
        if let Err(error) = self.steps[step].observe(snapshot, &options.thresholds, options.new) {
            return self.stop(Err(error));
        }
        if self.stage == WaitStage::FirstReads {
            return;
        }
        let pending = matches!(self.steps[step].verdict(), Some(Verdict::Pending { .. }));
        if !(pending && self.watch_exit(step)) {
            self.proceed(step);
        }
    }

    /// Goes on with a step whose snapshot is read and whose run's end is watched, as far as it can be.
    pub(super) fn proceed(&mut self, step: usize) {
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

    /// What the log says comes before the verdict: a line of it may end the wait before the run does.
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

    /// Whether the run is over and is not to be terminated: nothing more comes into its log then.
    pub(super) fn has_ended(&self, step: usize) -> bool {
        matches!(self.steps[step].verdict(), Some(Verdict::Final(Finding { outcome, next, .. }))
            if outcome.is_end() && !matches!(next, RequiredAction::Terminate(_)))
    }

    pub(super) fn scan(&mut self, step: usize, read: impl FnOnce(&mut LogScanner, Scan) -> ScanStep) {
        let scan = match self.steps[step].verdict() {
            _ if self.has_ended(step) => Scan::Ended,
            Some(Verdict::Final(_)) => Scan::Last,
            Some(Verdict::Pending { .. }) | None => Scan::Running,
        };
        if let Some(scanner) = &mut self.steps[step].scanner {
            let next = read(scanner, scan);
            self.scan_on(step, next);
        }
    }

    /// Whether the caller's time is over, and with it the time that a log is read on for its sake.
    fn may_not_read_on(&self) -> bool {
        self.options.thresholds.until.is_some_and(|until| self.now >= until.plus(LAST_READ))
    }

    pub(super) fn scan_on(&mut self, step: usize, next: ScanStep) {
        match next {
            ScanStep::Measure => self.actions.push_back(MonitorAction::MeasureLog(step)),
            ScanStep::Read => self.actions.push_back(MonitorAction::ReadLog(step)),
            ScanStep::Done(ScanOutcome::Matched(found)) => self.finish_on_match(step, found),
            ScanStep::Done(ScanOutcome::Unfinished) if self.may_not_read_on() => self.report_unread_log(step),
            // Its next turn comes at once, after the other steps'.
            ScanStep::Done(ScanOutcome::Unfinished) => self.schedule(step, self.now),
            ScanStep::Done(ScanOutcome::Nothing(again)) => self.follow_up(step, again),
        }
    }

    /// Sleeps on, until a file that is being written or a step that is only polled for has to be read again.
    pub(super) fn keep_watching(&mut self, step: usize, recheck_at: MonotonicTime, poll_fast: bool) {
        let polls = self.sources.polls;
        let state = &mut self.steps[step];
        let files = state.files_to_follow();
        state.followed.retain(|known| files.contains(known));
        let unfollowed: Vec<Record> =
            files.iter().filter(|file| !state.followed.contains(file)).map(|(record, _)| *record).collect();
        let mut next = recheck_at;
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
        self.schedule_no_later(step, self.now.plus(pause));
    }

    /// The files cannot be read now, and may be the next time. Nothing is judged meanwhile, so the bounds of the wait are
    /// kept here: a step that can never be read must not hold it for ever.
    pub(super) fn on_read_failure(&mut self, step: usize, reason: String, process: Process) {
        self.inspection.has_read = true;
        let now = self.now;
        let state = &mut self.steps[step];
        state.note_failure(now, reason, process);
        if self.stage == WaitStage::FirstReads || self.report_unrecorded(step) {
            return;
        }
        let Some(failure) = self.steps[step].read_failure.clone() else { return };
        // Once is nothing: it is repeated, soon at first, before that is an answer.
        let sure = failure.since.plus(FAILURE_CONFIRM);
        let bound = |at: Option<MonotonicTime>| at.map_or(MonotonicTime::NEVER, |at| at.max(sure));
        let (until, given_up) = (bound(self.options.thresholds.until), bound(self.longest_failure(failure.since)));
        // The directory may be gone for good, and the run with it.
        let died = bound(failure.dead_since.map(|since| since.plus(SettleTimes::CONTRACT.death)));
        if now >= died {
            self.report_unreadable_death(step, &failure.reason);
        } else if now >= until && died == MonotonicTime::NEVER {
            self.report_unreadable(step, &failure.reason);
        } else if now >= given_up {
            self.give_up(step, &failure.reason);
        } else {
            let pause = now.since(failure.since).max(RETRY_MIN).min(self.options.poll_interval);
            self.schedule(step, now.plus(pause).min(until.max(now.plus(RETRY_MIN))).min(given_up).min(died));
        }
    }

    fn longest_failure(&self, since: MonotonicTime) -> Option<MonotonicTime> {
        self.options.thresholds.max_timeout.or(MAX_TIMEOUT).map(|limit| since.plus(limit))
    }
}
