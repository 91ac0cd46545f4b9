//! Directories that another process answers for: what it changes raises no event here, what it once said is cached, its
//! clock may be off, and it may cease to answer.
//!
//! The servers and mounts are real. If they cannot be set up, the test is skipped with a message.

#![cfg(target_os = "linux")]

use crate::support::servers::{Kind, Mount};
use crate::support::{Bystander, Place, Running, until};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Far below the 20 s for which sshfs believes what it knows and the 15 s of the safety rescan; far above a poll.
const POLLED: Duration = Duration::from_secs(8);

/// A living step on the far side, in plain-shell form.
fn living(mount: &Mount, step: &str) -> Bystander {
    let process = Bystander::sleeping();
    mount.write(&format!("{step}.pid"), &format!("{}\n", process.pid()));
    mount.write(&format!("{step}.heartbeat"), "");
    process
}

fn arguments<'a>(mount: &Mount, first: &[&'a str], more: &[&'a str]) -> Vec<String> {
    let near = mount.near().to_str().expect("a name").to_owned();
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    [owned(first), vec!["--json".into(), "--dir".into(), near], owned(more)].concat()
}

fn wait(place: &Place, mount: &Mount, step: &str, more: &[&str]) -> Running {
    place.start(arguments(mount, &["wait", step], more))
}

/// Waits to the end: the exit code and what was said.
fn json_of(place: &Place, mount: &Mount, step: &str, more: &[&str]) -> (i32, Value) {
    let ended = place.dogwatch(arguments(mount, &["wait", step], more));
    (ended.code, ended.json())
}

#[test]
fn what_the_far_side_writes_is_seen_within_a_poll_and_by_an_asked_for_event_backend_at_the_rescan() {
    let place = Place::new();
    let mut events = Vec::new();
    for kind in [Kind::Sshfs, Kind::Bindfs] {
        let Some(mount) = Mount::new(kind, 0) else { continue };
        let _one = living(&mount, "one");
        let _two = living(&mount, "two");
        // A look of its own fills every cache between here and the server.
        assert_eq!(json_of(&place, &mount, "one", &["--for", "100ms"]).0, 75);
        let poll = wait(&place, &mount, "one", &["-v"]);
        let event = wait(&place, &mount, "two", &["--backend", "event"]);
        assert_eq!(json_of(&place, &mount, "one", &["--for", "1200ms"]).0, 75);
        mount.write("one.result", "7");
        mount.write("one.status", "SUCCESS\n");
        mount.write("two.status", "FAILED\n");
        let written = Instant::now();
        let ended = poll.end_at_all();
        let report = ended.json();
        assert_eq!(
            (&report["outcome"], &report["result"], &report["backend"]),
            (&json!("success"), &json!(7), &json!("poll"))
        );
        assert!(written.elapsed() < POLLED, "{:?}", written.elapsed());
        assert!(ended.stderr.contains("backend poll: events of fuse do not tell"), "{ended:?}");
        events.push((kind, mount, event));
    }
    for (kind, _mount, event) in events {
        let report = event.end_at_all().json();
        assert_eq!((&report["outcome"], &report["backend"]), (&json!("failed"), &json!("inotify")), "{kind:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_lost_there_too() {
    let place = Place::new();
    for kind in [Kind::Sshfs, Kind::Bindfs] {
        let Some(mount) = Mount::new(kind, 0) else { continue };
        mount.write("s.status", "SUCCESS\n");
        for (target, code) in [("/dev/full", 125), ("/dev/null", 0)] {
            let caller = ["sh", "-c", "out=$1; shift; exec \"$@\" >\"$out\"", "sh", target];
            let mut call = place.through(&caller, arguments(&mount, &["wait", "s"], &[]));
            let ended = crate::support::Ended::of(&call.output().expect("a shell"));
            assert_eq!(ended.code, code, "{kind:?} {target}: {ended:?}");
        }
    }
}

/// Touches a far file in place, so that it seems written at this moment less so many seconds.
fn touch(mount: &Mount, name: &str, ago: i64) {
    let file = std::fs::OpenOptions::new().append(true).open(mount.far().join(name)).expect("the file");
    let now = std::time::SystemTime::now();
    let span = Duration::from_secs(ago.unsigned_abs());
    file.set_modified(if ago < 0 { now + span } else { now - span }).expect("its time is set");
}

#[test]
fn a_heartbeat_on_the_far_side_is_seen_to_beat_through_every_cache() {
    let place = Place::new();
    let Some(mount) = Mount::new(Kind::Sshfs, 0) else { return };
    let _process = living(&mount, "s");
    let mut wait = wait(&place, &mount, "s", &["--for", "9s", "--poll-interval", "300ms"]);
    until("the slice is over", || {
        touch(&mount, "s.heartbeat", 0);
        wait.has_ended()
    });
    let ended = wait.end();
    let report = ended.json();
    assert_eq!((ended.code, &report["outcome"]), (75, &json!("running")), "{ended:?}");
    assert!(report["heartbeat_age_ms"].as_u64().is_some_and(|age| age < 4000), "{report}");
}

#[test]
fn a_server_whose_clock_is_off_makes_nothing_hung_and_hides_no_hang() {
    let place = Place::new();
    let mut beating = Vec::new();
    let mut silent = Vec::new();
    for (kind, skew) in [(Kind::Sshfs, 300), (Kind::Sshfs, -300), (Kind::Bindfs, 300), (Kind::Bindfs, -300)] {
        let Some(mount) = Mount::new(kind, skew) else { continue };
        let steps = ["server", "client", "hung"];
        let processes = steps.map(|step| living(&mount, step));
        for step in steps {
            // Long ago, or the pid file's own time would be the later one and count.
            touch(&mount, &format!("{step}.pid"), 3600);
        }
        // Beats that the client stamps, which sshfs has them: as seen there they are of its own clock.
        touch(&mount, "client.heartbeat", skew.into());
        let limits = ["--stale", "3s", "--max-timeout", "0", "--poll-interval", "200ms"];
        for step in ["server", "client"] {
            beating.push((wait(&place, &mount, step, &[&limits[..], &["--for", "15s"]].concat()), step, kind, skew));
        }
        let hung = wait(&place, &mount, "hung", &[&limits[..], &["--no-kill"]].concat());
        let checked = place.dogwatch(arguments(&mount, &["check", "server"], &["--stale", "90s"])).json();
        assert!(checked["heartbeat_age_ms"].as_u64().is_some_and(|age| age < 60_000), "{kind:?} {skew}: {checked}");
        silent.push((hung, kind, skew, processes, mount));
    }
    until("every slice is over", || {
        for (_, _, skew, _, mount) in &silent {
            touch(mount, "server.heartbeat", 0);
            touch(mount, "client.heartbeat", (*skew).into());
        }
        beating.iter_mut().all(|(wait, ..)| wait.has_ended())
    });
    for (wait, step, kind, skew) in beating {
        let ended = wait.end();
        assert_eq!(
            (ended.code, &ended.json()["outcome"]),
            (75, &json!("running")),
            "{step} {kind:?} {skew}: {ended:?}"
        );
    }
    for (wait, kind, skew, _, mount) in silent {
        let ended = wait.end_at_all();
        assert_eq!((ended.code, &ended.json()["outcome"]), (3, &json!("hung")), "{kind:?} {skew}: {ended:?}");
        let entries = std::fs::read_dir(mount.far()).expect("the folder");
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let left: Vec<String> = names.filter(|name| name.contains("clock")).collect();
        assert!(left.is_empty(), "{kind:?} {skew}: {left:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_holds_no_wait_beyond_its_limits() {
    let place = Place::new();
    let Some(mount) = Mount::new(Kind::Sshfs, 0) else { return };
    let _process = living(&mount, "s");
    let began = Instant::now();
    let sliced = wait(&place, &mount, "s", &["--for", "3s"]);
    let interrupted = place.start_undisturbed(arguments(&mount, &["wait", "s"], &[]));
    let bounded = wait(&place, &mount, "s", &["--max-timeout", "4s", "--poll-interval", "200ms"]);
    // All three have looked by the time that a fourth has.
    assert_eq!(json_of(&place, &mount, "s", &["--for", "500ms"]).0, 75);
    mount.stop();
    let late = wait(&place, &mount, "s", &["--for", "1s"]);
    let ended = late.end_at_all();
    let report = ended.json();
    assert_eq!((ended.code, &report["outcome"]), (75, &json!("running")), "{ended:?}");
    assert!(report["detail"].as_str().is_some_and(|detail| detail.contains("does not answer")), "{report}");
    let ended = sliced.end_at_all();
    assert_eq!((ended.code, &ended.json()["outcome"]), (75, &json!("running")), "{ended:?}");
    crate::support::kill("INT", interrupted.pid());
    let ended = interrupted.end_at_all();
    assert_eq!(ended.code, 130, "{ended:?}");
    let ended = bounded.end_at_all();
    assert_eq!((ended.code, &ended.json()["exit_code"]), (125, &json!(125)), "{ended:?}");
    assert!(ended.stdout.contains("does not answer"), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    mount.go_on();
    assert_eq!(json_of(&place, &mount, "s", &["--for", "100ms"]).0, 75);
}

#[test]
fn a_run_on_a_network_filesystem_is_told_alike_on_both_sides() {
    let place = Place::new();
    let Some(mount) = Mount::new(Kind::Sshfs, 0) else { return };
    let near = mount.near().to_str().expect("a name").to_owned();
    let run = place.dogwatch(["run", "s", "--dir", &near, "--", "sh", "-c", "echo 5 > $DOGWATCH_RESULT"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    let failed = place.dogwatch(["run", "t", "--dir", &near, "--", "sh", "-c", "exit 9"]);
    assert_eq!(failed.code, 9);
    for folder in [mount.near(), mount.far()] {
        let folder = folder.to_str().expect("a name");
        let ended = place.dogwatch(["wait", "s", "t", "--json", "--dir", folder]);
        let lines = ended.lines();
        assert_eq!((&lines[0]["outcome"], &lines[0]["result"]), (&json!("success"), &json!(5)), "{folder}: {ended:?}");
        assert_eq!(
            (&lines[1]["outcome"], &lines[1]["exit_code"]),
            (&json!("failed"), &json!(9)),
            "{folder}: {ended:?}"
        );
    }
}

#[test]
fn a_marker_that_the_far_side_writes_is_seen_within_a_poll() {
    let place = Place::new();
    let Some(mount) = Mount::new(Kind::Sshfs, 0) else { return };
    let _process = living(&mount, "s");
    for name in ["s.log", "other.log"] {
        mount.write(name, "begins\n");
    }
    let other = mount.near().join("other.log");
    let waits = [
        wait(&place, &mount, "s", &["--marker", "ready"]),
        place.start(["wait", "--marker", "ready", "--json", "--log", other.to_str().expect("a name")]),
    ];
    // Both have read to the end, and what they know of it is cached.
    assert_eq!(json_of(&place, &mount, "s", &["--marker", "ready", "--for", "1500ms"]).0, 75);
    for name in ["s.log", "other.log"] {
        let log = std::fs::OpenOptions::new().append(true).open(mount.far().join(name));
        log.and_then(|mut log| std::io::Write::write_all(&mut log, b"ready\n")).expect("a line");
    }
    let written = Instant::now();
    for wait in waits {
        let ended = wait.end_at_all();
        assert_eq!((ended.code, &ended.json()["outcome"]), (0, &json!("marker")), "{ended:?}");
    }
    assert!(written.elapsed() < POLLED, "{:?}", written.elapsed());
    mount.stop();
    let late =
        place.start(["wait", "--marker", "gone", "--json", "--for", "1s", "--log", other.to_str().expect("a name")]);
    let ended = late.end_at_all();
    let report = ended.json();
    assert_eq!(
        (ended.code, &report["step"], &report["outcome"]),
        (75, &json!("other.log"), &json!("running")),
        "{ended:?}"
    );
}
