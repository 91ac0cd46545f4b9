//! How a wait notices changes: directory events and exit notices where they can be had, polling where not.
//!
//! Refuses to fail: whatever cannot be armed is looked for instead, and one line says so to whoever asked.

use super::scan::LogOrder;
use super::{Order, QUEUE};
use crate::os::directory::{Directory, why};
use crate::os::events::{Events, Hint, Wanted};
use crate::os::growths::Growths;
use crate::os::platform::exits::{Armed, Exits};
use crate::os::platform::locality::{self, Locality};
use crate::os::platform::parting;
use crate::os::signals::{self, Caught, Signal};
use crate::protocol::layout::{Record, parse_file_name};
use crossbeam_channel::{Receiver, bounded, never};
use std::collections::HashSet;
use std::io;
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
    /// Which logs have grown.
    pub(super) grown: Receiver<usize>,
    /// What has come or gone beside a log that lies elsewhere.
    pub(super) log_hints: Receiver<Hint>,
    growths: Option<Growths>,
    /// The watch on the folder of a log that lies elsewhere; held, because dropping it ends the watch.
    log_events: Option<Events>,
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
    /// Whether it was said that some processes' ends are looked for.
    said_unnoticed: bool,
    /// Whether the watches that stand now are foreseen to be left behind.
    foreseen: bool,
}

impl Senses {
    /// Nothing armed yet.
    pub(super) fn none() -> Self {
        Self {
            hints: never(),
            exits: never(),
            grown: never(),
            log_hints: never(),
            growths: None,
            log_events: None,
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
            said_unnoticed: false,
            foreseen: false,
        }
    }

    /// Arms what can be armed; of descriptors, notices of processes' ends may take `spare`. With where the signals come that ask this process to stop. Those are not caught before: work
    /// that has ended needs no thread, and a signal until then ends this process as any other, which leaves the work alone
    /// too.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(super) fn arm(
        &mut self,
        directory: &Directory,
        order: &Order,
        spare: usize,
        verbose: &mut dyn FnMut(&str),
    ) -> io::Result<Caught> {
        self.armed = true;
        self.wish = order.backend;
        self.wanted = wanted(order);
        self.place = place(directory);
        // First: what changes from here on is told.
        self.choose(directory, verbose);
        let interrupts = self.hear(spare, verbose)?;
        // Where files are polled because their events do not tell, a log's would not tell either.
        if let Some(logs) = order.logs.as_ref().filter(|_| self.events.is_some() || self.refused) {
            self.arm_logs(logs, order, verbose);
        }
        Ok(interrupts)
    }

    /// Asks for notices of processes' ends and of signals, from one thread where one can be had for both.
    fn hear(&mut self, spare: usize, verbose: &mut dyn FnMut(&str)) -> io::Result<Caught> {
        let wanted = signals::not_ignored(&[Signal::SIGINT, Signal::SIGTERM]);
        let (caught, interrupts) = signals::Notices::catch(&wanted)?;
        let (sender, exits) = bounded(QUEUE);
        match Exits::start(sender, spare, caught) {
            Ok(notices) => {
                (self.notices, self.exits) = (Some(notices), exits);
                Ok(interrupts)
            }
            Err(error) => {
                verbose(&format!("no notices of processes' ends ({}): looking for them", why(&error)));
                signals::channel(&wanted)
            }
        }
    }

    /// Chooses by the wish and the filesystem, and watches where events are to be had.
    fn choose(&mut self, directory: &Directory, verbose: &mut dyn FnMut(&str)) {
        self.foreseen = false;
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

    /// Arms what tells of a log for which no step is waited.
    pub(super) fn arm_alone(&mut self, order: &Order, logs: &LogOrder, verbose: &mut dyn FnMut(&str)) {
        self.armed = true;
        if order.backend == Backend::Poll {
            return verbose("backend poll, as asked");
        }
        self.arm_logs(logs, order, verbose);
        verbose(&format!("backend {}", self.log_name()));
    }

    /// Arms what tells of logs. One that lies elsewhere has a filesystem, and a folder, of its own.
    fn arm_logs(&mut self, logs: &LogOrder, order: &Order, verbose: &mut dyn FnMut(&str)) {
        if let Some(file) = &logs.file {
            let local = locality::look(folder_of(file)).is_ok_and(|found| found.local);
            if order.backend == Backend::Auto && !local {
                return verbose(&format!("events do not tell of {}: looking at it", file.display()));
            }
            self.watch_folder(file);
        }
        let (sender, grown) = bounded(QUEUE);
        match Growths::start(order.steps.len().max(1), sender, Arc::clone(&self.missed)) {
            Ok(growths) => (self.growths, self.grown) = (Some(growths), grown),
            Err(error) => verbose(&format!("no notices of logs' growth ({}): looking at them", why(&error))),
        }
    }

    /// Watches a file's folder for its coming, going and replacement. Where that cannot be had it is looked for.
    fn watch_folder(&mut self, file: &Path) {
        let Some(name) = file.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
        let (sender, hints) = bounded(QUEUE);
        let wanted: Wanted = Arc::new(move |other| other == name);
        if let Ok(events) = Events::watch(folder_of(file), sender, Arc::clone(&self.missed), wanted) {
            (self.log_events, self.log_hints) = (Some(events), hints);
        }
    }

    /// Whether a log's coming is told.
    pub(super) fn tell_of_coming(&self, elsewhere: bool) -> bool {
        if elsewhere { self.log_events.is_some() } else { self.events.is_some() }
    }

    /// The name of what tells of a log for which no step is waited.
    pub(super) fn log_name(&self) -> &'static str {
        match (self.armed, &self.growths) {
            (false, _) => "none",
            (true, Some(_)) => Events::BACKEND,
            (true, None) => "poll",
        }
    }

    /// Asks for a notice of a log's next write; whether it will come.
    pub(super) fn watch_growth(&self, number: usize, path: &Path) -> bool {
        self.growths.as_ref().is_some_and(|growths| growths.arm(number, path))
    }

    pub(super) fn are_armed(&self) -> bool {
        self.armed
    }

    /// Whether changes of files are looked for instead of told.
    pub(super) fn polls(&self) -> bool {
        self.armed && self.events.is_none()
    }

    fn has_watches(&self) -> bool {
        self.events.is_some() || self.log_events.is_some() || self.growths.is_some()
    }

    /// Before a rest: does what need not be done at the end then, where the caller waits for it.
    pub(super) fn foresee(&mut self, order: &Order) {
        if order.leaving && !self.foreseen && self.has_watches() {
            self.foreseen = true;
            parting::foresee();
        }
    }

    /// Leaves the watches to the end of this process where that comes with the wait's: the kernel takes long to take
    /// them back, and so do the threads behind them.
    pub(super) fn part(&mut self, order: &Order) {
        if order.leaving && self.has_watches() {
            std::mem::forget((self.events.take(), self.log_events.take(), self.growths.take(), self.notices.take()));
            parting::defer();
        }
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
        match self.notices.as_mut()?.watch(pid, index as u64) {
            Ok(armed) => Some(armed),
            Err(error) => {
                if !self.said_unnoticed {
                    self.said_unnoticed = true;
                    self.unsaid
                        .push(format!("looking for the ends of processes: no notice to be had ({})", why(&error)));
                }
                None
            }
        }
    }

    /// Whether a process has ended whose end was to be noticed, or its end would not be.
    pub(super) fn has_ended(&self, index: usize) -> bool {
        self.notices.as_ref().is_none_or(|notices| notices.has_ended(index as u64))
    }

    pub(super) fn forget_exit(&mut self, index: usize) {
        if let Some(notices) = &mut self.notices {
            notices.forget(index as u64);
        }
    }

    /// Asks for notices of one file's being written in place; whether they will come.
    pub(super) fn follow(&mut self, path: &Path) -> bool {
        let Some(events) = &mut self.events else { return false };
        // It may make a watch of its own.
        self.foreseen = false;
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

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Only the records of the waited steps are worth waking up for, and of those the log only where it is looked through.
fn wanted(order: &Order) -> Wanted {
    let steps: HashSet<String> = order.steps.iter().map(|step| step.as_str().to_owned()).collect();
    let logs = order.logs.is_some();
    Arc::new(move |name| {
        parse_file_name(name).is_some_and(|(step, record)| {
            let counts = record.shows_start() || record == Record::Result || logs && record == Record::Log;
            counts && steps.contains(step)
        })
    })
}
