//! Converts ticks of the Mach clock to time. Called by `macos::process`.

use std::time::Duration;

/// Nanoseconds a tick, as a fraction (`mach_timebase_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timebase {
    pub(crate) numerator: u64,
    pub(crate) denominator: u64,
}

/// The clock of every Apple processor so far counts 24 million ticks a second.
const APPLE_SILICON: Timebase = Timebase { numerator: 125, denominator: 3 };

impl Timebase {
    /// The unit of the CPU times that libproc returns.
    ///
    /// `proc_taskinfo` holds the kernel's own ticks. Rosetta shows a translated process the clock of an Intel processor, one tick
    /// a nanosecond, and leaves libproc's values as they are: with that fraction CPU time would be 42 times too short.
    /// `reported` is what this process is told, `translated` whether Rosetta runs it (`sysctl.proc_translated`).
    pub(crate) fn of_libproc(reported: Self, translated: bool) -> Self {
        if translated { APPLE_SILICON } else { reported }
    }

    /// So many ticks as time. Saturates after 584 years.
    pub(crate) fn duration(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * u128::from(self.numerator) / u128::from(self.denominator.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTEL: Timebase = Timebase { numerator: 1, denominator: 1 };

    #[test]
    fn a_translated_process_reads_the_ticks_of_the_real_processor() {
        let second = Duration::from_secs(1);
        assert_eq!(Timebase::of_libproc(INTEL, false).duration(1_000_000_000), second);
        assert_eq!(Timebase::of_libproc(APPLE_SILICON, false).duration(24_000_000), second);
        assert_eq!(Timebase::of_libproc(INTEL, true).duration(24_000_000), second);
    }

    #[test]
    fn no_count_of_ticks_and_no_fraction_overflows() {
        assert_eq!(APPLE_SILICON.duration(u64::MAX), Duration::from_nanos(u64::MAX));
        assert_eq!(Timebase { numerator: 1, denominator: 0 }.duration(7), Duration::from_nanos(7));
    }
}
