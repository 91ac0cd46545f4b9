//! Hours in minutes: runs and waits by the thousand. Wrappers, waiters and children are killed and stopped at any moment,
//! and files of the step are stolen meanwhile.
//!
//! Each life of a step is made up of random numbers, and what may come of it is known before: its end is told right, or,
//! where nothing is left that knows it, as a death. At the end nothing is left: no process, no temporary file, no held
//! lock, no open descriptor. `DOGWATCH_SOAK_SECONDS` says for how long (30), `DOGWATCH_SOAK_SEED` with which numbers; both
//! are printed. Lateness is no failure: the machine is meant to be overloaded.
//!
//! On Linux only: what is left is looked for in procfs, and the trees take setsid(1).

#![cfg(target_os = "linux")]

mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use support::thief::{self, Loot};
use support::{Dice, Ended, Place, Running, any_moment_within, folder, lives, marked, unique, until};

/// How many lives go on at once.
const AT_ONCE: u64 = 8;
/// How many names each of them uses in turn.
const NAMES: u64 = 4;

/// What COMMAND does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// Writes a result and succeeds.
    Succeeds,
    /// Fails with a code of its own.
    Fails(u8),
    /// Works on until somebody ends it, with a tree below it.
    GoesOn,
    /// As that, but without a beat.
    Hangs,
    /// As that, with a limit of its own.
    Overdue,
}

/// What is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    None,
    /// SIGKILL to the wrapper.
    Wrapper,
    /// SIGKILL to COMMAND.
    Command,
    /// SIGKILL to a waiter.
    Waiter,
    /// TERM to the wrapper.
    Term,
    /// `dogwatch kill`.
    Asked,
}

/// Who is stopped for a while.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Wrapper,
    Command,
    Waiter,
}

/// Where the lives go on: the monitor directory, and a folder for copies of earlier runs' files.
struct Grounds {
    place: Place,
    old: tempfile::TempDir,
}

#[derive(Default)]
struct Tally {
    lives: u64,
    waits: u64,
    blows: BTreeMap<String, u64>,
    thefts: BTreeMap<String, u64>,
    stops: BTreeMap<String, u64>,
    outcomes: BTreeMap<String, u64>,
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: {text}")))
}

#[test]
fn thousands_of_runs_and_waits_under_random_kills_end_right_and_leave_nothing() {
    let seconds = number("DOGWATCH_SOAK_SECONDS", 30);
    let seed = number("DOGWATCH_SOAK_SEED", u64::from(std::process::id()));
    println!("soak of {seconds} s; again by DOGWATCH_SOAK_SEED={seed} DOGWATCH_SOAK_SECONDS={seconds}");
    let grounds = Grounds { place: Place::new(), old: folder() };
    // What is opened once and kept is no leak: the first life of all comes before the count.
    live(&grounds, "first", &mut Dice::new(seed), &Mutex::default());
    let descriptors = open_descriptors();
    let (until_then, tally) = (Instant::now() + Duration::from_secs(seconds), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            let (grounds, tally) = (&grounds, &tally);
            scope.spawn(move || {
                let mut dice = Dice::new(seed.wrapping_mul(1000) + lane + 1);
                while Instant::now() < until_then {
                    let step = format!("lane{lane}.{}", dice.below(NAMES));
                    live(grounds, &step, &mut dice, tally);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no lane has failed");
    println!("{} runs, {} waits; blows {:?}; thefts {:?}", tally.lives, tally.waits, tally.blows, tally.thefts);
    println!("stops {:?}; outcomes {:?}", tally.stops, tally.outcomes);
    leaves_nothing(&grounds.place);
    assert_eq!(open_descriptors(), descriptors, "descriptors of this process");
    assert!(tally.lives > 0 && tally.outcomes.len() >= 2, "it did not soak: {:?}", tally.outcomes);
}

/// One life of a step, from its start to its recorded end.
fn live(grounds: &Grounds, step: &str, dice: &mut Dice, tally: &Mutex<Tally>) {
    let place = &grounds.place;
    let code = u8::try_from(1 + dice.below(120)).expect("a code");
    let works = [Work::Succeeds, Work::Succeeds, Work::Fails(code), Work::GoesOn, Work::Hangs, Work::Overdue];
    let blows = [Blow::None, Blow::Wrapper, Blow::Wrapper, Blow::Command, Blow::Waiter, Blow::Term, Blow::Asked];
    let stops = [None, None, None, Some(Stop::Wrapper), Some(Stop::Command), Some(Stop::Waiter)];
    let (work, mut blow, stop) = (dice.pick(&works), dice.pick(&blows), dice.pick(&stops));
    if work == Work::GoesOn && matches!(blow, Blow::None | Blow::Waiter) {
        blow = Blow::Asked;
    }
    let token = unique();
    let mut waiters: Vec<Running> = (0..dice.below(3)).map(|_| waiting(place, step)).collect();
    let mut run = start(place, step, work, &token);
    any_moment_within(dice, 150);
    waiters.extend((0..=dice.below(2)).map(|_| waiting(place, step)));
    let waits = waiters.len() as u64;
    any_moment_within(dice, 50);
    let stopped = stop.and_then(|stop| pause(place, step, stop, &mut run, &waiters));
    let thefts = dice.below(6).saturating_sub(3);
    let has_started = |wrapper: i32| {
        std::fs::read_to_string(place.file(&format!("{step}.pid"))).is_ok_and(|pid| pid == format!("{wrapper}\n"))
    };
    let working = child(place, step, run.pid()).filter(|_| has_started(run.pid()));
    let loot = Loot::take(place, step, &grounds.old.path().join(step), dice, thefts);
    let during_work = working.is_some_and(lives);
    let struck = strike(place, step, blow, &mut run, &mut waiters);
    if let Some(process) = stopped {
        any_moment_within(dice, 300);
        resume(process);
    }
    let context = format!("{step}, {work:?} under {blow:?} (struck: {struck}), {stop:?}, {loot:?}");
    // The blow may have come before there was anybody to take it: what goes on for ever is asked until it ends.
    until(&format!("it can be ended: {context}"), || {
        if work == Work::GoesOn && !run.has_ended() {
            asks(place, step);
        }
        work != Work::GoesOn || run.has_ended()
    });
    until(&format!("it ends: {context}"), || run.has_ended());
    let life = Life { work, blow, struck, loot, during_work, token: &token, run: run.end() };
    let outcome = life.end(grounds, step, waiters, &context);
    count(tally, &life, stop.filter(|_| stopped.is_some()), &outcome, waits);
}

/// What came of one life.
struct Life<'token> {
    work: Work,
    blow: Blow,
    /// Whether there was anybody to take the blow.
    struck: bool,
    loot: Loot,
    /// Whether COMMAND was seen to run before and after the thefts: the wrapper tells its end after them.
    during_work: bool,
    token: &'token str,
    run: Ended,
}

impl Life<'_> {
    /// Whether the wrapper could not record the end. One whose pid or record was stolen and not yet written again is
    /// ended by `kill` as a plain shell is, by KILL where it takes longer than the grace.
    fn is_wrapper_killed(&self) -> bool {
        let is_hidden = self.loot.forges() || self.loot.hides_wrapper();
        let by_kill = self.blow == Blow::Asked && is_hidden && self.run.code == 137;
        self.struck && (self.blow == Blow::Wrapper || by_kill)
    }

    /// Whether the wrapper knew its end and recorded it after the last theft.
    fn is_known(&self) -> bool {
        self.loot.0.is_empty() || self.during_work && !self.is_wrapper_killed()
    }

    /// Holds what is told of the end against what came to pass; the outcome.
    fn end(&self, grounds: &Grounds, step: &str, waiters: Vec<Running>, context: &str) -> String {
        let (place, token) = (&grounds.place, self.token);
        let context = format!("{context}: {token}, run {:?}", self.run);
        let forget = || {
            // What nothing names any more may live elsewhere for as long as its heartbeat is fresh: no run starts beside it.
            if !self.is_known() {
                let _gone = std::fs::remove_file(place.file(&format!("{step}.heartbeat")));
                // An empty pid file is a plain shell's that is about to write it, as far as anybody can tell.
                let pid = place.file(&format!("{step}.pid"));
                if pid.metadata().is_ok_and(|file| file.len() == 0) {
                    std::fs::remove_file(pid).expect("a file of the run's");
                }
                support::end_marked(&format!("SOAK_TOKEN={token}"));
            }
        };
        // A wrapper that was killed before its pid stood has made no run, and of one whose files were stolen as well
        // nothing may be left that names it.
        let stands = meta(place, step).is_some_and(|meta| meta["command"].to_string().contains(token));
        if !stands || !place.file(&format!("{step}.pid")).exists() {
            assert!(
                self.is_wrapper_killed() || !self.is_known() || self.blow == Blow::Term,
                "no run stands: {context}"
            );
            drop(waiters);
            forget();
            let run = || place.dogwatch(["run", step, "--no-breaker", "--heartbeat-interval", "50ms", "--", "true"]);
            let again = self.answer(place, step, &context, run);
            assert_eq!(again.code, 0, "{again:?}: {context}");
            return "unstarted".to_owned();
        }
        let recover = || asked(place, ["recover", step, "--json", "--start-timeout", "5s"]).end();
        let last = self.answer(place, step, &context, recover);
        let context = format!("{context}, last {last:?}");
        let outcome = last.json()["outcome"].as_str().unwrap_or_else(|| panic!("no outcome: {context}")).to_owned();
        self.is_told(&last, &outcome, step, &context, place);
        // All say the same. One that came before the run may have heard of the end of the run before.
        for mut waiter in waiters {
            until(&format!("a waiter ends: {context}"), || waiter.has_ended());
            let heard = waiter.end();
            // Nothing says at its limit which process to end while its pid is stolen and its wrapper stopped: it goes on, and
            // what is told then is no end.
            let goes_on = heard.json()["action"] == "kill" && self.loot.has(&format!("{step}.pid"), step);
            if self.is_known() && !goes_on && heard.json()["run_id"] == last.json()["run_id"] {
                assert_eq!(
                    (heard.code, heard.json()["outcome"].as_str()),
                    (last.code, Some(&*outcome)),
                    "{heard:?} {context}"
                );
            }
        }
        let left = marked(&format!("SOAK_TOKEN={token}"));
        assert!(left.is_empty() || !self.is_known(), "{left:?} live on: {context}");
        forget();
        thief::keep(place, step, &grounds.old.path().join(step));
        outcome
    }

    /// Asks, and once more where the thief left nothing readable that tells of the end, after doing what the answer says.
    fn answer(&self, place: &Place, step: &str, context: &str, ask: impl Fn() -> Ended) -> Ended {
        let answer = ask();
        let said = format!("{}{}", answer.stdout, answer.stderr);
        if answer.code != 125 || !said.contains("permission denied; call as the user who owns it, or chmod +r it") {
            return answer;
        }
        assert!(self.loot.denies() && !self.is_known(), "{answer:?}: {context}");
        thief::give_back(place, step);
        ask()
    }

    fn is_told(&self, last: &Ended, outcome: &str, step: &str, context: &str, place: &Place) {
        if self.loot.forges() && !self.is_known() {
            // What stands there now is another run's, as far as anybody can tell.
            return;
        }
        let natural = match self.work {
            Work::Succeeds => "success",
            Work::Fails(_) | Work::GoesOn => "failed",
            Work::Hangs => "hung",
            Work::Overdue => "timeout",
        };
        let by_blow = match self.blow {
            Blow::Wrapper if self.struck => Some("died"),
            Blow::Command | Blow::Term | Blow::Asked if self.struck => Some("failed"),
            Blow::None | Blow::Wrapper | Blow::Command | Blow::Waiter | Blow::Term | Blow::Asked => None,
        };
        // Where no file says any more which process it was, a heartbeat that has stopped is all that is known.
        let is_unknown = !self.is_known() && matches!(outcome, "died" | "hung");
        assert!(outcome == natural || Some(outcome) == by_blow || is_unknown, "{context}");
        let done = place.file(&format!("done-{}", self.token)).exists();
        assert!(outcome != "success" || done, "a success of work that was not done: {context}");
        if outcome == "success" && !self.loot.has(&format!("{step}.result"), step) {
            assert_eq!(last.json()["result"]["token"].as_str(), Some(self.token), "{context}");
        }
        if let (Work::Fails(code), "failed", None) = (self.work, outcome, by_blow) {
            assert_eq!(
                (last.json()["exit_code"].as_u64(), self.run.code),
                (Some(code.into()), code.into()),
                "{context}"
            );
        }
    }
}

fn count(tally: &Mutex<Tally>, life: &Life<'_>, stop: Option<Stop>, outcome: &str, waits: u64) {
    let mut tally = tally.lock().expect("no lane has failed");
    tally.lives += 1;
    tally.waits += waits;
    *tally.blows.entry(format!("{:?}", life.blow)).or_default() += 1;
    for (theft, _) in &life.loot.0 {
        *tally.thefts.entry(format!("{theft:?}")).or_default() += 1;
    }
    if let Some(stop) = stop {
        *tally.stops.entry(format!("{stop:?}")).or_default() += 1;
    }
    *tally.outcomes.entry(outcome.to_owned()).or_default() += 1;
}

fn meta(place: &Place, step: &str) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(place.file(&format!("{step}.meta"))).ok()?).ok()
}

fn waiting(place: &Place, step: &str) -> Running {
    let bounds = ["--grace", "300ms", "--log-tail", "0", "--start-timeout", "5s"];
    asked(place, ["wait", step, "--json"].into_iter().chain(bounds))
}

/// The binary with all signals at their defaults. Where the record of a run was stolen, its staleness is: this holds then.
fn asked<'a>(place: &Place, arguments: impl IntoIterator<Item = &'a str>) -> Running {
    let prefix = ["env", "--default-signal=HUP,INT,QUIT,TERM,USR1,USR2", "DOGWATCH_STALE=20s"];
    Running::start(place.through(&prefix, arguments))
}

fn start(place: &Place, step: &str, work: Work, token: &str) -> Running {
    let tree = "(setsid sleep 300 &) ; sleep 300 & ";
    let script = match work {
        Work::Succeeds => r#"sleep 0.0$2; echo '{"token":"'$1'"}' >"$DOGWATCH_RESULT"; : >done-$1"#.to_owned(),
        Work::Fails(code) => format!("echo some output; sleep 0.0$2; exit {code}"),
        Work::GoesOn | Work::Overdue => format!("{tree} while :; do echo line; sleep 0.05; done"),
        Work::Hangs => format!("{tree} sleep 300"),
    };
    let mut arguments = vec!["run", step, "--no-breaker"];
    match work {
        Work::Hangs => arguments.extend(["--heartbeat-on", "manual", "--stale", "400ms"]),
        Work::Overdue => arguments.extend(["--max-timeout", "300ms", "--heartbeat-interval", "50ms"]),
        Work::Succeeds | Work::Fails(_) | Work::GoesOn => arguments.extend(["--heartbeat-interval", "50ms"]),
    }
    let pause = (token.len() * 7 % 90 + 10).to_string();
    arguments.extend(["--", "sh", "-c", &script, "sh", token, &pause]);
    let mut command = place.command(arguments);
    command.env("SOAK_TOKEN", token).current_dir(place.path());
    Running::start(command)
}

/// Deals the blow; whether there was anybody to take it.
fn strike(place: &Place, step: &str, blow: Blow, run: &mut Running, waiters: &mut Vec<Running>) -> bool {
    match blow {
        Blow::None => false,
        // It is this process's own child, not yet reaped: its number is nobody else's.
        Blow::Wrapper => !run.has_ended() && send("KILL", run.pid()),
        Blow::Term => !run.has_ended() && send("TERM", run.pid()),
        Blow::Waiter => {
            let Some(waiter) = waiters.pop() else { return false };
            // Dropping it kills it.
            drop(waiter);
            true
        }
        Blow::Command => child(place, step, run.pid()).is_some_and(|child| send("KILL", child)),
        Blow::Asked => asks(place, step),
    }
}

fn send(signal: &str, pid: i32) -> bool {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([format!("-{signal}"), pid.to_string()]).stderr(Stdio::null()).status();
    sent.is_ok_and(|status| status.success())
}

/// COMMAND's pid. Of an earlier run's child nothing is left; of this one's the parent must be this run.
fn child(place: &Place, step: &str, wrapper: i32) -> Option<i32> {
    let child = meta(place, step)?["child_pid"].as_i64()?;
    i32::try_from(child).ok().filter(|&child| parent(child) == Some(wrapper))
}

/// Stops a process; which.
fn pause(place: &Place, step: &str, stop: Stop, run: &mut Running, waiters: &[Running]) -> Option<(i32, u64)> {
    if run.has_ended() {
        return None;
    }
    let pid = match stop {
        Stop::Wrapper => Some(run.pid()),
        Stop::Command => child(place, step, run.pid()),
        // Not the last, which a blow may kill.
        Stop::Waiter => waiters.split_last().and_then(|(_, others)| others.first()).map(Running::pid),
    };
    pid.filter(|&pid| send("STOP", pid)).and_then(|pid| Some((pid, started(pid)?)))
}

/// Lets it go on, unless it has gone: its number may be another's then.
fn resume((pid, start): (i32, u64)) {
    if started(pid) == Some(start) {
        send("CONT", pid);
    }
}

/// Asks for the end of whatever run stands there; whether that was carried out, or there was nothing to do.
fn asks(place: &Place, step: &str) -> bool {
    place.dogwatch(["kill", step, "--grace", "300ms"]).code == 0
}

fn parent(pid: i32) -> Option<i32> {
    stat(pid, 4)
}

/// When a process started, in the kernel's ticks.
fn started(pid: i32) -> Option<u64> {
    stat(pid, 22)
}

/// A field of `/proc/PID/stat`, by its number in proc(5).
fn stat<T: std::str::FromStr>(pid: i32, field: usize) -> Option<T> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(field - 3)?.parse().ok()
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Whatever was started here has gone, and of the files only what stays for ever is there.
fn leaves_nothing(place: &Place) {
    let inside = |path: &Path| path.starts_with(place.path());
    let holders = || {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let other = entries.filter(|entry| entry.file_name() != std::process::id().to_string().as_str());
        let links = other.flat_map(|entry| std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten());
        links.filter(|link| link.path().read_link().is_ok_and(|target| inside(&target))).count()
    };
    // Who keeps an outcome for the disk is no part of a run, and gone as soon as the disk has answered.
    until("nobody holds a file of the place open", || holders() == 0);
    let steps: Vec<String> = place
        .snapshot()
        .into_iter()
        .filter_map(|(name, ..)| Some(name.strip_suffix(".lock").filter(|step| !step.starts_with('.'))?.to_owned()))
        .collect();
    for step in &steps {
        thief::give_back(place, step);
        let lock = std::fs::File::open(place.file(&format!("{step}.lock"))).expect("a lock file");
        assert!(lock.try_lock().is_ok(), "{step}.lock is held although nothing runs");
    }
    let cleaned = place.dogwatch(["clean", "--older-than", "0s"]);
    assert_eq!(cleaned.code, 0, "{cleaned:?}");
    let stays = |name: &str| {
        name.starts_with("done-") || [".lock", ".record", ".breaker"].iter().any(|suffix| name.ends_with(suffix))
    };
    let left: Vec<String> = place.snapshot().into_iter().map(|(name, ..)| name).filter(|name| !stays(name)).collect();
    assert!(left.is_empty(), "{left:?}");
    let folder = place.path().metadata().expect("the place");
    assert!(folder.nlink() >= 2, "the place itself stays");
}
