//! Checks that run a command: any shell command, or an interpreter that imports a module. `config` has made sure that a
//! module's name is no more than a name to a shell.

use crate::error::io_reason;
use crate::preflight::{CheckResult, Failure, shown};
use crate::record::time::MonotonicTime;
use crate::sys::process::shell::{ShellCommand, ShellExit, ShellMode, ShellOutput, ShellRunner};
use crate::sys::process::spawn::ExitStatus;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How a check runs its commands.
#[derive(Clone, Copy)]
pub(in crate::preflight) struct Shell<'run> {
    /// Ends what runs when a signal comes.
    pub(in crate::preflight) runner: &'run ShellRunner,
    /// Where they run.
    pub(in crate::preflight) folder: &'run Path,
    /// How long the check may take.
    pub(in crate::preflight) timeout: Duration,
    /// When that is over.
    pub(in crate::preflight) deadline: MonotonicTime,
}

impl Shell<'_> {
    /// Runs a command for what it prints and how it ends.
    ///
    /// # Errors
    /// No shell, process or descriptor to be had, or a signal has stopped all.
    pub(in crate::preflight) fn capture(self, text: &str) -> io::Result<ShellOutput> {
        self.runner.run(&ShellCommand {
            text: OsStr::new(text),
            folder: Some(self.folder),
            variables: &variables(),
            deadline: self.deadline,
            grace: Duration::ZERO,
            purpose: ShellMode::Capture,
        })
    }

    fn run(self, text: &str) -> Result<ShellOutput, Failure> {
        self.capture(text).map_err(|error| Failure::new(format!("the command could not be run: {}", io_reason(&error))))
    }
}

/// Whether a shell command exits with 0.
pub(in crate::preflight) fn check(text: &str, shell: Shell<'_>) -> CheckResult {
    let outcome = shell.run(text)?;
    if outcome.end == ShellExit::Known(ExitStatus::Code(0)) {
        return Ok(None);
    }
    let failure = Failure::new(format!("{}{}", ending(&outcome, shell.timeout), quoted(&outcome)));
    Err(match outcome.end {
        // What a shell ends with (POSIX, 2.8.2, Exit Status for Commands).
        ShellExit::Known(ExitStatus::Code(127)) => failure.with_cause("the shell found no such command"),
        ShellExit::Known(ExitStatus::Code(126)) => failure.with_cause("the shell may not execute the command"),
        ShellExit::Known(_) | ShellExit::Unknown | ShellExit::OutOfTime => failure,
    })
}

/// Whether an interpreter can import a module.
pub(in crate::preflight) fn check_import(module: &str, python: &str, shell: Shell<'_>) -> CheckResult {
    let outcome = shell.run(&format!("{python} -c 'import {module}'"))?;
    match outcome.end {
        ShellExit::Known(ExitStatus::Code(0)) => Ok(None),
        ShellExit::Known(ExitStatus::Code(127)) => {
            Err(Failure::new(format!("there is no {python}{}", quoted(&outcome))))
        }
        // Python tells in its last line, such as "ModuleNotFoundError: No module named 'x'".
        ShellExit::Known(ExitStatus::Code(1)) => {
            let said = last_line(&outcome).unwrap_or_else(|| "it does not say why".to_owned());
            let failure = Failure::new(format!("{python} cannot import {module}: {said}"));
            Err(match interpreter(python, shell) {
                Some(which) => failure.with_cause(format!("{python} is {which}, and that is where it was searched")),
                None => failure,
            })
        }
        ShellExit::Known(_) | ShellExit::Unknown | ShellExit::OutOfTime => {
            let how = ending(&outcome, shell.timeout);
            Err(Failure::new(format!("{python} importing {module}: {how}{}", quoted(&outcome))))
        }
    }
}

/// The interpreter's path and version.
fn interpreter(python: &str, shell: Shell<'_>) -> Option<String> {
    let text = format!("{python} -c 'import sys; print(sys.executable, \"(%d.%d.%d)\" % sys.version_info[:3])'");
    let outcome = shell.capture(&text).ok()?;
    last_line(&outcome).filter(|_| outcome.end == ShellExit::Known(ExitStatus::Code(0)))
}

/// The variables that checks and fixes get.
pub(in crate::preflight) fn variables() -> [(&'static str, OsString); 1] {
    // An import must not write `__pycache__` beside the modules.
    [("PYTHONDONTWRITEBYTECODE", "1".into())]
}

fn ending(outcome: &ShellOutput, timeout: Duration) -> String {
    match outcome.end {
        ShellExit::Known(ExitStatus::Code(code)) => format!("exit code {code}"),
        ShellExit::Known(ExitStatus::Signal(number)) => format!("ended by signal {number}"),
        ShellExit::Unknown => "the kernel did not tell how it ended".to_owned(),
        ShellExit::OutOfTime => format!("not done within {}, and terminated", shown(timeout)),
    }
}

fn quoted(outcome: &ShellOutput) -> String {
    last_line(outcome).map_or_else(String::new, |line| format!(": {line}"))
}

/// The last line that is not blank, cut to what a report quotes.
pub(in crate::preflight) fn last_line(outcome: &ShellOutput) -> Option<String> {
    const QUOTED: usize = 200;
    let text = String::from_utf8_lossy(&outcome.output);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let cut = line.char_indices().nth(QUOTED).map_or(line.len(), |(at, _)| at);
    Some(if cut < line.len() { format!("{}…", &line[..cut]) } else { line.to_owned() })
}
