//! `wait` beside the forms of status and result: backends, directories to come, replaced runs, exact results.
//!
//! There is no fixed sleep: each change is made once the wait before it is known to be armed.

use crate::support::{Dice, Place, Shell, any_moment_within, until};
use serde_json::json;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Starts a living plain-shell step that does nothing.
fn living(place: &Place, step: &str) -> Shell {
    let shell = Shell::start(place, "echo $$ > $1.pid; exec sleep 300", &[step]);
    let file = place.file(&format!("{step}.pid"));
    until("the pid is written", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    shell
}

#[test]
fn a_result_is_passed_on_exactly_as_written() {
    let place = Place::new();
    place.write("s.result", "{\"b\": 1.10,\n \"a\": 123456789012345678901234567890}\n");
    place.write("s.status", "SUCCESS\n");
    let ended = place.dogwatch(["wait", "s", "--result"]);
    assert_eq!(ended.stdout, "{\"b\":1.10,\"a\":123456789012345678901234567890}\n");
    assert_eq!(ended.code, 0);
}

#[test]
fn a_step_whose_process_goes_without_a_status_died() {
    let place = Place::new();
    let mut shell = living(&place, "s");
    let wait = place.start(["wait", "s", "--json"]);
    shell.kill();
    let ended = wait.end_at_all();
    assert_eq!((ended.code, &ended.json()["outcome"]), (4, &json!("died")));
    assert_eq!(place.read("s.status"), "FAILED\n");
    assert_eq!(place.meta("s")["reason"], "died");
    assert_eq!(place.dogwatch(["wait", "s"]).code, 4, "everybody reads the same");
}

#[test]
fn a_pid_that_is_written_in_place_after_its_file_was_seen_empty_is_noticed() {
    let place = Place::new();
    place.write("s.pid", "");
    let wait = place.start(["wait", "s", "--json"]);
    // A slice that began later and is over: the wait before it has looked and sleeps.
    assert_eq!(place.dogwatch(["wait", "s", "--for", "400ms"]).code, 75);
    let mut shell = living(&place, "s");
    assert_eq!(place.wait_json("s", &["--for", "400ms"])["pid"], json!(shell.pid()));
    let killed = Instant::now();
    shell.kill();
    assert_eq!(wait.end_at_all().json()["outcome"], "died");
    assert!(killed.elapsed() < Duration::from_secs(10), "no rescan was waited for: {:?}", killed.elapsed());
}

#[test]
fn a_directory_that_does_not_exist_yet_is_waited_for() {
    let place = Place::new();
    let deep = place.file("one/two");
    let arguments = ["wait", "s", "--json", "--dir", deep.to_str().unwrap()];
    let wait = place.start(arguments);
    let early = place.dogwatch(["wait", "s", "--for", "100ms", "--dir", deep.to_str().unwrap()]);
    assert_eq!(early.code, 5);
    let run = place.dogwatch(["run", "s", "--dir", deep.to_str().unwrap(), "--", "true"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(wait.end_at_all().json()["outcome"], "success");
}

#[test]
fn polling_sees_what_events_would() {
    let place = Place::new();
    let _living = living(&place, "s");
    let wait = place.start(["wait", "s", "--json", "--backend", "poll", "--poll-interval", "50ms"]);
    let slice = place.wait_json("s", &["--for", "200ms", "--backend", "poll", "--poll-interval", "50ms"]);
    assert_eq!((&slice["outcome"], &slice["backend"]), (&json!("running"), &json!("poll")));
    place.write("s.result", "1");
    place.write("s.status", "SUCCESS\n");
    let report = wait.end_at_all().json();
    assert_eq!((&report["outcome"], &report["backend"]), (&json!("success"), &json!("poll")));
    let said = place.dogwatch(["wait", "s", "-v"]);
    assert_eq!(said.stderr, "", "what has ended needs no backend");
}

#[test]
fn nothing_of_a_wait_that_has_watched_is_left_and_its_readers_see_its_end() {
    let place = Place::new();
    let _living = living(&place, "s");
    for word in ["FAILED\n", "SUCCESS\n"] {
        let mut command = place.command(["wait", "s"]);
        let mark = crate::support::unique();
        command.env("TEST_MARK", &mark);
        let wait = crate::support::Running::start(command);
        until("it watches", || wait.has_events());
        place.write("s.result", "1");
        place.write(".s", word);
        std::fs::rename(place.file(".s"), place.file("s.status")).unwrap();
        // Both its streams are read to their ends: whoever takes its watches over must hold neither.
        let ended = wait.end_at_all();
        assert_eq!(ended.stdout.lines().count(), 1, "{ended:?}");
        until("who took its watches over has gone", || crate::support::marked(&format!("TEST_MARK={mark}")).is_empty());
        std::fs::remove_file(place.file("s.status")).unwrap();
    }
}

#[test]
fn a_thousand_steps_are_each_told_of_at_once_even_where_few_files_may_be_open() {
    let place = Place::new();
    let mut shells: Vec<Shell> = (0..8).map(|number| living(&place, &format!("s{number}"))).collect();
    let steps: Vec<String> = (0..1000).map(|number| format!("s{number}")).collect();
    for (number, step) in steps.iter().enumerate().skip(8) {
        place.write(&format!("{step}.pid"), &format!("{}\n", shells[number % 8].pid()));
    }
    let limited = ["sh", "-c", "ulimit -Sn 100; exec \"$@\"", "sh"];
    let wait = place.through(&limited, ["wait", "-q"].into_iter().chain(steps.iter().map(String::as_str)));
    let wait = crate::support::Running::start(wait);
    // On Linux each process takes a descriptor; on macOS one takes them all.
    until("it watches them all", || {
        wait.has_events() && (cfg!(not(target_os = "linux")) || wait.open_files().len() > 1000)
    });
    shells.iter_mut().for_each(Shell::kill);
    assert_eq!(wait.end_at_all().code, 4);
}

#[test]
fn what_has_ended_needs_no_watch() {
    let place = Place::new();
    place.write("s.status", "FAILED\n");
    assert_eq!(place.wait_json("s", &[])["backend"], "none");
}

#[test]
fn a_run_that_is_replaced_while_it_is_waited_for_is_followed_and_said_so() {
    let place = Place::new();
    let mut first = living(&place, "s");
    let wait = place.start(["wait", "s", "--json", "--backend", "poll", "--poll-interval", "300ms"]);
    let watching = place.wait_json("s", &["--for", "400ms"]);
    assert_eq!(watching["outcome"], "running");
    // Between two looks: the old process goes, another takes its place and ends.
    first.kill();
    place.write(".new", "1\n");
    let second =
        Shell::start(&place, "echo $$ > .p; mv .p s.pid; echo FAILED > .f; mv .f s.status; exec sleep 300", &[]);
    let report = wait.end_at_all().json();
    assert_eq!(report["outcome"], "failed", "{report}");
    assert!(report["detail"].as_str().unwrap().contains("was replaced"), "{report}");
    drop(second);
}

#[test]
fn a_reader_that_has_gone_is_no_trouble() {
    let place = Place::new();
    place.write("s.status", "FAILED\n");
    let mut child = place.command(["wait", "s"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn with_new_a_result_of_before_the_call_is_not_the_next_runs() {
    // A wrapper that never takes its result away.
    for word in ["SUCCESS\n", "FAILED\n"] {
        let place = Place::new();
        place.write("s.result", "\"old\"");
        place.write("s.status", word);
        let wait = place.start(["wait", "s", "--new", "--json"]);
        until("it waits for events", || wait.has_events());
        place.write("s.status", "SUCCESS\n");
        any_moment_within(&mut Dice::new(7), 700);
        place.write("s.result", "\"new\"");
        assert_eq!(wait.end_at_all().json()["result"], "new", "{word}");
    }
}
