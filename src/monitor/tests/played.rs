//! The driver of the simulation: carries out the machine's actions in the simulated world, and jumps to the next thing that
//! happens where the real driver sleeps.

use crate::decide::policy::SAFETY_RESCAN;
use crate::monitor::event::{MonitorAction, MonitorEvent, SourceStatus, Task};
use crate::monitor::machine::Monitor;
use crate::monitor::options::WaitEnd;
use crate::monitor::tests::script::{MILLISECOND, SECOND};
use crate::monitor::tests::simulated::{Notice, State};
use crate::record::outcome::Outcome;
use crate::record::time::MonotonicTime;
use crate::sys::watch::WatchResult;

/// By when every answer is out.
const HORIZON: i64 = 4 * 3600 * SECOND;

impl State {
    /// Drives the machine to its end; what it reported.
    pub(super) fn drive(&mut self, monitor: &mut Monitor<'_>) -> Vec<(usize, Outcome)> {
        let mut told = Vec::new();
        loop {
            while let Some(action) = monitor.poll_action() {
                if let MonitorAction::End(end) = action {
                    assert_eq!(end.expect("an end"), WaitEnd::Answered);
                    return told;
                }
                if let MonitorAction::Report(result) = action {
                    self.told(result.index, result.outcome);
                    told.push((result.index, result.outcome));
                } else {
                    self.perform(action, monitor);
                }
            }
            self.sleep(monitor);
            monitor.handle_timeout(self.moment());
        }
    }

    pub(super) fn moment(&self) -> MonotonicTime {
        MonotonicTime::from_nanos(self.now)
    }

    fn status(&self) -> SourceStatus {
        SourceStatus { backend: "none", polls: self.armed && self.weather.polls }
    }

    fn perform(&mut self, action: MonitorAction, monitor: &mut Monitor<'_>) {
        let event = match action {
            MonitorAction::Arm => {
                self.armed = true;
                MonitorEvent::Armed(self.status())
            }
            MonitorAction::Rewatch => MonitorEvent::Rewatched(self.status(), false),
            MonitorAction::ReadSnapshot(step) => self.read_snapshot(step),
            MonitorAction::CheckUnchanged(step) => {
                let same = monitor.steps[step].snapshot().is_some_and(|snapshot| self.is_unchanged(step, snapshot));
                // The kernel knows also where its notice was lost.
                MonitorEvent::Unchanged(step, same && self.exits.values().any(|of| *of == step))
            }
            MonitorAction::SpinUntilChanged(step) => {
                let changed = monitor.steps[step].snapshot().cloned().is_some_and(|snapshot| {
                    (0..40).any(|_| {
                        let until = self.now + self.random.between(0, 30_000);
                        self.advance(until, None);
                        !self.is_unchanged(step, &snapshot)
                    })
                });
                MonitorEvent::Spun(step, changed)
            }
            MonitorAction::WatchExit(step, pid) => MonitorEvent::ExitWatch(step, self.watch_exit(pid, step)),
            MonitorAction::ForgetExit(step) => return self.exits.retain(|_, other| *other != step),
            MonitorAction::WatchWrites(step, record) => {
                if let Some(inode) = self.steps[step].files.get(record.suffix()).map(|disk| disk.inode) {
                    self.followed.insert((step, record.suffix(), inode));
                }
                MonitorEvent::WritesWatched(step, record, !self.weather.watch_fails && !self.weather.polls)
            }
            MonitorAction::WatchLog { step, watching, may_watch } => self.watch_log(step, watching, may_watch),
            MonitorAction::ReadLog(step, measure) => return self.read_log(step, measure, monitor),
            MonitorAction::Terminate(step, task) => return self.terminate(step, task, monitor),
            MonitorAction::Diagnose(_) => unreachable!("every run is terminated"),
            MonitorAction::ShowProgress(steps, more) => {
                assert!(!steps.is_empty() && steps.len() <= 8 && steps.len() + more <= self.waited_for);
                return;
            }
            MonitorAction::Report(_) | MonitorAction::End(_) => unreachable!("taken by the caller"),
        };
        monitor.handle_event(event, self.moment());
    }

    fn read_snapshot(&mut self, step: usize) -> MonitorEvent<'static> {
        let failing = self.weather.failing;
        if self.random.happens(failing) {
            // Whoever gives up then has seen nothing, and may say so.
            self.steps[step].course = vec![None, Some((Outcome::Running, 0))];
            return MonitorEvent::SnapshotFailed(step, "it fails".to_owned(), self.followed_process(step));
        }
        for _ in 0..7 {
            let (snapshot, stands) = self.look(step);
            if stands {
                return MonitorEvent::Snapshot(step, Box::new(snapshot));
            }
        }
        MonitorEvent::Snapshot(step, Box::new(self.look(step).0))
    }

    fn watch_exit(&mut self, pid: i32, step: usize) -> Option<WatchResult> {
        if self.weather.watch_fails {
            return None;
        }
        // One notice a step: the one asked for last.
        self.exits.retain(|_, other| *other != step);
        let lives = self.processes.get(&pid).is_some_and(|(_, ended)| ended.is_none());
        if lives {
            self.exits.insert(pid, step);
        }
        Some(if lives { WatchResult::Watching } else { WatchResult::AlreadyExited })
    }

    fn terminate(&mut self, step: usize, task: Task, monitor: &Monitor<'_>) {
        let Some(snapshot) = monitor.steps[step].snapshot_of_run().cloned() else {
            panic!("nothing was read of {step}")
        };
        let (outcome, longest) = match &task {
            Task::Terminate(intent, _) => (intent.reason().outcome(), 3 * SECOND),
            Task::RecordDeath(reason) => (reason.outcome(), 5 * MILLISECOND),
        };
        self.acts(step, outcome);
        if let (Task::Terminate(intent, _), None) = (&task, self.steps[step].status_word())
            && self.can_kill(step, &snapshot)
        {
            self.record(step, None, Some(*intent));
        }
        let at = self.now + self.random.between(0, longest);
        self.endings.push((at, step, task, snapshot));
    }

    /// Sleeps until something happens, or the machine's next timeout.
    fn sleep(&mut self, monitor: &mut Monitor<'_>) {
        // A timer may be late, never early.
        let late = self.random.between(0, 3 * MILLISECOND);
        let rest = monitor.poll_timeout().since(self.moment()).min(SAFETY_RESCAN);
        let until = self.now + i64::try_from(rest.as_nanos()).unwrap_or(HORIZON).min(HORIZON) + late;
        loop {
            let scripted = self.script.get(self.done).map(|(at, ..)| *at);
            let others = self.notices.iter().map(|(at, _)| *at).chain(self.endings.iter().map(|(at, ..)| *at));
            let next = others.chain(scripted).fold(until, i64::min);
            self.advance(next, None);
            let (now, moment) = (self.now, self.moment());
            assert!(now < HORIZON, "nothing was reported by now: {:?}", self.steps);
            let due: Vec<(i64, Notice)> = self.notices.extract_if(.., |(at, _)| *at <= now).collect();
            let mut woken = !due.is_empty() || now >= until;
            for (_, notice) in due {
                let event = match &notice {
                    Notice::Name(name) => MonitorEvent::FileChanged(name),
                    Notice::Exit(step) => MonitorEvent::Exited(*step),
                    Notice::LogGrew(step) => MonitorEvent::LogGrew(*step),
                    Notice::Missed => MonitorEvent::EventsLost,
                };
                monitor.handle_event(event, moment);
            }
            if let Some(place) = self.endings.iter().position(|(at, ..)| *at <= now) {
                let (_, step, task, snapshot) = self.endings.remove(place);
                let termination = self.carry_out(step, &task, &snapshot);
                monitor.handle_event(MonitorEvent::Terminated(step, termination), moment);
                woken = true;
            }
            if woken {
                return;
            }
        }
    }
}
