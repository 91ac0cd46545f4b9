//! What is wrong with a call, an environment, a directory or a file: one sentence, the right code, and nothing touched.
//!
//! Each error must be one sentence, and come at once whatever file type stands under a record's name. A broken pid file
//! must lead to no signal: such cases run in a PID namespace of their own.

use crate::support::{Ended, Place, binary, in_parallel, is_refused, own_namespace, until};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn run(command: &mut Command) -> Ended {
    Ended::of(&command.output().expect("dogwatch runs"))
}

#[test]
fn a_step_that_is_not_there_is_not_started_and_those_that_are_there_are_named() {
    let place = Place::new();
    for step in ["build", "unit-tests"] {
        assert_eq!(place.dogwatch(["run", step, "--", "true"]).code, 0);
    }
    for arguments in
        [vec!["wait", "biuld", "--start-timeout", "0.1"], vec!["wait", "biuld", "--for", "0"], vec!["check", "biuld"]]
    {
        let ended = place.dogwatch(&arguments);
        assert_eq!((ended.code, ended.stdout.lines().count()), (5, 1), "{ended:?}");
        assert!(ended.stdout.contains("build") && ended.stdout.contains("unit-tests"), "{ended:?}");
        let answer = place.dogwatch(arguments.iter().chain(&["--json"])).json();
        assert!(answer["detail"].as_str().is_some_and(|text| text.contains("build, unit-tests")), "{answer}");
    }
}

#[test]
fn a_directory_that_is_a_file_is_refused() {
    let place = Place::new();
    place.write("file", "");
    let file = place.file("file").to_string_lossy().into_owned();
    for line in ["wait s", "check s", "run s -- true", "beat s"] {
        is_refused(&place.dogwatch(["--dir", &file].into_iter().chain(line.split(' '))), 125, &[&file]);
    }
    let below = format!("{file}/below");
    is_refused(&place.dogwatch(["--dir", &below, "run", "s", "--", "true"]), 125, &[&below]);
    is_refused(&place.dogwatch(["--dir", "", "wait", "s"]), 2, &["--dir"]);
}

/// How root starts a program as a user without rights. setpriv is util-linux's: there is none on macOS.
fn as_user(user: u32) -> [String; 4] {
    ["setpriv".into(), format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".into()]
}

/// The binary where every user can reach it: a target folder may lie in a home that is closed.
fn reachable_binary(folder: &Path) -> PathBuf {
    let copy = folder.join("dogwatch");
    // By another program: see `crate::support::executable`.
    assert!(Command::new("cp").arg(binary()).arg(&copy).status().is_ok_and(|status| status.success()));
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("an open folder");
    copy
}

#[test]
fn a_directory_that_may_not_be_written_or_read_is_refused() {
    let (place, tools) = (Place::new(), Place::new());
    let is_root = nix::unistd::geteuid().is_root();
    if is_root && cfg!(target_os = "macos") {
        return eprintln!("skipped: root may do everything, and there is no setpriv to become another user with");
    }
    let binary = reachable_binary(tools.path());
    let shown = place.path().to_string_lossy().into_owned();
    let call = |line: &str| {
        let prefix = if is_root { as_user(65534).to_vec() } else { vec!["env".to_owned()] };
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(&binary).args(["--dir", &shown]).args(line.split(' '));
        run(command.current_dir("/").env_remove("DOGWATCH_DIR"))
    };
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o555)).expect("read only");
    is_refused(&call("run s --log none -- echo ran"), 125, &[&shown]);
    assert_eq!(call("wait s --for 0").code, 5);
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o000)).expect("closed");
    for line in ["run s --log none -- echo ran", "wait s --for 0", "check s"] {
        is_refused(&call(line), 125, &[&shown]);
    }
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o700)).expect("open again");
    assert!(place.snapshot().is_empty());
}

#[test]
fn what_this_user_may_not_read_is_no_end_and_a_living_run_is_not_said_to_have_ended() {
    if !nix::unistd::geteuid().is_root() || cfg!(target_os = "macos") {
        return eprintln!("skipped: only root can become another user, and it takes setpriv");
    }
    let (place, tools) = (Place::new(), Place::new());
    let binary = reachable_binary(tools.path());
    assert_eq!(place.dogwatch(["run", "ended", "--", "true"]).code, 0);
    place.detach("living", "exec sleep 300");
    let allow = |mode, file: &str| {
        std::fs::set_permissions(place.file(file), PermissionsExt::from_mode(mode)).expect("a file of root's");
    };
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).expect("open");
    for step in ["ended", "living"] {
        for record in ["pid", "meta", "heartbeat", "lock", "log"] {
            allow(0o600, &format!("{step}.{record}"));
        }
    }
    allow(0o600, "ended.status");
    allow(0o600, "ended.result");
    let call = |line: &str| {
        let user = as_user(65534);
        let mut command = Command::new(&user[0]);
        command.args(&user[1..]).arg(&binary).arg("--dir").arg(place.path()).args(line.split(' '));
        run(command.current_dir("/").env_remove("DOGWATCH_DIR"))
    };
    for line in ["wait ended", "wait living", "check ended", "kill living", "kill ended"] {
        let file = if line.contains("ended") { "ended.status" } else { "living.pid" };
        is_refused(&call(line), 125, &[file, "permission denied", "chmod +r"]);
    }
    let listed = call("list");
    assert!(!listed.stdout.contains("failed") && listed.stderr.contains("ended.status"), "{listed:?}");
    // A status that may be read says how it ended, and a result that may not makes no failure of it.
    allow(0o644, "ended.status");
    let told = call("wait ended --json=full");
    told.said(0, "success", false);
    assert!(told.json()["result_error"].as_str().is_some_and(|fault| fault.contains("permission denied")), "{told:?}");
}

#[test]
fn what_root_does_in_a_users_directory_locks_the_user_out_of_nothing() {
    if !nix::unistd::geteuid().is_root() || cfg!(target_os = "macos") {
        return eprintln!("skipped: only root can work in another user's directory, and it takes setpriv");
    }
    let (place, tools) = (Place::new(), Place::new());
    let binary = reachable_binary(tools.path());
    std::os::unix::fs::chown(place.path(), Some(65534), Some(65534)).expect("a chown");
    let user = as_user(65534);
    let call = |line: &str| {
        let mut command = Command::new(&user[0]);
        command.args(&user[1..]).arg(&binary).arg("--dir").arg(place.path()).args(line.split(' '));
        run(command.current_dir("/").env_remove("DOGWATCH_DIR"))
    };
    assert_eq!(call("run -d s -- sleep 300").code, 0);
    assert_eq!(place.dogwatch(["kill", "s"]).code, 0);
    assert_eq!(place.dogwatch(["run", "t", "--", "false"]).code, 1);
    for (line, code) in [("run s -- false", 1), ("run t -- false", 1), ("breaker reset t", 0), ("clean s t", 0)] {
        let ended = call(line);
        assert!(ended.code == code && !ended.stderr.contains("cannot"), "{line}: {ended:?}");
    }
}

/// The default base of a user whom nobody is, gone with the test.
struct Base(PathBuf);

impl Drop for Base {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_default_directory_in_a_base_that_is_another_users_or_a_link_is_refused() {
    if !nix::unistd::geteuid().is_root() || cfg!(target_os = "macos") {
        eprintln!("skipped: only root can make a folder that belongs to another user, and it takes setpriv");
        return;
    }
    let user = 64_000 + std::process::id() % 1000;
    let base = Base(PathBuf::from(format!("/tmp/dogwatch-{user}")));
    assert!(base.0.symlink_metadata().is_err(), "{} is in the way", base.0.display());
    let shown = base.0.to_string_lossy().into_owned();
    let (tools, target) = (Place::new(), Place::new());
    let binary = reachable_binary(tools.path());
    std::os::unix::fs::chown(target.path(), Some(user), Some(user)).expect("a chown");
    let call = |line: &str| {
        let prefix = as_user(user);
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(&binary).args(line.split(' '));
        run(command.current_dir("/").env_remove("DOGWATCH_DIR").env("HOME", "/").stdin(Stdio::null()))
    };
    let refuses = || {
        for line in ["run s --log none -- echo ran", "wait s --for 0", "check s", "beat s"] {
            is_refused(&call(line), 125, &[&shown]);
        }
    };
    std::fs::create_dir(&base.0).expect("root's folder");
    std::fs::set_permissions(&base.0, PermissionsExt::from_mode(0o777)).expect("open to all");
    refuses();
    assert_eq!(base.0.read_dir().expect("a folder").count(), 0);
    std::fs::remove_dir(&base.0).expect("removed");
    symlink(target.path(), &base.0).expect("a link");
    refuses();
    assert!(target.snapshot().is_empty());
    std::fs::remove_file(&base.0).expect("removed");
    std::fs::write(&base.0, "").expect("a file");
    refuses();
    std::fs::remove_file(&base.0).expect("removed");
    // Nothing in the way: it is made, and closed to others.
    assert_eq!(call("run s -- true").code, 0);
    let made = base.0.metadata().expect("a folder");
    assert_eq!((made.uid(), made.mode() & 0o7777), (user, 0o700));
}

const RECORDS: [&str; 5] = ["status", "pid", "heartbeat", "result", "meta"];
const KINDS: [&str; 5] = ["FIFO", "folder", "socket", "loop", "device"];

/// Puts what is no regular file under a name; what comes back keeps a socket open.
fn put(kind: &str, path: &Path) -> Option<UnixListener> {
    match kind {
        "FIFO" => nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO"),
        "folder" => std::fs::create_dir(path).expect("a folder"),
        "socket" => return Some(UnixListener::bind(path).expect("a socket")),
        "loop" => symlink(path.file_name().expect("a name"), path).expect("a link"),
        _ => symlink("/dev/zero", path).expect("a link"),
    }
    None
}

#[test]
fn what_is_no_regular_file_under_a_records_name_fails_the_step_and_never_hangs_it() {
    in_parallel(RECORDS.len() * KINDS.len(), 6, |number| {
        let (record, kind) = (RECORDS[number / KINDS.len()], KINDS[number % KINDS.len()]);
        let place = Place::new();
        let _kept = put(kind, &place.file(&format!("s.{record}")));
        if record == "result" {
            place.write("s.status", "SUCCESS\n");
        }
        for command in ["wait", "check"] {
            let ended = place.start([command, "s", "--json"]).end_at_all();
            let answer = ended.json();
            assert_eq!((ended.code, answer["outcome"].as_str()), (1, Some("failed")), "{record}, {kind}: {ended:?}");
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(detail.contains(record), "{record}, {kind}: {ended:?}");
        }
    });
}

#[test]
fn a_run_over_what_is_no_regular_file_replaces_or_refuses_it_and_never_hangs() {
    in_parallel((RECORDS.len() + 1) * KINDS.len(), 6, |number| {
        let record = RECORDS.get(number / KINDS.len()).unwrap_or(&"log");
        let kind = KINDS[number % KINDS.len()];
        let place = Place::new();
        let _kept = put(kind, &place.file(&format!("s.{record}")));
        let ended = place.start(["run", "s", "--", "echo", "ran"]).end_at_all();
        if ended.code == 0 {
            assert_eq!(place.read("s.status"), "SUCCESS\n", "{record}, {kind}: {ended:?}");
        } else {
            is_refused(&ended, 125, &[&format!("s.{record}")]);
        }
    });
}

#[test]
fn a_pid_file_without_a_usable_pid_is_named_and_nobody_is_ever_signalled() {
    let Some(namespace) = own_namespace() else { return };
    // The first process there would note a signal; nothing else is in reach.
    let script = "trap ': > signalled' TERM HUP INT; \"$@\"; code=$?; exit $code";
    let caller = [namespace.as_slice(), &["sh", "-c", script, "sh"]].concat();
    let digits = "9".repeat(400);
    let contents = ["-1\n", "0\n", "1\n", "-7", "a few words\n", "12 13\n", "0x10\n", &digits, ""];
    in_parallel(contents.len(), contents.len(), |number| {
        let (content, place) = (contents[number], Place::new());
        place.write("s.pid", content);
        place.write("s.heartbeat", "");
        let call = |more: &[&str]| {
            let arguments = ["wait", "s", "--json", "--grace", "0.1"].iter().chain(more);
            let ended = run(&mut place.through(&caller, arguments));
            assert!(!place.file("signalled").exists(), "{content:?}: {ended:?}");
            (ended.code, ended.json())
        };
        let (code, answer) = call(&["--for", "0.3"]);
        assert_eq!((code, answer["outcome"].as_str()), (75, Some("running")), "{content:?}: {answer}");
        // One is a pid, if nobody's to signal, and an empty file is one that is still being written.
        if !["1\n", ""].contains(&content) {
            let start = content.trim().get(..8).unwrap_or(content.trim());
            assert!(answer["detail"].as_str().is_some_and(|text| text.contains(start)), "{content:?}: {answer}");
        }
        let (code, answer) = call(&["--stale", "0.4"]);
        assert_eq!((code, answer["outcome"].as_str()), (3, Some("hung")), "{content:?}: {answer}");
        assert_eq!(answer["killed"], false, "{content:?}: {answer}");
        assert!(answer["detail"].is_string(), "{content:?}: {answer}");
    });
}

#[test]
fn a_record_of_a_newer_schema_is_refused_and_left_as_it_is() {
    let place = Place::new();
    place.write("s.meta", "{\"schema\": 2, \"pid\": {\"new\": \"form\"}}\n");
    place.write("s.status", "SUCCESS\n");
    let before = place.snapshot();
    for line in ["wait s", "check s", "run s -- true"] {
        is_refused(&place.dogwatch(line.split(' ')), 125, &["schema 2", "s.meta"]);
    }
    let now = place.snapshot();
    let kept = before.iter().all(|file| now.contains(file));
    assert!(kept, "{now:?}");
}

#[test]
fn a_record_that_is_garbage_is_ignored() {
    let long = "x".repeat(2 << 20);
    let deep = "[".repeat(100_000);
    for garbage in ["", "{", "[]", "null", "7", "\0\u{1}\u{7f}", "{\"schema\": \"one\"}", "{\"pid\": []}", &long, &deep]
    {
        let place = Place::new();
        place.write("s.meta", garbage);
        place.write("s.status", "SUCCESS\n");
        place.write("s.result", "[1]");
        let shown = garbage.get(..20).unwrap_or(garbage);
        for command in ["wait", "check"] {
            let ended = place.start([command, "s", "--json"]).end_at_all();
            let answer = ended.json();
            let said = (ended.code, answer["outcome"].as_str(), answer["result"].to_string());
            assert_eq!(said, (0, Some("success"), "[1]".to_owned()), "{shown:?}: {ended:?}");
        }
        assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0, "{shown:?}");
        assert_eq!(place.meta("s")["schema"], 1);
    }
}

#[test]
fn a_threshold_that_the_runs_own_interval_cannot_meet_is_a_usage_error_and_nothing_is_touched() {
    let place = Place::new();
    let run = place.start(["run", "s", "--heartbeat-interval", "60s", "--", "sleep", "300"]);
    until("the run has started", || place.file("s.pid").exists());
    let before = place.snapshot();
    for stale in ["1s", "119s", "120s"] {
        is_refused(&place.dogwatch(["wait", "s", "--for", "0.1", "--stale", stale]), 2, &["2m"]);
    }
    let answers =
        |ended: &Ended| assert_eq!((ended.code, &ended.json()["outcome"]), (75, &"running".into()), "{ended:?}");
    answers(&place.dogwatch(["wait", "s", "--for", "0.1", "--stale", "121s", "--json"]));
    // A default that nobody chose for this run is no reason to end it either: here it is over at once.
    let mut strict = place.command(["wait", "s", "--for", "1.5", "--json"]);
    answers(&self::run(strict.env("DOGWATCH_STALE", "0.5")));
    assert_eq!(place.snapshot(), before);
    drop(run);
}

#[test]
fn a_step_that_runs_is_not_started_again() {
    let place = Place::new();
    let first = place.start(["run", "s", "--", "sleep", "300"]);
    until("the run has started", || place.file("s.pid").exists());
    let before = place.snapshot();
    is_refused(&place.dogwatch(["run", "s", "--", "true"]), 125, &[&first.pid().to_string()]);
    assert_eq!(place.snapshot(), before);
}
