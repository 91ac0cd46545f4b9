//! How a wait notices changes: directory events and exit notices where they can be had, polling where not.
//!
//! Refuses to fail: whatever cannot be armed is looked for instead, and one line says so to whoever asked.

use super::{Order, QUEUE};
use crate::os::directory::{Directory, why};
use crate::os::events::{Events, Hint, Wanted};
use crate::os::platform::exits::{Armed, Exits};
use crate::os::platform::locality;
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
        if order.backend == Backend::Poll {
            return verbose("backend poll, as asked");
        }
        if order.backend == Backend::Auto {
            let place = directory.path().ancestors().find_map(|folder| locality::look(folder).ok());
            match place {
                Some(found) if found.local => verbose(&format!("backend {}: {} is local", Events::BACKEND, found.name)),
                Some(found) => {
                    return verbose(&format!("backend poll: events of {} do not tell what others do", found.name));
                }
                None => return verbose("backend poll: the filesystem does not say what it is"),
            }
        } else {
            verbose(&format!("backend {}, as asked", Events::BACKEND));
        }
        let (sender, hints) = bounded(QUEUE);
        match Events::watch(directory.path(), sender, Arc::clone(&self.missed), wanted(&order.steps)) {
            Ok(events) => (self.events, self.hints) = (Some(events), hints),
            Err(error) => verbose(&format!("backend poll: {} is not to be had ({error})", Events::BACKEND)),
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
        self.events.as_mut().is_some_and(|events| events.follow(path).is_ok())
    }

    /// Sets the watch anew where the directory is another one now, or has come into being; whether it did.
    pub(super) fn renew(&mut self, directory: &Directory, verbose: &mut dyn FnMut(&str)) -> bool {
        let Some(events) = &mut self.events else { return false };
        if events.stands_on(directory.path()) {
            return false;
        }
        if let Err(error) = events.renew(directory.path()) {
            verbose(&format!("backend poll: {} is no longer to be had ({error})", Events::BACKEND));
            self.events = None;
            self.hints = never();
        }
        true
    }
}

/// Only the records of the waited steps are worth waking up for, and of those not the log.
fn wanted(steps: &[StepName]) -> Wanted {
    let steps: HashSet<String> = steps.iter().map(|step| step.as_str().to_owned()).collect();
    Arc::new(move |name| {
        parse_file_name(name)
            .is_some_and(|(step, record)| (record.shows_start() || record == Record::Result) && steps.contains(step))
    })
}
