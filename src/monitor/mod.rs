//! The waiting loop: one poll(2) over events, exits, signals, endings and the wheel's next deadline, for one step or
//! ten thousand.
//!
//! It arms, looks and sleeps, in that order (I2); every wake-up only says where to look (I1). It refuses to judge, which
//! `decide` does, and to word an answer, which `command` does. What has ended before the call needs no watch: the first
//! look comes before anything is armed.

mod dir_changes;
mod event_loop;
mod event_sources;
mod inspect;
mod io;
mod log_scan;
mod log_wait;
mod options;
mod progress;
mod step_state;
mod terminations;

#[cfg(test)]
mod tests;

use crate::decide::verdict::{Next, Verdict};
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::step::terminate::{Means, evidence};
use crate::sys::fs::monitor_dir::{MonitorDir, why};
use crate::sys::platform::exit_watcher::Armed;
use crate::sys::signals::{Pending, Signal};
use crate::timer_wheel::{Timer, TimerWheel};
pub(crate) use dir_changes::{Changes, Woken};
pub(crate) use event_sources::Backend;
use io::{SystemIo, World};
use log_scan::Heard;
pub(crate) use log_scan::LogOrder;
pub(crate) use log_wait::wait_for_line;
pub(crate) use options::{End, Failure, Order, StopWhen, Told};
pub(crate) use progress::{ProgressFn, StepProgress};
use std::collections::HashMap;
use std::time::Duration;
use step_state::{State, StepState};
use terminations::Job;

/// How often everything is looked at whatever the events say: the bound on the damage of a lost one.
const SAFETY_RESCAN: Duration = Duration::from_secs(15);
/// How many descriptors a wait needs at most beside those for its steps: runs are ended side by side, each with locks, a
/// record and a hold on every process of its tree.
const OTHER_DESCRIPTORS: u64 = 512;

/// Waits, and tells each step's answer as it comes. `verbose` gets a line for whoever asked how it is done, an
/// `onlooker` how the steps stand.
///
/// # Errors
/// [`Failure`]; what was told before it stays true.
pub(crate) fn wait<'call>(
    directory: &MonitorDir,
    order: &'call Order,
    tell: &'call mut dyn FnMut(Told),
    verbose: &mut dyn FnMut(&str),
    onlooker: Option<ProgressFn<'call>>,
) -> Result<End, Failure> {
    let mut monitor = Monitor::new(SystemIo::new(directory, order), order, tell, onlooker);
    let scans = order.logs.as_ref().map(|logs| log_scan::scans(logs, directory, &order.steps));
    for (watched, scan) in monitor.watched.iter_mut().zip(scans.into_iter().flatten()) {
        watched.scan = Some(scan);
    }
    monitor.run(verbose)
}

/// Catches the signals that ask a wait to stop.
///
/// # Errors
/// They cannot be caught.
fn interrupts() -> Result<Pending, Failure> {
    Pending::borrow(&[Signal::SIGINT, Signal::SIGTERM])
        .map_err(|error| Failure::Own(format!("cannot catch signals: {}", why(&error))))
}

struct Monitor<'call, W> {
    world: W,
    order: &'call Order,
    watched: Vec<StepState>,
    places: HashMap<StepName, usize>,
    wheel: TimerWheel<Due>,
    rescan: Option<Timer>,
    origin: MonotonicTime,
    open: usize,
    over: bool,
    tell: &'call mut dyn FnMut(Told),
    onlooker: Option<ProgressFn<'call>>,
    glance: Option<Timer>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
enum Due {
    Step(usize),
    Rescan,
    Glance,
}

impl<'call, W: World> Monitor<'call, W> {
    fn new(
        world: W,
        order: &'call Order,
        tell: &'call mut dyn FnMut(Told),
        onlooker: Option<ProgressFn<'call>>,
    ) -> Self {
        let watched: Vec<StepState> = order.steps.iter().cloned().map(StepState::new).collect();
        let places = order.steps.iter().cloned().zip(0..).collect();
        let (open, origin) = (watched.len(), world.now());
        Self {
            world,
            order,
            watched,
            places,
            wheel: TimerWheel::new(0),
            rescan: None,
            origin,
            open,
            over: false,
            tell,
            onlooker,
            glance: None,
        }
    }

    /// From the first look to the last word.
    fn run(&mut self, verbose: &mut dyn FnMut(&str)) -> Result<End, Failure> {
        self.look_before_arming()?;
        if !self.is_over() {
            self.world.arm(self.order, verbose)?;
            self.look_at_all()?;
            while !self.is_over() {
                if let Some(signal) = self.turn(verbose)? {
                    self.world.finish();
                    return Ok(End::Interrupted(signal));
                }
            }
        }
        self.close();
        self.world.finish();
        Ok(End::Answered)
    }

    fn is_over(&self) -> bool {
        self.over || self.open == 0
    }

    /// Asks for a notice of the run's end where there is none yet; whether something new was armed.
    fn arm_exit(&mut self, index: usize) -> bool {
        if !self.world.is_armed() {
            return false;
        }
        let watched = &mut self.watched[index];
        let Some(run) = watched.exit_to_arm() else { return false };
        match self.world.watch_exit(run.0, index) {
            Some(Armed::Watching) => {
                (watched.exit, watched.gone, watched.deaf) = (Some(run), false, false);
                true
            }
            Some(Armed::Gone) => {
                (watched.exit, watched.gone) = (Some(run), true);
                true
            }
            // From now on it is looked for; the look that found this out has not reckoned with it.
            None => !std::mem::replace(&mut watched.deaf, true),
        }
    }

    /// What a log says comes first: a line of it may end the wait before the run does.
    fn hear_and_follow_up(&mut self, index: usize, verdict: Verdict) -> Result<(), Failure> {
        match (self.hear(index, &verdict)?, verdict) {
            (Heard::LogMatch(sign), verdict) => self.heard(index, &verdict, sign),
            (Heard::NotYet, _) => self.look_again(index, self.world.now()),
            (Heard::Nothing(again), Verdict::Pending { look_again, closely }) => {
                self.keep_watching(index, look_again.min(again), closely);
            }
            (Heard::Nothing(_), verdict @ Verdict::Final(_)) => self.follow_up(index, verdict),
        }
        Ok(())
    }

    fn follow_up(&mut self, index: usize, verdict: Verdict) {
        match verdict {
            Verdict::Pending { look_again, closely } => self.keep_watching(index, look_again, closely),
            Verdict::Final(finding) => match finding.next {
                Next::Report => self.answer(index, finding.outcome, finding.detail, false),
                Next::Terminate(intent) if !self.order.kill => {
                    let watched = &mut self.watched[index];
                    watched.evidence = watched.last_look().as_ref().map(evidence);
                    let detail = Some(watched.why_overdue(intent));
                    self.answer(index, finding.outcome, detail, false);
                }
                Next::Record(_) if !self.order.kill => {
                    self.answer(index, finding.outcome, finding.detail, false);
                }
                Next::Terminate(intent) => {
                    let why = self.watched[index].why(intent);
                    self.end(index, finding.outcome, Job::terminate(intent, why));
                }
                Next::Record(reason) => self.end(index, finding.outcome, Job::bury(reason)),
            },
        }
    }

    /// Has a run ended, in a thread of its own: the grace of one must not delay the others.
    fn end(&mut self, index: usize, outcome: Outcome, job: Job) {
        let watched = &mut self.watched[index];
        let Some(look) = watched.last_look() else { return };
        watched.state = State::Ending(outcome);
        let means = Means { grace: self.order.grace, command: self.order.kill_command.clone() };
        self.world.end(index, look, job, means);
    }

    fn keep_watching(&mut self, index: usize, look_again: MonotonicTime, closely: bool) {
        let now = self.world.now();
        let watched = &mut self.watched[index];
        let mut next = look_again;
        let files = watched.files_to_follow();
        watched.followed.retain(|known| files.contains(known));
        for file in files {
            if watched.followed.contains(&file) {
                continue;
            }
            if self.world.follow(index, file.0) {
                watched.followed.push(file);
                // Armed after the look: what was written in between raised no notice (I2).
                next = next.min(now.plus(watched.soon()));
            } else {
                next = next.min(now.plus(self.order.poll_interval));
            }
        }
        if closely || watched.lingers() {
            next = next.min(now.plus(watched.soon()));
        }
        if self.world.polls() || watched.deaf {
            next = next.min(now.plus(self.order.poll_interval));
        }
        self.look_again(index, next);
    }

    fn look_again(&mut self, index: usize, next: MonotonicTime) {
        if next == MonotonicTime::NEVER {
            if let Some(timer) = self.watched[index].timer.take() {
                self.wheel.cancel(timer);
            }
            return;
        }
        // Up, so that no timer is early; the loop rounds its own time down.
        let tick = self.tick(next.plus(Duration::from_nanos(999_999)));
        let timer = self.watched[index].timer;
        if !timer.is_some_and(|timer| self.wheel.reschedule(timer, tick)) {
            self.watched[index].timer = Some(self.wheel.schedule(tick, Due::Step(index)));
        }
    }

    /// Whole milliseconds since the loop began, rounded down.
    fn tick(&self, moment: MonotonicTime) -> u64 {
        u64::try_from(moment.since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }

    fn answer(&mut self, index: usize, outcome: Outcome, detail: Option<String>, killed: bool) {
        let watched = &mut self.watched[index];
        watched.state = State::Told;
        self.open -= 1;
        if let Some(timer) = watched.timer.take() {
            self.wheel.cancel(timer);
        }
        if self.open > 0 {
            self.world.forget_exit(index);
        }
        let told = watched.told(index, outcome, detail, killed, self.world.backend());
        match self.order.until {
            StopWhen::All => (self.tell)(told),
            StopWhen::FirstBad => {
                self.over = outcome.is_end() && outcome != Outcome::Success || outcome == Outcome::NotStarted;
                (self.tell)(told);
            }
            StopWhen::Any if outcome.is_end() || outcome == Outcome::Marker => {
                self.over = true;
                (self.tell)(told);
            }
            // Nobody has won yet: what is told of this one is told at the close, if at all.
            StopWhen::Any => watched.kept = Some(told),
        }
    }

    /// The last words: those who have not answered still run, or have not started.
    fn close(&mut self) {
        if self.order.until == StopWhen::FirstBad && self.over {
            for index in 0..self.watched.len() {
                if self.watched[index].state != State::Told {
                    let outcome = self.watched[index].outcome_so_far();
                    let told = self.watched[index].told(index, outcome, None, false, self.world.backend());
                    (self.tell)(told);
                }
            }
        }
        if self.order.until == StopWhen::Any && !self.over {
            let kept: Vec<Told> = self.watched.iter_mut().filter_map(|watched| watched.kept.take()).collect();
            let running: Vec<Told> = kept.iter().filter(|told| told.outcome == Outcome::Running).cloned().collect();
            // Nobody has won: each that runs is told, or, where none has started, the first.
            let last = if running.is_empty() { kept.into_iter().take(1).collect() } else { running };
            for told in last {
                (self.tell)(told);
            }
        }
    }
}
