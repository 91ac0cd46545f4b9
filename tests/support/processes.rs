//! Processes that a test starts and looks at: shells, bystanders, whoever carries a variable.
//!
//! Each is killed when its value is dropped.

use super::{Place, marked, unique};
use std::process::{Child, Command, Stdio};

/// Ends what a test has started and left, be it that the test failed or that it was about just that.
pub fn end_marked(variable: &str) {
    for pid in marked(variable) {
        // Who has gone meanwhile needs nothing.
        let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Sends a signal by kill(1).
pub fn kill(signal: &str, pid: i32) {
    let status = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{signal} {pid}");
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
        end_marked(&self.mark);
        // Its mark may not be seen there; its group's number is its own for as long as it is not reaped.
        if cfg!(target_os = "macos") && matches!(self.child.try_wait(), Ok(None)) {
            let _gone =
                nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGKILL);
        }
        let _reaped = self.child.wait();
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

/// A living process of nobody's run, gone with the test.
pub struct Bystander(Child);

impl Bystander {
    pub fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::null()).spawn().expect("a process starts"))
    }

    pub fn sleeping() -> Self {
        Self::start(Command::new("sleep").arg("300"))
    }

    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
