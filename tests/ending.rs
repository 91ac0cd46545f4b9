//! Ends that several have a word in: the work itself, its wrapper, its waiters.
//!
//! Every party is asked: wrapper, waiters and files.

mod support;

use serde_json::json;
use support::{Place, Shell, in_parallel, kill, lives, until};

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
