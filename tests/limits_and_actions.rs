//! What is said of a run that is over a limit, and what a caller is told to do next.
//!
//! A limit counts from the start that the run recorded, so a test moves that start instead of waiting for half an hour.

use crate::support::{Place, lives, until};
use serde_json::{Value, json};

/// Makes a run look as if it had begun so many seconds earlier.
fn move_start(place: &Place, step: &str, seconds: i64) {
    let mut meta = place.meta(step);
    let began = meta["started_awake_ms"].as_i64().expect("its start on the awake clock");
    meta["started_awake_ms"] = json!(began - seconds * 1000);
    let temporary = format!(".{step}.meta.moved");
    place.write(&temporary, &meta.to_string());
    std::fs::rename(place.file(&temporary), place.file(&format!("{step}.meta"))).expect("it is renamed");
}

fn answer(place: &Place, words: &[&str]) -> (i32, Value) {
    let ended = place.dogwatch(words);
    (ended.code, ended.json())
}

#[test]
fn a_run_that_was_given_no_limit_has_none_after_two_hours_for_any_later_call() {
    let place = Place::new();
    let pid = place.detach("server", "sleep 300");
    move_start(&place, "server", 2 * 60 * 60);
    for words in [
        ["check", "server", "--json", "--log-tail=0"],
        ["wait", "server", "--json", "--for=50ms"],
        ["recover", "server", "--json", "--for=50ms"],
    ] {
        let (code, said) = answer(&place, &words);
        assert_eq!((code, &said["outcome"], &said["action"]), (75, &json!("running"), &json!("wait")), "{said}");
        assert!(said["elapsed_ms"].as_u64() > Some(7_200_000), "{said}");
    }
    assert!(lives(pid));
    assert!(place.dogwatch(["list"]).stdout.contains("running"));
}

#[test]
fn a_limit_from_a_flag_the_environment_or_the_run_itself_holds_all_the_same() {
    for source in ["flag", "environment", "run"] {
        let place = Place::new();
        let limit: &[&str] = if source == "run" { &["--max-timeout", "30m"] } else { &[] };
        let start = ["run", "-d", "s"].iter().chain(limit).chain(&["--", "sleep", "300"]);
        assert_eq!(place.dogwatch(start).code, 0);
        let pid = place.pid("s");
        // The run holds itself to its own limit by its own clock, which a test cannot move.
        move_start(&place, "s", 31 * 60);
        let mut wait = place.command(["wait", "s", "--json"]);
        if source == "flag" {
            wait.args(["--max-timeout", "30m"]);
        } else if source == "environment" {
            wait.env("DOGWATCH_MAX_TIMEOUT", "30m");
        }
        let ended = crate::support::Running::start(wait).end_at_all();
        ended.said(124, "timeout", true);
        assert_eq!(ended.json()["action"], "retry", "{ended:?}");
        assert!(!lives(pid), "{source}");
    }
}

#[test]
fn what_is_over_its_limit_and_still_runs_is_said_to_run() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    move_start(&place, "s", 31 * 60);
    let sentence = "over its limit of 30m and still running";
    for words in [
        &["check", "s", "--json", "--max-timeout", "30m"][..],
        &["wait", "s", "--json", "--max-timeout", "30m", "--no-kill"],
    ] {
        let (code, said) = answer(&place, words);
        let facts = (code, &said["outcome"], &said["killed"], &said["action"], &said["detail"]);
        assert_eq!(facts, (124, &json!("timeout"), &json!(false), &json!("kill"), &json!(sentence)), "{said}");
    }
    let told = place.dogwatch(["check", "s", "--max-timeout", "30m"]);
    assert_eq!(told.code, 124, "{told:?}");
    assert!(told.stdout.starts_with("s: overdue for 31m") && told.stdout.contains(sentence), "{told:?}");
    let mut list = place.command(["list"]);
    let listed = crate::support::Ended::of(&list.env("DOGWATCH_MAX_TIMEOUT", "30m").output().expect("it runs"));
    assert!(listed.stdout.contains("overdue") && !listed.stdout.contains("timeout"), "{listed:?}");
    assert!(lives(pid), "nothing was done to it");
}

#[test]
fn a_silent_run_that_is_only_looked_at_is_said_to_run_too() {
    let place = Place::new();
    let start = ["run", "-d", "s", "--heartbeat-on", "manual", "--heartbeat-interval", "100ms", "--", "sleep", "300"];
    assert_eq!(place.dogwatch(start).code, 0);
    place.age("s.heartbeat", std::time::Duration::from_secs(600));
    place.age("s.pid", std::time::Duration::from_secs(600));
    let mut meta = place.meta("s");
    let modified = std::fs::metadata(place.file("s.pid")).and_then(|found| found.modified()).expect("its time");
    let nanos = modified.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_nanos();
    meta["pid_mtime_ns"] = json!(u64::try_from(nanos).expect("a time of this century"));
    place.write("s.meta", &meta.to_string());
    let (code, said) = answer(&place, &["check", "s", "--json"]);
    assert_eq!((code, &said["outcome"], &said["action"]), (3, &json!("hung"), &json!("kill")), "{said}");
    let detail = said["detail"].as_str().expect("a sentence");
    assert!(detail.starts_with("no heartbeat for ") && detail.contains("still running"), "{said}");
}

#[test]
fn each_end_is_told_with_what_to_do_about_it() {
    let place = Place::new();
    for (step, script, action) in
        [("good", "exit 0", "continue"), ("bad", "exit 3", "retry"), ("lost", "nosuchcommand", "fix")]
    {
        place.dogwatch(["run", step, "--no-breaker", "--", "sh", "-c", script]);
        for words in [["wait", step, "--json"], ["check", step, "--json"], ["recover", step, "--json"]] {
            assert_eq!(place.dogwatch(words).json()["action"], action, "{words:?}");
        }
    }
    place.dogwatch(["run", "missing", "--no-breaker", "--", "/no/such/program"]);
    assert_eq!(place.wait_json("missing", &[])["action"], "fix", "127: starting it again changes nothing");
    place.write("plain", "not executable");
    place.dogwatch(["run", "plain", "--no-breaker", "--", place.file("plain").to_str().expect("a path")]);
    assert_eq!(place.wait_json("plain", &[])["action"], "fix", "126");
    assert_eq!(place.wait_json("nosuch", &["--start-timeout", "0"])["action"], "retry");
}

#[test]
fn a_hung_run_is_to_be_fixed_and_one_that_died_or_ran_out_of_time_started_again() {
    let place = Place::new();
    place.dogwatch([
        "run", "hung", "--heartbeat-on", "manual", "--stale", "200ms", "--no-breaker", "--", "sleep", "300",
    ]);
    assert_eq!(place.wait_json("hung", &[])["action"], "fix");
    let late = place.dogwatch(["run", "late", "--max-timeout", "50ms", "--no-breaker", "--json", "--", "sleep", "300"]);
    late.said(124, "timeout", true);
    assert_eq!(place.wait_json("late", &[])["action"], "retry");
    let pid = place.detach("died", "sleep 300");
    crate::support::kill("KILL", pid);
    until("it is dead", || !lives(pid));
    // Nobody has recorded it yet.
    assert_eq!(
        place.dogwatch(["check", "died", "--json"]).json()["detail"],
        format!("process {pid} is gone and left no status")
    );
    assert_eq!(place.wait_json("died", &[])["action"], "retry");
}

#[test]
fn what_a_person_stopped_is_not_started_again_by_a_loop_that_follows_the_advice() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    let killed = place.dogwatch(["kill", "s", "--json"]);
    assert_eq!((killed.code, &killed.json()["action"]), (0, &json!("stop")), "{killed:?}");
    for words in [["wait", "s", "--json"], ["check", "s", "--json"], ["recover", "s", "--json"]] {
        let said = place.dogwatch(words).json();
        assert_eq!((&said["outcome"], &said["action"]), (&json!("failed"), &json!("stop")), "{said}");
        assert_eq!(said["detail"], "stopped on request", "{said}");
    }
    let line = place.dogwatch(["wait", "s"]).stdout;
    assert!(line.starts_with("s: failed, stopped on request after "), "{line}");
    assert_eq!(line.matches("stopped on request").count(), 1, "{line}");
    let run = place.start_undisturbed(["run", "i", "--", "sleep", "300"]);
    until("it has started", || place.file("i.pid").exists() && place.file("i.log").exists());
    crate::support::kill("INT", run.pid());
    run.end_at_all();
    assert_eq!(place.wait_json("i", &[])["action"], "stop", "interrupted");
}

#[test]
fn an_open_circuit_says_stop_whatever_the_failure_was() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--max-consecutive", "1", "--", "/no/such/program"]);
    let said = place.wait_json("s", &[]);
    assert_eq!((&said["action"], &said["breaker"]["open"]), (&json!("stop"), &json!(true)), "{said}");
}

#[test]
fn a_fail_marker_on_a_run_that_goes_on_says_wait() {
    let place = Place::new();
    let pid = place.detach("s", "echo panic: x; sleep 300");
    let said = place.wait_json("s", &["--fail-marker", "panic"]);
    assert_eq!((&said["outcome"], &said["action"]), (&json!("failed"), &json!("wait")), "{said}");
    assert!(lives(pid));
}

#[test]
fn every_report_has_the_command_its_folder_and_its_times_and_absent_facts_are_null() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "sh", "-c", "exit 3"]);
    let said = place.wait_json("s", &[]);
    assert_eq!(said["command"], json!(["sh", "-c", "exit 3"]), "{said}");
    let folder = std::env::current_dir().expect("a folder");
    assert_eq!(said["cwd"].as_str(), folder.to_str(), "{said}");
    let meta = place.meta("s");
    assert_eq!((&said["started_at"], &said["ended_at"]), (&meta["started_at"], &meta["ended_at"]), "{said}");
    let listed = place.dogwatch(["list", "--json"]).json();
    assert_eq!((&listed["exit_code"], &listed["command"]), (&json!(3), &said["command"]), "{listed}");
    place.write("foreign.status", "FAILED\n");
    place.detach("busy", "sleep 300");
    for words in [["check", "foreign", "--json"], ["check", "busy", "--json"], ["check", "nosuch", "--json"]] {
        let answer = place.dogwatch(words).json();
        assert_eq!(keys(&answer), keys(&said), "{words:?}");
        for key in ["command", "cwd", "started_at"] {
            assert_eq!(answer[key].is_null(), words[1] != "busy", "{key}: {answer}");
        }
    }
    assert_eq!(place.dogwatch(["check", "busy", "--json"]).json()["ended_at"], Value::Null);
    assert!(place.dogwatch(["check", "foreign", "--json"]).json()["ended_at"].is_string(), "its status was written");
}

fn keys(object: &Value) -> Vec<&String> {
    object.as_object().expect("an object").keys().collect()
}

#[test]
fn a_running_step_is_told_of_without_its_log_and_a_failure_with_it() {
    let place = Place::new();
    place.detach("busy", "echo at work; sleep 300");
    until("the log is written", || place.read("busy.log") == "at work\n");
    for words in [["wait", "busy", "--for=50ms", "--json"], ["check", "busy", "--log-tail=5", "--json"]] {
        let said = place.dogwatch(words).json();
        assert_eq!((&said["outcome"], &said["log_tail"]), (&json!("running"), &Value::Null), "{said}");
    }
    let told = place.dogwatch(["check", "busy"]);
    assert_eq!((told.stderr.as_str(), told.stdout.lines().count()), ("", 1), "{told:?}");
    place.dogwatch(["run", "bad", "--", "sh", "-c", "echo no such module; exit 1"]);
    assert_eq!(place.wait_json("bad", &[])["log_tail"], json!(["no such module"]));
}

#[test]
fn the_evidence_of_a_hung_run_leaves_its_wrapper_out_and_a_plain_shell_in() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--heartbeat-on", "manual", "--stale", "200ms", "--", "sh", "-c", "sleep 300 & wait"]);
    let said = place.wait_json("s", &[]);
    let evidence = said["evidence"].as_array().expect("what its processes did");
    assert_eq!(evidence.len(), 2, "the shell and its sleep: {said}");
    assert!(evidence.iter().all(|process| process["pid"] != said["pid"]), "{said}");
    let mut shell = crate::support::Shell::start(&place, "echo $$ > p.pid; touch p.heartbeat; sleep 300", &[]);
    until("it has started", || place.file("p.heartbeat").exists());
    let ended = place.start(["wait", "p", "--stale", "300ms", "--json"]).end_at_all();
    let said = ended.json();
    assert!(said["evidence"].to_string().contains(&format!("\"pid\":{}", said["pid"])), "{said}");
    shell.kill();
}

#[test]
fn a_status_that_says_how_it_failed_is_a_failure_with_these_words() {
    let place = Place::new();
    place.write("s.status", "FAILED: no space left on /data\n");
    let said = place.wait_json("s", &[]);
    assert_eq!((&said["outcome"], &said["detail"]), (&json!("failed"), &json!("no space left on /data")), "{said}");
    assert_eq!(place.dogwatch(["wait", "s"]).stdout, "s: failed: no space left on /data\n");
}

#[test]
fn a_name_that_is_not_there_is_answered_with_those_that_are_and_the_nearest() {
    let place = Place::new();
    place.dogwatch(["run", "build", "--", "true"]);
    let said = place.dogwatch(["check", "biuld"]);
    let sentence = format!("there is no step biuld in {}; there is build; did you mean build?", place.path().display());
    assert_eq!((said.code, said.stdout.contains(&sentence)), (5, true), "{said:?}");
    place.dogwatch(["run", "zz", "--", "true"]);
    let said = place.dogwatch(["check", "quite-another"]);
    assert!(said.stdout.ends_with("; there are: build, zz\n"), "{said:?}");
}
