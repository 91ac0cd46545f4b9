//! Who is never signalled, whatever the files claim: others' processes, ancestors, recycled numbers, work elsewhere.
//!
//! Each test checks that the processes which must live do live. Nothing here signals a process that the test did not
//! start; cases in which a faulty program could signal pid 1 run in a PID namespace of their own.

#[cfg(target_os = "linux")]
use crate::support::started;
use crate::support::{Bystander, Ended, Place, Shell, lives, own_namespace, until};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

fn wait(place: &Place, more: &[&str]) -> (Ended, Value) {
    let ended = place.start(["wait", "s", "--json"].iter().chain(more)).end_at_all();
    let answer = ended.json();
    (ended, answer)
}

#[test]
fn the_callers_own_group_outlives_the_hung_background_job_in_it() {
    let place = Place::new();
    let script = r#"
        sleep 300 & bystander=$!
        sh -c 'echo $$ > s.pid; touch s.heartbeat; sleep 300; :' & job=$!
        "$@"; echo "code $?"
        kill -0 $bystander && echo bystander lives; kill $bystander
        kill -0 $job 2> /dev/null && [ "$(ps -o stat= -p $job | cut -c1)" != Z ] && echo job lives
        exit 0
    "#;
    let mut caller = place.through(&["sh", "-c", script, "sh"], ["wait", "s", "--stale", "1s", "-q"]);
    let ended = Ended::of(&caller.output().expect("a shell"));
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "code 3\nbystander lives\n"), "{ended:?}");
}

#[test]
fn a_process_that_is_younger_than_the_pid_file_is_somebody_elses_and_the_run_is_dead() {
    let place = Place::new();
    let foreign = Bystander::sleeping();
    place.write("s.heartbeat", "");
    place.age("s.heartbeat", Duration::from_hours(1));
    place.write("s.pid", &format!("{}\n", foreign.pid()));
    place.age("s.pid", Duration::from_hours(1));
    wait(&place, &[]).0.said(4, "died", false);
    assert!(lives(foreign.pid()));
    assert_eq!(place.meta("s")["reason"], "died");
}

#[cfg(target_os = "linux")]
#[test]
fn a_recycled_pid_is_known_by_the_start_time_in_meta_and_a_recycled_group_by_its_leaders() {
    for (age, group) in [(Duration::ZERO, false), (Duration::from_mins(1), true)] {
        let place = Place::new();
        let foreign = Shell::start(&place, "exec sleep 300", &[]);
        place.forge(foreign.pid(), age, |meta| {
            // By the smallest step there is: this is compared exactly.
            meta["pid_started_at"] = json!(started(foreign.pid()) - 1);
            if group {
                meta["child_pid"] = json!(foreign.pid());
                meta["process_group"] = json!(foreign.pid());
                meta["child_started_at"] = json!(started(foreign.pid()) - 1);
            }
        });
        wait(&place, &[]).0.said(4, "died", false);
        assert!(lives(foreign.pid()), "{age:?}");
    }
}

#[test]
fn work_of_another_host_boot_or_namespace_is_never_signalled() {
    let keys = ["host", "boot_id", "pid_namespace"];
    // macOS has no namespaces, and records none.
    for key in &keys[..if cfg!(target_os = "linux") { 3 } else { 2 }] {
        let place = Place::new();
        let foreign = Bystander::sleeping();
        place.forge(foreign.pid(), Duration::ZERO, |meta| {
            meta[key] = if meta[key].is_number() { json!(1) } else { json!("elsewhere") };
            // Equal ids of the boot would say that the machine has only changed its name.
            if key == &"host" {
                meta["boot_id"] = Value::Null;
            }
            meta["pid_started_at"] = Value::Null;
        });
        let (ended, answer) = wait(&place, &["--stale", "21s", "--max-timeout", "0.5"]);
        ended.said(124, "timeout", false);
        assert!(answer["detail"].is_string() && lives(foreign.pid()), "{key}: {ended:?}");
    }
}

/// Gives numbers to new processes, each of a session of its own, and says of each whether it lives.
const REUSE: &str = r#"
    reuse() {
        echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid
        setsid sleep 300 &
        [ $! = "$1" ] || echo "$! is not $1"
    }
    lives() { kill -0 "$1" && echo "$1 lives"; }
    # This shell is the first process there: each command that it waits for has it reap the orphans that have ended.
    gone() { while kill -0 "$1" 2> /dev/null; do sleep 0.01; done; }
"#;

/// What a script prints that runs dogwatch in a PID namespace of its own; nothing where there can be none.
fn in_namespace(place: &Place, script: &str) -> Option<Ended> {
    let namespace = own_namespace()?;
    let mut command = Command::new(namespace[0]);
    command.args(&namespace[1..]).args(["sh", "-c", &format!("{REUSE}\n{script}")]);
    command.env("DOGWATCH", crate::support::binary()).env("DOGWATCH_DIR", place.path());
    Some(Ended::of(&command.current_dir(place.path()).output().expect("a shell")))
}

#[test]
fn the_new_owners_of_a_dead_runs_numbers_are_never_signalled() {
    let place = Place::new();
    let script = r#"
        "$DOGWATCH" run -d s -- sleep 300 > /dev/null
        wrapper=$(cat s.pid)
        command=$(sed 's/.*"child_pid":\([0-9]*\).*/\1/' s.meta)
        kill -9 "$wrapper"; gone "$wrapper"; gone "$command"
        reuse "$wrapper"; reuse "$command"
        "$DOGWATCH" wait s --grace 0.2; echo "code $?"
        lives "$wrapper"; lives "$command"
    "#;
    let Some(ended) = in_namespace(&place, script) else { return };
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("s: died")), "{ended:?}");
    assert_eq!(
        (lines.len(), lines[1], lines[2].ends_with(" lives"), lines[3].ends_with(" lives")),
        (4, "code 4", true, true),
        "{ended:?}"
    );
    assert_eq!(place.meta("s")["reason"], "died");
}

#[test]
fn a_waiter_that_slept_through_the_death_and_the_reuse_of_a_number_knows_it_for_another() {
    let place = Place::new();
    let script = r#"
        sleep 300 & work=$!
        echo $work > s.pid; touch s.heartbeat
        "$DOGWATCH" wait s --stale 0.6 --grace 0.2 > answer & waiter=$!
        # It has looked once it has asked for events.
        while ! ls -l /proc/$waiter/fd | grep -q inotify; do sleep 0.01; done
        kill -STOP $waiter
        kill -9 $work; gone $work; reuse $work
        kill -CONT $waiter; wait $waiter; echo "code $?"
        lives $work; cat answer
    "#;
    let Some(ended) = in_namespace(&place, script) else { return };
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[1].ends_with(" lives")), (3, "code 4", true), "{ended:?}");
    assert!(lines[2].starts_with("s: died"), "{ended:?}");
}

/// Waits for a step with this pid and a heartbeat that goes stale, which must not be ended.
#[track_caller]
fn is_refused(place: &Place, pid: i32) {
    place.write("s.pid", &format!("{pid}\n"));
    place.write("s.heartbeat", "");
    let (ended, answer) = wait(place, &["--stale", "0.5", "--grace", "0.2"]);
    ended.said(3, "hung", false);
    let detail = answer["detail"].as_str().unwrap_or_default();
    assert!(detail.contains(&pid.to_string()), "{ended:?}");
    assert!(lives(pid), "{ended:?}");
    // The target lives, so nothing may say that it has ended.
    assert!(!place.file("s.status").exists(), "{ended:?}");
}

#[test]
fn an_ancestor_of_the_waiter_is_never_signalled() {
    let place = Place::new();
    let own = std::process::id().cast_signed();
    is_refused(&place, own);
    // Nor said to be stopped.
    let ended = place.dogwatch(["kill", "s"]);
    let detail = format!(": process {own} is an ancestor of this one and was not signalled\n");
    assert!(ended.code == 125 && ended.stdout.ends_with(&detail), "{ended:?}");
}

/// Names itself as the step's wrapper, calls, and notes a signal.
const CALL: &str = r#"
    trap ': > signalled' TERM
    echo $$ > s.pid; touch s.heartbeat
    "$@"; code=$?
    exit $code
"#;

#[track_caller]
fn is_refused_to(place: &Place, caller: &[&str]) {
    let arguments = ["wait", "s", "--json", "--stale", "0.5", "--grace", "0.2"];
    let ended = Ended::of(&place.through(caller, arguments).output().expect("a caller"));
    ended.said(3, "hung", false);
    let pid = place.read("s.pid");
    assert!(ended.json()["detail"].as_str().is_some_and(|detail| detail.contains(pid.trim())), "{ended:?}");
    assert!(!place.file("signalled").exists() && !place.file("s.status").exists(), "{ended:?}");
}

#[test]
fn the_waiter_itself_and_the_shell_that_called_it_are_never_signalled() {
    is_refused_to(&Place::new(), &["sh", "-c", "echo $$ > s.pid; touch s.heartbeat; exec \"$@\"", "sh"]);
    is_refused_to(&Place::new(), &["sh", "-c", CALL, "sh"]);
}

#[test]
fn init_is_never_signalled() {
    let Some(namespace) = own_namespace() else { return };
    let place = Place::new();
    is_refused_to(&place, &[namespace.as_slice(), &["sh", "-c", CALL, "sh"]].concat());
    assert_eq!(place.read("s.pid"), "1\n");
}

#[test]
fn a_run_inside_a_namespace_is_told_apart_by_its_record_and_its_lock_and_never_signalled_from_outside() {
    let Some(namespace) = own_namespace() else { return };
    let place = Place::new();
    let mut inside = place.through(&namespace, ["run", "s", "--", "sleep", "300"]);
    let inside = crate::support::Running::start({
        inside.env("TEST_MARK", "inside");
        inside
    });
    until("the run has started", || place.file("s.pid").exists());
    assert!(place.pid("s") < 100, "a number of the namespace's own, which somebody else has here");
    // The lock is the kernel's word across namespaces: it lives.
    let (ended, answer) = wait(&place, &["--for", "0.2"]);
    assert_eq!((ended.code, answer["outcome"].as_str()), (75, Some("running")), "{ended:?}");
    let (ended, answer) = wait(&place, &["--max-timeout", "0.3", "--grace", "0.2"]);
    ended.said(124, "timeout", false);
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains("namespace")), "{ended:?}");
    assert!(lives(inside.pid()) && !place.file("s.status").exists(), "{ended:?}");
    // And once it has gone, that is the kernel's word too.
    drop(inside);
    let (ended, _) = wait(&place, &[]);
    ended.said(4, "died", false);
}

#[test]
fn work_that_only_its_own_namespace_shows_is_neither_signalled_nor_recorded() {
    let Some(namespace) = own_namespace() else { return };
    let place = Place::new();
    // A number that nobody has here: a waiter would take it for gone, did it not look into the namespaces.
    let most = std::fs::read_to_string("/proc/sys/kernel/pid_max").expect("the highest pid");
    let number = most.trim().parse::<i32>().expect("a number") - 77;
    assert!(!std::path::Path::new(&format!("/proc/{number}")).exists());
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid; sleep 300 & echo $! > s.pid; touch s.heartbeat; wait",
        number - 1
    );
    let inside = Shell::start(&place, &format!("exec {} sh -c '{script}'", namespace.join(" ")), &[]);
    until("the step has started", || place.file("s.heartbeat").exists());
    assert_eq!(place.pid("s"), number);
    let (ended, answer) = wait(&place, &["--stale", "1s"]);
    ended.said(3, "hung", false);
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(&number.to_string())), "{ended:?}");
    assert!(lives(inside.pid()) && !place.file("s.status").exists(), "{ended:?}");
}

#[test]
fn a_thread_of_the_kernel_is_never_signalled() {
    if std::fs::read_to_string("/proc/2/comm").is_ok_and(|name| name == "kthreadd\n") {
        is_refused(&Place::new(), 2);
    } else {
        eprintln!("skipped: no thread of the kernel is to be seen here");
    }
}

#[test]
fn a_process_of_another_user_is_never_signalled_not_even_by_root() {
    // It takes util-linux's setpriv too, and procfs shows when it has done its work.
    if !nix::unistd::geteuid().is_root() || cfg!(target_os = "macos") {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let foreign = Bystander::start(Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "sleep", "300"]));
    let owned = || std::fs::metadata(format!("/proc/{}", foreign.pid())).is_ok_and(|process| process.uid() == 65534);
    until("it is another user's", owned);
    is_refused(&Place::new(), foreign.pid());
}
