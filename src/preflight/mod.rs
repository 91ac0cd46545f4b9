//! Checks what work needs before it begins: all checks at once, then, where asked, the fixes that the project wrote down.
//! Called by `ops::preflight`.

pub(crate) mod checks;
pub(crate) mod config;
pub(crate) mod report;
mod runner;
pub(crate) mod template;
pub(crate) mod venv;

use crate::sys::clock;
use crate::sys::process::shell::ShellRunner;
use crate::sys::process::tree::KILL_LIMIT;
use checks::command::Shell;
use checks::http::Url;
use checks::tcp::Address;
use checks::{command, directory, env_file_disk, http, tcp};
pub(crate) use runner::{PreflightEvent, run};
use std::path::PathBuf;
use std::time::Duration;
pub(crate) use venv::{SuggestedFix, preventive_fix};

/// How long a check may take unless it says otherwise.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later than its timeout a check's own answer may come: it knows best why it has none.
const LEEWAY: Duration = Duration::from_millis(250);
/// The same for a check that has a process tree to terminate first.
const KILL_LEEWAY: Duration = KILL_LIMIT.saturating_add(Duration::from_secs(1));

/// One check.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Its name, unique among the checks.
    pub(crate) name: String,
    /// What it tests.
    pub(crate) kind: CheckKind,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// The shell command that repairs it.
    pub(crate) fix: Option<String>,
    /// Where its relative paths begin and its commands run.
    pub(crate) folder: PathBuf,
}

/// What a check tests.
#[derive(Clone, Debug)]
pub(crate) enum CheckKind {
    /// A shell command exits with 0.
    Command(String),
    /// A Python can import a module.
    PythonImport {
        /// The module.
        module: String,
        /// The interpreter's command.
        python: String,
    },
    /// A Python environment's scripts run its own interpreter, and that is the one it was made for.
    Venv(PathBuf),
    /// A GET is answered with 2xx.
    Http(Url),
    /// A connection is accepted.
    Tcp(Address),
    /// A variable is set.
    Env {
        /// Its name.
        variable: String,
        /// What its value must match.
        matches: Option<regex_lite::Regex>,
    },
    /// A path exists.
    File(PathBuf),
    /// A filesystem has free space.
    Disk {
        /// A path on it.
        path: PathBuf,
        /// The least number of free bytes.
        min_free: u64,
    },
    /// Runs and waiters can use the monitor directory.
    Monitor(MonitorSettings),
}

/// The monitor directory, and the two durations that must fit each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MonitorSettings {
    /// The directory, whether it exists or not.
    pub(crate) directory: PathBuf,
    /// The heartbeat interval, where the environment sets it.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// How old a heartbeat may become, where the environment sets it.
    pub(crate) stale: Option<Duration>,
}

impl CheckKind {
    /// The word in a file and in reports, and what is tested.
    pub(crate) fn describe(&self) -> (&'static str, String) {
        match self {
            Self::Command(text) => ("command", text.clone()),
            Self::PythonImport { module, .. } => ("python-import", module.clone()),
            Self::Venv(folder) => ("venv", folder.display().to_string()),
            Self::Http(url) => ("http", url.to_string()),
            Self::Tcp(address) => ("tcp", address.to_string()),
            Self::Env { variable, .. } => ("env", variable.clone()),
            Self::File(path) => ("file", path.display().to_string()),
            Self::Disk { path, .. } => ("disk", path.display().to_string()),
            Self::Monitor(settings) => ("monitor", settings.directory.display().to_string()),
        }
    }

    const fn leeway(&self) -> Duration {
        let has_processes = matches!(self, Self::Command(_) | Self::PythonImport { .. } | Self::Venv(_));
        if has_processes { KILL_LEEWAY } else { LEEWAY }
    }
}

/// Why a check failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What was observed.
    pub(crate) symptom: String,
    /// The reason for it, where it is known.
    pub(crate) cause: Option<String>,
    /// What usually repairs it, where that is known.
    pub(crate) suggestion: Option<SuggestedFix>,
}

impl Failure {
    fn new(symptom: impl Into<String>) -> Self {
        Self { symptom: symptom.into(), ..Self::default() }
    }

    fn with_cause(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    fn with_suggestion(mut self, suggestion: Option<SuggestedFix>) -> Self {
        self.suggestion = suggestion;
        self
    }

    fn with_advice(self, command: impl Into<String>) -> Self {
        self.with_suggestion(Some(SuggestedFix { command: command.into(), is_lossless: false }))
    }
}

/// What a check found: a detail where it passed and has one, or why it failed.
type CheckResult = Result<Option<String>, Failure>;

/// Runs one check, in its own thread.
fn run_check(check: &Check, shells: &ShellRunner) -> CheckResult {
    let (folder, timeout) = (check.folder.as_path(), check.timeout);
    let deadline = clock::now().plus(timeout);
    let shell = Shell { runner: shells, folder, timeout, deadline };
    match &check.kind {
        CheckKind::Command(text) => command::check(text, shell),
        CheckKind::PythonImport { module, python } => command::check_import(module, python, shell),
        CheckKind::Venv(path) => venv::check(&folder.join(path), shell),
        CheckKind::Http(url) => http::check(url, timeout, deadline),
        CheckKind::Tcp(address) => tcp::check(address, timeout, deadline),
        CheckKind::Env { variable, matches } => env_file_disk::check_variable(variable, matches.as_ref()),
        CheckKind::File(path) => env_file_disk::check_path(&folder.join(path)),
        CheckKind::Disk { path, min_free } => env_file_disk::check_free_space(&folder.join(path), *min_free),
        CheckKind::Monitor(settings) => directory::check(settings, deadline),
    }
}

/// A duration as it is written in a file.
fn shown(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}
