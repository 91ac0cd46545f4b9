//! Wrappers that are killed at any moment, steps that hang or run for too long, and who may be killed for it.
//!
//! Refuses to trust an answer alone: what must be gone is looked for by a variable of its environment, what must live is
//! looked at. Nothing here signals a process that the test did not start; what a faulty program could signal by pid 1
//! is put into a PID namespace of its own first.

mod support;

use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{
    Dice, Ended, Place, Running, Shell, any_moment_within, in_parallel, lives, marked, own_namespace, unique, until,
};

const SECOND: Duration = Duration::from_secs(1);

/// COMMAND: a shell with a child that has a child in a session of its own. It works for $1 and leaves both running.
const COMMAND: &str = r#"sh -c 'setsid sleep 60 & sleep 60' & sleep "$1""#;

/// A wrapper of step s that beats once and then hangs, with a tree of five processes.
const HUNG: &str = "echo $$ > s.pid; touch s.heartbeat; sh -c 'setsid sleep 300 & sleep 300' & sleep 300";
const HUNG_TREE: usize = 5;

fn waiting(place: &Place, more: &[&str]) -> Running {
    place.start(["wait", "s", "--json"].iter().chain(more))
}

fn wait(place: &Place, more: &[&str]) -> (Ended, Value) {
    let ended = waiting(place, more).end_at_all();
    let answer = ended.json();
    (ended, answer)
}

fn tree(place: &Place, script: &str, size: usize) -> Shell {
    let shell = Shell::start(place, script, &[]);
    until("the whole tree lives", || marked(&shell.mark).len() == size && place.file("s.heartbeat").exists());
    shell
}

#[track_caller]
fn said(ended: &Ended, code: i32, outcome: &str, killed: bool) {
    let answer = ended.json();
    let all = (ended.code, answer["outcome"].as_str(), answer["killed"].as_bool());
    assert_eq!(all, (code, Some(outcome), Some(killed)), "{ended:?}");
}

#[track_caller]
fn is_gone(mark: &str, ended: &Ended) {
    let left = marked(mark);
    assert!(left.is_empty(), "{left:?} are left; {ended:?}");
}

#[test]
fn a_wrapper_killed_at_any_of_two_hundred_moments_is_told_of_within_a_second_and_leaves_no_process() {
    let met: [AtomicUsize; 3] = Default::default();
    in_parallel(200, 4, |number| {
        met[kill_a_wrapper(number)].fetch_add(1, Ordering::Relaxed);
    });
    assert!(met.iter().all(|count| count.load(Ordering::Relaxed) > 0), "[unstarted, died, finished]: {met:?}");
}

/// One wrapper, killed at a moment of its own; 0 where that was before its pid stood, 1 while it worked, 2 after its end.
fn kill_a_wrapper(number: usize) -> usize {
    let (place, mut dice) = (Place::new(), Dice::new(number as u64 + 1));
    let mark = format!("TEST_MARK={}", unique());
    let work = format!("0.{:03}", dice.below(60));
    // Half of the waits are there already; the other half comes after the kill.
    let early = number.is_multiple_of(2).then(|| waiting(&place, &[]));
    let mut run = place.command(["run", "s", "--", "sh", "-c", COMMAND, "sh", &work]);
    run.env("TEST_MARK", mark.trim_start_matches("TEST_MARK=")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut wrapper = run.spawn().expect("dogwatch starts");
    any_moment_within(&mut dice, if number % 4 < 2 { 30 } else { 160 });
    let killed = Instant::now();
    wrapper.kill().expect("a kill");
    wrapper.wait().expect("a reaped wrapper");
    if !place.file("s.pid").exists() {
        // Nothing of COMMAND ran yet. What stands of the start files is in nobody's way.
        until("nothing is left of the start", || marked(&mark).is_empty());
        let late = early.unwrap_or_else(|| waiting(&place, &[]));
        let again = place.dogwatch(["run", "s", "--", "true"]);
        assert_eq!(again.code, 0, "{again:?}");
        let ended = late.end_at_all();
        assert!(matches!(ended.json()["outcome"].as_str(), Some("success" | "died")), "{number}: {ended:?}");
        return 0;
    }
    let finished = std::fs::read_to_string(place.file("s.status")).is_ok_and(|word| word == "SUCCESS\n");
    let ended = early.unwrap_or_else(|| waiting(&place, &[])).end_at_all();
    let took = killed.elapsed();
    is_gone(&mark, &ended);
    assert!(took < SECOND, "{number}: {took:?}; {ended:?}");
    // Recorded as a success and not published any more is the truth as well.
    let succeeded = finished || place.meta("s")["reason"] == "success";
    let expected = if succeeded { (0, json!("success")) } else { (4, json!("died")) };
    assert_eq!((ended.code, ended.json()["outcome"].clone()), expected, "{number}: {ended:?}");
    let (second, answer) = wait(&place, &[]);
    assert_eq!((second.code, answer["outcome"].clone()), expected, "{number}, the second time: {second:?}");
    1 + usize::from(succeeded)
}

#[test]
fn a_hung_tree_is_gone_before_wait_returns_and_every_later_waiter_hears_the_same() {
    let place = Place::new();
    let shell = tree(&place, HUNG, HUNG_TREE);
    let (ended, answer) = wait(&place, &["--stale", "2s"]);
    is_gone(&shell.mark, &ended);
    said(&ended, 3, "hung", true);
    assert!(answer["heartbeat_age_ms"].as_u64() >= Some(2000), "{ended:?}");
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
    said(&wait(&place, &[]).0, 3, "hung", false);
}

#[test]
fn a_step_over_its_time_is_gone_before_wait_returns_although_it_beats() {
    let place = Place::new();
    let script = "echo $$ > s.pid; setsid sleep 300 & while :; do touch s.heartbeat; sleep 0.1; done";
    let began = Instant::now();
    let shell = Shell::start(&place, script, &[]);
    let (ended, _) = wait(&place, &["--max-timeout", "1s", "--stale", "30s"]);
    is_gone(&shell.mark, &ended);
    assert!(began.elapsed() >= SECOND);
    said(&ended, 124, "timeout", true);
    assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("timeout")));
    said(&wait(&place, &[]).0, 124, "timeout", false);
}

#[test]
fn a_child_that_ignores_term_is_killed_after_the_grace() {
    let place = Place::new();
    let script = "echo $$ > s.pid; touch s.heartbeat; (trap '' TERM; touch deaf; while :; do sleep 1; done) & wait";
    let began = Instant::now();
    let shell = Shell::start(&place, script, &[]);
    until("the child is deaf", || place.file("deaf").exists());
    let (ended, _) = wait(&place, &["--stale", "1s", "--grace", "500ms"]);
    is_gone(&shell.mark, &ended);
    assert!(began.elapsed() >= Duration::from_millis(1500), "no grace: {:?}", began.elapsed());
    said(&ended, 3, "hung", true);
}

#[test]
fn with_no_kill_a_hung_step_is_reported_and_neither_ended_nor_recorded() {
    let place = Place::new();
    let shell = tree(&place, HUNG, HUNG_TREE);
    let before = place.snapshot();
    said(&wait(&place, &["--stale", "1s", "--no-kill"]).0, 3, "hung", false);
    assert_eq!(marked(&shell.mark).len(), HUNG_TREE);
    assert_eq!(place.snapshot(), before);
    // Nothing stands in the way of one that may kill.
    let (ended, _) = wait(&place, &["--stale", "1s"]);
    is_gone(&shell.mark, &ended);
    said(&ended, 3, "hung", true);
}

#[test]
fn an_interrupted_wait_leaves_the_work_alone_and_the_next_one_goes_on() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let place = Place::new();
        let script =
            "echo $$ > s.pid; touch s.heartbeat; while [ ! -e go ]; do sleep 0.05; done; echo SUCCESS > s.status";
        let shell = Shell::start(&place, script, &[]);
        until("the step has started", || place.file("s.heartbeat").exists());
        let interrupted = place.start_undisturbed(["wait", "s"]);
        until("the signal is caught", || catches(interrupted.pid(), signal));
        send(Pid::from_raw(interrupted.pid()), signal).expect("a signal");
        let ended = interrupted.end_at_all();
        assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
        assert!(ended.stderr.contains("dogwatch wait s"), "{ended:?}");
        assert!(lives(shell.pid()) && !place.file("s.status").exists());
        let next = waiting(&place, &[]);
        place.write("go", "");
        said(&next.end_at_all(), 0, "success", false);
    }
}

fn catches(pid: i32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}

#[test]
fn waiters_that_find_a_hung_step_at_once_agree() {
    for place in [Place::new(), Place::new(), Place::new()] {
        let shell = tree(&place, HUNG, HUNG_TREE);
        let waiters: Vec<Running> = (0..4).map(|_| waiting(&place, &["--stale", "1s"])).collect();
        let mut killers = 0;
        for waiter in waiters {
            let ended = waiter.end_at_all();
            assert_eq!((ended.code, &ended.json()["outcome"]), (3, &json!("hung")), "{ended:?}");
            killers += usize::from(ended.json()["killed"] == true);
        }
        assert!(killers >= 1 && marked(&shell.mark).is_empty(), "{killers}");
        assert_eq!((place.read("s.status").as_str(), &place.meta("s")["reason"]), ("FAILED\n", &json!("hung")));
    }
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
    said(&wait(&place, &[]).0, 4, "died", false);
    assert!(lives(foreign.pid()));
    assert_eq!(place.meta("s")["reason"], "died");
}

/// A step whose `.pid`, of this age, and `.meta` speak of this process, as far as `change` lets them; it holds no lock.
fn forge(place: &Place, pid: i32, age: Duration, change: impl FnOnce(&mut Value)) {
    assert_eq!(place.dogwatch(["run", "s", "--no-breaker", "--", "true"]).code, 0);
    for record in ["s.status", "s.result", "s.lock"] {
        std::fs::remove_file(place.file(record)).expect("removed");
    }
    place.write("s.pid", &format!("{pid}\n"));
    place.age("s.pid", age);
    let stamp = place.file("s.pid").metadata().expect("metadata");
    let mut meta = place.meta("s");
    for over in ["reason", "ended_at", "exit_code", "detail", "intent"] {
        meta[over] = Value::Null;
    }
    meta["pid"] = json!(pid);
    meta["pid_mtime_ns"] = json!(stamp.mtime() * 1_000_000_000 + stamp.mtime_nsec());
    meta["locked"] = json!(false);
    change(&mut meta);
    place.write("s.meta", &meta.to_string());
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
        forge(&place, foreign.pid(), age, |meta| {
            // By the smallest step there is: this is compared exactly.
            meta["pid_started_at"] = json!(started(foreign.pid()) - 1);
            if group {
                meta["child_pid"] = json!(foreign.pid());
                meta["process_group"] = json!(foreign.pid());
            }
        });
        said(&wait(&place, &[]).0, 4, "died", false);
        assert!(lives(foreign.pid()), "{age:?}");
    }
}

#[test]
fn work_of_another_host_boot_or_namespace_is_never_signalled() {
    for key in ["host", "boot_id", "pid_namespace"] {
        let place = Place::new();
        let foreign = Bystander::sleeping();
        forge(&place, foreign.pid(), Duration::ZERO, |meta| {
            meta[key] = if meta[key].is_number() { json!(1) } else { json!("elsewhere") };
            meta["pid_started_at"] = Value::Null;
        });
        let (ended, answer) = wait(&place, &["--stale", "21s", "--max-timeout", "0.5"]);
        said(&ended, 124, "timeout", false);
        assert!(answer["detail"].is_string() && lives(foreign.pid()), "{key}: {ended:?}");
    }
}

/// Waits for a step with this pid and a heartbeat that goes stale, which must not be ended.
#[track_caller]
fn is_refused(place: &Place, pid: i32) {
    place.write("s.pid", &format!("{pid}\n"));
    place.write("s.heartbeat", "");
    let (ended, answer) = wait(place, &["--stale", "0.5", "--grace", "0.2"]);
    said(&ended, 3, "hung", false);
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
    said(&ended, 3, "hung", false);
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
