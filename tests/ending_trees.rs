//! Who is ended with a run and who is not, whom a kill tells about, and what is left when calls are refused or few
//! descriptors are to be had.

#![cfg(target_os = "linux")]

use crate::support::{Bystander, Ended, Place, Running, Shell, kill, lives, marked, started, unique, until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Runs a script in the place's folder; `$DOGWATCH` is the program.
fn script(place: &Place, text: &str) -> Ended {
    let plain = place.command::<_, &str>([]);
    let mut command = Command::new("bash");
    command.args(["-c", text]).env("DOGWATCH", crate::support::binary()).current_dir(place.path());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::start(command).end_at_all()
}

fn number(place: &Place, name: &str) -> i32 {
    until("a number is written", || std::fs::read_to_string(place.file(name)).is_ok_and(|text| text.ends_with('\n')));
    place.read(name).trim().parse().expect("a pid")
}

#[test]
fn a_child_that_was_there_before_command_is_nobodys_left_over() {
    for (rest, code) in [
        // By exec, by bash's own exec of a last command, over a limit, and with a chain of orphans of its own.
        ("exec \"$DOGWATCH\" run s -- true", 0),
        ("\"$DOGWATCH\" run s -- true", 0),
        ("exec \"$DOGWATCH\" run s --max-timeout 0.3 --grace 0.5 -- sleep 300", 124),
        ("exec \"$DOGWATCH\" run s -- sh -c 'setsid sleep 300 & sleep 300 & echo $! > left'", 0),
    ] {
        let place = Place::new();
        let service = "sh -c 'echo $$ > older; while :; do (sleep 0.01 &); sleep 0.02; done' > /dev/null 2>&1 &";
        let ended = script(&place, &format!("{service} until [ -s older ]; do sleep 0.01; done; {rest}"));
        assert_eq!(ended.code, code, "{rest}: {ended:?}");
        let older = number(&place, "older");
        assert!(lives(older), "{rest}: {ended:?}");
        if place.file("left").exists() {
            assert!(!lives(number(&place, "left")), "{rest}: {ended:?}");
        }
        kill("KILL", older);
    }
}

#[test]
fn a_kill_and_a_stopped_wrappers_end_spare_the_older_child_too() {
    for stopped in [false, true] {
        let place = Place::new();
        let text = "sleep 300 > /dev/null 2>&1 & echo $! > older; exec \"$DOGWATCH\" run s -- sh -c 'sleep 300 & echo $! > inner; wait'";
        let mut command = Command::new("bash");
        command.args(["-c", text]).env("DOGWATCH", crate::support::binary()).env("DOGWATCH_DIR", place.path());
        command.current_dir(place.path());
        let running = Running::start(command);
        let (older, inner) = (number(&place, "older"), number(&place, "inner"));
        if stopped {
            kill("STOP", running.pid());
        }
        let ended = place.start(["kill", "s", "--grace", "1s", "--json"]).end_at_all();
        assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{stopped}: {ended:?}");
        assert!(lives(older) && !lives(inner), "{stopped}: {ended:?}");
        running.end_at_all();
        kill("KILL", older);
    }
}

/// What an ordinary user can start that then belongs to root: setpriv(1) with the set-user-ID bit.
fn turning_root(place: &Place) -> Option<PathBuf> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can make a program that turns root");
        return None;
    }
    let program = place.file("turn-root");
    let made = Command::new("sh")
        .args(["-c", "cp \"$(command -v setpriv)\" \"$1\" && chmod 4755 \"$1\" && chmod 777 . && cp \"$2\" dogwatch"])
        .arg("sh")
        .args([&program, &crate::support::binary()])
        .current_dir(place.path())
        .status();
    made.is_ok_and(|made| made.success()).then_some(program)
}

/// Whether its real user is root. A program that has turned root's at its exec can still be signalled by the real user
/// (kill(2)).
fn is_roots(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

#[test]
fn what_may_not_be_signalled_is_named_and_is_no_success_of_kill() {
    let place = Place::new();
    let Some(program) = turning_root(&place) else { return };
    let root = format!("{} --reuid=0 --regid=0 --clear-groups sleep 300", program.display());
    let user = "setpriv --reuid=65534 --regid=65534 --clear-groups env DOGWATCH_DIR=$PWD/own ./dogwatch";
    let inner = format!("{root} & echo $! > survivor; wait");
    let survivor = |place: &Place| {
        let pid = number(place, "survivor");
        std::fs::remove_file(place.file("survivor")).expect("removed");
        until("it is root's", || is_roots(pid));
        pid
    };
    // On request: the run is over, and what is left of it is told.
    let ended = script(&place, &format!("{user} run -d s -- sh -c '{inner}'"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let pid = survivor(&place);
    let ended = script(&place, &format!("{user} kill s --grace 0.5s"));
    assert_eq!(ended.code, 125, "{ended:?}");
    assert!(ended.stdout.contains(&pid.to_string()) && lives(pid), "{ended:?}");
    kill("KILL", pid);
    // By a waiter, over a limit.
    let ended = script(&place, &format!("{user} run -d --no-breaker s -- sh -c '{inner}'"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let pid = survivor(&place);
    let ended = script(&place, &format!("{user} wait s --json --max-timeout 0.1 --grace 0.5s"));
    ended.said(124, "timeout", false);
    assert!(ended.json()["detail"].as_str().is_some_and(|detail| detail.contains(&pid.to_string())), "{ended:?}");
    assert!(ended.json()["evidence"].to_string().contains(&pid.to_string()), "{ended:?}");
    kill("KILL", pid);
    // By the run itself, which gives the survivor time to become root on a busy machine: one line says so.
    let text = format!("{user} run --no-breaker s --max-timeout 5 --grace 0.5 -- sh -c '{inner}'");
    let ended = script(&place, &text);
    let pid = survivor(&place);
    assert_eq!(ended.code, 124, "{ended:?}");
    let lines = ended.stderr.lines().filter(|line| line.contains("still there"));
    assert_eq!(lines.filter(|line| line.contains(&pid.to_string())).count(), 1, "{ended:?}");
    kill("KILL", pid);
    // COMMAND itself cannot be ended: the run goes on, and nothing is recorded of an end that did not come.
    let ended = script(&place, &format!("{user} run -d --no-breaker s -- {root}"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let meta = || -> serde_json::Value { serde_json::from_str(&place.read("own/s.meta")).expect("a record") };
    let command = i32::try_from(meta()["child_pid"].as_i64().expect("a pid")).expect("a pid");
    until("it is root's", || is_roots(command));
    let ended = script(&place, &format!("{user} kill s --grace 0.5s"));
    assert_eq!(ended.code, 125, "{ended:?}");
    assert!(ended.stdout.contains(&command.to_string()), "{ended:?}");
    assert!(meta()["intent"].is_null() && meta()["reason"].is_null() && lives(command), "{}", meta());
    kill("KILL", command);
    let ended = script(&place, &format!("{user} wait s"));
    assert_eq!(ended.code, 1, "its own end is reported as it is: {ended:?}");
}

#[test]
fn a_group_of_job_control_handles_term_and_is_not_hung_up() {
    let jobs = "cd \"$DOGWATCH_DIR\"; set -m; for i in 1 2 3 4 5 6 7 8; do \
        ( trap \"sleep 0.1; echo ok > ok.$i; exit 0\" TERM; trap 'echo > hup' HUP; echo > up.$i; \
        while :; do sleep 0.05; done ) & done; wait";
    // A stopped wrapper is made to go on: were its tree ended from outside, it would go on in the middle of that, and stop
    // the jobs again while their shell exits. A script that is its own wrapper is ended from outside, by one process at a time.
    for (wrapper, killers) in
        [("running", 1), ("stopped", 1), ("foreign", 1), ("running", 4), ("stopped", 4), ("foreign", 4)]
    {
        let place = Place::new();
        let count = |name: &str| (1..9).filter(|number| place.file(&format!("{name}.{number}")).exists()).count();
        let mut script = None;
        if wrapper == "foreign" {
            let mut shell = Command::new("bash");
            shell.args(["-c", &format!("echo $$ > \"$DOGWATCH_DIR/s.pid\"; {jobs}")]).env("DOGWATCH_DIR", place.path());
            script = Some(Running::start(shell));
        } else {
            let run = place.dogwatch(["run", "-d", "s", "--no-breaker", "--", "bash", "-c", jobs]);
            assert_eq!(run.code, 0, "{run:?}");
        }
        until("all jobs run", || count("up") == 8);
        if wrapper == "stopped" {
            kill("STOP", place.pid("s"));
        }
        let killers: Vec<Running> = (0..killers).map(|_| place.start(["kill", "s", "--grace", "20s"])).collect();
        for killer in killers {
            let ended = killer.end_at_all();
            assert_eq!((ended.code, count("ok")), (0, 8), "{wrapper}: {ended:?}");
            assert!(!place.file("hup").exists(), "{wrapper}: {ended:?}");
        }
        assert!(!place.file(".s.pid.termination.tmp").exists(), "{wrapper}");
        script.map(Running::end_at_all);
    }
}

#[test]
fn a_tree_that_another_process_ends_is_left_to_it_for_the_grace_at_most() {
    let place = Place::new();
    let grace = Duration::from_millis(300);
    for step in ["living", "dead"] {
        let mut script = Shell::start(&place, &format!("echo $$ > pid; mv pid {step}.pid; sleep 300"), &[]);
        until("the pid is there", || place.file(&format!("{step}.pid")).exists());
        if step == "dead" {
            script.kill();
        }
        let other = std::fs::File::create(place.file(&format!(".{step}.pid.termination.tmp"))).expect("a lock file");
        other.lock().expect("the other one's lock");
        let began = std::time::Instant::now();
        let ended = place.start(["kill", step, "--grace", "0.3s"]).end_at_all();
        assert!(began.elapsed() >= grace, "{step}: {ended:?}");
        assert_ne!(place.read(&format!("{step}.status")), "", "{step}: {ended:?}");
        place.dogwatch(["clean", step]);
        let left: Vec<_> = place.snapshot().into_iter().filter(|(name, ..)| name.contains("termination")).collect();
        assert!(left.is_empty(), "{step}: {left:?}");
    }
}

/// A script of two hundred processes, half of them without a parent, that is its own wrapper.
const CROWD: &str = "n=0; while [ $n -lt 100 ]; do n=$((n + 1)); sleep 300 & (setsid sleep 300 &); done; \
    echo $$ > s.pid; touch s.heartbeat; wait";

#[test]
fn a_tree_of_two_hundred_is_ended_with_few_descriptors() {
    for crashed in [false, true] {
        let place = Place::new();
        let value = unique();
        let body = format!("{} echo > ready; wait", CROWD.split("echo").next().expect("a part"));
        let mut command = place.command(["run", "s", "--no-breaker", "--", "sh", "-c", &body]);
        command.env("TEST_MARK", &value).current_dir(place.path());
        let running = Running::start(command);
        let mark = format!("TEST_MARK={value}");
        until("the whole tree stands", || place.file("ready").exists() && marked(&mark).len() > 200);
        // A wrapper that does not answer, or has gone, has its tree ended from here.
        kill(if crashed { "KILL" } else { "STOP" }, running.pid());
        let ended = script(&place, "ulimit -n 64; exec \"$DOGWATCH\" kill s --grace 2s --json");
        assert_eq!(ended.code, 0, "{crashed}: {ended:?}");
        assert!(marked(&mark).is_empty(), "{crashed}: {ended:?}");
        running.end_at_all();
    }
}

#[test]
fn without_procfs_a_run_still_ends_all_of_its_own() {
    let place = Place::new();
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may unshare no mounts");
        return;
    }
    let inner = r#"
        umount -l /proc
        "$DOGWATCH" run t --max-timeout 0.5 --grace 0.3 -- sh -c 'echo $$ > a; (setsid sleep 300 & echo $! > b); exec sleep 300'
        echo $?
        "$DOGWATCH" run u -- sh -c 'trap "" TERM; sleep 300 & echo $! > c; setsid sleep 300 & echo $! > d'
        echo $?
        sleep 300 > /dev/null 2>&1 & echo $! > older
        exec "$DOGWATCH" run v -- sh -c 'sleep 300 & echo $! > e'
    "#;
    let ended = script(&place, &format!("exec unshare --mount bash -c '{}'", inner.replace('\'', "'\\''")));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "124\n0\n"), "{ended:?}");
    for name in ["a", "b", "c", "d", "e"] {
        assert!(!lives(number(&place, name)), "{name}: {ended:?}");
    }
    let older = number(&place, "older");
    assert!(lives(older), "{ended:?}");
    kill("KILL", older);
}

/// A filter (seccomp(2), as classic BPF) that refuses one system call with EPERM.
fn filter_refusing(call: u32) -> Vec<u8> {
    const EPERM: u32 = 1;
    let instruction = |code: u16, yes: u8, no: u8, value: u32| {
        let mut bytes = code.to_ne_bytes().to_vec();
        bytes.extend([yes, no]);
        bytes.extend(value.to_ne_bytes());
        bytes
    };
    [
        instruction(0x20, 0, 0, 0),                   // load the call's number
        instruction(0x15, 0, 1, call),                // is it this one?
        instruction(0x06, 0, 0, 0x0005_0000 | EPERM), // SECCOMP_RET_ERRNO
        instruction(0x06, 0, 0, 0x7fff_0000),         // SECCOMP_RET_ALLOW
    ]
    .concat()
}

#[test]
fn a_filter_that_refuses_the_calls_on_pidfds_keeps_no_tree_alive() {
    let bwrap = "bwrap --bind / / --dev-bind /dev /dev --proc /proc --seccomp 9";
    if !script(&Place::new(), "bwrap --bind / / --dev-bind /dev /dev --proc /proc true").stderr.is_empty() {
        eprintln!("skipped: no bwrap, which installs the filter");
        return;
    }
    // pidfd_send_signal(2), pidfd_open(2)
    for call in [424, 434] {
        let place = Place::new();
        std::fs::write(place.file("filter"), filter_refusing(call)).expect("written");
        let shell = Shell::start(&place, CROWD, &[]);
        until("the step has started", || place.file("s.heartbeat").exists());
        let marks = || marked(&shell.mark).len();
        assert!(marks() > 100);
        let ended = script(&place, &format!("exec {bwrap} \"$DOGWATCH\" kill s --grace 2s --json 9< filter"));
        assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{call}: {ended:?}");
        assert!(!lives(shell.pid()), "{call}: {ended:?}");
    }
}

#[test]
fn an_interrupted_kill_leaves_nothing_stopped() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let shell = Shell::start(
            &place,
            "trap '' TERM; n=0; while [ $n -lt 60 ]; do n=$((n + 1)); (trap '' TERM; exec sleep 300) & done; \
             echo $$ > s.pid; touch s.heartbeat; while :; do wait; done",
            &[],
        );
        until("the step has started", || place.file("s.heartbeat").exists());
        let mut killing = place.start_undisturbed(["kill", "s", "--grace", "1s"]);
        until("the tree is stopped, or ended", || state(shell.pid()) == Some('T') || killing.has_ended());
        if !killing.has_ended() {
            kill(signal, killing.pid());
        }
        let ended = killing.end_at_all();
        assert!(matches!(ended.code, 0 | 130 | 143), "{ended:?}");
        assert!(marked(&shell.mark).is_empty(), "it is finished once it has begun: {ended:?}");
    }
}

fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
}

#[test]
fn a_library_run_reaps_no_other_child_and_a_refused_terminator_leaves_no_intent() {
    // The waiter's own ancestor is named: it is refused before anything is announced.
    let place = Place::new();
    let text =
        "echo $$ > s.pid; touch s.heartbeat; \"$DOGWATCH\" wait s --stale 0.5 --json; cat s.meta 2> /dev/null; exit 0";
    let ended = script(&place, text);
    assert!(ended.stdout.contains("\"outcome\":\"hung\"") && !ended.stdout.contains("\"intent\""), "{ended:?}");

    let other = Command::new("true").spawn().expect("it starts");
    let step: dogwatch::StepName = dogwatch::StepName::parse("own").expect("a name");
    let command = ["sh", "-c", "sleep 0.05; exit 3"];
    let bystander = Bystander::sleeping();
    let ran = dogwatch::RunOptions::new(place.path(), step, command).run().expect("it runs");
    assert_eq!(ran.exit_code, 3);
    let mut other = other;
    assert!(other.wait().expect("nobody else has waited for it").success());
    assert!(lives(bystander.pid()));
}

/// Rounds of each ending below an init that reaps nothing: no process of this program's own is left there as a zombie.
#[test]
fn under_an_init_that_reaps_nothing_no_call_leaves_a_zombie() {
    let Some(namespace) = crate::support::own_namespace() else { return };
    let place = Place::new();
    let rounds = std::env::var("DOGWATCH_TEST_ROUNDS").unwrap_or_else(|_| "3".to_owned());
    // The init is bash stopped in a read: it waits for no child of others.
    let inner = format!(
        r#"
        trap '' CHLD 2> /dev/null
        call() {{ "$DOGWATCH" "$@" > /dev/null 2>&1; }}
        for n in $(seq {rounds}); do
            call run a --no-breaker -- true
            call run b --no-breaker -- sh -c 'sleep 300 &'
            call run -d c --no-breaker -- sleep 300
            call wait c --for 0.1
            call kill c --grace 1s
            call run -d d --no-breaker -- sleep 300
            kill -9 $(cat d.pid)
            call recover d
        done
        ps -eo stat=,comm= | grep '^Z' | sort | uniq -c
        "#
    );
    std::fs::write(place.file("inner.sh"), inner).expect("written");
    let init = "import os,sys\npid=os.fork()\nif pid==0: os.execvp('bash',['bash','inner.sh'])\nos.waitpid(pid,0)";
    let mut command = Command::new(namespace[0]);
    command.args(&namespace[1..]).args(["python3", "-c", init]).current_dir(place.path());
    command.env("DOGWATCH", crate::support::binary()).env("DOGWATCH_DIR", place.path());
    // A hundred rounds take longer than any test is waited for.
    let ended = Ended::of(&command.stdin(std::process::Stdio::null()).output().expect("it runs"));
    let rounds: usize = rounds.parse().expect("a number");
    // Wrappers that ran detached have no parent there but that init; each is one zombie, and so is COMMAND of a killed one.
    let zombies: usize = ended
        .stdout
        .lines()
        .filter(|line| line.contains("dogwatch"))
        .map(|line| line.split_whitespace().next().and_then(|count| count.parse::<usize>().ok()).unwrap_or(0))
        .sum();
    assert_eq!(zombies, 2 * rounds, "{ended:?}");
}

#[test]
fn a_wrapper_that_answers_no_request_has_its_tree_ended_from_outside() {
    let place = Place::new();
    // A shell that the record calls the run's wrapper: it reads no request.
    let text = "sleep 300 & echo $! > inner; wait";
    let wrapper = Shell::start(&place, text, &[]);
    let inner = number(&place, "inner");
    let lock = std::fs::File::create(place.file("held")).expect("a lock file");
    lock.lock().expect("the wrapper's lock");
    place.forge(wrapper.pid(), Duration::ZERO, |meta| {
        meta["pid_started_at"] = json!(started(wrapper.pid()));
        (meta["child_pid"], meta["child_started_at"]) = (json!(inner), json!(started(inner)));
        (meta["locked"], meta["lock_file"]) = (json!(true), Value::Null);
    });
    std::fs::rename(place.file("held"), place.file("s.lock")).expect("renamed");
    let ended = place.start(["kill", "s", "--grace", "0.1s"]).end_at_all();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!lives(wrapper.pid()) && !lives(inner), "{ended:?}");
}
