//! Runs that end badly: wrappers killed at any moment, hung and overdue trees, and who must never be signalled.
//!
//! Refuses to take a report for the truth: after each end the processes are looked for.

mod support;

use serde_json::json;
use std::time::{Duration, Instant};
use support::{Dice, Place, Shell, any_moment_within, in_parallel, kill, lives, marked, unique, until};

/// What a run of two hundred kills starts: a shell, a child, and a grandchild in a session of its own.
const TREE: &str = "(setsid sleep 300 & wait) & sleep 0.06";

#[test]
fn a_wrapper_killed_at_two_hundred_moments_died_or_had_finished_and_leaves_nothing() {
    let place = Place::new();
    in_parallel(200, 6, |number| {
        let mut dice = Dice::new(number as u64 + 1234);
        let step = format!("k{number}");
        let mark = unique();
        let mut command = place.command(["run", &step, "--grace", "100ms", "--", "sh", "-c", TREE]);
        let mut wrapper = command.env("TEST_MARK", &mark).spawn().unwrap();
        let early = number % 2 == 0;
        let waiting = early.then(|| place.start(["wait", &step, "--json", "--start-timeout", "300ms"]));
        any_moment_within(&mut dice, 110);
        let finished = wrapper.try_wait().unwrap().is_some();
        wrapper.kill().unwrap();
        wrapper.wait().unwrap();
        let began = Instant::now();
        let wait = waiting.unwrap_or_else(|| place.start(["wait", &step, "--json", "--start-timeout", "300ms"]));
        let ended = wait.end_at_all();
        let report = ended.json();
        let outcome = report["outcome"].as_str().unwrap();
        match outcome {
            "died" => assert!(!finished, "{report}"),
            "success" => assert_eq!(report["exit_code"], 0, "{report}"),
            // Killed before its start files stood.
            "not_started" => assert!(!place.file(&format!("{step}.pid")).exists(), "{report}"),
            other => panic!("{other}: {report}"),
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{outcome} after {:?}", began.elapsed());
        until("nothing of the run is left", || marked(&format!("TEST_MARK={mark}")).is_empty());
    });
}

/// A plain-shell wrapper with a live tree of shell, child and grandchild that beats once and never again.
const HUNG: &str = r#"
    echo $$ > $1.pid; touch $1.heartbeat
    sh -c 'sh -c "sleep 300; :" & wait' &
    wait; sleep 300; echo SUCCESS > $1.status
"#;

fn hung(place: &Place, step: &str) -> Shell {
    let shell = Shell::start(place, HUNG, &[step]);
    until("the tree stands", || marked(&shell.mark).len() >= 4);
    shell
}

#[test]
fn a_hung_tree_is_gone_before_the_answer_and_everybody_says_hung() {
    let place = Place::new();
    let mut shell = hung(&place, "s");
    let other = place.start(["wait", "s", "--stale", "1s", "--json"]);
    let ended = place.dogwatch(["wait", "s", "--stale", "1s", "--json"]);
    assert!(marked(&shell.mark).is_empty(), "all gone before wait returned");
    let report = ended.json();
    assert_eq!((ended.code, &report["outcome"], &report["action"]), (3, &json!("hung"), &json!("retry")), "{report}");
    let other = other.end_at_all();
    assert_eq!((other.code, &other.json()["outcome"]), (3, &json!("hung")));
    assert_eq!(place.wait_json("s", &[])["outcome"], "hung");
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
    shell.end();
}

#[test]
fn an_overdue_tree_and_one_that_ignores_term_go_too() {
    let place = Place::new();
    let shell = hung(&place, "plain");
    let ended = place.dogwatch(["wait", "plain", "--max-timeout", "1s", "--json"]);
    assert_eq!((ended.code, &ended.json()["killed"]), (124, &json!(true)), "{ended:?}");
    assert!(marked(&shell.mark).is_empty());
    let stubborn = "trap '' TERM; echo ready; while :; do sleep 300; done";
    let pid = place.detach("stubborn", stubborn);
    until("the trap stands", || place.read("stubborn.log") == "ready\n");
    let run = format!("DOGWATCH_RUN_ID={}", place.meta("stubborn")["run_id"].as_str().unwrap());
    let ended = place.dogwatch(["wait", "stubborn", "--max-timeout", "100ms", "--grace", "200ms", "--json"]);
    assert_eq!((ended.code, &ended.json()["outcome"]), (124, &json!("timeout")), "{ended:?}");
    assert!(!lives(pid) && marked(&run).is_empty());
}

#[test]
fn no_kill_reports_and_touches_nothing() {
    let place = Place::new();
    let shell = hung(&place, "s");
    place.age("s.heartbeat", Duration::from_secs(100));
    place.age("s.pid", Duration::from_secs(100));
    // An aged pid file would make the process look recycled; its own time is put right for the waiter.
    place.write("s.pid", &format!("{}\n", shell.pid()));
    let before = place.snapshot();
    let ended = place.dogwatch(["wait", "s", "--max-timeout", "10ms", "--no-kill", "--json"]);
    assert_eq!((ended.code, &ended.json()["killed"]), (124, &json!(false)));
    assert!(lives(shell.pid()));
    assert_eq!(place.snapshot(), before);
}

#[test]
fn work_that_answers_term_with_success_has_succeeded() {
    let place = Place::new();
    let graceful = "trap 'echo 5 > $DOGWATCH_RESULT; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
    place.detach("s", graceful);
    until("the trap stands", || place.read("s.log") == "ready\n");
    let report = place.wait_json("s", &["--max-timeout", "10ms"]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &json!(5)), "{report}");
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
fn a_claimed_process_that_is_not_the_runs_is_never_signalled() {
    let place = Place::new();
    let ancestor = std::process::id();
    // SAFETY of the machine, not of memory: these are the pids that a broken script writes.
    for claim in ["1".to_owned(), ancestor.to_string()] {
        place.write("s.pid", &format!("{claim}\n"));
        place.write("s.heartbeat", "");
        place.age("s.heartbeat", Duration::from_millis(10));
        let ended = place.dogwatch(["wait", "s", "--stale", "300ms", "--json"]);
        let report = ended.json();
        assert_eq!((ended.code, &report["outcome"], &report["killed"]), (3, &json!("hung"), &json!(false)), "{report}");
        assert!(report["detail"].as_str().unwrap().contains("signalled"), "{report}");
        assert!(!place.file("s.status").exists(), "what still lives is not recorded");
        std::fs::remove_file(place.file("s.meta")).ok();
    }
}

#[test]
fn a_recycled_number_is_left_alone_and_the_run_is_dead() {
    let place = Place::new();
    let bystander = Shell::start(&place, "exec sleep 300", &[]);
    place.write("s.pid", &format!("{}\n", bystander.pid()));
    place.write("s.heartbeat", "");
    for name in ["s.pid", "s.heartbeat"] {
        place.age(name, Duration::from_secs(3600));
    }
    let report = place.wait_json("s", &["--stale", "1s"]);
    assert_eq!(report["outcome"], "died", "{report}");
    assert!(lives(bystander.pid()));
}

#[test]
fn another_users_process_is_refused_even_by_root() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let place = Place::new();
    let other = Shell::start(&place, "exec setpriv --reuid 65534 --clear-groups sleep 300", &[]);
    until("it is another user's", || {
        std::fs::read_to_string(format!("/proc/{}/status", other.pid())).is_ok_and(|text| text.contains("Uid:\t65534"))
    });
    place.write("s.pid", &format!("{}\n", other.pid()));
    place.write("s.heartbeat", "");
    let report = place.wait_json("s", &["--stale", "300ms"]);
    assert_eq!((&report["outcome"], &report["killed"]), (&json!("hung"), &json!(false)), "{report}");
    assert!(report["detail"].as_str().unwrap().contains("65534") && lives(other.pid()), "{report}");
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
