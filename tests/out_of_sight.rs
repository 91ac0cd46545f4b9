//! Runs of another user whose processes the kernel hides (proc(5), `hidepid`): what cannot be seen is not said to be dead,
//! and nothing of it is signalled.

#![cfg(target_os = "linux")]

use crate::support::{Ended, Place, Running};
use serde_json::Value;
use std::process::Command;

/// What a script prints in namespaces of its own whose /proc shows a user only their own processes. `$owner` and `$other`
/// begin a command of two ordinary users; `./dogwatch` is the program, and `$DOGWATCH_DIR` a directory that both may read.
fn hidden(place: &Place, script: &str) -> Option<Ended> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can act as two users");
        return None;
    }
    let prepare = r#"
        mount -t proc -o hidepid=2 proc /proc || exit 99
        cp "$DOGWATCH" dogwatch; chmod 755 . dogwatch; mkdir steps work; chmod 755 steps; chmod 777 work
        chown 65533 steps; export DOGWATCH_DIR=$PWD/steps
        owner="setpriv --reuid=65533 --regid=65533 --clear-groups"
        other="setpriv --reuid=65534 --regid=65534 --clear-groups"
        echo "trap ': > work/signalled' TERM; : > work/ready; while :; do sleep 0.05; done" > work.sh
        $owner cat /proc/1/stat > /dev/null 2>&1 && exit 99
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "sh", "-c", &format!("{prepare}\n{script}")]);
    command.env("DOGWATCH", crate::support::binary()).current_dir(place.path());
    let ended = Running::start(command).end_at_all();
    if ended.code == 99 {
        eprintln!("skipped: no /proc can be mounted here that hides processes");
        return None;
    }
    Some(ended)
}

/// The answers that a script printed, one a line.
fn answers(ended: &Ended) -> Vec<Value> {
    ended
        .stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// What another user may ask: each ends with its exit code and its answer.
const ASKED: &str = r#"
    for act in "check s" "wait s --for 0.3" "wait s --max-timeout 0.1 --grace 0.2" "recover s --max-timeout 0.1 --grace 0.2" \
        "kill s --grace 0.2"
    do
        $other ./dogwatch $act --json 2> /dev/null
    done
"#;

#[test]
fn a_hidden_run_that_lives_is_never_said_to_have_died_and_never_signalled() {
    let run = "$owner ./dogwatch run -d s -- sh work.sh > /dev/null";
    let shell = "$owner sh work.sh & echo $! > steps/s.pid; chown 65533 steps/s.pid; $owner touch steps/s.heartbeat";
    for (start, what) in [(run, "run"), (shell, "shell")] {
        let place = Place::new();
        let script = format!(
            r#"{start}
            until [ -e work/ready ]; do sleep 0.01; done
            {ASKED}
            kill -0 "$(cat steps/s.pid)" && echo lives; ls work steps"#
        );
        let Some(ended) = hidden(&place, &script) else { return };
        let told = answers(&ended);
        assert_eq!(told.len(), 5, "{what}: {ended:?}");
        let outcomes: Vec<&str> = told.iter().map(|answer| answer["outcome"].as_str().expect("an outcome")).collect();
        assert_eq!(outcomes, ["running", "running", "timeout", "timeout", "running"], "{what}: {ended:?}");
        assert!(told.iter().all(|answer| answer["killed"] != true), "{what}: {ended:?}");
        let files = ended.stdout.split_once("lives\n").map_or("", |(_, files)| files);
        assert!(files.contains("ready") && !files.contains("signalled"), "{what}: {ended:?}");
        assert!(!files.contains("s.status"), "{what}: {ended:?}");
    }
}

#[test]
fn the_end_of_a_hidden_run_is_told() {
    let place = Place::new();
    // One that says how it ended, and one that is killed: signal 0 tells the hidden from the dead (kill(2), EPERM). Only
    // its owner can record that.
    let script = r#"
        $owner ./dogwatch run s -- sh -c 'exit 3' > /dev/null 2>&1
        $other ./dogwatch wait s --json
        $owner ./dogwatch run -d s --no-breaker -- sleep 300 > /dev/null
        kill -9 "$(cat steps/s.pid)"
        $other ./dogwatch wait s --for 0.3 --json
        $owner ./dogwatch wait s --json
        $other ./dogwatch wait s --json
    "#;
    let Some(ended) = hidden(&place, script) else { return };
    let outcomes: Vec<Value> = answers(&ended).iter().map(|answer| answer["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "died", "died", "died"], "{ended:?}");
    assert!(answers(&ended)[1]["detail"].as_str().is_some_and(|detail| detail.contains("cannot lock")), "{ended:?}");
}
