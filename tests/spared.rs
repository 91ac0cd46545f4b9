//! Who is never signalled, whatever the files claim: others' processes, ancestors, recycled numbers, work elsewhere.
//!
//! Refuses to trust an answer alone: what must live is looked at. Nothing here signals a process that the test did not
//! start; what a faulty program could signal by pid 1 is put into a PID namespace of its own first.

mod support;

use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Ended, Place, Shell, lives, own_namespace, until};

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

/// A living process of nobody's run, gone with the test.
struct Bystander(Child);

impl Bystander {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("a process starts"))
    }

    fn sleeping() -> Self {
        Self::start(Command::new("sleep").arg("300"))
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
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

/// A process's start in the kernel's own ticks, as proc(5) has it.
fn started(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
    rest.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).expect("a number")
}

#[test]
fn a_recycled_pid_is_known_by_the_start_time_in_meta_and_a_recycled_group_by_its_age() {
    for (age, group) in [(Duration::ZERO, false), (Duration::from_mins(1), true)] {
        let place = Place::new();
        let foreign = Shell::start(&place, "exec sleep 300", &[]);
        place.forge(foreign.pid(), age, |meta| {
            // By the smallest step there is: this is compared exactly.
            meta["pid_started_at"] = json!(started(foreign.pid()) - 1);
            if group {
                meta["child_pid"] = json!(foreign.pid());
                meta["process_group"] = json!(foreign.pid());
            }
        });
        wait(&place, &[]).0.said(4, "died", false);
        assert!(lives(foreign.pid()), "{age:?}");
    }
}

#[test]
fn work_of_another_host_boot_or_namespace_is_never_signalled() {
    for key in ["host", "boot_id", "pid_namespace"] {
        let place = Place::new();
        let foreign = Bystander::sleeping();
        place.forge(foreign.pid(), Duration::ZERO, |meta| {
            meta[key] = if meta[key].is_number() { json!(1) } else { json!("elsewhere") };
            meta["pid_started_at"] = Value::Null;
        });
        let (ended, answer) = wait(&place, &["--stale", "21s", "--max-timeout", "0.5"]);
        ended.said(124, "timeout", false);
        assert!(answer["detail"].is_string() && lives(foreign.pid()), "{key}: {ended:?}");
    }
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
    is_refused(&Place::new(), std::process::id().cast_signed());
}

/// Names itself as the step's wrapper, calls, and notes a signal.
const CALL: &str = r#"
    trap 'touch signalled' TERM
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
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can start a process of another user");
        return;
    }
    let foreign = Bystander::start(Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "sleep", "300"]));
    let owned = || std::fs::metadata(format!("/proc/{}", foreign.pid())).is_ok_and(|process| process.uid() == 65534);
    until("it is another user's", owned);
    is_refused(&Place::new(), foreign.pid());
}
