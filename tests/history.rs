//! What is kept of ended runs: `STEP.history`, `dogwatch history`, and the time that a run is expected to take.

use crate::support::{Place, in_parallel, is_refused, kill, lives, until};
use serde_json::{Value, json};

fn lines(place: &Place, step: &str) -> Vec<Value> {
    let text = place.read(&format!("{step}.history"));
    text.lines().map(|line| serde_json::from_str(line).expect("one JSON object a line")).collect()
}

fn outcomes(place: &Place, step: &str) -> Vec<String> {
    lines(place, step).iter().map(|line| line["outcome"].as_str().expect("an outcome").to_owned()).collect()
}

fn run(place: &Place, step: &str, script: &str) {
    place.dogwatch(["run", step, "--no-breaker", "--", "sh", "-c", script]);
}

/// A history of successes that took these many milliseconds.
fn successes(place: &Place, step: &str, times: &[u64]) {
    let line = |(number, time): (usize, &u64)| {
        json!({"run_id": format!("r{number}"), "started_at": null, "elapsed_ms": time, "outcome": "success",
               "exit_code": 0, "signal": null})
        .to_string()
            + "\n"
    };
    place.write(&format!("{step}.history"), &times.iter().enumerate().map(line).collect::<String>());
}

#[test]
fn each_run_leaves_one_line_whoever_recorded_its_end() {
    let place = Place::new();
    run(&place, "s", "exit 0");
    run(&place, "s", "exit 3");
    place.dogwatch(["run", "s", "--no-breaker", "--max-timeout", "50ms", "--", "sleep", "300"]);
    let pid = place.detach("s", "sleep 300");
    kill("KILL", pid);
    until("it is dead", || !lives(pid));
    assert_eq!(place.dogwatch(["wait", "s"]).code, 4, "the wait records it");
    place.detach("s", "sleep 300");
    assert_eq!(place.dogwatch(["kill", "s"]).code, 0);
    assert_eq!(outcomes(&place, "s"), ["success", "failed", "timeout", "died", "failed"]);
    let all = lines(&place, "s");
    assert_eq!((&all[1]["exit_code"], &all[2]["signal"]), (&json!(3), &json!("SIGTERM")), "{all:?}");
    let meta = place.meta("s");
    assert_eq!((&all[4]["run_id"], &all[4]["started_at"]), (&meta["run_id"], &meta["started_at"]));
    assert!(all.iter().all(|line| line["elapsed_ms"].is_u64()), "{all:?}");
    for words in [["wait", "s"], ["check", "s"], ["recover", "s"]] {
        place.dogwatch(words);
    }
    assert_eq!(lines(&place, "s").len(), 5, "an end that is read again is no other end");
}

#[test]
fn the_end_of_a_plain_shells_run_is_added_by_the_first_that_sees_it_and_only_once() {
    let place = Place::new();
    let mut shell = crate::support::Shell::start(&place, "echo $$ > s.pid; echo FAILED > s.status", &[]);
    until("it has ended", || place.file("s.status").exists() && !lives(shell.pid()));
    shell.kill();
    in_parallel(8, 8, |_| assert_eq!(place.dogwatch(["wait", "s"]).code, 1));
    assert_eq!(outcomes(&place, "s"), ["failed"]);
    assert!(lines(&place, "s")[0]["elapsed_ms"].is_u64());
}

#[test]
fn a_plain_shells_success_is_answered_without_a_new_file_and_added_where_a_history_stands() {
    let place = Place::new();
    let files = || std::fs::read_dir(place.path()).expect("the directory").count();
    place.write("s.pid", "999999999\n");
    place.write("s.result", "{}\n");
    place.write("s.status", "SUCCESS\n");
    let before = files();
    assert_eq!(place.dogwatch(["wait", "s"]).code, 0);
    assert_eq!(files(), before, "its caller would have waited for it");

    run(&place, "s", "exit 3");
    place.write("s.pid", "999999998\n");
    std::fs::remove_file(place.file("s.meta")).expect("the record goes");
    place.write("s.status", "SUCCESS\n");
    assert_eq!(place.dogwatch(["wait", "s"]).code, 0);
    assert_eq!(outcomes(&place, "s"), ["failed", "success"]);
}

#[test]
fn the_last_64_stay_and_racing_writers_lose_none() {
    let place = Place::new();
    successes(&place, "s", &[5; 63]);
    for number in 0..3 {
        run(&place, "s", &format!("exit {number}"));
    }
    let codes: Vec<Value> = lines(&place, "s").iter().map(|line| line["exit_code"].clone()).collect();
    assert_eq!((codes.len(), &codes[61..]), (64, &[json!(0), json!(1), json!(2)][..]));
    // Four waiters and the run itself see one end; each of ten ends is there once.
    in_parallel(10, 2, |number| {
        let step = format!("r{number}");
        place.detach(&step, "sleep 0.1; exit 5");
        let waiters: Vec<_> = (0..4).map(|_| place.start(["wait", &step])).collect();
        for waiter in waiters {
            assert_eq!(waiter.end_at_all().code, 1);
        }
        assert_eq!(place.dogwatch(["history", &step, "--json"]).lines().len(), 1);
    });
}

#[test]
fn the_command_tells_of_one_step_or_of_all() {
    let place = Place::new();
    let none = place.dogwatch(["history"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.lines().count()), (0, "", 1), "{none:?}");
    run(&place, "a", "exit 0");
    run(&place, "longer-name", "exit 3");
    run(&place, "longer-name", "kill -9 $$");
    // What only looks like a history, of whatever kind, is none, and keeps no other from being told.
    std::fs::create_dir(place.file("folder.history")).expect("a folder");
    place.write("empty.history", "");
    place.write("garbled.history", "{\n\u{0}");
    let all = place.dogwatch(["history", "--json"]).lines();
    let steps: Vec<&str> = all.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["a", "longer-name", "longer-name"]);
    let keys = ["elapsed_ms", "exit_code", "outcome", "run_id", "schema", "signal", "started_at", "step"];
    let mut found: Vec<&String> = all[0].as_object().expect("an object").keys().collect();
    found.sort();
    assert_eq!(found, keys);
    let text = place.dogwatch(["history", "longer-name"]).stdout;
    assert!(text.contains("failed after") && text.contains("(exit code 3)") && text.contains("(SIGKILL)"), "{text}");
    let absent = place.dogwatch(["history", "nosuch"]);
    is_refused(&absent, 5, &["there is no step nosuch", "a, longer-name"]);
}

#[test]
fn an_empty_listing_is_no_error_and_says_so_and_an_unknown_name_is_one() {
    let place = Place::new();
    let missing = place.file("missing").to_string_lossy().into_owned();
    for directory in [&missing, &place.path().to_string_lossy().into_owned()] {
        let call = |line: &str| place.dogwatch(["--dir", directory].into_iter().chain(line.split(' ')));
        for listing in ["history", "list", "breaker show", "history --json", "list --json"] {
            is_refused(&call(listing), 0, &[directory]);
            let quiet = call(&format!("{listing} -q"));
            assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""), "{listing}");
        }
        // These ask for an answer, which there is none of.
        for question in ["history none", "check", "recover", "wait", "log none"] {
            is_refused(&call(question), 5, &[directory]);
        }
        assert!(!place.file("missing").exists(), "nothing was made");
    }
    // A step that has only started has had no end.
    place.detach("busy", "sleep 300");
    is_refused(&place.dogwatch(["history", "busy"]), 0, &["no run of busy has ended"]);
}

#[test]
fn three_successes_say_how_long_a_run_takes_and_two_say_nothing() {
    let place = Place::new();
    for (times, expected) in
        [(&[10, 20][..], Value::Null), (&[9000, 10, 30], json!(30)), (&[10, 20, 30, 40], json!(25))]
    {
        successes(&place, "s", times);
        place.write("s.status", "FAILED\n");
        assert_eq!(place.dogwatch(["check", "s", "--json"]).json()["expected_ms"], expected);
    }
}

#[test]
fn a_check_remarks_on_a_run_that_takes_more_than_three_times_as_long_as_usual() {
    let place = Place::new();
    successes(&place, "slow", &[1, 1, 1]);
    successes(&place, "usual", &[600_000, 600_000, 600_000]);
    for (step, remarks) in [("slow", true), ("usual", false)] {
        place.detach(step, "sleep 300");
        until("a moment has gone by", || {
            let said = place.dogwatch(["check", step, "--json"]).json();
            let detail = said["detail"].as_str().unwrap_or_default().to_owned();
            said["elapsed_ms"].as_u64() > Some(100) && detail.contains("it usually takes") == remarks
        });
        let said = place.dogwatch(["check", step, "--json"]);
        assert_eq!((said.code, &said.json()["action"]), (75, &json!("wait")), "a remark and no more: {said:?}");
    }
}

#[test]
fn a_history_that_cannot_be_kept_or_read_changes_no_outcome() {
    let place = Place::new();
    std::fs::create_dir(place.file("s.history")).expect("a folder in its place");
    let ended = place.dogwatch(["run", "s", "--", "sh", "-c", "exit 3"]);
    assert_eq!((ended.code, place.dogwatch(["wait", "s"]).code), (3, 1), "{ended:?}");
    place.write("t.history", "nonsense\n\u{0}\n{}\n");
    run(&place, "t", "exit 0");
    assert_eq!(outcomes(&place, "t"), ["success"]);
}

#[test]
fn clean_deletes_it_with_the_step() {
    let place = Place::new();
    run(&place, "s", "exit 0");
    run(&place, "t", "exit 0");
    let pid = place.detach("busy", "sleep 300");
    let dry = place.dogwatch(["clean", "--all", "--dry-run"]);
    assert_eq!((dry.code, place.file("s.history").exists()), (0, true), "{dry:?}");
    let ended = place.dogwatch(["clean", "--all"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "2 steps cleaned\n"), "{ended:?}");
    assert!(!place.file("s.history").exists() && !place.file("t.meta").exists() && lives(pid));
    assert_eq!(place.dogwatch(["clean", "--all", "s"]).code, 2);
}

#[test]
fn a_name_that_is_not_there_is_no_success() {
    let place = Place::new();
    place.dogwatch(["run", "build", "--", "false"]);
    for words in [&["succeed", "biuld"][..], &["breaker", "reset", "biuld"]] {
        let before = place.snapshot();
        let ended = place.dogwatch(words);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.lines().count()), (5, "", 1), "{ended:?}");
        assert!(ended.stderr.contains("biuld") && ended.stderr.contains("build"), "{ended:?}");
        assert_eq!(place.snapshot(), before);
        let mut words = words.to_vec();
        words.push("--json");
        let said = place.dogwatch(&words).json();
        assert_eq!(
            (&said["schema"], &said["exit_code"], said["error"].is_string()),
            (&json!(1), &json!(5), true),
            "{said}"
        );
    }
    // A step without a failure has a closed breaker.
    place.dogwatch(["run", "good", "--", "true"]);
    assert_eq!(place.dogwatch(["breaker", "reset", "good"]).code, 0);
}
