//! `clean`: takes away what has ended, and nothing else.
//!
//! Each test checks the directory itself, not what the command prints.

use crate::support::{Place, kill, lives, until};
use std::time::Duration;

fn files(place: &Place) -> Vec<String> {
    place.snapshot().into_iter().map(|(name, _, _)| name).filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn an_ended_run_goes_and_its_lock_and_breaker_stay() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "sh", "-c", "echo x; exit 1"]);
    place.dogwatch(["run", "other", "--", "true"]);
    let before = files(&place);
    let dry = place.dogwatch(["clean", "s", "--dry-run"]);
    assert_eq!((dry.code, dry.stdout.as_str()), (0, "s\n1 step would be cleaned\n"), "{dry:?}");
    assert_eq!(files(&place), before);
    let ended = place.dogwatch(["clean", "s"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "1 step cleaned\n", ""), "{ended:?}");
    let left: Vec<String> = files(&place).into_iter().filter(|name| name.starts_with("s.")).collect();
    assert_eq!(left, ["s.breaker", "s.lock"]);
    assert_eq!(place.dogwatch(["check", "other"]).code, 0);
    assert_eq!(place.dogwatch(["breaker", "show", "s", "--json"]).json()["consecutive_failures"], 1);
    let again = place.dogwatch(["clean", "s"]);
    assert_eq!((again.code, again.stderr.lines().count()), (5, 1), "{again:?}");
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
}

#[test]
fn a_run_that_lives_is_refused_and_the_others_go_all_the_same() {
    let place = Place::new();
    let pid = place.detach("busy", "sleep 300");
    place.dogwatch(["run", "done", "--", "true"]);
    let ended = place.dogwatch(["clean", "busy", "done"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (125, 1), "{ended:?}");
    assert!(ended.stderr.contains("busy") && lives(pid) && place.file("busy.pid").exists(), "{ended:?}");
    assert_eq!(place.dogwatch(["check", "done"]).code, 5);
    let lines = place.dogwatch(["clean", "busy", "--dry-run", "--json"]).json();
    assert_eq!(lines["cleaned"], false, "{lines}");
}

#[test]
fn a_death_that_nobody_recorded_is_counted_before_it_goes() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    kill("KILL", pid);
    until("it is dead", || !lives(pid));
    // What a killed writer leaves.
    place.write(".s.status.7-7-7.tmp", "x");
    place.write(".other.status.7-7-7.tmp", "x");
    assert_eq!(place.dogwatch(["clean", "s"]).code, 0);
    assert_eq!(place.dogwatch(["breaker", "show", "s", "--json"]).json()["consecutive_failures"], 1);
    let hidden: Vec<String> =
        place.snapshot().into_iter().map(|(name, _, _)| name).filter(|name| name.contains(".tmp")).collect();
    assert_eq!(hidden, [".other.status.7-7-7.tmp"]);
    assert_eq!(files(&place), ["s.breaker", "s.lock"]);
}

#[test]
fn of_old_runs_those_go_that_have_ended_and_were_not_touched_since() {
    let place = Place::new();
    let day = Duration::from_secs(24 * 60 * 60);
    for step in ["old", "new", "half"] {
        place.dogwatch(["run", step, "--", "echo", "x"]);
    }
    place.detach("busy", "sleep 300");
    for (step, records) in [
        ("old", &["pid", "heartbeat", "status", "result", "log", "meta"][..]),
        ("half", &["pid", "heartbeat", "status", "result", "meta"]),
        ("busy", &["heartbeat", "log", "meta"]),
    ] {
        for record in records {
            place.age(&format!("{step}.{record}"), day * 8);
        }
    }
    place.write("plain.status", "FAILED\n");
    place.age("plain.status", day * 9);
    let dry = place.dogwatch(["clean", "--older-than", "7d", "--dry-run"]);
    assert_eq!((dry.code, dry.stdout.as_str()), (0, "old\nplain\n2 steps would be cleaned\n"), "{dry:?}");
    let ended = place.dogwatch(["clean", "--older-than", "7d"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "2 steps cleaned\n"), "{ended:?}");
    let steps: Vec<String> = place
        .dogwatch(["list", "--json"])
        .lines()
        .iter()
        .map(|line| line["step"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(steps, ["busy", "half", "new"]);
    // What runs is not old, however long ago it began.
    let all = place.dogwatch(["clean", "--older-than", "0"]);
    assert_eq!((all.code, all.stdout.as_str(), all.stderr.as_str()), (0, "2 steps cleaned\n", ""), "{all:?}");
    assert_eq!(place.dogwatch(["check", "busy"]).code, 75);
}

#[test]
fn all_that_have_ended_go_whoever_wrote_them_and_what_lives_stays() {
    let place = Place::new();
    place.dogwatch(["run", "good", "--", "true"]);
    place.dogwatch(["run", "bad", "--", "false"]);
    place.write("plain.status", "SUCCESS\n");
    let dead = place.detach("dead", "sleep 300");
    kill("KILL", dead);
    until("it is dead", || !lives(dead));
    let busy = place.detach("busy", "sleep 300");
    let busy_files = |place: &Place| files(place).into_iter().filter(|name| name.starts_with("busy.")).count();
    let before = (place.snapshot(), busy_files(&place));
    let dry = place.dogwatch(["clean", "--all", "--dry-run"]);
    assert_eq!((dry.code, dry.stdout.as_str()), (0, "bad\ndead\ngood\nplain\n4 steps would be cleaned\n"), "{dry:?}");
    assert_eq!(place.snapshot(), before.0);
    let ended = place.dogwatch(["clean", "--all"]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "4 steps cleaned\n", ""), "{ended:?}");
    assert!(lives(busy) && busy_files(&place) == before.1, "{:?}", files(&place));
    let left: Vec<String> = files(&place).into_iter().filter(|name| !name.starts_with("busy.")).collect();
    assert_eq!(left, ["bad.breaker", "bad.lock", "dead.breaker", "dead.lock", "good.lock", "plain.lock"]);
    // The death that nobody had recorded was counted first.
    assert_eq!(place.dogwatch(["breaker", "show", "dead", "--json"]).json()["consecutive_failures"], 1);
    assert_eq!(place.dogwatch(["clean", "--all"]).stdout, "0 steps cleaned\n");
}

#[test]
fn what_to_clean_has_to_be_said() {
    let place = Place::new();
    for words in [
        &["clean"][..],
        &["clean", "s", "--older-than", "7d"],
        &["clean", "s", "--all"],
        &["clean", "--all", "--older-than", "7d"],
    ] {
        let ended = place.dogwatch(words);
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{ended:?}");
    }
    assert_eq!(place.dogwatch(["clean", "--older-than", "1s"]).stdout, "0 steps cleaned\n");
}

#[test]
fn a_pid_that_is_no_number_may_be_of_work_that_has_just_begun() {
    let place = Place::new();
    place.write("s.pid", "");
    place.write("t.pid", "pid: 7\n");
    assert_eq!(place.dogwatch(["clean", "--all"]).code, 0);
    for step in ["s", "t"] {
        assert_eq!(place.dogwatch(["run", step, "--", "true"]).code, 125, "{step}");
        assert_eq!(place.dogwatch(["clean", step]).code, 125, "{step}");
        assert!(place.file(&format!("{step}.pid")).exists(), "{step}");
    }
    // Nothing of it has shown life for as long as a heartbeat may be silent.
    place.age("s.pid", Duration::from_secs(61));
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
}
