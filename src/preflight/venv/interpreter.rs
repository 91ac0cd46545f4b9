//! Checks an environment's interpreter: it is there, it runs, and it has the version that the environment was made for.
//! Called by `venv::check`.

use crate::error::{Error, io_reason};
use crate::preflight::checks::command::{Shell, last_line};
use crate::preflight::venv::cfg::{self, Version};
use crate::preflight::venv::{Problem, Venv, VenvProblem};
use crate::record::shell_word::shell_word;
use crate::sys::fs::metadata::{self, FileKind};
use crate::sys::process::shell::ShellExit;
use crate::sys::process::spawn::ExitStatus;
use std::path::{Path, PathBuf};

/// The problem with the interpreter, if there is one.
pub(super) fn inspect(venv: &Venv<'_>, shell: Shell<'_>) -> Option<Problem> {
    let problem = |symptom: String, cause: String| Some(Problem { symptom, cause, kind: VenvProblem::Interpreter });
    let made = venv.cfg.version.as_ref().map_or_else(|| "its Python".to_owned(), |version| format!("Python {version}"));
    let python = venv.bin.join("python");
    let shown = python.display();
    match metadata::kind(&python) {
        Ok(FileKind::File { executable: true }) => {}
        Ok(FileKind::Absent) if metadata::is_there(&python) => {
            let (last, target) = follow_links(&python);
            let symptom = format!("{shown} leads to {}, which is not there", target.display());
            let cause =
                format!("{made}, which {} was made from, was removed, moved or replaced", venv.folder.display());
            return problem(if last == python { symptom } else { format!("{symptom} ({})", last.display()) }, cause);
        }
        Ok(FileKind::Absent) => {
            return problem(format!("there is no {shown}"), "the environment is incomplete".to_owned());
        }
        Ok(FileKind::File { executable: false }) => {
            return problem(
                format!("{shown} has no execute bit"),
                "the folder was copied or unpacked by a tool that drops modes".to_owned(),
            );
        }
        Ok(_) => return problem(format!("{shown} is not a program"), "the environment is incomplete".to_owned()),
        Err(error) => return problem(format!("cannot read {shown}: {}", io_reason(&error)), "unknown".to_owned()),
    }
    if let Some(home) = &venv.cfg.home
        && !matches!(metadata::kind(home), Ok(FileKind::Folder))
    {
        let symptom = format!("home in {} names {}, which is not there", cfg::NAME, home.display());
        return problem(symptom, format!("{made} was removed or moved from {}", home.display()));
    }
    let real = match version_of(&python, Shell { folder: &venv.folder, ..shell }) {
        Ok(version) => version?,
        Err(symptom) => return problem(symptom.to_string(), format!("{made} is damaged, or lacks a library it needs")),
    };
    let made_for = venv.cfg.version.as_ref()?;
    if real.shares_packages_with(made_for) {
        return None;
    }
    let to = metadata::resolved(&python).unwrap_or(python);
    problem(
        format!("{} says {made_for}, and its interpreter is {real}", cfg::NAME),
        format!(
            "Python changed from {made_for} to {real} ({}), which does not search the packages of {made_for}",
            to.display()
        ),
    )
}

/// Runs the interpreter and reads its version; `None` where it prints something else.
///
/// # Errors
/// The symptom: it could not be run, failed, or did not answer before the deadline.
fn version_of(python: &Path, shell: Shell<'_>) -> Result<Option<Version>, Error> {
    let shown = python.display();
    let text = format!(
        "{} -I -S -c 'import sys; print(\"%d.%d.%d\" % sys.version_info[:3])'",
        shell_word(&python.to_string_lossy())
    );
    let output = shell.capture(&text).map_err(|error| Error::io(format!("{shown} could not be run"), error))?;
    let printed = last_line(&output);
    if output.end == ShellExit::Known(ExitStatus::Code(0)) {
        return Ok(printed.as_deref().and_then(Version::parse));
    }
    let silent = if output.end == ShellExit::OutOfTime { "it did not answer in time" } else { "it prints nothing" };
    Err(Error::internal(format!("{shown} does not run: {}", printed.as_deref().unwrap_or(silent))))
}

/// Follows links: the last link, and where it leads. As many as the kernel does at most (`path_resolution(7)`).
fn follow_links(path: &Path) -> (PathBuf, PathBuf) {
    let (mut last, mut target) = (path.to_path_buf(), path.to_path_buf());
    for _ in 0..40 {
        let Some(next) = metadata::leads_to(&target) else { break };
        let next = target.parent().map_or(next.clone(), |folder| folder.join(&next));
        (last, target) = (target, next);
    }
    (last, target)
}
