//! Waits until any step of a directory has changed, for `list --watch`.
//!
//! It does not say what has changed (I1), and heartbeats are no change: a caller that shows ages reads all steps once a
//! second, which also finds deaths that raise no event.

use crate::error::Error;
use crate::monitor::event_sources::catch_interrupts;
use crate::record::file_names::parse_file_name;
use crate::record::time::MonotonicTime;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::signals::{Pending, Signal};
use crate::sys::watch::dir::{DirHint, Events, Facility, Wanted};
use crate::sys::watch::poll::ready;
use std::sync::Arc;
use std::time::Duration;

/// The least time between two awakenings: a thousand steps that end at once are one change.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// What tells of changes.
pub(crate) struct ChangeWaiter {
    events: Option<Events>,
    signals: Pending,
    directory: MonitorDir,
}

impl ChangeWaiter {
    /// Arms what can be armed; where events cannot be had the rests alone decide.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(crate) fn watch(directory: &MonitorDir) -> Result<Self, Error> {
        Ok(Self { signals: catch_interrupts()?, events: told(directory), directory: directory.clone() })
    }

    /// Rests until something changes, and `longest` at most. The signal that asks this process to end; `None` to look.
    pub(crate) fn wait(&mut self, longest: Duration) -> Option<Signal> {
        let began = clock::now();
        let mut hints = Vec::new();
        while hints.is_empty() && clock::now() < began.plus(longest) {
            if let Some(signal) = self.sleep(true, began.plus(longest)) {
                return Some(signal);
            }
            self.take(&mut hints);
        }
        while clock::now() < began.plus(DEBOUNCE) {
            if let Some(signal) = self.sleep(false, began.plus(DEBOUNCE)) {
                return Some(signal);
            }
        }
        self.take(&mut hints);
        let stands = self
            .events
            .as_ref()
            .is_some_and(|events| !events.has_failed() && events.is_watching(self.directory.path()));
        if self.events.is_some() && !stands {
            // The old watch goes first: its facility may be the last to be had.
            self.events = None;
            self.events = told(&self.directory);
        }
        None
    }

    fn sleep(&mut self, hearing: bool, until: MonotonicTime) -> Option<Signal> {
        let events = self.events.as_ref().filter(|_| hearing).and_then(Events::descriptor);
        ready([events, Some(self.signals.descriptor())], until.since(clock::now()));
        self.signals.fetch().first().copied()
    }

    fn take(&mut self, hints: &mut Vec<DirHint>) {
        if let Some(events) = &mut self.events {
            events.take(hints);
        }
    }
}

fn told(directory: &MonitorDir) -> Option<Events> {
    let wanted: Wanted = Arc::new(|name| parse_file_name(name).is_some_and(|(_, record)| record.shows_start()));
    Events::watch(directory.path(), &wanted, Facility::Native).ok()
}
