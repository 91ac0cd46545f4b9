//! Logs of the simulated world: written, cut, watched and read in small chunks.

use crate::monitor::event::MonitorEvent;
use crate::monitor::log_scan::LogWatch;
use crate::monitor::machine::Monitor;
use crate::monitor::tests::script::MILLISECOND;
use crate::monitor::tests::simulated::{Notice, State};
use crate::record::file_names::Record;
use crate::sys::log::follower::{Chunk, FileIdentity};

/// How much of a log is read at once.
const CHUNK: usize = 7;

/// What is to be reported of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LogWatchState {
    /// Nothing.
    #[default]
    Unwatched,
    /// The next write.
    Watched,
}

/// Whether the marker is to be seen in it, with the colours that the stories use taken out.
fn has_needle(text: &str) -> bool {
    let colours = ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[32m"];
    colours.iter().fold(text.to_owned(), |text, colour| text.replace(colour, "")).contains("needle")
}

/// A step's log, and how far the machine has read it.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    exists: bool,
    bytes: Vec<u8>,
    read: usize,
    restarted: bool,
    watch: LogWatchState,
    /// When the last line was begun or went on, where it has no end.
    unended: Option<i64>,
    /// When a whole line with the needle was there first.
    whole: Option<i64>,
}

impl Log {
    /// Whether the needle is there as things are, whole or in a line without an end.
    pub(super) fn has_needle(&self) -> bool {
        self.whole.is_some() || self.needle_at().is_some()
    }

    /// When the needle had to be seen at the latest, as things are.
    pub(super) fn needle_at(&self) -> Option<i64> {
        let last = self.bytes.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        let shown = has_needle(&String::from_utf8_lossy(last));
        // A line without an end has to stand for 50 ms.
        let unended = self.unended.filter(|_| shown).map(|at| at + 50 * MILLISECOND);
        self.whole.into_iter().chain(unended).min()
    }
}

impl State {
    /// Writes to a log.
    pub(super) fn log(&mut self, step: usize, text: &str) {
        let now = self.now;
        let log = &mut self.steps[step].log;
        let before = log.whole;
        let is_new = !std::mem::replace(&mut log.exists, true);
        log.bytes.extend_from_slice(text.as_bytes());
        let shown = String::from_utf8_lossy(&log.bytes).into_owned();
        let (whole, last) = shown.rsplit_once(['\n', '\r']).unwrap_or(("", &shown));
        log.whole = before.or(has_needle(whole).then_some(now));
        log.unended = (!last.is_empty()).then_some(now);
        if is_new {
            self.named(step, Record::Log);
        }
        self.log_notice(step);
    }

    fn log_notice(&mut self, step: usize) {
        if std::mem::take(&mut self.steps[step].log.watch) == LogWatchState::Watched {
            self.notify(&Notice::LogGrew(step));
        }
    }

    /// Cuts a log; what is written from then on is read from its beginning.
    pub(super) fn cut_log(&mut self, step: usize) {
        let log = &mut self.steps[step].log;
        (log.restarted, log.unended) = (log.exists, None);
        log.bytes.clear();
        self.log_notice(step);
    }

    pub(super) fn watch_log(&mut self, step: usize, watching: bool, may_watch: bool) -> MonitorEvent<'static> {
        let reports = self.armed && !self.weather.polls;
        let log = &mut self.steps[step].log;
        let identity = if log.exists { FileIdentity::Current } else { FileIdentity::Missing };
        let watching = match identity {
            FileIdentity::Current if watching => true,
            FileIdentity::Current if may_watch && reports => {
                log.watch = LogWatchState::Watched;
                true
            }
            FileIdentity::Current | FileIdentity::Missing | FileIdentity::Replaced => false,
        };
        MonitorEvent::LogWatched(step, LogWatch { identity, watching, creation_reported: reports })
    }

    pub(super) fn read_log(&mut self, step: usize, measure: bool, monitor: &mut Monitor<'_>) {
        self.observe(step);
        let now = self.moment();
        let log = &mut self.steps[step].log;
        let unread = measure.then(|| (log.bytes.len() - log.read.min(log.bytes.len())) as u64);
        if std::mem::take(&mut log.restarted) {
            log.read = 0;
            return monitor.handle_event(MonitorEvent::LogChunk(step, unread, Chunk::Restarted), now);
        }
        let end = (log.read + CHUNK).min(log.bytes.len());
        let chunk = log.bytes[log.read..end].to_vec();
        log.read = end;
        let piece = if chunk.is_empty() { Chunk::Eof } else { Chunk::Data(&chunk) };
        monitor.handle_event(MonitorEvent::LogChunk(step, unread, piece), now);
    }
}
