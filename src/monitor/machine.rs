//! The waiting loop as a state machine without I/O: what happened goes in as a [`MonitorEvent`], what is to be done comes out as
//! a [`MonitorAction`]. Called by `driver`, and by the simulation in `tests`.
//!
//! A caller repeats: carry out every action and hand its event back at once; sleep until something happens or
//! [`Monitor::poll_timeout`] is reached; hand in what happened, then call [`Monitor::handle_timeout`]. An event only says
//! which step to read again (I1). The first pass reads every step before anything is watched, because what has ended needs no
//! watch; then the watches are set, and every step is read once more (I2). How one step is inspected, and what follows, stands
//! in `inspection`.

use crate::decide::policy::{PauseDetector, SAFETY_RESCAN};
use crate::error::Error;
use crate::monitor::event::{MonitorAction, MonitorEvent, SourceStatus};
use crate::monitor::log_scan::LogScanner;
use crate::monitor::options::{MonitorOptions, WaitEnd, WaitMode};
use crate::monitor::step_state::{Phase, StepState};
use crate::record::file_names::parse_file_name;
use crate::record::pid::PidFileId;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::timer_wheel::TimerWheel;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;

/// How often progress is shown.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// How many steps are shown.
const MAX_SHOWN: usize = 8;

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum TimerKind {
    Step(usize),
    Rescan,
    Progress,
}

/// How far the wait has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitStage {
    /// Every step is read once, and none judged.
    FirstReads,
    /// They are judged by that, and then the watches are set.
    FirstVerdicts,
    /// Events and timers say what to read.
    Watching,
    /// `End` is among the actions.
    Over,
}

/// How a step is to be inspected; a later one includes an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum InspectionDepth {
    /// Judge what was read already.
    Verdict,
    /// Read it if it changed.
    IfChanged,
    /// Read it.
    Read,
}

/// The inspection that is going on; there is one at a time.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    /// Whether the step was read in it.
    pub(super) has_read: bool,
    /// How often it was read once more because its run's end came to be watched after the read.
    pub(super) rereads: usize,
    /// How often it was waited for that a file is filled.
    pub(super) spins: usize,
    /// The run whose end was asked to be watched last.
    pub(super) exit: Option<PidFileId>,
}

/// The waiting loop.
pub(super) struct Monitor<'call> {
    pub(super) options: &'call MonitorOptions,
    /// Where the steps' files are, for messages.
    pub(super) directory: &'call Path,
    pub(super) steps: Vec<StepState>,
    positions: HashMap<StepName, usize>,
    pub(super) stage: WaitStage,
    /// What is to be inspected.
    dirty: BTreeMap<usize, InspectionDepth>,
    pub(super) inspection: Inspection,
    pub(super) actions: VecDeque<MonitorAction>,
    pub(super) sources: SourceStatus,
    wheel: TimerWheel<TimerKind>,
    pub(super) started: MonotonicTime,
    pub(super) now: MonotonicTime,
    pauses: PauseDetector,
    progress_due: bool,
    rewatch_due: bool,
    pub(super) unreported: usize,
    /// Whether an answer ended the wait before all were there.
    pub(super) decided_early: bool,
}

impl<'call> Monitor<'call> {
    /// Starts at `now` with nothing read.
    pub(super) fn new(options: &'call MonitorOptions, directory: &'call Path, now: MonotonicTime) -> Self {
        let scanner = || options.logs.as_ref().map(|logs| LogScanner::new(&logs.patterns));
        let mut steps: Vec<StepState> =
            options.steps.iter().cloned().map(|name| StepState::new(Some(name), scanner())).collect();
        if steps.is_empty() && options.logs.is_some() {
            steps.push(StepState::new(None, scanner()));
        }
        Self {
            positions: options.steps.iter().cloned().zip(0..).collect(),
            stage: WaitStage::FirstReads,
            dirty: (0..steps.len()).map(|step| (step, InspectionDepth::Read)).collect(),
            inspection: Inspection::default(),
            actions: VecDeque::new(),
            sources: SourceStatus { backend: "none", polls: false },
            wheel: TimerWheel::new(0),
            started: now,
            now,
            pauses: PauseDetector::new(now),
            progress_due: false,
            rewatch_due: false,
            unreported: steps.len(),
            decided_early: false,
            steps,
            directory,
            options,
        }
    }

    /// When [`Monitor::handle_timeout`] has something to do; `now` or earlier for at once. The caller sleeps until then.
    pub(super) fn poll_timeout(&mut self) -> MonotonicTime {
        let tick = self.wheel.next_deadline();
        let at = tick.map_or(MonotonicTime::NEVER, |tick| self.started.plus(Duration::from_millis(tick)));
        self.pauses.sleeps_until(at.max(self.now));
        at
    }

    /// Takes in that it is `now`, and that this process was paused until then where nothing came in time.
    fn go_on(&mut self, now: MonotonicTime) {
        self.now = now;
        if self.pauses.was_paused(now) {
            self.steps.iter_mut().for_each(|step| step.tracker.note_pause(now));
        }
    }

    /// Takes in that time has passed: which steps are to be read.
    pub(super) fn handle_timeout(&mut self, now: MonotonicTime) {
        self.go_on(now);
        let mut due = Vec::new();
        self.wheel.advance(self.tick(now), &mut |kind| due.push(kind));
        for kind in due {
            match kind {
                TimerKind::Step(step) => {
                    (self.steps[step].timer, self.steps[step].deadline) = (None, MonotonicTime::NEVER);
                    self.mark(step, InspectionDepth::Read);
                }
                TimerKind::Rescan => {
                    self.rewatch_due = true;
                    self.schedule_rescan();
                }
                TimerKind::Progress => {
                    self.progress_due = true;
                    // So that the ages that are shown are true.
                    let shown: Vec<usize> = self.open_steps().take(MAX_SHOWN).collect();
                    for step in shown {
                        self.mark(step, InspectionDepth::Read);
                    }
                }
            }
        }
    }

    /// The next thing to do; nothing until the next event or timeout.
    pub(super) fn poll_action(&mut self) -> Option<MonitorAction> {
        loop {
            if let Some(action) = self.actions.pop_front() {
                return Some(action);
            }
            if self.stage == WaitStage::Over {
                return None;
            }
            // With --fail-fast what is marked is inspected first: it may have ended too.
            let inspects_on = self.options.mode == WaitMode::FailFast && !self.dirty.is_empty();
            if self.unreported == 0 || self.decided_early && !inspects_on {
                self.close();
            } else if std::mem::take(&mut self.rewatch_due) {
                // First: what changes from here on is reported again.
                return Some(MonitorAction::Rewatch);
            } else if let Some((step, depth)) = self.dirty.pop_first() {
                self.inspect(step, depth);
            } else {
                match self.stage {
                    WaitStage::FirstReads => self.judge_first_reads(),
                    WaitStage::FirstVerdicts => return Some(MonitorAction::Arm),
                    WaitStage::Watching if self.progress_due => self.show_progress(),
                    WaitStage::Watching | WaitStage::Over => return None,
                }
            }
        }
    }

    /// Takes in what happened.
    pub(super) fn handle_event(&mut self, event: MonitorEvent<'_>, now: MonotonicTime) {
        self.go_on(now);
        match event {
            MonitorEvent::Armed(sources) => {
                (self.sources, self.stage) = (sources, WaitStage::Watching);
                self.mark_all(InspectionDepth::Read);
                self.schedule_rescan();
                self.schedule_progress();
            }
            // After the watch was looked at. Where that still stands, of thousands of steps those are read that do not run
            // steadily.
            MonitorEvent::Rewatched(sources, moved) => {
                self.sources = sources;
                self.mark_all(if moved || sources.polls { InspectionDepth::Read } else { InspectionDepth::IfChanged });
            }
            MonitorEvent::FileChanged(name) => {
                if let Some(&step) = parse_file_name(name).and_then(|(step, _)| self.positions.get(step)) {
                    self.mark(step, InspectionDepth::Read);
                }
            }
            MonitorEvent::EventsLost => {
                let scanners = self.steps.iter_mut().filter_map(|step| step.scanner.as_mut());
                scanners.for_each(|scanner| scanner.watching = false);
                self.mark_all(InspectionDepth::Read);
                self.rewatch_due = true;
            }
            MonitorEvent::Snapshot(step, snapshot) => self.on_snapshot(step, *snapshot),
            MonitorEvent::SnapshotFailed(step, reason, process) => self.on_read_failure(step, reason, process),
            MonitorEvent::Unchanged(_, true) => {}
            MonitorEvent::Unchanged(step, false) => self.begin_read(step),
            MonitorEvent::Spun(step, true) => self.actions.push_back(MonitorAction::ReadSnapshot(step)),
            MonitorEvent::Spun(step, false) => self.consult_log(step),
            MonitorEvent::ExitWatch(step, watch) => self.on_exit_watch(step, watch),
            MonitorEvent::Exited(step) => {
                self.steps[step].exit_notified = true;
                self.mark(step, InspectionDepth::Read);
            }
            MonitorEvent::WritesWatched(step, record, watched) => self.on_writes_watched(step, record, watched),
            MonitorEvent::LogWatched(step, watch) => {
                let poll_interval = self.options.poll_interval;
                self.scan(step, |scanner, _| scanner.on_watch(watch, now, poll_interval));
            }
            MonitorEvent::LogChunk(step, unread, chunk) => {
                self.scan(step, |scanner, scan| scanner.on_chunk(unread, &chunk, scan, now));
            }
            MonitorEvent::LogFailed(sentence) => self.end(Err(Error::internal(sentence))),
            MonitorEvent::LogGrew(step) => {
                self.steps[step].scanner.iter_mut().for_each(|scanner| scanner.watching = false);
                self.mark(step, InspectionDepth::Read);
            }
            MonitorEvent::LogFolderChanged => self.mark_all(InspectionDepth::Read),
            MonitorEvent::Diagnosed(step, processes) => self.on_diagnosed(step, processes),
            MonitorEvent::Terminated(step, termination) => self.on_terminated(step, termination),
            MonitorEvent::Signal(signal) => self.end(Ok(WaitEnd::Interrupted(signal))),
        }
    }

    /// Judges what the first pass has read: with `--any` the earliest end wins, not the first in order.
    fn judge_first_reads(&mut self) {
        self.stage = WaitStage::FirstVerdicts;
        let ended = |step: usize| self.steps[step].recorded_end().map(|_| (self.steps[step].ended_at(), step));
        let any = self.options.mode == WaitMode::Any;
        match (0..self.steps.len()).filter(|_| any).filter_map(ended).min() {
            Some((_, earliest)) => self.mark(earliest, InspectionDepth::Verdict),
            None => self.mark_all(InspectionDepth::Verdict),
        }
    }

    pub(super) fn mark(&mut self, step: usize, depth: InspectionDepth) {
        let known = self.dirty.entry(step).or_insert(depth);
        *known = depth.max(*known);
    }

    fn mark_all(&mut self, depth: InspectionDepth) {
        (0..self.steps.len()).for_each(|step| self.mark(step, depth));
    }

    pub(super) fn open_steps(&self) -> impl Iterator<Item = usize> {
        (0..self.steps.len()).filter(|&step| self.steps[step].phase != Phase::Reported)
    }

    /// Sets a step's timer, by which it is read again, to this time.
    pub(super) fn schedule(&mut self, step: usize, at: MonotonicTime) {
        self.steps[step].deadline = at;
        if at == MonotonicTime::NEVER {
            return self.cancel_timer(step);
        }
        // Rounded up, so that no timer is early; the loop rounds its own time down.
        let tick = self.tick(at.plus(Duration::from_nanos(999_999)));
        let timer = self.steps[step].timer;
        if !timer.is_some_and(|timer| self.wheel.reschedule(timer, tick)) {
            self.steps[step].timer = Some(self.wheel.schedule(tick, TimerKind::Step(step)));
        }
    }

    pub(super) fn cancel_timer(&mut self, step: usize) {
        if let Some(timer) = self.steps[step].timer.take() {
            self.wheel.cancel(timer);
        }
    }

    fn schedule_rescan(&mut self) {
        // Where it polls too: the directory may be another one by then, on another filesystem.
        let tick = self.tick(self.now.plus(SAFETY_RESCAN)).saturating_add(1);
        self.wheel.schedule(tick, TimerKind::Rescan);
    }

    fn schedule_progress(&mut self) {
        if self.options.progress {
            let tick = self.tick(self.now.plus(PROGRESS_INTERVAL)).saturating_add(1);
            self.wheel.schedule(tick, TimerKind::Progress);
        }
    }

    fn show_progress(&mut self) {
        self.progress_due = false;
        let shown = self.open_steps().take(MAX_SHOWN).map(|step| self.steps[step].progress(step, self.now)).collect();
        let more = self.unreported.saturating_sub(MAX_SHOWN);
        self.actions.push_back(MonitorAction::ShowProgress(shown, more));
        self.schedule_progress();
    }

    /// Whole milliseconds since the wait began, rounded down.
    fn tick(&self, at: MonotonicTime) -> u64 {
        u64::try_from(at.since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn end(&mut self, end: Result<WaitEnd, Error>) {
        self.stage = WaitStage::Over;
        self.actions.push_back(MonitorAction::End(end));
    }
}
