//! A coding agent's session from beginning to end: work started detached, waited for in slices, its waiter lost and
//! replaced by one call, the same failure three times over, and the circuit closed again.
//!
//! Every step of it is a call that an agent makes.

use crate::support::{Place, kill, lives, until};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn work_outlives_its_waiters_and_the_fourth_failure_does_not_start() {
    let place = Place::new();
    let work =
        "echo at work; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.05; done; echo '{\"tests\":241}' > $DOGWATCH_RESULT";
    let start = place.dogwatch(["run", "-d", "build", "--", "sh", "-c", work]);
    assert_eq!(start.code, 0, "{start:?}");
    let wrapper: i32 = start.stdout.trim().parse().expect("the wrapper's pid");
    assert_eq!(place.dogwatch(["run", "-d", "build", "--", "true"]).code, 125, "it runs already");

    for slice in 1..=3_u64 {
        let began = Instant::now();
        let ended = place.start(["wait", "build", "--for", "2s", "--json"]).end_at_all();
        let answer = ended.json();
        assert_eq!(
            (ended.code, &answer["outcome"], &answer["action"]),
            (75, &json!("running"), &json!("wait")),
            "{ended:?}"
        );
        assert!(began.elapsed() >= Duration::from_secs(2), "a slice is as long as it was asked for");
        let elapsed = answer["elapsed_ms"].as_u64().expect("how long it runs");
        assert!(elapsed >= slice * 2_000, "no slice starts the run's clock again: {answer}");
    }

    // The session is lost in the middle of a wait; the work is not.
    let waiter = place.start(["wait", "build", "--for", "9m", "--json"]);
    until("it waits for events", || waiter.has_events());
    kill("KILL", waiter.pid());
    assert_eq!(waiter.end().code, 137);
    assert!(lives(wrapper));
    let plan = place.dogwatch(["check", "build", "--json"]);
    assert_eq!((plan.code, plan.json()["action"].as_str()), (75, Some("wait")), "{plan:?}");
    let recovery = place.start(["recover", "build", "--for", "9m", "--json"]);
    until("it waits in the lost one's place", || recovery.has_events());
    place.write("go", "");
    let ended = recovery.end_at_all();
    let answer = ended.json();
    assert_eq!(
        (ended.code, &answer["outcome"], &answer["action"]),
        (0, &json!("success"), &json!("continue")),
        "{ended:?}"
    );
    assert_eq!((&answer["result"], &answer["pid"]), (&json!({"tests": 241}), &json!(wrapper)), "{ended:?}");

    let fails = ["run", "test", "--", "sh", "-c", "echo no such module >&2; exit 1"];
    for failures in 1..=3 {
        assert_eq!(place.dogwatch(fails).code, 1);
        let ended = place.dogwatch(["wait", "test", "--json"]);
        let answer = ended.json();
        assert_eq!((ended.code, &answer["log_tail"]), (1, &json!(["no such module"])), "{ended:?}");
        let expected =
            json!({"name": "test", "consecutive_failures": failures, "max_consecutive": 3, "open": failures == 3});
        assert_eq!(answer["breaker"], expected, "{ended:?}");
        assert_eq!(answer["action"], if failures == 3 { "stop" } else { "retry" }, "{ended:?}");
    }
    let before = place.snapshot();
    let refused = place.dogwatch(fails);
    assert_eq!((refused.code, refused.stderr.lines().count()), (6, 1), "{refused:?}");
    for words in ["3 failures in a row", "test.log", "dogwatch breaker reset test"] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    assert_eq!(place.snapshot(), before, "nothing was touched");
    assert_eq!(place.dogwatch(["breaker", "reset", "test"]).code, 0);
    assert_eq!(place.dogwatch(["run", "test", "--", "true"]).code, 0);
    assert_eq!(place.dogwatch(["wait", "test", "--json"]).json()["breaker"]["consecutive_failures"], 0);
}
