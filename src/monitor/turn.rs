//! One turn of the loop: the one blocking call, and where to look after it.
//!
//! Refuses to conclude anything from what woke it: a hint, an exit, a timer each only name a place to look at (I1).

use super::watched::State;
use super::{Due, Failure, Monitor, SAFETY_RESCAN};
use crate::decide::judge::{Next, Verdict};
use crate::os::events::Hint;
use crate::os::signals::Signal;
use crate::os::{apart, clock};
use crate::protocol::layout::parse_file_name;
use crate::step::look::here;
use crate::step::terminate::Termination;
use crossbeam_channel::Receiver;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

impl Monitor<'_> {
    /// One turn: sleep until something says *look*, then look there.
    pub(super) fn turn(
        &mut self,
        interrupts: &Receiver<Signal>,
        verbose: &mut dyn FnMut(&str),
    ) -> Result<Option<Signal>, Failure> {
        self.schedule_rescan();
        self.schedule_glance();
        self.senses.tell(verbose);
        let now = clock::now();
        let wake = self.wheel.next_deadline();
        let rest = wake.map_or(SAFETY_RESCAN, |tick| self.origin.plus(Duration::from_millis(tick)).since(now));
        apart::rest(rest);
        self.senses.foresee(self.order);
        let mut places: BTreeSet<usize> = BTreeSet::new();
        let mut everything = false;
        let mut ended = None;
        crossbeam_channel::select! {
            recv(self.senses.hints) -> hint => everything |= self.note(hint.ok(), &mut places),
            recv(self.senses.exits) -> number => places.extend(number.ok().and_then(|number| self.note_exit(number))),
            recv(self.senses.grown) -> number => places.extend(number.ok().and_then(|number| self.note_growth(number))),
            recv(self.senses.log_hints) -> _ => places.extend(0..self.watched.len()),
            recv(self.endings.results) -> result => ended = result.ok(),
            recv(interrupts) -> signal => if let Ok(signal) = signal { return Ok(Some(signal)) },
            default(rest) => {}
        }
        while let Ok(hint) = self.senses.hints.try_recv() {
            everything |= self.note(Some(hint), &mut places);
        }
        if self.senses.has_missed() {
            everything = true;
            self.watched.iter_mut().filter_map(|watched| watched.scan.as_mut()).for_each(|scan| scan.armed = false);
        }
        let (rescan, shown) = self.note_due(&mut places);
        if let Some((index, termination)) = ended {
            self.ended(index, termination)?;
            self.endings.next();
        }
        if everything || rescan {
            if self.senses.renew(&self.directory, verbose) {
                let here = Arc::new(here(&self.directory));
                self.watched.iter_mut().for_each(|watched| watched.stand(Arc::clone(&here)));
                everything = true;
            }
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
            apart::rest(Duration::ZERO);
            let is_told = places.contains(&index) || self.senses.polls() || self.senses.has_ended(index);
            if is_told || !self.watched[index].is_as_it_was() {
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
        let tick = self.tick(clock::now());
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
    fn note(&self, hint: Option<Hint>, places: &mut BTreeSet<usize>) -> bool {
        match hint {
            Some(Hint::Name(name)) => {
                let step = parse_file_name(&name).map(|(step, _)| step);
                places.extend(step.and_then(|step| self.places.get(step)));
                false
            }
            Some(Hint::Everything) => true,
            None => false,
        }
    }

    fn ended(&mut self, index: usize, mut termination: Termination) -> Result<(), Failure> {
        let State::Ending(outcome) = self.watched[index].state else { return Ok(()) };
        self.watched[index].state = State::Open;
        self.watched[index].evidence = termination.evidence.take();
        // What stands in the files is the outcome for everybody, this waiter too: work that finished in between has
        // finished, and another terminator's word may have come first.
        let verdict = self.watched[index].look(&self.order.wishes, false)?;
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
            _ => self.answer(index, outcome, termination.detail, termination.killed),
        }
        Ok(())
    }

    fn schedule_rescan(&mut self) {
        // Where it polls too: the directory may be another one by then, on another filesystem.
        if self.rescan.is_none() {
            let tick = self.tick(clock::now().plus(SAFETY_RESCAN)).saturating_add(1);
            self.rescan = Some(self.wheel.schedule(tick, Due::Rescan));
        }
    }
}
