//! The circuit breaker's transitions: what a counted run does to it, and whether it lets the next one start.
//!
//! A run counts once, however many processes notice its end. A run that a person stopped does not count.

use crate::record::breaker::{BreakerRecord, CountedRun, KEPT};
use crate::record::outcome::Reason;
use crate::record::time::WallTime;
use std::time::Duration;

/// How many failures in a row open a breaker by default.
pub(crate) const MAX_CONSECUTIVE: u32 = 3;

/// Whether a breaker lets a run start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It does.
    Closed,
    /// It lets this one through as a trial: enough time has passed since the last failure.
    Trial,
    /// It does not.
    Open,
}

/// Whether the failures counted so far open the circuit; a limit of zero never does.
pub(crate) fn is_open(record: &BreakerRecord, max_consecutive: u32) -> bool {
    max_consecutive != 0 && record.consecutive_failures >= max_consecutive
}

/// Whether a run may start at `now`.
pub(crate) fn admit(
    record: &BreakerRecord,
    max_consecutive: u32,
    cooldown: Option<Duration>,
    now: WallTime,
) -> Admission {
    if !is_open(record, max_consecutive) {
        return Admission::Closed;
    }
    let Some(cooldown) = cooldown else { return Admission::Open };
    let rested = |since: Option<i64>| {
        since.is_none_or(|millis| now >= WallTime::from_nanos(millis.saturating_mul(1_000_000)).plus(cooldown))
    };
    // One trial at a time: its own end, counted, decides about the next. A trial whose run was killed before anybody
    // could count it gives way after another cooldown, or the circuit would stay open for ever.
    let alone = record.trial.is_none() || (record.trial_at_ms.is_some() && rested(record.trial_at_ms));
    if rested(record.last_failure_at_ms) && alone { Admission::Trial } else { Admission::Open }
}

/// The same breaker with `run` let through as its trial.
pub(crate) fn try_out(mut record: BreakerRecord, run: &str, now: WallTime) -> BreakerRecord {
    record.trial = Some(run.to_owned());
    record.trial_at_ms = Some(now.as_nanos() / 1_000_000);
    record
}

/// Counts the end of a run; nothing changes where it was counted before or does not count.
pub(crate) fn count(mut record: BreakerRecord, run: &str, reason: Reason, now: WallTime) -> BreakerRecord {
    if record.has_counted(run) {
        return record;
    }
    match reason {
        // A person's or a script's own decision says nothing about the work. It must not end a trial's right either.
        Reason::Killed => {
            if record.trial.as_deref() == Some(run) {
                (record.trial, record.trial_at_ms) = (None, None);
            }
            return record;
        }
        Reason::Success => {
            record.consecutive_failures = 0;
            record.last_failure_at_ms = None;
        }
        Reason::Failed | Reason::Hung | Reason::Timeout | Reason::Died => {
            record.consecutive_failures = record.consecutive_failures.saturating_add(1);
            record.last_failure_at_ms = Some(now.as_nanos() / 1_000_000);
        }
    }
    (record.trial, record.trial_at_ms) = (None, None);
    record.runs.push(CountedRun { run: run.to_owned(), reason, at: now.rfc3339() });
    let surplus = record.runs.len().saturating_sub(KEPT);
    record.runs.drain(..surplus);
    record
}

/// The same breaker with its circuit closed by hand. The counted runs stay, so that none is counted again.
pub(crate) fn reset(mut record: BreakerRecord) -> BreakerRecord {
    record.consecutive_failures = 0;
    record.last_failure_at_ms = None;
    (record.trial, record.trial_at_ms) = (None, None);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: [Reason; 6] =
        [Reason::Success, Reason::Failed, Reason::Hung, Reason::Timeout, Reason::Died, Reason::Killed];

    fn at(second: i64) -> WallTime {
        WallTime::from_parts(second, 0)
    }

    fn after(ends: &[Reason]) -> BreakerRecord {
        ends.iter()
            .enumerate()
            .fold(BreakerRecord::default(), |record, (index, &end)| count(record, &format!("run{index}"), end, at(100)))
    }

    #[test]
    fn every_sequence_of_four_ends_leaves_the_failures_since_the_last_success() {
        for code in 0..REASONS.len().pow(4) {
            let ends: Vec<Reason> = (0..4_u32).map(|digit| REASONS[code / REASONS.len().pow(digit) % 6]).collect();
            let counted: Vec<Reason> = ends.iter().copied().filter(|&end| end != Reason::Killed).collect();
            let expected = counted.iter().rev().take_while(|&&end| end != Reason::Success).count();
            let record = after(&ends);
            assert_eq!(record.consecutive_failures as usize, expected, "{ends:?}");
            assert_eq!(record.runs.len(), counted.len());
        }
    }

    #[test]
    fn a_run_counts_once_whoever_sees_its_end() {
        let once = count(BreakerRecord::default(), "a", Reason::Died, at(1));
        let twice = count(once.clone(), "a", Reason::Failed, at(2));
        assert_eq!(once, twice);
    }

    #[test]
    fn the_circuit_opens_at_the_limit_and_zero_never_opens_it() {
        let failed = after(&[Reason::Failed; 3]);
        assert_eq!(admit(&failed, 3, None, at(1_000_000)), Admission::Open);
        assert_eq!(admit(&failed, 4, None, at(100)), Admission::Closed);
        assert_eq!(admit(&failed, 0, None, at(100)), Admission::Closed);
        assert_eq!(admit(&reset(failed), 3, None, at(100)), Admission::Closed);
    }

    #[test]
    fn one_trial_passes_after_the_cooldown_and_its_end_decides() {
        let cooldown = Some(Duration::from_secs(10));
        let failed = after(&[Reason::Failed; 3]);
        assert_eq!(admit(&failed, 3, cooldown, at(109)), Admission::Open);
        assert_eq!(admit(&failed, 3, cooldown, at(110)), Admission::Trial);
        let failed = try_out(failed, "t", at(110));
        assert_eq!(admit(&failed, 3, cooldown, at(119)), Admission::Open);
        assert_eq!(admit(&failed, 3, cooldown, at(120)), Admission::Trial, "its run never came to an end");
        let good = count(failed.clone(), "t", Reason::Success, at(111));
        assert_eq!(admit(&good, 3, cooldown, at(111)), Admission::Closed);
        let bad = count(failed.clone(), "t", Reason::Hung, at(111));
        assert_eq!(admit(&bad, 3, cooldown, at(112)), Admission::Open);
        assert_eq!(admit(&bad, 3, cooldown, at(121)), Admission::Trial);
        let stopped = count(failed, "t", Reason::Killed, at(111));
        assert_eq!(admit(&stopped, 3, cooldown, at(112)), Admission::Trial);
    }

    #[test]
    fn only_the_last_runs_are_kept() {
        let ends = vec![Reason::Failed; KEPT + 10];
        let record = after(&ends);
        assert_eq!(record.runs.len(), KEPT);
        assert_eq!(record.consecutive_failures as usize, KEPT + 10);
        assert!(record.has_counted(&format!("run{}", KEPT + 9)) && !record.has_counted("run9"));
    }
}
