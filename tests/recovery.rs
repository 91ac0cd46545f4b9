//! What one call puts right after a waiter was lost, what a kill on request leaves, and who wins when all come at once.
//!
//! Every party is asked, and the processes are looked for.

use crate::support::{
    APART, Dice, Place, Shell, any_moment_within, in_parallel, kill, lives, marked, shows_marks, until,
};
use serde_json::{Value, json};
use std::time::Duration;

fn recover(place: &Place, step: &str, more: &[&str]) -> (i32, Value) {
    let ended = place.start(["recover", step, "--json"].iter().chain(more)).end_at_all();
    (ended.code, ended.json())
}

/// A plain-shell step that beat once, and its child.
fn silent(place: &Place) -> (Shell, i32) {
    let shell = Shell::start(place, "echo $$ > s.pid; sleep 300 & echo $! > child; touch s.heartbeat; wait", &[]);
    until("it has started", || place.file("s.heartbeat").exists());
    (shell, place.read("child").trim().parse().expect("a pid"))
}

#[test]
fn what_is_hung_is_ended_what_died_is_recorded_and_what_works_is_waited_for() {
    let place = Place::new();
    let (shell, child) = silent(&place);
    let dry = place.dogwatch(["recover", "s", "--stale", "1s", "--dry-run", "--json"]);
    assert_eq!((dry.code, dry.json()["action"].as_str()), (75, Some("wait")), "{dry:?}");
    let (code, answer) = recover(&place, "s", &["--stale", "1s"]);
    assert_eq!((code, &answer["outcome"], &answer["killed"]), (3, &json!("hung"), &json!(true)), "{answer}");
    assert!(marked(&shell.mark).is_empty() && !lives(shell.pid()) && !lives(child));

    let dead = place.detach("dead", "sleep 300 & wait");
    let mark = format!("DOGWATCH_RUN_ID={}", place.meta("dead")["run_id"].as_str().unwrap());
    kill("KILL", dead);
    until("it is gone", || !lives(dead));
    let (code, answer) = recover(&place, "dead", &[]);
    assert_eq!((code, &answer["outcome"]), (4, &json!("died")), "{answer}");
    assert_eq!((place.meta("dead")["reason"].as_str(), marked(&mark).len()), (Some("died"), 0));

    place.detach("works", "while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; echo 7 > $DOGWATCH_RESULT");
    assert_eq!(recover(&place, "works", &["--for", "0.2"]).0, 75);
    let waiter = place.start(["recover", "works", "--json"]);
    place.write("go", "");
    assert_eq!(waiter.end_at_all().json()["result"], 7);
    assert_eq!(recover(&place, "works", &[]).0, 0, "what has ended is told again");
    assert_eq!(recover(&place, "none", &[]).0, 5, "at once");
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let place = Place::new();
    let (shell, child) = silent(&place);
    let pid = place.detach("dead", "sleep 300");
    kill("KILL", pid);
    until("it is gone", || !lives(pid));
    place.age("s.heartbeat", Duration::from_secs(30));
    let before = place.snapshot();
    for (step, more, code, action, words) in [
        ("s", &["--max-timeout", "1ms"][..], 124, "kill", "would end its whole process tree"),
        ("s", &[][..], 75, "wait", "would go on waiting"),
        ("dead", &[][..], 4, "retry", "would record it"),
        ("none", &[][..], 5, "retry", "start it"),
    ] {
        let line = ["recover", step, "--dry-run"];
        let dry = place.dogwatch(line.iter().chain(more).chain(&["--json"]));
        assert_eq!((dry.code, dry.json()["action"].as_str()), (code, Some(action)), "{dry:?}");
        let text = place.dogwatch(line.iter().chain(more));
        assert!(text.stdout.contains(words), "{text:?}");
    }
    assert_eq!(place.snapshot(), before);
    assert!(lives(shell.pid()) && lives(child));
}

#[test]
fn a_kill_ends_whole_trees_publishes_it_and_counts_for_no_breaker() {
    if !shows_marks() {
        return;
    }
    let place = Place::new();
    let first = place.detach("a", &format!("{APART} sleep 300 & (trap '' TERM; sleep 300) & wait"));
    let second = place.detach("b", "sleep 300");
    let marks = ["a", "b"].map(|step| format!("DOGWATCH_RUN_ID={}", place.meta(step)["run_id"].as_str().unwrap()));
    until("all of it runs", || marked(&marks[0]).len() >= 3);
    let waiter = place.start(["wait", "a", "b", "--json"]);
    let ended = place.dogwatch(["kill", "a", "b", "a", "--grace", "0.3", "--json"]);
    assert_eq!((ended.code, ended.lines().len()), (0, 2), "{ended:?}");
    for (line, step) in ended.lines().iter().zip(["a", "b"]) {
        let said = (line["step"].as_str(), line["outcome"].as_str(), line["killed"].as_bool());
        assert_eq!(said, (Some(step), Some("failed"), Some(true)), "{line}");
        assert_eq!(
            (place.read(&format!("{step}.status")).as_str(), &place.meta(step)["reason"]),
            ("FAILED\n", &json!("killed"))
        );
    }
    assert!(!lives(first) && !lives(second) && marks.iter().all(|mark| marked(mark).is_empty()));
    let ended = waiter.end_at_all();
    assert_eq!(ended.code, 1);
    for line in ended.lines() {
        assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("stopped on request")), "{line}");
        assert_eq!(line["breaker"]["consecutive_failures"], 0, "{line}");
    }
    // Nothing is left to kill, and that is what was asked for.
    let again = place.dogwatch(["kill", "a"]);
    assert_eq!((again.code, again.stdout.contains("stopped on request")), (0, true), "{again:?}");
}

#[test]
fn a_kill_says_what_it_could_not_end_and_leaves_work_that_finished_its_success() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["kill", "none"]).code, 5);
    place.write("s.pid", &format!("{}\n", std::process::id()));
    let refused = place.dogwatch(["kill", "s"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    assert!(refused.stdout.contains("ancestor") && !place.file("s.status").exists(), "{refused:?}");
    place.detach("graceful", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.02; done");
    until("the trap is set", || place.read("graceful.log") == "ready\n");
    let ended = place.dogwatch(["kill", "graceful", "--json"]);
    assert_eq!((ended.code, ended.json()["outcome"].as_str()), (0, Some("success")), "{ended:?}");
}

#[test]
fn a_run_that_attaches_waits_for_the_one_that_is_there_and_ends_as_it_does() {
    let place = Place::new();
    let pid = place.detach("s", "while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 7");
    let refused = place.dogwatch(["run", "s", "--", "true"]);
    assert_eq!(refused.code, 125, "{refused:?}");
    let detached = place.dogwatch(["run", "-d", "s", "--attach", "--", "true"]);
    assert_eq!((detached.code, detached.stdout), (0, format!("{pid}\n")));
    let attached = place.start(["run", "s", "--attach", "--", "true"]);
    until("it waits", || attached.has_events());
    place.write("go", "");
    let ended = attached.end_at_all();
    assert_eq!((ended.code, ended.stdout.starts_with("s: failed")), (7, true), "{ended:?}");
    // With nothing there to attach to it runs.
    assert_eq!(place.dogwatch(["run", "s", "--attach", "--", "sh", "-c", "exit 3"]).code, 3);
}

#[test]
fn whoever_ends_a_run_first_of_four_all_say_the_same_three_hundred_times() {
    let place = Place::new();
    in_parallel(300, 4, |number| {
        let mut dice = Dice::new(number as u64 + 5);
        let step = format!("r{number}");
        let limit = format!("0.{:03}", 60 + dice.below(60));
        let run =
            place.start(["run", &step, "--no-breaker", "--max-timeout", &limit, "--", "sh", "-c", "sleep 300 & wait"]);
        until("it has started", || place.file(&format!("{step}.pid")).exists());
        // Each with a limit of its own about the same moment: who is first is left to chance.
        let own = |dice: &mut Dice| format!("0.{:03}", 60 + dice.below(60));
        let (one, other, third) = (own(&mut dice), own(&mut dice), own(&mut dice));
        any_moment_within(&mut dice, 40);
        let waiters = [
            place.start(["wait", &step, "--json", "--max-timeout", &one]),
            place.start(["wait", &step, "--json", "--max-timeout", &other]),
            place.start(["recover", &step, "--json", "--max-timeout", &third]),
        ];
        for waiter in waiters {
            let ended = waiter.end_at_all();
            assert_eq!((ended.code, ended.json()["outcome"].as_str()), (124, Some("timeout")), "{ended:?}");
        }
        let ended = run.end_at_all();
        assert!(matches!(ended.code, 124 | 137), "{ended:?}");
        let meta = place.meta(&step);
        assert_eq!(
            (meta["reason"].as_str(), place.read(&format!("{step}.status")).as_str()),
            (Some("timeout"), "FAILED\n")
        );
        let mark = format!("DOGWATCH_RUN_ID={}", meta["run_id"].as_str().unwrap());
        assert!(marked(&mark).is_empty());
    });
}
