//! The directory of a running step is moved, led away from, emptied or replaced while others wait for it.

#![cfg(target_os = "linux")]

use crate::support::servers::Tmpfs;
use crate::support::{Ended, Place, Running, until};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

/// COMMAND: ends with a code of its own, once it is told to.
const WORK: &str = "until [ -e $GO ]; do sleep 0.02; done; exit $1";

/// Has a step run in `given`, below a folder, while two wait for it there: by events and by polling. The folder is changed,
/// then COMMAND ends. What the two waiters said.
fn told(outer: &Path, given: &str, change: impl FnOnce(), code: i32) -> Vec<Ended> {
    let place = Place::new();
    let dir = outer.join(given);
    fs::create_dir_all(&dir).expect("a folder");
    let dir = dir.to_str().expect("a name");
    let number = code.to_string();
    let mut run =
        place.command(["--dir", dir, "run", "-d", "s", "--no-breaker", "--", "sh", "-c", WORK, "sh", &number]);
    assert!(run.env("GO", place.file("go")).output().expect("it runs").status.success());
    let waiters: Vec<Running> =
        [&["--backend", crate::support::event_backend()][..], &["--backend", "poll", "--poll-interval", "50ms"]]
            .iter()
            .map(|backend| place.start(["--dir", dir, "wait", "s", "--json=full"].iter().chain(*backend)))
            .collect();
    until("the first waits for events", || waiters[0].has_events());
    // Both hold the directory open from the moment that they have seen the run.
    let holds = |waiter: &Running| waiter.open_files().iter().any(|file| Some(file.as_str()) == real(dir).as_deref());
    until("both have seen the run", || waiters.iter().all(holds));
    change();
    place.write("go", "");
    waiters.into_iter().map(Running::end_at_all).collect()
}

/// Has a shell do something in a folder.
fn shell(folder: &Path, script: &str) {
    let done = Command::new("sh").args(["-ec", script]).current_dir(folder).status().expect("a shell");
    assert!(done.success(), "{script}");
}

fn real(path: &str) -> Option<String> {
    Some(fs::canonicalize(path).ok()?.to_string_lossy().into_owned())
}

#[test]
fn waiters_tell_the_end_of_a_run_whose_directory_was_moved_meanwhile() {
    for (given, change) in [
        ("mon", "mv mon moved"),
        ("link/mon", "ln -sfn other link"),
        ("third", "mv third away; mkdir third"),
        ("fourth", "mv fourth away4; mkdir fourth; echo 1 > fourth/s.pid; echo FAILED > fourth/s.status"),
        ("fifth", "mkdir deep; mv fifth deep/er; mv deep deeper"),
    ] {
        for (code, exit, outcome) in [(0, 0, "success"), (3, 1, "failed")] {
            let outer = crate::support::folder();
            fs::create_dir_all(outer.path().join("other")).expect("a folder");
            fs::create_dir_all(outer.path().join("real")).expect("a folder");
            std::os::unix::fs::symlink("real", outer.path().join("link")).expect("a link");
            for ended in told(outer.path(), given, || shell(outer.path(), change), code) {
                ended.said(exit, outcome, false);
                assert_eq!(ended.json()["exit_code"], json!(code), "{change}: {ended:?}");
            }
        }
    }
}

#[test]
fn waiters_tell_of_a_run_whose_directory_was_removed_that_it_died_and_make_nothing_anew() {
    for (given, change, is_there) in [("mon", "rm -r mon", false), ("mon", "rm -r mon; mkdir mon", true)] {
        let outer = crate::support::folder();
        for ended in told(outer.path(), given, || shell(outer.path(), change), 0) {
            ended.said(4, "died", false);
        }
        let entries = fs::read_dir(outer.path().join("mon")).into_iter().flatten().flatten();
        // A lock that nobody holds is no record.
        let left: Vec<_> = entries.map(|entry| entry.file_name()).filter(|name| name != ".s.record").collect();
        assert_eq!((outer.path().join("mon").exists(), left.len()), (is_there, 0), "{change}: {left:?}");
    }
}

#[test]
fn waiters_tell_the_end_of_a_run_whose_filesystem_was_detached_meanwhile() {
    let outer = crate::support::folder();
    fs::create_dir(outer.path().join("mon")).expect("a folder");
    let Some(mounted) = Tmpfs::over(&outer.path().join("mon"), "size=1m") else { return };
    for ended in told(outer.path(), "mon", || drop(mounted), 3) {
        ended.said(1, "failed", false);
        assert_eq!(ended.json()["exit_code"], json!(3), "{ended:?}");
    }
    assert_eq!(fs::read_dir(outer.path().join("mon")).expect("the folder below").count(), 0);
}
