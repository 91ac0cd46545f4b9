//! What every test of the real binary stands on: a directory of its own, a clean environment, bounded waits for facts.
//!
//! There is no fixed sleep: a test waits for a fact, and if the fact does not come it fails with everything it knows.

#![allow(dead_code, unreachable_pub, unused_imports, reason = "each program of tests uses its own part")]

mod forged;
#[cfg_attr(not(target_os = "macos"), path = "linux.rs")]
#[cfg_attr(target_os = "macos", path = "macos.rs")]
mod machine;
mod place;
mod processes;
pub mod project;
pub mod screen;
pub mod servers;
pub mod thief;

pub use machine::{APART, DEADLY, lives, marked, open_files, shows_marks};
#[cfg(target_os = "linux")]
pub use machine::{catches, started};
pub use place::{Place, event_backend};
pub use processes::{Bystander, Shell, end_marked, kill, own_namespace};
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest any fact is waited for. Generous: a slow machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test: cargo's, or a copy that every user can reach.
pub fn binary() -> PathBuf {
    std::env::var_os("DOGWATCH_TEST_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_dogwatch").into(), PathBuf::from)
}

/// A dogwatch that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().or(output.status.signal().map(|signal| 128 + signal));
        Self {
            code: code.expect("a code or a signal"),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts its exit code and what its one JSON object says.
    #[track_caller]
    pub fn said(&self, code: i32, outcome: &str, killed: bool) {
        let answer = self.json();
        let all = (self.code, answer["outcome"].as_str(), answer["killed"].as_bool());
        assert_eq!(all, (code, Some(outcome), Some(killed)), "{self:?}");
    }

    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "one line: {self:?}");
        lines.into_iter().next().expect("one line")
    }

    /// Every JSON object on standard output.
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// One sentence on standard error that holds these words, this code, and nothing on standard output.
#[track_caller]
pub fn is_refused(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{ended:?}");
    let sentence = ended.stderr.strip_suffix('\n').unwrap_or_default();
    // A path of a test's own and a name of a hundred characters have room in it; a page of help has not.
    let is_one = (11..600).contains(&sentence.len()) && !sentence.contains('\n');
    assert!(is_one, "one sentence is due: {ended:?}");
    for word in words {
        assert!(sentence.contains(word), "{word:?} is not said: {ended:?}");
    }
}

/// A dogwatch that runs.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
}

impl Running {
    /// Starts a command with its output kept.
    pub fn start(mut command: Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self { child: Some(child.expect("it starts")) }
    }

    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("runs").id().cast_signed()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let child = self.child.take().expect("runs");
        Ended::of(&child.wait_with_output().expect("its output"))
    }

    /// Waits for its end, and fails where it does not come: for what must not hang. Its output fits into a pipe.
    pub fn end_at_all(mut self) -> Ended {
        until("dogwatch ends", || self.has_ended());
        self.end()
    }

    /// Whether it has ended already.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().expect("runs").try_wait().expect("its status").is_some()
    }
}

impl Running {
    /// What it has open, one entry a descriptor.
    pub fn open_files(&self) -> Vec<String> {
        machine::open_files(self.pid())
    }

    /// Whether a waiter has looked once and asked for events.
    pub fn has_events(&self) -> bool {
        self.open_files().iter().any(|what| what.contains(machine::EVENTS))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ended = child.kill();
            let _ended = child.wait();
        }
    }
}

/// Waits for a fact; fails with its name where it does not come.
pub fn until(fact: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "it never came: {fact}");
        // A fact of any kind tells nobody when it comes, so it is asked for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Numbers that look random and are the same in every run with the same seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit.max(1)
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).expect("an index")].clone()
    }
}

/// A folder that is gone with the test, by the path that a shell in it tells: on macOS the system's own leads over a link.
pub fn folder() -> tempfile::TempDir {
    let base = std::env::temp_dir();
    tempfile::tempdir_in(base.canonicalize().unwrap_or(base)).expect("a temporary folder")
}

/// Makes a script that can be run. A program of its own writes it: what this process had open for writing may still be open
/// in what another test has just forked, and cannot be run as long (execve(2), ETXTBSY).
pub fn executable(path: &Path, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", "cat > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).stdin(Stdio::piped());
    let mut shell = command.spawn().expect("a shell");
    shell.stdin.take().expect("its input").write_all(script.as_bytes()).expect("it is passed on");
    assert!(shell.wait().expect("it ends").success(), "{}", path.display());
}

/// A name that no other test and no other run of the tests has.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Does `work` for every number below `count`, on so many threads.
pub fn in_parallel(count: usize, threads: usize, work: impl Fn(usize) + Sync) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    machine::make_room();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

/// Rests for a random time below `limit` milliseconds: what follows is to meet another process in any phase of its own.
pub fn any_moment_within(dice: &mut Dice, limit: u64) {
    std::thread::sleep(Duration::from_micros(dice.below(limit * 1000)));
}
