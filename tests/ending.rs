//! Ends that several have a word in: the work itself, its wrapper, its waiters.
//!
//! Every party is asked: wrapper, waiters and files.

use crate::support::{Place, Shell, in_parallel, is_refused, kill, lives, until};
use serde_json::json;

#[test]
fn work_that_answers_term_with_success_has_succeeded() {
    let place = Place::new();
    let graceful = "trap 'echo 5 > $DOGWATCH_RESULT; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    place.detach("s", graceful);
    until("the trap stands", || place.read("s.log") == "ready\n");
    let report = place.wait_json("s", &["--max-timeout", "10ms"]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &json!(5)), "{report}");
    let detail = report["detail"].as_str().expect("why it was asked to end");
    assert!(detail.starts_with("it ran for ") && detail.ends_with("; asked to end, it succeeded"), "{detail}");
}

#[test]
fn two_waiters_and_a_run_with_its_own_limit_tell_one_outcome() {
    let place = Place::new();
    in_parallel(30, 3, |number| {
        let step = format!("r{number}");
        let run =
            place.start(["run", "--no-breaker", &step, "--max-timeout", "150ms", "--", "sh", "-c", "sleep 300 & wait"]);
        let waits: Vec<_> = (0..2).map(|_| place.start(["wait", &step, "--json"])).collect();
        for wait in waits {
            assert_eq!(wait.end_at_all().json()["outcome"], "timeout");
        }
        assert_eq!(run.end_at_all().code, 124);
        assert_eq!(place.meta(&step)["reason"], "timeout");
    });
}

#[test]
fn an_interrupted_wait_ends_whole_what_it_has_begun_to_end() {
    let place = Place::new();
    let script = "trap ': > told' TERM; echo $$ > s.pid; touch s.heartbeat; while :; do sleep 0.05; done";
    let shell = Shell::start(&place, script, &[]);
    until("it has started", || place.file("s.heartbeat").exists());
    let wait = place.start_undisturbed(["wait", "s", "--stale", "300ms", "--grace", "1s"]);
    until("it was asked to end", || place.file("told").exists());
    kill("INT", wait.pid());
    let ended = wait.end_at_all();
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(!lives(shell.pid()));
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
}

#[test]
fn a_caller_with_little_patience_still_learns_of_a_death() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    assert_eq!(place.dogwatch(["wait", "s", "--for", "10ms"]).code, 75);
    kill("KILL", pid);
    until("it is gone", || !lives(pid));
    assert_eq!(place.dogwatch(["wait", "s", "--for", "0"]).code, 4);
}

/// Writes which signal came, and ends by itself on the first.
const TELLS: &str = "for s in INT TERM; do trap \"echo $s >> told; exit 3\" $s; done; echo > ready; \
    while :; do sleep 0.05; done";

#[test]
fn a_kill_with_a_signal_sends_that_in_place_of_term() {
    for (spelled, by_whom) in [("INT", "wrapper"), ("sigint", "stopped wrapper"), ("2", "script"), ("TERM", "wrapper")]
    {
        let place = Place::new();
        let script = format!("cd {}; {TELLS}", place.path().display());
        let mut shell = None;
        if by_whom == "script" {
            // A shell's own `trap` undoes no signal that was ignored before it began.
            let default = if cfg!(target_os = "linux") { "env --default-signal=INT" } else { "env" };
            let script = format!("echo $$ > s.pid; touch s.heartbeat; {script}");
            shell = Some(Shell::start(&place, &format!("exec {default} sh -c '{script}'"), &[]));
        } else {
            let run = place.start_undisturbed(["run", "-d", "s", "--", "sh", "-c", &script]).end_at_all();
            assert_eq!(run.code, 0, "{run:?}");
        }
        until("the traps stand", || place.file("ready").exists());
        if by_whom == "stopped wrapper" {
            kill("STOP", place.pid("s"));
        }
        let ended = place.start(["kill", "s", "--signal", spelled, "--grace", "10m", "--json=full"]).end_at_all();
        ended.said(0, "failed", true);
        let signal = if spelled == "TERM" { "TERM" } else { "INT" };
        // A child that the shell has just forked for its next command has the trap too, until its exec.
        let told = place.read("told");
        assert!(!told.is_empty() && told.lines().all(|line| line == signal), "{by_whom}: {told:?} {ended:?}");
        let first = if signal == "TERM" { "" } else { "; the first signal was SIGINT" };
        assert_eq!(ended.json()["detail"], format!("stopped on request{first}"), "{by_whom}: {ended:?}");
        assert_eq!(place.meta("s")["reason"], "killed");
        assert!(shell.is_none_or(|shell| !lives(shell.pid())));
    }
}

#[test]
fn a_kill_that_begins_with_kill_waits_for_no_grace_and_one_with_an_unknown_signal_ends_nothing() {
    let place = Place::new();
    let pid = place.detach("s", "trap '' TERM INT; echo ready; while :; do sleep 0.05; done");
    until("the traps stand", || place.read("s.log") == "ready\n");
    for unknown in ["FOO", "SIG", "0", "32", "-1", ""] {
        let refused = place.dogwatch(["kill", "s", &format!("--signal={unknown}")]);
        is_refused(&refused, 2, &[&format!("{unknown:?} is no signal"), "TERM", "see dogwatch"]);
    }
    assert!(lives(pid) && place.meta("s")["intent"].is_null());
    let ended = place.start(["kill", "s", "-s", "KILL", "--grace", "10m"]).end_at_all();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.starts_with("s: failed, stopped on request after "), "{ended:?}");
    assert!(ended.stdout.ends_with(": the first signal was SIGKILL\n"), "{ended:?}");
    assert_eq!(place.wait_json("s", &[])["signal"], "SIGKILL");
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_takes_the_place_of_one_whose_death_is_being_recorded_is_followed_to_its_own_end() {
    let place = Place::new();
    let mut dead = std::process::Command::new("true").spawn().expect("a process");
    dead.wait().expect("its end");
    for (next, outcome, killed) in [("exec sleep 300", "timeout", true), ("exit 0", "died", false)] {
        // A terminator that is slow in recording keeps the record's lock.
        let record = std::fs::File::create(place.file(".s.record")).expect("a lock file");
        record.lock().expect("the lock");
        place.write("s.pid", &format!("{}\n", dead.id()));
        let mut wait = place.start(["wait", "s", "--json", "--max-timeout", "100ms", "--stale", "1h"]);
        until("the death is about to be recorded", || {
            assert!(!wait.has_ended(), "it ended");
            // A thread of its own records it.
            std::fs::read_dir(format!("/proc/{}/task", wait.pid())).expect("its threads").count() > 1
        });
        let mut shell = Shell::start(&place, &format!("echo $$ > .p; mv .p s.pid; {next}"), &[]);
        let stands = || place.read("s.pid") == format!("{}\n", shell.pid());
        until("the next run is over its limit", || {
            let published = std::fs::metadata(place.file("s.pid")).and_then(|file| file.modified()).expect("a time");
            stands() && published.elapsed().is_ok_and(|age| age > std::time::Duration::from_millis(100))
        });
        if next == "exit 0" {
            shell.end();
        }
        drop(record);
        let ended = wait.end_at_all();
        let (report, pid) = (ended.json(), shell.pid());
        assert_eq!((&report["outcome"], &report["killed"]), (&json!(outcome), &json!(killed)), "{ended:?}");
        assert_eq!(report["pid"], json!(pid), "{ended:?}");
        assert!(!lives(pid));
        for name in ["s.status", "s.meta", "s.pid"] {
            std::fs::remove_file(place.file(name)).expect("it was recorded");
        }
    }
}
