//! `run`: COMMAND's own end passed through in every form, its streams, its limits, its breaker.
//!
//! Refuses to believe `run` alone: what it says is held against what `wait` and the files say.

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use support::{Place, in_parallel, kill, lives, until};

#[test]
fn all_exit_codes_pass_through_and_wait_reports_each_truly() {
    let place = Place::new();
    in_parallel(256, 8, |code| {
        let step = format!("c{code}");
        let script = format!("exit {code}");
        let run = place.dogwatch(["run", "--no-breaker", &step, "--", "sh", "-c", &script]);
        assert_eq!(run.code, i32::try_from(code).unwrap(), "{run:?}");
        let report = place.wait_json(&step, &[]);
        let outcome = if code == 0 { "success" } else { "failed" };
        assert_eq!((&report["outcome"], &report["exit_code"]), (&json!(outcome), &json!(code)), "{report}");
        let propagated = place.dogwatch(["wait", &step, "--propagate", "-q"]);
        assert_eq!((propagated.code, propagated.stdout.as_str()), (run.code, ""));
    });
}

#[test]
fn every_signal_that_ends_a_command_is_128_and_its_number_and_named() {
    // The others stop, continue or are ignored by default; 34 to 64 are real-time.
    let ending = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (16, "SIGSTKFLT"),
        (24, "SIGXCPU"),
        (25, "SIGXFSZ"),
        (26, "SIGVTALRM"),
        (27, "SIGPROF"),
        (29, "SIGIO"),
        (30, "SIGPWR"),
        (31, "SIGSYS"),
        (35, "SIG35"),
        (64, "SIG64"),
    ];
    let place = Place::new();
    in_parallel(ending.len(), 6, |index| {
        let (number, name) = ending[index];
        let step = format!("s{number}");
        let script = format!("ulimit -c 0; kill -{number} $$");
        let run = place.dogwatch(["run", "--no-breaker", &step, "--", "sh", "-c", &script]);
        assert_eq!(run.code, 128 + number, "{name}: {run:?}");
        let report = place.wait_json(&step, &[]);
        assert_eq!((&report["signal"], &report["exit_code"]), (&json!(name), &Value::Null), "{report}");
        assert_eq!(place.dogwatch(["wait", &step, "--propagate", "-q"]).code, 128 + number);
    });
}

#[test]
fn a_command_that_cannot_be_started_is_126_or_127_and_published() {
    let place = Place::new();
    place.write("text", "no program");
    let text = place.file("text");
    for (command, code) in [("no-such-program-anywhere", 127), (text.to_str().unwrap(), 126), ("/", 126)] {
        for detached in [&[][..], &["-d"][..]] {
            let mut arguments = vec!["run", "--no-breaker"];
            arguments.extend(detached);
            arguments.extend(["s", "--", command]);
            let run = place.dogwatch(arguments);
            assert_eq!(run.code, code, "{run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
            let report = place.wait_json("s", &[]);
            assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("failed"), &json!(code)));
            assert_eq!(place.read("s.status"), "FAILED\n");
        }
    }
}

#[test]
fn signals_are_forwarded_and_the_command_decides() {
    let place = Place::new();
    for (number, signal) in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"].into_iter().enumerate() {
        let code = number + 40;
        let script = format!("trap 'exit {code}' {signal}; echo ready; while :; do sleep 0.02; done");
        let run = place.start_undisturbed(["run", "--no-breaker", "s", "--", "sh", "-c", &script]);
        until("the trap stands", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
        kill(signal, run.pid());
        assert_eq!(run.end_at_all().code, i32::try_from(code).unwrap(), "{signal}");
        assert_eq!(place.wait_json("s", &[])["exit_code"], code);
        std::fs::remove_file(place.file("s.log")).unwrap();
    }
}

#[test]
fn a_run_over_its_own_limits_ends_itself_with_nobody_waiting() {
    let place = Place::new();
    let run = place.dogwatch(["run", "slow", "--max-timeout", "300ms", "--", "sh", "-c", "sleep 300 & wait"]);
    assert_eq!(run.code, 124, "{run:?}");
    assert_eq!(place.wait_json("slow", &[])["outcome"], "timeout");
    let stale = ["run", "still", "--heartbeat-on", "manual", "--stale", "400ms", "--", "sleep", "300"];
    let run = place.dogwatch(stale);
    assert_eq!(run.code, 3, "{run:?}");
    assert_eq!(place.dogwatch(["wait", "still"]).code, 3);
    let beating = "for i in 1 2 3 4 5 6; do sleep 0.15; touch \"$DOGWATCH_HEARTBEAT\"; done";
    let run =
        place.dogwatch(["run", "beats", "--heartbeat-on", "manual", "--stale", "600ms", "--", "sh", "-c", beating]);
    assert_eq!(run.code, 0, "{run:?}");
    let quiet = place.dogwatch(["run", "quiet", "--heartbeat-on", "output", "--stale", "500ms", "--", "sleep", "300"]);
    assert_eq!(quiet.code, 3, "{quiet:?}");
    let talks = "for i in 1 2 3 4 5 6; do sleep 0.15; echo $i; done";
    let run = place.dogwatch(["run", "talks", "--heartbeat-on", "output", "--stale", "600ms", "--", "sh", "-c", talks]);
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_detached_run_goes_on_by_itself_and_holds_nothing_of_its_caller() {
    let place = Place::new();
    // `dogwatch` reads the caller's pipes to their end: a descriptor kept open would hold it for ever.
    let run = place.dogwatch([
        "run",
        "-d",
        "s",
        "--",
        "sh",
        "-c",
        "while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; echo done",
    ]);
    assert_eq!((run.code, run.stdout.trim().parse().ok()), (0, Some(place.pid("s"))), "{run:?}");
    assert!(lives(place.pid("s")));
    let json = place.dogwatch(["run", "-d", "j", "--json", "--", "sleep", "0.1"]);
    assert_eq!(json.json()["outcome"], "running");
    place.write("go", "");
    assert_eq!(place.dogwatch(["wait", "s", "j"]).code, 0);
    assert_eq!(place.read("s.log"), "done\n");
}

#[test]
fn the_result_is_the_commands_own_or_a_record_of_the_run() {
    let place = Place::new();
    let result = |arguments: &[&str], script: &str| {
        let mut line = vec!["run", "s"];
        line.extend(arguments);
        line.extend(["--", "sh", "-c", script]);
        let run = place.dogwatch(line);
        assert_eq!(run.code, 0, "{run:?}");
        (serde_json::from_str::<Value>(&place.read("s.result")).unwrap(), run.stderr)
    };
    let (own, _) = result(&[], "true");
    assert_eq!((&own["exit_code"], own["elapsed_ms"].is_u64()), (&json!(0), true));
    assert_eq!(result(&[], "echo '{\"n\": 1}' > $DOGWATCH_RESULT").0, json!({ "n": 1 }));
    assert_eq!(result(&["--result", "stdout"], "echo '[1, 2]'; echo noise >&2").0, json!([1, 2]));
    assert_eq!(place.read("s.log"), "noise\n");
    for (arguments, script) in [
        (&[][..], "echo '{' > $DOGWATCH_RESULT"),
        (&["--result", "stdout"][..], "echo words"),
        (&["--result", "file"][..], "true"),
    ] {
        let (own, said) = result(arguments, script);
        assert!(own["result_error"].is_string() && own["exit_code"] == 0, "{own}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let names: Vec<String> = place.snapshot().into_iter().map(|(name, _, _)| name).collect();
    assert!(names.iter().all(|name| !name.ends_with(".tmp")), "{names:?}");
}

#[test]
fn the_log_holds_the_streams_that_were_asked_for_and_the_rest_passes() {
    let place = Place::new();
    let script = "echo out; echo err >&2";
    for (streams, log, stdout, stderr) in [
        ("both", Some("out\nerr\n"), "", ""),
        ("stdout", Some("out\n"), "", "err\n"),
        ("stderr", Some("err\n"), "out\n", ""),
        ("none", None, "out\n", "err\n"),
    ] {
        let run = place.dogwatch(["run", "s", "--log", streams, "--", "sh", "-c", script]);
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), (stdout, stderr), "{streams}");
        assert_eq!(std::fs::read_to_string(place.file("s.log")).ok().as_deref(), log, "{streams}");
    }
    let tee = place.dogwatch(["run", "s", "--tee", "--", "sh", "-c", "for i in 1 2 3; do echo $i; echo e$i >&2; done"]);
    assert_eq!(tee.stdout, "1\ne1\n2\ne2\n3\ne3\n");
    assert_eq!(place.read("s.log"), tee.stdout);
}

#[test]
fn a_log_over_its_bound_keeps_the_newest_part_on_bounded_disk() {
    let place = Place::new();
    let script = "head -c 60000000 /dev/zero | tr '\\0' x | fold -w 99; sleep 0.2; echo last";
    let run = place.dogwatch(["run", "s", "--log-max", "4MiB", "--", "sh", "-c", script]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let metadata = std::fs::metadata(place.file("s.log")).unwrap();
    assert!(metadata.size() > 50_000_000);
    assert!(metadata.blocks() * 512 < 6 << 20, "{}", metadata.blocks() * 512);
    let log = place.read("s.log");
    assert!(log.ends_with("xlast\n") && log.contains("bytes of older output were dropped here"));
}

#[test]
fn what_a_command_leaves_running_is_ended_before_the_status_unless_it_may_live() {
    let place = Place::new();
    let script = "sleep 300 & echo $!; setsid sleep 301 & echo $!; (setsid sleep 302 & echo $!)";
    let run = place.dogwatch(["run", "s", "--", "sh", "-c", script]);
    assert_eq!(run.code, 0, "{run:?}");
    let left = |log: &str| -> Vec<i32> { log.lines().map(|line| line.parse().unwrap()).collect() };
    let pids = left(&place.read("s.log"));
    assert!(pids.len() == 3 && pids.iter().all(|&pid| !lives(pid)), "{pids:?}");
    let run = place.dogwatch(["run", "s", "--keep-children", "--", "sh", "-c", "sleep 300 & echo $!"]);
    assert_eq!(run.code, 0);
    let pids = left(&place.read("s.log"));
    assert!(lives(pids[0]));
    kill("KILL", pids[0]);
}

#[test]
fn a_command_reads_nothing_unless_it_may_and_is_told_where_it_is() {
    use std::process::Stdio;
    let place = Place::new();
    place.write("input", "given");
    let script =
        "cat; echo \"$DOGWATCH_STEP $DOGWATCH_DIR\"; test -e $DOGWATCH_HEARTBEAT; test -n \"$DOGWATCH_RUN_ID\"";
    for (stdin, given) in [("null", ""), ("inherit", "given")] {
        let input = std::fs::File::open(place.file("input")).unwrap();
        let line = ["run", "s", "--stdin", stdin, "--", "sh", "-c", script];
        let status = place.command(line).stdin(Stdio::from(input)).status().unwrap();
        assert!(status.success());
        assert_eq!(place.read("s.log"), format!("{given}s {}\n", place.path().display()));
    }
}

#[test]
fn a_step_that_runs_is_not_started_again() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    let before = place.snapshot();
    let again = place.dogwatch(["run", "s", "--", "true"]);
    assert_eq!(again.code, 125);
    assert!(again.stderr.contains(&pid.to_string()) && again.stderr.lines().count() == 1, "{again:?}");
    assert_eq!(place.snapshot(), before);
    kill("KILL", pid);
    // The end that nobody recorded is settled first.
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
    let breaker: Value = serde_json::from_str(&place.read("s.breaker")).unwrap();
    let reasons: Vec<&Value> = breaker["runs"].as_array().unwrap().iter().map(|run| &run["reason"]).collect();
    assert_eq!(reasons, [&json!("died"), &json!("success")]);
}

#[test]
fn three_failures_open_the_breaker_whoever_saw_them_and_a_reset_closes_it() {
    let place = Place::new();
    let fail = || place.dogwatch(["run", "s", "--", "false"]).code;
    assert_eq!((fail(), fail()), (1, 1));
    let pid = place.detach("s", "sleep 300");
    kill("KILL", pid);
    let report = place.wait_json("s", &[]);
    assert_eq!(
        (&report["action"], &report["breaker"]["consecutive_failures"]),
        (&json!("stop"), &json!(3)),
        "{report}"
    );
    // Each later reader finds it counted.
    assert_eq!(place.wait_json("s", &[])["breaker"]["consecutive_failures"], 3);
    let before = place.snapshot();
    let refused = place.dogwatch(["run", "s", "--", "true"]);
    assert_eq!(refused.code, 6);
    assert!(refused.stderr.contains("dogwatch breaker reset s") && refused.stderr.contains("s.log"), "{refused:?}");
    assert_eq!(place.snapshot(), before, "files untouched");
    assert_eq!(place.dogwatch(["run", "s", "--no-breaker", "--", "true"]).code, 0);
    assert_eq!(place.dogwatch(["run", "s", "--max-consecutive", "0", "--", "false"]).code, 1);
    assert_eq!(place.dogwatch(["breaker", "reset", "s"]).code, 0);
    assert_eq!((fail(), fail()), (1, 1));
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0, "a success resets");
    assert_eq!((fail(), fail(), fail()), (1, 1, 1));
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 6);
    let cooled = place.dogwatch(["run", "s", "--cooldown", "1ms", "--", "true"]);
    assert_eq!(cooled.code, 0, "{cooled:?}");
}

#[test]
fn an_interrupted_run_counts_for_no_breaker() {
    let place = Place::new();
    let run = place.start_undisturbed(["run", "s", "--", "sh", "-c", "echo ready; exec sleep 300"]);
    until("it runs", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    kill("INT", run.pid());
    assert_eq!(run.end_at_all().code, 130);
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["signal"]), (&json!("failed"), &json!("SIGINT")));
    assert_eq!(report["breaker"]["consecutive_failures"], 0);
}

#[test]
fn the_log_tail_is_shown_on_failure_only_and_made_safe() {
    let place = Place::new();
    place.dogwatch(["run", "bad", "--", "sh", "-c", "seq 1 30; printf 'x\\033[2Jy\\n'; exit 1"]);
    let ended = place.dogwatch(["wait", "bad", "--log-tail", "2"]);
    assert!(ended.stderr.contains("\n30\nx\\u{1b}[2Jy\n") && !ended.stderr.contains("\n29\n"), "{ended:?}");
    assert_eq!(place.wait_json("bad", &["--log-tail", "1"])["log_tail"], json!(["x\u{1b}[2Jy"]));
    place.dogwatch(["run", "good", "--", "echo", "fine"]);
    assert_eq!(place.dogwatch(["wait", "good"]).stderr, "");
    assert_eq!(place.wait_json("good", &[])["log_tail"], Value::Null);
}

#[test]
fn inherited_signal_state_does_not_reach_the_command() {
    let place = Place::new();
    // INT, QUIT, CHLD and HUP ignored by the caller, as by a shell's `&`, a careless daemon and nohup.
    let script = "exec env --ignore-signal=INT,QUIT,CHLD,HUP --block-signal=USR1,TERM \"$@\"";
    let plain = place.command(["run", "s", "--", "sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 7"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, "sh"]).arg(plain.get_program()).args(plain.get_args());
    command.env("DOGWATCH_DIR", place.path());
    assert_eq!(command.status().unwrap().code(), Some(7));
    // HUP (bit 0) alone stays ignored: whoever used nohup meant it.
    let log = place.read("s.log");
    let masks: Vec<u64> =
        log.lines().map(|line| u64::from_str_radix(line.split('\t').nth(1).unwrap(), 16).unwrap()).collect();
    // 32 and 33 are the C library's own: nobody can set them, and a caller may have them ignored.
    assert_eq!((masks[0], masks[1] & !0x1_8000_0000), (0, 1), "{log}");
}

#[test]
fn check_says_once_what_to_do_and_touches_nothing() {
    let place = Place::new();
    let pid = place.detach("runs", "sleep 300");
    place.dogwatch(["run", "failed", "--", "false"]);
    place.dogwatch(["run", "good", "--", "true"]);
    let dead = place.detach("dead", "sleep 300");
    kill("KILL", dead);
    until("it is gone", || !lives(dead));
    place.write("stale.pid", &format!("{pid}\n"));
    place.write("stale.heartbeat", "");
    place.age("stale.heartbeat", Duration::from_secs(300));
    place.age("stale.pid", Duration::from_millis(100));
    let before = place.snapshot();
    for (step, more, outcome, action, code) in [
        ("runs", &[][..], "running", "wait", 75),
        ("failed", &[][..], "failed", "retry", 1),
        ("good", &[][..], "success", "continue", 0),
        ("dead", &[][..], "died", "retry", 4),
        ("runs", &["--max-timeout", "1ms"][..], "timeout", "kill", 124),
        ("none", &[][..], "not_started", "retry", 5),
    ] {
        let mut line = vec!["check", step, "--json"];
        line.extend(more);
        let ended = place.dogwatch(line);
        let report = ended.json();
        assert_eq!(
            (ended.code, &report["outcome"], &report["action"]),
            (code, &json!(outcome), &json!(action)),
            "{step}"
        );
    }
    assert_eq!(place.snapshot(), before);
    assert!(lives(pid));
    kill("KILL", pid);
}

#[test]
fn beat_is_a_sign_of_life_from_inside_and_outside() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["beat", "s"]).code, 0);
    place.age("s.heartbeat", Duration::from_secs(100));
    let before = place.snapshot();
    assert_eq!(place.dogwatch(["beat", "s"]).code, 0);
    assert_ne!(place.snapshot(), before);
    let inside = format!("{} beat", env!("CARGO_BIN_EXE_dogwatch"));
    let run = place.dogwatch(["run", "in", "--heartbeat-on", "manual", "--", "sh", "-c", &inside]);
    assert_eq!(run.code, 0, "{run:?} {}", place.read("in.log"));
    assert_eq!(place.dogwatch(["beat"]).code, 2, "outside a run the step has to be named");
}
