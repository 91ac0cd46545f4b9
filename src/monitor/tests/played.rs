//! The simulated world as the loop is given it: every rest jumps to the next thing that happens.
//!
//! Refuses to know what is right: it hands out looks and notices, and reports what the loop decided to the oracle.

use crate::decide::snapshot::Snapshot;
use crate::monitor::event_sources::EventSources;
use crate::monitor::io::{Waking, World};
use crate::monitor::terminations::{Job, What};
use crate::monitor::tests::script::{MILLISECOND, SECOND};
use crate::monitor::tests::simulated::{Notice, State};
use crate::monitor::{Failure, Order};
use crate::record::file_names::Record;
use crate::record::outcome::Outcome;
use crate::record::time::MonotonicTime;
use crate::step::terminate::Means;
use crate::sys::platform::exit_watcher::Armed;
use crate::sys::watch::dir::Hint;
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// By when every answer is out.
const HORIZON: i64 = 4 * 3600 * SECOND;

/// The world as the loop is given it; the test keeps the other end.
pub(super) struct Simulated(pub(super) Rc<RefCell<State>>);

impl World for Simulated {
    fn now(&self) -> MonotonicTime {
        MonotonicTime::from_nanos(self.0.borrow().now)
    }

    fn rests(&self, _span: Duration) {}

    fn look(&mut self, index: usize) -> io::Result<Snapshot> {
        let mut state = self.0.borrow_mut();
        let failing = state.weather.failing;
        if state.random.happens(failing) {
            // Whoever gives up then has seen nothing, and may say so.
            state.steps[index].course = vec![None, Some((Outcome::Running, 0))];
            return Err(io::ErrorKind::Other.into());
        }
        for _ in 0..7 {
            let (look, stands) = state.look(index);
            if stands {
                return Ok(look);
            }
        }
        Ok(state.look(index).0)
    }

    fn arm(&mut self, _order: &Order, _verbose: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        self.0.borrow_mut().armed = true;
        Ok(())
    }

    fn renew(&mut self, _verbose: &mut dyn FnMut(&str)) -> bool {
        false
    }

    fn watch_exit(&mut self, pid: i32, index: usize) -> Option<Armed> {
        let mut state = self.0.borrow_mut();
        if state.weather.deaf {
            return None;
        }
        // One notice a step: the one asked for last.
        state.exits.retain(|_, other| *other != index);
        let lives = state.processes.get(&pid).is_some_and(|(_, ended)| ended.is_none());
        if lives {
            state.exits.insert(pid, index);
        }
        Some(if lives { Armed::Watching } else { Armed::Gone })
    }

    fn forget_exit(&mut self, index: usize) {
        self.0.borrow_mut().exits.retain(|_, other| *other != index);
    }

    fn follow(&mut self, index: usize, record: Record) -> bool {
        let mut state = self.0.borrow_mut();
        if let Some(inode) = state.steps[index].files.get(record.suffix()).map(|disk| disk.inode) {
            state.followed.insert((index, record.suffix(), inode));
        }
        !state.weather.deaf && !state.weather.polls
    }

    fn end(&mut self, index: usize, look: Snapshot, job: Job, _means: Means) {
        let mut state = self.0.borrow_mut();
        let (outcome, longest) = match &job.what {
            What::Terminate(intent, _) => (intent.reason().outcome(), 3 * SECOND),
            What::Bury(reason) => (reason.outcome(), 5 * MILLISECOND),
        };
        state.acts(index, outcome);
        if let (What::Terminate(intent, _), None) = (&job.what, state.steps[index].status_word()) {
            state.record(index, None, Some(*intent));
        }
        let at = state.now + state.random.between(0, longest);
        state.endings.push((at, index, job, look));
    }

    fn give_way(&mut self) {
        let mut state = self.0.borrow_mut();
        let until = state.now + state.random.between(0, 30_000);
        state.advance(until, None);
    }

    fn path(&self) -> &Path {
        Path::new("/simulated")
    }

    fn is_unchanged(&self, index: usize, look: &Snapshot) -> bool {
        self.0.borrow().is_unchanged(index, look)
    }

    fn has_ended(&self, index: usize) -> bool {
        // The kernel knows also where its notice was lost.
        let state = self.0.borrow();
        !state.exits.values().any(|of| *of == index)
    }

    fn rest(&mut self, longest: Duration) -> Waking {
        let mut state = self.0.borrow_mut();
        // A timer may be late, never early.
        let late = state.random.between(0, 3 * MILLISECOND);
        let longest = i64::try_from(longest.as_nanos()).unwrap_or(HORIZON).min(HORIZON);
        let until = state.now + longest + late;
        let mut waking = Waking::default();
        loop {
            let scripted = state.script.get(state.done).map(|(at, ..)| *at);
            let others = state.notices.iter().map(|(at, _)| *at).chain(state.endings.iter().map(|(at, ..)| *at));
            let next = others.chain(scripted).fold(until, i64::min);
            state.advance(next, None);
            let now = state.now;
            assert!(now < HORIZON, "nothing was told by now: {:?}", state.steps);
            let due: Vec<(i64, Notice)> = state.notices.extract_if(.., |(at, _)| *at <= now).collect();
            for (_, notice) in due {
                match notice {
                    Notice::Name(name) => waking.hints.push(Hint::Name(name)),
                    Notice::Exit(index) => waking.exits.push(index),
                    Notice::Missed => waking.missed = true,
                }
            }
            if let Some(place) = state.endings.iter().position(|(at, ..)| *at <= now) {
                let (_, index, job, look) = state.endings.remove(place);
                let answer = state.carry_out(index, &job, &look);
                waking.ended.push((index, answer));
            }
            let woken =
                !waking.hints.is_empty() || !waking.exits.is_empty() || waking.missed || !waking.ended.is_empty();
            if woken || now >= until {
                return waking;
            }
        }
    }

    fn finish(&mut self) {}

    fn is_armed(&self) -> bool {
        self.0.borrow().armed
    }

    fn polls(&self) -> bool {
        let state = self.0.borrow();
        state.armed && state.weather.polls
    }

    fn backend(&self) -> &'static str {
        "none"
    }

    fn tell(&mut self, _verbose: &mut dyn FnMut(&str)) {}

    fn senses(&mut self) -> &mut EventSources {
        unreachable!("no log is read")
    }
}
