//! `run` beside its exit codes: its own limits, its breaker across deaths, what it passes on and what not; `check`, `beat`.
//!
//! What `run` says is compared with what `wait` and the files say.

use crate::support::{Place, Running, is_refused, kill, lives, until};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::time::Duration;

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
    let quiet = place.dogwatch(["run", "quiet", "--heartbeat-on", "output", "--stale", "500ms", "--", "sleep", "300"]);
    assert_eq!(quiet.code, 3, "{quiet:?}");
    // Longer than their limit, and much more often: a busy machine may hold up a beat for a second.
    let works = [("manual", "touch \"$DOGWATCH_HEARTBEAT\""), ("output", "echo on")].map(|(on, beat)| {
        let script = format!("for i in $(seq 35); do sleep 0.1; {beat}; done");
        place.start(["run", on, "--heartbeat-on", on, "--stale", "3s", "--", "sh", "-c", script.as_str()])
    });
    for run in works.map(Running::end_at_all) {
        assert_eq!(run.code, 0, "{run:?}");
    }
}

#[test]
fn a_run_that_cannot_begin_leaves_the_run_before_as_it_was() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--", "sh", "-c", "echo 7 > $DOGWATCH_RESULT"]).code, 0);
    std::fs::remove_file(place.file("s.log")).unwrap();
    std::fs::create_dir(place.file("s.log")).unwrap();
    let before: Vec<_> = place.snapshot().into_iter().filter(|(name, ..)| name != "s.lock").collect();
    let refused = place.dogwatch(["run", "s", "--", "true"]);
    assert_eq!((refused.code, refused.stderr.lines().count()), (125, 1), "{refused:?}");
    let after: Vec<_> = place.snapshot().into_iter().filter(|(name, ..)| name != "s.lock").collect();
    assert_eq!(after, before);
    assert_eq!(place.wait_json("s", &[])["result"], 7);
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
    assert!(ended.stderr.contains("\n30\nxy\n") && !ended.stderr.contains("\n29\n"), "{ended:?}");
    assert_eq!(place.wait_json("bad", &["--log-tail", "1"])["log_tail"], json!(["xy"]));
    place.dogwatch(["run", "good", "--", "echo", "fine"]);
    assert_eq!(place.dogwatch(["wait", "good"]).stderr, "");
    assert_eq!(place.wait_json("good", &[])["log_tail"], Value::Null);
}

#[test]
fn a_log_of_gigabytes_never_takes_more_than_its_bound_and_what_is_written_between_two_looks() {
    use std::os::unix::fs::MetadataExt;
    let place = Place::new();
    let script = "yes 'a line as logs have them, of no great length' | head -c 2000000000; echo; echo last";
    let mut run = place.start(["run", "s", "--log-max", "20MB", "--", "sh", "-c", script]);
    let (mut most, disk) = (0, || std::fs::metadata(place.file("s.log")).map_or(0, |log| log.blocks() * 512));
    until("the run ends", || {
        most = most.max(disk());
        run.has_ended()
    });
    assert_eq!(run.end().code, 0);
    // A look every 50 ms; a machine that is busy elsewhere may be late by a few.
    assert!(most < 500_000_000 && disk() < 25_000_000, "{most} and at last {}", disk());
    assert!(std::fs::metadata(place.file("s.log")).unwrap().size() > 2_000_000_000, "offsets stay true");
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
}

// GNU's env sets the state, procfs tells it.
#[cfg(target_os = "linux")]
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

// procfs tells what the streams are.
#[cfg(target_os = "linux")]
#[test]
fn closed_standard_streams_are_nobody_elses_files() {
    let place = Place::new();
    let work = "echo to the output; echo to the error output >&2
        for stream in 0 1 2; do readlink /proc/$PPID/fd/$stream; done > streams";
    let script = r#""$@" <&- >&- 2>&-"#;
    let run = place.through(&["sh", "-c", script, "sh"], ["run", "s", "--tee", "--", "sh", "-c", work]).status();
    assert_eq!(run.expect("it runs").code(), Some(0));
    assert_eq!(place.read("streams"), "/dev/null\n".repeat(3));
    assert_eq!(place.read("s.log"), "to the output\nto the error output\n");
    assert_eq!(place.read("s.pid"), format!("{}\n", place.meta("s")["pid"]));
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
    let text = place.dogwatch(["check", "runs"]).stdout;
    for part in ["runs: running for ", "(heartbeat ", ", output ", " of CPU time"] {
        assert!(text.contains(part), "{part}: {text}");
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
    let inside = format!("{} beat", crate::support::binary().display());
    let run = place.dogwatch(["run", "in", "--heartbeat-on", "manual", "--", "sh", "-c", &inside]);
    assert_eq!(run.code, 0, "{run:?} {}", place.read("in.log"));
    assert_eq!(place.dogwatch(["beat"]).code, 2, "outside a run the step has to be named");
}

/// A control group with little memory, gone with the test; nothing where this user can make none.
struct SmallGroup(std::path::PathBuf);

impl SmallGroup {
    fn new() -> Option<Self> {
        for (base, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = Self(std::path::Path::new(base).join(format!("dogwatch-test-{}", crate::support::unique())));
            let is_made = std::path::Path::new(base).join("cgroup.procs").exists()
                && std::fs::create_dir(&group.0).is_ok()
                && group.0.join(limit).exists()
                && std::fs::write(group.0.join(limit), "30M").is_ok();
            if is_made {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for SmallGroup {
    fn drop(&mut self) {
        // What was killed in it may take a moment to leave it; a group that was never made is gone already.
        until("the control group is empty", || std::fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

#[test]
fn a_beat_for_a_name_that_may_be_misspelt_counts_and_is_told() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["beat", "first"]).stderr, "", "no other step is there");
    place.dogwatch(["run", "build", "--", "true"]);
    let told = place.dogwatch(["beat", "biuld"]);
    assert!(told.code == 0 && told.stderr.contains("did you mean build?"), "{told:?}");
    assert!(place.file("biuld.heartbeat").exists());
    for known in ["biuld", "build", "first"] {
        assert_eq!(place.dogwatch(["beat", known]).stderr, "", "{known}");
    }
    std::fs::remove_file(place.file("build.heartbeat")).expect("removed");
    assert_eq!(place.dogwatch(["beat", "build"]).stderr, "", "its other files are there");
    let nowhere = place.dogwatch([OsStr::new("--dir"), place.file("none").as_os_str(), "beat".as_ref(), "s".as_ref()]);
    is_refused(&nowhere, 5, &["there is no directory", "dogwatch run s -- COMMAND"]);
}

#[test]
fn variables_given_to_run_count_as_with_env() {
    let place = Place::new();
    std::fs::create_dir(place.file("tools")).expect("a folder");
    place.write("tools/true", "#!/bin/sh\necho the own one, $A\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(place.file("tools/true"), mode).expect("executable");
    let path = format!("PATH={}:/bin", place.file("tools").display());
    let run = |more: &[&str]| place.dogwatch([&["run", "s", "--no-breaker", "--env", path.as_str()], more].concat());
    // PATH as COMMAND has it says which program COMMAND is.
    assert_eq!(run(&["--", "true"]).code, 0);
    assert_eq!(place.read("s.log"), "the own one,\n");
    // awk asks by getenv(3), which finds the first of several.
    let script = "BEGIN { print ENVIRON[\"A\"], ENVIRON[\"DOGWATCH_STEP\"] }";
    assert_eq!(run(&["--env", "A=1", "--env", "A=2", "--env", "DOGWATCH_STEP=t", "--", "awk", script]).code, 0);
    assert_eq!(place.read("s.log"), "2 s\n");
    let missing = run(&["--env", "PATH=/nonexistent", "--", "true"]);
    assert_eq!(missing.code, 127, "{missing:?}");
}

#[test]
fn a_command_that_is_killed_for_memory_is_told_so() {
    let Some(group) = SmallGroup::new() else {
        eprintln!("skipped: no control group with a memory limit can be made here");
        return;
    };
    let place = Place::new();
    // tail(1) keeps the last lines, and this one never ends.
    let enter = format!("echo $$ > {}/cgroup.procs; exec \"$@\"", group.0.display());
    let mut run = place.through(&["sh", "-c", &enter, "sh"], ["run", "s", "--", "tail", "/dev/zero"]);
    let ended = crate::support::Ended::of(&run.output().expect("a shell"));
    assert_eq!(ended.code, 137, "{ended:?}");
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["signal"]), (&json!("failed"), &json!("SIGKILL")), "{report}");
    assert!(report["detail"].as_str().is_some_and(|detail| detail.contains("too much memory")), "{report}");
    // A child of COMMAND is named where COMMAND failed, and of no weight where it did not.
    for (step, code, word) in [("c", 3, Some("a process was killed for using too much memory")), ("d", 0, None)] {
        let work = format!("tail /dev/zero; exit {code}");
        let mut run = place.through(&["sh", "-c", &enter, "sh"], ["run", step, "--", "sh", "-c", &work]);
        let ended = crate::support::Ended::of(&run.output().expect("a shell"));
        assert_eq!(ended.code, code, "{ended:?}");
        let report = place.wait_json(step, &[]);
        let detail = report["detail"].as_str();
        assert_eq!(
            detail.map(|detail| word.is_some_and(|word| detail.starts_with(word))),
            word.map(|_| true),
            "{report}"
        );
    }
    // One that is killed by somebody is not.
    let mut run = place.through(&["sh", "-c", &enter, "sh"], ["run", "k", "--", "sh", "-c", "kill -9 $$"]);
    assert_eq!(crate::support::Ended::of(&run.output().expect("a shell")).code, 137);
    assert_eq!(place.wait_json("k", &[])["detail"], Value::Null);
}

#[test]
fn a_run_says_where_another_end_of_it_was_recorded_than_its_own() {
    let place = Place::new();
    for (word, code) in [("FAILED", 0), ("SUCCESS", 9)] {
        let script = format!("echo {word} > $DOGWATCH_DIR/s.status; exit {code}");
        let run = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", &script]);
        assert_eq!(run.code, code, "{run:?}");
        assert!(run.stderr.contains("another process had recorded its end as "), "{run:?}");
    }
}
