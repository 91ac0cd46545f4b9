//! When a run beats, and when its own heartbeat is stale: pure, with time as an argument.
//!
//! Missed beats are not repeated: a process that was stopped for a minute beats once, not six times.

use crate::decide::policy::LOOKS;
use crate::record::time::{MonotonicTime, WallTime};
use crate::runner::HeartbeatOn;
use std::time::Duration;

/// The rhythm of one run.
#[derive(Debug)]
pub(super) struct HeartbeatScheduler {
    on: HeartbeatOn,
    interval: Duration,
    next: MonotonicTime,
    /// Whether the next beat is sent whatever COMMAND did: after a stop or a pause other processes see only the file's age.
    resumed: bool,
    last_size: u64,
    stale: Option<Duration>,
    seen: Option<WallTime>,
    fresh: MonotonicTime,
}

impl HeartbeatScheduler {
    /// The rhythm of a run whose first heartbeat was written at `now`.
    pub(super) fn new(on: HeartbeatOn, interval: Duration, stale: Option<Duration>, now: MonotonicTime) -> Self {
        let stale = stale.filter(|stale| !stale.is_zero());
        // `run` sends no manual heartbeats, and looks at them so often that a pause shows (`LOOKS`).
        let manual = stale.filter(|_| on == HeartbeatOn::Manual);
        let interval = manual.map_or(interval, |stale| interval.min(stale / LOOKS));
        Self { on, interval, next: now.plus(interval), resumed: false, last_size: 0, stale, seen: None, fresh: now }
    }

    /// Goes on after a stop or a pause: a beat is due, and the heartbeat's age counts from now.
    pub(super) fn restart(&mut self, now: MonotonicTime) {
        (self.next, self.fresh, self.resumed) = (now, now, true);
    }

    /// When to look again.
    pub(super) fn due(&self) -> MonotonicTime {
        let stale_at = self.stale.map_or(MonotonicTime::NEVER, |stale| self.fresh.plus(stale));
        match self.on {
            // It beats by the clock, so its staleness is looked at with each beat.
            HeartbeatOn::Process => self.next,
            HeartbeatOn::Manual if self.stale.is_none() => MonotonicTime::NEVER,
            HeartbeatOn::Output | HeartbeatOn::Activity | HeartbeatOn::Manual => self.next.min(stale_at),
        }
    }

    /// Whether a beat may be due at `now`: only then the log and the processes have to be looked at.
    pub(super) fn may_beat(&self, now: MonotonicTime) -> bool {
        now >= self.next
    }

    /// Takes the beat that is due at `now`; whether there is one, for a log of this size and processes that were active since
    /// the last time or not.
    pub(super) fn take_beat(&mut self, now: MonotonicTime, log_size: u64, active: bool) -> bool {
        if !self.may_beat(now) {
            return false;
        }
        self.next = now.plus(self.interval);
        let grew = log_size != self.last_size;
        self.last_size = log_size;
        std::mem::take(&mut self.resumed)
            || match self.on {
                HeartbeatOn::Process => true,
                HeartbeatOn::Output => grew,
                HeartbeatOn::Activity => grew || active,
                HeartbeatOn::Manual => false,
            }
    }

    /// Takes in that the heartbeat was last modified at `modified`. Its age counts by observed change: if another process
    /// touches it, it is fresh from the look that shows it.
    pub(super) fn observe(&mut self, now: MonotonicTime, modified: Option<WallTime>) {
        if modified != self.seen {
            if let (Some(before), Some(after)) = (self.seen, modified) {
                let gap = after.since(before);
                self.fresh = if gap.is_zero() { now } else { self.fresh.plus(gap).min(now) };
            }
            self.seen = modified;
        }
    }

    /// Whether the heartbeat, as it was observed last, is stale at `now`.
    pub(super) fn is_stale(&self, now: MonotonicTime) -> bool {
        self.stale.is_some_and(|stale| now >= self.fresh.plus(stale))
    }

    /// How old the heartbeat is at `now`.
    pub(super) fn age(&self, now: MonotonicTime) -> Duration {
        now.since(self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(second: i64) -> MonotonicTime {
        MonotonicTime::from_millis(second * 1000)
    }

    fn wall(second: i64) -> WallTime {
        WallTime::from_parts(1_000_000 + second, 0)
    }

    fn is_stale(heartbeat: &mut HeartbeatScheduler, now: MonotonicTime, modified: Option<WallTime>) -> bool {
        heartbeat.observe(now, modified);
        heartbeat.is_stale(now)
    }

    #[test]
    fn a_process_beats_at_each_interval_and_never_twice_for_one() {
        let mut heartbeat = HeartbeatScheduler::new(HeartbeatOn::Process, 10 * SECOND, None, at(0));
        let beats: Vec<i64> = (0..=60).filter(|&second| heartbeat.take_beat(at(second), 0, false)).collect();
        assert_eq!(beats, [10, 20, 30, 40, 50, 60]);
        assert!(heartbeat.take_beat(at(200), 0, false) && !heartbeat.take_beat(at(200), 0, false));
        assert_eq!(heartbeat.due(), at(210));
    }

    #[test]
    fn output_beats_only_while_the_log_has_grown() {
        let mut heartbeat = HeartbeatScheduler::new(HeartbeatOn::Output, 10 * SECOND, Some(35 * SECOND), at(0));
        assert!(!heartbeat.take_beat(at(10), 0, false));
        assert!(heartbeat.take_beat(at(20), 5, false));
        assert!(!heartbeat.take_beat(at(30), 5, false));
        assert_eq!(heartbeat.due(), at(35));
    }

    #[test]
    fn activity_beats_while_anything_goes_on() {
        let mut heartbeat = HeartbeatScheduler::new(HeartbeatOn::Activity, 10 * SECOND, Some(35 * SECOND), at(0));
        assert!(
            !heartbeat.take_beat(at(10), 0, false)
                && heartbeat.take_beat(at(20), 0, true)
                && heartbeat.take_beat(at(30), 5, false)
        );
        assert!(!heartbeat.take_beat(at(40), 5, false) && !heartbeat.take_beat(at(45), 5, true), "not before its time");
    }

    #[test]
    fn a_manual_heartbeat_is_looked_at_often_enough_and_counts_from_its_change() {
        let mut heartbeat = HeartbeatScheduler::new(HeartbeatOn::Manual, 10 * SECOND, Some(28 * SECOND), at(0));
        assert!(!is_stale(&mut heartbeat, at(0), Some(wall(0))));
        assert_eq!(heartbeat.due(), at(7), "a pause before the threshold shows");
        assert!(!heartbeat.take_beat(at(27), 9, true));
        assert_eq!(heartbeat.due(), at(28));
        assert!(!is_stale(&mut heartbeat, at(28), Some(wall(27))) && !heartbeat.take_beat(at(50), 9, true));
        assert_eq!(heartbeat.due(), at(55));
        assert!(!is_stale(&mut heartbeat, at(54), Some(wall(27))));
        assert!(is_stale(&mut heartbeat, at(55), Some(wall(27))));
        assert_eq!(heartbeat.age(at(55)), 28 * SECOND);
    }

    #[test]
    fn after_a_stop_whatever_beats_sends_one_heartbeat_at_once() {
        for on in [HeartbeatOn::Process, HeartbeatOn::Output, HeartbeatOn::Activity, HeartbeatOn::Manual] {
            let mut heartbeat = HeartbeatScheduler::new(on, 10 * SECOND, Some(30 * SECOND), at(0));
            heartbeat.restart(at(5));
            assert!(heartbeat.take_beat(at(5), 0, false) && !heartbeat.take_beat(at(6), 0, false), "{on:?}");
            assert_eq!(heartbeat.take_beat(at(15), 0, false), on == HeartbeatOn::Process, "once only");
        }
    }

    #[test]
    fn a_threshold_of_zero_never_condemns() {
        let mut heartbeat = HeartbeatScheduler::new(HeartbeatOn::Manual, 10 * SECOND, Some(Duration::ZERO), at(0));
        assert!(!is_stale(&mut heartbeat, at(1_000_000), Some(wall(0))));
        assert_eq!(heartbeat.due(), MonotonicTime::NEVER);
    }
}
