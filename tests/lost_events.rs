//! Events that cannot be had, are lost, or never come: the facility exhausted or broken, its queue overflowed, the
//! directory gone, come back, or another one under the same name.
//!
//! Each change is made once its waiter is known to be armed, and an event must be reported long before the rescan.

#![cfg(target_os = "linux")]

use crate::support::servers::{Tmpfs, has};
use crate::support::{Ended, Place, Running, Shell, kill, until};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Far below the 15 s of the safety rescan, far above what an event or a poll takes.
const TOLD: Duration = Duration::from_secs(8);
/// The safety rescan, and time for a loaded machine.
const RESCAN: Duration = Duration::from_secs(25);

/// Starts a living plain-shell step in a folder.
fn living(place: &Place, folder: &Path) -> Shell {
    let script = "echo $$ > $1/.p; touch $1/s.heartbeat; mv $1/.p $1/s.pid; cd /; exec sleep 300";
    let shell = Shell::start(place, script, &[folder.to_str().expect("a name")]);
    until("it lives", || folder.join("s.pid").exists());
    shell
}

fn publish(folder: &Path, word: &str) {
    std::fs::write(folder.join(".status.new"), format!("{word}\n")).expect("a file");
    std::fs::rename(folder.join(".status.new"), folder.join("s.status")).expect("in its place");
}

/// The lines in which a wait says how it is done.
fn said(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| line.starts_with("dogwatch: ") && !line.contains("process 0")).collect()
}

#[test]
fn two_hundred_waits_share_a_handful_of_instances() {
    let place = Place::new();
    let _shell = living(&place, place.path());
    let script = "echo 4 > /proc/sys/user/max_inotify_instances || exit 99
        i=0
        while [ $i -lt 200 ]; do
          \"$0\" wait s -v --poll-interval 500ms > /dev/null 2> .said.$i & pids=\"$pids $!\"
          i=$((i+1))
        done
        for pid in $pids; do wait $pid || exit 1; done";
    let mut command = place.through(&["unshare", "-Ur", "sh", "-c", script], [] as [&str; 0]);
    if !Command::new("unshare").args(["-Ur", "true"]).status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: this user may make no user namespace");
    }
    command.stdin(std::process::Stdio::null());
    let mut waits = Running::start(command);
    let said = |number: u32| std::fs::read_to_string(place.file(&format!(".said.{number}"))).unwrap_or_default();
    until("all of them stand", || waits.has_ended() || (0..200).all(|number| said(number).contains("backend")));
    publish(place.path(), "SUCCESS");
    let written = Instant::now();
    let ended = waits.end_at_all();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(written.elapsed() < RESCAN, "{:?}", written.elapsed());
    let polling = (0..200).filter(|&number| said(number).contains("backend poll: inotify is not to be had")).count();
    assert!((196..200).contains(&polling), "{polling} of 200 poll");
}

#[test]
fn nothing_is_lost_with_an_overflowed_queue() {
    let place = Place::new();
    let _shell = living(&place, place.path());
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap_or_default();
    let limit: usize = limit.trim().parse().unwrap_or(usize::MAX);
    if limit > 100_000 {
        return eprintln!("skipped: the event queue holds {limit}");
    }
    let wait = place.start(["wait", "s", "--json"]);
    until("it waits for events", || wait.has_events());
    kill("STOP", wait.pid());
    for _ in 0..limit {
        let name = place.file(".many");
        std::fs::write(&name, "").expect("a file");
        std::fs::remove_file(name).expect("it goes");
    }
    publish(place.path(), "FAILED");
    let written = Instant::now();
    kill("CONT", wait.pid());
    let ended = wait.end_at_all();
    assert_eq!((ended.code, &ended.json()["outcome"]), (1, &json!("failed")), "{ended:?}");
    assert!(written.elapsed() < TOLD, "{:?}", written.elapsed());
}

/// Waits under strace, which makes calls fail.
fn with_faults(place: &Place, faults: &[&str], dir: &Path) -> Running {
    let mut prefix = vec!["strace", "-f", "-qq", "-o", "/dev/null"];
    for fault in faults {
        // What is no fault is the file that the faults are about.
        prefix.extend([if fault.contains('=') { "-e" } else { "-P" }, *fault]);
    }
    let dir = dir.to_str().expect("a name");
    Running::start(place.through(&prefix, ["wait", "s", "-v", "--json", "--poll-interval", "100ms", "--dir", dir]))
}

#[test]
fn a_facility_that_fails_is_polled_for_and_said_in_one_line() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    crate::support::in_parallel(6, 3, |number| {
        // How a file is followed that is written in place: by a watch of its own, the second one.
        let (fault, line, empty) = [
            ("inject=inotify_init1:error=EMFILE", "backend poll: inotify is not to be had (too many open files", false),
            ("inject=inotify_init1:error=ENOSYS", "backend poll: inotify is not to be had (", false),
            ("inject=inotify_add_watch:error=ENOSPC", "backend poll: inotify is not to be had (", false),
            ("inject=inotify_add_watch:error=EACCES", "backend poll: inotify is not to be had (", false),
            ("inject=read:error=EIO", "backend poll: inotify has failed", false),
            ("inject=inotify_add_watch:error=ENOSPC:when=2+", "looking for what is written in place", true),
        ][number];
        let about: &[&str] = if fault.contains("read") { &["anon_inode:inotify", fault] } else { &[fault] };
        let folder = place.file(&number.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        let _shell = living(&place, &folder);
        if empty {
            std::fs::write(folder.join("s.status"), "").expect("a file");
        }
        let mut wait = with_faults(&place, about, &folder);
        // The empty status is a write in progress for 2 s: the wait has to have begun by then.
        if empty {
            let trace = wait.pid();
            until("it looks", || wait.has_ended() || crate::support::lives(trace));
        } else {
            let slice = place.dogwatch(["wait", "s", "--for", "700ms", "--dir", folder.to_str().expect("a name")]);
            assert_eq!(slice.code, 75, "{fault}: {slice:?}");
            publish(&folder, "SUCCESS");
        }
        let written = Instant::now();
        let ended = wait.end_at_all();
        let outcome = if empty { "failed" } else { "success" };
        assert_eq!(ended.json()["outcome"], outcome, "{fault}: {ended:?}");
        assert!(written.elapsed() < TOLD, "{fault}: {:?}", written.elapsed());
        let lines = said(&ended);
        assert_eq!(lines.iter().filter(|said| said.contains(line)).count(), 1, "{fault}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{fault}: {ended:?}");
    });
}

#[test]
fn a_log_whose_coming_is_told_no_more_is_looked_for() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let (trace, log) = (place.file("trace"), place.file("x.log"));
    let [trace_name, log_name] = [&trace, &log].map(|file| file.to_str().expect("a name").to_owned());
    std::fs::create_dir(place.file("steps")).expect("a folder");
    let prefix = ["strace", "-f", "-qq", "-o", trace_name.as_str(), "-P", "anon_inode:inotify", "-e"];
    let prefix = [&prefix[..], &["inject=read:error=EIO"]].concat();
    let words = ["wait", "--log", &log_name, "--marker", "up", "--json", "--poll-interval", "100ms", "--dir", "steps"];
    let wait = Running::start(place.through(&prefix, words));
    until("it waits for events", || std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("poll(")));
    std::fs::write(place.file("other"), "").expect("a file");
    until("it has read none", || std::fs::read_to_string(&trace).is_ok_and(|text| text.contains("EIO")));
    let written = Instant::now();
    std::fs::write(&log, "up\n").expect("a file");
    let ended = wait.end_at_all();
    assert_eq!(ended.json()["outcome"], "marker", "{ended:?}");
    assert!(written.elapsed() < TOLD, "{:?}", written.elapsed());
}

#[test]
fn a_kernel_that_cannot_wait_is_asked_again_and_not_in_a_circle() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let _shell = living(&place, place.path());
    let trace = place.file("trace");
    let trace_name = trace.to_str().expect("a name").to_owned();
    // The C library makes poll(2) of the one that the processor's kernel has.
    let fault = "inject=?poll,ppoll:error=ENOMEM";
    let prefix = ["strace", "-f", "-qq", "-o", trace_name.as_str(), "-e", "trace=?poll,ppoll", "-e", fault];
    let began = Instant::now();
    let wait = Running::start(place.through(&prefix, ["wait", "s", "--json"]));
    let asked = || std::fs::read_to_string(&trace).unwrap_or_default().matches("ENOMEM").count();
    until("it has asked", || asked() >= 3);
    publish(place.path(), "FAILED");
    let ended = wait.end_at_all();
    assert_eq!(ended.json()["outcome"], "failed", "{ended:?}");
    // Ten a second, and those that came at once.
    assert!(asked() as u128 <= 10 + began.elapsed().as_millis() / 100, "{} in {:?}", asked(), began.elapsed());
}

#[test]
fn more_steps_than_descriptors_are_all_waited_for() {
    let place = Place::new();
    let script = "i=0; while [ $i -lt 80 ]; do sleep 300 & echo $! > s$i.pid; i=$((i + 1)); done; echo > ready; wait";
    let shell = Shell::start(&place, script, &[]);
    until("all of them live", || place.file("ready").exists());
    let names: Vec<String> = (0..80).map(|number| format!("s{number}")).collect();
    let limited = ["sh", "-c", "ulimit -n 64; exec \"$@\"", "sh"];
    let wait = |flags: &[&str]| {
        let all =
            ["wait", "-v", "--json", "--poll-interval", "100ms"].iter().chain(flags).map(|word| (*word).to_owned());
        Running::start(place.through(&limited, all.chain(names.iter().cloned())))
    };
    let slice = wait(&["--for", "500ms"]).end_at_all();
    assert_eq!((slice.code, slice.stdout.matches("\"running\"").count()), (75, 80), "{slice:?}");
    assert!(!slice.stdout.contains("cannot be looked at"), "{slice:?}");
    let lines = said(&slice);
    assert_eq!(lines.iter().filter(|line| line.contains("looking for the ends of processes")).count(), 1, "{slice:?}");
    let whole = wait(&[]);
    until("it waits for events", || whole.has_events());
    drop(shell);
    let ended = whole.end_at_all();
    assert_eq!((ended.code, ended.stdout.matches("\"died\"").count()), (4, 80), "{ended:?}");
}

#[test]
fn a_step_that_can_never_be_looked_at_holds_no_wait_beyond_its_limits() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let _shell = living(&place, place.path());
    let pid = place.file("s.pid");
    let pid = pid.to_str().expect("a name");
    let prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", pid, "-e", "inject=openat:error=EIO"];
    let wait = |flag: &str, span: &str| {
        Running::start(place.through(&prefix, ["wait", "s", "--json", "--poll-interval", "100ms", flag, span]))
            .end_at_all()
    };
    let slice = wait("--for", "700ms");
    assert_eq!(slice.code, 75, "{slice:?}");
    let detail = slice.json()["detail"].to_string();
    assert!(detail.contains("it cannot be looked at: input/output error"), "{slice:?}");
    for limit in ["--max-timeout", "--start-timeout"] {
        let failed = wait(limit, "700ms");
        assert_eq!(failed.code, 125, "{failed:?}");
        assert!(failed.stdout.contains("cannot look at s in "), "{failed:?}");
        assert!(failed.stdout.contains("input/output error; the work was left alone"), "{failed:?}");
    }
    assert_eq!(place.dogwatch(["wait", "s", "--for", "10ms"]).code, 75);
}

#[test]
fn a_facility_exhausted_when_the_directory_comes_is_polled_for() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let folder = place.file("one/two");
    let wait = with_faults(&place, &["inject=inotify_add_watch:error=ENOSPC:when=2+"], &folder);
    let early = place.dogwatch(["wait", "s", "--for", "700ms", "--dir", folder.to_str().expect("a name")]);
    assert_eq!(early.code, 5);
    std::fs::create_dir_all(&folder).expect("a folder");
    let _shell = living(&place, &folder);
    publish(&folder, "SUCCESS");
    let ended = wait.end_at_all();
    assert_eq!(ended.json()["outcome"], "success", "{ended:?}");
}

#[test]
fn a_directory_that_is_another_one_now_is_found_at_the_rescan_at_the_latest() {
    let place = Place::new();
    let folder = |name: &str| {
        let folder = place.file(name);
        std::fs::create_dir(&folder).expect("a folder");
        folder
    };
    let [gone, moved, covered, uncovered, linked, sat] =
        ["gone", "moved", "covered", "uncovered", "linked", "sat"].map(folder);
    let link = place.file("link");
    std::os::unix::fs::symlink(&linked, &link).expect("a link");
    let over = Tmpfs::over(&uncovered, "size=1m");
    let waited = [&gone, &moved, &covered, &uncovered, &link, &sat];
    let _shells = waited.map(|folder| living(&place, folder));
    let waits = waited.map(|folder| {
        let wait = place.start(["wait", "s", "--json", "--dir", folder.to_str().expect("a name")]);
        until("it waits for events", || wait.has_events());
        wait
    });
    // Somebody sits in it: no event tells of its end then (inotify(7): the inode lives on).
    let _sitting = Shell::start(&place, "cd sat; touch ../sits; exec sleep 300", &[]);
    until("somebody sits there", || place.file("sits").exists());
    let changed = Instant::now();
    for folder in [&gone, &sat] {
        std::fs::remove_dir_all(folder).expect("it goes");
        std::fs::create_dir(folder).expect("it comes back");
        publish(folder, "SUCCESS");
    }
    std::fs::rename(&moved, place.file("elsewhere")).expect("it moves");
    std::fs::create_dir(&moved).expect("another comes");
    publish(&moved, "SUCCESS");
    let covering = Tmpfs::over(&covered, "size=1m");
    publish(&covered, "SUCCESS");
    drop(over);
    publish(&uncovered, "SUCCESS");
    std::fs::remove_file(&link).expect("the link goes");
    publish(&folder("other"), "SUCCESS");
    std::os::unix::fs::symlink(place.file("other"), &link).expect("it leads elsewhere");
    let names = ["gone", "moved", "covered", "uncovered", "link", "sat"];
    for (wait, name) in waits.into_iter().zip(names) {
        let ended = wait.end_at_all();
        assert_eq!((ended.code, &ended.json()["outcome"]), (0, &json!("success")), "{name}: {ended:?}");
        let took = changed.elapsed();
        let limit = if ["gone", "moved"].contains(&name) { TOLD } else { RESCAN };
        assert!(took < limit, "{name}: {took:?}");
    }
    drop(covering);
}
