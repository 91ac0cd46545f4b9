//! What `run` and `wait` end with: every code, every signal, every limit, every flag that changes what is said.
//!
//! The exit code of `run` is compared with what `wait` says of the same run.

use crate::support::{
    APART, DEADLY, Ended, Place, Running, in_parallel, kill, lives, marked, shows_marks, unique, until,
};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// `run FLAGS… STEP -- sh -c SCRIPT`, to its end.
fn run(place: &Place, step: &str, flags: &[&str], script: &str) -> Ended {
    place.dogwatch(["run", step].iter().chain(flags).chain(&["--", "sh", "-c", script]))
}

/// A run that goes on until it is dropped.
fn running(place: &Place, step: &str) -> Running {
    let run = place.start(["run", step, "--", "sleep", "300"]);
    until("the run has started", || place.file(&format!("{step}.pid")).exists());
    run
}

fn wait(place: &Place, step: &str, more: &[&str]) -> (i32, Value) {
    let ended = place.dogwatch(["wait", step, "--json=full"].iter().chain(more));
    (ended.code, ended.json())
}

fn propagated(place: &Place, step: &str) -> i32 {
    place.dogwatch(["wait", step, "--propagate", "-q"]).code
}

#[test]
fn a_commands_own_75_is_passed_on_where_it_cannot_be_taken_for_still_running() {
    let place = Place::new();
    let run = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", "exit 75"]);
    assert_eq!(run.code, 75, "{run:?}");
    assert_eq!(propagated(&place, "s"), 75);
    // Called until it does not end with 75, it would be called for ever.
    for line in ["wait s --propagate --for 1s", "recover s --propagate --for 1s", "wait s --for 1s"] {
        let slice = place.dogwatch(line.split(' '));
        assert_eq!(slice.code, 1, "{line}: {slice:?}");
        assert!(slice.stdout.starts_with("s: failed, exit code 75 after "), "{line}: {slice:?}");
    }
    let one_call = place.dogwatch(["run", "one", "--for", "20s", "--", "sh", "-c", "exit 75"]);
    assert_eq!(one_call.code, 1, "{one_call:?}");
    assert_eq!(place.wait_json("s", &[])["exit_code"], 75);
    place.detach("busy", "sleep 300");
    assert_eq!(place.dogwatch(["wait", "busy", "--propagate", "--for", "10ms"]).code, 75);
    place.dogwatch(["run", "t", "--", "sh", "-c", "exit 7"]);
    assert_eq!(place.dogwatch(["wait", "t", "--propagate", "--for", "1s"]).code, 7, "any other code is passed on");
}

#[test]
fn all_256_exit_codes_pass_through_and_are_told_truly() {
    let place = Place::new();
    in_parallel(256, 4, |code| {
        let (step, expected) = (format!("s{code}"), i32::try_from(code).expect("a small number"));
        let ended = run(&place, &step, &[], &format!("exit {code}"));
        assert_eq!(ended.code, expected, "{ended:?}");
        let (waited, answer) = wait(&place, &step, &[]);
        let outcome = if code == 0 { (0, Some("success")) } else { (1, Some("failed")) };
        assert_eq!((waited, answer["outcome"].as_str()), outcome, "{answer}");
        let own = (&answer["exit_code"], &answer["signal"], propagated(&place, &step));
        assert_eq!(own, (&json!(code), &Value::Null, expected), "{answer}");
    });
}

#[test]
fn every_signal_that_ends_a_command_is_told_as_128_and_its_number_and_by_name() {
    let signals: Vec<&str> = DEADLY.split(' ').collect();
    let place = Place::new();
    in_parallel(signals.len() / 2, 4, |at| {
        let (number, name) = (signals[at * 2], signals[at * 2 + 1]);
        let expected = 128 + number.parse::<i32>().expect("a number");
        let script = format!("ulimit -c 0; kill -{number} $$; sleep 60");
        // Undisturbed: a HUP that the caller ignores stays ignored in COMMAND, as nohup asks for.
        let ended = place.start_undisturbed(["run", number, "--", "sh", "-c", &script]).end_at_all();
        assert_eq!(ended.code, expected, "{name}: {ended:?}");
        let (code, answer) = wait(&place, number, &[]);
        let said = (code, answer["outcome"].as_str(), &answer["exit_code"], propagated(&place, number));
        assert_eq!(said, (1, Some("failed"), &Value::Null, expected), "{answer}");
        let signal = answer["signal"].as_str().unwrap_or_default();
        assert!(signal == name || name == "SIG" && signal.starts_with("SIG"), "{answer}");
    });
}

#[test]
fn a_command_that_cannot_be_started_is_126_or_127_and_published_as_failed() {
    let place = Place::new();
    place.write("plain", "#!/bin/sh\nexit 0\n");
    let file = |name: &str| place.file(name).to_string_lossy().into_owned();
    let cases = [(file("plain"), 126), ("/".into(), 126), (file("none"), 127), ("no-such".into(), 127)];
    for (at, (command, code)) in cases.into_iter().enumerate() {
        for detach in [false, true] {
            let step = format!("s{at}-{detach}");
            let flags: &[&str] = if detach { &["-d"] } else { &[] };
            let ended = place.dogwatch(["run", &step].iter().chain(flags).chain(&["--", &command]));
            assert_eq!((ended.code, ended.stderr.lines().count()), (code, 1), "{ended:?}");
            assert!(ended.stderr.contains(&command), "{ended:?}");
            let (waited, answer) = wait(&place, &step, &[]);
            assert_eq!((waited, &answer["exit_code"]), (1, &json!(code)), "{answer}");
            assert_eq!(place.read(&format!("{step}.status")), "FAILED\n");
            assert_eq!(propagated(&place, &step), code);
        }
    }
}

#[test]
fn a_run_over_its_own_limit_ends_by_itself_and_wait_says_why() {
    let limits: [(&[&str], i32, &str); 2] =
        [(&["--max-timeout", "400ms"], 124, "timeout"), (&["--stale", "400ms", "--heartbeat-on", "manual"], 3, "hung")];
    for (flags, code, outcome) in limits {
        let (place, began) = (Place::new(), Instant::now());
        let ended = run(&place, "s", flags, "echo working; sleep 300");
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
        let (waited, answer) = wait(&place, "s", &[]);
        assert_eq!((waited, answer["outcome"].as_str()), (code, Some(outcome)), "{answer}");
        assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!(outcome)));
    }
}

#[test]
fn six_signals_are_forwarded_and_the_command_decides_what_they_mean() {
    let signals = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"];
    in_parallel(signals.len(), signals.len(), |at| {
        let (place, name) = (Place::new(), signals[at]);
        let script = format!("trap 'echo heard; exit {}' {name}; echo ready; while :; do sleep 0.05; done", 40 + at);
        let run = place.start_undisturbed(["run", "s", "--", "sh", "-c", &script]);
        let log = || std::fs::read_to_string(place.file("s.log")).unwrap_or_default();
        until("the trap is set", || log() == "ready\n");
        kill(name, run.pid());
        let ended = run.end_at_all();
        assert_eq!(i32::try_from(40 + at), Ok(ended.code), "{name}: {ended:?}");
        assert_eq!(log().lines().next_back(), Some("heard"), "{name}");
        assert_eq!(wait(&place, "s", &[]).1["exit_code"], json!(40 + at), "{name}");
    });
}

#[test]
fn a_detached_run_prints_its_pid_returns_at_once_and_goes_on() {
    let place = Place::new();
    // That the output has ended shows that nothing of the run holds it open.
    let ended = run(&place, "s", &["-d"], "while [ ! -e \"$DOGWATCH_DIR/go\" ]; do sleep 0.02; done; exit 9");
    assert_eq!((ended.code, ended.stdout), (0, format!("{}\n", place.pid("s"))));
    assert!(lives(place.pid("s")) && !place.file("s.status").exists());
    place.write("go", "");
    assert_eq!(wait(&place, "s", &[]).1["exit_code"], 9);
}

#[test]
fn the_result_is_the_commands_json_or_a_record_of_the_run() {
    let of_its_own = "echo '{\"own\": [1, 2.50]}' > \"$DOGWATCH_RESULT\"; echo noise";
    let cases: [(&[&str], &str, Option<Value>, bool); 7] = [
        (&[], of_its_own, Some(json!({ "own": [1, 2.5] })), false),
        (&["--result", "file"], of_its_own, Some(json!({ "own": [1, 2.5] })), false),
        (&["--result", "stdout"], "echo '[3]'; echo noise >&2", Some(json!([3])), false),
        (&[], "echo noise", None, false),
        (&[], "echo '{' > \"$DOGWATCH_RESULT\"", None, true),
        (&["--result", "stdout"], "echo no json", None, true),
        (&["--result", "file"], "true", None, true),
    ];
    for (flags, script, result, faulty) in cases {
        let place = Place::new();
        let ended = run(&place, "s", flags, script);
        assert_eq!((ended.code, ended.stderr.lines().count()), (0, usize::from(faulty)), "{script}: {ended:?}");
        let (code, answer) = wait(&place, "s", &[]);
        assert_eq!((code, answer["outcome"].as_str()), (0, Some("success")), "{script}: {answer}");
        if flags.is_empty() || !faulty {
            let own: Value = serde_json::from_str(&place.read("s.result")).expect("JSON, whatever was written");
            assert_eq!(answer["result"], own);
            if let Some(result) = result {
                assert_eq!(own, result, "{script}");
            } else {
                assert_eq!((&own["exit_code"], own["elapsed_ms"].is_u64()), (&json!(0), true), "{script}: {own}");
                assert_eq!(own["result_error"].is_string(), faulty, "{script}: {own}");
            }
        } else {
            // Nothing is invented where COMMAND was to give the result and did not.
            assert!(answer["result"].is_null() && answer["result_error"].is_string(), "{script}: {answer}");
            assert!(!place.file("s.result").exists(), "{script}");
        }
        // Standard output is in the log in any case.
        assert_eq!(place.read("s.log").contains("[3]"), script.contains("[3]"), "{script}");
    }
}

#[test]
fn the_log_takes_the_streams_that_it_is_told_to_and_the_others_pass() {
    for (log, logged, out, err) in [
        ("both", "out\nerr\n", "", ""),
        ("stderr", "err\n", "out\n", ""),
        ("stdout", "out\n", "", "err\n"),
        ("none", "", "out\n", "err\n"),
    ] {
        let place = Place::new();
        let ended = run(&place, "s", &["--log", log], "echo out; echo err >&2");
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, out, err), "{log}");
        assert_eq!(std::fs::read_to_string(place.file("s.log")).unwrap_or_default(), logged, "{log}");
    }
    let place = Place::new();
    let script = "for n in 1 2 3; do echo out $n; echo err $n >&2; done";
    let mut tee =
        place.through(&["sh", "-c", "exec \"$@\" 2>&1", "sh"], ["run", "s", "--tee", "--", "sh", "-c", script]);
    let ended = Ended::of(&tee.output().expect("a shell"));
    let both = "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n";
    assert_eq!((ended.code, ended.stdout.as_str(), place.read("s.log").as_str()), (0, both, both));
}

#[test]
fn a_log_over_its_bound_loses_its_oldest_part_while_the_command_writes() {
    let place = Place::new();
    // 100 MB at a pace that a look every 50 ms can keep up with.
    let script = "n=0; while [ $n -lt 100 ]; do n=$((n + 1)); head -c 999990 /dev/zero | tr '\\0' x; \
                  echo; echo \"line $n\"; sleep 0.02; done; exit 1";
    let mut run = place.start(["run", "s", "--log-max", "5MB", "--", "sh", "-c", script]);
    let (mut most, disk) = (0, || std::fs::metadata(place.file("s.log")).map_or(0, |log| log.blocks() * 512));
    until("the run ends", || {
        most = most.max(disk());
        run.has_ended()
    });
    assert_eq!(run.end().code, 1);
    // A slow machine may look late; without any bound it would be 100 MB.
    assert!((3_000_000..40_000_000).contains(&most) && disk() < 12_000_000, "{most} and at last {}", disk());
    let log = std::fs::read(place.file("s.log")).expect("the log");
    let text = String::from_utf8_lossy(&log);
    assert!(text.ends_with("line 100\n"));
    let notice = text.lines().map(|line| line.trim_matches('\0')).find(|line| line.contains("dropped")).unwrap_or("");
    assert!(notice.contains(|one: char| one.is_ascii_digit()) && notice.len() < 200, "{notice:?}");
    let tail = wait(&place, "s", &["--log-tail", "1"]).1;
    assert_eq!(tail["log_tail"], json!(["line 100"]));
}

#[test]
fn what_the_command_leaves_running_is_ended_unless_it_may_live() {
    if !shows_marks() {
        return;
    }
    let leaves = format!("{APART} sleep 300 &");
    for (flags, left) in [(&[][..], 0), (&["--keep-children"][..], 1)] {
        let (place, value) = (Place::new(), unique());
        let mut command = place.command(["run", "s"].iter().chain(flags).chain(&["--", "sh", "-c", &leaves]));
        let ended = Ended::of(&command.env("TEST_MARK", &value).output().expect("dogwatch runs"));
        let mark = format!("TEST_MARK={value}");
        let mut found = marked(&mark);
        if left > 0 {
            // A process in the middle of execve(2) shows no environment for a moment.
            until("what was left shows its mark", || {
                found = marked(&mark);
                found.len() == left
            });
        }
        for &pid in &found {
            kill("KILL", pid);
        }
        assert_eq!((ended.code, found.len()), (0, left), "{flags:?}: {ended:?}");
    }
}

#[test]
fn a_command_reads_nothing_unless_it_may_and_is_told_where_it_is() {
    let place = Place::new();
    for (flags, read) in [(&[][..], ""), (&["--stdin", "inherit"][..], "typed")] {
        let caller = ["sh", "-c", "printf typed | \"$@\"", "sh"];
        let mut call = place.through(&caller, ["run", "s"].iter().chain(flags).chain(&["--", "cat"]));
        assert_eq!((Ended::of(&call.output().expect("a shell")).code, place.read("s.log").as_str()), (0, read));
    }
    assert_eq!(run(&place, "e", &[], "env | grep ^DOGWATCH_ | sort").code, 0);
    let (folder, log) = (place.path().display().to_string(), place.read("e.log"));
    let told: Vec<(&str, &str)> = log.lines().filter_map(|line| line.split_once('=')).collect();
    let names: Vec<&str> = told.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["DIR", "HEARTBEAT", "RESULT", "RUN_ID", "STEP"].map(|name| format!("DOGWATCH_{name}")));
    assert_eq!((told[0].1, told[1].1, told[4].1), (folder.as_str(), format!("{folder}/e.heartbeat").as_str(), "e"));
    assert!(told[2].1.starts_with(&folder) && place.meta("e")["run_id"] == told[3].1);
}

#[test]
fn three_failures_in_a_row_open_the_breaker_until_a_success_or_a_reset() {
    let place = Place::new();
    let codes = |scripts: &[&str]| scripts.iter().map(|script| run(&place, "s", &[], script).code).collect::<Vec<_>>();
    assert_eq!(codes(&["exit 7", "exit 7", "true", "exit 7", "exit 7", "exit 7", "true"]), [7, 7, 0, 7, 7, 7, 6]);
    let before = place.snapshot();
    let refused = run(&place, "s", &[], "true");
    assert_eq!((refused.code, refused.stdout.as_str(), refused.stderr.lines().count()), (6, "", 1), "{refused:?}");
    assert!(refused.stderr.contains("breaker reset s"), "{refused:?}");
    assert_eq!(place.snapshot(), before);
    let (_, answer) = wait(&place, "s", &[]);
    let breaker = json!({ "name": "s", "consecutive_failures": 3, "max_consecutive": 3, "open": true });
    assert_eq!((&answer["action"], &answer["breaker"]), (&json!("stop"), &breaker), "{answer}");
    // Without a breaker it runs, and counts for none.
    assert_eq!(run(&place, "s", &["--no-breaker"], "true").code, 0);
    assert_eq!(codes(&["true"]), [6]);
    assert_eq!(place.dogwatch(["breaker", "reset", "s"]).code, 0);
    assert_eq!(codes(&["exit 7", "true"]), [7, 0]);
}

#[test]
fn any_tells_of_the_first_to_end_only_and_of_the_earliest_where_several_have() {
    let place = Place::new();
    let _running = running(&place, "a");
    let any = place.start(["wait", "a", "b", "none", "--any"]);
    assert_eq!(run(&place, "b", &[], "exit 5").code, 5);
    let ended = any.end_at_all();
    assert_eq!(
        (ended.code, ended.stdout.lines().count(), ended.stdout.starts_with("b: failed")),
        (1, 1, true),
        "{ended:?}"
    );
    assert_eq!(run(&place, "c", &[], "true").code, 0);
    for order in [["a", "b", "c"], ["c", "b", "a"]] {
        let ended = place.dogwatch(["wait", "--any", "--json"].iter().chain(&order));
        assert_eq!((ended.code, &ended.json()["step"]), (1, &json!("b")), "{ended:?}");
    }
    assert_eq!(place.dogwatch(["wait", "none", "gone", "--any", "--start-timeout", "0.1"]).code, 5);
}

#[test]
fn fail_fast_ends_with_the_first_bad_outcome_and_the_rest_run() {
    let place = Place::new();
    let _running = (running(&place, "a"), running(&place, "z"));
    assert_eq!(run(&place, "good", &[], "true").code, 0);
    let fast = place.start(["wait", "a", "good", "bad", "z", "--fail-fast", "--json"]);
    assert_eq!(run(&place, "bad", &[], "exit 5").code, 5);
    let ended = fast.end_at_all();
    let told =
        |line: &Value| format!("{} {}", line["step"].as_str().unwrap_or(""), line["outcome"].as_str().unwrap_or(""));
    let told: Vec<String> = ended.lines().iter().map(told).collect();
    assert_eq!(
        (ended.code, told),
        (1, ["good success", "bad failed", "a running", "z running"].map(String::from).into())
    );
    // A call that is repeated as long as it ends with 75 would be so without a pause.
    assert_eq!(place.dogwatch(["wait", "a", "bad", "--fail-fast", "--for", "1m"]).code, 1);
    assert_eq!(place.dogwatch(["wait", "a", "good", "--fail-fast", "--for", "0"]).code, 75);
    assert_eq!(place.dogwatch(["wait", "a", "none", "--fail-fast", "--for", "0"]).code, 75);
}

/// Steps named after their outcomes, and a run that keeps the one that runs.
fn one_of_each(place: &Place) -> Running {
    assert_eq!(run(place, "success", &[], "true").code, 0);
    assert_eq!(run(place, "failed", &[], "echo why; exit 5").code, 5);
    assert_eq!(run(place, "hung", &["--stale", "0.2", "--heartbeat-on", "manual"], "sleep 300").code, 3);
    assert_eq!(run(place, "timeout", &["--max-timeout", "0.2"], "sleep 300").code, 124);
    let victim = running(place, "died");
    kill("KILL", victim.pid());
    assert_eq!(victim.end_at_all().code, 137);
    running(place, "running")
}

#[test]
fn of_several_steps_the_worst_decides_and_in_a_slice_a_running_one_does() {
    let place = Place::new();
    let _running = one_of_each(&place);
    let order = [("timeout", 124), ("hung", 3), ("died", 4), ("failed", 1), ("not_started", 5), ("success", 0)];
    for (at, (worse, code)) in order.iter().enumerate() {
        for (better, _) in &order[at..] {
            for pair in [[worse, better], [better, worse]] {
                let ended = place.dogwatch(["wait", pair[0], pair[1], "--start-timeout", "0", "--json"]);
                assert_eq!(ended.code, *code, "{pair:?}: {ended:?}");
            }
        }
        let ended = place.dogwatch(["wait", worse, "running", "--for", "0.1", "--json"]);
        assert_eq!((ended.code, ended.lines().len()), (75, 2), "{worse}: {ended:?}");
    }
}

#[test]
fn every_key_is_there_in_every_outcome() {
    let place = Place::new();
    let _running = one_of_each(&place);
    for outcome in ["success", "failed", "hung", "timeout", "died", "not_started", "running"] {
        let (_, answer) = wait(&place, outcome, &["--for", "0.5"]);
        has_every_key(&answer, outcome);
        let actions = [("success", "continue"), ("running", "wait"), ("hung", "fix")];
        let action = actions.into_iter().find(|(when, _)| *when == outcome);
        assert_eq!(answer["action"], action.map_or("retry", |(_, action)| action), "{answer}");
    }
}

#[track_caller]
fn has_every_key(answer: &Value, outcome: &str) {
    let keys = "step outcome action exit_code signal elapsed_ms heartbeat_age_ms pid killed result result_error detail log \
                log_tail marker evidence output_age_ms breaker backend dir run_id command cwd started_at ended_at \
                expected_ms tags schema";
    let mut keys: Vec<&str> = keys.split(' ').collect();
    keys.sort_unstable();
    let mut found: Vec<&String> = answer.as_object().expect("an object").keys().collect();
    found.sort_unstable();
    assert_eq!((answer["outcome"].as_str(), answer["schema"].as_u64()), (Some(outcome), Some(1)), "{answer}");
    assert_eq!(found, keys, "{outcome}");
}

#[test]
fn a_slice_ends_with_75_or_not_started_and_touches_nothing() {
    let place = Place::new();
    let _running = running(&place, "s");
    let before = place.snapshot();
    for _ in 0..2 {
        let began = Instant::now();
        let (code, answer) = wait(&place, "s", &["--for", "0.3"]);
        assert_eq!((code, answer["outcome"].as_str()), (75, Some("running")), "{answer}");
        assert!(began.elapsed() >= Duration::from_millis(300));
    }
    assert_eq!(place.snapshot(), before);
    for bound in ["--for", "--start-timeout"] {
        let (code, answer) = wait(&place, "other", &[bound, "0.2"]);
        let names_it = answer["detail"].as_str().is_some_and(|text| text.ends_with(" s"));
        assert_eq!((code, answer["outcome"].as_str(), names_it), (5, Some("not_started"), true), "{answer}");
    }
}

#[test]
fn what_is_printed_is_the_result_alone_or_nothing_and_on_failure_the_logs_end() {
    let place = Place::new();
    assert_eq!(run(&place, "good", &[], "echo noise; echo '{ \"n\": 1 }' > \"$DOGWATCH_RESULT\"").code, 0);
    assert_eq!(run(&place, "bad", &[], "for n in 1 2 3 4 5; do echo line $n; done; exit 5").code, 5);
    let said = |line: &str| {
        let ended = place.dogwatch(line.split(' '));
        (ended.code, ended.stdout, ended.stderr)
    };
    let (code, out, err) = said("wait good --result");
    assert_eq!((code, serde_json::from_str::<Value>(&out).ok(), err.as_str()), (0, Some(json!({ "n": 1 })), ""));
    assert_eq!(said("wait good -q"), (0, String::new(), String::new()));
    assert_eq!(said("wait bad -q"), (1, String::new(), String::new()));
    let (code, out, err) = said("wait good");
    assert_eq!((code, out.lines().count(), err.as_str()), (0, 1, ""), "{out}");
    let (code, out, err) = said("wait bad --log-tail 2");
    assert_eq!((code, out.lines().count()), (1, 1), "{out}");
    assert!(err.contains("line 4\n") && err.contains("line 5\n") && !err.contains("line 3"), "{err}");
    let tail = |more: &[&str]| wait(&place, "bad", more).1["log_tail"].clone();
    assert_eq!(tail(&["--log-tail", "2"]), json!(["line 4", "line 5"]));
    assert_eq!(tail(&[]), json!(["line 1", "line 2", "line 3", "line 4", "line 5"]));
    assert_eq!(wait(&place, "good", &[]).1["log_tail"], Value::Null);
}
