//! Scripts that are their own wrapper and let the program write the files: `start`, `succeed`, `fail`.
//!
//! Each test asks `wait`, not only the files.

use crate::support::{Ended, Place, Shell, in_parallel, lives, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// A process to start steps for; gone with the test.
fn process(place: &Place) -> Shell {
    Shell::start(place, "while :; do sleep 300; done", &[])
}

fn start(place: &Place, step: &str, pid: i32) -> Ended {
    place.dogwatch(["start", step, "--pid", &pid.to_string()])
}

#[track_caller]
fn fine(ended: &Ended) {
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""), "{ended:?}");
}

#[test]
fn a_script_of_three_lines_is_a_run_that_waiters_and_breakers_know() {
    let place = Place::new();
    let script = place.through(
        &["sh", "-c", "\"$@\" start s --pid $$; \"$@\" beat s; \"$@\" succeed s --result '{\"n\": 1}'", "sh"],
        [""; 0],
    );
    let ended = Ended::of(&{ script }.output().expect("a shell"));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let answer = place.wait_json("s", &[]);
    assert_eq!((&answer["outcome"], &answer["result"]), (&json!("success"), &json!({ "n": 1 })), "{answer}");
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("SUCCESS\n", &json!("success")));
    let mut shell = process(&place);
    for expected in 1..=3 {
        fine(&start(&place, "f", shell.pid()));
        assert_eq!(place.dogwatch(["check", "f"]).code, 75);
        fine(&place.dogwatch(["fail", "f", "--detail", "the server is down"]));
        let answer = place.wait_json("f", &[]);
        let said = (&answer["outcome"], &answer["detail"], &answer["breaker"]["consecutive_failures"]);
        assert_eq!(said, (&json!("failed"), &json!("the server is down"), &json!(expected)), "{answer}");
    }
    assert_eq!(place.dogwatch(["run", "f", "--", "true"]).code, 6, "three failures have opened the circuit");
    shell.kill();
}

#[test]
fn a_process_that_dies_without_a_word_has_died_and_the_next_start_counts_it() {
    let place = Place::new();
    let mut shell = process(&place);
    fine(&start(&place, "s", shell.pid()));
    let waiter = place.start(["wait", "s", "--json"]);
    until("it waits", || waiter.has_events());
    shell.kill();
    waiter.end_at_all().said(4, "died", false);
    let mut unseen = process(&place);
    fine(&start(&place, "t", unseen.pid()));
    unseen.kill();
    let mut next = process(&place);
    fine(&start(&place, "t", next.pid()));
    assert_eq!(place.dogwatch(["breaker", "show", "t", "--json"]).json()["consecutive_failures"], 1);
    assert_eq!(place.pid("t"), next.pid());
    next.kill();
}

#[test]
fn one_outcome_a_run_and_the_same_once_more_is_fine() {
    let place = Place::new();
    let mut shell = process(&place);
    fine(&start(&place, "s", shell.pid()));
    fine(&place.dogwatch(["succeed", "s", "--result", "[1]"]));
    let before = place.snapshot();
    fine(&place.dogwatch(["succeed", "s"]));
    fine(&place.dogwatch(["succeed", "s", "--result", " [ 1 ] "]));
    for words in [&["fail", "s"][..], &["succeed", "s", "--result", "[2]"]] {
        let ended = place.dogwatch(words);
        assert_eq!((ended.code, ended.stderr.lines().count()), (125, 1), "{ended:?}");
        assert!(ended.stderr.contains("already"), "{ended:?}");
    }
    let records = |files: Vec<(String, Vec<u8>, std::time::SystemTime)>| -> Vec<_> {
        files.into_iter().filter(|(name, _, _)| !name.starts_with('.')).collect()
    };
    assert_eq!(records(place.snapshot()), records(before));
    // A run that somebody has ended stays ended so.
    place.dogwatch(["run", "k", "--max-timeout", "50ms", "--", "sleep", "300"]);
    let refused = place.dogwatch(["succeed", "k"]);
    assert_eq!((refused.code, refused.stderr.contains("timeout")), (125, true), "{refused:?}");
    shell.kill();
}

#[test]
fn what_is_no_json_is_a_usage_error_and_loses_nothing() {
    let place = Place::new();
    let mut shell = process(&place);
    fine(&start(&place, "s", shell.pid()));
    let before = place.snapshot();
    for bad in ["{", "", "nonsense", "1 2"] {
        let ended = place.dogwatch(["succeed", "s", "--result", bad]);
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{bad:?}: {ended:?}");
    }
    assert_eq!(place.snapshot(), before);
    let mut command = place.command(["succeed", "s", "--result", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(b"{\n\"long\": 12345678901234567890123}\n").expect("written");
    assert!(child.wait().expect("it ends").success());
    let told = place.dogwatch(["wait", "s", "--result"]);
    assert_eq!(told.stdout, "{\"long\":12345678901234567890123}\n");
    shell.kill();
}

#[test]
fn a_start_is_refused_for_a_process_that_cannot_be_the_callers_and_where_a_run_lives() {
    let place = Place::new();
    for pid in ["0", "1", "999999999"] {
        let ended = place.dogwatch(["start", "s", "--pid", pid]);
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{pid}: {ended:?}");
    }
    assert!(place.snapshot().is_empty());
    let pid = place.detach("s", "sleep 300");
    let mut shell = process(&place);
    let refused = start(&place, "s", shell.pid());
    assert_eq!((refused.code, place.pid("s")), (125, pid), "{refused:?}");
    assert!(refused.stderr.contains(&pid.to_string()), "{refused:?}");
    fine(&start(&place, "t", shell.pid()));
    assert_eq!(start(&place, "t", shell.pid()).code, 125);
    assert_eq!(place.dogwatch(["run", "t", "--", "true"]).code, 125);
    let meta = place.meta("t");
    assert_eq!((&meta["locked"], &meta["pid"]), (&Value::Bool(false), &json!(shell.pid())));
    assert!(meta["pid_started_at"].is_u64() && !place.file("t.heartbeat").exists());
    shell.kill();
}

#[test]
fn a_step_that_only_says_how_it_ended_is_counted_each_time() {
    let place = Place::new();
    for expected in 1..=2 {
        for file in ["s.status", "s.meta"] {
            // What `clean` would do.
            let _absent = std::fs::remove_file(place.file(file));
        }
        fine(&place.dogwatch(["fail", "s"]));
        assert_eq!(place.wait_json("s", &[])["breaker"]["consecutive_failures"], expected);
    }
    fine(&place.dogwatch(["fail", "t", "--detail", " "]));
    assert_eq!(place.dogwatch(["wait", "t"]).stdout, "t: failed\n", "a detail without a word is none");
}

#[test]
fn of_many_who_say_different_things_at_once_one_is_heard() {
    let place = Place::new();
    let mut shell = process(&place);
    in_parallel(20, 4, |number| {
        let step = format!("s{number}");
        fine(&start(&place, &step, shell.pid()));
        let said = [place.start(["succeed", &step]), place.start(["fail", &step]), place.start(["fail", &step])];
        let codes: Vec<i32> = said.into_iter().map(|one| one.end_at_all().code).collect();
        let success = place.read(&format!("{step}.status")) == "SUCCESS\n";
        assert_eq!(codes, if success { [0, 125, 125] } else { [125, 0, 0] }, "{step}");
        assert_eq!(
            place.dogwatch(["breaker", "show", &step, "--json"]).json()["consecutive_failures"],
            u64::from(!success)
        );
    });
    shell.kill();
}

#[test]
fn work_that_goes_on_after_its_outcome_is_refused_a_next_run_and_ended_by_kill() {
    let place = Place::new();
    let program = crate::support::binary();
    let says = [
        ("told", "exit 3", format!("{} succeed told", program.display())),
        ("echoed", "", "echo FAILED > \"$DOGWATCH_DIR/echoed.status\"".to_owned()),
    ];
    for (step, at_term, say) in says {
        let script = format!("trap '{at_term}' TERM; {say}; while :; do sleep 0.05; done");
        let run = place.dogwatch(["run", "-d", step, "--grace", "0.1s", "--", "sh", "-c", &script]);
        assert_eq!(run.code, 0, "{run:?}");
        let wrapper = place.pid(step);
        until("its outcome is recorded", || place.dogwatch(["check", step]).code < 75);
        let status = place.read(&format!("{step}.status"));
        if step == "told" {
            let next = place.dogwatch(["run", step, "--", "true"]);
            assert_eq!((next.code, next.stderr.contains("dogwatch kill told")), (125, true), "{next:?}");
        }
        for kills in [true, false] {
            let killed = place.dogwatch(["kill", step, "--json"]);
            assert_eq!((killed.code, &killed.json()["killed"]), (0, &json!(kills)), "{killed:?}");
            assert!(!lives(wrapper), "{killed:?}");
            assert_eq!(place.read(&format!("{step}.status")), status, "the outcome stays");
        }
    }
}
