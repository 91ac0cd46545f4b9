//! The one thread of a wait: carries out the state machine's actions, and sleeps in one poll(2) for what it is told next.
//! Called by `ops`.

use crate::decide::policy::SAFETY_RESCAN;
use crate::decide::snapshot::LocalContext;
use crate::error::{Error, io_reason};
use crate::monitor::event::{MonitorAction, MonitorEvent, SourceStatus, Task};
use crate::monitor::event_sources::EventSources;
use crate::monitor::log_scan::LogWatch;
use crate::monitor::machine::Monitor;
use crate::monitor::options::{LogOptions, MonitorOptions, WaitEnd, WaitEvent};
use crate::monitor::terminations::TerminationPool;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::LockState;
use crate::step::snapshot::{SnapshotReader, local_context};
use crate::step::terminate::{KillMethod, evidence};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::follower::{FileIdentity, Follower};
use crate::sys::process::tree::Escalation;
use crate::sys::{clock, env};
use std::sync::Arc;
use std::time::Duration;

/// How many descriptors a wait needs at most beside those for its steps: runs are ended side by side, each with locks, a
/// record and a handle on every process of its tree.
const OTHER_DESCRIPTORS: u64 = 512;
/// How many of them one termination takes, its handles on a large tree apart.
const DESCRIPTORS_EACH: u64 = 16;
/// How often it is asked whether a file that was just made has been filled: some 0.2 ms, in which its writer can run.
const SPIN_STATS: usize = 40;

/// Waits, and reports each step's answer as it comes.
///
/// # Errors
/// [`Error`]; what was reported before it stays true.
pub(crate) fn wait(
    directory: &MonitorDir,
    options: &MonitorOptions,
    on_event: &mut dyn FnMut(WaitEvent<'_>),
) -> Result<WaitEnd, Error> {
    let mut driver = Driver::new(directory, options);
    let mut monitor = Monitor::new(options, directory.path(), clock::now());
    loop {
        while let Some(action) = monitor.poll_action() {
            if let MonitorAction::End(end) = action {
                // Terminations that have begun are finished: no tree is left half terminated.
                driver.terminations.finish(driver.sources.signals());
                return end;
            }
            driver.perform(action, &mut monitor, on_event)?;
        }
        let rest = monitor.poll_timeout().since(clock::now()).min(SAFETY_RESCAN);
        on_event(WaitEvent::Idle(rest));
        driver.sleep(rest, &mut monitor);
        monitor.handle_timeout(clock::now());
    }
}

struct Driver<'call> {
    options: &'call MonitorOptions,
    directory: Arc<MonitorDir>,
    here: Arc<LocalContext>,
    /// One a step.
    readers: Vec<SnapshotReader>,
    /// One a step where logs are searched, or one for the log alone.
    followers: Vec<Follower>,
    sources: EventSources,
    terminations: TerminationPool,
}

impl<'call> Driver<'call> {
    fn new(directory: &MonitorDir, options: &'call MonitorOptions) -> Self {
        let directory = Arc::new(directory.clone());
        let here = Arc::new(local_context(&directory));
        let reader = |step| {
            let mut reader = SnapshotReader::new(Arc::clone(&directory), step, Arc::clone(&here));
            if options.new {
                reader.always_stat_result();
            }
            reader
        };
        Self {
            readers: options.steps.iter().cloned().map(reader).collect(),
            followers: options.logs.as_ref().map(|logs| followers(logs, options, &directory)).unwrap_or_default(),
            sources: EventSources::new(options),
            terminations: TerminationPool::new(),
            options,
            directory,
            here,
        }
    }

    /// Carries one action out, and hands what came of it back.
    ///
    /// # Errors
    /// Signals cannot be caught.
    fn perform(
        &mut self,
        action: MonitorAction,
        monitor: &mut Monitor<'_>,
        on_event: &mut dyn FnMut(WaitEvent<'_>),
    ) -> Result<(), Error> {
        let verbose = &mut |line: &str| on_event(WaitEvent::Diagnostic(line));
        let event = match action {
            MonitorAction::Arm => MonitorEvent::Armed(self.arm(verbose)?),
            MonitorAction::Rewatch => self.rewatch(verbose),
            MonitorAction::ReadSnapshot(step) => {
                // Thousands of reads over a network take their time; each is a sign of life.
                on_event(WaitEvent::Idle(Duration::ZERO));
                match self.readers[step].read() {
                    Ok(snapshot) => {
                        if snapshot.lock == LockState::Held {
                            self.readers[step].pin_directory();
                        }
                        MonitorEvent::Snapshot(step, Box::new(snapshot))
                    }
                    Err(error) => {
                        let process = self.readers[step].followed_process(clock::wall());
                        MonitorEvent::SnapshotFailed(step, io_reason(&error), process)
                    }
                }
            }
            MonitorAction::CheckUnchanged(step) => {
                let same =
                    monitor.steps[step].snapshot().is_some_and(|snapshot| self.readers[step].is_unchanged(snapshot));
                MonitorEvent::Unchanged(step, same && !self.sources.has_ended(step))
            }
            MonitorAction::SpinUntilChanged(step) => MonitorEvent::Spun(step, self.changes_soon(step, monitor)),
            MonitorAction::WatchExit(step, pid) => {
                MonitorEvent::ExitWatch(step, self.sources.watch_exit(pid, step, verbose))
            }
            MonitorAction::ForgetExit(step) => {
                self.sources.forget_exit(step);
                return Ok(());
            }
            MonitorAction::WatchWrites(step, record) => {
                let path = self.directory.join(&file_name(&self.options.steps[step], record));
                MonitorEvent::WritesWatched(step, record, self.sources.follow(&path, verbose))
            }
            MonitorAction::WatchLog { step, watching, may_watch } => {
                MonitorEvent::LogWatched(step, self.watch_log(step, watching, may_watch))
            }
            MonitorAction::ReadLog(step, measure) => {
                let follower = &mut self.followers[step];
                let unread = measure.then(|| follower.remaining()).transpose();
                match unread.and_then(|unread| Ok((unread, follower.read()?))) {
                    Ok((unread, chunk)) => MonitorEvent::LogChunk(step, unread, chunk),
                    Err(error) => {
                        let path = self.followers[step].path().display();
                        MonitorEvent::LogFailed(format!("cannot read the log {path}: {}", io_reason(&error)))
                    }
                }
            }
            MonitorAction::Diagnose(step) => {
                let processes = monitor.steps[step].snapshot_of_run().map(evidence).unwrap_or_default();
                MonitorEvent::Diagnosed(step, processes)
            }
            MonitorAction::Terminate(step, task) => {
                self.terminate(step, task, monitor);
                return Ok(());
            }
            MonitorAction::Report(result) => {
                on_event(WaitEvent::Result(result));
                return Ok(());
            }
            MonitorAction::ShowProgress(steps, more) => {
                on_event(WaitEvent::Progress(&steps, more));
                return Ok(());
            }
            // The caller has taken it.
            MonitorAction::End(_) => return Ok(()),
        };
        monitor.handle_event(event, clock::now());
        Ok(())
    }

    /// Whether a file that decides changes within the time that a shell takes to fill one.
    fn changes_soon(&self, step: usize, monitor: &Monitor<'_>) -> bool {
        let Some(snapshot) = monitor.steps[step].snapshot() else { return false };
        (0..SPIN_STATS).any(|_| {
            std::thread::yield_now();
            !self.readers[step].is_unchanged(snapshot)
        })
    }

    fn arm(&mut self, verbose: &mut dyn FnMut(&str)) -> Result<SourceStatus, Error> {
        // A watch on each run's end takes a descriptor; the rest is for reads, without which nothing is ever found.
        let allowed = env::allow_descriptors(self.options.steps.len() as u64 + OTHER_DESCRIPTORS);
        let others = OTHER_DESCRIPTORS.min(allowed / 4 * 3);
        self.terminations.limit(usize::try_from(others / DESCRIPTORS_EACH).unwrap_or(usize::MAX));
        let spare = usize::try_from(allowed - others).unwrap_or(usize::MAX);
        self.sources.arm(&self.directory, self.options, spare, verbose)?;
        Ok(self.sources.status())
    }

    fn rewatch(&mut self, verbose: &mut dyn FnMut(&str)) -> MonitorEvent<'static> {
        let moved = self.sources.renew(&self.directory, verbose);
        if moved {
            self.here = Arc::new(local_context(&self.directory));
            self.readers.iter_mut().for_each(|reader| reader.set_context(Arc::clone(&self.here)));
        }
        MonitorEvent::Rewatched(self.sources.status(), moved)
    }

    fn watch_log(&mut self, step: usize, watching: bool, may_watch: bool) -> LogWatch {
        let follower = &self.followers[step];
        let identity = follower.identity();
        let elsewhere = self.options.logs.as_ref().is_some_and(|logs| logs.file.is_some());
        let creation_reported = self.sources.tell_of_coming(elsewhere);
        let watching = match identity {
            FileIdentity::Current if watching => true,
            FileIdentity::Missing if creation_reported => false,
            // The notice may be about another file than the one that is read.
            FileIdentity::Current | FileIdentity::Missing | FileIdentity::Replaced => {
                may_watch && self.sources.watch_growth(step, follower.path())
            }
        };
        LogWatch { identity, watching, creation_reported }
    }

    /// Terminates a run in a thread of its own: the grace of one must not delay the others.
    fn terminate(&mut self, step: usize, task: Task, monitor: &Monitor<'_>) {
        let Some(snapshot) = monitor.steps[step].snapshot_of_run() else { return };
        let name = self.options.steps[step].clone();
        let reader = SnapshotReader::new(Arc::clone(self.readers[step].directory()), name, Arc::clone(&self.here));
        let method =
            KillMethod { escalation: Escalation::term(self.options.grace), command: self.options.kill_command.clone() };
        self.terminations.begin(step, reader, snapshot.clone(), task, method);
    }

    /// Sleeps until something happens, and so long at most; hands in what happened.
    fn sleep(&mut self, longest: Duration, monitor: &mut Monitor<'_>) {
        let longest = if self.terminations.has_answers() { Duration::ZERO } else { longest };
        let mut hand_in = |event: MonitorEvent<'_>| monitor.handle_event(event, clock::now());
        self.sources.wait(self.terminations.descriptor(), longest, &mut hand_in);
        for (step, termination) in self.terminations.take() {
            hand_in(MonitorEvent::Terminated(step, termination));
        }
    }
}

/// The logs of a wait, one a step; or the one log that is waited for alone.
fn followers(logs: &LogOptions, options: &MonitorOptions, directory: &MonitorDir) -> Vec<Follower> {
    let own = options.steps.iter().map(|step| directory.join(&file_name(step, Record::Log)));
    match &logs.file {
        Some(file) => (0..options.steps.len().max(1)).map(|_| Follower::new(file.clone())).collect(),
        None => own.map(Follower::new).collect(),
    }
}
