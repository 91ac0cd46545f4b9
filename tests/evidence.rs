//! Why a run hangs: what `evidence` says of its processes, to whom, and that everybody hears the same.
//!
//! The tree is looked for by a variable in its environment, and the reason why a process waits is arranged before it is
//! asked for. If a tool is missing, its case is skipped with a message.

#![cfg(target_os = "linux")]

use crate::support::{Ended, Place, Running, Shell, kill, lives, marked, until};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::Command;

fn wait(place: &Place, more: &[&str]) -> (Ended, Value) {
    let ended = place.start(["wait", "s", "--json"].iter().chain(more)).end_at_all();
    let answer = ended.json();
    (ended, answer)
}

#[track_caller]
fn processes(answer: &Value) -> &Vec<Value> {
    answer["evidence"].as_array().unwrap_or_else(|| panic!("no evidence: {answer}"))
}

/// The one process with this command line.
#[track_caller]
fn named<'answer>(answer: &'answer Value, command: &str) -> &'answer Value {
    let found: Vec<&Value> = processes(answer).iter().filter(|process| process["command"] == command).collect();
    assert_eq!(found.len(), 1, "{command}: {answer:#}");
    found[0]
}

fn pids(answer: &Value) -> BTreeSet<i64> {
    processes(answer).iter().filter_map(|process| process["pid"].as_i64()).collect()
}

fn marked_pids(shell: &Shell) -> BTreeSet<i64> {
    marked(&shell.mark).into_iter().map(i64::from).collect()
}

fn has_tool(name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    if !there {
        eprintln!("left out: there is no {name} here");
    }
    there
}

/// The letter of a process's state, as proc(5) has it, and its command line with blanks between.
fn seen(pid: i32) -> (char, String) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let letter = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()).unwrap_or('-');
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    (letter, line)
}

/// Waits until every process of the tree has become what it is to be, and sleeps.
fn settle(shell: &Shell, commands: &[&str]) {
    until("the tree is there and sleeps", || {
        let tree: Vec<(char, String)> = marked(&shell.mark).into_iter().map(seen).collect();
        let has = |command: &&str| tree.iter().any(|(_, line)| line == command);
        tree.len() == commands.len() + 1 && commands.iter().all(has) && tree.iter().all(|(letter, _)| *letter == 'S')
    });
}

/// A step whose wrapper waits for children that each wait for something else.
const BLOCKED: &str = r#"
    echo $$ > s.pid
    mkfifo never other full
    exec 3<>never 4<>other 5<>full
    cat < never &
    cat other &
    cat /dev/zero > full &
    sleep 300 &
    sleep 301 &
    sh -c 'true & exec sleep 302' &
    if [ -n "$1" ]; then flock locked true & fi
    if [ -n "$2" ]; then bash -c "$2" & fi
    touch s.heartbeat
    wait
"#;

#[test]
fn each_process_of_a_hung_tree_is_told_with_what_it_waits_for_and_everybody_hears_the_same() {
    let place = Place::new();
    let locked = std::fs::File::create(place.file("locked")).expect("a file");
    locked.lock().expect("a lock");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let peer = format!("exec 6<>/dev/tcp/127.0.0.1/{port}; read -r -u 6 line");
    let (flock, bash) = (has_tool("flock"), has_tool("bash"));
    let mut expected: BTreeMap<String, (&str, Value)> = BTreeMap::from([
        ("cat".to_owned(), ("sleeping", json!("stdin"))),
        ("cat other".to_owned(), ("sleeping", json!("pipe"))),
        ("cat /dev/zero".to_owned(), ("sleeping", json!("pipe"))),
        ("sleep 300".to_owned(), ("sleeping", json!("sleep"))),
        ("sleep 301".to_owned(), ("stopped", Value::Null)),
        ("sleep 302".to_owned(), ("sleeping", json!("sleep"))),
    ]);
    if flock {
        expected.insert("flock locked true".to_owned(), ("sleeping", json!("lock")));
    }
    if bash {
        expected.insert(format!("bash -c {peer}"), ("sleeping", json!("network")));
    }
    let arguments = [if flock { "flock" } else { "" }, if bash { peer.as_str() } else { "" }];
    let shell = Shell::start(&place, BLOCKED, &arguments);
    let commands: Vec<&str> = expected.keys().map(String::as_str).collect();
    settle(&shell, &commands);
    let tree = marked_pids(&shell);
    let stopped = marked(&shell.mark).into_iter().find(|pid| seen(*pid).1 == "sleep 301").expect("it is there");
    kill("STOP", stopped);
    until("it is stopped", || seen(stopped).0 == 'T');

    let (ended, answer) = wait(&place, &["--stale", "1s", "--grace", "1s"]);
    ended.said(3, "hung", true);
    assert!(marked(&shell.mark).is_empty(), "{ended:?}");
    for (command, (state, blocked_on)) in &expected {
        let process = named(&answer, command);
        assert_eq!((&process["state"], &process["blocked_on"]), (&json!(state), blocked_on), "{process}");
        assert!(process["cpu_ms"].is_u64(), "{process}");
    }
    let root = &processes(&answer)[0];
    assert_eq!(root["pid"], shell.pid());
    assert_eq!((&root["state"], &root["blocked_on"]), (&json!("sleeping"), &json!("child")), "{root}");
    assert_eq!(root["ppid"], std::process::id());
    // `true` has ended, and the sleeper that it was left to does not look.
    let zombies: Vec<&Value> = processes(&answer).iter().filter(|process| process["state"] == "zombie").collect();
    assert_eq!(zombies.len(), 1, "{answer:#}");
    assert_eq!(zombies[0]["ppid"], named(&answer, "sleep 302")["pid"]);
    assert!(zombies[0]["command"].as_str().is_some_and(|name| name.starts_with('[')), "{zombies:?}");
    let living: BTreeSet<i64> = pids(&answer).into_iter().filter(|pid| zombies[0]["pid"] != *pid).collect();
    assert_eq!(living, tree);

    assert_eq!(place.meta("s")["evidence"], answer["evidence"]);
    let (later, again) = wait(&place, &[]);
    later.said(3, "hung", false);
    assert_eq!(again["evidence"], answer["evidence"]);
    let checked = place.dogwatch(["check", "s", "--json"]);
    assert_eq!(checked.json()["evidence"], answer["evidence"]);
}

#[test]
fn a_busy_process_is_running_and_its_time_grows_and_nothing_is_touched_by_the_asking() {
    let place = Place::new();
    let busy = "while :; do :; done";
    // The limit of time is for a test that is killed itself: nobody is left spinning for ever.
    let script = format!("ulimit -t 60; echo $$ > s.pid; touch s.heartbeat; nice -n 19 sh -c '{busy}' & wait");
    let shell = Shell::start(&place, &script, &[]);
    let command = format!("sh -c {busy}");
    until("it is busy", || marked(&shell.mark).into_iter().any(|pid| seen(pid).1 == command));
    let mut times = Vec::new();
    until("its time has grown three times", || {
        let ended = place.dogwatch(["check", "s", "--stale", "0.2", "--json"]);
        if ended.code == 75 {
            return false;
        }
        ended.said(3, "hung", false);
        let answer = ended.json();
        assert_eq!(answer["action"], "kill", "{ended:?}");
        let process = named(&answer, &command);
        assert_eq!((&process["state"], &process["blocked_on"]), (&json!("running"), &Value::Null));
        times.push(process["cpu_ms"].as_u64().expect("a time"));
        times.is_sorted() && times.last() >= times.first().map(|first| first + 100).as_ref()
    });
    assert!(lives(shell.pid()) && !place.file("s.meta").exists() && !place.file("s.status").exists());
}

#[test]
fn with_no_kill_the_tree_is_told_and_neither_ended_nor_recorded() {
    let place = Place::new();
    let shell = Shell::start(&place, "echo $$ > s.pid; touch s.heartbeat; sleep 300 & wait", &[]);
    settle(&shell, &["sleep 300"]);
    let before = place.snapshot();
    let (ended, answer) = wait(&place, &["--stale", "1s", "--no-kill"]);
    ended.said(3, "hung", false);
    assert_eq!(named(&answer, "sleep 300")["blocked_on"], "sleep");
    assert_eq!(pids(&answer), marked_pids(&shell));
    assert_eq!(place.snapshot(), before);
    // The same with a maximum of time, and for people.
    let ended = place.start(["wait", "s", "--max-timeout", "0.1", "--no-kill"]).end_at_all();
    assert_eq!(ended.code, 124, "{ended:?}");
    let (root, child) = (format!("\n{} sh -c ", shell.pid()), " sleep 300 (sleeping/sleep, cpu ");
    assert!(ended.stderr.contains(&root) && ended.stderr.contains(child), "{ended:?}");
    let indented = |line: &str| line.starts_with("  ") && line.contains(child);
    assert!(ended.stderr.lines().any(indented) && !ended.stdout.contains("sleep 300"), "{ended:?}");
    assert_eq!(place.start(["wait", "s", "--max-timeout", "0.1", "--no-kill", "-q"]).end_at_all().stderr, "");
}

#[test]
fn a_run_that_ended_itself_with_nobody_waiting_tells_whoever_comes_later() {
    let place = Place::new();
    let started = place.dogwatch(["run", "-d", "--max-timeout", "3", "s", "--", "sh", "-c", "sleep 300 | cat; exit 7"]);
    assert_eq!(started.code, 0, "{started:?}");
    let wrapper = place.pid("s");
    until("it has ended itself", || place.file("s.status").exists());
    let (ended, answer) = wait(&place, &[]);
    ended.said(124, "timeout", false);
    assert_eq!(named(&answer, "sleep 300")["blocked_on"], "sleep");
    assert_eq!(named(&answer, "cat")["blocked_on"], "stdin");
    let command = named(&answer, "sh -c sleep 300 | cat; exit 7");
    assert_eq!((&command["blocked_on"], &command["ppid"]), (&json!("child"), &json!(wrapper)));
    assert_eq!(processes(&answer).len(), 3, "the wrapper, which only waits for them, is left out: {answer:#}");
    // What was not given a limit by `run` is told by the one who waits.
    place.detach("s", "sleep 300; exit 7");
    let mark = format!("DOGWATCH_RUN_ID={}", place.meta("s")["run_id"].as_str().expect("an id"));
    until("it sleeps", || marked(&mark).into_iter().any(|pid| seen(pid) == ('S', "sleep 300".to_owned())));
    let (ended, answer) = wait(&place, &["--max-timeout", "2"]);
    ended.said(124, "timeout", true);
    assert_eq!((&processes(&answer)[0]["ppid"], processes(&answer).len()), (&answer["pid"], 2), "{answer:#}");
    // The wrapper wrote the end of this one, and kept what was announced.
    assert_eq!(wait(&place, &[]).1["evidence"], answer["evidence"]);
}

#[test]
fn waiters_that_find_a_hung_step_at_once_tell_of_the_same_tree() {
    let place = Place::new();
    let shell = Shell::start(&place, "echo $$ > s.pid; touch s.heartbeat; sleep 300 & sleep 301 & wait", &[]);
    settle(&shell, &["sleep 300", "sleep 301"]);
    let waiters: Vec<Running> = (0..4).map(|_| place.start(["wait", "s", "--json", "--stale", "1s"])).collect();
    let answers: Vec<Value> = waiters.into_iter().map(|waiter| waiter.end_at_all().json()).collect();
    assert_eq!(processes(&answers[0]).len(), 3, "{answers:#?}");
    for answer in &answers {
        assert_eq!(
            (&answer["outcome"], &answer["evidence"]),
            (&json!("hung"), &answers[0]["evidence"]),
            "{answers:#?}"
        );
    }
}

#[test]
fn a_run_in_the_foreground_shows_people_the_tree_that_it_ends() {
    let place = Place::new();
    let ended = place.dogwatch(["run", "--max-timeout", "3", "s", "--", "sh", "-c", "sleep 300; exit 7"]);
    assert_eq!(ended.code, 124, "{ended:?}");
    assert!(ended.stderr.contains(" sleep 300 (sleeping/sleep, cpu "), "{ended:?}");
    assert!(!ended.stderr.contains("run --max-timeout"), "its wrapper is no answer to why: {ended:?}");
}

#[test]
fn every_other_outcome_has_no_evidence() {
    let place = Place::new();
    for (step, code) in [("good", "0"), ("bad", "1")] {
        place.dogwatch(["run", step, "--", "sh", "-c", &format!("exit {code}")]);
    }
    let mut shell = Shell::start(&place, "echo $$ > dead.pid; touch dead.heartbeat; sleep 300", &[]);
    until("the step has started", || place.file("dead.heartbeat").exists());
    shell.kill();
    let pid = place.detach("runs", "sleep 300");
    for (step, outcome) in [("good", "success"), ("bad", "failed"), ("dead", "died"), ("runs", "running")] {
        let answer = place.wait_json(step, &["--for", "3"]);
        assert_eq!((&answer["outcome"], &answer["evidence"]), (&json!(outcome), &Value::Null), "{answer}");
    }
    assert_eq!(place.wait_json("none", &["--start-timeout", "0.1"])["evidence"], Value::Null);
    // Nobody's process is to be seen: there is an answer, and nothing in it.
    place.write("far.heartbeat", "");
    let answer = place.wait_json("far", &["--stale", "0.5"]);
    assert_eq!((&answer["outcome"], &answer["evidence"]), (&json!("hung"), &json!([])), "{answer}");
    kill("TERM", pid);
}

#[test]
fn work_that_ends_well_while_it_is_being_ended_has_succeeded_without_evidence() {
    let place = Place::new();
    let script = "trap 'echo SUCCESS > s.status; exit' TERM; echo $$ > s.pid; touch s.heartbeat; sleep 300 & wait";
    let shell = Shell::start(&place, script, &[]);
    settle(&shell, &["sleep 300"]);
    let (ended, answer) = wait(&place, &["--stale", "1s"]);
    assert_eq!((&answer["outcome"], &answer["evidence"]), (&json!("success"), &Value::Null), "{ended:?}");
    assert!(place.meta("s")["evidence"].is_array());
}

#[test]
fn a_tree_of_hundreds_is_told_in_part_and_ended_whole() {
    let place = Place::new();
    let script =
        "echo $$ > s.pid; i=0; while [ $i -lt 300 ]; do sleep 300 & i=$((i + 1)); done; touch s.heartbeat; wait";
    let shell = Shell::start(&place, script, &[]);
    until("all are there", || marked(&shell.mark).len() == 301);
    until("the loop is over", || place.file("s.heartbeat").exists());
    let ended = place.start(["wait", "s", "--stale", "1s"]).end_at_all();
    assert_eq!((ended.code, marked(&shell.mark).len()), (3, 0), "{ended:?}");
    let told = ended.stderr.lines().filter(|line| line.contains(" sleep 300 (sleeping/sleep, cpu ")).count();
    assert!(told == 11 && ended.stderr.contains("\nand 244 more\n"), "{ended:?}");
    assert_eq!(processes(&place.wait_json("s", &[])).len(), 256);
    assert!(std::fs::metadata(place.file("s.meta")).expect("a meta record").len() < 130 << 10);
}

#[test]
fn who_comes_after_a_meta_of_other_hands_still_gets_an_array() {
    let place = Place::new();
    let shell = Shell::start(&place, "echo $$ > s.pid; touch s.heartbeat; sleep 300 & wait", &[]);
    settle(&shell, &["sleep 300"]);
    wait(&place, &["--stale", "1s"]).0.said(3, "hung", true);
    let mut meta = place.meta("s");
    meta["evidence"] = json!({ "by": "somebody else" });
    place.write("s.meta", &meta.to_string());
    let (ended, answer) = wait(&place, &[]);
    ended.said(3, "hung", false);
    assert_eq!(answer["evidence"], json!([]));
}

#[test]
fn the_record_of_a_long_command_line_has_room_for_evidence() {
    let place = Place::new();
    // Arguments of a megabyte, which the record bounds, and a hundred processes.
    let script = "i=0; while [ $i -lt 100 ]; do sleep 300 & i=$((i + 1)); done; : > \"$DOGWATCH_DIR/ready\"; wait";
    let filling = "x".repeat(130_000);
    let mut arguments = vec!["run", "-d", "s", "--", "sh", "-c", script];
    arguments.extend([filling.as_str(); 8]);
    assert_eq!(place.dogwatch(arguments).code, 0);
    let mark = format!("DOGWATCH_RUN_ID={}", place.meta("s")["run_id"].as_str().expect("an id"));
    until("the tree is there", || place.file("ready").exists() && marked(&mark).len() == 101);
    let (ended, answer) = wait(&place, &["--max-timeout", "0.1"]);
    ended.said(124, "timeout", true);
    assert_eq!(processes(&answer).len(), 101);
    let command = processes(&answer)[0]["command"].as_str().expect("a command line");
    assert_eq!(command.chars().count(), 200, "{command}");
    let (ended, answer) = wait(&place, &[]);
    ended.said(124, "timeout", false);
    assert_eq!(processes(&answer).len(), 101, "a later answer has it from the record");
}

#[test]
fn on_a_full_disk_the_outcome_is_recorded_without_evidence() {
    let place = Place::new();
    // The shell's own limit on the size of a file stands for the full disk: SIGXFSZ is ignored, so that write fails.
    let shell = Shell::start(
        &place,
        "echo $$ > s.pid; touch s.heartbeat; i=0; while [ $i -lt 60 ]; do sleep 300 & i=$((i + 1)); done; wait",
        &[],
    );
    until("all are there", || marked(&shell.mark).len() == 61);
    let limited = "trap '' XFSZ; ulimit -f 4; exec \"$@\"";
    let mut waiter = place.through(&["sh", "-c", limited, "sh"], ["wait", "s", "--json", "--stale", "1s"]);
    let ended = Ended::of(&waiter.output().expect("a waiter"));
    ended.said(3, "hung", true);
    assert_eq!(processes(&ended.json()).len(), 61, "its own look it has all the same");
    assert_eq!((place.meta("s")["reason"].clone(), place.meta("s")["evidence"].clone()), (json!("hung"), Value::Null));
    assert_eq!(wait(&place, &[]).1["evidence"], json!([]));
}
