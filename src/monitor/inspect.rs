//! The looks: before anything is armed, at everything, at one step, and at what the kernel does not show.
//!
//! Refuses to judge and to act: a look's verdict is followed up by the loop.

use crate::decide::policy::MAX_TIMEOUT;
use crate::decide::verdict::{Next, Verdict};
use crate::monitor::io::World;
use crate::monitor::step_state::State;
use crate::monitor::{Failure, Monitor, StopWhen};
use crate::record::outcome::Outcome;
use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::fs::monitor_dir::why;
use std::time::Duration;

/// How many runs may follow each other within one look at a step.
const ROUNDS: usize = 4;
/// How often a file that has just been made is looked at without a rest, until its writer has filled it.
const CLOSER: usize = 8;
/// How often it is asked meanwhile whether anything has changed: some 0.2 ms, of which the writer has what it wants.
const GLANCES: usize = 40;

/// For how long no look may succeed before that is believed, and how soon the first is tried again.
const SURE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_millis(10);

impl<W: World> Monitor<'_, W> {
    /// Looks and judges; nothing where the kernel could not answer this time.
    pub(super) fn look_once(&mut self, index: usize, new: bool) -> Result<Option<Verdict>, Failure> {
        let began = self.world.now();
        match self.world.look(index) {
            Ok(look) => self.watched[index].note(look, &self.order.wishes, new).map(Some),
            Err(error) => {
                self.watched[index].note_vain(began, why(&error));
                Ok(None)
            }
        }
    }

    /// What stood there before the call: with `--any` the earliest end wins, not the first looked at.
    pub(super) fn look_before_arming(&mut self) -> Result<(), Failure> {
        let mut ended: Option<(WallTime, usize)> = None;
        for index in 0..self.watched.len() {
            let Some(verdict) = self.look_once(index, self.order.new)? else { continue };
            if self.order.until != StopWhen::Any {
                self.hear_and_follow_up(index, verdict)?;
                if self.is_over() {
                    return Ok(());
                }
                continue;
            }
            if let Verdict::Final(finding) = &verdict
                && finding.outcome.is_end()
                && finding.next == Next::Report
            {
                let at = self.watched[index].ended_at();
                if ended.is_none_or(|(earliest, _)| at < earliest) {
                    ended = Some((at, index));
                }
            }
        }
        if self.order.until == StopWhen::Any {
            match ended {
                Some((_, index)) => self.look_at(index)?,
                None => self.look_at_all()?,
            }
        }
        Ok(())
    }

    pub(super) fn look_at_all(&mut self) -> Result<(), Failure> {
        for index in 0..self.watched.len() {
            if self.is_over() {
                break;
            }
            // Thousands of looks over a network take their time; each is a sign of life.
            self.world.rests(Duration::ZERO);
            self.look_at(index)?;
        }
        Ok(())
    }

    pub(super) fn look_at(&mut self, index: usize) -> Result<(), Failure> {
        // What a look before the watches has shown alive needs no second look for that.
        if self.watched[index].state == State::Open {
            self.arm_exit(index);
        }
        // A notice armed by a look may have come too late for what it is about: look once more (I2). Each round is
        // another run's notice, so the rounds are as few as runs follow each other within a look.
        for _ in 0..ROUNDS {
            if self.watched[index].state != State::Open {
                return Ok(());
            }
            match self.look_once(index, self.order.new)? {
                Some(verdict) => {
                    let verdict = self.look_closer(index, verdict)?;
                    self.hear_and_follow_up(index, verdict)?;
                }
                None => self.look_in_vain(index)?,
            }
            if self.watched[index].state != State::Open || !self.arm_exit(index) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks again at once where a file has been seen while it is written in place: a shell makes it, and fills it some
    /// microseconds later, maybe on this very processor, which it gets first. What takes longer is followed.
    fn look_closer(&mut self, index: usize, mut verdict: Verdict) -> Result<Verdict, Failure> {
        for _ in 0..CLOSER {
            let is_new = self.watched[index].is_new_to_close_looks();
            if !is_new || !matches!(verdict, Verdict::Pending { closely: true, .. }) {
                break;
            }
            if !self.is_written_soon(index) {
                break;
            }
            match self.look_once(index, self.order.new)? {
                Some(closer) => verdict = closer,
                None => break,
            }
        }
        Ok(verdict)
    }

    /// Asks what is cheap to ask until a file of the step has changed, and no longer than an undisturbed shell takes to
    /// write it.
    fn is_written_soon(&mut self, index: usize) -> bool {
        let Some(look) = self.watched[index].last_look() else { return false };
        (0..GLANCES).any(|_| {
            self.world.give_way();
            !self.world.is_unchanged(index, &look)
        })
    }

    /// The kernel could not answer, and may the next time. Nothing is judged meanwhile, so what bounds the wait is kept
    /// to here: a step that can never be looked at must not hold it for ever.
    pub(super) fn look_in_vain(&mut self, index: usize) -> Result<(), Failure> {
        let now = self.world.now();
        let Some(vain) = self.watched[index].vain.clone() else { return Ok(()) };
        // Once is nothing: it is tried again, soon at first, before that is an answer.
        let sure = vain.since.plus(SURE);
        let until = self.order.wishes.until.map_or(MonotonicTime::NEVER, |until| until.max(sure));
        let given_up = self
            .order
            .wishes
            .max_timeout
            .or(MAX_TIMEOUT)
            .map_or(MonotonicTime::NEVER, |limit| vain.since.plus(limit).max(sure));
        let pause = now.since(vain.since).max(RETRY).min(self.order.poll_interval);
        if now >= until {
            // As far as anybody knows: that it has not started would be a claim.
            let detail = format!("it cannot be looked at: {}", vain.why);
            self.answer(index, Outcome::Running, Some(detail), false);
        } else if now >= given_up {
            let (step, shown) = (&self.order.steps[index], self.world.path().display());
            return Err(Failure::Own(format!(
                "cannot look at {step} in {shown}: {}; the work was left alone",
                vain.why
            )));
        } else {
            self.look_again(index, now.plus(pause).min(until).min(given_up));
        }
        Ok(())
    }
}
