//! Waiting for a line of a log: found whatever happens to the file, reported once, and never at the cost of the work. What
//! matters is tested with events and by polling.

use crate::support::{Dice, Ended, Place, Running, Shell, any_moment_within, event_backend, in_parallel, lives, until};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

/// A step that lives until its place goes, and logs what is appended to its log by the test.
fn living(place: &Place, step: &str) -> i32 {
    place.detach(step, "while :; do sleep 300; done")
}

fn append(place: &Place, name: &str, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(place.file(name)).expect("the log");
    file.write_all(bytes).expect("it is written");
}

fn wait(place: &Place, more: &[&str]) -> Ended {
    let bound: &[&str] = if more.contains(&"--for") { &[] } else { &["--for", "60"] };
    place.dogwatch(["wait", "--json"].iter().chain(more).chain(bound))
}

#[track_caller]
fn found(ended: &Ended, line: &str) {
    ended.said(0, "marker", false);
    assert_eq!(
        (&ended.json()["marker"]["line"], &ended.json()["action"]),
        (&json!(line), &json!("continue")),
        "{ended:?}"
    );
}

#[track_caller]
fn failed_by(ended: &Ended, line: &str) {
    ended.said(1, "failed", false);
    let detail = ended.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("--fail-marker") && detail.contains(line), "{ended:?}");
    assert_eq!(ended.json()["marker"], Value::Null);
}

/// Both ways of noticing a change.
fn backends() -> [[&'static str; 4]; 2] {
    [["--backend", event_backend(), "--poll-interval", "1h"], ["--backend", "poll", "--poll-interval", "20ms"]]
}

#[test]
fn a_line_ends_the_wait_the_moment_it_is_logged_and_the_work_goes_on() {
    for backend in backends() {
        let place = Place::new();
        let pid = living(&place, "s");
        let waiter = place.start(
            ["wait", "s", "--json", "--marker", "^listening on", "--fail-marker", "panic"].iter().chain(&backend),
        );
        if backend[1] != "poll" {
            until("it waits by events", || waiter.has_events());
        }
        let began = Instant::now();
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            append(&place, "s.log", b"not listening on\n");
            any_moment_within(&mut dice, 3);
        }
        append(&place, "s.log", b"list");
        append(&place, "s.log", b"ening on 8080\r\nmore\n");
        found(&waiter.end_at_all(), "listening on 8080");
        assert!(began.elapsed() < Duration::from_secs(10), "found by no event but by the rescan after 15 s");
        assert!(lives(pid) && !place.file("s.status").exists());
    }
}

#[test]
fn what_stood_there_before_the_call_counts_and_so_does_the_log_of_a_run_that_has_ended() {
    let place = Place::new();
    living(&place, "s");
    append(&place, "s.log", b"one\nready 1\nready 2\n");
    found(&wait(&place, &["s", "--marker", "ready"]), "ready 1");
    failed_by(&wait(&place, &["s", "--marker", "ready 1", "--fail-marker", "ready 2"]), "ready 2");
    wait(&place, &["s", "--marker", "never", "--for", "50ms"]).said(75, "running", false);
    for (script, code, outcome, detail) in [
        ("printf 'a\\nready'", 1, "failed", "ended (success, exit code 0) before a line matched"),
        ("printf 'a\\nready'; exit 3", 1, "failed", "ended (failed, exit code 3) before a line matched"),
        ("echo ready; kill -TERM $$", 1, "failed", "ended (failed, SIGTERM) before a line matched"),
        ("echo ready; kill -9 $PPID; sleep 300", 4, "died", " is gone and left no status"),
    ] {
        let place = Place::new();
        place.dogwatch(["run", "s", "--", "sh", "-c", script]);
        found(&wait(&place, &["s", "--marker", "^ready$"]), "ready");
        failed_by(&wait(&place, &["s", "--fail-marker", "^ready$"]), "ready");
        let other = wait(&place, &["s", "--marker", "^never$"]);
        assert_eq!((other.code, other.json()["outcome"].as_str()), (code, Some(outcome)), "{other:?}");
        assert!(other.json()["detail"].as_str().is_some_and(|told| told.contains(detail)), "{other:?}");
        // The record says how the run itself ended.
        let plain = wait(&place, &["s"]);
        let own = if script.ends_with("ready'") { "success" } else { outcome };
        assert_eq!(plain.json()["outcome"], own, "{plain:?}");
        let propagated = wait(&place, &["s", "--marker", "^never$", "--propagate"]);
        assert_ne!(propagated.code, 0, "{propagated:?}");
    }
}

#[test]
fn a_fail_marker_is_no_end_of_the_run_and_counts_for_no_breaker() {
    let place = Place::new();
    let pid = living(&place, "s");
    append(&place, "s.log", b"error: x\n");
    for _ in 0..4 {
        failed_by(&wait(&place, &["s", "--fail-marker", "^error"]), "error: x");
    }
    assert!(lives(pid) && !place.file("s.status").exists() && !place.file("s.breaker").exists());
    // A plain-shell run that has ended is counted by its own end, whatever its log says.
    place.write("p.status", "FAILED\n");
    place.write("p.log", "ready\n");
    found(&wait(&place, &["p", "--marker", "ready"]), "ready");
    let breaker = place.dogwatch(["breaker", "show", "p", "--json"]).json();
    assert_eq!(breaker["consecutive_failures"], 1, "{breaker}");
}

#[test]
fn an_earlier_runs_log_is_nobodys_before_the_new_run_has_started() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--", "echo", "ready 1"]).code, 0);
    let waiter = place.start(["wait", "s", "--new", "--json", "--marker", "ready"]);
    until("it waits", || waiter.has_events());
    assert_eq!(place.dogwatch(["run", "s", "--", "echo", "ready 2"]).code, 0);
    found(&waiter.end_at_all(), "ready 2");
    let place = Place::new();
    place.write("s.log", "ready\n");
    let ended = wait(&place, &["s", "--marker", "ready", "--start-timeout", "50ms"]);
    assert_eq!(ended.code, 5, "{ended:?}");
}

#[test]
fn a_file_alone_decides_where_no_step_is_named() {
    for backend in backends() {
        let place = Place::new();
        let file = place.file("server.out").to_string_lossy().into_owned();
        let alone = |more: &[&str]| wait(&place, &["--log", &file].iter().chain(more).copied().collect::<Vec<_>>());
        let absent = alone(&["--marker", "x", "--start-timeout", "50ms"]);
        absent.said(5, "not_started", false);
        assert_eq!(absent.json()["step"], "server.out");
        let arguments = ["wait", "--log", &file, "--marker", "^up", "--fail-marker", "down", "--json"];
        let waiter = place.start(arguments.iter().chain(&backend));
        if backend[1] != "poll" {
            until("it waits by events", || waiter.has_events());
        }
        append(&place, "server.out", b"starting\n");
        append(&place, "server.out", b"up and running\n");
        let ended = waiter.end_at_all();
        found(&ended, "up and running");
        assert_eq!((ended.json()["step"].as_str(), ended.json()["log"].as_str()), (Some("server.out"), Some(&*file)));
        alone(&["--marker", "never", "--for", "50ms"]).said(75, "running", false);
        alone(&["--marker", "never", "--max-timeout", "50ms"]).said(124, "timeout", false);
        append(&place, "server.out", b"down\n");
        failed_by(&alone(&["--marker", "^up", "--fail-marker", "down"]), "down");
    }
}

#[test]
fn a_step_can_have_its_markers_in_another_file() {
    let place = Place::new();
    living(&place, "s");
    let file = place.file("elsewhere/other.txt").to_string_lossy().into_owned();
    fs::create_dir(place.file("elsewhere")).unwrap();
    let waiter = place.start(["wait", "s", "--json", "--log", &file, "--marker", "here"]);
    until("it waits", || waiter.has_events());
    append(&place, "s.log", b"here\n");
    append(&place, "elsewhere/other.txt", b"it is here\n");
    let ended = waiter.end_at_all();
    found(&ended, "it is here");
    assert_eq!(ended.json()["log"].as_str(), Some(&*file));
}

#[test]
fn with_any_a_marker_wins_and_with_all_each_step_has_its_own() {
    let place = Place::new();
    living(&place, "a");
    living(&place, "b");
    append(&place, "b.log", b"ready\n");
    let any = wait(&place, &["a", "b", "--any", "--marker", "ready"]);
    found(&any, "ready");
    assert_eq!(any.json()["step"], "b");
    append(&place, "a.log", b"also ready\n");
    let all = wait(&place, &["a", "b", "--marker", "ready"]);
    assert_eq!((all.code, all.lines().len()), (0, 2), "{all:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_search_is_not_answered_with_a_wait_for_the_end() {
    let place = Place::new();
    living(&place, "s");
    let search = place.start_undisturbed(["wait", "s", "--marker", "never"]);
    until("it catches Ctrl-C", || crate::support::catches(search.pid(), nix::sys::signal::Signal::SIGINT));
    crate::support::kill("INT", search.pid());
    let ended = search.end_at_all();
    assert!(
        ended.code == 130 && ended.stderr.contains("the same call") && !ended.stderr.contains("wait s"),
        "{ended:?}"
    );
}

#[test]
fn what_cannot_be_meant_is_a_usage_error_in_one_sentence() {
    let place = Place::new();
    for words in [
        &["wait", "s", "--marker", "("][..],
        &["wait", "s", "--fail-marker", "[z-a]"],
        &["wait", "s", "--log", "x"],
        &["wait", "s", "t", "--log", "x", "--marker", "y"],
        &["recover", "--log", "x", "--marker", "y"],
    ] {
        let ended = place.dogwatch(words);
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{words:?}: {ended:?}");
    }
    living(&place, "s");
    let ended = wait(&place, &["s", "--log", &place.path().to_string_lossy(), "--marker", "x"]);
    assert_eq!(ended.code, 125, "{ended:?}");
    assert!(ended.stdout.contains("it is no regular file"), "{ended:?}");
}

/// What a living step has printed, without a line end after it.
fn printed(bytes: &[u8]) -> Place {
    let place = Place::new();
    living(&place, "s");
    append(&place, "s.log", bytes);
    place
}

#[test]
fn a_line_is_matched_as_a_person_sees_it_and_as_it_is_written() {
    let coloured = b"\x1b[36mhttp://localhost:\x1b[1m5173\x1b[22m/\x1b[39m\n";
    let place = printed(coloured);
    for pattern in ["^http://localhost:5173/$", "\x1b\\[1m5173", "^\x1b\\[36mhttp"] {
        found(&wait(&place, &["s", "--marker", pattern, "--for", "1s"]), "http://localhost:5173/");
    }
    failed_by(&wait(&place, &["s", "--fail-marker", "localhost:5173/$"]), "http://localhost:5173/");
    // A link and a title, as terminals have them.
    let place = printed(b"\x1b]0;title\x07\x1b]8;;http://x/\x1b\\ready\x1b]8;;\x1b\\ now\n");
    found(&wait(&place, &["s", "--marker", "^ready now$"]), "ready now");
}

#[test]
fn a_carriage_return_ends_a_line_and_what_has_no_end_is_matched_as_it_stands() {
    let place = printed(b"10%\r50%\r100%\rdone? ");
    for (pattern, line) in [("^50%$", "50%"), ("^100%$", "100%"), ("^done", "done? ")] {
        found(&wait(&place, &["s", "--marker", pattern]), line);
        // Also where the wait ends before the line could settle.
        found(&wait(&place, &["s", "--marker", pattern, "--for", "0s"]), line);
    }
    for backend in backends() {
        let place = printed(b"");
        let waiter = place.start(["wait", "s", "--json", "--marker", "ready>"].iter().chain(&backend));
        if backend[1] != "poll" {
            until("it waits by events", || waiter.has_events());
        }
        append(&place, "s.log", b"\x1b[1mready\x1b[0m> ");
        found(&waiter.end_at_all(), "ready> ");
    }
    // The last line of an ended run, and that of a log alone.
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "printf", "a\\rbye"]);
    found(&wait(&place, &["s", "--marker", "^bye$"]), "bye");
    let file = place.file("alone.log").to_string_lossy().into_owned();
    append(&place, "alone.log", b"login: ");
    found(&wait(&place, &["--log", &file, "--marker", "login:"]), "login: ");
}

#[test]
fn the_groups_of_a_marker_are_reported_and_one_can_be_printed_alone() {
    let place = printed(b"up on \x1b[1mhere\x1b[0m:8080\n");
    let pattern = r"on (?<host>\w+):(\d+)(?<path>/.*)?";
    let matched = wait(&place, &["s", "--marker", pattern]);
    let groups = json!({"1": "here", "2": "8080", "3": null, "host": "here", "path": null});
    assert_eq!(matched.json()["marker"], json!({"line": "up on here:8080", "captures": groups}), "{matched:?}");
    let dashed = printed(b"--- FAIL: TestX\n");
    found(&wait(&dashed, &["s", "--marker", "--- FAIL"]), "--- FAIL: TestX");
    let none = wait(&place, &["s", "--marker", "^up"]);
    assert_eq!(none.json()["marker"], json!({"line": "up on here:8080", "captures": {}}));
    let capture = |group: &str| place.dogwatch(["wait", "s", "--marker", pattern, "--capture", group]);
    for (group, printed) in [("host", "here\n"), ("2", "8080\n"), ("path", "\n")] {
        let ended = capture(group);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, printed), "{ended:?}");
    }
    let unknown = capture("port");
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("--capture \"port\" is no group of --marker"), "{unknown:?}");
    // Where no line matched there is nothing to print on standard output.
    let waiting = ["wait", "s", "--marker", "(?<x>never)", "--capture", "x", "--for", "10ms"];
    let ended = place.dogwatch(waiting);
    assert_eq!((ended.code, ended.stdout.as_str()), (75, ""), "{ended:?}");
    assert!(ended.stderr.contains("running"), "{ended:?}");
}

#[test]
fn a_run_that_ends_before_a_line_matched_counts_as_it_ended() {
    let place = Place::new();
    place.write("p.status", "SUCCESS\n");
    place.write("p.log", "nothing\n");
    let ended = wait(&place, &["p", "--marker", "ready"]);
    ended.said(1, "failed", false);
    assert_eq!(ended.json()["detail"], "ended (success) before a line matched");
    place.dogwatch(["run", "q", "--log", "none", "--", "echo", "ready"]);
    let ended = wait(&place, &["q", "--marker", "ready"]);
    assert_eq!(ended.json()["detail"], "ended (success, exit code 0) and kept no log in which a line could match");
    let breaker = place.dogwatch(["breaker", "show", "p", "--json"]).json();
    assert_eq!(breaker["consecutive_failures"], 0, "{breaker}");
    // Without a marker a fail marker that did not match changes nothing.
    wait(&place, &["p", "--fail-marker", "ready"]).said(0, "success", false);
    // With --any a run that ended first is the answer, and with --fail-fast it is a bad one.
    living(&place, "s");
    let any = wait(&place, &["s", "p", "--any", "--marker", "ready"]);
    assert_eq!((any.code, any.json()["step"].as_str()), (1, Some("p")), "{any:?}");
    let fast = place.dogwatch(["wait", "p", "s", "--fail-fast", "--marker", "ready", "--json"]);
    let outcomes: Vec<Value> = fast.lines().iter().map(|line| line["outcome"].clone()).collect();
    assert_eq!((fast.code, outcomes), (1, vec![json!("failed"), json!("running")]), "{fast:?}");
}

#[test]
fn long_binary_and_dropped_parts_hide_no_line() {
    let place = Place::new();
    living(&place, "s");
    let mut long = vec![b'x'; 1 << 20];
    long.extend_from_slice(b"END\n\xff\xfe\0\0ready\xff\n");
    append(&place, "s.log", &long);
    for (marker, shown) in [("END", "xxx"), ("^.*ready", "ready")] {
        let ended = wait(&place, &["s", "--marker", marker, "--fail-marker", "nothing"]);
        ended.said(0, "marker", false);
        assert!(ended.json()["marker"]["line"].as_str().is_some_and(|line| line.contains(shown)), "{ended:?}");
    }
    // A log of which all but the newest part has gone.
    let script = "head -c 30000000 /dev/zero | tr '\\0' '\\n'; sleep 0.3; echo ready; sleep 300";
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "-d", "s", "--log-max", "1MB", "--", "sh", "-c", script]).code, 0);
    found(&wait(&place, &["s", "--marker", "ready|dropped"]), "ready");
}

/// What is done to a log between two lines.
fn disturb(place: &Place, dice: &mut Dice, log: &str) {
    let (path, aside) = (place.file(log), place.file(&format!("{log}.old")));
    match dice.below(4) {
        // Rotated by renaming; its writer makes the new one.
        0 => fs::rename(&path, &aside).unwrap_or_default(),
        // Copied and cut.
        1 => drop(fs::File::create(&path).expect("cut")),
        // Replaced in one step.
        2 => {
            fs::write(&aside, "replaced\n").expect("written");
            fs::rename(&aside, &path).expect("replaced");
        }
        _ => {}
    }
}

#[test]
fn a_marker_is_found_in_a_log_that_is_rotated_cut_and_replaced_meanwhile() {
    in_parallel(60, 4, |number| {
        let (place, mut dice) = (Place::new(), Dice::new(number as u64 + 1));
        let file = place.file("x.log").to_string_lossy().into_owned();
        let backend = backends()[number % 2];
        let mut shell = Shell::start(&place, "sleep 300 & echo $! > x.pid; wait", &[]);
        until("the step has started", || place.file("x.pid").exists());
        let arguments = if number % 3 == 0 { vec!["--log", &file] } else { vec!["x"] };
        let arguments = ["wait", "--json", "--marker", "^needle$"].into_iter().chain(arguments);
        let waiter = place.start(arguments.chain(backend.iter().copied()));
        for _ in 0..dice.below(30) {
            append(&place, "x.log", b"needless\nnothing\n");
            any_moment_within(&mut dice, 3);
            disturb(&place, &mut dice, "x.log");
        }
        append(&place, "x.log", b"straw\nneedle\n");
        // What was read of the file before it goes is read to its end.
        if dice.below(2) == 0 {
            fs::rename(place.file("x.log"), place.file("x.log.1")).expect("rotated");
            let open = read_by(&waiter, "x.log");
            append(&place, "x.log", b"after\n");
            if !open {
                append(&place, "x.log", b"needle\n");
            }
        }
        found(&waiter.end_at_all(), "needle");
        shell.kill();
    });
}

/// Whether a waiter has this log open: what it has not opened before it is renamed is no longer the log. kqueue opens what
/// it only watches, so on macOS nobody can say that it is read.
fn read_by(waiter: &Running, log: &str) -> bool {
    let renamed = format!("{log}.1");
    cfg!(target_os = "linux") && waiter.open_files().iter().any(|what| what.ends_with(&renamed))
}

#[test]
fn a_log_that_takes_longer_to_read_than_the_caller_has_time_keeps_no_call_from_ending() {
    let place = Place::new();
    place.detach("s", "exec sleep 300");
    let log = std::fs::File::options().append(true).open(place.file("s.log")).expect("its log");
    // A hole is read as zeros: minutes of them.
    log.set_len(64 << 30).expect("a sparse file");
    let ended = place.start(["wait", "s", "--marker", "ready", "--for", "300ms", "--json=full"]).end_at_all();
    let report = ended.json();
    assert_eq!((ended.code, &report["outcome"]), (75, &serde_json::json!("running")), "{ended:?}");
    assert!(report["detail"].as_str().is_some_and(|detail| detail.contains("read to the end")), "{ended:?}");
}
