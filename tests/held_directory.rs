//! The directory of a running step: renamed, led to by another link, removed, or met by a cleaner of temporary files.

#![cfg(target_os = "linux")]

use crate::support::servers::has;
use crate::support::{Ended, Place, until};
use serde_json::json;
use std::fs;
use std::process::Command;

#[test]
fn a_directory_that_is_renamed_or_whose_link_leads_elsewhere_gets_the_end_of_its_run() {
    let outer = crate::support::folder();
    let at = |name: &str| outer.path().join(name);
    fs::create_dir_all(at("real/mon")).expect("a folder");
    fs::create_dir_all(at("other")).expect("a folder");
    std::os::unix::fs::symlink("real", at("link")).expect("a link");
    for (given, change, found) in [
        ("mon", "mv mon moved", "moved"),
        ("link/mon", "ln -sfn other link", "real/mon"),
        // Another directory stands under the old name by then: nothing in it is touched.
        ("third", "mv third away && mkdir third && echo 1 > third/s.pid", "away"),
    ] {
        let place = Place::new();
        let work = format!("cd {} && {change}; exit 3", outer.path().display());
        let mut command = place.command(["run", "s", "--", "sh", "-c", &work]);
        let ended = Ended::of(&command.env("DOGWATCH_DIR", at(given)).output().expect("it runs"));
        assert_eq!(ended.code, 3, "{work}: {ended:?}");
        assert_eq!(fs::read_to_string(at(found).join("s.status")).expect("a status"), "FAILED\n", "{work}");
        let mut check = place.command(["check", "s", "--json"]);
        let check = Ended::of(&check.env("DOGWATCH_DIR", at(found)).output().expect("it runs"));
        assert_eq!((check.code, &check.json()["exit_code"]), (1, &json!(3)), "{work}: {check:?}");
    }
    assert_eq!(fs::read_to_string(at("third/s.pid")).expect("untouched"), "1\n");
    assert!(!at("third/s.status").exists());
}

#[test]
fn a_directory_that_is_gone_is_said_and_not_made_again() {
    let outer = crate::support::folder();
    let gone = outer.path().join("mon");
    let place = Place::new();
    let mut command = place.command(["run", "s", "--", "sh", "-c", "rm -rf \"$DOGWATCH_DIR\"; exit 4"]);
    let ended = Ended::of(&command.env("DOGWATCH_DIR", &gone).output().expect("it runs"));
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains(&gone.display().to_string()), "{ended:?}");
    assert!(!gone.exists() && !ended.stderr.contains("not_started"), "{ended:?}");
}

#[test]
fn a_cleaner_of_temporary_files_leaves_a_running_step_alone() {
    if !has("systemd-tmpfiles") {
        return eprintln!("skipped: there is no systemd-tmpfiles");
    }
    let base = crate::support::folder();
    let configuration = base.path().join("clean.conf");
    let cleaned = base.path().join("tmp");
    fs::create_dir_all(cleaned.join("user/mon")).expect("a folder");
    fs::create_dir_all(cleaned.join("user/idle")).expect("a folder");
    fs::write(cleaned.join("user/idle/old"), "").expect("a file");
    let owner = nix::unistd::geteuid();
    fs::write(&configuration, format!("d {} 0755 {owner} - 0\n", cleaned.display())).expect("a configuration");
    let monitor = cleaned.join("user/mon");
    let place = Place::new();
    let mut command = place.command(["run", "-d", "s", "--", "sh", "-c", "until [ -e ../go ]; do sleep 0.02; done"]);
    command.env("DOGWATCH_DIR", &monitor).current_dir(cleaned.join("user"));
    let started = Ended::of(&command.output().expect("it runs"));
    assert_eq!(started.code, 0, "{started:?}");
    let names = || {
        let entries = fs::read_dir(&monitor).expect("the directory");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    // Its threshold is this moment: what was written just now may be a moment younger for a few rounds.
    until("the cleaner takes what is not locked", || {
        let done = Command::new("systemd-tmpfiles").arg("--clean").arg(&configuration).output().expect("it runs");
        assert!(done.status.success(), "{done:?}");
        !cleaned.join("user/idle/old").exists()
    });
    assert_eq!(names(), before);
    fs::write(cleaned.join("go"), "").expect("a file");
    let mut wait = place.command(["wait", "s", "--json"]);
    let told = Ended::of(&wait.env("DOGWATCH_DIR", &monitor).output().expect("it runs"));
    assert_eq!(told.json()["outcome"], "success", "{told:?}");
}
