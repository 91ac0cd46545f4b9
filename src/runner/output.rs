//! What a run does with its log while it grows: passes it through, and keeps it within its bound.
//!
//! A separate thread writes the passed-through output, so a slow reader cannot delay the run. The thread sleeps while
//! nothing is written.

use crate::error::io_reason;
use crate::record::time::MonotonicTime;
use crate::runner::{Job, OnEvent, RunnerEvent};
use crate::sys::clock;
use crate::sys::fs::at::FileAt;
use crate::sys::log::file::{LogFile, SizeLimit};
use crate::sys::log::tee::Tee;
use crate::sys::platform::write_watcher::WriteWatcher;
use crate::sys::signals::Pending;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How often a growing log is held against its bound.
const LOOK: Duration = Duration::from_millis(50);
/// How long after the start looks go on without a notice being asked for: short runs never need one, and giving an
/// inotify instance back takes the kernel some milliseconds.
const WARM: Duration = Duration::from_secs(1);

/// The log of one run.
#[derive(Debug)]
pub(super) struct LogKeeper {
    log: Option<LogFile>,
    limit: Option<SizeLimit>,
    tee: Option<Tee>,
    growths: Option<WriteWatcher>,
    began: MonotonicTime,
    next: MonotonicTime,
    last_size: u64,
    unwatched: bool,
    /// Whether the disk was full at any look.
    disk_was_full: bool,
}

impl LogKeeper {
    /// Begins to look after a log.
    pub(super) fn start(log: Option<LogFile>, job: &Job, on_event: OnEvent<'_>) -> Self {
        let start_tee = |log: &LogFile| log.reader().and_then(Tee::start);
        let tee = log.as_ref().filter(|_| job.tee).map(start_tee).transpose().unwrap_or_else(|error| {
            on_event(RunnerEvent::Warning(&format!("cannot pass the output through: {}", io_reason(&error))));
            None
        });
        let limit = (log.is_some() && job.log_max != 0).then(|| SizeLimit::new(job.log_max));
        let began = clock::now();
        let next = if limit.is_some() { began.plus(LOOK) } else { MonotonicTime::NEVER };
        Self { log, limit, tee, growths: None, began, next, last_size: 0, unwatched: false, disk_was_full: false }
    }

    /// When to look again.
    pub(super) fn due(&self) -> MonotonicTime {
        self.next
    }

    /// The log's size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.log.as_ref().map_or(0, LogFile::size)
    }

    /// What poll(2) waits for beside the clock.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.growths.as_ref().map(WriteWatcher::descriptor)
    }

    /// The log has grown: look soon.
    pub(super) fn grew(&mut self, now: MonotonicTime) {
        if let Some(growths) = &mut self.growths {
            growths.take(&mut Vec::new());
        }
        if self.limit.is_some() {
            self.next = self.next.min(now.plus(LOOK));
        }
    }

    /// Holds the log against its bound.
    pub(super) fn look(&mut self, now: MonotonicTime, on_event: OnEvent<'_>) {
        if now < self.next {
            return;
        }
        let (Some(limit), Some(log)) = (&mut self.limit, &self.log) else { return };
        if let Err(error) = limit.apply(log) {
            on_event(RunnerEvent::Warning(&format!("the log cannot be kept within its bound: {}", io_reason(&error))));
            self.limit = None;
            self.next = MonotonicTime::NEVER;
            return;
        }
        let size = self.size();
        let grew = size != self.last_size;
        if grew {
            self.look_for_room();
        }
        self.last_size = size;
        self.next = now.plus(LOOK);
        if !grew && !self.unwatched && now >= self.began.plus(WARM) {
            self.wait_for_growth();
        }
    }

    /// Sleeps until the log grows, where a notice can be had; keeps looking where not.
    fn wait_for_growth(&mut self) {
        if self.growths.is_none() {
            self.growths = WriteWatcher::new().ok();
        }
        let path = self.log.as_ref().map(LogFile::watched);
        let armed = self.growths.as_mut().zip(path).is_some_and(|(growths, path)| growths.arm(0, &path));
        self.unwatched = !armed;
        // Armed, then looked at once more: what was written in between raised no notice (I2).
        if armed && self.size() == self.last_size {
            self.next = MonotonicTime::NEVER;
        }
    }

    /// Notes whether the disk is full: what COMMAND writes then is lost, and COMMAND may not say so.
    pub(super) fn look_for_room(&mut self) {
        self.disk_was_full |= self.log.as_ref().is_some_and(LogFile::is_disk_full);
    }

    /// What is to be said of a log that may be incomplete.
    pub(super) fn loss(&mut self) -> Option<String> {
        self.look_for_room();
        self.disk_was_full.then(|| "the disk was full while COMMAND ran, so its log may be incomplete".to_owned())
    }

    /// Adds to the log what COMMAND printed and the log did not get, because it was to be the result.
    pub(super) fn append_file(&self, path: &FileAt<'_>) {
        if let Some(log) = &self.log {
            // On a full disk it is lost as any other output is, and that is said.
            let _lost = log.append_file(path);
        }
    }

    /// Holds the log against its bound for the last time, and passes the rest of the output through; after the end of the
    /// run is published, for its reader may be slow. Says what was not passed on.
    pub(super) fn close(mut self, signals: &mut Pending) -> Option<String> {
        if let (Some(limit), Some(log)) = (&mut self.limit, &self.log) {
            // That it cannot be kept was told at an earlier look.
            let _kept = limit.apply(log);
        }
        self.tee?.finish(signals)
    }
}
