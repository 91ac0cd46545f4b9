//! Two kinds of time, kept apart by type: moments on the awake clock, and wall time for people and files.
//!
//! Values are made in `sys::clock` and passed down. All arithmetic saturates, because file times and thresholds come
//! from outside and `Instant + u64::MAX seconds` panics (I11).

use std::time::{Duration, UNIX_EPOCH};

/// A moment on the monotonic clock that stops while the machine sleeps, in nanoseconds since boot.
///
/// May be negative: a run can have begun before this machine was booted.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MonotonicTime(i64);

impl MonotonicTime {
    /// Later than any moment that comes: nothing changes by time alone.
    pub(crate) const NEVER: Self = Self(i64::MAX);

    /// The moment that lies `nanos` nanoseconds after boot.
    pub(crate) const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The moment that lies `millis` milliseconds after boot.
    pub(crate) const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Whole milliseconds since boot, rounded down.
    pub(crate) const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The moment `span` later; never past [`MonotonicTime::NEVER`].
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The moment `span` earlier.
    pub(crate) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Whether this deadline has come at `now`; [`MonotonicTime::NEVER`] does not.
    pub(crate) fn is_reached(self, now: Self) -> bool {
        now >= self && self != Self::NEVER
    }

    /// The time from `earlier` to here; zero where `earlier` is the later one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A wall-clock time as files carry it, in nanoseconds since 1970 (UTC).
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WallTime(i64);

impl WallTime {
    /// The time `nanos` nanoseconds after 1970.
    pub(crate) const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The time given by a `timespec`; saturates where 64 bits of nanoseconds do not reach (the years 1677 and 2262).
    pub(crate) const fn from_parts(seconds: i64, nanos: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    /// Nanoseconds since 1970.
    pub(crate) const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The time `span` later.
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// The time `span` earlier.
    pub(crate) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// The same instant on a clock that is `ahead` nanoseconds ahead.
    pub(crate) const fn shifted(self, ahead: i64) -> Self {
        Self(self.0.saturating_add(ahead))
    }

    /// Whether it is a whole second, which a filesystem that keeps finer times hits once in a thousand million.
    pub(crate) const fn is_whole_second(self) -> bool {
        self.0 % 1_000_000_000 == 0
    }

    /// Whether two reports of one file's time may be of the same: equal, or one without the other's fraction of a second.
    pub(crate) const fn is_same_file_time(self, other: Self) -> bool {
        let same_second = self.0.div_euclid(1_000_000_000) == other.0.div_euclid(1_000_000_000);
        self.0 == other.0 || same_second && (self.is_whole_second() || other.is_whole_second())
    }

    /// The age of `earlier` at this time; the future has age zero, because a file's clock may run ahead of ours.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// A time in the form that [`WallTime::rfc3339`] has.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let since_1970 = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since_1970.as_nanos()).ok().map(Self)
    }

    /// This time as RFC 3339 in UTC with milliseconds, for people and for `.meta`.
    pub(crate) fn rfc3339(self) -> String {
        let since_1970 = Duration::from_nanos(u64::try_from(self.0).unwrap_or(0));
        humantime::format_rfc3339_millis(UNIX_EPOCH + since_1970).to_string()
    }
}

/// A span as whole milliseconds, as every record and JSON key has it.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let huge = Duration::from_secs(u64::MAX);
        assert_eq!(MonotonicTime::from_nanos(5).plus(huge), MonotonicTime::NEVER);
        assert!(MonotonicTime::from_nanos(5).minus(huge) < MonotonicTime::from_nanos(0));
        assert_eq!(WallTime::from_parts(i64::MAX, 1).as_nanos(), i64::MAX);
        assert_eq!(MonotonicTime::from_nanos(i64::MIN).since(MonotonicTime::NEVER), Duration::ZERO);
        assert_eq!(MonotonicTime::from_millis(i64::MAX), MonotonicTime::NEVER);
    }

    #[test]
    fn the_future_has_age_zero() {
        assert_eq!(WallTime::from_nanos(5).since(WallTime::from_nanos(9)), Duration::ZERO);
        assert_eq!(WallTime::from_nanos(9).since(WallTime::from_nanos(5)), Duration::from_nanos(4));
    }

    #[test]
    fn wall_time_is_written_as_rfc_3339_in_utc() {
        assert_eq!(WallTime::from_parts(1_500_000_000, 250_000_000).rfc3339(), "2017-07-14T02:40:00.250Z");
        assert_eq!(WallTime::from_nanos(-1).rfc3339(), "1970-01-01T00:00:00.000Z");
        // The last nanosecond that 64 bits hold is still a year that the format takes.
        assert_eq!(WallTime::from_nanos(i64::MAX).rfc3339(), "2262-04-11T23:47:16.854Z");
    }

    #[test]
    fn milliseconds_round_down_on_both_sides_of_boot() {
        assert_eq!(MonotonicTime::from_nanos(1_999_999).as_millis(), 1);
        assert_eq!(MonotonicTime::from_nanos(-1).as_millis(), -1);
    }
}
