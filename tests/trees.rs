//! Trees of two hundred processes that do all that makes killing hard, ended in every way there is.
//!
//! No report is trusted: what belongs to the run is looked for by a variable of its environment. Bystanders of the same
//! user, in the same session and with the same names, must live on, and so must, in every second round, two older siblings:
//! children that the shell had before it became the wrapper by exec.
//!
//! More rounds: `DOGWATCH_TEST_ROUNDS=100 cargo test --test program -- trees::`, as root and as another user.
//!
//! On Linux only: half of the tree is setsid(1)'s, and on macOS the wrapper does not adopt the orphans.

#![cfg(target_os = "linux")]

use crate::support::{Bystander, Place, Running, kill, lives, marked, unique, until};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// What a shell does that has background jobs of its own and becomes the wrapper, as `bash -c 'job & dogwatch run …'` does.
const AFTER_JOBS: &str = r#"sleep 300 > /dev/null 2>&1 & echo $! > older
(trap '' TERM; exec sleep 300) > /dev/null 2>&1 & echo $! >> older
exec "$@""#;

/// One tree of a round, and those that must outlive it.
struct Tree {
    place: Place,
    mark: String,
    bystanders: Vec<Bystander>,
    has_older_siblings: bool,
}

impl Tree {
    /// Older siblings are there in every second round, the first included.
    fn new(round: usize) -> Self {
        Self {
            place: Place::new(),
            mark: unique(),
            bystanders: (0..10).map(|_| Bystander::sleeping()).collect(),
            has_older_siblings: round.is_multiple_of(2),
        }
    }

    /// Starts a run of this script.
    fn run(&self, flags: &[&str], script: &str) -> Running {
        let shell: &[&str] = if self.has_older_siblings { &["bash", "-c", AFTER_JOBS, "bash"] } else { &["env"] };
        let arguments = [&["run", "s", "--grace", "1s"], flags, &["--", "sh", "-c", script]].concat();
        let mut command = self.place.through(shell, arguments);
        command.env("TEST_MARK", &self.mark);
        Running::start(command)
    }

    /// Starts a run of the tree and waits until all of it is there.
    fn start(&self, flags: &[&str]) -> Running {
        let running = self.run(flags, TREE);
        until("the whole tree stands", || self.place.file("ready").exists() && self.members().len() > SIZE);
        running
    }

    fn older_siblings(&self) -> Vec<i32> {
        let pids = if self.has_older_siblings { self.place.read("older") } else { String::new() };
        pids.lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// Every process of the run, and the wrapper.
    fn members(&self) -> Vec<i32> {
        let older = self.older_siblings();
        marked(&format!("TEST_MARK={}", self.mark)).into_iter().filter(|pid| !older.contains(pid)).collect()
    }

    #[track_caller]
    fn is_gone(&self) {
        let left = self.members();
        assert!(left.is_empty(), "{} are left: {left:?}", left.len());
        assert!(self.bystanders.iter().all(|bystander| lives(bystander.pid())), "a bystander was touched");
        let older = self.older_siblings();
        assert_eq!(older.len(), if self.has_older_siblings { 2 } else { 0 });
        assert!(older.iter().all(|&pid| lives(pid)), "an older sibling was touched: {older:?}");
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for pid in self.older_siblings() {
            kill("KILL", pid);
        }
    }
}

/// How many rounds of each ending: one, or as many as the environment says.
fn rounds() -> usize {
    std::env::var("DOGWATCH_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
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
    for round in 0..rounds() {
        let tree = Tree::new(round);
        let running = tree.start(&["--max-timeout", "12s"]);
        let meta = tree.place.meta("s");
        assert_eq!(meta["max_timeout_ms"], 12_000);
        let limit = Duration::from_secs(12);
        let began = Instant::now();
        let ended = running.end_at_all();
        in_time(began, limit);
        assert_eq!(ended.code, 124, "{ended:?}");
        tree.is_gone();
    }
}

#[test]
fn a_waiter_that_ends_an_overdue_run_leaves_nothing_of_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 0..rounds() {
        let tree = Tree::new(round);
        let running = tree.start(&[]);
        let began = Instant::now();
        let ended = tree.place.dogwatch(["wait", "s", "--max-timeout", "10ms", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        ended.said(124, "timeout", true);
        tree.is_gone();
        // The wrapper itself was asked to end last; where the chain outlived the grace it was killed with it.
        let ended = running.end_at_all();
        assert!(matches!(ended.code, 124 | 137), "{ended:?}");
    }
}

#[test]
fn a_run_without_a_sign_of_life_leaves_nothing_when_it_is_found_hung() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 0..rounds() {
        let tree = Tree::new(round);
        // It beats by hand, and has never done so.
        let running = tree.start(&["--heartbeat-on", "manual", "--heartbeat-interval", "0.1"]);
        let began = Instant::now();
        let ended = tree.place.dogwatch(["wait", "s", "--stale", "0.5", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        ended.said(3, "hung", true);
        tree.is_gone();
        let ended = running.end_at_all();
        assert!(matches!(ended.code, 3 | 137), "{ended:?}");
    }
}

#[test]
fn a_kill_on_request_leaves_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 0..rounds() {
        let tree = Tree::new(round);
        let running = tree.start(&[]);
        let began = Instant::now();
        let ended = tree.place.dogwatch(["kill", "s", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        assert_eq!((ended.code, ended.json()["killed"].as_bool()), (0, Some(true)), "{ended:?}");
        tree.is_gone();
        assert!(running.end_at_all().code > 128);
    }
}

#[test]
fn a_killed_wrapper_leaves_nothing_that_the_next_waiter_does_not_end() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 0..rounds() {
        let tree = Tree::new(round);
        let running = tree.start(&[]);
        kill("KILL", running.pid());
        let began = Instant::now();
        let ended = tree.place.dogwatch(["wait", "s", "--grace", "1s", "--json"]);
        in_time(began, Duration::ZERO);
        assert_eq!((ended.code, ended.json()["outcome"].as_str()), (4, Some("died")), "{ended:?}");
        tree.is_gone();
    }
}

#[test]
fn what_a_finished_command_leaves_behind_goes_before_its_status_is_out() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for round in 0..rounds() {
        let tree = Tree::new(round);
        let ended = tree.run(&[], &TREE.replace("wait\n", "exit 3\n")).end_at_all();
        assert_eq!(ended.code, 3, "{ended:?}");
        tree.is_gone();
    }
}
