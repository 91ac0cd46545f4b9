//! How a wait notices changes: directory events and exit notices where they can be had, polling where not.
//!
//! Refuses to fail: whatever cannot be armed is looked for instead, and one line says so to whoever asked.

use super::{Order, QUEUE};
use crate::os::directory::{Directory, why};
use crate::os::events::{Events, Hint, Wanted};
use crate::os::platform::exits::{Armed, Exits};
use crate::os::platform::locality::{self, Locality};
use crate::protocol::layout::{Record, parse_file_name};
use crate::protocol::step::StepName;
use crossbeam_channel::{Receiver, bounded, never};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How changes are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    /// By events where they tell all, else by polling.
    Auto,
    /// By events, whatever the filesystem.
    Event,
    /// By looking at every poll interval.
    Poll,
}

/// What is armed.
pub(super) struct Senses {
    pub(super) hints: Receiver<Hint>,
    pub(super) exits: Receiver<u64>,
    events: Option<Events>,
    notices: Option<Exits>,
    missed: Arc<AtomicBool>,
    armed: bool,
    wish: Backend,
    wanted: Wanted,
    /// The filesystem that the choice was made for.
    place: Option<Locality>,
    /// Whether the facility failed once; it is not asked for again.
    refused: bool,
    /// What was not said yet to whoever asks how it is done.
    unsaid: Vec<String>,
    /// Whether it was said that files written in place cannot be followed.
    said_unfollowed: bool,
}

impl Senses {
    /// Nothing armed yet.
    pub(super) fn none() -> Self {
        Self {
            hints: never(),
            exits: never(),
            events: None,
            notices: None,
            missed: Arc::new(AtomicBool::new(false)),
            armed: false,
            wish: Backend::Poll,
            wanted: Arc::new(|_| false),
            place: None,
            refused: false,
            unsaid: Vec::new(),
            said_unfollowed: false,
        }
    }

    /// Arms what can be armed.
    pub(super) fn arm(&mut self, directory: &Directory, order: &Order, verbose: &mut dyn FnMut(&str)) {
        self.armed = true;
        let (sender, exits) = bounded(QUEUE);
        match Exits::start(sender) {
            Ok(notices) => (self.notices, self.exits) = (Some(notices), exits),
            Err(error) => verbose(&format!("no notices of processes' ends ({}): looking for them", why(&error))),
        }
        self.wish = order.backend;
        self.wanted = wanted(&order.steps);
        self.place = place(directory);
        self.choose(directory, verbose);
    }

    /// Chooses by the wish and the filesystem, and watches where events are to be had.
    fn choose(&mut self, directory: &Directory, verbose: &mut dyn FnMut(&str)) {
        (self.events, self.hints) = (None, never());
        let by_events = match (self.wish, &self.place) {
            (Backend::Poll, _) => return verbose("backend poll, as asked"),
            (Backend::Event, _) => format!("backend {}, as asked", Events::BACKEND),
            (Backend::Auto, Some(found)) if found.local => {
                format!("backend {}: {} is local", Events::BACKEND, found.name)
            }
            (Backend::Auto, Some(found)) => {
                return verbose(&format!("backend poll: events of {} do not tell what others do", found.name));
            }
            (Backend::Auto, None) => return verbose("backend poll: the filesystem does not say what it is"),
        };
        let (sender, hints) = bounded(QUEUE);
        match Events::watch(directory.path(), sender, Arc::clone(&self.missed), Arc::clone(&self.wanted)) {
            Ok(events) => {
                (self.events, self.hints) = (Some(events), hints);
                verbose(&by_events);
            }
            Err(error) => {
                self.refused = true;
                verbose(&format!("backend poll: {} is not to be had ({error})", Events::BACKEND));
            }
        }
    }

    pub(super) fn are_armed(&self) -> bool {
        self.armed
    }

    /// Whether changes of files are looked for instead of told.
    pub(super) fn polls(&self) -> bool {
        self.armed && self.events.is_none()
    }

    /// Whether the kernel watches files for this wait.
    pub(super) fn has_watches(&self) -> bool {
        self.events.is_some()
    }

    /// The name of what is armed, as JSON has it.
    pub(super) fn name(&self) -> &'static str {
        match (self.armed, &self.events) {
            (false, _) => "none",
            (true, Some(_)) => Events::BACKEND,
            (true, None) => "poll",
        }
    }

    /// Whether hints were lost since the last call.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    /// Asks for a notice of a process's end; nothing where none can be had.
    pub(super) fn watch_exit(&mut self, pid: i32, index: usize) -> Option<Armed> {
        self.notices.as_mut()?.watch(pid, index as u64).ok()
    }

    pub(super) fn forget_exit(&mut self, index: usize) {
        if let Some(notices) = &mut self.notices {
            notices.forget(index as u64);
        }
    }

    /// Asks for notices of one file's being written in place; whether they will come.
    pub(super) fn follow(&mut self, path: &Path) -> bool {
        let Some(events) = &mut self.events else { return false };
        match events.follow(path) {
            Ok(()) => true,
            Err(error) => {
                if !self.said_unfollowed {
                    self.said_unfollowed = true;
                    self.unsaid.push(format!("looking for what is written in place: it cannot be followed ({error})"));
                }
                false
            }
        }
    }

    /// Says what the arming of single files had to say.
    pub(super) fn tell(&mut self, verbose: &mut dyn FnMut(&str)) {
        for line in self.unsaid.drain(..) {
            verbose(&line);
        }
    }

    /// Sets the watch anew where the directory is another one now, has come into being, or lies on another filesystem;
    /// whether one of these is so.
    pub(super) fn renew(&mut self, directory: &Directory, verbose: &mut dyn FnMut(&str)) -> bool {
        let before = std::mem::replace(&mut self.place, place(directory));
        let deaf = self.events.as_ref().is_some_and(Events::is_deaf);
        if deaf {
            self.refused = true;
            (self.events, self.hints) = (None, never());
            verbose(&format!("backend poll: {} has failed", Events::BACKEND));
        }
        let stands = self.events.as_ref().is_some_and(|events| events.stands_on(directory.path()));
        let moved = before != self.place;
        // One line for each choice; a directory that comes and goes on one filesystem changes none.
        let quietly = &mut |line: &str| {
            if moved || line.contains("not to be had") {
                verbose(line);
            }
        };
        match &self.events {
            Some(_) if stands && !moved => false,
            Some(_) => {
                self.choose(directory, quietly);
                true
            }
            None => {
                if moved && !self.refused && self.wish != Backend::Poll {
                    self.choose(directory, quietly);
                }
                moved
            }
        }
    }
}

/// The filesystem of the directory, or of the nearest ancestor that is there.
fn place(directory: &Directory) -> Option<Locality> {
    directory.path().ancestors().find_map(|folder| locality::look(folder).ok())
}

/// Only the records of the waited steps are worth waking up for, and of those not the log.
fn wanted(steps: &[StepName]) -> Wanted {
    let steps: HashSet<String> = steps.iter().map(|step| step.as_str().to_owned()).collect();
    Arc::new(move |name| {
        parse_file_name(name)
            .is_some_and(|(step, record)| (record.shows_start() || record == Record::Result) && steps.contains(step))
    })
}
