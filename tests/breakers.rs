//! Circuit breakers by hand: shown, closed and fed, however many do it at once.
//!
//! The counts come from several writers at once.

use crate::support::{Ended, Place, in_parallel};
use serde_json::json;

fn breaker(place: &Place, words: &[&str]) -> Ended {
    place.dogwatch(["breaker"].iter().chain(words))
}

fn failures(place: &Place, name: &str) -> u64 {
    let shown = breaker(place, &["show", name, "--json"]);
    shown.json()["consecutive_failures"].as_u64().expect("a number")
}

#[test]
fn a_hundred_recorders_at_once_are_counted_one_by_one() {
    let place = Place::new();
    in_parallel(100, 100, |_| {
        let ended = breaker(&place, &["record", "b", "failed"]);
        assert_eq!(ended.code, 0, "{ended:?}");
    });
    assert_eq!(failures(&place, "b"), 100);
    // The last 64 are kept by name.
    let record: serde_json::Value = serde_json::from_str(&place.read("b.breaker")).expect("a record");
    assert_eq!(record["runs"].as_array().map(Vec::len), Some(64));
    let ended = breaker(&place, &["record", "b", "success", "--json"]);
    assert_eq!((ended.json()["consecutive_failures"].clone(), ended.json()["open"].clone()), (json!(0), json!(false)));
}

#[test]
fn one_breaker_or_all_are_shown_and_closed() {
    let place = Place::new();
    let none = breaker(&place, &["show"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.lines().count()), (0, "", 1), "{none:?}");
    for name in ["a", "b", "c"] {
        (0..3).for_each(|_| assert_eq!(breaker(&place, &["record", name, "failed"]).code, 0));
    }
    assert_eq!(breaker(&place, &["show", "b"]).stdout, "b: open, 3 of 3 failures in a row\n");
    let all = breaker(&place, &["show", "--json"]).lines();
    let said: Vec<_> = all.iter().map(|line| (line["name"].as_str(), line["open"].as_bool())).collect();
    assert_eq!(said, [(Some("a"), Some(true)), (Some("b"), Some(true)), (Some("c"), Some(true))]);
    assert_eq!(place.dogwatch(["run", "a", "--", "true"]).code, 6);
    assert_eq!(breaker(&place, &["reset", "a"]).stdout, "a: closed, 0 of 3 failures in a row\n");
    assert_eq!((place.dogwatch(["run", "a", "--", "true"]).code, failures(&place, "b")), (0, 3));
    assert_eq!(breaker(&place, &["reset"]).stdout.lines().count(), 3);
    assert_eq!((failures(&place, "b"), failures(&place, "c")), (0, 0));
    // One that was never fed is closed.
    assert_eq!((breaker(&place, &["show", "x"]).code, failures(&place, "x")), (0, 0));
}

#[test]
fn what_is_no_record_is_said_and_kept() {
    let place = Place::new();
    place.write("b.breaker", "{ not mine");
    for words in [&["show", "b"][..], &["record", "b", "failed"], &["reset", "b"]] {
        let ended = breaker(&place, words);
        assert_eq!((ended.code, ended.stderr.lines().count()), (125, 1), "{words:?}: {ended:?}");
        assert!(ended.stderr.contains("b.breaker") && ended.stderr.contains("remove it"), "{ended:?}");
    }
    assert_eq!(place.read("b.breaker"), "{ not mine");
    // It hides none of the others, before it or after, and keeps none from being closed.
    for name in ["a", "c"] {
        assert_eq!(breaker(&place, &["record", name, "failed"]).code, 0);
    }
    for (word, failures) in [("show", 1), ("reset", 0)] {
        let ended = breaker(&place, &[word]);
        let others = ["a", "c"].map(|name| format!("{name}: closed, {failures} of 3 failures in a row\n"));
        assert_eq!((ended.code, ended.stdout.as_str()), (125, others.concat().as_str()), "{ended:?}");
        assert!(ended.stderr.contains("b.breaker") && ended.stderr.lines().count() == 1, "{ended:?}");
    }
    assert_eq!(place.read("b.breaker"), "{ not mine");
}

#[test]
fn an_open_circuit_lets_one_run_through_after_its_cooldown() {
    let place = Place::new();
    (0..3).for_each(|_| assert_eq!(breaker(&place, &["record", "s", "failed"]).code, 0));
    assert_eq!(place.dogwatch(["run", "s", "--cooldown", "1h", "--", "true"]).code, 6);
    assert_eq!(place.dogwatch(["run", "s", "--cooldown", "1ms", "--", "sh", "-c", "exit 9"]).code, 9);
    assert_eq!(failures(&place, "s"), 4);
    assert_eq!(place.dogwatch(["run", "s", "--cooldown", "1ms", "--", "true"]).code, 0);
    assert_eq!(failures(&place, "s"), 0);
}

#[test]
fn a_run_that_was_stopped_on_request_tells_of_no_open_circuit() {
    let place = Place::new();
    place.detach("s", "exec sleep 300");
    for arguments in [["kill", "s"], ["wait", "s"]] {
        let ended = place.dogwatch(arguments);
        assert!(ended.stdout.contains("stopped on request") && !ended.stderr.contains("circuit"), "{ended:?}");
    }
}
