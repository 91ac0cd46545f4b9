//! A log looked through for markers while its step is waited for.
//!
//! Armed, then read, as everything here (I2), and read after the step was looked at: what a run logged before its status
//! is read before that status is told. Refuses to hold the loop up: a long log is read in slices, and one that is
//! written without pause is read a hundred times a second at most.

use crate::decide::log_match::{LogMatch, Patterns, Search};
use crate::decide::verdict::{Finding, Next, Verdict};
use crate::monitor::event_sources::EventSources;
use crate::monitor::io::World;
use crate::monitor::{Failure, Monitor};
use crate::record::file_names::{Record, file_name};
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::follower::{Follower, Piece, Standing};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How much of a log is read before the loop gets its turn.
const SLICE: usize = 4 << 20;
/// The least time between two looks at a log that a notice of its growth leads to.
const PAUSE: Duration = Duration::from_millis(10);

/// What to look for, and where.
#[derive(Clone, Debug)]
pub(crate) struct LogOrder {
    /// What ends the wait.
    pub(crate) markers: Arc<Patterns>,
    /// The log, where it is not the step's own.
    pub(crate) file: Option<PathBuf>,
}

/// One log and how far it was looked through.
#[derive(Debug)]
pub(super) struct LogScanner {
    follower: Follower,
    search: Search,
    /// Its number among the logs whose growth is told.
    number: usize,
    /// Whether it lies outside the monitor directory.
    elsewhere: bool,
    /// Whether a notice of its growth will come.
    pub(super) armed: bool,
    armed_at: MonotonicTime,
    /// How many bytes were looked through.
    total: u64,
    /// How many there were at least when the log was first looked at, and again when its run was first seen ended: until
    /// they are looked through nothing is said, and then what a straggler still writes holds up no answer.
    goal: Option<u64>,
    /// Whether that was after the run's end.
    ended: bool,
}

/// What a slice came to.
pub(super) enum Slice {
    /// A line matched.
    Found(LogMatch),
    /// Nothing matched; look again then at the latest, besides the notices.
    Nothing(MonotonicTime),
    /// There is more to read.
    More,
}

impl LogScanner {
    pub(super) fn new(path: PathBuf, order: &LogOrder, number: usize) -> Self {
        Self {
            follower: Follower::new(path),
            search: Search::new(Arc::clone(&order.markers)),
            number,
            elsewhere: order.file.is_some(),
            armed: false,
            armed_at: MonotonicTime::from_nanos(i64::MIN),
            total: 0,
            goal: None,
            ended: false,
        }
    }

    /// Whether a file was ever there.
    pub(super) fn has_begun(&self) -> bool {
        self.follower.has_begun()
    }

    pub(super) fn path(&self) -> &Path {
        self.follower.path()
    }

    /// Asks for a notice of the next write; when to look again whatever is told.
    fn arm(&mut self, senses: &mut EventSources, now: MonotonicTime, poll_interval: Duration) -> MonotonicTime {
        let standing = self.follower.standing();
        match (standing, self.armed) {
            (Standing::Named, true) => return MonotonicTime::NEVER,
            // The notice may be about another file than the one that is read.
            (Standing::Strayed | Standing::Missing, _) => self.armed = false,
            (Standing::Named, false) => {}
        }
        if standing == Standing::Missing && senses.tell_of_coming(self.elsewhere) {
            return MonotonicTime::NEVER;
        }
        let rested = self.armed_at.plus(PAUSE);
        if now < rested {
            return rested;
        }
        self.armed_at = now;
        self.armed = senses.watch_growth(self.number, self.follower.path());
        if self.armed && standing == Standing::Named { MonotonicTime::NEVER } else { now.plus(poll_interval) }
    }

    /// Reads on. `ended`: nothing more will be written, so the last line counts although it has no end.
    pub(super) fn slice(
        &mut self,
        ended: bool,
        senses: &mut EventSources,
        poll_interval: Duration,
    ) -> Result<Slice, Failure> {
        let now = clock::now();
        let mut again = if ended { MonotonicTime::NEVER } else { self.arm(senses, now, poll_interval) };
        let path = self.follower.path().to_path_buf();
        let unreadable =
            |error: std::io::Error| Failure::Own(format!("cannot read the log {}: {error}", path.display()));
        if ended && !self.ended {
            (self.ended, self.goal) = (true, None);
        }
        let goal = match self.goal {
            Some(goal) => goal,
            None => *self.goal.insert(self.total + self.follower.remaining().map_err(unreadable)?),
        };
        let (mut length, mut at_end) = (0, false);
        while length < SLICE && !at_end {
            match self.follower.read().map_err(unreadable)? {
                Piece::Bytes(bytes) => {
                    length += bytes.len();
                    self.search.feed(bytes);
                }
                Piece::Anew => {
                    self.search.finish();
                    // Its successor is another file, of which no notice was asked for.
                    if self.armed {
                        (self.armed, again) = (false, now.plus(PAUSE));
                    }
                }
                Piece::End => at_end = true,
            }
        }
        self.total += length as u64;
        let enough = at_end || self.total >= goal;
        if ended && enough {
            self.search.finish();
        }
        // Of a run that has ended all is read first: a fail marker anywhere in it beats a marker.
        Ok(match self.search.sign().filter(|_| enough || !ended) {
            Some(sign) => Slice::Found(sign.clone()),
            None if at_end => Slice::Nothing(again),
            None if enough => Slice::Nothing(now),
            None => Slice::More,
        })
    }
}

/// What a log says about a step's verdict.
pub(super) enum Heard {
    /// The verdict stands; the log is looked at again then at the latest.
    Nothing(MonotonicTime),
    /// A line of it ended the wait.
    LogMatch(LogMatch),
    /// The log has to be read further before anything is said.
    NotYet,
}

impl<W: World> Monitor<'_, W> {
    /// Reads on in a step's log, if it is looked through at all.
    pub(super) fn hear(&mut self, index: usize, verdict: &Verdict) -> Result<Heard, Failure> {
        let watched = &mut self.watched[index];
        let own = self.order.logs.as_ref().is_some_and(|logs| logs.file.is_none());
        let readable = !own || watched.owns_its_log();
        let Some(scan) = watched.scan.as_mut().filter(|_| readable) else {
            return Ok(Heard::Nothing(MonotonicTime::NEVER));
        };
        let ended = matches!(verdict, Verdict::Final(Finding { outcome, next, .. })
            if outcome.is_end() && !matches!(next, Next::Terminate(_)));
        Ok(match scan.slice(ended, self.world.senses(), self.order.poll_interval)? {
            Slice::Found(sign) => Heard::LogMatch(sign),
            Slice::More => Heard::NotYet,
            Slice::Nothing(again) => Heard::Nothing(again),
        })
    }

    /// Ends the waiting for a step by what its log has said.
    pub(super) fn heard(&mut self, index: usize, verdict: &Verdict, sign: LogMatch) {
        let (outcome, detail) = sign.answer();
        // Its own end is counted all the same, where it has one.
        let ended = match verdict {
            Verdict::Final(finding) if finding.outcome.is_end() && finding.next == Next::Report => {
                Some(finding.outcome)
            }
            Verdict::Final(_) | Verdict::Pending { .. } => None,
        };
        self.watched[index].sign = Some((sign, ended));
        self.answer(index, outcome, detail, false);
    }
}

/// The logs of an order, one a step.
pub(super) fn scans(order: &LogOrder, directory: &MonitorDir, steps: &[StepName]) -> Vec<LogScanner> {
    let own = |step| directory.join(&file_name(step, Record::Log));
    let path = |step| order.file.clone().unwrap_or_else(|| own(step));
    steps.iter().enumerate().map(|(number, step)| LogScanner::new(path(step), order, number)).collect()
}
