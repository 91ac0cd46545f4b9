//! What COMMAND gave as its result, kept as it is: also of a run that failed, and nothing made up where it gave none.

mod support;

use serde_json::{Value, json};
use support::Place;

#[test]
fn the_result_of_a_failed_run_is_kept() {
    let place = Place::new();
    for (mode, script) in [
        ("auto", r#"echo '{"failed":["a"]}' > "$DOGWATCH_RESULT"; exit 3"#),
        ("file", r#"echo '{"failed":["a"]}' > "$DOGWATCH_RESULT"; kill -9 $$"#),
        ("stdout", r#"echo '{"failed":["a"]}'; exit 3"#),
    ] {
        let run = place.dogwatch(["run", "s", "--no-breaker", "--result", mode, "--", "sh", "-c", script]);
        assert!(run.code == 3 || run.code == 137, "{run:?}");
        let kept: Value = serde_json::from_str(&place.read("s.result")).expect("JSON");
        assert_eq!(kept, json!({"failed": ["a"]}), "{mode}");
        assert_eq!(place.read("s.status"), "FAILED\n");
    }
    // One that gave none has none: nothing of the run before is left either.
    place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", "exit 3"]);
    assert!(!place.file("s.result").exists());
}

#[test]
fn output_that_was_to_be_the_result_is_in_the_log_and_nothing_is_invented() {
    let place = Place::new();
    let run = place.dogwatch([
        "run",
        "s",
        "--result",
        "stdout",
        "--",
        "sh",
        "-c",
        "echo building; echo no JSON; echo said >&2",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let log = place.read("s.log");
    for line in ["building\n", "no JSON\n", "said\n"] {
        assert!(log.contains(line), "{log}");
    }
    let meta = place.meta("s");
    assert!(meta["result_error"].as_str().is_some_and(|fault| fault.contains("JSON")), "{meta}");
    assert!(!place.file("s.result").exists());
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &Value::Null), "{report}");
    assert!(run.stderr.contains("JSON"), "{run:?}");
    let good = place.dogwatch(["run", "s", "--result", "stdout", "--", "sh", "-c", "echo '{\"n\": 1}'"]);
    assert_eq!((good.code, place.read("s.log").as_str()), (0, "{\"n\": 1}\n"));
    assert_eq!(place.wait_json("s", &[])["result"], json!({"n": 1}));
}

#[test]
fn a_result_file_that_was_not_written_is_said() {
    let place = Place::new();
    let run = place.dogwatch(["run", "s", "--result", "file", "--", "true"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("no result"), "{run:?}");
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &Value::Null), "{report}");
    assert!(place.meta("s")["result_error"].is_string());
}
