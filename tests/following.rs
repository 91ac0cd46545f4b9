//! Which run a wait follows, and as what it reports it: by its process where its files go away, beside an earlier run's files,
//! and next to a step that has failed.

use crate::support::servers::{Tmpfs, has};
use crate::support::{Ended, Place, Running, Shell, until};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Far below the 15 s of the safety rescan, far above what an event or a poll takes.
const TOLD: Duration = Duration::from_secs(8);

/// Starts a living plain-shell step whose files are in a folder.
fn living(place: &Place, folder: &Path, step: &str) -> Shell {
    let script = "echo $$ > $1/.p; mv $1/.p $1/$2.pid; cd /; exec sleep 300";
    let shell = Shell::start(place, script, &[folder.to_str().expect("a name"), step]);
    until("it lives", || folder.join(format!("{step}.pid")).exists());
    shell
}

fn waiting(place: &Place, folder: &Path, more: &[&str]) -> Running {
    let dir = folder.to_str().expect("a name");
    let waiter = place.start(["wait", "s", "--json", "--dir", dir].iter().chain(more));
    if more.contains(&"poll") {
        // A slice that began later and is over: the wait before it has read the step.
        assert_eq!(place.dogwatch(["wait", "s", "--for", "700ms", "--dir", dir]).code, 75);
    } else {
        until("it waits for events", || waiter.has_events());
        until("it watches the process", || cfg!(not(target_os = "linux")) || watches_a_process(&waiter));
    }
    waiter
}

fn watches_a_process(waiter: &Running) -> bool {
    waiter.open_files().iter().any(|what| what.contains("pidfd"))
}

#[track_caller]
fn died(ended: &Ended, after: Instant) {
    ended.said(4, "died", false);
    assert!(after.elapsed() < TOLD, "{:?}: {ended:?}", after.elapsed());
}

#[test]
fn a_run_seen_alive_is_followed_by_its_process_where_its_directory_goes_away() {
    for backend in [&[][..], &["--backend", "poll", "--poll-interval", "100ms"]] {
        let place = Place::new();
        let folder = place.file("gone");
        fs::create_dir(&folder).expect("a folder");
        let mut shell = living(&place, &folder, "s");
        let mut waiter = waiting(&place, &folder, backend);
        fs::remove_dir_all(&folder).expect("it goes");
        assert!(!waiter.has_ended(), "its process lives");
        let killed = Instant::now();
        shell.kill();
        died(&waiter.end_at_all(), killed);
        assert!(!folder.exists(), "nothing is written of a run that has no place any more");
    }
}

#[test]
fn a_run_seen_alive_is_followed_by_its_process_where_its_filesystem_goes_away() {
    let place = Place::new();
    let folder = place.file("mounted");
    fs::create_dir(&folder).expect("a folder");
    let Some(mounted) = Tmpfs::over(&folder, "size=1m") else { return };
    let mut shell = living(&place, &folder, "s");
    let waiter = waiting(&place, &folder, &[]);
    drop(mounted);
    until("it is unmounted", || !folder.join("s.pid").exists());
    let killed = Instant::now();
    shell.kill();
    died(&waiter.end_at_all(), killed);
}

#[test]
fn a_run_seen_alive_is_followed_where_some_of_its_files_go_or_cannot_be_read() {
    // No heartbeat says how it is, and nothing but the pid file named its process.
    let place = Place::new();
    let mut shell = living(&place, place.path(), "s");
    let waiter = waiting(&place, place.path(), &[]);
    fs::remove_file(place.file("s.pid")).expect("it goes");
    let killed = Instant::now();
    shell.kill();
    died(&waiter.end_at_all(), killed);
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let mut shell = living(&place, place.path(), "s");
    let pid = place.file("s.pid").to_str().expect("a name").to_owned();
    let trace = place.file("trace").to_str().expect("a name").to_owned();
    let fault = "inject=openat:error=EIO:when=3+";
    let prefix = ["strace", "-qq", "-o", &trace, "-P", &pid, "-e", fault];
    let waiter = Running::start(place.through(&prefix, ["wait", "s", "--json", "--poll-interval", "100ms"]));
    // Read twice while it could be, and then from time to time.
    until("no read succeeds any more", || {
        place.write(".beat", "");
        fs::rename(place.file(".beat"), place.file("s.heartbeat")).is_ok()
            && fs::read_to_string(&trace).is_ok_and(|text| text.contains("EIO"))
    });
    let killed = Instant::now();
    shell.kill();
    let ended = waiter.end_at_all();
    died(&ended, killed);
    let detail = ended.json()["detail"].to_string();
    assert!(detail.contains("its files cannot be read: input/output error"), "{detail}");
}

#[test]
fn a_status_that_comes_after_the_pid_file_went_is_the_runs_own() {
    let place = Place::new();
    let script = "echo $$ > s.pid; read go < go; rm s.pid; echo SUCCESS > .f; mv .f s.status; exec sleep 300";
    make_fifo(&place.file("go"));
    let _shell = Shell::start(&place, script, &[]);
    until("it lives", || place.file("s.pid").exists());
    let waiter = waiting(&place, place.path(), &[]);
    fs::write(place.file("go"), "go\n").expect("it is told");
    waiter.end_at_all().said(0, "success", false);
}

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn with_new_a_living_run_beside_an_old_status_is_running() {
    let place = Place::new();
    // Ended long ago, and its files were never taken away.
    place.write("s.status", "FAILED\n");
    place.age("s.status", Duration::from_secs(60));
    let mut shell = living(&place, place.path(), "s");
    let slice = place.dogwatch(["wait", "s", "--new", "--for", "300ms", "--json"]);
    slice.said(75, "running", false);
    assert_eq!(slice.json()["pid"], json!(shell.pid()), "{slice:?}");
    let waiter = waiting(&place, place.path(), &["--new"]);
    let killed = Instant::now();
    shell.kill();
    died(&waiter.end_at_all(), killed);
}

#[test]
fn with_new_every_sign_of_a_later_run_counts_and_the_old_outcome_never_does() {
    // It beats and wrote no pid.
    let place = Place::new();
    place.write("s.status", "SUCCESS\n");
    place.age("s.status", Duration::from_secs(60));
    place.write("s.heartbeat", "");
    let slice = |place: &Place| place.dogwatch(["wait", "s", "--new", "--for", "300ms", "--json"]);
    slice(&place).said(75, "running", false);
    // It has died since, and said nothing: no outcome of before the call.
    let place = Place::new();
    place.write("s.status", "SUCCESS\n");
    place.age("s.status", Duration::from_secs(60));
    living(&place, place.path(), "s").kill();
    slice(&place).said(4, "died", false);
    // The old outcome is this dead run's own.
    let place = Place::new();
    living(&place, place.path(), "s").kill();
    place.write("s.status", "SUCCESS\n");
    slice(&place).said(5, "not_started", false);
}

fn outcomes(ended: &Ended) -> Vec<(Value, Value)> {
    ended.lines().iter().map(|line| (line["step"].clone(), line["outcome"].clone())).collect()
}

#[test]
fn with_fail_fast_every_step_is_read_before_the_answer() {
    let place = Place::new();
    let _shell = living(&place, place.path(), "b2");
    place.write("b1.status", "FAILED\n");
    place.write("b3.status", "SUCCESS\n");
    place.write("b3.result", "1");
    let said = |step: &str, outcome: &str| (json!(step), json!(outcome));
    let all = place.dogwatch(["wait", "b1", "b2", "b3", "b4", "--fail-fast", "--json"]);
    let mut told = outcomes(&all);
    told.sort_by_key(|(step, _)| step.to_string());
    let expected = [said("b1", "failed"), said("b2", "running"), said("b3", "success"), said("b4", "not_started")];
    assert_eq!((all.code, told), (1, expected.to_vec()), "{all:?}");
    // The same where the failure comes while it waits.
    let place = Place::new();
    let _shells = ["c1", "c2", "c3"].map(|step| living(&place, place.path(), step));
    let waiter = place.start(["wait", "c1", "c2", "c3", "--fail-fast", "--json"]);
    until("it waits for events", || waiter.has_events());
    place.write("c3.status", "FAILED\n");
    let ended = waiter.end_at_all();
    let expected = [said("c3", "failed"), said("c1", "running"), said("c2", "running")];
    assert_eq!((ended.code, outcomes(&ended)), (1, expected.to_vec()), "{ended:?}");
}
