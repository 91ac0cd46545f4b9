//! Trees of two hundred processes that do all that makes killing hard, ended in every way there is.
//!
//! Refuses to trust a report: what belongs to the run is looked for by a variable of its environment, and bystanders of
//! the same user, in the same session and with the same names, must live on.
//!
//! More rounds: `DOGWATCH_TEST_ROUNDS=100 cargo test --test trees`, as root and as another user.
//!
//! On Linux only: half of the tree is setsid(1)'s, and on macOS the wrapper does not adopt the orphans.

#![cfg(target_os = "linux")]

mod support;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use support::{Bystander, Place, kill, lives, marked, unique, until};

/// The grace that every end here gets.
const GRACE: Duration = Duration::from_secs(1);
/// How much longer than the grace an end may take on a loaded machine. How long it really takes is printed
/// (`--nocapture`).
const MORE: Duration = Duration::from_secs(8);
/// One tree at a time: what is timed here is to be held up by nobody else.
static TURN: Mutex<()> = Mutex::new(());
/// How many processes the tree has, at the least.
const SIZE: usize = 200;

/// COMMAND: forty of each kind. Sleepers in the group; some that ignore TERM; some in sessions of their own; some whose
/// parents have gone (double-forked); some stopped; and one chain that forks for ever: each link starts the next in a
/// session of its own and ends.
const TREE: &str = r"
    n=0
    while [ $n -lt 40 ]; do
        n=$((n + 1))
        sleep 300 &
        (trap '' TERM; exec sleep 300) &
        setsid sleep 300 &
        (setsid sh -c 'sleep 300 & exit' &)
        sh -c 'kill -STOP $$; sleep 300' &
    done
    cat > link <<'LINK'
trap '' TERM
sleep 0.001
setsid sh link &
LINK
    setsid sh link &
    echo ready > ready
    wait
";

/// A run of the tree in a place of its own; the variable by which its processes are found.
fn start(place: &Place, flags: &[&str]) -> (support::Running, String) {
    let value = unique();
    let mut command = place.command(["run", "s", "--grace", "1s"].iter().chain(flags).chain(&["--", "sh", "-c", TREE]));
    command.env("TEST_MARK", &value).current_dir(place.path());
    let running = support::Running::start(command);
    let mark = format!("TEST_MARK={value}");
    until("the whole tree stands", || place.file("ready").exists() && marked(&mark).len() > SIZE);
    (running, mark)
}

/// How many rounds of each ending: one, or as many as the environment says.
fn rounds() -> usize {
    std::env::var("DOGWATCH_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

#[track_caller]
fn is_gone(mark: &str, bystanders: &[Bystander]) {
    let left = marked(mark);
    assert!(left.is_empty(), "{} are left: {left:?}", left.len());
    assert!(bystanders.iter().all(|bystander| lives(bystander.pid())), "a bystander was touched");
}

fn bystanders() -> Vec<Bystander> {
    (0..10).map(|_| Bystander::sleeping()).collect()
}

#[track_caller]
fn in_time(began: Instant, after: Duration) {
    let took = began.elapsed();
    eprintln!("the tree was ended {:?} after the grace", took.saturating_sub(after + GRACE));
    assert!(took < after + GRACE + MORE, "{took:?}");
}

#[test]
fn a_run_over_its_own_time_leaves_nothing_of_two_hundred_processes() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        let (running, mark) = start(&place, &["--max-timeout", "12s"]);
        let meta = place.meta("s");
        assert_eq!(meta["max_timeout_ms"], 12_000);
        let limit = Duration::from_secs(12);
        let began = Instant::now();
        let ended = running.end_at_all();
        in_time(began, limit);
        assert_eq!(ended.code, 124, "{ended:?}");
        is_gone(&mark, &others);
    }
}

#[test]
fn a_waiter_that_ends_an_overdue_run_leaves_nothing_of_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        let (running, mark) = start(&place, &[]);
        let began = Instant::now();
        let ended = place.dogwatch(["wait", "s", "--max-timeout", "10ms", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        ended.said(124, "timeout", true);
        is_gone(&mark, &others);
        // The wrapper itself was asked to end last; where the chain outlived the grace it was killed with it.
        let ended = running.end_at_all();
        assert!(matches!(ended.code, 124 | 137), "{ended:?}");
    }
}

#[test]
fn a_run_without_a_sign_of_life_leaves_nothing_when_it_is_found_hung() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        // It beats by hand, and has never done so.
        let (running, mark) = start(&place, &["--heartbeat-on", "manual", "--heartbeat-interval", "0.1"]);
        let began = Instant::now();
        let ended = place.dogwatch(["wait", "s", "--stale", "0.5", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        ended.said(3, "hung", true);
        is_gone(&mark, &others);
        let ended = running.end_at_all();
        assert!(matches!(ended.code, 3 | 137), "{ended:?}");
    }
}

#[test]
fn a_kill_on_request_leaves_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        let (running, mark) = start(&place, &[]);
        let began = Instant::now();
        let ended = place.dogwatch(["kill", "s", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{ended:?}");
        is_gone(&mark, &others);
        assert!(running.end_at_all().code > 128);
    }
}

#[test]
fn a_killed_wrapper_leaves_nothing_that_the_next_waiter_does_not_end() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        let (running, mark) = start(&place, &[]);
        kill("KILL", running.pid());
        let began = Instant::now();
        let ended = place.dogwatch(["wait", "s", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{ended:?}");
        is_gone(&mark, &others);
    }
}

#[test]
fn what_a_finished_command_leaves_behind_goes_before_its_status_is_out() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..rounds() {
        let (place, others) = (Place::new(), bystanders());
        let value = unique();
        let script = TREE.replace("wait\n", "exit 3\n");
        let mut command = place.command(["run", "s", "--grace", "1s", "--", "sh", "-c", &script]);
        command.env("TEST_MARK", &value).current_dir(place.path());
        let ended = support::Running::start(command).end_at_all();
        assert_eq!(ended.code, 3, "{ended:?}");
        is_gone(&format!("TEST_MARK={value}"), &others);
    }
}
