//! Wrappers that are killed at any moment, steps that hang or run for too long, and the trees that must go with them.
//!
//! Processes that must be gone are looked for by a variable in their environment.

use crate::support::{
    APART, Dice, Ended, Place, Running, Shell, any_moment_within, in_parallel, marked, shows_marks, unique, until,
};
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Far below the 15 s of the safety rescan, by which a death would be found that no notice told of; far above what a
/// loaded machine takes. How long it really takes is printed (`--nocapture`).
const TOLD: Duration = Duration::from_secs(8);

/// COMMAND: a shell with a child that has a child in a session of its own. It works for $1 and leaves both running.
fn command() -> String {
    format!(r#"sh -c '{APART} sleep 60 & sleep 60' & sleep "$1""#)
}

/// A wrapper of step s that beats once and then hangs, with a tree of five processes.
fn hung() -> String {
    format!("echo $$ > s.pid; touch s.heartbeat; sh -c '{APART} sleep 300 & sleep 300' & sleep 300")
}
const HUNG_TREE: usize = 5;

fn waiting(place: &Place, more: &[&str]) -> Running {
    place.start(["wait", "s", "--json"].iter().chain(more))
}

fn wait(place: &Place, more: &[&str]) -> (Ended, Value) {
    let ended = waiting(place, more).end_at_all();
    let answer = ended.json();
    (ended, answer)
}

/// That tree, once all of it lives; nothing where that cannot be seen.
fn hung_tree(place: &Place) -> Option<Shell> {
    if !shows_marks() {
        return None;
    }
    let shell = Shell::start(place, &hung(), &[]);
    until("the whole tree lives", || marked(&shell.mark).len() == HUNG_TREE && place.file("s.heartbeat").exists());
    Some(shell)
}

#[track_caller]
fn is_gone(mark: &str, ended: &Ended) {
    let left = marked(mark);
    assert!(left.is_empty(), "{left:?} are left; {ended:?}");
}

#[test]
fn a_wrapper_killed_at_any_of_two_hundred_moments_is_told_of_at_once_and_leaves_no_process() {
    let met: [AtomicUsize; 3] = Default::default();
    let slowest = Mutex::new(Duration::ZERO);
    in_parallel(200, 4, |number| {
        let (kind, took) = kill_a_wrapper(number);
        met[kind].fetch_add(1, Ordering::Relaxed);
        let mut slowest = slowest.lock().unwrap_or_else(PoisonError::into_inner);
        *slowest = took.max(*slowest);
    });
    let slowest = slowest.into_inner().unwrap_or_else(PoisonError::into_inner);
    eprintln!("from the kill to the waiter's end with every process gone, the slowest of 200: {slowest:?}");
    assert!(met.iter().all(|count| count.load(Ordering::Relaxed) > 0), "[unstarted, died, finished]: {met:?}");
}

/// One wrapper, killed at a moment of its own; 0 where that was before its pid stood, 1 while it worked, 2 after its end.
/// And how long its waiter took from then.
fn kill_a_wrapper(number: usize) -> (usize, Duration) {
    let (place, mut dice) = (Place::new(), Dice::new(number as u64 + 1));
    let mark = format!("TEST_MARK={}", unique());
    let work = format!("0.{:03}", dice.below(60));
    // Half of the waits are there already; the other half comes after the kill.
    let early = number.is_multiple_of(2).then(|| waiting(&place, &[]));
    let mut run = place.command(["run", "s", "--", "sh", "-c", &command(), "sh", &work]);
    run.env("TEST_MARK", mark.trim_start_matches("TEST_MARK=")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut wrapper = run.spawn().expect("dogwatch starts");
    any_moment_within(&mut dice, if number % 4 < 2 { 30 } else { 160 });
    let killed = Instant::now();
    wrapper.kill().expect("a kill");
    wrapper.wait().expect("a reaped wrapper");
    if !place.file("s.pid").exists() {
        // Nothing of COMMAND ran yet. What stands of the start files is in nobody's way.
        until("nothing is left of the start", || marked(&mark).is_empty());
        let late = early.unwrap_or_else(|| waiting(&place, &[]));
        let again = place.dogwatch(["run", "s", "--", "true"]);
        assert_eq!(again.code, 0, "{again:?}");
        let ended = late.end_at_all();
        has_no_temporary(&place);
        assert!(matches!(ended.json()["outcome"].as_str(), Some("success" | "died")), "{number}: {ended:?}");
        return (0, Duration::ZERO);
    }
    let finished = std::fs::read_to_string(place.file("s.status")).is_ok_and(|word| word == "SUCCESS\n");
    let ended = early.unwrap_or_else(|| waiting(&place, &[])).end_at_all();
    let took = killed.elapsed();
    is_gone(&mark, &ended);
    assert!(took < TOLD, "{number}: {took:?}; {ended:?}");
    // Recorded as a success and not published any more is the truth as well.
    let succeeded = finished || place.meta("s")["reason"] == "success";
    let expected = if succeeded { (0, json!("success")) } else { (4, json!("died")) };
    assert_eq!((ended.code, ended.json()["outcome"].clone()), expected, "{number}: {ended:?}");
    has_no_temporary(&place);
    let (second, answer) = wait(&place, &[]);
    assert_eq!((second.code, answer["outcome"].clone()), expected, "{number}, the second time: {second:?}");
    (1 + usize::from(succeeded), took)
}

#[track_caller]
/// The history is written after the status, when nobody cleans up after the run any more: the next run removes that one.
fn has_no_temporary(place: &Place) {
    let names: Vec<String> = place.snapshot().into_iter().map(|(name, _, _)| name).collect();
    let left = |name: &String| name.contains(".tmp") && !name.starts_with(".s.history.");
    assert!(!names.iter().any(left), "{names:?}");
}

#[test]
fn a_hung_tree_is_gone_before_wait_returns_and_every_later_waiter_hears_the_same() {
    let place = Place::new();
    let Some(shell) = hung_tree(&place) else { return };
    let (ended, answer) = wait(&place, &["--stale", "2s"]);
    is_gone(&shell.mark, &ended);
    ended.said(3, "hung", true);
    assert!(answer["heartbeat_age_ms"].as_u64() >= Some(2000), "{ended:?}");
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
    wait(&place, &[]).0.said(3, "hung", false);
}

#[test]
fn a_step_over_its_time_is_gone_before_wait_returns_although_it_beats() {
    let place = Place::new();
    let script = format!("echo $$ > s.pid; {APART} sleep 300 & while :; do touch s.heartbeat; sleep 0.1; done");
    let began = Instant::now();
    let shell = Shell::start(&place, &script, &[]);
    let (ended, _) = wait(&place, &["--max-timeout", "1s", "--stale", "30s"]);
    is_gone(&shell.mark, &ended);
    assert!(began.elapsed() >= Duration::from_secs(1));
    ended.said(124, "timeout", true);
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("timeout")));
    wait(&place, &[]).0.said(124, "timeout", false);
}

#[test]
fn a_child_that_ignores_term_is_killed_after_the_grace() {
    let place = Place::new();
    let script = "echo $$ > s.pid; touch s.heartbeat; (trap '' TERM; touch deaf; while :; do sleep 1; done) & wait";
    let began = Instant::now();
    let shell = Shell::start(&place, script, &[]);
    until("the child is deaf", || place.file("deaf").exists());
    let (ended, _) = wait(&place, &["--stale", "1s", "--grace", "500ms"]);
    is_gone(&shell.mark, &ended);
    assert!(began.elapsed() >= Duration::from_millis(1500), "no grace: {:?}", began.elapsed());
    ended.said(3, "hung", true);
}

#[test]
fn with_no_kill_a_hung_step_is_reported_and_neither_ended_nor_recorded() {
    let place = Place::new();
    let Some(shell) = hung_tree(&place) else { return };
    let before = place.snapshot();
    wait(&place, &["--stale", "1s", "--no-kill"]).0.said(3, "hung", false);
    assert_eq!(marked(&shell.mark).len(), HUNG_TREE);
    assert_eq!(place.snapshot(), before);
    // Nothing stands in the way of one that may kill.
    let (ended, _) = wait(&place, &["--stale", "1s"]);
    is_gone(&shell.mark, &ended);
    ended.said(3, "hung", true);
}

// Only procfs tells that a signal is caught by now; before that it ends a wait without a word.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_wait_leaves_the_work_alone_and_the_next_one_goes_on() {
    use nix::sys::signal::Signal;
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let place = Place::new();
        let script =
            "echo $$ > s.pid; touch s.heartbeat; while [ ! -e go ]; do sleep 0.05; done; echo SUCCESS > s.status";
        let shell = Shell::start(&place, script, &[]);
        until("the step has started", || place.file("s.heartbeat").exists());
        let interrupted = place.start_undisturbed(["wait", "s"]);
        until("the signal is caught", || crate::support::catches(interrupted.pid(), signal));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(interrupted.pid()), signal).expect("a signal");
        let ended = interrupted.end_at_all();
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
        assert!(ended.stderr.contains("dogwatch wait s"), "{ended:?}");
        assert!(crate::support::lives(shell.pid()) && !place.file("s.status").exists());
        let next = waiting(&place, &[]);
        place.write("go", "");
        next.end_at_all().said(0, "success", false);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_a_wait_that_is_just_getting_ready_for_it() {
    if !crate::support::servers::has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let _shell = Shell::start(&place, "echo $$ > s.pid; touch s.heartbeat; exec sleep 300", &[]);
    until("the step has started", || place.file("s.heartbeat").exists());
    let traced = |what: &str, to: &str| {
        let prefix = ["strace", "-qq", "-o", to, "-e", what];
        Running::start(place.through(&prefix, ["wait", "s", "--for", "500ms"])).end_at_all()
    };
    let undisturbed = traced("trace=rt_sigaction", ".trace");
    assert_eq!(undisturbed.code, 75, "{undisturbed:?}");
    let changes = place.read(".trace").lines().filter(|line| line.starts_with("rt_sigaction(")).count();
    let said = Mutex::new(vec![false; changes]);
    in_parallel(changes, 4, |number| {
        let ended = traced(&format!("inject=rt_sigaction:signal=TERM:when={}", number + 1), "/dev/null");
        assert_eq!(ended.code, 143, "at change {number}: {ended:?}");
        said.lock().unwrap_or_else(PoisonError::into_inner)[number] = ended.stderr.contains("dogwatch wait s");
    });
    // From the moment on when it is caught it is answered, and by the last change it is.
    let said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(said.is_sorted() && said.last() == Some(&true), "{said:?}");
}

#[test]
fn waiters_that_find_a_hung_step_at_once_agree() {
    for place in [Place::new(), Place::new(), Place::new()] {
        let Some(shell) = hung_tree(&place) else { return };
        let waiters: Vec<Running> = (0..4).map(|_| waiting(&place, &["--stale", "1s"])).collect();
        let mut killers = 0;
        for waiter in waiters {
            let ended = waiter.end_at_all();
            assert_eq!((ended.code, &ended.json()["outcome"]), (3, &json!("hung")), "{ended:?}");
            killers += usize::from(ended.json()["killed"] == true);
        }
        assert!(killers >= 1 && marked(&shell.mark).is_empty(), "{killers}");
        assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
    }
}
