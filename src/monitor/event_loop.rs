//! One turn of the loop: the one blocking call, and where to look after it.
//!
//! Refuses to conclude anything from what woke it: a hint, an exit, a timer each only name a place to look at (I1).

use crate::decide::verdict::{Next, Verdict};
use crate::monitor::io::{Waking, World};
use crate::monitor::step_state::State;
use crate::monitor::{Due, Failure, Monitor, SAFETY_RESCAN};
use crate::record::file_names::parse_file_name;
use crate::step::terminate::Termination;
use crate::sys::signals::Signal;
use crate::sys::watch::dir::Hint;
use std::collections::BTreeSet;
use std::time::Duration;

impl<W: World> Monitor<'_, W> {
    /// One turn: sleep until something says *look*, then look there.
    pub(super) fn turn(&mut self, verbose: &mut dyn FnMut(&str)) -> Result<Option<Signal>, Failure> {
        self.schedule_rescan();
        self.schedule_glance();
        self.world.tell(verbose);
        let now = self.world.now();
        let wake = self.wheel.next_deadline();
        let rest = wake.map_or(SAFETY_RESCAN, |tick| self.origin.plus(Duration::from_millis(tick)).since(now));
        self.world.rests(rest);
        let Waking { hints, exits, grown, logs, missed, ended, interrupted } = self.world.rest(rest);
        if interrupted.is_some() {
            return Ok(interrupted);
        }
        let mut everything = missed;
        let mut places: BTreeSet<usize> = BTreeSet::new();
        for hint in hints {
            everything |= self.note(hint, &mut places);
        }
        places.extend(exits.into_iter().filter_map(|number| self.note_exit(number)).collect::<Vec<_>>());
        places.extend(grown.into_iter().filter_map(|number| self.note_growth(number)).collect::<Vec<_>>());
        if logs {
            places.extend(0..self.watched.len());
        }
        if missed {
            self.watched.iter_mut().filter_map(|watched| watched.scan.as_mut()).for_each(|scan| scan.armed = false);
        }
        let (rescan, shown) = self.note_due(&mut places);
        for (index, termination) in ended {
            self.ended(index, termination)?;
        }
        if everything || rescan {
            everything |= self.world.renew(verbose);
            if everything {
                self.look_at_all()?;
            } else {
                self.look_where_changed(&places)?;
            }
        } else {
            self.look_at_places(places)?;
        }
        if shown && !self.is_over() {
            self.show()?;
        }
        Ok(None)
    }

    /// The rescan: nothing was told, so of thousands of steps those are looked at that are not plainly as they were.
    fn look_where_changed(&mut self, places: &BTreeSet<usize>) -> Result<(), Failure> {
        for index in 0..self.watched.len() {
            if self.is_over() {
                break;
            }
            self.world.rests(Duration::ZERO);
            let is_told = places.contains(&index) || self.world.polls() || self.world.has_ended(index);
            let plain = self.watched[index].plainly_runs().filter(|_| !is_told);
            if !plain.is_some_and(|look| self.world.is_unchanged(index, look)) {
                self.look_at(index)?;
            }
        }
        Ok(())
    }

    fn look_at_places(&mut self, places: BTreeSet<usize>) -> Result<(), Failure> {
        for index in places.into_iter().filter(|&index| index < self.order.steps.len()) {
            if self.is_over() {
                break;
            }
            self.look_at(index)?;
        }
        Ok(())
    }

    /// Takes in what is due: the places to look at, and whether a rescan and a glance are.
    fn note_due(&mut self, places: &mut BTreeSet<usize>) -> (bool, bool) {
        let mut due = Vec::new();
        let tick = self.tick(self.world.now());
        self.wheel.advance(tick, &mut |what| due.push(what));
        let (mut rescan, mut glance) = (false, false);
        for what in due {
            match what {
                Due::Step(index) => {
                    self.watched[index].timer = None;
                    places.insert(index);
                }
                Due::Glance => glance = true,
                Due::Rescan => {
                    self.rescan = None;
                    rescan = true;
                }
            }
        }
        (rescan, glance)
    }

    /// Takes the notice of a process's end in: the place to look at.
    fn note_exit(&mut self, number: u64) -> Option<usize> {
        let index = usize::try_from(number).ok()?;
        self.watched.get_mut(index)?.gone = true;
        Some(index)
    }

    /// Takes the notice of a log's growth in: the place to look at.
    fn note_growth(&mut self, index: usize) -> Option<usize> {
        self.watched.get_mut(index)?.scan.as_mut()?.armed = false;
        Some(index)
    }

    /// Takes a hint in: the place to look at, or whether everything has to be.
    fn note(&self, hint: Hint, places: &mut BTreeSet<usize>) -> bool {
        match hint {
            Hint::Name(name) => {
                let step = parse_file_name(&name).map(|(step, _)| step);
                places.extend(step.and_then(|step| self.places.get(step)));
                false
            }
            Hint::Everything => true,
        }
    }

    fn ended(&mut self, index: usize, mut termination: Termination) -> Result<(), Failure> {
        let State::Ending(outcome) = self.watched[index].state else { return Ok(()) };
        self.watched[index].state = State::Open;
        self.watched[index].evidence = termination.evidence.take();
        // What stands in the files is the outcome for everybody, this waiter too: work that finished in between has
        // finished, and another terminator's word may have come first.
        let verdict = self.look_once(index, false)?;
        match verdict {
            Some(Verdict::Final(finding)) if finding.next == Next::Report && finding.outcome.is_end() => {
                let detail = termination.detail.or(finding.detail);
                self.answer(index, finding.outcome, detail, termination.killed);
            }
            // Replaced while it was being ended, and the new run is followed; or its result is still to come.
            Some(verdict @ Verdict::Pending { .. }) if termination.recorded => {
                self.watched[index].evidence = None;
                self.follow_up(index, verdict);
            }
            // The outcome stands in files that could not be read just now.
            None if termination.recorded => self.look_in_vain(index)?,
            _ => self.answer(index, outcome, termination.detail, termination.killed),
        }
        Ok(())
    }

    fn schedule_rescan(&mut self) {
        // Where it polls too: the directory may be another one by then, on another filesystem.
        if self.rescan.is_none() {
            let tick = self.tick(self.world.now().plus(SAFETY_RESCAN)).saturating_add(1);
            self.rescan = Some(self.wheel.schedule(tick, Due::Rescan));
        }
    }
}
