//! What COMMAND gave as its result, kept as it is: also of a run that failed, and nothing made up where it gave none.

use crate::support::{Ended, Place, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

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
        assert_eq!(place.wait_json("s", &[])["result"], kept, "{mode}");
        let alone = place.dogwatch(["wait", "s", "--result"]);
        assert_eq!((alone.code, alone.stdout.as_str()), (1, "{\"failed\":[\"a\"]}\n"), "{alone:?}");
        assert!(alone.stderr.contains("dogwatch: s: failed, "), "{alone:?}");
    }
    // One that gave none has none: nothing of the run before is left either.
    place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", "exit 3"]);
    assert!(!place.file("s.result").exists());
    // A plain shell leaves the result of the run before where it is.
    place.write("p.result", "7\n");
    place.write("p.status", "FAILED\n");
    assert_eq!(place.wait_json("p", &[])["result"], Value::Null);
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
    let printed = place.dogwatch(["wait", "s", "--result"]);
    assert_eq!((printed.code, printed.stdout.as_str()), (0, ""), "nothing is made up: {printed:?}");
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

#[test]
fn a_detached_command_gets_the_input_it_was_promised() {
    let place = Place::new();
    let mut command = place.command(["run", "-d", "s", "--stdin", "inherit", "--", "sh", "-c", "cat; echo END"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let mut input = child.stdin.take().expect("its input");
    assert_eq!(child.wait().expect("it returns").code(), Some(0));
    input.write_all(b"one\ntwo\n").expect("it is passed on");
    drop(input);
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
    assert_eq!(place.read("s.log"), "one\ntwo\nEND\n");
    place.write("input", "from a file\n");
    let mut command = place.command(["run", "-d", "s", "--stdin", "inherit", "--", "cat"]);
    let input = std::fs::File::open(place.file("input")).expect("it opens");
    assert!(command.stdin(input).stdout(Stdio::null()).status().expect("it returns").success());
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
    assert_eq!(place.read("s.log"), "from a file\n");
}

#[test]
fn a_terminal_is_no_input_for_a_detached_command() {
    let place = Place::new();
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    let mut command = place.command(["run", "-d", "s", "--stdin", "inherit", "--", "cat"]);
    let output = command.stdin(terminal.slave).output().expect("it returns");
    let ended = Ended::of(&output);
    assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{ended:?}");
    assert!(!place.file("s.pid").exists());
}

#[test]
fn a_program_that_cannot_run_is_told_with_its_reason() {
    let place = Place::new();
    for (name, script, part) in [
        ("pytest", "#!/old/place/.venv/bin/python\n", "/old/place/.venv/bin/python"),
        ("spaced", "#! /no/such/interpreter -x\n", "/no/such/interpreter"),
        ("crlf", "#!/bin/sh\r\necho hi\r\n", "/bin/sh\\r"),
        ("env", "#!/usr/bin/env no-such-program\n", ""),
    ] {
        crate::support::executable(&place.file(name), script);
        let path = place.file(name);
        let run = place.dogwatch(["run", "s", "--no-breaker", "--", path.to_str().expect("text")]);
        assert_eq!(run.code, 127, "{name}: {run:?}");
        assert!(run.stderr.contains(part), "{name}: {run:?}");
    }
    let line = place.dogwatch(["run", "s", "--no-breaker", "--", "npm test"]);
    assert_eq!(line.code, 127, "{line:?}");
    assert!(line.stderr.contains("sh -c 'npm test'"), "{line:?}");
    // By the search path as well.
    let mut command = place.command(["run", "s", "--no-breaker", "--", "pytest"]);
    let found = Ended::of(&command.env("PATH", place.path()).output().expect("it runs"));
    assert!(found.stderr.contains("/old/place/.venv/bin/python"), "{found:?}");
}

#[test]
fn attach_joins_the_run_that_is_there_whatever_its_breaker_says() {
    let place = Place::new();
    for _ in 0..3 {
        assert_eq!(place.dogwatch(["run", "s", "--", "false"]).code, 1);
    }
    assert_eq!(place.dogwatch(["run", "s", "--attach", "--", "true"]).code, 6, "nothing runs, and the circuit is open");
    let script = "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 4";
    assert_eq!(place.dogwatch(["run", "-d", "s", "--no-breaker", "--", "sh", "-c", script]).code, 0);
    let pid = place.pid("s");
    let detached = place.dogwatch(["run", "-d", "s", "--attach", "--", "true"]);
    assert_eq!((detached.code, detached.stdout.trim()), (0, pid.to_string().as_str()), "{detached:?}");
    let attached = place.start(["run", "s", "--attach", "--", "true"]);
    // Once the run has ended there is nothing to join.
    until("it waits for the run", || attached.has_events());
    place.write("go", "");
    assert_eq!(attached.end_at_all().code, 4);
}

#[test]
fn command_gets_its_folder_and_its_variables() {
    let place = Place::new();
    std::fs::create_dir(place.file("below")).expect("a folder");
    let below = place.file("below");
    let work = "pwd; echo $COLOUR $DOGWATCH_STEP";
    let line = ["run", "s", "--cwd", below.to_str().expect("text"), "--env", "COLOUR=a=b", "--env", "DOGWATCH_STEP=x"];
    let run = place.dogwatch(line.iter().copied().chain(["--", "sh", "-c", work]));
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(place.read("s.log"), format!("{}\na=b s\n", below.display()));
    assert_eq!(place.meta("s")["cwd"], below.to_str().expect("text"));
    let before = place.snapshot();
    for (flag, value, code) in [("--cwd", "no/such/folder", 2), ("--env", "COLOUR", 2), ("--env", "=x", 2)] {
        let refused = place.dogwatch(["run", "s", flag, value, "--", "true"]);
        assert_eq!((refused.code, refused.stderr.lines().count() >= 1), (code, true), "{refused:?}");
    }
    let same = |files: Vec<(String, Vec<u8>, _)>| -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
        files.into_iter().filter(|(name, ..)| name != "s.lock").collect()
    };
    assert_eq!(same(place.snapshot()), same(before));
}
