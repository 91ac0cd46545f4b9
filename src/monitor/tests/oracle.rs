//! What the answer has to be, worked out from what is true and the contract's own words, without looks and memory.
//!
//! It uses nothing of `decide`. It knows when each thing really happened and which run wrote what; the loop has only
//! snapshots, late notices and file times. An answer must have been true at some moment of the snapshot that it rests
//! on, and must not have been true and unreported for longer than the simulated delays allow.

use crate::monitor::WaitMode;
use crate::monitor::tests::script::{Change, MILLISECOND, SECOND};
use crate::monitor::tests::simulated::{State, Step};
use crate::record::outcome::Outcome;

impl Step {
    pub(super) fn is_there(&self) -> bool {
        ["pid", "heartbeat", "status", "meta"].iter().any(|name| self.files.contains_key(name))
    }

    /// The run's own end, where its status says one.
    pub(super) fn status_word(&self) -> Option<Outcome> {
        let status = self.files.get("status").filter(|status| status.run == self.run)?;
        match String::from_utf8_lossy(&status.bytes).trim().to_uppercase().as_str() {
            "SUCCESS" => Some(Outcome::Success),
            "FAILED" => Some(Outcome::Failed),
            _ => None,
        }
    }
}

impl State {
    /// The answer at this moment, and since when it has been that.
    fn truth(&self, index: usize) -> Option<(Outcome, i64)> {
        let step = &self.steps[index];
        let starting = step.lock.is_some() && !step.files.contains_key("pid") && !self.follows(index);
        let readable = self.limits.marker && (step.is_there() || self.follows(index)) && !starting;
        if let Some(at) = step.log.needle_at().filter(|at| readable && self.now >= *at) {
            return Some((Outcome::Marker, at.max(step.began).max(step.claimed.unwrap_or(i64::MIN)).max(step.absent)));
        }
        self.truth_of_run(index).map(|(outcome, since)| (self.answer_for(outcome), since))
    }

    /// With a marker a run that ends before a line matched has failed.
    fn answer_for(&self, outcome: Outcome) -> Outcome {
        if self.limits.marker && outcome == Outcome::Success { Outcome::Failed } else { outcome }
    }

    /// Whether the run's process is followed whatever becomes of its files.
    pub(super) fn follows(&self, index: usize) -> bool {
        let step = &self.steps[index];
        step.seen_alive == Some(step.run) && !step.unseen
    }

    fn truth_of_run(&self, index: usize) -> Option<(Outcome, i64)> {
        let (step, limits) = (&self.steps[index], &self.limits);
        let until = limits.until.unwrap_or(i64::MAX);
        let due = |at: i64| self.now >= at;
        if !step.is_there() && !self.follows(index) {
            let at = (step.absent.max(0) + limits.start).min(until);
            return due(at).then_some((Outcome::NotStarted, at.max(step.absent)));
        }
        let dead = self.dead(index);
        let none = i64::MAX;
        let running = due(until).then_some((Outcome::Running, until));
        if let Some(status) = step.files.get("status").filter(|status| status.run == step.run) {
            let result = step.files.get("result").filter(|result| result.run == step.run);
            let whole = result.filter(|result| serde_json::from_slice::<serde_json::Value>(&result.bytes).is_ok());
            return match step.status_word() {
                Some(Outcome::Success) => {
                    let at = whole.map_or(status.written + SECOND, |result| result.written);
                    let at = at.min(dead.unwrap_or(none)).max(status.written);
                    due(at).then_some((Outcome::Success, at))
                }
                Some(failed) => Some((step.intent.unwrap_or(failed), status.written)),
                None => {
                    let at = (status.written + 2 * SECOND).min(dead.map_or(none, |dead| dead + 200 * MILLISECOND));
                    if due(at) { Some((Outcome::Failed, at.max(status.written))) } else { running }
                }
            };
        }
        if let Some(dead) = dead {
            let at = dead + 200 * MILLISECOND;
            return due(at).then_some((step.intent.unwrap_or(Outcome::Died), at));
        }
        if step.lock.is_some() && !step.files.contains_key("pid") && !self.follows(index) {
            return running;
        }
        // Nothing tells an old one from a new one where the process cannot be seen, but its age counts from the later of
        // heartbeat and pid.
        let beat = step.files.get("heartbeat").filter(|beat| beat.run == step.run || step.unseen);
        let beat = beat.map(|beat| beat.written);
        let fresh = beat.map(|beat| step.claimed.map_or(beat, |claimed| beat.max(claimed)));
        let stale = fresh.zip(limits.stale).map_or(none, |(fresh, stale)| fresh + stale);
        let noted = step.noted.filter(|_| step.has_own_record() && !step.is_of_other_time());
        let began = noted.map(|(_, began)| began);
        let began = began.unwrap_or_else(|| step.claimed.unwrap_or(step.began));
        let over = limits.longest.map_or(none, |longest| began + longest);
        match () {
            () if due(stale) => Some((Outcome::Hung, stale)),
            () if due(over) => Some((Outcome::Timeout, over)),
            () => running,
        }
    }

    /// When the process died that the pid file names; `None` if it has not, or nobody here could know.
    fn dead(&self, index: usize) -> Option<i64> {
        let step = &self.steps[index];
        let named = step.files.get("pid").is_some_and(|pid| !pid.bytes.is_empty() && pid.run == step.run);
        let named = named || self.follows(index);
        // A lock is seen even where the process is not, but only the run's own tells of it. Nor does a process of another
        // time namespace that has the number now.
        let taken = self.processes.get(&step.pid).is_some_and(|(_, ended)| ended.is_none());
        let hidden = step.unseen || step.is_of_other_time() && taken;
        step.gone.filter(|_| named && (step.has_own_lock() || !hidden))
    }

    pub(super) fn begin_course(&mut self, index: usize) {
        let step = &mut self.steps[index];
        step.ever_seen |= step.is_there();
        let oldest = step.files.values().map(|disk| disk.written).min();
        // A run without a pid is as old as the oldest file at the first look: nobody can know more.
        if let (None, Some(oldest), false) = (step.claimed, oldest, step.known.contains(&(step.run, false))) {
            step.began = oldest;
        }
        let truth = self.truth(index);
        (self.steps[index].course, self.steps[index].looked) = (vec![truth], self.now);
    }

    /// Keeps what is true now, in the course of a look.
    pub(super) fn observe(&mut self, index: usize) {
        let truth = self.truth(index);
        self.steps[index].course.push(truth);
        let now = self.now;
        let upheaval = |since: i64| self.upheavals.iter().any(|at| (since..=now).contains(at));
        let step = &self.steps[index];
        let beat = step.files.get("heartbeat").filter(|beat| beat.run == step.run).map(|beat| beat.written);
        // Of what is seen for the first time only its age can tell, and that a set clock falsifies.
        let mut unknowable = false;
        for (what, since) in [("pid", step.claimed), ("heartbeat", beat)] {
            if let Some(since) = since {
                let first = !step.known.contains(&(step.run, what == "pid"));
                unknowable |= first && upheaval(since.min(step.began));
            }
        }
        let torn = step.files.get("status").filter(|status| status.run == step.run && step.status_word().is_none());
        if let Some(torn) = torn {
            let first = [true, false].iter().all(|what| !step.known.contains(&(step.run, *what)));
            unknowable |= first && upheaval(torn.written);
        }
        let step = &mut self.steps[index];
        step.unknowable |= unknowable;
        if step.claimed.is_some() {
            step.known.insert((step.run, true));
        }
        if beat.is_some() {
            step.known.insert((step.run, false));
        }
    }

    fn check(&self, index: usize, outcome: Outcome) {
        let step = &self.steps[index];
        if step.unknowable {
            return;
        }
        // What a set clock or a sleep lets come late, or a torn status that was first seen late, may be overtaken by the
        // next deadline.
        let torn = step.files.contains_key("status") && step.status_word().is_none();
        let overtakes = matches!(outcome, Outcome::Running | Outcome::Timeout) && (torn || !self.upheavals.is_empty());
        if let Some((late @ (Outcome::Hung | Outcome::Timeout | Outcome::Failed), since)) =
            step.course[0].filter(|_| overtakes)
            && step.looked - since <= self.excused(index, late)
        {
            return;
        }
        // Without a pid nobody can tell whose a whole status is: what the next run has written before its pid says nothing.
        // Nor whose a result is, once the pid has gone.
        let of_other = |name: &str| step.files.get(name).is_some_and(|file| file.run != step.run);
        let of_before = step.claimed.is_none() && of_other("status");
        let taken_for_its =
            outcome == self.answer_for(Outcome::Success) && !step.files.contains_key("pid") && of_other("result");
        if taken_for_its || of_before && matches!(outcome, Outcome::Success | Outcome::Failed) {
            return;
        }
        // A run that came and went between two looks was never there for the wait.
        if outcome == Outcome::NotStarted && !step.ever_seen && self.now >= self.limits.start {
            return;
        }
        // Where the wait ends anyway, a line without an end counts at once.
        if outcome == Outcome::Marker && step.log.has_needle() {
            return;
        }
        let was_true = |truth: &Option<(Outcome, i64)>| truth.is_some_and(|(true_one, _)| true_one == outcome);
        assert!(step.course.iter().any(was_true), "{outcome:?} at {} was not true: {}", self.now, self.shown(index));
        if let Some((_, since)) = step.course[0] {
            let late = step.looked - since.max(step.busy).max(step.returned);
            assert!(late <= self.excused(index, outcome), "{outcome:?} is {late} ns late: {}", self.shown(index));
        }
    }

    /// All that is known of a step, for whoever reads a failure.
    fn shown(&self, index: usize) -> String {
        let (step, limits, weather) = (&self.steps[index], self.limits, self.weather);
        let of_it = |change: &Change| matches!(change, Change::SetClock(_) | Change::Sleep(_));
        let script = self.script.iter().filter(|(_, of, change)| *of == index || of_it(change));
        #[expect(clippy::cast_precision_loss, reason = "seconds for people")]
        let lines: Vec<String> = script.map(|(at, _, what)| format!("{:13.6} {what:?}", *at as f64 / 1e9)).collect();
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.contains("Heartbeat in place")).collect();
        format!("step {index}, now {}\n{limits:?}\n{weather:?}\n{step:?}\n{}", self.now, lines.join("\n"))
    }

    /// By how much an answer may be late.
    fn excused(&self, index: usize, outcome: Outcome) -> i64 {
        let weather = self.weather;
        let mut late = 60 * MILLISECOND + weather.late;
        // A line without an end is read, and settles, before it is matched.
        late += if self.limits.marker { 100 * MILLISECOND } else { 0 };
        // A death settles from the look that shows it.
        late += if self.steps[index].gone.is_some() { 200 * MILLISECOND } else { 0 };
        if weather.polls || weather.watch_fails || weather.failing > 0 {
            late += 2 * SECOND;
        }
        if weather.failing > 0 {
            late += 5 * SECOND;
        }
        // Nor is the end of a process watched of which nothing proves that it is the run's.
        let step = &self.steps[index];
        let unproven = step.is_of_other_time() && !step.has_own_lock();
        if weather.lost > 0 || step.unnoticed || unproven {
            late += 15 * SECOND;
        }
        // What is not whole settles from the look that shows it first.
        late += if weather.lost > 0 || step.busy > 0 { 2 * SECOND } else { 0 };
        // When a beat that is seen to have changed came, a clock that was set meanwhile hides: it counts as late.
        if outcome == Outcome::Hung && !self.upheavals.is_empty() {
            late += self.limits.stale.unwrap_or(0) + 10 * SECOND;
        }
        if outcome == Outcome::Timeout {
            // A sleep since boot may have been before the run.
            late += if self.upheavals.is_empty() { 0 } else { 7200 * SECOND };
        }
        late
    }

    /// The loop ends a run, or buries it, for this reason.
    pub(super) fn acts(&mut self, index: usize, outcome: Outcome) {
        let outcome = self.answer_for(outcome);
        self.check(index, outcome);
        self.steps[index].acted = Some(outcome);
    }

    /// The loop has answered.
    pub(super) fn told(&mut self, index: usize, outcome: Outcome) {
        let step = &self.steps[index];
        // Those who have not answered when the wait is over are only said to run.
        let closing = self.over && matches!(outcome, Outcome::Running | Outcome::NotStarted);
        match step.acted {
            _ if closing => {}
            // Ended by the loop: as announced, unless it had said itself how it ended before that was done.
            Some(acted) => {
                let own = step.course.iter().flatten().any(|(own, _)| *own == outcome);
                assert!(
                    acted == outcome || own || step.unknowable || outcome == Outcome::Marker && step.log.has_needle(),
                    "{outcome:?} after {acted:?}: {}",
                    self.shown(index)
                );
            }
            None => self.check(index, outcome),
        }
        self.over |= match self.limits.ends {
            WaitMode::All => false,
            WaitMode::Any => outcome.is_end() || outcome == Outcome::Marker,
            WaitMode::FailFast => !matches!(outcome, Outcome::Success | Outcome::Running | Outcome::Marker),
        };
    }
}
