//! Files of a running step that are taken away, replaced, cut or locked up: the run's end is told right all the same.
//!
//! Every file and every pair of files of a running step is treated in each way, while a waiter watches. COMMAND's own end is
//! what `run`, the waiter and a later reader have to tell.

#![cfg(target_os = "linux")]

use crate::support::servers::has;
use crate::support::thief::{self, THEFTS, Theft, files, record_name};
use crate::support::{Ended, Place, Running, in_parallel, kill, lives, until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// COMMAND: says that it runs, waits for the thief to be done, and ends as it was told.
const WORK: &str =
    "echo begun; until [ -e go ]; do sleep 0.02; done; echo '{\"end\":'$1'}' > \"$DOGWATCH_RESULT\"; exit $1";

/// Starts the binary in the place's own folder, where COMMAND finds `go`.
fn start_here<const N: usize>(place: &Place, arguments: [&str; N]) -> Running {
    Running::start(place.through(&["env"], arguments))
}

/// One life of a step whose files are stolen while it runs.
fn life(theft: Theft, pick: &[usize], code: i32) {
    let place = Place::new();
    let elsewhere = crate::support::folder();
    // The run before ended otherwise, so that a record of its own would be told wrong.
    let before = if code == 0 { "echo 1 > $DOGWATCH_RESULT; exit 9" } else { "echo 1 > $DOGWATCH_RESULT" };
    place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", before]);
    let old = elsewhere.path().join("old");
    thief::keep(&place, "s", &old);
    let number = code.to_string();
    let run = start_here(&place, ["run", "s", "--no-breaker", "--", "sh", "-c", WORK, "sh", &number]);
    until("COMMAND runs", || fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "begun\n"));
    let waiter = place.start(["wait", "s", "--json"]);
    until("the waiter watches", || waiter.has_events());
    let files = files(&place, "s");
    let stolen: Vec<&String> = pick.iter().map(|&at| &files[at]).collect();
    let context = format!("{theft:?} of {stolen:?}, exit {code}");
    for name in stolen {
        let source = old.join(record_name(name, "s"));
        let source = if source.exists() { source } else { old.join("s.status") };
        theft.commit(&place.file(name), &source, elsewhere.path()).unwrap_or_else(|error| panic!("{context}: {error}"));
    }
    place.write("go", "");
    let run = run.end_at_all();
    assert_eq!(run.code, code, "{context}: {run:?}");
    let (outcome, answer) = if code == 0 { ("success", 0) } else { ("failed", 1) };
    let is_told = |told: &Ended| {
        let report = told.json();
        let all = (told.code, &report["outcome"], &report["exit_code"]);
        assert_eq!(all, (answer, &json!(outcome), &json!(code)), "{context}: {told:?}\nrun {run:?}");
        report
    };
    let seen = is_told(&waiter.end_at_all());
    let later = is_told(&place.dogwatch(["wait", "s", "--json"]));
    if code == 0 {
        assert_eq!((&seen["result"], &later["result"]), (&json!({"end": 0}), &json!({"end": 0})), "{context}");
    }
    let left: Vec<String> = thief::files(&place, "s").into_iter().filter(|name| name.contains(".tmp")).collect();
    assert!(left.is_empty(), "{context}: {left:?}");
    // The step can be run again, and its end is its own.
    let again = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", "exit 5"]);
    assert_eq!((again.code, place.wait_json("s", &[])["exit_code"].as_i64()), (5, Some(5)), "{context}: {again:?}");
}

/// How many files a running step has, found out from one.
fn count() -> usize {
    let place = Place::new();
    let run = start_here(&place, ["run", "s", "--no-breaker", "--", "sh", "-c", WORK, "sh", "0"]);
    until("COMMAND runs", || fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "begun\n"));
    let count = files(&place, "s").len();
    place.write("go", "");
    assert_eq!(run.end_at_all().code, 0);
    count
}

#[test]
fn whatever_file_of_a_running_step_is_stolen_its_end_is_told_right() {
    let count = count();
    assert!(count >= 8, "{count}");
    let ways = THEFTS.len() * 2;
    in_parallel(count * ways, 3, |number| {
        let (at, way) = (number / ways, number % ways);
        life(THEFTS[way / 2], &[at], if way % 2 == 0 { 0 } else { 7 });
    });
}

#[test]
fn whatever_two_files_of_a_running_step_are_stolen_its_end_is_told_right() {
    let count = count();
    let pairs: Vec<[usize; 2]> = (0..count).flat_map(|one| (one + 1..count).map(move |other| [one, other])).collect();
    in_parallel(pairs.len() * THEFTS.len(), 3, |number| {
        let (pair, theft) = (pairs[number / THEFTS.len()], THEFTS[number % THEFTS.len()]);
        life(theft, &pair, if number % 2 == 0 { 0 } else { 7 });
    });
}

/// What leaves a pid file that says the same: a new time alone, the same bytes written in place, and a copy put in its place,
/// as rsync does it, with the old time or a new one.
const REWRITES: [&str; 6] = [
    "touch s.pid",
    "touch -d '2 seconds ago' s.pid",
    "cp -p s.pid copy; cp -p copy s.pid",
    "cp -p s.pid copy; mv copy s.pid",
    "cp s.pid copy; mv copy s.pid",
    "cp s.pid copy; cat copy > s.pid; touch s.heartbeat",
];

#[test]
fn a_pid_file_that_still_says_the_same_is_never_another_run() {
    // A wrapper that beats meanwhile writes its pid again, and one that does not leaves what it finds to its end.
    let lives = REWRITES.map(|rewrite| [(rewrite, "20ms"), (rewrite, "10s")]).concat();
    in_parallel(lives.len() * 2, 3, |number| {
        let ((rewrite, interval), code) = (lives[number / 2], if number % 2 == 0 { 0 } else { 7 });
        let place = Place::new();
        let number = code.to_string();
        let run = ["run", "s", "--no-breaker", "--heartbeat-interval", interval, "--", "sh", "-c", WORK, "sh", &number];
        let run = start_here(&place, run);
        until("COMMAND runs", || fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "begun\n"));
        let backends = [&["--backend", "poll", "--poll-interval", "5ms"][..], &[]];
        let mut waiters = backends.map(|more| place.start(["wait", "s", "--json=full"].iter().chain(more)));
        until("the waiter watches", || waiters[1].has_events());
        // A slice that began later has been given an answer: the wait that polls has read the step.
        assert_eq!(place.dogwatch(["wait", "s", "--for", "50ms"]).code, 75);
        let context = format!("{rewrite}, beats every {interval}, exit {code}");
        for _ in 0..5 {
            let rewritten = place.through(&["sh", "-ec", rewrite], [""; 0]).status().expect("a shell");
            assert!(rewritten.success(), "{context}");
            let check = place.dogwatch(["check", "s", "--json", "--stale", "1h"]);
            assert_eq!((check.code, &check.json()["action"]), (75, &json!("wait")), "{context}: {check:?}");
            assert!(!waiters.iter_mut().any(Running::has_ended), "{context}");
        }
        place.write("go", "");
        assert_eq!(run.end_at_all().code, code, "{context}");
        let waiters = waiters.map(Running::end_at_all);
        for told in waiters.iter().chain([&place.dogwatch(["check", "s", "--json"])]) {
            let answer = told.json();
            assert_eq!((told.code, &answer["exit_code"]), (i32::from(code != 0), &json!(code)), "{context}: {told:?}");
            assert!(!answer["detail"].to_string().contains("replaced"), "{context}: {told:?}");
        }
    });
}

#[test]
fn what_was_written_again_is_said() {
    let place = Place::new();
    let run = place.dogwatch(["run", "s", "--", "sh", "-c", "rm $DOGWATCH_DIR/s.pid $DOGWATCH_DIR/s.meta"]);
    assert_eq!(run.code, 0, "{run:?}");
    let report = place.wait_json("s", &[]);
    let detail = report["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("s.pid") && detail.contains("s.meta"), "{report}");
    assert!(run.stderr.contains("s.pid"), "{run:?}");
    assert_eq!(place.read("s.pid"), format!("{}\n", place.meta("s")["pid"]));
}

#[test]
fn a_run_whose_lock_pid_and_record_are_gone_is_told_all_the_same() {
    let place = Place::new();
    let pid = place.detach("s", "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 6");
    for name in ["s.lock", "s.pid", "s.meta", "s.heartbeat"] {
        fs::remove_file(place.file(name)).expect("it is removed");
    }
    place.write("go", "");
    until("the wrapper has gone", || !lives(pid));
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("failed"), &json!(6)), "{report}");
    assert!(place.file("s.lock").exists() && place.file("s.pid").exists());
}

#[test]
fn a_lock_that_a_reader_holds_loses_no_end_and_refuses_no_run() {
    let place = Place::new();
    let run = place.start(["run", "s", "--", "sh", "-c", "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 7"]);
    until("it runs", || place.file("s.pid").exists() && place.file(".s.record").exists());
    for name in ["s.lock", ".s.record"] {
        let mode = fs::metadata(place.file(name)).expect("a lock file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}: nobody else can open it, let alone lock it");
    }
    // A terminator that is stopped in the middle of recording: its lock stays.
    let script = "exec 9<.s.record; flock -x 9; : > held; exec sleep 300";
    let mut holder = place.through(&["sh", "-c", script, "sh"], [""; 0]).spawn().expect("it starts");
    until("the lock is held", || place.file("held").exists());
    place.write("go", "");
    let run = run.end_at_all();
    assert_eq!((run.code, place.read("s.status").as_str()), (7, "FAILED\n"), "{run:?}");
    assert_eq!(place.wait_json("s", &[])["exit_code"], 7);
    kill("KILL", holder.id().cast_signed());
    holder.wait().expect("it is reaped");
}

/// Has another process hold the record's lock of a step, until it is killed.
fn hold_record(place: &Place, step: &str) -> std::process::Child {
    let script = format!("exec 9< .{step}.record; flock -x 9; : > held-{step}; exec sleep 300");
    let holder = place.through(&["sh", "-c", &script, "sh"], [""; 0]).spawn().expect("it starts");
    until("the lock is held", || place.file(&format!("held-{step}")).exists());
    holder
}

#[test]
fn a_record_that_stays_locked_holds_no_answer_and_no_new_run_and_ends_nothing_unannounced() {
    let place = Place::new();
    for step in ["dead", "anew", "busy", "late"] {
        place.detach(step, "exec sleep 300");
    }
    for step in ["dead", "anew"] {
        kill("KILL", place.pid(step));
        until("it is dead", || !lives(place.pid(step)));
    }
    let holders = ["dead", "anew", "busy", "late"].map(|step| hold_record(&place, step));
    let dead = place.start(["wait", "dead", "--json"]);
    let anew = place.start(["run", "anew", "--", "sh", "-c", "exit 3"]);
    let killed = place.start(["kill", "busy", "--json"]);
    let late = place.start(["wait", "late", "--json", "--max-timeout", "10ms", "--grace", "1s"]);
    let dead = dead.end_at_all();
    assert_eq!((dead.code, &dead.json()["outcome"]), (4, &json!("died")), "{dead:?}");
    let anew = anew.end_at_all();
    assert_eq!((anew.code, place.read("anew.status").as_str()), (3, "FAILED\n"), "{anew:?}");
    for (ended, code, outcome, step) in
        [(killed.end_at_all(), 125, "running", "busy"), (late.end_at_all(), 124, "timeout", "late")]
    {
        ended.said(code, outcome, false);
        assert!(ended.json()["detail"].as_str().is_some_and(|detail| detail.contains("stays locked")), "{ended:?}");
        assert!(lives(place.pid(step)) && place.meta(step)["intent"].is_null(), "{ended:?}");
    }
    for mut holder in holders {
        kill("KILL", holder.id().cast_signed());
        holder.wait().expect("it is reaped");
    }
    assert_eq!(place.wait_json("anew", &[])["exit_code"], 3);
    assert_eq!(place.dogwatch(["kill", "busy", "late"]).code, 0);
}

#[test]
fn a_killed_run_whose_pid_file_was_emptied_or_removed_is_told_as_dead_and_started_anew() {
    for theft in [Theft::Truncate, Theft::Unlink] {
        let place = Place::new();
        let pid = place.detach("s", "sleep 300 & echo > $DOGWATCH_DIR/ready; exec sleep 300");
        // What is ended later is the background job; COMMAND itself dies with its wrapper.
        until("the background job runs", || place.file("ready").exists());
        theft.commit(&place.file("s.pid"), place.path(), place.path()).expect("it is stolen");
        kill("KILL", pid);
        until("the wrapper has gone", || !lives(pid));
        let report = place.wait_json("s", &[]);
        assert_eq!((&report["outcome"], &report["killed"]), (&json!("died"), &json!(true)), "{theft:?}: {report}");
        assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0, "{theft:?}");
    }
}

#[test]
fn an_end_that_was_recorded_by_an_older_pid_file_while_the_wrapper_was_stopped_does_not_stay() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--no-breaker", "--", "true"]).code, 0);
    let old = place.file("old");
    fs::copy(place.file("s.pid"), &old).expect("a copy");
    // Files that are written within one tick of the kernel's clock have one time.
    place.age("old", Duration::from_secs(60));
    let work = "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 7";
    let pid = place.detach("s", work);
    kill("STOP", pid);
    Theft::OlderContent.commit(&place.file("s.pid"), &old, place.path()).expect("it is replaced");
    let _answer = place.dogwatch(["kill", "s", "--json"]);
    kill("CONT", pid);
    // The wrapper writes its pid again at its next beat, and with it the end of the other run goes.
    until("the run has its files again", || {
        place.read("s.pid").trim() == pid.to_string() && !place.file("s.status").exists()
    });
    assert_eq!(place.dogwatch(["check", "s", "--json"]).json()["outcome"], "running");
    place.write("go", "");
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&json!("failed"), &json!(7)), "{report}");
}

/// The number of the first stat(2) call that a run makes after its pid file has its name.
fn stat_after_start(place: &Place) -> usize {
    let trace = place.file("trace");
    let prefix = ["strace", "-qq", "-e", "trace=?newfstatat,?renameat", "-o", trace.to_str().expect("text")];
    let run = Running::start(place.through(&prefix, ["run", "s", "--no-breaker", "--", "true"]));
    assert_eq!(run.end_at_all().code, 0);
    let trace = fs::read_to_string(trace).expect("a trace");
    let before = trace.lines().take_while(|line| !(line.starts_with("renameat") && line.contains("\"s.pid\"")));
    before.filter(|line| line.starts_with("newfstatat")).count() + 1
}

#[test]
fn a_wrapper_that_is_stopped_as_soon_as_its_pid_stands_keeps_no_end_of_another_run() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--no-breaker", "--", "true"]).code, 0);
    let first = stat_after_start(&place);
    let (old, trace) = (place.file("old"), place.file("trace"));
    thief::copy(&place.file("s.pid"), &old).expect("a copy");
    for number in first..first + 6 {
        let inject = format!("inject=newfstatat:signal=STOP:when={number}");
        fs::remove_file(&trace).expect("it is there");
        let prefix = ["strace", "-o", trace.to_str().expect("text"), "-e", &inject];
        let mut command = place.through(&prefix, ["run", "s", "--no-breaker", "--heartbeat-interval", "50ms", "--"]);
        command.args(["sh", "-c", "until [ -e go ]; do sleep 0.02; done; exit 7"]).current_dir(place.path());
        let run = Running::start(command);
        until("the wrapper is stopped", || {
            fs::read_to_string(&trace).is_ok_and(|trace| trace.contains("stopped by SIGSTOP"))
        });
        let wrapper = place.pid("s");
        Theft::OlderContent.commit(&place.file("s.pid"), &old, place.path()).expect("it is replaced");
        // Where the wrapper holds the record's lock, an end cannot be recorded before it has read its files back.
        let record = fs::File::options().write(true).open(place.file(".s.record")).expect("the record's lock");
        let is_free = record.try_lock().is_ok();
        drop(record);
        if is_free {
            let _answer = place.dogwatch(["kill", "s", "--grace", "100ms"]);
        }
        kill("CONT", wrapper);
        until("the run has its files again", || {
            place.read("s.pid").trim() == wrapper.to_string() && !place.file("s.status").exists()
        });
        place.write("go", "");
        assert_eq!(run.end_at_all().code, 7, "stat {number}");
        let report = place.wait_json("s", &[]);
        assert_eq!(
            (&report["outcome"], &report["exit_code"]),
            (&json!("failed"), &json!(7)),
            "stat {number}: {report}"
        );
        fs::remove_file(place.file("go")).expect("it is there");
    }
}

#[test]
fn a_status_of_an_earlier_run_that_comes_beside_a_living_one_goes_at_its_next_beat() {
    let place = Place::new();
    for word in ["FAILED", "SUCCESS"] {
        let started = place.dogwatch([
            "run", "-d", "s", "--no-breaker", "--heartbeat-interval", "50ms", "--", "sh", "-c", "exec sleep 300",
        ]);
        assert_eq!(started.code, 0, "{started:?}");
        place.write("earlier", &format!("{word}\n"));
        place.age("earlier", Duration::from_secs(60));
        fs::rename(place.file("earlier"), place.file("s.status")).expect("it is put there");
        until("it has gone", || !place.file("s.status").exists());
        assert_eq!(place.dogwatch(["check", "s", "--json"]).json()["outcome"], "running", "{word}");
        let killed = place.dogwatch(["kill", "s", "--json=full"]);
        assert_eq!(
            (&killed.json()["outcome"], &killed.json()["killed"]),
            (&json!("failed"), &json!(true)),
            "{killed:?}"
        );
    }
}

/// What may come in the place of a file, by another process or by a hand. Root reads the last one all the same.
const STANDINS: [&str; 4] = ["FIFO", "folder", "unreadable file", "other words"];

fn replace(path: &Path, by: &str) {
    if by == "unreadable file" {
        return fs::set_permissions(path, fs::Permissions::from_mode(0o000)).expect("its owner");
    }
    fs::remove_file(path).expect("it was there");
    match by {
        // Long enough ago for a status to be believed.
        "other words" => {
            fs::write(path, "DONE\n").expect("a file");
            let file = fs::File::options().write(true).open(path).expect("that file");
            file.set_modified(std::time::SystemTime::now() - Duration::from_secs(5)).expect("its time");
        }
        "FIFO" => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO"),
        _ => fs::create_dir(path).expect("a folder"),
    }
}

#[test]
fn what_comes_in_the_place_of_a_file_of_a_recorded_end_changes_no_answer() {
    let outcomes = [("exit 0", 0, "success"), ("exit 3", 1, "failed")];
    in_parallel(STANDINS.len() * 4 * outcomes.len(), 4, |at| {
        let (script, code, outcome) = outcomes[at % 2];
        let (record, kind) = (["status", "pid", "result", "meta"][at / 2 % 4], STANDINS[at / 8]);
        let place = Place::new();
        place.dogwatch(["run", "s", "--", "sh", "-c", &format!("echo 7 > $DOGWATCH_RESULT; {script}")]);
        replace(&place.file(&format!("s.{record}")), kind);
        for command in ["wait", "check"] {
            let ended = place.dogwatch([command, "s", "--json=full"]);
            let answer = ended.json();
            assert_eq!((ended.code, answer["outcome"].as_str()), (code, Some(outcome)), "{kind}, {record}: {ended:?}");
            let has_result = record != "result" || kind == "unreadable file" && answer["result"] == 7;
            if outcome == "success" {
                assert_eq!(answer["result"] == 7, has_result, "{kind}, {record}: {ended:?}");
                assert_eq!(answer["result_error"].is_null(), has_result, "{kind}, {record}: {ended:?}");
            }
        }
    });
}

#[test]
fn what_comes_in_the_place_of_a_file_of_a_living_run_fails_it_not() {
    in_parallel(STANDINS.len() * 3, 4, |at| {
        let (record, kind) = (["pid", "heartbeat", "meta"][at % 3], STANDINS[at / 3]);
        let place = Place::new();
        place.detach("s", "until [ -e \"$DOGWATCH_DIR/go\" ]; do sleep 0.02; done");
        replace(&place.file(&format!("s.{record}")), kind);
        let check = place.dogwatch(["check", "s", "--json"]);
        check.said(75, "running", false);
        let waiter = place.start(["wait", "s", "--json"]);
        place.write("go", "");
        assert_eq!(waiter.end_at_all().json()["outcome"], "success", "{kind}, {record}");
        // Without a pid it can be ended only once its next beat has written that again, and none is ended unannounced.
        if record != "pid" && (record, kind) != ("meta", "folder") {
            let pid = place.detach("killed", "exec sleep 300");
            replace(&place.file(&format!("killed.{record}")), kind);
            assert_eq!(place.dogwatch(["kill", "killed"]).code, 0, "{kind}, {record}");
            assert!(!lives(pid), "{kind}, {record}");
        }
    });
}
