//! The clocks: the awake clock for durations, the wall clock for files and people (I9).
//!
//! Only the system layer reads clocks; every other layer gets the time as an argument.

use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::platform::machine;
use nix::time::{ClockId, clock_gettime};
use std::sync::LazyLock;
use std::time::Duration;

/// This moment on the monotonic clock that stops while the machine sleeps.
pub(crate) fn now() -> MonotonicTime {
    MonotonicTime::from_nanos(nanos(machine::AWAKE))
}

/// This moment on the monotonic clock that goes on while the machine sleeps.
pub(crate) fn with_sleep() -> MonotonicTime {
    MonotonicTime::from_nanos(nanos(machine::WITH_SLEEP))
}

/// This moment on the wall clock.
pub(crate) fn wall() -> WallTime {
    WallTime::from_nanos(nanos(ClockId::CLOCK_REALTIME))
}

fn nanos(clock: ClockId) -> i64 {
    // All these clocks exist since Linux 2.6.39 and macOS 10.12; a failure cannot come from the arguments.
    clock_gettime(clock).map_or(0, |time| WallTime::from_parts(time.tv_sec(), time.tv_nsec()).as_nanos())
}

/// By how much this process's time namespace sets the two clocks apart. It never changes: unshare(2) moves only children
/// into another one (`time_namespaces(7)`).
static OFFSET: LazyLock<i64> = LazyLock::new(machine::clock_offset);

/// How long the machine has slept since boot.
pub(crate) fn slept() -> Duration {
    // The clock that counts sleep is read first, so that the time between the two reads never looks like sleep.
    let with_sleep = with_sleep();
    let span = Duration::from_nanos(OFFSET.unsigned_abs());
    let with_sleep = if *OFFSET < 0 { with_sleep.plus(span) } else { with_sleep.minus(span) };
    with_sleep.since(now())
}

/// Blocks this thread until a moment on the awake clock; not at all where it is past.
pub(crate) fn sleep_until(moment: MonotonicTime) {
    std::thread::sleep(moment.since(now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_awake_clock_goes_on_and_sleep_is_never_negative() {
        let before = now();
        sleep_until(before.plus(Duration::from_millis(2)));
        assert!(now() >= before.plus(Duration::from_millis(2)));
        assert!(slept() < Duration::from_secs(60 * 60 * 24 * 365 * 50));
    }
}
