//! Signals to `run`: passed on, told, made to count when COMMAND does not answer; and the signal state it inherits.

#![cfg(target_os = "linux")]

use crate::support::screen::Screen;
use crate::support::{Bystander, Ended, Place, Running, kill, lives, until};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Starts a run of a shell script with all signals at their defaults, and waits for its first line of output.
fn ready(place: &Place, more: &[&str], script: &str) -> Running {
    // The line of a run before would be taken for this one's.
    let _none = std::fs::remove_file(place.file("s.log"));
    let mut arguments = vec!["run", "s"];
    arguments.extend(more);
    arguments.extend(["--", "bash", "-c", script]);
    let run = place.start_undisturbed(arguments);
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log.contains("ready")));
    run
}

fn breaker_failures(place: &Place) -> Value {
    place.wait_json("s", &[])["breaker"]["consecutive_failures"].clone()
}

#[test]
fn the_first_interruption_is_passed_on_and_said_and_the_second_ends_the_tree() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let script = "trap 'echo told' INT TERM; sleep 300 & echo $! > $DOGWATCH_DIR/child; echo ready; while :; do sleep 0.05; done";
        let mut run = ready(&place, &["--grace", "2s"], script);
        kill(signal, run.pid());
        until("COMMAND was told", || place.read("s.log").contains("told"));
        assert!(!run.has_ended());
        let child = place.read("child").trim().parse().expect("a pid");
        // One that comes right after the first is the same keystroke, so it is sent until it counts.
        until("the second one ends it", || {
            let _gone = Command::new("kill").args([format!("-{signal}"), run.pid().to_string()]).output();
            run.has_ended()
        });
        let run = run.end();
        assert!(!lives(child), "{run:?}");
        assert!(run.stderr.contains(&format!("SIG{signal}")) && run.stderr.contains("again"), "{run:?}");
        let report = place.wait_json("s", &[]);
        assert_eq!((&report["outcome"], &place.meta("s")["reason"]), (&json!("failed"), &json!("killed")), "{report}");
        assert_eq!(breaker_failures(&place), 0);
    }
}

#[test]
fn a_command_that_ignores_term_is_ended_after_the_grace() {
    let place = Place::new();
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    let run = ready(&place, &["--grace", "400ms"], script);
    kill("TERM", run.pid());
    let run = run.end_at_all();
    assert_eq!(run.code, 137, "{run:?}");
    assert_eq!(place.meta("s")["reason"], "killed");
}

#[test]
fn an_interruption_that_command_takes_and_goes_on_after_is_not_its_end() {
    let place = Place::new();
    // A reload by HUP, and a failure of its own a while after.
    for _ in 0..3 {
        let script = "trap 'echo reloaded' HUP; echo ready; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 5";
        let run = ready(&place, &[], script);
        kill("HUP", run.pid());
        until("it has reloaded", || place.read("s.log").contains("reloaded"));
        place.write("go", "");
        assert_eq!(run.end_at_all().code, 5);
        assert_eq!((&place.meta("s")["reason"], &place.meta("s")["detail"]), (&json!("failed"), &Value::Null));
        std::fs::remove_file(place.file("go")).expect("it is removed");
    }
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 6, "three failures of its own open the circuit");
}

#[test]
fn a_hangup_that_ends_command_is_an_interruption() {
    for script in ["echo ready; exec sleep 300", "trap 'exit 129' HUP; echo ready; while :; do sleep 0.05; done"] {
        let place = Place::new();
        let run = ready(&place, &[], script);
        kill("HUP", run.pid());
        assert_eq!(run.end_at_all().code, 129);
        assert_eq!(place.meta("s")["reason"], "killed");
        assert_eq!(breaker_failures(&place), 0);
    }
}

fn is_stopped(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[test]
fn a_stop_from_the_terminal_stops_command_too_and_both_go_on_together() {
    let place = Place::new();
    // The wrapper leads no orphaned group here: its parent, this test, is in the same session.
    let script = "echo ready; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 0";
    let mut command = place.through(
        &["env", "--default-signal=TSTP,CONT"],
        ["run", "s", "--heartbeat-interval", "100ms", "--stale", "400ms", "--", "bash", "-c", script],
    );
    let mut run = Running::start({
        command.process_group(0);
        command
    });
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log.contains("ready")));
    let child = place.meta("s")["child_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    kill("TSTP", run.pid());
    until("both are stopped", || is_stopped(run.pid()) && is_stopped(child));
    // Longer than the run's own staleness: a stop is no hang.
    let heartbeat = std::fs::metadata(place.file("s.heartbeat")).expect("a heartbeat").modified().expect("its time");
    until("the heartbeat is stale", || heartbeat.elapsed().is_ok_and(|age| age.as_millis() > 1200));
    assert!(!run.has_ended());
    kill("CONT", run.pid());
    until("both go on", || !is_stopped(run.pid()) && !is_stopped(child));
    place.write("go", "");
    let run = run.end_at_all();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
}

#[test]
fn signals_that_a_parent_blocked_or_ignored_do_not_make_run_deaf() {
    for state in ["--block-signal=CHLD", "--block-signal", "--block-signal=CHLD,TERM,INT", "--ignore-signal=CHLD"] {
        let place = Place::new();
        let command = place.through(&["env", state], ["run", "s", "--", "sh", "-c", "exit 7"]);
        let run = Running::start(command).end_at_all();
        assert_eq!(run.code, 7, "{state}: {run:?}");
    }
    let place = Place::new();
    let command = place.through(
        &["env", "--default-signal", "--block-signal=TERM,INT"],
        ["run", "s", "--", "sh", "-c", "echo ready; exec sleep 300"],
    );
    let run = Running::start(command);
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    kill("TERM", run.pid());
    assert_eq!(run.end_at_all().code, 143);
}

#[test]
fn under_a_parent_that_waits_for_no_child_every_command_learns_how_its_own_ended() {
    for state in ["--ignore-signal=CHLD", "--block-signal=CHLD", "--block-signal"] {
        let place = Place::new();
        let call = |arguments: &[&str]| Running::start(place.through(&["env", state], arguments)).end_at_all();
        let detached = call(&["run", "-d", "s", "--", "sh", "-c", "exit 7"]);
        assert_eq!((detached.code, place.dogwatch(["wait", "s", "--propagate"]).code), (0, 7), "{state}: {detached:?}");
        let one_call = call(&["run", "one", "--for", "30s", "--json=full", "--", "sh", "-c", "exit 7"]);
        assert_eq!((one_call.code, &one_call.json()["exit_code"]), (1, &json!(7)), "{state}: {one_call:?}");
        let left = call(&["run", "left", "--", "sh", "-c", "sleep 300 & exit 5"]);
        assert!(left.code == 5 && left.stderr.contains("1 process"), "{state}: {left:?}");
        let limited = call(&["run", "limited", "--max-timeout", "50ms", "--", "sh", "-c", "sleep 300 & sleep 300"]);
        assert_eq!(limited.code, 124, "{state}: {limited:?}");
        for (command, word) in [("exit 4", "ended with exit code 4"), ("kill -9 $$", "ended by signal 9")] {
            place.detach("far", "exec sleep 300");
            let overdue = call(&["wait", "far", "--max-timeout", "10ms", "--grace", "0.2", "--kill-command", command]);
            assert!(overdue.code == 124 && overdue.stdout.contains(word), "{state}: {overdue:?}");
            let killed = call(&["kill", "far"]);
            assert_eq!(killed.code, 0, "{state}: {killed:?}");
        }
    }
}

#[test]
fn a_limit_on_file_sizes_ends_neither_the_wrapper_nor_the_record() {
    let place = Place::new();
    let work = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 300 & done; wait";
    let limited = |limit: &str, arguments: &[&str]| {
        let script = format!("ulimit -f {limit}; exec \"$@\"");
        let output = place.through(&["bash", "-c", &script, "bash"], arguments).output().expect("it runs");
        Ended::of(&output)
    };
    // The evidence of thirteen processes does not fit into 2 KiB.
    let over =
        limited("2", &["run", "s", "--max-timeout", "500ms", "--grace", "2s", "--log", "none", "--", "sh", "-c", work]);
    assert_eq!(over.code, 124, "{over:?}");
    assert_eq!(place.dogwatch(["wait", "s"]).code, 124);
    let none = limited("0", &["run", "t", "--", "true"]);
    assert_eq!((none.code, none.stderr.lines().count()), (125, 1), "{none:?}");
    // COMMAND itself gets the limit and its signal as they are: 128 + SIGXFSZ.
    let own = limited("8", &["run", "u", "--", "sh", "-c", "head -c 100000 /dev/zero > big; exit $?"]);
    assert_eq!(own.code, 153, "{own:?}");
    assert_eq!(place.wait_json("u", &[])["exit_code"], 153);
}

const UNTIL_GO: &str = "echo ready; read -r word < $DOGWATCH_DIR/go; exit 0";

/// Makes the FIFO that COMMAND reads: it starts no process meanwhile, since a shell that has called vfork(2) is not seen to
/// stop before its child has gone on.
fn make_go(place: &Place) {
    nix::unistd::mkfifo(&place.file("go"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
}

fn beaten(place: &Place) -> SystemTime {
    std::fs::metadata(place.file("s.heartbeat")).expect("a heartbeat").modified().expect("its time")
}

/// Waits until a waiter with this staleness has had reason to look at a heartbeat twice since the stop.
fn stays_stale(place: &Place, limit: Duration) {
    let heartbeat = beaten(place);
    until("the heartbeat is stale", || heartbeat.elapsed().is_ok_and(|age| age > limit * 2));
}

#[test]
fn a_waiter_takes_no_stopped_run_for_a_hung_one() {
    let (place, stale) = (Place::new(), ["--stale", "2s"]);
    make_go(&place);
    let run = place.start(["run", "s", "--heartbeat-interval", "100ms", "--", "bash", "-c", UNTIL_GO]);
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    let child = place.meta("s")["child_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let mut waiter = place.start(["wait", "s", "--json"].into_iter().chain(stale));
    until("the waiter watches", || waiter.has_events());
    kill("STOP", run.pid());
    kill("STOP", child);
    stays_stale(&place, Duration::from_secs(2));
    assert!(!waiter.has_ended());
    // One that comes only now sees an old heartbeat alone.
    let check = place.dogwatch(["check", "s", "--json"].into_iter().chain(stale));
    let answer = check.json();
    assert_eq!(
        (check.code, &answer["outcome"], &answer["action"]),
        (75, &json!("running"), &json!("wait")),
        "{answer}"
    );
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&format!("process {} is stopped", run.pid())), "{detail}");
    let recover = place.dogwatch(["recover", "s", "--for", "100ms", "--json"].into_iter().chain(stale));
    recover.said(75, "running", false);
    kill("CONT", run.pid());
    kill("CONT", child);
    place.write("go", "");
    waiter.end_at_all().said(0, "success", false);
    assert_eq!(run.end_at_all().code, 0);
}

#[test]
fn ctrl_z_and_fg_at_a_prompt_end_no_run_that_is_waited_for() {
    let place = Place::new();
    let Some(screen) = Screen::start(&place, 100, "bash --norc -i") else { return };
    make_go(&place);
    place.write("work", UNTIL_GO);
    let line = "\"$D\" run s --heartbeat-interval 100ms -- sh work; echo ended with $?";
    screen.press(&[line, "Enter"]);
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    let mut waiter = place.start(["wait", "s", "--json", "--stale", "2s"]);
    until("the waiter watches", || waiter.has_events());
    let child = place.meta("s")["child_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    screen.press(&["C-z"]);
    until("both are stopped", || is_stopped(place.pid("s")) && is_stopped(child));
    stays_stale(&place, Duration::from_secs(2));
    assert!(!waiter.has_ended());
    screen.press(&["fg", "Enter"]);
    until("both go on", || !is_stopped(place.pid("s")) && !is_stopped(child));
    place.write("go", "");
    waiter.end_at_all().said(0, "success", false);
}

/// How often a process has gone to sleep (`proc_pid_status(5)`).
fn sleeps(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

/// Pauses a process until the heartbeat has long been stale, as who pauses a container, a virtual machine or a job for a look
/// with a debugger does: the process is told of nothing. Then waits until it has looked around and sleeps again.
fn pause(place: &Place, process: &mut Running, limit: Duration) {
    use nix::sys::ptrace::{Options, detach, interrupt, seize};
    let pid = nix::unistd::Pid::from_raw(process.pid());
    seize(pid, Options::empty()).expect("it is traced");
    interrupt(pid).expect("it is stopped");
    until("it is paused", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('t'))
    });
    stays_stale(place, limit);
    let before = sleeps(process.pid());
    nix::sys::wait::waitpid(pid, None).expect("its stop is taken in");
    detach(pid, None).expect("it goes on");
    until("it sleeps again", || process.has_ended() || sleeps(process.pid()) > before);
}

/// Work of a plain shell's step that has just beaten.
fn plain_step(place: &Place) -> Bystander {
    let work = Bystander::sleeping();
    place.write("s.heartbeat", "");
    place.write("s.pid", &format!("{}\n", work.pid()));
    work
}

/// Has the step say that it succeeded; the waiter tells so, and has ended nothing.
fn succeeds(place: &Place, waiter: Running) {
    place.write("s.result", "{}");
    place.write("s.status", "SUCCESS\n");
    waiter.end_at_all().said(0, "success", false);
}

#[test]
fn a_paused_machine_makes_no_healthy_run_hung() {
    let stale = Duration::from_secs(2);
    // By the run itself, whose COMMAND beats when it likes.
    let place = Place::new();
    let mut run = silent_run(&place, "2s");
    pause(&place, &mut run, stale);
    assert!(!run.has_ended());
    place.write("go", "");
    let run = run.end_at_all();
    assert_eq!(run.code, 0, "{run:?}");
    // By a waiter, of work that knows nothing of this program.
    let place = Place::new();
    let work = plain_step(&place);
    let mut waiter = place.start(["wait", "s", "--json", "--stale", "2s"]);
    until("the waiter watches", || waiter.has_events());
    pause(&place, &mut waiter, stale);
    assert!(!waiter.has_ended() && lives(work.pid()));
    succeeds(&place, waiter);
}

/// The trace of a program of ours that a call of its own keeps for four seconds, as a disk that stands still or a pause would.
fn kept_by(call: &str, place: &Place, line: &[&str]) -> (Running, impl Fn(&str) -> bool) {
    let trace = place.file("trace");
    let (traced, kept) = (format!("trace=%file,{call}"), format!("inject={call}:delay_exit=4000000"));
    let prefix = ["strace", "-qq", "-o", trace.to_str().expect("a name"), "-e", &traced, "-e", &kept];
    let process = Running::start(place.through(&prefix, line));
    let call = format!("{call}(");
    let found_later = move |file: &str| {
        let trace = std::fs::read_to_string(&trace).unwrap_or_default();
        trace.split_once(&call).is_some_and(|(_, later)| later.contains(&format!("{file}\", {{")))
    };
    (process, found_later)
}

#[test]
fn a_pause_outside_of_any_sleep_makes_no_healthy_run_hung_either() {
    if !crate::support::servers::has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    // The run itself, between its COMMAND's start and its first look.
    let place = Place::new();
    let script = "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done";
    let line = ["run", "s", "--heartbeat-on", "manual", "--stale", "2s", "--", "bash", "-c", script];
    let (run, found_later) = kept_by("clone", &place, &line);
    until("it looks at the heartbeat", || found_later("s.heartbeat"));
    place.write("go", "");
    let run = run.end_at_all();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    // A waiter, between its first look and its second.
    let place = Place::new();
    let work = plain_step(&place);
    let (waiter, found_later) = kept_by("inotify_init1", &place, &["wait", "s", "--json", "--stale", "2s"]);
    until("it looks at the heartbeat", || found_later("s.heartbeat"));
    place.write("s.status", "SUC");
    until("it has judged by that and looks again", || found_later("s.status"));
    succeeds(&place, waiter);
    assert!(lives(work.pid()));
}

/// Starts a run whose COMMAND beats when it likes, until there is a file `go`.
fn silent_run(place: &Place, stale: &str) -> Running {
    let script = "echo ready; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done";
    let run = place.start(["run", "s", "--heartbeat-on", "manual", "--stale", stale, "--", "bash", "-c", script]);
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    run
}

#[test]
fn who_comes_after_a_pause_or_a_stop_finds_a_heartbeat_of_its_end() {
    let stale = Duration::from_secs(2);
    for is_stop in [false, true] {
        let place = Place::new();
        let mut run = silent_run(&place, "2s");
        let before = beaten(&place);
        if is_stop {
            kill("STOP", run.pid());
            stays_stale(&place, stale);
            kill("CONT", run.pid());
        } else {
            pause(&place, &mut run, stale);
        }
        until("it says that it goes on", || run.has_ended() || beaten(&place) > before);
        let check = place.dogwatch(["check", "s", "--json", "--stale", "2s"]);
        assert_eq!((check.code, &check.json()["outcome"]), (75, &json!("running")), "{check:?}");
        place.write("go", "");
        assert_eq!(run.end_at_all().code, 0);
    }
}

#[test]
fn a_pause_that_is_over_before_the_heartbeat_is_stale_counts_as_well() {
    // It takes 3.2 of 4 seconds, and the work has but the rest of them.
    let (pausing, stale) = (Duration::from_millis(1600), Duration::from_millis(2500));
    let place = Place::new();
    let mut run = silent_run(&place, "4s");
    let before = beaten(&place);
    pause(&place, &mut run, pausing);
    until("it says that it goes on", || run.has_ended() || beaten(&place) > before);
    place.write("go", "");
    assert_eq!(run.end_at_all().code, 0);
    let place = Place::new();
    let work = plain_step(&place);
    let mut waiter = place.start(["wait", "s", "--json", "--stale", "4s"]);
    until("the waiter watches", || waiter.has_events());
    pause(&place, &mut waiter, pausing);
    stays_stale(&place, stale);
    assert!(!waiter.has_ended() && lives(work.pid()));
    succeeds(&place, waiter);
}
