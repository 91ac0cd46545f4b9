//! How the state machine searches the logs of its steps, and waits for a log alone. Called by `machine` and `inspection`.

use crate::decide::log_match::LogMatch;
use crate::decide::policy::MAX_TIMEOUT;
use crate::decide::verdict::Verdict;
use crate::monitor::event::MonitorAction;
use crate::monitor::log_scan::{LogScanner, Scan, ScanStep};
use crate::monitor::machine::Monitor;
use crate::monitor::options::StepResult;
use crate::monitor::step_state::StepState;
use crate::record::outcome::{Outcome, detail_of};
use crate::record::time::MonotonicTime;
use std::time::Duration;

/// For how long after the end of the caller's time a log is still read that was not read to its end: a call that only asks
/// (`--for 0`) searches what is there.
const LAST_READ: Duration = Duration::from_millis(500);

impl Monitor<'_> {
    /// Gives the scanner what came of the last thing that it asked for, and does what it asks for next.
    pub(super) fn scan(&mut self, step: usize, read: impl FnOnce(&mut LogScanner, Scan) -> ScanStep) {
        let scan = match self.steps[step].verdict() {
            _ if self.has_ended(step) => Scan::Ended,
            Some(Verdict::Pending { .. }) | None => Scan::Running,
            Some(_) => Scan::Last,
        };
        if let Some(scanner) = &mut self.steps[step].scanner {
            let next = read(scanner, scan);
            self.scan_on(step, next);
        }
    }

    /// Does what the scanner needs next.
    pub(super) fn scan_on(&mut self, step: usize, next: ScanStep) {
        match next {
            ScanStep::Read { measure } => self.actions.push_back(MonitorAction::ReadLog(step, measure)),
            ScanStep::Matched(found) => self.finish_on_match(step, found),
            ScanStep::Unfinished if self.options.thresholds.until.plus(LAST_READ).is_reached(self.now) => {
                // A marker may still stand in what was not read.
                let detail = "the time was over before its log was read to the end; nothing matched so far".to_owned();
                self.report(StepResult::new(step, Outcome::Running, Some(detail)));
            }
            // Its next turn comes at once, after the other steps'.
            ScanStep::Unfinished => self.schedule(step, self.now),
            ScanStep::Unmatched(again) => self.follow_up(step, again),
        }
    }

    fn finish_on_match(&mut self, step: usize, found: LogMatch) {
        let (outcome, detail) = found.answer();
        let run_outcome = self.steps[step].recorded_end();
        let killed = self.steps[step].termination.take().is_some_and(|past| past.termination.killed);
        self.report(StepResult {
            run_outcome,
            log_match: Some(found),
            killed,
            ..StepResult::new(step, outcome, detail)
        });
    }

    /// A log for which no step is named ends by a line, or by the bounds of the wait.
    pub(super) fn follow_up_log_wait(&mut self, step: usize, again: MonotonicTime) {
        let thresholds = &self.options.thresholds;
        let limit = thresholds.max_timeout.resolve(None, MAX_TIMEOUT);
        let exists = self.steps[step].scanner.as_ref().is_some_and(|scanner| scanner.exists);
        let until = thresholds.until;
        let given_up = if exists { MonotonicTime::NEVER } else { self.started.plus(thresholds.start_timeout) };
        let over = limit.map_or(MonotonicTime::NEVER, |limit| self.started.plus(limit));
        let answer = if !exists && given_up.min(until).is_reached(self.now) {
            let file = self.options.logs.as_ref().and_then(|logs| logs.file.as_deref()).unwrap_or(self.directory);
            StepResult::new(step, Outcome::NotStarted, Some(format!("there is no file {}", file.display())))
        } else if over.is_reached(self.now) {
            let limit = humantime::format_duration(limit.unwrap_or_default());
            StepResult::new(step, Outcome::Timeout, Some(format!("no line matched for {limit}; nothing was ended")))
        } else if until.is_reached(self.now) {
            StepResult::new(step, Outcome::Running, None)
        } else {
            return self.schedule(step, again.min(until).min(over).min(given_up));
        };
        self.report(answer);
    }
}

/// With a marker only a line ends the wait well: a run that ends before one matched has failed to say it.
pub(super) fn without_marker(answer: StepResult, state: &StepState) -> StepResult {
    if answer.log_match.is_some() || !matches!(answer.outcome, Outcome::Success | Outcome::Failed) {
        return answer;
    }
    let meta = state.snapshot().and_then(|snapshot| snapshot.run_meta());
    let how = match meta.map(|meta| (meta.exit_code, meta.signal.as_deref())) {
        Some((Some(code), _)) => format!(", exit code {code}"),
        Some((None, Some(signal))) => format!(", {signal}"),
        Some((None, None)) | None => String::new(),
    };
    let has_log = state.scanner.as_ref().is_some_and(|scanner| scanner.exists);
    let what = if has_log { "before a line matched" } else { "and kept no log in which a line could match" };
    let sentence = format!("ended ({}{how}) {what}", answer.outcome.as_str());
    let detail = detail_of([sentence].into_iter().chain(answer.detail));
    StepResult { outcome: Outcome::Failed, detail, ..answer }
}
