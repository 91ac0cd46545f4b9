//! `--kill-command`: the caller's own command ends what no signal from here reaches, and replaces the signals.
//!
//! Each test checks the files, the processes and what the command was given, not only the answer.

use crate::support::{APART, Ended, Place, Shell, kill, lives, marked, until};
use serde_json::{Value, json};
use std::time::Duration;

/// Waits with this kill command for a step that is over its time at once.
fn wait(place: &Place, command: &str) -> Ended {
    let arguments = ["wait", "s", "--json", "--max-timeout", "10ms", "--grace", "0.3", "--kill-command", command];
    place.start(arguments).end_at_all()
}

/// A step that lives on another host by its record; the process that bears its number here is somebody else's.
fn elsewhere(place: &Place) -> Shell {
    let namesake = Shell::start(place, "exec sleep 300", &[]);
    place.forge(namesake.pid(), Duration::ZERO, |meta| {
        meta["host"] = json!("elsewhere");
        meta["boot_id"] = Value::Null;
        meta["heartbeat_interval_ms"] = json!(10_000);
    });
    namesake
}

#[track_caller]
fn detail(ended: &Ended) -> String {
    ended.json()["detail"].as_str().unwrap_or_else(|| panic!("no detail: {ended:?}")).to_owned()
}

#[track_caller]
fn nothing_is_recorded(place: &Place) {
    assert!(!place.file("s.status").exists());
    assert!(!place.file("s.meta").exists() || place.meta("s")["reason"].is_null());
}

#[test]
fn work_on_another_host_is_ended_by_the_command_and_its_outcome_recorded() {
    let place = Place::new();
    let namesake = elsewhere(&place);
    let command = "printf '%s\n' \"$DOGWATCH_STEP\" \"$DOGWATCH_PID\" \"$DOGWATCH_DIR\" > seen; cat; echo heard";
    let limits = ["--json", "--max-timeout", "10ms", "--grace", "0.3", "--kill-command", command];
    let arguments = [["wait", "s", "--dir", "."].as_slice(), &limits].concat();
    let ended = Ended::of(&place.through(&["env"], arguments).output().expect("dogwatch runs"));
    ended.said(124, "timeout", true);
    assert!(ended.stderr.contains("heard\n"), "{ended:?}");
    assert!(!detail(&ended).contains("signalled"), "{ended:?}");
    let folder = place.path().display();
    assert_eq!(place.read("seen"), format!("s\n{}\n{folder}\n", namesake.pid()));
    assert!(lives(namesake.pid()), "nothing is signalled: {ended:?}");
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("timeout")));
    place.dogwatch(["wait", "s", "--json"]).said(124, "timeout", false);
}

#[test]
fn a_command_that_fails_leaves_nothing_recorded() {
    let place = Place::new();
    let _namesake = elsewhere(&place);
    for (command, told) in [("exit 7", "exit code 7"), ("kill -KILL $$", "signal 9")] {
        let ended = wait(&place, command);
        ended.said(124, "timeout", false);
        assert!(detail(&ended).contains(told), "{ended:?}");
        nothing_is_recorded(&place);
    }
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let place = Place::new();
    let _namesake = elsewhere(&place);
    let ended = wait(&place, "sleep 300 > /dev/null 2>&1 & echo $! > \"$DOGWATCH_DIR/sleeper\"; wait");
    ended.said(124, "timeout", false);
    assert!(detail(&ended).contains("did not end within 10s 300ms and was killed"), "{ended:?}");
    let sleeper = place.read("sleeper").trim().parse().expect("a pid");
    until("what it started is gone", || !lives(sleeper));
    nothing_is_recorded(&place);
}

#[test]
fn work_that_finishes_in_between_has_finished() {
    let place = Place::new();
    place.write("s.heartbeat", "");
    let late = "(until [ -e go ]; do sleep 0.01; done; echo 5 > s.result) > /dev/null 2>&1 &";
    let command = format!("cd \"$DOGWATCH_DIR\"; {late} echo SUCCESS > s.status; touch go; exit 3");
    let ended = wait(&place, &command);
    ended.said(0, "success", false);
    assert_eq!(ended.json()["result"], 5, "{ended:?}");
}

#[test]
fn a_step_without_a_pid_is_ended_and_its_record_is_not_the_next_ones() {
    let place = Place::new();
    place.write("s.heartbeat", "");
    wait(&place, "echo \"[$DOGWATCH_PID]\" > \"$DOGWATCH_DIR/seen\"").said(124, "timeout", true);
    assert_eq!(place.read("seen"), "[]\n");
    place.dogwatch(["wait", "s", "--json"]).said(124, "timeout", false);
    place.age("s.meta", Duration::from_hours(1));
    place.write("s.status", "FAILED\n");
    place.dogwatch(["wait", "s", "--json"]).said(1, "failed", false);
}

#[test]
fn a_step_that_lives_here_is_not_signalled_and_the_command_is_not_believed_while_it_lives() {
    let place = Place::new();
    let script = format!(
        "cd \"$DOGWATCH_DIR\"; {APART} sleep 300 & trap ': > told' TERM; echo ready; while :; do sleep 0.05; done"
    );
    let pid = place.detach("s", &script);
    until("the trap stands", || place.read("s.log") == "ready\n");
    let ended = wait(&place, "true");
    ended.said(124, "timeout", false);
    assert!(detail(&ended).contains("still lives"), "{ended:?}");
    assert!(lives(pid) && !place.file("told").exists());
    nothing_is_recorded(&place);
    let run = format!("DOGWATCH_RUN_ID={}", place.meta("s")["run_id"].as_str().expect("an id"));
    wait(&place, "kill -KILL $DOGWATCH_PID").said(124, "timeout", true);
    assert!(marked(&run).is_empty(), "what a dead run left here is ended as ever");
    assert_eq!(place.meta("s")["reason"], "timeout");
}

#[test]
fn the_work_that_a_dead_wrapper_left_elsewhere_is_ended_too_and_its_number_is_not_named() {
    for (end, told, killed) in [("true", None, true), ("exit 7", Some("exit code 7"), false)] {
        let place = Place::new();
        let pid = place.detach("s", "exec sleep 300");
        kill("KILL", pid);
        until("it is gone", || !lives(pid));
        let ended = wait(&place, &format!("echo \"[$DOGWATCH_PID]\" >> \"$DOGWATCH_DIR/seen\"; {end}"));
        // What the wrapper left here may have been ended by signals as well.
        let answer = ended.json();
        assert_eq!((ended.code, answer["outcome"].as_str()), (4, Some("died")), "{ended:?}");
        assert!(answer["killed"] == true || !killed, "{ended:?}");
        assert_eq!(place.read("seen"), "[]\n");
        assert_eq!(place.meta("s")["reason"], "died");
        assert!(detail(&ended).contains(told.unwrap_or("left no status")), "{ended:?}");
        wait(&place, "touch \"$DOGWATCH_DIR/again\"").said(4, "died", false);
        assert!(!place.file("again").exists(), "what is recorded is only read");
    }
}

#[test]
fn the_command_may_be_a_kill() {
    let place = Place::new();
    // A script without a wrapper, so that the command signals it; it uses some of its grace to end in order.
    let script = "trap 'sleep 0.2; : > told; exit 1' TERM; echo $$ > pid; mv pid s.pid; while :; do sleep 0.05; done";
    let script = Shell::start(&place, script, &[]);
    let pid = script.pid();
    until("the pid is there", || place.file("s.pid").exists());
    let command = format!("{} kill s --grace 20s", env!("CARGO_BIN_EXE_dogwatch"));
    let arguments = ["wait", "s", "--json", "--max-timeout", "10ms", "--grace", "20s", "--kill-command", &command];
    place.start(arguments).end_at_all().said(124, "timeout", true);
    until("its process is gone", || !lives(pid));
    assert!(place.file("told").exists(), "it had its grace");
}

#[test]
fn of_two_waiters_one_runs_the_command() {
    for dead in [false, true] {
        let place = Place::new();
        let _namesake = if dead {
            let pid = place.detach("s", "exec sleep 300");
            kill("KILL", pid);
            until("it is gone", || !lives(pid));
            None
        } else {
            Some(elsewhere(&place))
        };
        let command = "cd \"$DOGWATCH_DIR\"; echo >> calls; until [ -e go ]; do sleep 0.01; done";
        let arguments = ["wait", "s", "--json", "--max-timeout", "10ms", "--grace", "1s", "--kill-command", command];
        let waiters = [place.start(arguments), place.start(arguments)];
        let is_at_it = |pid: i32| {
            let opened = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").flatten();
            let files = opened.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            files.into_iter().any(|file| file == place.file(".s.pid.kill-command.tmp"))
        };
        until("both are at it", || waiters.iter().all(|waiter| is_at_it(waiter.pid())));
        place.write("go", "");
        let (code, outcome) = if dead { (4, "died") } else { (124, "timeout") };
        for waiter in waiters {
            let ended = waiter.end_at_all();
            assert_eq!((ended.code, ended.json()["outcome"].as_str()), (code, Some(outcome)), "{ended:?}");
        }
        assert_eq!(place.read("calls"), "\n", "dead: {dead}");
        assert!(!place.file(".s.pid.kill-command.tmp").exists());
    }
}

#[test]
fn a_command_that_contradicts_another_flag_or_is_empty_is_a_usage_error() {
    let place = Place::new();
    let _namesake = elsewhere(&place);
    let before = place.snapshot();
    for flags in [["--no-kill", "--kill-command=true"], ["--kill-command", ""]] {
        let ended = place.dogwatch(["wait", "s", "--max-timeout", "10ms"].iter().chain(&flags));
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("--kill-command"), "{ended:?}");
    }
    assert_eq!(place.snapshot(), before);
}

#[test]
fn what_a_command_did_not_do_is_no_reason_for_an_end_that_comes_later() {
    let place = Place::new();
    place.detach("s", "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 7");
    let ended = wait(&place, "false");
    ended.said(124, "timeout", false);
    assert!(detail(&ended).contains("nothing was recorded"), "{ended:?}");
    place.write("go", "");
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("failed"), &json!(7)), "{report}");
}
