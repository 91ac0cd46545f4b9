//! How far a log was searched for markers. Called by the state machine while it inspects a step.
//!
//! One scan goes: watch the log, measure it once, read chunks to its end. It is watched before it is read (I2), and read
//! after the step's files: what a run logged before its status is read before that status is reported. A long log is read
//! in slices, so that it holds up no other step; one that is written without pause is read a hundred times a second at most.

use crate::decide::log_match::{LineMatcher, LogMatch, Patterns};
use crate::record::time::MonotonicTime;
use crate::sys::log::follower::{Chunk, FileIdentity};
use std::sync::Arc;
use std::time::Duration;

/// How many bytes are read before other steps have their turn.
const SLICE: usize = 4 << 20;
/// The least time between two watches on one log.
const REARM_INTERVAL: Duration = Duration::from_millis(10);
/// For how long a line without an end has to stand unchanged before it is matched as it stands: many programs write one
/// line by several calls, and half a port number matches too.
const UNENDED_SETTLE: Duration = Duration::from_millis(50);

/// What came of watching a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogWatch {
    /// How the name and the file that is read stand to each other.
    pub(super) identity: FileIdentity,
    /// Whether the next write will be reported.
    pub(super) watching: bool,
    /// Whether a file's appearance under the name will be reported.
    pub(super) creation_reported: bool,
}

/// What is known of the run whose log is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// It is waited for.
    Running,
    /// It is waited for no longer: a line without an end counts as it stands.
    Last,
    /// It has ended, and its processes write no more.
    Ended,
}

/// What a scan needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScanStep {
    /// The next chunk, and how many bytes were not read before it where that has to be measured.
    Read { measure: bool },
    /// Nothing: a line matched.
    Matched(LogMatch),
    /// Nothing: no line matched. Scan again then at the latest.
    Unmatched(MonotonicTime),
    /// Another slice, before anything is reported.
    Unfinished,
}

/// One log.
#[derive(Debug, Default)]
pub(super) struct LogScanner {
    matcher: LineMatcher,
    /// Whether the next write will be reported.
    pub(super) watching: bool,
    watched_at: MonotonicTime,
    /// Whether a file was ever there.
    pub(super) exists: bool,
    /// How many bytes were read.
    total: u64,
    /// How many bytes there were at least when the log was first measured, and again when its run was first seen ended: until
    /// they are read nothing is reported, and what is written after that delays no answer.
    goal: Option<u64>,
    /// Whether nothing more will be written, as far as the run's own processes go.
    ended: bool,
    /// How much of the present slice was read.
    slice: usize,
    /// When to scan again at the latest.
    again: MonotonicTime,
    /// Since when the line that has no end stands unchanged.
    unended_since: Option<MonotonicTime>,
}

impl LogScanner {
    /// Starts with nothing read.
    pub(super) fn new(patterns: &Arc<Patterns>) -> Self {
        Self {
            matcher: LineMatcher::new(Arc::clone(patterns)),
            watched_at: MonotonicTime::from_nanos(i64::MIN),
            again: MonotonicTime::NEVER,
            ..Self::default()
        }
    }

    /// Whether a new watch may be set: not more often than once in the interval.
    pub(super) fn may_watch(&self, now: MonotonicTime) -> bool {
        now >= self.watched_at.plus(REARM_INTERVAL)
    }

    /// Takes what came of watching the log of a run that goes on.
    pub(super) fn on_watch(&mut self, watch: LogWatch, now: MonotonicTime, poll_interval: Duration) -> ScanStep {
        let LogWatch { identity, watching, creation_reported } = watch;
        self.exists |= identity != FileIdentity::Missing;
        let waits = match identity {
            FileIdentity::Current => watching,
            FileIdentity::Missing => creation_reported,
            // A watch on the name reports nothing of the file that is read.
            FileIdentity::Replaced => false,
        };
        self.again = if waits {
            MonotonicTime::NEVER
        } else if self.may_watch(now) {
            now.plus(poll_interval)
        } else {
            self.watched_at.plus(REARM_INTERVAL)
        };
        if watching && !self.watching || self.may_watch(now) && !waits {
            self.watched_at = now;
        }
        self.watching = watching;
        self.begin(false)
    }

    /// Starts a slice. `ended`: the run's processes write no more, so the last line counts although it has no end.
    pub(super) fn begin(&mut self, ended: bool) -> ScanStep {
        self.slice = 0;
        if ended {
            self.again = MonotonicTime::NEVER;
            if !self.ended {
                (self.ended, self.goal) = (true, None);
            }
        }
        ScanStep::Read { measure: self.goal.is_none() }
    }

    /// Takes the next chunk, and how many bytes were not read before it where that was measured.
    pub(super) fn on_chunk(
        &mut self,
        unread: Option<u64>,
        chunk: &Chunk<'_>,
        scan: Scan,
        now: MonotonicTime,
    ) -> ScanStep {
        if let Some(unread) = unread {
            self.goal = Some(self.total.saturating_add(unread));
        }
        match chunk {
            Chunk::Data(bytes) => {
                self.exists = true;
                self.slice += bytes.len();
                self.total = self.total.saturating_add(bytes.len() as u64);
                self.matcher.feed(bytes);
                self.unended_since = self.matcher.has_unended_line().then_some(now);
                if self.slice < SLICE { ScanStep::Read { measure: false } } else { self.end_slice(false, scan, now) }
            }
            Chunk::Restarted => {
                self.matcher.finish();
                self.unended_since = None;
                // Its successor is another file, which is not watched yet.
                if std::mem::take(&mut self.watching) {
                    self.again = now.plus(REARM_INTERVAL);
                }
                ScanStep::Read { measure: false }
            }
            Chunk::Eof => self.end_slice(true, scan, now),
        }
    }

    fn end_slice(&mut self, at_end: bool, scan: Scan, now: MonotonicTime) -> ScanStep {
        let ended = scan == Scan::Ended;
        let enough = at_end || self.goal.is_some_and(|goal| self.total >= goal);
        let mut again = self.again;
        if ended && enough {
            self.matcher.finish();
        } else if let Some(since) = self.unended_since.filter(|_| at_end) {
            let settled = since.plus(UNENDED_SETTLE);
            if now >= settled || scan == Scan::Last {
                self.unended_since = None;
                self.matcher.match_unended_line();
            } else {
                again = again.min(settled);
            }
        }
        // The log of a run that has ended is read whole first: a fail marker anywhere in it beats a marker.
        match self.matcher.found().filter(|_| enough || !ended) {
            Some(found) => ScanStep::Matched(found.clone()),
            None if at_end => ScanStep::Unmatched(again),
            None if enough => ScanStep::Unmatched(now),
            None => ScanStep::Unfinished,
        }
    }
}
