//! What a history is made of: changes, limits, bad weather, and the numbers by which they are chosen.
//!
//! Plain values; refuses to say what follows from them.

use crate::monitor::WaitMode;
use crate::record::file_names::Record;
use crate::record::outcome::Reason;
use std::fmt;

pub(super) const MILLISECOND: i64 = 1_000_000;
pub(super) const SECOND: i64 = 1000 * MILLISECOND;
/// Numbers that are the same for the same seed (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// From the first to just below the second.
    pub(super) fn between(&mut self, least: i64, beyond: i64) -> i64 {
        least + i64::try_from(self.next() % u64::try_from(beyond - least).unwrap()).unwrap()
    }

    /// Whether a thing of so many in a hundred happens.
    pub(super) fn happens(&mut self, percent: i64) -> bool {
        self.between(0, 100) < percent
    }

    pub(super) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.between(0, i64::try_from(all.len()).unwrap())).unwrap()].clone()
    }
}

/// What can happen.
#[derive(Clone)]
pub(super) enum Change {
    /// A run writes a file: by rename, or as a shell does, into what stands there.
    Write { record: Record, bytes: Vec<u8>, run: u32, whole: bool },
    /// A run of this program writes its record. The first one fixes the time of the pid file that follows.
    Meta { pid: i32, run: u32, began: i64, reason: Option<Reason> },
    /// A file goes.
    Remove(Record),
    /// A process begins, under a number that may have been another's.
    Start(i32),
    /// A process ends, and a lock that it held is free.
    Exit(i32),
    /// The run of this process takes the step's lock.
    Take(i32),
    /// The lock file is removed, and maybe made anew by another process, which holds it or does not.
    LoseLock { replaced: Option<bool> },
    /// The files are copied to the directory of this step, with their times or without.
    Copy { to: usize, keeps_times: bool },
    /// Something is written to the step's log.
    Log(&'static str),
    /// The log is cut, and begins anew.
    LogCut,
    /// Somebody sets the wall clock, so much further.
    SetClock(i64),
    /// The machine sleeps.
    Sleep(i64),
}

/// What is asked of the wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) stale: Option<i64>,
    pub(super) longest: Option<i64>,
    pub(super) start: i64,
    pub(super) until: Option<i64>,
    pub(super) ends: WaitMode,
    /// Whether a line of the log is waited for.
    pub(super) marker: bool,
}

/// How badly the machine behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// How many notices in a hundred get lost.
    pub(super) lost: i64,
    /// And how many come twice.
    pub(super) doubled: i64,
    /// How late they may be; so they overtake each other.
    pub(super) late: i64,
    /// How many looks in a hundred fail.
    pub(super) failing: i64,
    /// Whether there are no events at all.
    pub(super) polls: bool,
    /// Whether no file can be followed, and no process.
    pub(super) watch_fails: bool,
}

impl fmt::Debug for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { record, bytes, run, whole } => {
                let (text, way) = (String::from_utf8_lossy(bytes), if *whole { "whole" } else { "in place" });
                write!(formatter, "run {run} writes {record:?} {way}: {text:?}")
            }
            Self::Meta { pid, run, reason, .. } => write!(formatter, "run {run} ({pid}) writes its record: {reason:?}"),
            Self::Remove(record) => write!(formatter, "{record:?} goes"),
            Self::Start(pid) => write!(formatter, "process {pid} begins"),
            Self::Exit(pid) => write!(formatter, "process {pid} ends"),
            Self::Log(text) => write!(formatter, "the log gets {text:?}"),
            Self::LogCut => formatter.write_str("the log is cut"),
            Self::Take(pid) => write!(formatter, "process {pid} takes the lock"),
            Self::LoseLock { replaced } => {
                write!(formatter, "the lock file is removed, made anew and held: {replaced:?}")
            }
            Self::Copy { to, keeps_times } => {
                write!(formatter, "the files are copied to {to}, with times: {keeps_times}")
            }
            Self::SetClock(further) => write!(formatter, "the clock is set by {} s", further / SECOND),
            Self::Sleep(span) => write!(formatter, "the machine sleeps for {} s", span / SECOND),
        }
    }
}
