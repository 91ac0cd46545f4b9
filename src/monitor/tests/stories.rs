//! Random histories: runs of plain shells and of `dogwatch run` that start, beat, end, tear, vanish, die and are replaced.
//!
//! A left-over file and a new run within the slack that the contract allows for clocks cannot be told apart, so no
//! history contains them.

use crate::monitor::WaitMode;
use crate::monitor::tests::places::Place;
use crate::monitor::tests::script::{Change, Limits, MILLISECOND, Random, SECOND, Weather};
use crate::monitor::tests::simulated::State;
use crate::record::file_names::Record;
use crate::record::outcome::Reason;

/// How late a script goes on.
const LAST: i64 = 400 * SECOND;

/// One history.
pub(super) fn history(random: &mut Random) -> State {
    let patience = random.between(1, 200 * SECOND);
    let limits = Limits {
        stale: random.one_of(&[None, Some(60 * SECOND), Some(21 * SECOND), Some(3 * SECOND)]),
        longest: random.one_of(&[Some(1800 * SECOND), Some(1800 * SECOND), Some(90 * SECOND), Some(20 * SECOND)]),
        start: random.one_of(&[60 * SECOND, 5 * SECOND]),
        until: random.one_of(&[None, None, Some(patience)]),
        ends: random.one_of(&[WaitMode::All, WaitMode::All, WaitMode::Any, WaitMode::FailFast]),
        marker: random.happens(30),
    };
    let bad = Weather {
        lost: random.one_of(&[0, 0, 20, 100]),
        doubled: random.one_of(&[0, 30]),
        late: random.one_of(&[0, 0, 5 * MILLISECOND, 3 * SECOND]),
        failing: random.one_of(&[0, 0, 0, 5]),
        polls: random.happens(10),
        watch_fails: random.happens(10),
    };
    let weather = if random.happens(50) { Weather::default() } else { bad };
    let upheaval = random.happens(40);
    let steps = random.one_of(&[1, 1, 2, 4]);
    let mut teller =
        Teller { random, script: Vec::new(), limits, upheaval, steps, step: 0, places: Vec::new(), run: 0, pid: 100 };
    for step in 0..steps {
        teller.step = step;
        teller.tell();
    }
    if upheaval {
        // Two that fall between two looks could hide each other from anybody.
        let mut at = 0;
        for _ in 0..teller.random.between(1, 3) {
            at += teller.random.between(130 * SECOND, 200 * SECOND) * i64::from(at > 0)
                + teller.random.between(1, 60 * SECOND);
            let span = teller.random.one_of(&[SECOND, 5 * SECOND, 19 * SECOND, 3600 * SECOND]);
            let set = teller.random.one_of(&[-1, 1]) * span;
            let change = if teller.random.happens(70) { Change::SetClock(set) } else { Change::Sleep(span) };
            teller.script.push((at, 0, change));
        }
    }
    let (mut script, places) = (teller.script, teller.places);
    // A stable sort: what is written one after the other stays so.
    script.sort_by_key(|(at, ..)| *at);
    let mut state = State::new(steps, limits, weather, Random::new(random.between(0, i64::MAX).unsigned_abs()));
    for step in &mut state.steps {
        step.unseen = random.happens(8);
    }
    for (step, place, time_ahead) in places {
        (state.steps[step].place, state.steps[step].time_ahead) = (place, time_ahead);
    }
    state.script = script;
    state.advance(0, None);
    state
}

/// Puts the script together.
struct Teller<'random> {
    random: &'random mut Random,
    script: Vec<(i64, usize, Change)>,
    limits: Limits,
    upheaval: bool,
    steps: usize,
    step: usize,
    /// Where the files of a step lie, and how far its time namespace is ahead.
    places: Vec<(usize, Place, i64)>,
    run: u32,
    pid: i32,
}

impl Teller<'_> {
    fn at(&mut self, at: i64, change: Change) {
        self.script.push((at, self.step, change));
    }

    fn write(&mut self, at: i64, record: Record, text: &str, whole: bool) {
        let change = Change::Write { record, bytes: text.as_bytes().to_vec(), run: self.run, whole };
        self.at(at, change);
    }

    /// Writes as a shell does: now and then in place, now and then in pieces. When it is complete.
    fn torn(&mut self, at: i64, record: Record, text: &str, patience: i64) -> i64 {
        if self.random.happens(50) {
            let whole = self.random.happens(70);
            self.write(at, record, text, whole);
            return at;
        }
        let mut end = at;
        for cut in [0, text.len() / 2] {
            self.write(end, record, &text[..cut], false);
            end += self.random.between(1, patience);
        }
        self.write(end, record, text, false);
        end
    }

    /// One step's: one run, or two.
    fn tell(&mut self) {
        if self.random.happens(8) {
            return self.copied_run();
        }
        let ours = self.random.happens(40);
        if ours {
            let place = if self.random.happens(15) { Place::Mount } else { Place::Own };
            let time_ahead = self.time_ahead();
            self.places.push((self.step, place, time_ahead));
        }
        let mut at = self.random.between(-100 * SECOND, 20 * SECOND);
        let replaced = self.random.happens(30) && (ours || !self.upheaval);
        let runs = if replaced { 2 } else { 1 };
        for number in 0..runs {
            (self.run, self.pid) = (self.run + 1, self.pid + 1);
            at = if ours { self.our_run(at, number > 0) } else { self.shell_run(at, number > 0) };
            at += self.random.between(3 * SECOND, 30 * SECOND);
        }
        let began = self.script.iter().filter(|(_, step, _)| *step == self.step).map(|(at, ..)| *at).min();
        if let (true, Some(began)) = (self.limits.marker, began) {
            self.logs(began, at);
        }
        if let (true, Some(began)) = (self.random.happens(6) && !replaced, began) {
            // A cleaner comes by, or the whole directory goes away.
            let cleaned = self.random.between(began, at + 1);
            for record in [Record::Status, Record::Heartbeat, Record::Result, Record::Pid, Record::Meta] {
                self.at(cleaned, Change::Remove(record));
            }
        }
        if self.random.happens(8) {
            for record in [Record::Status, Record::Heartbeat, Record::Result, Record::Pid, Record::Meta] {
                self.at(at, Change::Remove(record));
            }
        }
    }

    fn time_ahead(&mut self) -> i64 {
        let days = 86_400 * SECOND;
        if self.random.happens(15) { self.random.one_of(&[-1, 1]) * self.random.between(1, 100 * days) } else { 0 }
    }

    /// A run in another directory, and the copy that is made of its files while it goes on, or when it is over.
    fn copied_run(&mut self) {
        let to = self.step;
        self.step += self.steps;
        let time_ahead = self.time_ahead();
        self.places.push((self.step, Place::Copy, time_ahead));
        (self.run, self.pid) = (self.run + 1, self.pid + 1);
        let start = self.random.between(-100 * SECOND, 20 * SECOND);
        let over = self.our_run(start, false);
        // Its files are there within ten milliseconds. Beside a new process of that number a copy without times tells nothing.
        let copied = self.random.between(start + 10 * MILLISECOND, over + 3 * SECOND);
        let keeps_times = self.random.happens(60);
        self.at(copied, Change::Copy { to, keeps_times });
    }

    /// The lock file goes, and maybe another process makes it anew, holds it and lets it go. Maybe the run sees that.
    fn lost_lock(&mut self, from: i64, to: i64, start: i64) {
        let mut at = self.random.between(from, to);
        let replaced = self.random.one_of(&[None, Some(false), Some(true)]);
        self.at(at, Change::LoseLock { replaced });
        if replaced == Some(true) {
            at = self.random.between(at, to);
            let replaced = self.random.one_of(&[None, Some(false)]);
            self.at(at, Change::LoseLock { replaced });
        }
        if self.random.happens(50) {
            at = self.random.between(at, to);
            self.at(at, Change::Take(self.pid));
            self.at(at + 1, Change::Meta { pid: self.pid, run: self.run, began: start, reason: None });
        }
    }

    /// What the step logs meanwhile: lines without the needle, and maybe one with it, in one of the forms that count.
    fn logs(&mut self, from: i64, to: i64) {
        let mut at = from;
        for _ in 0..self.random.between(0, 6) {
            at = self.random.between(at, to + 1);
            let text = self.random.one_of(&["a line\n", "10%\r", "\u{1b}[1mneed\u{1b}[0m\n", "cut ", "\n\n"]);
            self.at(at, Change::Log(text));
            if self.random.happens(15) {
                self.at(at, Change::LogCut);
            }
        }
        if self.random.happens(60) {
            let form = self.random.one_of(&[
                &["needle\n"][..],
                &["nee", "dle", "\n"],
                &["\u{1b}[32mnee\u{1b}[1mdle\u{1b}[0m\r\n"],
                &["needle> "],
                &["a needle\r", "b"],
            ]);
            at = self.random.between(at, to + 1);
            for text in form {
                self.at(at, Change::Log(text));
                at += self.random.between(0, 200 * MILLISECOND);
            }
        }
    }

    /// From here to there it beats.
    fn beats(&mut self, from: i64, to: i64) {
        let least = self.limits.stale.unwrap_or(60 * SECOND) / 3 - SECOND / 5;
        let mut at = from;
        while at < to {
            let whole = at == from;
            self.write(at, Record::Heartbeat, "", whole);
            at += self.random.between(least / 2, least + 1);
        }
    }

    /// A plain shell's run. When it is over.
    fn shell_run(&mut self, start: i64, replaces: bool) -> i64 {
        let end = start + self.random.between(10 * MILLISECOND, 200 * SECOND);
        let pid = self.pid;
        self.at(start, Change::Start(pid));
        let claimed = start + self.random.between(0, 50 * MILLISECOND);
        let late = self.random.happens(10) && !self.upheaval && !replaces;
        let claimed = if late { (claimed + 3 * SECOND).min(end - 1) } else { claimed };
        // Without a pid nothing tells it from the run before.
        let claims = replaces || self.random.happens(90);
        if claims {
            if self.random.happens(30) {
                self.write(claimed, Record::Pid, "", false);
            }
            self.write(claimed + 1000, Record::Pid, &format!("{pid}\n"), false);
        }
        let beats = self.random.happens(80);
        let hangs = beats && self.random.happens(25);
        if beats {
            let until = if hangs { start + self.random.between(1, end - start + 1) } else { end };
            self.beats(start, until);
        }
        let over = if hangs { end + 200 * SECOND } else { end };
        self.shell_end(over)
    }

    fn shell_end(&mut self, end: i64) -> i64 {
        let pid = self.pid;
        match self.random.between(0, 10) {
            // It succeeds; the result comes first or second, or never.
            0..=3 => {
                let order = self.random.between(0, 3);
                let mut at = end;
                if order == 0 {
                    at = self.torn(end, Record::Result, "{\"a\":1}", 300 * MILLISECOND);
                }
                at = self.torn(at + 1, Record::Status, "SUCCESS\n", 900 * MILLISECOND);
                if order == 1 {
                    let second = at + self.random.between(1, 300 * MILLISECOND);
                    at = self.torn(second, Record::Result, "{\"a\":1}", 300 * MILLISECOND);
                }
                if self.random.happens(30) {
                    self.at(at + 1, Change::Remove(Record::Pid));
                }
                self.exit(at)
            }
            4 | 5 => {
                let text = self.random.one_of(&["FAILED\n", "failed", " Failed \r\n"]);
                let at = self.torn(end, Record::Status, text, 900 * MILLISECOND);
                self.exit(at)
            }
            // It dies, and now and then a status follows so soon that it is none.
            6 | 7 => {
                self.at(end, Change::Exit(pid));
                if self.random.happens(40) {
                    let after = end + self.random.between(1, 400 * MILLISECOND);
                    let text = self.random.one_of(&["SUCCESS\n", "FAILED\n", "", "SUC"]);
                    self.write(after, Record::Status, text, true);
                }
                if self.random.happens(30) && !self.upheaval {
                    self.at(end + 5 * SECOND, Change::Start(pid));
                }
                end
            }
            // What stands there is no status.
            8 => {
                let text = self.random.one_of(&["DONE\n", "", "SUC", "\0\u{1}"]);
                self.write(end, Record::Status, text, false);
                if self.random.happens(50) { self.exit(end) } else { end }
            }
            // It lives on.
            _ => end.max(LAST),
        }
    }

    fn exit(&mut self, at: i64) -> i64 {
        let after = at + self.random.between(1, 100 * MILLISECOND);
        let pid = self.pid;
        self.at(after, Change::Exit(pid));
        after
    }

    /// A run of this program, which clears the place first and publishes in its own order. When it is over.
    fn our_run(&mut self, start: i64, cleared: bool) -> i64 {
        let pid = self.pid;
        let mut at = start;
        let mut soon = |random: &mut Random| {
            at += random.between(1, 3 * MILLISECOND);
            at
        };
        self.at(start, Change::Start(pid));
        self.at(start, Change::Take(pid));
        if cleared {
            for record in [Record::Pid, Record::Status, Record::Result, Record::Heartbeat, Record::Meta] {
                let at = soon(self.random);
                self.at(at, Change::Remove(record));
            }
        }
        let (meta_at, beat_at, pid_at) = (soon(self.random), soon(self.random), soon(self.random));
        let end = pid_at + self.random.between(10 * MILLISECOND, 200 * SECOND);
        self.at(meta_at, Change::Meta { pid, run: self.run, began: start, reason: None });
        let hangs = self.random.happens(25);
        let until = if hangs { beat_at + self.random.between(1, end - beat_at) } else { end };
        self.beats(beat_at, until);
        self.write(pid_at, Record::Pid, &format!("{pid}\n"), true);
        let mut at = if hangs { end + 200 * SECOND } else { end };
        if self.random.happens(20) {
            self.lost_lock(pid_at + 1, at - 1, start);
        }
        match self.random.between(0, 10) {
            0..=6 => {
                let succeeds = self.random.happens(60);
                if succeeds {
                    self.write(at, Record::Result, "{\"exit_code\":0}", true);
                }
                at += self.random.between(1, 3 * MILLISECOND);
                let reason = Some(if succeeds { Reason::Success } else { Reason::Failed });
                self.at(at, Change::Meta { pid, run: self.run, began: start, reason });
                // Killed between the two: whoever comes next publishes what it recorded.
                if self.random.happens(10) {
                    return self.exit(at);
                }
                at += self.random.between(1, 3 * MILLISECOND);
                self.write(at, Record::Status, if succeeds { "SUCCESS\n" } else { "FAILED\n" }, true);
                self.exit(at)
            }
            7 | 8 => {
                self.at(at, Change::Exit(pid));
                if self.random.happens(30) {
                    self.at(at + 5 * SECOND, Change::Start(pid));
                }
                at
            }
            _ => at.max(LAST),
        }
    }
}
