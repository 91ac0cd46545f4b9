//! Terminations that are refused or interrupted, and runs of a machine whose name or boot id is not what it was, by the other
//! commands than `wait`: nobody is signalled who is not the run's, and no end is told that did not come.

#![cfg(target_os = "linux")]

use crate::support::{Bystander, Ended, Place, Running, Shell, kill, lives, marked, until};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// Runs a script in the place's folder behind `prefix`; `$DOGWATCH` is the program.
fn script(place: &Place, prefix: &[&str], text: &str) -> Ended {
    let mut command = place.through(&[prefix, &["bash", "-c", text]].concat(), [""; 0]);
    command.env("DOGWATCH", crate::support::binary()).current_dir(place.path());
    Running::start(command).end_at_all()
}

/// Whether this user may unshare so.
fn may_unshare(flag: &str) -> bool {
    let may = Command::new("unshare").args([flag, "true"]).output().is_ok_and(|tried| tried.status.success());
    if !may {
        eprintln!("skipped: this user may not unshare {flag}");
    }
    may
}

#[test]
fn a_thread_of_a_process_that_is_no_ancestor_is_no_run_for_any_command() {
    let place = Place::new();
    let program = "import threading, time; t = threading.Thread(target=time.sleep, args=(300,)); t.start(); \
        open('thread', 'w').write(str(t.native_id) + '\\n'); time.sleep(300)";
    let mut command = Command::new("python3");
    let bystander = Bystander::start(command.args(["-c", program]).current_dir(place.path()));
    until("it has a second thread", || {
        std::fs::read_to_string(place.file("thread")).is_ok_and(|text| text.ends_with('\n'))
    });
    let forge = || {
        place.write("s.pid", &place.read("thread"));
        place.write("s.heartbeat", "");
        place.age("s.heartbeat", Duration::from_mins(5));
    };
    for arguments in [
        &["recover", "s", "--stale", "0.5", "--grace", "0.2", "--json"][..],
        &["kill", "s", "--grace", "0.2", "--json"],
        &["run", "s", "--json", "--grace", "0.2", "--", "true"],
    ] {
        forge();
        let ended = place.start(arguments).end_at_all();
        assert!(lives(bystander.pid()), "{ended:?}");
        assert!(!ended.stdout.contains("\"killed\":true"), "{ended:?}");
    }
    // As the record of a run of this program too, which was killed.
    let killed = place.detach("t", "exec sleep 300");
    kill("KILL", killed);
    until("it is gone", || !lives(killed));
    place.write("t.pid", &place.read("thread"));
    let mut meta = place.meta("t");
    meta["process_group"] = place.pid("t").into();
    meta["child_pid"] = place.pid("t").into();
    place.write("t.meta", &meta.to_string());
    let ended = place.start(["kill", "t", "--grace", "0.2", "--json"]).end_at_all();
    assert!(lives(bystander.pid()), "{ended:?}");
}

#[test]
fn a_refused_kill_leaves_the_runs_own_end_as_it_is_and_counted() {
    let place = Place::new();
    // A script that names itself as the step: it is the killer's ancestor.
    let own = r#"echo $$ > s.pid; touch s.heartbeat; "$DOGWATCH" kill s --grace 0.2 > told 2>&1; echo $? >> told
        grep -c '"intent":"killed"' s.meta 2> /dev/null; echo FAILED > s.status"#;
    let ended = script(&place, &[], own);
    assert!(place.read("told").ends_with("125\n"), "{ended:?} {}", place.read("told"));
    let ended = place.start(["wait", "s", "--json"]).end_at_all();
    ended.said(1, "failed", false);
    assert_eq!(ended.json()["detail"], Value::Null, "{ended:?}");
    assert_eq!(ended.json()["breaker"]["consecutive_failures"], 1, "{ended:?}");

    // COMMAND that asks for its own run's end over and over, by every command: its exit code is what is told.
    let inner =
        r#""$0" kill t --grace 0.2 > asked 2>&1; "$0" recover t --max-timeout 0.01 --grace 0.2 >> asked 2>&1; exit 7"#;
    let binary = crate::support::binary();
    let mut command = place.command(["run", "t", "--", "sh", "-c", inner, binary.to_str().expect("a path")]);
    command.current_dir(place.path());
    let ended = Running::start(command).end_at_all();
    assert_eq!(ended.code, 7, "{ended:?} {}", place.read("asked"));
    let ended = place.start(["wait", "t", "--json"]).end_at_all();
    ended.said(1, "failed", false);
    assert_eq!((&ended.json()["exit_code"], &place.meta("t")["intent"]), (&7.into(), &Value::Null), "{ended:?}");
    assert_eq!(ended.json()["breaker"]["consecutive_failures"], 1, "{ended:?}");
}

#[test]
fn jobs_of_a_shell_that_is_its_own_wrapper_handle_term_and_are_not_hung_up() {
    let jobs = "set -m; for i in 1 2 3 4 5 6 7 8; do \
        ( trap \"sleep 0.1; echo ok > ok.$i; exit 0\" TERM; trap 'echo > hup' HUP; echo > up.$i; \
        while :; do sleep 0.05; done ) & done; echo $$ > s.pid; touch s.heartbeat; wait";
    for arguments in [
        &["kill", "s", "--grace", "20s"][..],
        &["wait", "s", "--stale", "0.5", "--grace", "20s"],
        &["recover", "s", "--max-timeout", "0.1", "--grace", "20s"],
    ] {
        let place = Place::new();
        let count = |name: &str| (1..9).filter(|number| place.file(&format!("{name}.{number}")).exists()).count();
        let mut command = Command::new("bash");
        let shell = Bystander::start(command.args(["-c", jobs]).current_dir(place.path()));
        until("all jobs run", || count("up") == 8 && place.file("s.heartbeat").exists());
        let ended = place.start(arguments).end_at_all();
        assert_eq!((count("ok"), place.file("hup").exists()), (8, false), "{ended:?}");
        assert!(!lives(shell.pid()), "{ended:?}");
    }
}

#[test]
fn an_interrupted_recover_and_an_interrupted_run_leave_nothing_stopped() {
    let work = "n=0; while [ $n -lt 60 ]; do n=$((n + 1)); (trap '' TERM; exec sleep 300) & done; trap '' TERM; \
        echo $$ > s.pid; touch s.heartbeat; while :; do wait; done";
    for signal in ["HUP", "QUIT"] {
        let place = Place::new();
        let bystander = Bystander::sleeping();
        let shell = Shell::start(&place, work, &[]);
        until("the step has started", || place.file("s.heartbeat").exists());
        let mut recovering = place.start_undisturbed(["recover", "s", "--stale", "0.3", "--grace", "1s"]);
        until("the tree is stopped, or ended", || state(shell.pid()) == Some('T') || recovering.has_ended());
        if !recovering.has_ended() {
            kill(signal, recovering.pid());
        }
        let ended = recovering.end_at_all();
        assert!(marked(&shell.mark).is_empty(), "{signal}: it is finished once it has begun: {ended:?}");
        assert!(lives(bystander.pid()));
    }
    // A run that ends its own tree, and is told to end meanwhile.
    for signal in ["INT", "TERM", "HUP"] {
        let place = Place::new();
        let value = crate::support::unique();
        let body = work.replace("echo $$ > s.pid; touch s.heartbeat", "echo > ready");
        let mut command = place.command(["run", "s", "--max-timeout", "3s", "--grace", "1s", "--", "sh", "-c", &body]);
        command.env("TEST_MARK", &value).current_dir(place.path());
        let running = Running::start(command);
        let mark = format!("TEST_MARK={value}");
        until("the tree stands", || place.file("ready").exists() && marked(&mark).len() > 60);
        until("it is being ended", || place.meta("s")["intent"] == "timeout");
        kill(signal, running.pid());
        let ended = running.end_at_all();
        assert_eq!(ended.code, 124, "{signal}: {ended:?}");
        assert!(marked(&mark).is_empty(), "{signal}: {ended:?}");
    }
}

fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

const RENAMED: &str =
    "hostname elsewhere-entirely 2> /dev/null || echo elsewhere-entirely > /proc/sys/kernel/hostname || exit 99";
const HIDDEN: &str = "mount --bind /dev/null /proc/sys/kernel/random/boot_id || exit 99";

#[test]
fn a_machine_of_another_name_or_a_hidden_boot_id_keeps_no_command_from_its_runs() {
    for (flag, before) in [("--uts", RENAMED), ("--mount", HIDDEN)] {
        if !may_unshare(flag) {
            continue;
        }
        let there = |place: &Place, text: &str| {
            let ended = script(place, &["unshare", flag], &format!("{before}\n{text}"));
            (ended.code != 99).then_some(ended)
        };
        // Alive: a second run is refused, the table says so, and a kill ends it.
        let place = Place::new();
        let wrapper = place.detach("s", "sleep 300");
        let text = r#""$DOGWATCH" run s -- true; echo $?; "$DOGWATCH" list; "$DOGWATCH" kill s --json"#;
        let Some(ended) = there(&place, text) else { continue };
        assert!(ended.stdout.starts_with("125\n") && ended.stdout.contains("running"), "{flag}: {ended:?}");
        assert!(ended.stdout.contains("\"killed\":true"), "{flag}: {ended:?}");
        assert!(!lives(wrapper), "{flag}: {ended:?}");
        // Dead: it is settled by the next run there, and its own history goes on.
        let wrapper = place.detach("s", "exec sleep 300");
        kill("KILL", wrapper);
        until("it is gone", || !lives(wrapper));
        let text = r#""$DOGWATCH" recover s --json; "$DOGWATCH" run s -- true; echo $?"#;
        let Some(ended) = there(&place, text) else { continue };
        assert!(ended.stdout.contains("\"outcome\":\"died\"") && ended.stdout.ends_with("0\n"), "{flag}: {ended:?}");
        // Begun there, and looked at from here and from there.
        let text = r#""$DOGWATCH" run -d t -- sleep 300 > /dev/null; "$DOGWATCH" check t > /dev/null; echo $?"#;
        let Some(ended) = there(&place, text) else { continue };
        assert_eq!(ended.stdout, "75\n", "{flag}: {ended:?}");
        let wrapper = place.pid("t");
        assert_eq!(place.dogwatch(["check", "t"]).code, 75);
        kill("KILL", wrapper);
        until("it is gone", || !lives(wrapper));
        let ended = place.start(["wait", "t", "--json"]).end_at_all();
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{flag}: {ended:?}");
    }
}
