//! Whose process a directory speaks of: copies, lost locks, other mounts, other namespaces, other owners, other names of
//! the machine. What lives must live on, whatever a lock or a copied file says.

#![cfg_attr(not(target_os = "linux"), allow(unused_imports, reason = "many of these tests need namespaces"))]

use crate::support::{Bystander, Ended, Place, kill, lives, until};
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// COMMAND that notes a TERM and goes on for a long time.
const WORK: &str = "trap 'echo TERM > \"$0.term\"; exit 9' TERM; sleep 300 & wait";

/// A run that goes on, and the file that tells whether COMMAND was ever signalled.
fn working(place: &Place) -> PathBuf {
    let noted = support_folder(place).join("work");
    let name = noted.to_str().expect("a path").to_owned();
    let ended = place.dogwatch(["run", "-d", "s", "--", "sh", "-c", WORK, &name]);
    assert_eq!(ended.code, 0, "{ended:?}");
    noted.with_extension("term")
}

/// A folder beside the monitor directory's files, gone with it.
fn support_folder(place: &Place) -> PathBuf {
    let folder = place.file("beside");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn copy(place: &Place, how: &str) -> tempfile::TempDir {
    let folder = crate::support::folder();
    let status = Command::new("sh")
        .args(["-c", &format!("cp {how} \"$1\"/s.* \"$2\"/"), "sh"])
        .args([place.path(), folder.path()])
        .status()
        .expect("cp");
    assert!(status.success());
    folder
}

fn at(place: &Place, directory: &Path, arguments: &[&str]) -> Ended {
    let mut command = place.command(arguments);
    command.env("DOGWATCH_DIR", directory);
    crate::support::Running::start(command).end_at_all()
}

fn content(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).expect("the directory").map(|entry| entry.expect("an entry"));
    let mut files: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("read")))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    files.sort();
    files
}

/// What must never touch the original, and may write nothing into the copy.
const ACTS: [&[&str]; 6] = [
    &["wait", "s", "--for", "0.3"],
    &["wait", "s", "--max-timeout", "0.1", "--grace", "0.2"],
    &["recover", "s", "--for", "0.3", "--max-timeout", "0.1", "--grace", "0.2"],
    &["kill", "s", "--grace", "0.2"],
    &["check", "s"],
    &["run", "s", "--", "true"],
];

#[test]
fn a_copy_of_the_directory_is_reported_and_never_acted_on() {
    let place = Place::new();
    let noted = working(&place);
    // With their times, without, and as second names of the same files.
    for how in ["-a", "", "-al"] {
        for act in ACTS {
            let copied = copy(&place, how);
            let before = content(copied.path());
            let mut arguments = act.to_vec();
            if act[0] != "kill" && act[0] != "run" {
                arguments.push("--json");
            }
            let ended = at(&place, copied.path(), &arguments);
            let wrapper = place.pid("s");
            assert!(lives(wrapper) && !noted.exists(), "cp {how}, {act:?}: {ended:?}");
            assert_eq!(before, content(copied.path()), "cp {how}, {act:?}: {ended:?}");
            let told = format!("{}{}", ended.stdout, ended.stderr);
            // A lock file with a second name is refused as such.
            let expected = if how == "-al" && act[0] == "run" { "hard link" } else { "copy" };
            assert!(told.contains(expected), "cp {how}, {act:?}: {ended:?}");
            if matches!(act[0], "kill" | "run") {
                assert_eq!(ended.code, 125, "cp {how}, {act:?}: {ended:?}");
            }
        }
    }
    assert_eq!(place.dogwatch(["check", "s"]).code, 75);
    assert_eq!(place.dogwatch(["kill", "s"]).code, 0);
    assert!(noted.exists());
}

#[test]
fn a_copy_of_a_dead_runs_directory_says_died_and_records_nothing() {
    let place = Place::new();
    working(&place);
    let wrapper = place.pid("s");
    let copied = copy(&place, "-a");
    kill("KILL", wrapper);
    until("it is gone", || !lives(wrapper));
    let before = content(copied.path());
    for act in [&["wait", "s", "--json"][..], &["check", "s", "--json"]] {
        let ended = at(&place, copied.path(), act);
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{ended:?}");
        assert!(ended.json()["detail"].as_str().is_some_and(|detail| detail.contains("copy")), "{ended:?}");
    }
    assert_eq!(before, content(copied.path()));
    // The directory itself records it, and the copied one is free for a run of its own.
    assert_eq!(place.dogwatch(["wait", "s"]).code, 4);
    assert_eq!(at(&place, copied.path(), &["run", "s", "--", "true"]).code, 0);
}

#[test]
fn a_renamed_directory_is_still_the_runs_own() {
    let place = Place::new();
    let inner = place.file("inner");
    let ended = at(&place, &inner, &["run", "-d", "s", "--", "sleep", "300"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let renamed = place.file("renamed");
    std::fs::rename(&inner, &renamed).expect("it is renamed");
    let ended = at(&place, &renamed, &["kill", "s", "--json"]);
    assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{ended:?}");
}

#[test]
fn a_lock_file_that_went_away_ends_nothing() {
    // Removed; replaced by one that somebody else made; both with the pid file gone too.
    for (gone, made) in [(vec!["s.lock"], false), (vec!["s.lock"], true), (vec!["s.lock", "s.pid"], false)] {
        let place = Place::new();
        let noted = working(&place);
        let wrapper = place.pid("s");
        for name in &gone {
            std::fs::remove_file(place.file(name)).expect("removed");
        }
        if made {
            place.write("s.lock", "");
        }
        for act in [&["check", "s"][..], &["wait", "s", "--for", "0.3"], &["recover", "s", "--for", "0.3"]] {
            let ended = place.dogwatch(act);
            assert_eq!(ended.code, 75, "{gone:?} {act:?}: {ended:?}");
        }
        let second = place.dogwatch(["run", "s", "--", "true"]);
        assert_eq!(second.code, 125, "{gone:?}: {second:?}");
        assert!(lives(wrapper) && !noted.exists(), "{gone:?}");
        // And its death is seen without the lock too.
        kill("KILL", wrapper);
        let ended = place.start(["wait", "s", "--json"]).end_at_all();
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{ended:?}");
    }
}

/// What a script prints that runs as root in namespaces of its own; nothing where there can be none.
#[cfg(target_os = "linux")]
fn apart(place: &Place, flags: &[&str], script: &str) -> Option<Ended> {
    let tried = Command::new("unshare").args(flags).arg("true").output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: this user may not unshare {flags:?}");
        return None;
    }
    let mut command = place.command::<_, &str>([]);
    let mut apart = Command::new("unshare");
    apart.args(flags).args(["sh", "-c", script]).env("DOGWATCH", crate::support::binary());
    for (name, value) in command.current_dir(place.path()).get_envs() {
        match value {
            Some(value) => apart.env(name, value),
            None => apart.env_remove(name),
        };
    }
    Some(
        crate::support::Running::start({
            apart.current_dir(place.path());
            apart
        })
        .end_at_all(),
    )
}

#[cfg(target_os = "linux")]
#[test]
fn another_mount_of_the_directory_never_ends_the_run_and_a_bind_mount_is_the_same_directory() {
    let place = Place::new();
    let noted = working(&place);
    let wrapper = place.pid("s");
    // An overlay has locks of its own.
    let script = r#"
        mkdir beside/upper beside/work beside/seen
        mount -t overlay overlay -o "lowerdir=$DOGWATCH_DIR,upperdir=beside/upper,workdir=beside/work" beside/seen || { echo none; exit; }
        export DOGWATCH_DIR=$PWD/beside/seen
        "$DOGWATCH" wait s --for 0.3 > out 2>&1; echo $?
        "$DOGWATCH" wait s --max-timeout 0.1 --grace 0.2 --json > out 2>&1; echo $?; grep -c '"killed":false' out
        "$DOGWATCH" run s -- true > out 2>&1; echo $?
    "#;
    // The layers may not lie in one another.
    let inner = script.replace("beside/", "\"$OUT\"/");
    let out = crate::support::folder();
    let inner =
        inner.replace("$PWD/", "").replace("out 2>&1", "\"$OUT\"/out 2>&1").replace(" out\n", " \"$OUT\"/out\n");
    let inner = format!("OUT={}\n{inner}", out.path().display());
    if let Some(ended) = apart(&place, &["--mount"], &inner)
        && !ended.stdout.starts_with("none")
    {
        assert_eq!(ended.stdout, "75\n124\n1\n125\n", "{ended:?}");
        assert!(lives(wrapper) && !noted.exists(), "{ended:?}");
    }
    let script = r#"
        mkdir beside/bound; mount --bind "$DOGWATCH_DIR" beside/bound || { echo none; exit; }
        DOGWATCH_DIR=$PWD/beside/bound "$DOGWATCH" kill s > /dev/null 2>&1; echo $?
    "#;
    if let Some(ended) = apart(&place, &["--mount"], script)
        && !ended.stdout.starts_with("none")
    {
        assert_eq!(ended.stdout, "0\n", "{ended:?}");
        assert!(noted.exists());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_waiter_in_another_time_namespace_compares_no_times_and_signals_nobody() {
    let place = Place::new();
    let noted = working(&place);
    let wrapper = place.pid("s");
    // Ten days ahead, and as many seconds: start times and clocks differ in both.
    for ahead in ["864000", "10"] {
        let flags = ["--time", "--boottime", ahead, "--monotonic", ahead];
        let script = r#"
            "$DOGWATCH" wait s --for 0.3 --json | grep -c '"outcome":"running"'
            "$DOGWATCH" wait s --for 0.3 --max-timeout 1h --json | grep -c '"outcome":"running"'
            "$DOGWATCH" check s --max-timeout 1h > /dev/null; echo $?
            "$DOGWATCH" wait s --max-timeout 0.1 --grace 0.2 --json | grep -c '"killed":false'
            "$DOGWATCH" run s -- true 2> /dev/null; echo $?
        "#;
        let Some(ended) = apart(&place, &flags, script) else { return };
        assert_eq!(ended.stdout, "1\n1\n75\n1\n125\n", "{ahead}: {ended:?}");
        assert!(lives(wrapper) && !noted.exists(), "{ended:?}");
        // Nor does it count its own sleep by them.
        let Some(ended) = apart(&place, &flags, "\"$DOGWATCH\" run own --max-timeout 1h -- true; echo $?") else {
            return;
        };
        assert!(ended.stdout.ends_with("0\n"), "{ended:?}");
    }
    // A run of another time namespace, looked at from here.
    let script = "\"$DOGWATCH\" run -d t -- sleep 300 > /dev/null; echo started";
    if let Some(ended) = apart(&place, &["--time", "--boottime", "864000", "--monotonic", "864000"], script) {
        assert_eq!(ended.stdout, "started\n");
        let answer = place.wait_json("t", &["--for", "0.3", "--max-timeout", "1h"]);
        assert_eq!(answer["outcome"], "running", "{answer}");
        let elapsed = answer["elapsed_ms"].as_u64().expect("a time");
        assert!(elapsed < 3_600_000, "{answer}");
        kill("KILL", place.pid("t"));
        until("its end", || place.wait_json("t", &["--for", "1"])["outcome"] == "died");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_machine_that_changes_its_name_is_the_same_and_a_hidden_boot_id_says_nothing() {
    let place = Place::new();
    let noted = working(&place);
    let wrapper = place.pid("s");
    let renamed = "hostname elsewhere-entirely 2> /dev/null || echo elsewhere-entirely > /proc/sys/kernel/hostname\n";
    let hidden = "mount --bind /dev/null /proc/sys/kernel/random/boot_id || exit\n";
    let check = "\"$DOGWATCH\" check s --json";
    for (flags, before) in [(&["--uts"][..], renamed), (&["--mount"][..], hidden)] {
        let Some(ended) = apart(&place, flags, &format!("{before}{check}")) else { continue };
        assert_eq!(ended.code, 75, "{ended:?}");
        let detail = ended.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(!detail.contains("lives on") && !detail.contains("boot"), "{ended:?}");
    }
    // A run that began where the id was hidden recorded none.
    if let Some(ended) = apart(&place, &["--mount"], &format!("{hidden}\"$DOGWATCH\" run -d t -- sleep 300"))
        && ended.code == 0
    {
        assert_eq!(place.meta("t")["boot_id"], Value::Null, "{ended:?}");
        let ended = place.dogwatch(["kill", "t", "--json"]);
        assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{ended:?}");
    }
    kill("KILL", wrapper);
    until("it is gone", || !lives(wrapper));
    if let Some(ended) = apart(&place, &["--uts"], &format!("{renamed}\"$DOGWATCH\" wait s --json")) {
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{ended:?}");
    }
    assert!(!noted.exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_in_the_pid_file_is_no_process_and_nobody_is_signalled_for_it() {
    // This process, the waiter's parent, runs other threads.
    let (sender, receiver) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        sender.send(nix::unistd::gettid().as_raw()).expect("told");
        let _over = stopped.recv();
    });
    let number = receiver.recv().expect("a thread");
    let place = Place::new();
    let ended = place.dogwatch(["start", "t", "--pid", &number.to_string()]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("thread"), "{ended:?}");
    place.write("s.pid", &format!("{number}\n"));
    place.write("s.heartbeat", "");
    for act in [
        &["wait", "s", "--stale", "0.5", "--grace", "0.2", "--json"][..],
        &["wait", "s", "--max-timeout", "0.1", "--grace", "0.2", "--json"],
        &["kill", "s", "--grace", "0.2", "--json"],
    ] {
        let ended = place.start(act).end_at_all();
        assert_ne!(ended.json()["killed"].as_bool(), Some(true), "{ended:?}");
    }
    drop(stop);
    thread.join().expect("it ends");
}

/// A meta record that another user wrote into a directory that everybody can write to.
#[cfg(target_os = "linux")]
#[test]
fn a_record_of_another_owner_than_the_pid_files_is_not_the_runs() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can write as another user");
        return;
    }
    let place = Place::new();
    let victim = Bystander::start(Command::new("setsid").args(["sleep", "300"]));
    let group = victim.pid();
    until("it leads a session", || {
        nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(group))).is_ok_and(|session| session.as_raw() == group)
    });
    // Root's own plain-shell step, whose process has gone; and one without any pid file.
    for (has_pid, claimed) in [(true, 0_u32), (false, 0)] {
        let forged = |place: &Place| {
            place.forge(group, Duration::ZERO, |meta| {
                meta["locked"] = true.into();
                meta["pid"] = 999_999_i64.into();
                meta["process_group"] = group.into();
                meta["child_pid"] = group.into();
                meta["child_started_at"] = Value::Null;
                meta["pid_started_at"] = Value::Null;
                meta["uid"] = claimed.into();
                meta["max_timeout_ms"] = 1.into();
            });
        };
        forged(&place);
        place.write("s.pid", "999999\n");
        place.write("s.lock", "");
        let mut meta = place.meta("s");
        let stamp = place.file("s.pid").metadata().expect("metadata");
        meta["pid_mtime_ns"] = (stamp.mtime() * 1_000_000_000 + stamp.mtime_nsec()).into();
        place.write("s.meta", &meta.to_string());
        std::os::unix::fs::chown(place.file("s.meta"), Some(65534), None).expect("another owner");
        if !has_pid {
            std::fs::remove_file(place.file("s.pid")).expect("removed");
        }
        let ended = place.start(["wait", "s", "--json", "--for", "1", "--grace", "0.2"]).end_at_all();
        assert!(lives(group), "pid {has_pid}: {ended:?}");
        assert_ne!(ended.json()["killed"].as_bool(), Some(true), "{ended:?}");
    }
    // A limit that another user wrote into the record beside root's own job.
    let place = Place::new();
    let job = Bystander::sleeping();
    place.forge(job.pid(), Duration::ZERO, |meta| {
        meta["max_timeout_ms"] = 1.into();
        meta["pid_started_at"] = Value::Null;
    });
    std::os::unix::fs::chown(place.file("s.meta"), Some(65534), None).expect("another owner");
    let ended = place.start(["wait", "s", "--json", "--for", "0.5", "--grace", "0.2"]).end_at_all();
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(lives(job.pid()));
    // What root itself recorded beside a user's pid is believed.
    std::os::unix::fs::chown(place.file("s.meta"), Some(0), None).expect("root's");
    std::os::unix::fs::chown(place.file("s.pid"), Some(65534), None).expect("another owner");
    let ended = place.start(["wait", "s", "--json", "--for", "5", "--grace", "0.2"]).end_at_all();
    ended.said(124, "timeout", false);
    assert!(lives(job.pid()), "and root's own process is not the user's");
}
