//! Checks that run a command: any, or an interpreter that has to import a module.
//!
//! Refuses a module's name that a shell would read as more than a name; that is `config`'s to see to.

use crate::env_vars;
use crate::preflight::{Check, Failure, Verdict, shown};
use crate::record::time::MonotonicTime;
use crate::sys::fs::monitor_dir::why;
use crate::sys::process::shell::{End, Order, Outcome, Purpose, ShellRunner};
use crate::sys::process::spawn::Ended;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// Whether a shell command ends with exit code 0.
pub(super) fn command(text: &str, check: &Check, deadline: MonotonicTime, shells: &ShellRunner) -> Verdict {
    let outcome = ask(text, check, deadline, shells)?;
    if outcome.end == End::Known(Ended::Code(0)) {
        return Ok(None);
    }
    let failure = Failure::of(format!("{}{}", ending(&outcome, check), quoted(&outcome)));
    Err(match outcome.end {
        // What a shell ends with (POSIX, 2.8.2, Exit Status for Commands).
        End::Known(Ended::Code(127)) => failure.because("the shell found no such command"),
        End::Known(Ended::Code(126)) => failure.because("the shell may not execute the command"),
        End::Known(_) | End::Unknown | End::OutOfTime => failure,
    })
}

/// Whether an interpreter can import a module.
pub(super) fn import(
    module: &str,
    python: &str,
    check: &Check,
    deadline: MonotonicTime,
    shells: &ShellRunner,
) -> Verdict {
    let outcome = ask(&format!("{python} -c 'import {module}'"), check, deadline, shells)?;
    match outcome.end {
        End::Known(Ended::Code(0)) => Ok(None),
        End::Known(Ended::Code(127)) => Err(Failure::of(format!("there is no {python}{}", quoted(&outcome)))),
        // Python tells in its last line, such as "ModuleNotFoundError: No module named 'x'".
        End::Known(Ended::Code(1)) => {
            let said = last_line(&outcome).unwrap_or_else(|| "it does not say why".to_owned());
            let which = interpreter(python, check, deadline, shells);
            let failure = Failure::of(format!("{python} cannot import {module}: {said}"));
            Err(match which {
                Some(which) => failure.because(format!("{python} is {which}, and that is where it was looked for")),
                None => failure,
            })
        }
        End::Known(_) | End::Unknown | End::OutOfTime => {
            let how = ending(&outcome, check);
            Err(Failure::of(format!("{python} importing {module}: {how}{}", quoted(&outcome))))
        }
    }
}

/// Which interpreter a command is, and of which version.
fn interpreter(python: &str, check: &Check, deadline: MonotonicTime, shells: &ShellRunner) -> Option<String> {
    let text = format!("{python} -c 'import sys; print(sys.executable, \"(%d.%d.%d)\" % sys.version_info[:3])'");
    let outcome = ask(&text, check, deadline, shells).ok()?;
    last_line(&outcome).filter(|_| outcome.end == End::Known(Ended::Code(0)))
}

/// What a check or a fix is told.
pub(super) fn variables() -> [(&'static str, OsString); 2] {
    [
        // One that starts a run must not come back here by way of that run's own preflight.
        (env_vars::PREFLIGHT, "0".into()),
        // One that imports must not leave files beside the modules.
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ]
}

fn ask(text: &str, check: &Check, deadline: MonotonicTime, shells: &ShellRunner) -> Result<Outcome, Failure> {
    let order = Order {
        text: OsStr::new(text),
        folder: Some(&check.folder),
        variables: &variables(),
        deadline,
        grace: Duration::ZERO,
        purpose: Purpose::Ask,
    };
    shells.run(&order).map_err(|error| Failure::of(format!("the command could not be run: {}", why(&error))))
}

fn ending(outcome: &Outcome, check: &Check) -> String {
    match outcome.end {
        End::Known(Ended::Code(code)) => format!("exit code {code}"),
        End::Known(Ended::Signal(number)) => format!("ended by signal {number}"),
        End::Unknown => "nobody knows how it ended".to_owned(),
        End::OutOfTime => format!("not done within {}, and ended", shown(check.limit)),
    }
}

fn quoted(outcome: &Outcome) -> String {
    last_line(outcome).map_or_else(String::new, |line| format!(": {line}"))
}

/// The last line that says something, as far as a report quotes it.
pub(super) fn last_line(outcome: &Outcome) -> Option<String> {
    const QUOTED: usize = 200;
    let text = String::from_utf8_lossy(&outcome.output);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let cut = line.char_indices().nth(QUOTED).map_or(line.len(), |(at, _)| at);
    Some(if cut < line.len() { format!("{}…", &line[..cut]) } else { line.to_owned() })
}
