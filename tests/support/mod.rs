//! What every test of the real binary stands on: a directory of its own, a clean environment, bounded waits for facts.
//!
//! Refuses fixed sleeps: a test waits for a fact, and fails with everything it knows where the fact does not come.

#![allow(dead_code, unreachable_pub, reason = "each test file is a program of its own and uses its own part")]

pub mod project;

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest any fact is waited for. Generous: a slow machine must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A monitor directory of its own, gone with the test.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where a file of the directory is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.file(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    pub fn meta(&self, step: &str) -> Value {
        serde_json::from_str(&self.read(&format!("{step}.meta"))).expect("a meta record")
    }

    pub fn pid(&self, step: &str) -> i32 {
        self.read(&format!("{step}.pid")).trim().parse().expect("a pid")
    }

    /// The binary with this directory and no other variable of ours.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dogwatch"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOGWATCH_") {
                command.env_remove(name);
            }
        }
        command.env("DOGWATCH_DIR", self.path()).env("NO_COLOR", "1").args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn dogwatch<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ended {
        let output = self.command(arguments).output().expect("dogwatch runs");
        Ended::of(&output)
    }

    /// Starts the binary with its output kept.
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Running {
        let child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { child: Some(child.expect("dogwatch starts")) }
    }

    /// Starts a step detached and returns once COMMAND runs.
    pub fn detach(&self, step: &str, script: &str) -> i32 {
        let ended = self.dogwatch(["run", "-d", step, "--", "sh", "-c", script]);
        assert_eq!(ended.code, 0, "{ended:?}");
        self.pid(step)
    }

    /// What `wait --json` says of one step.
    pub fn wait_json(&self, step: &str, more: &[&str]) -> Value {
        let mut arguments = vec!["wait", step, "--json"];
        arguments.extend(more);
        self.dogwatch(arguments).json()
    }
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

/// A dogwatch that runs.
#[derive(Debug)]
pub struct Running {
    child: Option<Child>,
}

impl Running {
    pub fn pid(&self) -> i32 {
        self.child.as_ref().expect("runs").id().cast_signed()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let child = self.child.take().expect("runs");
        Ended::of(&child.wait_with_output().expect("its output"))
    }

    /// Whether it has ended already.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().expect("runs").try_wait().expect("its status").is_some()
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
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// Sends a signal by kill(1).
pub fn kill(signal: &str, pid: i32) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{signal} {pid}");
}

/// The living processes whose environment carries this variable.
pub fn marked(variable: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes()) && lives(pid)
    })
    .collect()
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
}

impl Running {
    /// Waits for its end, and fails where it does not come: for what must not hang. Its output fits into a pipe.
    pub fn end_at_all(mut self) -> Ended {
        until("dogwatch ends", || self.has_ended());
        self.end()
    }
}

impl Place {
    /// As `start`, with the signals that a shell's `&` or `nohup` had the whole test run ignore back at their defaults.
    pub fn start_undisturbed<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Running {
        let plain = self.command(arguments);
        let mut command = Command::new("env");
        if cfg!(target_os = "linux") {
            command.arg("--default-signal=HUP,INT,QUIT,TERM,USR1,USR2");
        }
        command.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running { child: Some(child.expect("dogwatch starts")) }
    }

    /// What every file of the directory holds and when it was written: for what must not touch any.
    pub fn snapshot(&self) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
        let entries = std::fs::read_dir(self.path()).expect("the directory");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                let modified = entry.metadata().expect("metadata").modified().expect("a time");
                let content = std::fs::read(entry.path()).unwrap_or_default();
                (entry.file_name().to_string_lossy().into_owned(), content, modified)
            })
            .collect();
        files.sort();
        files
    }

    /// Makes a file look as if it was last written this long ago.
    pub fn age(&self, name: &str, age: Duration) {
        let file = std::fs::OpenOptions::new().append(true).open(self.file(name)).expect("the file");
        file.set_modified(std::time::SystemTime::now() - age).expect("its time is set");
    }
}

/// A name that no other test and no other run of the tests has.
pub fn unique() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A plain shell script in a place, in a process group of its own; every process of it is gone with the test.
pub struct Shell {
    child: Child,
    /// The variable (`NAME=value`) by which `marked` finds its processes.
    pub mark: String,
}

impl Shell {
    /// Starts `sh -c SCRIPT sh ARGUMENT…` in the place's folder.
    pub fn start(place: &Place, script: &str, arguments: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let value = unique();
        let child = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(arguments)
            .current_dir(place.path())
            .env("TEST_MARK", &value)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Self { child, mark: format!("TEST_MARK={value}") }
    }

    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Kills it and nothing else, and reaps it.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it is reaped");
    }

    /// Waits for its own end.
    pub fn end(&mut self) {
        self.child.wait().expect("it is reaped");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        use nix::sys::signal::{Signal, kill as send, killpg};
        use nix::unistd::Pid;
        // Who left the group is found by the mark; who has gone meanwhile needs nothing.
        let _gone = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        if std::thread::panicking() {
            for pid in marked(&self.mark) {
                let _gone = send(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let _reaped = self.child.wait();
    }
}

/// Does `work` for every number below `count`, on so many threads.
pub fn in_parallel(count: usize, threads: usize, work: impl Fn(usize) + Sync) {
    use std::sync::atomic::{AtomicUsize, Ordering};
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

impl Place {
    /// The binary as another program starts it, in this directory's folder: `prefix` comes first on the command line.
    pub fn through<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, prefix: &[&str], arguments: I) -> Command {
        let plain = self.command(arguments);
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }
}

/// What starts a program in a PID namespace of its own, for claims on pids that a faulty program must not act on here.
/// Nothing, and a word on why, where this user may make none.
pub fn own_namespace() -> Option<Vec<&'static str>> {
    let mut prefix = vec!["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        prefix.push("--map-root-user");
    }
    let tried = Command::new(prefix[0]).args(&prefix[1..]).arg("true").output();
    if tried.is_ok_and(|tried| tried.status.success()) {
        return Some(prefix);
    }
    eprintln!("skipped: this user may make no PID namespace, and nobody's real processes are put at risk");
    None
}
