//! A monitor directory of a test's own, and the binary as it is called there.
//!
//! Everything that was started here ends with it.

use super::processes::end_marked;
use super::{Ended, Running, binary, folder, unique};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The variable that has the tests of waiting run with another event source than the system's own.
const TEST_BACKEND: &str = "DOGWATCH_TEST_BACKEND";

/// What `--backend` is given where a test asks for events: the source that this run of the tests is for.
pub fn event_backend() -> &'static str {
    if std::env::var_os(TEST_BACKEND).is_some_and(|backend| backend == "notify") { "notify" } else { "event" }
}

/// The variable by which the processes of a place are found.
const PLACE: &str = "TEST_PLACE";

/// A monitor directory of its own, gone with the test.
pub struct Place {
    folder: tempfile::TempDir,
    /// Given to all that starts here, so that whatever is left can be found.
    mark: String,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: folder(), mark: unique() }
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
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DOGWATCH_") {
                command.env_remove(name);
            }
        }
        if let Some(backend) = std::env::var_os(TEST_BACKEND) {
            command.env("DOGWATCH_BACKEND", backend);
        }
        command.env("DOGWATCH_DIR", self.path()).env("NO_COLOR", "1").env(PLACE, &self.mark);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn dogwatch<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ended {
        let output = self.command(arguments).output().expect("dogwatch runs");
        Ended::of(&output)
    }

    /// Starts the binary with its output kept.
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Running {
        Running::start(self.command(arguments))
    }

    /// Starts a step detached and returns once COMMAND runs.
    pub fn detach(&self, step: &str, script: &str) -> i32 {
        let ended = self.dogwatch(["run", "-d", step, "--", "sh", "-c", script]);
        assert_eq!(ended.code, 0, "{ended:?}");
        self.pid(step)
    }

    /// All that `wait --json=full` says of one step.
    pub fn wait_json(&self, step: &str, more: &[&str]) -> Value {
        let mut arguments = vec!["wait", step, "--json=full"];
        arguments.extend(more);
        self.dogwatch(arguments).json()
    }

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
        Running::start(command)
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

impl Drop for Place {
    fn drop(&mut self) {
        end_marked(&format!("{PLACE}={}", self.mark));
    }
}
