//! What a run does with its log while it grows: passes it through, and keeps it within its bound.
//!
//! Refuses to let a slow reader of the passed-through output hold the run up: a thread of its own writes it. Refuses to
//! wake up while nothing is written.

use crate::error::io_reason;
use crate::record::time::MonotonicTime;
use crate::runner::{Job, Listener, LogStreams};
use crate::sys::clock;
use crate::sys::log::file;
use crate::sys::log::file::Bound;
use crate::sys::log::tee::Tee;
use crate::sys::platform::write_watcher::WriteWatcher;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

/// How often a growing log is held against its bound.
const LOOK: Duration = Duration::from_millis(50);
/// How long after the start looks go on without a notice being asked for: short runs never need one, and giving an
/// inotify instance back takes the kernel some milliseconds.
const WARM: Duration = Duration::from_secs(1);

/// The log of one run.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    bound: Option<Bound>,
    tee: Option<Tee>,
    growths: Option<WriteWatcher>,
    began: MonotonicTime,
    next: MonotonicTime,
    last_size: u64,
    deaf: bool,
}

impl Output {
    /// Begins to look after a log.
    pub(super) fn start(path: PathBuf, job: &Job, listener: &mut dyn Listener) -> Self {
        let logged = job.log != LogStreams::None;
        let tee = if job.tee && logged {
            Tee::start(&path)
                .inspect_err(|error| {
                    listener.trouble(&format!("cannot pass the output through: {}", io_reason(error)));
                })
                .ok()
        } else {
            None
        };
        let bound = (logged && job.log_max != 0).then(|| Bound::new(job.log_max));
        let began = clock::now();
        let next = if bound.is_some() { began.plus(LOOK) } else { MonotonicTime::NEVER };
        Self { path, bound, tee, growths: None, began, next, last_size: 0, deaf: false }
    }

    /// When to look again.
    pub(super) fn due(&self) -> MonotonicTime {
        self.next
    }

    /// The log's size in bytes.
    pub(super) fn size(&self) -> u64 {
        file::size(&self.path).unwrap_or(0)
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
        if self.bound.is_some() {
            self.next = self.next.min(now.plus(LOOK));
        }
    }

    /// Holds the log against its bound.
    pub(super) fn look(&mut self, now: MonotonicTime, listener: &mut dyn Listener) {
        if now < self.next {
            return;
        }
        let Some(bound) = &mut self.bound else {
            self.next = MonotonicTime::NEVER;
            return;
        };
        if let Err(error) = bound.apply(&self.path) {
            listener.trouble(&format!("the log cannot be kept within its bound: {}", io_reason(&error)));
            self.bound = None;
            self.next = MonotonicTime::NEVER;
            return;
        }
        let size = self.size();
        let grew = size != self.last_size;
        self.last_size = size;
        self.next = now.plus(LOOK);
        if !grew && !self.deaf && now >= self.began.plus(WARM) {
            self.wait_for_growth();
        }
    }

    /// Sleeps until the log grows, where a notice can be had; keeps looking where not.
    fn wait_for_growth(&mut self) {
        if self.growths.is_none() {
            self.growths = WriteWatcher::new().ok();
        }
        let armed = self.growths.as_mut().is_some_and(|growths| growths.arm(0, &self.path));
        self.deaf = !armed;
        // Armed, then looked at once more: what was written in between raised no notice (I2).
        if armed && self.size() == self.last_size {
            self.next = MonotonicTime::NEVER;
        }
    }

    /// Holds the log against its bound for the last time, and passes the rest of the output through; after the end of the
    /// run is published, for its reader may be slow.
    pub(super) fn close(mut self) {
        if let Some(bound) = &mut self.bound {
            // Whoever is to know that it cannot be kept was told at an earlier look.
            let _kept = bound.apply(&self.path);
        }
        if let Some(tee) = self.tee {
            tee.finish();
        }
    }
}
