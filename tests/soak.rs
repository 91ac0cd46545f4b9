//! Hours in minutes: runs and waits by the thousand, with wrappers, waiters and children killed at any moment.
//!
//! Each life of a step is made up of random numbers, and what may come of it is known before. At the end nothing is left:
//! no process, no temporary file, no held lock, no open descriptor. `DOGWATCH_SOAK_SECONDS` says for how long (30),
//! `DOGWATCH_SOAK_SEED` with which numbers; both are printed. Refuses to judge by time: how late an answer is says
//! nothing on a machine that is meant to be overloaded.
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
use support::{Dice, Ended, Place, Running, any_moment_within, marked, unique, until};

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

#[derive(Default)]
struct Tally {
    lives: u64,
    waits: u64,
    blows: BTreeMap<String, u64>,
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
    let place = Place::new();
    // What is opened once and kept is no leak: the first life of all comes before the count.
    live(&place, "first", &mut Dice::new(seed), &Mutex::default());
    let descriptors = open_descriptors();
    let (until_then, tally) = (Instant::now() + Duration::from_secs(seconds), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            let (place, tally) = (&place, &tally);
            scope.spawn(move || {
                let mut dice = Dice::new(seed.wrapping_mul(1000) + lane + 1);
                while Instant::now() < until_then {
                    let step = format!("lane{lane}.{}", dice.below(NAMES));
                    live(place, &step, &mut dice, tally);
                }
            });
        }
    });
    let tally = tally.into_inner().expect("no lane has failed");
    println!("{} runs, {} waits; blows {:?}; outcomes {:?}", tally.lives, tally.waits, tally.blows, tally.outcomes);
    leaves_nothing(&place);
    assert_eq!(open_descriptors(), descriptors, "descriptors of this process");
    assert!(tally.lives > 0 && tally.outcomes.len() >= 2, "it did not soak: {:?}", tally.outcomes);
}

/// One life of a step, from its start to its recorded end.
fn live(place: &Place, step: &str, dice: &mut Dice, tally: &Mutex<Tally>) {
    let code = u8::try_from(1 + dice.below(120)).expect("a code");
    let works = [Work::Succeeds, Work::Succeeds, Work::Fails(code), Work::GoesOn, Work::Hangs, Work::Overdue];
    let blows = [Blow::None, Blow::Wrapper, Blow::Wrapper, Blow::Command, Blow::Waiter, Blow::Term, Blow::Asked];
    let (work, mut blow) = (works[below(dice, works.len())], blows[below(dice, blows.len())]);
    if work == Work::GoesOn && matches!(blow, Blow::None | Blow::Waiter) {
        blow = Blow::Asked;
    }
    let token = unique();
    let early = (0..dice.below(3)).map(|_| waiting(place, step)).collect::<Vec<_>>();
    let mut run = start(place, step, work, &token);
    any_moment_within(dice, 150);
    let mut waiters: Vec<Running> = early;
    waiters.extend((0..=dice.below(2)).map(|_| waiting(place, step)));
    let waits = waiters.len() as u64;
    any_moment_within(dice, 50);
    let struck = strike(place, step, blow, &mut run, &mut waiters);
    // The blow may have come before there was anybody to take it: what goes on for ever is asked until it ends.
    until(&format!("{step}, {work:?} under {blow:?}, can be ended"), || {
        if work == Work::GoesOn && !run.has_ended() {
            asks(place, step);
        }
        work != Work::GoesOn || run.has_ended()
    });
    // A wrapper that was killed before its pid stood has made no run: the waiters may stand there for the next.
    let started = || meta(place, step).is_some_and(|meta| meta["command"].to_string().contains(&token));
    until(&format!("{step}, {work:?} under {blow:?} (struck: {struck}), ends"), || run.has_ended());
    let run = run.end();
    if !started() || !place.file(&format!("{step}.pid")).exists() {
        waiters.clear();
        let again = place.dogwatch(["run", step, "--no-breaker", "--", "true"]);
        assert_eq!(again.code, 0, "{step} after {blow:?}: {again:?}");
        count(tally, blow, "unstarted", waits);
        return;
    }
    let last = place.dogwatch(["recover", step, "--json"]);
    let outcome = last.json()["outcome"].as_str().expect("an outcome").to_owned();
    let context = format!("{step} {work:?} {blow:?} struck {struck}: run {run:?}\nlast {last:?}");
    let natural = match work {
        Work::Succeeds => "success",
        Work::Fails(_) | Work::GoesOn => "failed",
        Work::Hangs => "hung",
        Work::Overdue => "timeout",
    };
    let by_blow = match blow {
        Blow::Wrapper if struck => Some("died"),
        Blow::Command | Blow::Term | Blow::Asked if struck => Some("failed"),
        Blow::None | Blow::Wrapper | Blow::Command | Blow::Waiter | Blow::Term | Blow::Asked => None,
    };
    assert!(outcome == natural || Some(outcome.as_str()) == by_blow, "{context}");
    let done = place.file(&format!("done-{token}")).exists();
    assert!(outcome != "success" || done, "a success of work that was not done: {context}");
    if outcome == "success" {
        assert_eq!(last.json()["result"]["token"].as_str(), Some(token.as_str()), "{context}");
    }
    if let (Work::Fails(code), "failed", None) = (work, outcome.as_str(), by_blow) {
        assert_eq!(last.json()["exit_code"], code, "{context}");
    }
    // All say the same. One that came before the run may have heard of the end of the run before.
    let mut heard = Vec::new();
    for waiter in waiters {
        let mut waiter = waiter;
        until(&format!("a waiter ends: {context}"), || waiter.has_ended());
        heard.push(waiter.end());
    }
    for heard in heard.iter().filter(|heard| is_of(heard, &last)) {
        assert_eq!(heard.json()["outcome"], outcome.as_str(), "{heard:?}\n{context}");
        assert_eq!(heard.code, last.code, "{heard:?}\n{context}");
    }
    let left = marked(&format!("SOAK_TOKEN={token}"));
    assert!(left.is_empty(), "{left:?} live on: {context}");
    count(tally, blow, &outcome, waits);
}

fn below(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.below(count as u64)).expect("an index")
}

fn is_of(one: &Ended, other: &Ended) -> bool {
    one.json()["run_id"] == other.json()["run_id"]
}

fn count(tally: &Mutex<Tally>, blow: Blow, outcome: &str, waits: u64) {
    let mut tally = tally.lock().expect("no lane has failed");
    tally.lives += 1;
    tally.waits += waits;
    *tally.blows.entry(format!("{blow:?}")).or_default() += 1;
    *tally.outcomes.entry(outcome.to_owned()).or_default() += 1;
}

fn meta(place: &Place, step: &str) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(place.file(&format!("{step}.meta"))).ok()?).ok()
}

fn waiting(place: &Place, step: &str) -> Running {
    place.start_undisturbed(["wait", step, "--json", "--grace", "300ms", "--log-tail", "0"])
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
    let send = |signal: &str, pid: i32| {
        let mut kill = std::process::Command::new("kill");
        let sent = kill.args([format!("-{signal}"), pid.to_string()]).stderr(Stdio::null()).status();
        sent.is_ok_and(|status| status.success())
    };
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
        Blow::Command => {
            let child = meta(place, step).and_then(|meta| meta["child_pid"].as_i64());
            let child = child.and_then(|child| i32::try_from(child).ok());
            // Of an earlier run's child nothing is left; of this one's the parent must be this run.
            let own = |child: &i32| parent(*child) == Some(run.pid());
            child.filter(own).is_some_and(|child| send("KILL", child))
        }
        Blow::Asked => asks(place, step),
    }
}

/// Asks for the end of whatever run stands there; whether that was carried out, or there was nothing to do.
fn asks(place: &Place, step: &str) -> bool {
    place.dogwatch(["kill", step, "--grace", "300ms"]).code == 0
}

fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(1)?.parse().ok()
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
