//! Bad input of every kind: one clear sentence, the right exit code, nothing lost, never a hang.
//!
//! Refuses to accept a stack of lines as a sentence.

mod support;

use serde_json::json;
use std::process::Command;
use std::time::Duration;
use support::{Ended, Place, lives};

fn one_sentence(ended: &Ended, code: i32, part: &str) {
    assert_eq!(ended.code, code, "{ended:?}");
    assert_eq!((ended.stderr.lines().count(), ended.stdout.as_str()), (1, ""), "{ended:?}");
    assert!(ended.stderr.starts_with("dogwatch: ") && ended.stderr.contains(part), "{part}: {ended:?}");
}

#[test]
fn words_that_are_off_are_usage_errors() {
    let place = Place::new();
    for (line, part) in [
        ("run build", "COMMAND"),
        ("run", "STEP"),
        ("wait", "STEP"),
        ("wiat build", "'wait'"),
        ("wait build --jsno", "'--json'"),
        ("wait a/b", "it holds '/'"),
        ("wait ..", "begins with '.'"),
        ("check --json -- -x", "begins with '.' or '-'"),
        ("run a:b,c -- true", "it holds ','"),
        ("wait s --stale soon", "is no duration"),
        ("wait s --for -1", "-1"),
        ("run s --log-max big -- true", "is no size"),
        ("wait s --any --fail-fast", "cannot be used with"),
        ("wait a b --propagate", "one step"),
        ("wait s --poll-interval 0", "poll interval"),
        ("wait s --backend magic", "magic"),
        ("run s --heartbeat-interval 30s --stale 60s -- true", "less than half"),
        ("run s --heartbeat-interval 0 -- true", "is no interval"),
        ("run s --heartbeat-on moon -- true", "moon"),
        ("beat", "beat STEP"),
        ("beat a/b", "no step name"),
    ] {
        one_sentence(&place.dogwatch(line.split(' ')), 2, part);
    }
    assert_eq!(place.snapshot(), [], "nothing was touched");
    for help in ["--help", "run --help", "wait --help", "check --help", "--version"] {
        let ended = place.dogwatch(help.split(' '));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{help}");
    }
    let nothing: [&str; 0] = [];
    assert_eq!(place.dogwatch(nothing).code, 2);
}

#[test]
fn a_variable_that_is_off_is_named() {
    let place = Place::new();
    for (name, value, line) in [
        ("DOGWATCH_STALE", "soon", "wait s"),
        ("DOGWATCH_MAX_TIMEOUT", "-5", "wait s"),
        ("DOGWATCH_GRACE", "x", "run s -- true"),
        ("DOGWATCH_START_TIMEOUT", "x", "wait s"),
        ("DOGWATCH_POLL_INTERVAL", "x", "wait s"),
        ("DOGWATCH_BACKEND", "x", "wait s"),
        ("DOGWATCH_MAX_CONSECUTIVE", "x", "run s -- true"),
        ("DOGWATCH_LOG_MAX", "x", "run s -- true"),
        ("DOGWATCH_HEARTBEAT_INTERVAL", "x", "run s -- true"),
    ] {
        let output = place.command(line.split(' ')).env(name, value).output().unwrap();
        one_sentence(&Ended::of(output), 2, name);
    }
    let short = place.command(["wait", "s"]).env("DOGWATCH_START_TIMEOUT", "10ms").output().unwrap();
    assert_eq!(Ended::of(short).code, 5, "a good one is used");
}

#[test]
fn a_threshold_that_a_healthy_run_would_break_is_refused_and_nothing_touched() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    let before = place.snapshot();
    for line in ["wait s --stale 20s", "check s --stale 19s"] {
        one_sentence(&place.dogwatch(line.split(' ')), 2, "twice the run's heartbeat interval");
    }
    assert_eq!(place.snapshot(), before);
    assert_eq!(place.dogwatch(["wait", "s", "--stale", "21s", "--for", "10ms"]).code, 75);
    support::kill("KILL", pid);
}

#[test]
fn a_directory_that_is_none_or_may_not_be_used_is_said_so() {
    let place = Place::new();
    place.write("file", "");
    let file = place.file("file");
    let file = file.to_str().unwrap();
    one_sentence(&place.dogwatch(["wait", "s", "--dir", file]), 125, "is no directory");
    one_sentence(&place.dogwatch(["run", "s", "--dir", file, "--", "true"]), 125, "is no directory");
    one_sentence(&place.dogwatch(["wait", "s", "--dir", ""]), 2, "--dir");
    one_sentence(&place.dogwatch(["run", "s", "--dir", "/proc/no", "--", "true"]), 125, "cannot make");
}

/// The binary as another user, with its own copy of itself; nothing where this is not root.
fn as_nobody(place: &Place, uid: &str) -> Option<Command> {
    use std::os::unix::fs::PermissionsExt;
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: only root can become another user");
        return None;
    }
    let copy = place.file("dogwatch-copy");
    std::fs::copy(env!("CARGO_BIN_EXE_dogwatch"), &copy).unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", uid, "--clear-groups"]).arg(copy).current_dir("/").env_remove("DOGWATCH_DIR");
    Some(command)
}

#[test]
fn a_directory_that_cannot_be_written_or_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let Some(mut command) = as_nobody(&place, "65531") else { return };
    let output = command.args(["run", "s", "--dir"]).arg(place.path()).args(["--", "true"]).output().unwrap();
    one_sentence(&Ended::of(output), 125, "permission denied");
    let closed = place.file("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = as_nobody(&place, "65531").unwrap();
    let output = command.args(["wait", "s", "--dir"]).arg(&closed).output().unwrap();
    one_sentence(&Ended::of(output), 125, "permission denied");
}

#[test]
fn a_default_directory_that_somebody_else_made_is_refused() {
    let place = Place::new();
    for (uid, link) in [("65532", false), ("65533", true)] {
        let base = std::path::PathBuf::from(format!("/tmp/dogwatch-{uid}"));
        let Some(mut command) = as_nobody(&place, uid) else { return };
        if link {
            std::os::unix::fs::symlink("/tmp", &base).unwrap();
        } else {
            std::fs::create_dir(&base).unwrap();
        }
        let run = Ended::of(command.args(["run", "s", "--", "true"]).output().unwrap());
        let wait = Ended::of(as_nobody(&place, uid).unwrap().args(["wait", "s"]).output().unwrap());
        if link {
            std::fs::remove_file(&base).unwrap()
        } else {
            std::fs::remove_dir(&base).unwrap()
        }
        let part = if link { "symbolic link" } else { "belongs to user 0" };
        one_sentence(&run, 125, part);
        one_sentence(&wait, 125, part);
    }
}

#[test]
fn what_is_no_file_under_a_records_name_fails_with_the_reason_and_never_hangs() {
    let place = Place::new();
    for name in ["status", "pid", "heartbeat", "meta", "result"] {
        for kind in ["directory", "FIFO", "socket", "device", "loop"] {
            let step = format!("{name}-{kind}");
            let file = place.file(&format!("{step}.{name}"));
            match kind {
                "directory" => std::fs::create_dir(&file).unwrap(),
                "FIFO" => nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                "socket" => drop(std::os::unix::net::UnixListener::bind(&file).unwrap()),
                "device" => std::os::unix::fs::symlink("/dev/zero", &file).unwrap(),
                _ => std::os::unix::fs::symlink(&file, &file).unwrap(),
            }
            if name == "result" {
                place.write(&format!("{step}.status"), "SUCCESS\n");
            }
            let ended = place.dogwatch(["wait", &step, "--json", "--start-timeout", "5s"]);
            let report = ended.json();
            assert_eq!((ended.code, &report["outcome"]), (1, &json!("failed")), "{step}: {report}");
            let detail = report["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("the {name} file")), "{step}: {detail}");
        }
    }
}

#[test]
fn a_pid_file_without_a_pid_leaves_heartbeat_and_time_to_decide() {
    let place = Place::new();
    let long = "9".repeat(400);
    for text in ["-1", "0", "words", "", &long, "12 34"] {
        place.write("s.pid", text);
        let report = place.wait_json("s", &["--for", "50ms"]);
        assert_eq!((&report["outcome"], &report["pid"]), (&json!("running"), &json!(null)), "{text:?}: {report}");
        if !text.is_empty() {
            assert!(report["detail"].as_str().unwrap().contains("is no process id"), "{text:?}: {report}");
        }
        place.write("s.heartbeat", "");
        place.age("s.heartbeat", Duration::from_secs(100));
        let ended = place.dogwatch(["wait", "s", "--json"]);
        let report = ended.json();
        assert_eq!((ended.code, &report["outcome"], &report["killed"]), (3, &json!("hung"), &json!(false)), "{report}");
        std::fs::remove_file(place.file("s.heartbeat")).unwrap();
    }
    // 1 is a process, and nobody's run.
    place.write("s.pid", "1\n");
    let report = place.wait_json("s", &["--for", "50ms"]);
    assert_eq!((&report["outcome"], &report["pid"]), (&json!("running"), &json!(1)), "{report}");
    assert!(lives(1));
}

#[test]
fn a_record_of_a_newer_version_is_refused_and_garbage_is_passed_over() {
    let place = Place::new();
    place.write("new.meta", "{\"schema\": 2, \"pid\": {}}");
    place.write("new.pid", "1\n");
    let before = place.snapshot();
    for line in ["wait new", "check new", "run new -- true"] {
        one_sentence(&place.dogwatch(line.split(' ')), 125, "schema 2");
    }
    let kept = place.snapshot().into_iter().filter(|(name, ..)| !name.ends_with("lock")).collect::<Vec<_>>();
    assert_eq!(kept, before);
    place.write("odd.meta", "{\"schema\": 1, \"pid\": ");
    place.write("odd.status", "FAILED\n");
    let report = place.wait_json("odd", &[]);
    assert_eq!(report["outcome"], "failed");
    assert!(report["detail"].as_str().unwrap().contains("meta"), "{report}");
}
