//! Waiting until anything of a directory's steps has changed, for whoever shows them all.
//!
//! Refuses to say what has changed (I1), and to tell of heartbeats: who shows ages looks once a second anyway, which
//! also finds the deaths that no file tells of.

use super::{Failure, QUEUE};
use crate::os::clock;
use crate::os::directory::{Directory, why};
use crate::os::events::{Events, Hint, Wanted};
use crate::os::signals::{self, Caught, Signal};
use crate::protocol::layout::parse_file_name;
use crate::protocol::time::Moment;
use crossbeam_channel::{Receiver, bounded, never, select};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The least time between two awakenings: a thousand steps that end at once are one change.
const PAUSE: Duration = Duration::from_millis(50);

/// What ended a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Look.
    Look,
    /// A signal asked this process to stop.
    Interrupted(Signal),
}

/// What tells of changes.
pub(crate) struct Changes {
    hints: Receiver<Hint>,
    interrupts: Caught,
    events: Option<Events>,
    directory: Directory,
}

impl Changes {
    /// Arms what can be armed; where events cannot be had the rests alone decide.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(crate) fn watch(directory: &Directory) -> Result<Self, Failure> {
        let interrupts = signals::channel(&signals::not_ignored(&[Signal::SIGINT, Signal::SIGTERM]))
            .map_err(|error| Failure::Own(format!("cannot catch signals: {}", why(&error))))?;
        let (hints, events) = told(directory);
        Ok(Self { hints, interrupts, events, directory: directory.clone() })
    }

    /// Rests until something changes, and `longest` at most.
    pub(crate) fn rest(&mut self, longest: Duration) -> Woken {
        let began = clock::now();
        select! {
            recv(self.hints) -> _ => {}
            recv(self.interrupts.signals) -> signal => if let Ok(signal) = signal { return Woken::Interrupted(signal) },
            default(longest) => {}
        }
        if let Some(signal) = self.pause(began.plus(PAUSE)) {
            return Woken::Interrupted(signal);
        }
        while self.hints.try_recv().is_ok() {}
        let stands =
            self.events.as_ref().is_some_and(|events| !events.is_deaf() && events.stands_on(self.directory.path()));
        if self.events.is_some() && !stands {
            // The old watch goes first: its facility may be the last to be had.
            self.events = None;
            (self.hints, self.events) = told(&self.directory);
        }
        Woken::Look
    }

    fn pause(&self, until: Moment) -> Option<Signal> {
        self.interrupts.signals.recv_timeout(until.since(clock::now())).ok()
    }
}

fn told(directory: &Directory) -> (Receiver<Hint>, Option<Events>) {
    let (sender, hints) = bounded(QUEUE);
    let wanted: Wanted = Arc::new(|name| parse_file_name(name).is_some_and(|(_, record)| record.shows_start()));
    // A full queue needs no flag: one hint is enough.
    match Events::watch(directory.path(), sender, Arc::new(AtomicBool::new(false)), wanted) {
        Ok(events) => (hints, Some(events)),
        Err(_) => (never(), None),
    }
}
