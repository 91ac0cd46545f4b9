//! A wrapper killed between any two of its system calls: no reader sees a torn record, takes the old run's end for the
//! new run's, or hangs; whoever waits hears of a death or the truth; the next run works.
//!
//! The system calls are counted, and the process is killed at each of them in turn.

#![cfg(target_os = "linux")]

use crate::support::servers::has;
use crate::support::{Ended, Place, Running, in_parallel, until};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};

/// The calls by which the wrapper changes what others see, and those that stand between. strace counts each on its own. A
/// kill comes on the way into a call: what a call has done shows at the next.
const CALLS: [&str; 13] = [
    "unlink", "rename", "write", "pwrite64", "ftruncate", "fallocate", "flock", "clone", "utimensat", "wait4",
    "openat", "close", "mkdir",
];
/// More than the wrapper makes of any.
const MOST: usize = 150;

/// The old run ended with this code, the new one succeeds with this result.
const OLD: i32 = 7;
const NEW: i32 = 5;

/// What one record holds, whole; nothing where it is not there. Fails on half of one.
fn whole(place: &Place, moment: &str) {
    let read = |name: &str| std::fs::read_to_string(place.file(name)).ok();
    if let Some(status) = read("s.status") {
        assert!(["SUCCESS\n", "FAILED\n"].contains(&status.as_str()), "{moment}: {status:?}");
    }
    for name in ["s.meta", "s.result", "s.breaker"] {
        if let Some(text) = read(name) {
            let parsed: Result<Value, _> = serde_json::from_str(&text);
            assert!(parsed.is_ok(), "{moment}: {name} holds {text:?}");
        }
    }
    if let Some(pid) = read("s.pid") {
        assert!(pid.trim_end().parse::<i32>().is_ok() && pid.ends_with('\n'), "{moment}: {pid:?}");
    }
}

/// Runs the step with its wrapper killed at a call; whether it came so far.
fn killed_at(place: &Place, call: &str, number: usize) -> bool {
    let script = format!("echo {NEW} > $DOGWATCH_RESULT");
    let inject = format!("inject=?{call}:signal=KILL:when={number}");
    let prefix = ["strace", "-qq", "-o", "/dev/null", "-e", &inject];
    let mut run = Running::start(place.through(&prefix, ["run", "s", "--", "sh", "-c", &script]));
    until("it has ended", || {
        whole(place, &format!("while it runs, {call} {number}"));
        run.has_ended()
    });
    let ended = run.end();
    assert!([0, 137].contains(&ended.code), "{call} {number}: {ended:?}");
    ended.code == 137
}

/// Whether an answer is the truth: of the old run, of the new one, or that the new one died.
fn is_true(answer: &Ended, old: &Value) -> bool {
    let report = answer.json();
    // Between its pid's going and the new one's coming the old run is known by its record alone.
    let of_old = report["run_id"] == old["run_id"] && (report["pid"].is_null() || report["pid"] == old["pid"]);
    match report["outcome"].as_str() {
        Some("failed") => of_old && report["exit_code"] == OLD && answer.code == 1,
        Some("success") => !of_old && report["result"] == NEW && answer.code == 0,
        Some("died") => !of_old && answer.code == 4,
        _ => false,
    }
}

fn one_moment(call: &str, number: usize) -> bool {
    let place = Place::new();
    let first = place.dogwatch(["run", "s", "--", "sh", "-c", &format!("exit {OLD}")]);
    assert_eq!(first.code, OLD, "{first:?}");
    let old = place.meta("s");
    // It passes over the old outcome: what it hears of is the new run, if anything.
    let new_only = place.start(["wait", "s", "--new", "--json", "--for", "600ms"]);
    let came_so_far = killed_at(&place, call, number);
    let moment = format!("{call} {number}");
    whole(&place, &moment);
    let answer = place.start(["wait", "s", "--json"]).end_at_all();
    assert!(is_true(&answer, &old), "{moment}: {answer:?}");
    assert_eq!(
        place.start(["wait", "s", "--json"]).end_at_all().json()["outcome"],
        answer.json()["outcome"],
        "{moment}"
    );
    let heard = new_only.end_at_all();
    let of_new = heard.code != 1 && is_true(&heard, &old);
    assert!([5, 75].contains(&heard.code) || of_new, "{moment}: {heard:?}");
    whole(&place, &moment);
    let next = place.dogwatch(["run", "s", "--max-consecutive", "0", "--", "true"]);
    assert_eq!(next.code, 0, "{moment}: {next:?}");
    assert_eq!(place.wait_json("s", &[])["outcome"], json!("success"), "{moment}");
    let left = place.snapshot().into_iter().map(|(name, ..)| name).filter(|name| name.contains(".tmp"));
    let left: Vec<String> = left.filter(|name| !name.contains(".breaker.")).collect();
    assert!(left.is_empty(), "{moment}: {left:?}");
    came_so_far
}

#[test]
fn a_wrapper_killed_at_any_of_its_calls_leaves_nothing_torn_and_nobody_waiting() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let over: Vec<AtomicBool> = CALLS.iter().map(|_| AtomicBool::new(false)).collect();
    let moments: Vec<(usize, usize)> =
        (1..=MOST).flat_map(|number| (0..CALLS.len()).map(move |call| (call, number))).collect();
    in_parallel(moments.len(), 6, |index| {
        let (call, number) = moments[index];
        if over[call].load(Ordering::Acquire) {
            return;
        }
        if !one_moment(CALLS[call], number) {
            over[call].store(true, Ordering::Release);
        }
    });
    let endless: Vec<&str> =
        CALLS.iter().zip(&over).filter(|(_, over)| !over.load(Ordering::Acquire)).map(|(call, _)| *call).collect();
    assert!(endless.is_empty(), "made more than {MOST} times: {endless:?}");
}
