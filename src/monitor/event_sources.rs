//! How a wait notices changes: directory events and exit notices where they can be had, polling where not.
//!
//! A source that cannot be armed is polled instead, and one line on standard error says so.

use crate::error::{Error, io_reason};
use crate::monitor::event::{MonitorEvent, SourceStatus};
use crate::monitor::options::{Backend, LogOptions, MonitorOptions};
use crate::record::file_names::{Record, parse_file_name};
use crate::sys::fs::FsType;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::platform::exit_watcher::ExitWatcher;
use crate::sys::platform::fs_type;
use crate::sys::platform::write_watcher::WriteWatcher;
use crate::sys::signals::{INTERRUPTS, Pending};
use crate::sys::watch::WatchResult;
use crate::sys::watch::dir::{DirHint, Events, Facility, Wanted};
use crate::sys::watch::poll::ready;
use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Catches the signals that ask a wait to end, those of a closed terminal included: a wait that died while it ends a tree
/// would leave that stopped.
///
/// # Errors
/// They cannot be caught.
pub(super) fn catch_interrupts() -> Result<Pending, Error> {
    Pending::borrow(&INTERRUPTS).map_err(|error| Error::io("cannot catch signals", error))
}

/// What is armed.
pub(super) struct EventSources {
    events: Option<Events>,
    /// Which logs have grown.
    growths: Option<WriteWatcher>,
    /// The watch on the folder of a log that lies elsewhere.
    log_events: Option<Events>,
    exits: Option<ExitWatcher>,
    signals: Option<Pending>,
    /// Whether only a log is waited for.
    log_only: bool,
    requested_backend: Backend,
    wanted: Wanted,
    /// The filesystem that the choice was made for.
    filesystem: Option<FsType>,
    /// Whether the facility failed once; it is not asked for again.
    refused: bool,
    /// Whether it was said that files written in place cannot be followed.
    said_unfollowed: bool,
    /// Whether it was said that some processes' ends are looked for.
    said_unnoticed: bool,
}

impl EventSources {
    /// Nothing armed yet.
    pub(super) fn new(options: &MonitorOptions) -> Self {
        Self {
            events: None,
            growths: None,
            log_events: None,
            exits: None,
            signals: None,
            log_only: options.steps.is_empty(),
            requested_backend: options.backend,
            wanted: Arc::new(|_| false),
            filesystem: None,
            refused: false,
            said_unfollowed: false,
            said_unnoticed: false,
        }
    }

    /// Arms what can be armed; of descriptors, notices of processes' ends may take `spare`. With the signals that ask this
    /// process to stop: those are not caught before, and end this process as any other until then, which leaves the work
    /// alone too.
    ///
    /// # Errors
    /// Signals cannot be caught.
    pub(super) fn arm(
        &mut self,
        directory: &MonitorDir,
        options: &MonitorOptions,
        spare: usize,
        verbose: &mut dyn FnMut(&str),
    ) -> Result<(), Error> {
        if !self.log_only {
            self.wanted = wanted(options);
            self.filesystem = filesystem(directory);
            // First: what changes from here on is told.
            verbose(&self.choose(directory));
            match ExitWatcher::new(spare) {
                Ok(exits) => self.exits = Some(exits),
                Err(error) => {
                    verbose(&format!("no notices of processes' ends ({}): looking for them", io_reason(&error)));
                }
            }
        }
        self.signals = Some(catch_interrupts()?);
        // Where files are polled because their events do not tell, a log's would not tell either.
        let polled = if self.log_only {
            self.requested_backend == Backend::Poll
        } else {
            self.events.is_none() && !self.refused
        };
        if let Some(logs) = options.logs.as_ref().filter(|_| !polled) {
            self.arm_logs(logs, verbose);
        }
        if self.log_only {
            verbose(&format!("backend {}{}", self.name(), if polled { ", as asked" } else { "" }));
        }
        Ok(())
    }

    /// Sleeps until something happens, or `other` is readable, and so long at most; hands in what happened.
    pub(super) fn wait(
        &mut self,
        other: Option<BorrowedFd<'_>>,
        longest: Duration,
        hand_in: &mut dyn FnMut(MonitorEvent<'_>),
    ) {
        let [events, exits, grown, logs, signals, _other] = ready(
            [
                self.events.as_ref().and_then(Events::descriptor),
                self.exits.as_ref().map(ExitWatcher::descriptor),
                self.growths.as_ref().map(WriteWatcher::descriptor),
                self.log_events.as_ref().and_then(Events::descriptor),
                self.signals.as_ref().map(Pending::descriptor),
                other,
            ],
            longest,
        );
        if let Some(pending) = self.signals.as_mut().filter(|_| signals)
            && let Some(&signal) = pending.fetch().first()
        {
            return hand_in(MonitorEvent::Signal(signal));
        }
        let mut hints = Vec::new();
        if let Some(watcher) = self.events.as_mut().filter(|_| events) {
            watcher.take(&mut hints);
        }
        for hint in &hints {
            hand_in(match hint {
                DirHint::Name(name) => MonitorEvent::FileChanged(name),
                DirHint::Everything => MonitorEvent::EventsLost,
            });
        }
        let mut ended = Vec::new();
        if let Some(watcher) = self.exits.as_ref().filter(|_| exits) {
            watcher.take(&mut ended);
        }
        ended
            .into_iter()
            .filter_map(|step| usize::try_from(step).ok())
            .for_each(|step| hand_in(MonitorEvent::Exited(step)));
        if let Some(watcher) = self.growths.as_mut().filter(|_| grown) {
            let mut steps = Vec::new();
            if !watcher.take(&mut steps) {
                hand_in(MonitorEvent::EventsLost);
            }
            for step in steps {
                hand_in(MonitorEvent::LogGrew(step));
            }
        }
        if let Some(watcher) = self.log_events.as_mut().filter(|_| logs) {
            let mut hints = Vec::new();
            watcher.take(&mut hints);
            if !hints.is_empty() {
                hand_in(MonitorEvent::LogFolderChanged);
            }
            // A watcher that has failed reports nothing any more: the log's appearance is polled for then.
            self.log_events = self.log_events.take().filter(|events| !events.has_failed());
        }
    }

    /// What tells of changes at present.
    pub(super) fn status(&self) -> SourceStatus {
        SourceStatus { backend: self.name(), polls: !self.log_only && self.signals.is_some() && self.events.is_none() }
    }

    /// Where the signals come that ask this process to end.
    pub(super) fn signals(&mut self) -> Option<&mut Pending> {
        self.signals.as_mut()
    }

    /// Chooses by the wish and the filesystem, and watches if there are events. Returns what is said of the choice.
    fn choose(&mut self, directory: &MonitorDir) -> String {
        self.events = None;
        let by_events = match (self.requested_backend, &self.filesystem) {
            (Backend::Poll, _) => return "backend poll, as asked".to_owned(),
            (Backend::Event, _) => format!("backend {}, as asked", Events::BACKEND),
            (Backend::Notify, _) => format!("backend {} through notify, as asked", Events::BACKEND),
            (Backend::Auto, Some(found)) if found.local => {
                format!("backend {}: {} is local", Events::BACKEND, found.name)
            }
            (Backend::Auto, Some(found)) => {
                return format!("backend poll: events of {} do not tell what others do", found.name);
            }
            (Backend::Auto, None) => return "backend poll: the filesystem does not say what it is".to_owned(),
        };
        match Events::watch(directory.path(), &self.wanted, self.facility()) {
            Ok(events) => {
                self.events = Some(events);
                by_events
            }
            Err(error) => {
                self.refused = true;
                format!("backend poll: {} is not to be had ({})", Events::BACKEND, io_reason(&error))
            }
        }
    }

    /// Arms what tells of logs. One that lies elsewhere has a filesystem, and a folder, of its own.
    fn arm_logs(&mut self, logs: &LogOptions, verbose: &mut dyn FnMut(&str)) {
        if let Some(file) = &logs.file {
            let local = fs_type::look(folder_of(file)).is_ok_and(|found| found.local);
            if self.requested_backend == Backend::Auto && !local {
                return verbose(&format!("events do not tell of {}: looking at it", file.display()));
            }
            // Its coming, going and replacement. Where that cannot be had it is looked for.
            if let Some(name) = file.file_name().map(|name| name.to_string_lossy().into_owned()) {
                let wanted: Wanted = Arc::new(move |other| other == name);
                self.log_events = Events::watch(folder_of(file), &wanted, self.facility()).ok();
            }
        }
        match WriteWatcher::new() {
            Ok(growths) => self.growths = Some(growths),
            Err(error) => verbose(&format!("no notices of logs' growth ({}): looking at them", io_reason(&error))),
        }
    }

    fn facility(&self) -> Facility {
        if self.requested_backend == Backend::Notify { Facility::Notify } else { Facility::Native }
    }

    /// Whether a log's coming is told.
    pub(super) fn tell_of_coming(&self, elsewhere: bool) -> bool {
        if elsewhere { self.log_events.is_some() } else { self.events.is_some() }
    }

    /// Asks for a notice of a log's next write; whether it will come.
    pub(super) fn watch_growth(&mut self, number: usize, path: &Path) -> bool {
        self.growths.as_mut().is_some_and(|growths| growths.arm(number, path))
    }

    /// The name of what tells of changes, as JSON has it.
    fn name(&self) -> &'static str {
        let by_events = if self.log_only { self.growths.is_some() } else { self.events.is_some() };
        // Signals are caught in every case, once a wait is armed.
        match (self.signals.is_some(), by_events) {
            (false, _) => "none",
            (true, true) => Events::BACKEND,
            (true, false) => "poll",
        }
    }

    /// Asks for a notice of a process's end; `None` if none can be had.
    pub(super) fn watch_exit(&mut self, pid: i32, index: usize, verbose: &mut dyn FnMut(&str)) -> Option<WatchResult> {
        let watched = self.exits.as_mut()?.watch(pid, index as u64);
        if let Err(error) = &watched {
            let what = "looking for the ends of processes: no notice to be had";
            say_once(&mut self.said_unnoticed, what, error, verbose);
        }
        watched.ok()
    }

    /// Whether a process has ended whose end was to be noticed, or its end would not be.
    pub(super) fn has_ended(&self, index: usize) -> bool {
        self.exits.as_ref().is_none_or(|exits| exits.has_ended(index as u64))
    }

    pub(super) fn forget_exit(&mut self, index: usize) {
        if let Some(exits) = &mut self.exits {
            exits.forget(index as u64);
        }
    }

    /// Asks for notices of one file's being written in place; whether they will come.
    pub(super) fn follow(&mut self, path: &Path, verbose: &mut dyn FnMut(&str)) -> bool {
        let Some(events) = &mut self.events else { return false };
        let followed = events.follow(path);
        if let Err(error) = &followed {
            let what = "looking for what is written in place: it cannot be followed";
            say_once(&mut self.said_unfollowed, what, error, verbose);
        }
        followed.is_ok()
    }

    /// Sets the watch anew where the directory is another one now, has come into being, or lies on another filesystem;
    /// whether one of these is so.
    pub(super) fn renew(&mut self, directory: &MonitorDir, verbose: &mut dyn FnMut(&str)) -> bool {
        if self.log_only {
            return false;
        }
        let before = std::mem::replace(&mut self.filesystem, filesystem(directory));
        let failed = self.events.as_ref().is_some_and(Events::has_failed);
        if failed {
            self.refused = true;
            self.events = None;
            verbose(&format!("backend poll: {} has failed", Events::BACKEND));
        }
        let stands = self.events.as_ref().is_some_and(|events| events.is_watching(directory.path()));
        let moved = before != self.filesystem;
        let is_lost = self.events.is_some() && (moved || !stands);
        let may_be_had = self.events.is_none() && moved && !self.refused && self.requested_backend != Backend::Poll;
        if is_lost || may_be_had {
            let line = self.choose(directory);
            // A directory that comes and goes on one filesystem changes no choice.
            if moved || self.refused {
                verbose(&line);
            }
        }
        is_lost || moved
    }
}

/// Says what is polled for instead of watched, once for all steps.
fn say_once(said: &mut bool, sentence: &str, error: &io::Error, verbose: &mut dyn FnMut(&str)) {
    if !std::mem::replace(said, true) {
        verbose(&format!("{sentence} ({})", io_reason(error)));
    }
}

/// The filesystem of the directory, or of the nearest ancestor that is there.
fn filesystem(directory: &MonitorDir) -> Option<FsType> {
    directory.path().ancestors().find_map(|folder| fs_type::look(folder).ok())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Only the records of the waited steps are worth waking up for, and of those the log only where it is looked through.
fn wanted(options: &MonitorOptions) -> Wanted {
    let steps: HashSet<String> = options.steps.iter().map(|step| step.as_str().to_owned()).collect();
    let logs = options.logs.is_some();
    Arc::new(move |name| {
        parse_file_name(name).is_some_and(|(step, record)| {
            let counts = record.shows_start() || record == Record::Result || logs && record == Record::Log;
            counts && steps.contains(step)
        })
    })
}
