//! The thresholds that a step is judged by, put together once from their four sources, and the sentences about them.
//!
//! Called wherever a step is judged. A staleness threshold that is not above twice the run's heartbeat interval is an error:
//! it would call a healthy run hung.

use crate::error::Error;
use crate::record::meta::Meta;
use crate::record::time::{MonotonicTime, millis};
use std::time::Duration;

/// How often a run beats by default.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// How old a heartbeat may become by default.
pub(crate) const STALE: Duration = Duration::from_secs(60);
/// How long a run may take that neither recorded a limit of its own nor that it has none: a plain-shell run.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// How long a step may take to start by default.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
/// From TERM to KILL by default.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// How often a step is read where no events come, by default.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How much later than expected this process goes on where it, and with it the work as a rule, was kept from running: a
/// container or a virtual machine was paused, or a disk stood still. A busy machine is late by less.
const PAUSED: Duration = Duration::from_secs(1);

/// How often a waiter reads every step, whatever the events say; one that runs steadily it only compares. That bounds the damage
/// of a lost event.
pub(crate) const SAFETY_RESCAN: Duration = Duration::from_secs(15);
/// How often a heartbeat is looked at before it is stale. A pause shows only by a wake-up that comes late, so each look before the
/// threshold is one by which a pause can be seen.
pub(crate) const LOOKS: u32 = 4;

/// Finds the pauses of this process, asleep or not. Each look asks it first: heartbeats have their whole time again after one,
/// and so have steps that have not started, since the work was paused too.
#[derive(Debug)]
pub(crate) struct PauseDetector {
    /// When this process looks again at the latest.
    expected: MonotonicTime,
}

impl PauseDetector {
    /// Of a process that runs at `now`.
    pub(crate) fn new(now: MonotonicTime) -> Self {
        Self { expected: now }
    }

    /// Takes in that this process sleeps until then at most.
    pub(crate) fn sleeps_until(&mut self, planned: MonotonicTime) {
        self.expected = planned;
    }

    /// Whether this process, which runs at `now`, was paused since it was asked last.
    pub(crate) fn was_paused(&mut self, now: MonotonicTime) -> bool {
        now > std::mem::replace(&mut self.expected, now).plus(PAUSED)
    }
}

/// A threshold as its sources give it. Zero means none, as in timeout(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Threshold {
    /// From a flag of this call.
    pub(crate) flag: Option<Duration>,
    /// From the environment.
    pub(crate) environment: Option<Duration>,
}

impl Threshold {
    /// From no source.
    pub(crate) const UNSET: Self = Self { flag: None, environment: None };

    /// What holds for a run: the flag, then what its record says, then the environment, then the default; nothing for no
    /// limit.
    pub(crate) fn resolve(self, recorded_ms: Option<u64>, default: Duration) -> Option<Duration> {
        let recorded = recorded_ms.map(Duration::from_millis);
        let span = self.flag.or(recorded).or(self.environment).unwrap_or(default);
        (!span.is_zero()).then_some(span)
    }
}

/// What a call says about thresholds, before the run is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThresholdOptions {
    /// `--stale`.
    pub(crate) stale: Threshold,
    /// `--max-timeout`.
    pub(crate) max_timeout: Threshold,
    /// How long the step may take to start.
    pub(crate) start_timeout: Duration,
    /// Until when this call blocks; never for as long as it takes.
    pub(crate) until: MonotonicTime,
    /// How long what has ended may take to say how.
    pub(crate) settle: SettleTimes,
}

impl ThresholdOptions {
    /// Those of a single look, which may not block; every default.
    pub(crate) const ONCE: Self = Self {
        stale: Threshold::UNSET,
        max_timeout: Threshold::UNSET,
        start_timeout: START_TIMEOUT,
        until: MonotonicTime::NEVER,
        settle: SettleTimes::NONE,
    };
}

/// How long the last words of a run that has ended may take. They are waited for even where the caller's own patience
/// ends first, since nobody can tell how a run ended before they are out; a look that may not block takes none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SettleTimes {
    /// From a death to its status.
    pub(crate) death: Duration,
    /// From a success to its result.
    pub(crate) result: Duration,
}

impl SettleTimes {
    /// As the contract has it.
    pub(crate) const CONTRACT: Self = Self { death: Duration::from_millis(200), result: Duration::from_secs(1) };
    /// Not at all: for a look that may not block.
    pub(crate) const NONE: Self = Self { death: Duration::ZERO, result: Duration::ZERO };
}

/// The thresholds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// A heartbeat of this age is stale; nothing for never.
    pub(crate) stale: Option<Duration>,
    /// A run of this age is over its time; nothing for never.
    pub(crate) max_timeout: Option<Duration>,
    /// How often the run beats.
    pub(crate) heartbeat_interval: Duration,
    /// How long the step may take to start.
    pub(crate) start_timeout: Duration,
    /// Until when this call blocks.
    pub(crate) until: MonotonicTime,
    /// How long what has ended may take to say how.
    pub(crate) settle: SettleTimes,
}

impl Policy {
    /// Holds a run to no limit, and blocks no longer than `until`.
    pub(crate) fn without_limits(until: MonotonicTime) -> Self {
        Self {
            stale: None,
            max_timeout: None,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            start_timeout: Duration::ZERO,
            until,
            settle: SettleTimes::NONE,
        }
    }

    /// Puts the thresholds of a run together.
    ///
    /// # Errors
    /// The flag's staleness is not above twice the interval that the run recorded.
    pub(crate) fn resolve(wishes: &ThresholdOptions, meta: Option<&Meta>) -> Result<Self, Error> {
        let recorded_interval = meta.and_then(Meta::heartbeat_interval);
        let stale = wishes.stale.resolve(meta.and_then(|meta| meta.stale_ms), STALE);
        let stale = match (stale, recorded_interval) {
            (Some(stale), Some(interval)) if stale <= interval.saturating_mul(2) => {
                if wishes.stale.flag.is_some() {
                    return Err(Error::invalid_options(format!(
                        "--stale {} is not above twice the run's heartbeat interval of {}, so a healthy run would be called hung; \
                         use more than {}",
                        humantime::format_duration(stale),
                        humantime::format_duration(interval),
                        humantime::format_duration(interval.saturating_mul(2)),
                    )));
                }
                // What the caller did not choose widens to three of the run's beats.
                Some(interval.saturating_mul(3))
            }
            _ => stale,
        };
        // A run that was recorded at its start, not beside a plain shell's files later, and was given no limit has none: it may
        // be a server.
        let default_limit = if meta.and_then(Meta::began).is_some() { Duration::ZERO } else { MAX_TIMEOUT };
        Ok(Self {
            stale,
            max_timeout: wishes.max_timeout.resolve(meta.and_then(|meta| meta.max_timeout_ms), default_limit),
            heartbeat_interval: recorded_interval.unwrap_or(HEARTBEAT_INTERVAL),
            start_timeout: wishes.start_timeout,
            until: wishes.until,
            settle: wishes.settle,
        })
    }
}

/// What is recorded of a run that was ended on request.
pub(crate) const STOPPED: &str = "stopped on request";

/// Why a run is ended that is over its time.
pub(crate) fn ran_for(span: Duration, limit: Duration) -> String {
    format!("it ran for {} (limit {})", shown(span), shown(limit))
}

/// Why a run is ended whose heartbeat is stale.
pub(crate) fn silent_for(age: Duration, limit: Duration) -> String {
    format!("no heartbeat for {} (limit {})", shown(age), shown(limit))
}

/// A span as the sentences about thresholds have it.
pub(super) fn shown(span: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_millis(millis(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_a_run_does_not_say_is_the_flags_then_the_environments_then_the_default_and_zero_is_none() {
        let or_nine = |flag: Option<u64>, environment: Option<u64>| {
            Threshold { flag: flag.map(seconds), environment: environment.map(seconds) }.resolve(None, seconds(9))
        };
        assert_eq!(or_nine(Some(1), Some(2)), Some(seconds(1)));
        assert_eq!(or_nine(None, Some(2)), Some(seconds(2)));
        assert_eq!(or_nine(None, None), Some(seconds(9)));
        assert_eq!(or_nine(Some(0), Some(2)), None);
    }

    fn wishes(flag: Option<u64>, environment: Option<u64>) -> ThresholdOptions {
        let threshold = Threshold { flag: flag.map(seconds), environment: environment.map(seconds) };
        ThresholdOptions {
            stale: threshold,
            max_timeout: threshold,
            start_timeout: START_TIMEOUT,
            until: MonotonicTime::NEVER,
            settle: SettleTimes::NONE,
        }
    }

    fn meta(threshold: Option<u64>, interval: u64) -> Meta {
        Meta {
            stale_ms: threshold.map(|seconds| seconds * 1000),
            max_timeout_ms: threshold.map(|seconds| seconds * 1000),
            heartbeat_interval_ms: Some(interval * 1000),
            ..Meta::default()
        }
    }

    #[test]
    fn the_flag_outranks_the_run_the_run_the_environment_and_that_the_default() {
        let run = meta(Some(200), 1);
        // What a terminator wrote beside a plain shell's files, and what `run` writes at the start.
        let plain = meta(None, 1);
        let started = Meta { started_awake_ms: Some(1), ..meta(None, 1) };
        assert_eq!(Policy::resolve(&wishes(None, None), Some(&started)).unwrap().max_timeout, None);
        for (wished, meta, stale, timeout) in [
            (wishes(Some(100), Some(300)), Some(&run), 100, 100),
            (wishes(None, Some(300)), Some(&run), 200, 200),
            (wishes(None, Some(300)), Some(&plain), 300, 300),
            (wishes(None, Some(300)), None, 300, 300),
            (wishes(None, None), Some(&plain), 60, 1800),
            (wishes(None, None), None, 60, 1800),
            (wishes(None, Some(300)), Some(&started), 300, 300),
        ] {
            let policy = Policy::resolve(&wished, meta).unwrap();
            assert_eq!(policy.stale, Some(seconds(stale)));
            assert_eq!(policy.max_timeout, Some(seconds(timeout)));
        }
    }

    #[test]
    fn zero_means_none_from_every_source() {
        for (wished, meta) in [(wishes(Some(0), None), None), (wishes(None, Some(0)), None)] {
            let policy = Policy::resolve(&wished, meta).unwrap();
            assert_eq!((policy.stale, policy.max_timeout), (None, None));
        }
        let policy = Policy::resolve(&wishes(None, Some(9)), Some(&meta(Some(0), 1))).unwrap();
        assert_eq!((policy.stale, policy.max_timeout), (None, None));
    }

    #[test]
    fn a_flag_not_above_twice_the_interval_is_refused_and_a_default_widens() {
        let slow = meta(None, 40);
        let error = Policy::resolve(&wishes(Some(80), None), Some(&slow)).unwrap_err();
        assert!(error.to_string().contains("--stale 1m 20s is not above twice"), "{error}");
        assert!(Policy::resolve(&wishes(Some(81), None), Some(&slow)).is_ok());
        assert_eq!(Policy::resolve(&wishes(None, None), Some(&slow)).unwrap().stale, Some(seconds(120)));
    }
}
