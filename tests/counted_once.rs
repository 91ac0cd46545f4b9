//! A run counts once for its breaker, however many others were counted since and whoever looks again.

use crate::support::{Place, Shell, until};
use serde_json::json;

fn failures(place: &Place) -> u64 {
    let breaker: serde_json::Value = serde_json::from_str(&place.read("shared.breaker")).expect("a breaker");
    breaker["consecutive_failures"].as_u64().expect("a number")
}

/// A failed step of the shared breaker, older than the 64 runs that a breaker remembers; none of those failed.
fn old_failure(place: &Place) {
    place.dogwatch(["run", "old", "--breaker", "shared", "--", "false"]);
    assert_eq!(failures(place), 1);
    for _ in 0..66 {
        assert_eq!(place.dogwatch(["run", "new", "--breaker", "shared", "--", "true"]).code, 0);
    }
    assert_eq!(failures(place), 0);
}

#[test]
fn an_old_failure_is_not_counted_again_by_any_later_reader() {
    let place = Place::new();
    old_failure(&place);
    assert_eq!(place.wait_json("old", &[])["outcome"], json!("failed"));
    assert_eq!(place.dogwatch(["recover", "old"]).code, 1);
    assert_eq!(failures(&place), 0);
    assert_eq!(place.dogwatch(["run", "old", "--no-breaker", "--", "true"]).code, 0);
    assert_eq!(failures(&place), 0, "the run before is settled, and was counted");
}

#[test]
fn an_old_failure_is_not_counted_again_by_cleaning() {
    let place = Place::new();
    old_failure(&place);
    assert_eq!(place.dogwatch(["clean", "old"]).code, 0);
    assert_eq!(failures(&place), 0);
}

#[test]
fn a_run_whose_breaker_could_not_be_written_is_counted_by_the_next_reader() {
    let place = Place::new();
    // A directory under the breaker's name: nothing can be renamed over it.
    std::fs::create_dir(place.file("shared.breaker")).expect("a folder");
    let run = place.dogwatch(["run", "s", "--breaker", "shared", "--", "false"]);
    // What cannot be read is no breaker that lets a run start; one that breaks during the run is.
    assert_eq!(run.code, 125, "{run:?}");
    std::fs::remove_dir(place.file("shared.breaker")).expect("it is removed");
    let script = "mkdir $DOGWATCH_DIR/shared.breaker; exit 1";
    let run = place.dogwatch(["run", "s", "--breaker", "shared", "--", "sh", "-c", script]);
    assert_eq!(run.code, 1, "{run:?}");
    std::fs::remove_dir(place.file("shared.breaker")).expect("it is removed");
    assert_eq!(place.dogwatch(["run", "s", "--breaker", "shared", "--", "true"]).code, 0);
    let breaker: serde_json::Value = serde_json::from_str(&place.read("shared.breaker")).expect("a breaker");
    let reasons: Vec<_> = breaker["runs"].as_array().expect("runs").iter().map(|run| run["reason"].clone()).collect();
    assert_eq!(reasons, ["failed", "success"]);
}

#[test]
fn what_a_plain_shell_says_while_it_is_terminated_counts_as_its_terminators() {
    let script =
        "trap 'echo FAILED > s.status; exit' TERM; echo $$ > s.pid; touch s.heartbeat; while :; do sleep 0.05; done";
    for (terminate, reasons) in
        [(&["kill", "s"][..], json!(["success"])), (&["wait", "s", "--stale", "300ms"], json!(["success", "hung"]))]
    {
        let place = Place::new();
        // A breaker that is there before, so that a run which does not count can be told from none.
        place.dogwatch(["breaker", "record", "s", "success"]);
        let _shell = Shell::start(&place, script, &[]);
        until("it has started", || place.file("s.heartbeat").exists());
        place.dogwatch(terminate);
        assert_eq!(place.meta("s")["reason"], json!(null), "the shell has said how it ended");
        place.dogwatch(["wait", "s"]);
        let runs: serde_json::Value = serde_json::from_str(&place.read("s.breaker")).expect("a breaker");
        let counted: Vec<_> = runs["runs"].as_array().expect("runs").iter().map(|run| run["reason"].clone()).collect();
        assert_eq!(json!(counted), reasons, "{terminate:?}");
    }
}

#[test]
fn a_step_that_nothing_tells_from_another_run_is_not_counted() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.file("s.pid")).status().expect("mkfifo");
    assert!(made.success());
    for _ in 0..4 {
        assert_eq!(place.dogwatch(["wait", "s"]).code, 1);
    }
    assert!(!place.file("s.breaker").exists());
}
