//! A disk that fills up, runs out of files or turns read-only while COMMAND runs: what is reserved is published, what
//! cannot be written is said, and COMMAND's fate and exit code do not change.
//!
//! Each test fills a small filesystem of its own.

#![cfg(target_os = "linux")]

use crate::support::Place;
use crate::support::servers::{Ext4, Tmpfs, has};
use serde_json::{Value, json};

/// Fills the directory's disk to the brim, with bytes or with names.
const FILL: &str = "dd if=/dev/zero of=$DOGWATCH_DIR/filler bs=1k 2> /dev/null; echo x > $DOGWATCH_DIR/one && exit 66";
const CROWD: &str = "i=0; while : 2> /dev/null > $DOGWATCH_DIR/f$i; do i=$((i+1)); done";

fn meta(place: &Place) -> Value {
    serde_json::from_str(&place.read("s.meta")).expect("a whole meta record")
}

#[test]
fn a_disk_filled_to_the_brim_loses_no_outcome() {
    for (fill, options) in [(FILL, "size=64k"), (CROWD, "size=1m,nr_inodes=40")] {
        for (code, word, outcome) in [(0, "SUCCESS\n", "success"), (7, "FAILED\n", "failed")] {
            let place = Place::new();
            let Some(_disk) = Tmpfs::over(place.path(), options) else { return };
            // A shell ends where a redirection of its own fails: hence the inner one.
            let outer = "sh -c \"$1\"; exit $2";
            let code_text = code.to_string();
            let run = place.dogwatch(["run", "s", "--", "sh", "-c", outer, "sh", fill, &code_text]);
            assert_eq!((run.code, run.stderr.contains("cannot")), (code, false), "{fill}: {run:?}");
            assert_eq!(place.read("s.status"), word, "{fill}");
            assert_eq!(meta(&place)["exit_code"], code, "{fill}");
            let report = place.wait_json("s", &[]);
            // The places of what is replaced and released come free, and the breaker's record finds room there.
            assert_eq!(report["breaker"]["consecutive_failures"], u8::from(code != 0), "{fill}: {report}");
            assert_eq!(report["outcome"], outcome, "{fill}: {report}");
            assert_eq!(
                report["result"]["exit_code"],
                if code == 0 { json!(0) } else { Value::Null },
                "{fill}: {report}"
            );
        }
    }
}

#[test]
fn a_result_that_finds_no_room_leaves_the_outcome_and_nothing_half_written() {
    let place = Place::new();
    let Some(_disk) = Tmpfs::over(place.path(), "size=64k") else { return };
    // Far longer than what is reserved, and from a file elsewhere: it is the publication that finds no room.
    let long = format!("\"{}\"", "x".repeat(20_000));
    let elsewhere = Place::new();
    elsewhere.write("result", &long);
    let script = format!("ln -s {} $DOGWATCH_RESULT; {FILL}\nexit 0", elsewhere.file("result").display());
    let run = place.dogwatch(["run", "s", "--no-breaker", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("s.result") && run.stderr.contains("no space left"), "{run:?}");
    assert_eq!(place.read("s.status"), "SUCCESS\n");
    assert!(!place.file("s.result").exists(), "nothing half-written");
    let report = place.wait_json("s", &[]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &Value::Null), "{report}");
}

/// COMMAND: says that it has begun, and waits for what is done to the directory.
const WAITS: &str = "echo begun > $ELSEWHERE/begun; until [ -e $ELSEWHERE/go ]; do sleep 0.01; done; exit 7";

/// Has `change` done to the directory while COMMAND runs in it, and holds the run to its code and its word.
fn changed_meanwhile(place: &Place, prefix: &[&str], what: &str, change: impl FnOnce()) {
    let elsewhere = Place::new();
    let mut command = place.through(prefix, ["run", "s", "--no-breaker", "--", "sh", "-c", WAITS]);
    command.env("ELSEWHERE", elsewhere.path());
    let run = crate::support::Running::start(command);
    crate::support::until("the command has begun", || elsewhere.file("begun").exists());
    change();
    elsewhere.write("go", "");
    let run = run.end_at_all();
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stderr.to_lowercase().contains(what), "{run:?}");
    assert!(!place.file("s.status").exists() && !place.file("s.result").exists(), "{run:?}");
    assert!(meta(place)["ended_at"].is_null(), "the meta is the first one, whole");
    assert_eq!(place.dogwatch(["wait", "s", "--json"]).json()["outcome"], "died");
}

#[test]
fn a_filesystem_that_turns_read_only_under_a_run_takes_neither_its_code_nor_a_whole_record() {
    let place = Place::new();
    let images = Place::new();
    let Some(disk) = Ext4::over(place.path(), &images.file("image")) else { return };
    changed_meanwhile(&place, &["env"], "read-only", || disk.turn_read_only());
}

#[test]
fn a_permission_that_is_withdrawn_under_a_run_is_said_and_the_commands_code_stays() {
    use std::os::unix::fs::PermissionsExt;
    // Root may write anywhere but for this one right.
    let root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let is_root = nix::unistd::geteuid().is_root();
    if is_root && !has("setpriv") {
        return eprintln!("skipped: there is no setpriv");
    }
    let place = Place::new();
    let allow = |mode: u32| {
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(mode)).expect("its mode");
    };
    changed_meanwhile(&place, if is_root { &root } else { &["env"] }, "permission denied", || allow(0o500));
    allow(0o700);
}

#[test]
fn a_directory_that_turns_read_only_is_said_and_commands_code_stays() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    for (fault, what) in [("EROFS", "read-only"), ("EACCES", "permission denied"), ("EDQUOT", "quota")] {
        let place = Place::new();
        // The first four renames publish the start files.
        let inject = format!("inject=?rename,?renameat,?renameat2:error={fault}:when=5+");
        let prefix = ["strace", "-qq", "-o", "/dev/null", "-e", &inject];
        let run =
            place.through(&prefix, ["run", "s", "--no-breaker", "--", "sh", "-c", "exit 7"]).output().expect("runs");
        let run = crate::support::Ended::of(&run);
        assert_eq!(run.code, 7, "{fault}: {run:?}");
        assert!(run.stderr.to_lowercase().contains(what), "{fault}: {run:?}");
        assert!(!place.file("s.status").exists() && !place.file("s.result").exists(), "{fault}");
        assert!(meta(&place)["ended_at"].is_null(), "{fault}: the meta is the first one, whole");
        let left = place.snapshot().into_iter().filter(|(name, ..)| name.contains(".tmp")).count();
        assert_eq!(left, 0, "{fault}");
        // What could not be said by the run is found out by the next who looks.
        assert_eq!(place.dogwatch(["wait", "s"]).code, 4, "{fault}");
    }
}

#[test]
fn work_that_fills_the_disk_can_be_ended() {
    let script = format!("{FILL}; echo full > $ELSEWHERE/begun; exec sleep 300");
    for end in [&["kill", "s", "--grace", "1s"][..], &["wait", "s", "--max-timeout", "1ms", "--grace", "1s"]] {
        let (place, elsewhere) = (Place::new(), Place::new());
        let Some(_disk) = Tmpfs::over(place.path(), "size=64k") else { return };
        let mut command = place.command(["run", "s", "--no-breaker", "--", "sh", "-c", &script]);
        command.env("ELSEWHERE", elsewhere.path());
        let run = crate::support::Running::start(command);
        crate::support::until("the disk is full", || elsewhere.file("begun").exists());
        let child = meta(&place)["child_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
        place.start(end).end_at_all();
        assert!(!crate::support::lives(child), "{end:?}");
        run.end_at_all();
        assert_eq!(place.read("s.status"), "FAILED\n", "{end:?}");
    }
    // A plain shell's: nobody has reserved anything for its end.
    let place = Place::new();
    let Some(_disk) = Tmpfs::over(place.path(), "size=64k") else { return };
    let shell = crate::support::Shell::start(&place, "exec sleep 300", &[]);
    place.write("s.pid", &format!("{}\n", shell.pid()));
    let full = std::process::Command::new("sh").args(["-c", FILL]).env("DOGWATCH_DIR", place.path()).output();
    assert!(full.is_ok());
    let killed = place.dogwatch(["kill", "s", "--grace", "1s"]);
    assert!(!crate::support::lives(shell.pid()), "{killed:?}");
}
