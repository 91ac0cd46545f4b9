//! Reads an environment's console scripts and says which do not start, and why. Called by `venv::check`.

use crate::preflight::venv::shebang::{self, Shebang, first_line_ends_with_cr};
use crate::preflight::venv::{Problem, Venv, VenvProblem, cfg};
use crate::sys::fs::metadata::{self, FileKind};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// How many scripts a message names.
const MAX_NAMED: usize = 3;

/// An environment's console scripts, grouped by what could be wrong with them.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// The scripts of each interpreter that a first line names by its path.
    by_interpreter: BTreeMap<PathBuf, Vec<String>>,
    /// Those whose first line ends with a carriage return.
    with_cr: Vec<String>,
    /// Those without any execute bit.
    not_executable: Vec<String>,
    /// Those with one that this user may not execute all the same.
    forbidden: Vec<String>,
    /// Those that have a first line at all.
    pub(super) count: usize,
}

impl Scripts {
    /// Reads the first lines and the modes of all scripts in a folder.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(super) fn read(bin: &Path) -> io::Result<Self> {
        let mut scripts = Self::default();
        for name in metadata::files(bin)? {
            let path = bin.join(&name);
            // A script that this user may not read cannot be started either, but not for a reason found here.
            let Ok(head) = metadata::head(&path, shebang::HEAD) else { continue };
            let name = name.to_string_lossy().into_owned();
            // Some tools give `activate` a first line; it is sourced, never started.
            if name.starts_with("activate") {
                continue;
            }
            let interpreter = match shebang::parse(&head) {
                Shebang::None => continue,
                Shebang::Search => None,
                Shebang::Program(program) => Some(program),
                Shebang::Beside(program) => Some(bin.join(program)),
            };
            scripts.count += 1;
            if first_line_ends_with_cr(&head) {
                scripts.with_cr.push(name.clone());
            }
            if !metadata::may_execute(&path) {
                let has_bit = matches!(metadata::kind(&path), Ok(FileKind::File { executable: true }));
                let list = if has_bit { &mut scripts.forbidden } else { &mut scripts.not_executable };
                list.push(name.clone());
            }
            if let Some(interpreter) = interpreter {
                scripts.by_interpreter.entry(interpreter).or_default().push(name);
            }
        }
        Ok(scripts)
    }

    /// Every problem with the scripts. What a broken interpreter alone explains is left out where `interpreter_works` is
    /// false.
    pub(super) fn problems(&self, venv: &Venv<'_>, interpreter_works: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |names: &[String], verb, fault, cause: String, kind| {
            if !names.is_empty() {
                problems.push(Problem { symptom: format!("{}: {fault}", self.subject(names, verb)), cause, kind });
            }
        };
        add(
            &self.with_cr,
            "do not start",
            // Linux: fs/binfmt_script.c trims blanks and tabs at the line's end, not the carriage return.
            "their first line ends with a carriage return (CRLF), which becomes part of the interpreter's name",
            "an editor, git's autocrlf or an archive changed the line ends".to_owned(),
            VenvProblem::Scripts,
        );
        add(
            &self.not_executable,
            "cannot be started",
            "they have no execute bit",
            "the folder was copied or unpacked by a tool that drops modes, or chmod took them".to_owned(),
            VenvProblem::ModeBits,
        );
        let bin = venv.bin.display();
        add(
            &self.forbidden,
            "cannot be started",
            "this user may not execute them",
            format!("{bin} is on a filesystem that is mounted noexec, or the execute bit is another user's"),
            VenvProblem::Permission,
        );
        let wrong = |(interpreter, names): (&PathBuf, &Vec<String>)| {
            self.wrong_interpreter(interpreter, names, venv, interpreter_works)
        };
        problems.extend(self.by_interpreter.iter().filter_map(wrong));
        problems
    }

    fn wrong_interpreter(
        &self,
        interpreter: &Path,
        names: &[String],
        venv: &Venv<'_>,
        interpreter_works: bool,
    ) -> Option<Problem> {
        let is_own = interpreter
            .parent()
            .is_some_and(|folder| folder == venv.bin || metadata::resolved(folder).is_ok_and(|real| real == venv.bin));
        let exists = matches!(metadata::kind(interpreter), Ok(FileKind::File { executable: true }));
        let is_python = interpreter
            .file_name()
            .is_some_and(|name| ["python", "pypy"].iter().any(|word| name.to_string_lossy().starts_with(word)));
        let mut kind = VenvProblem::Scripts;
        let (verb, cause) = match (exists, is_own) {
            (true, true) => return None,
            // A shell script, or one in another language.
            (true, false) if !is_python => return None,
            (true, false) => ("run another Python", foreign_cause(interpreter, venv)),
            (false, true) if !interpreter_works => return None,
            (false, true) => (
                "do not start",
                format!(
                    "the environment got another Python after they were written, without {}",
                    interpreter.display()
                ),
            ),
            (false, false) if is_build_environment(interpreter) => {
                kind = VenvProblem::BuildEnvironment;
                ("do not start", BUILD_ENVIRONMENT.to_owned())
            }
            (false, false) => ("do not start", moved_cause(interpreter, venv)),
        };
        let missing = if exists { "" } else { ", which is not there" };
        let symptom =
            format!("{}: their first line names {}{missing}", self.subject(names, verb), interpreter.display());
        Some(Problem { symptom, cause, kind })
    }

    /// How many scripts and which, as the subject of a sentence with its verb.
    fn subject(&self, names: &[String], verb: &str) -> String {
        let more =
            if names.len() > MAX_NAMED { format!(" and {} more", names.len() - MAX_NAMED) } else { String::new() };
        let named = names[..names.len().min(MAX_NAMED)].join(", ");
        format!("{} of {} console scripts {verb} ({named}{more})", names.len(), self.count)
    }
}

/// Seen with uv 0.13.9 and setuptools 68: astral-sh/uv issues 2744 and 8035.
const BUILD_ENVIRONMENT: &str = "an editable install wrote the path of the temporary environment that built the package, \
    which was deleted after the build; older setuptools do that to files listed as `scripts`";

/// Whether an interpreter is in the temporary environment of a build: uv's `CACHE/builds-v0/.tmpXXXXXX`, in older
/// versions `CACHE/uv/.tmpXXXXXX/.venv`, and pip's `pip-build-env-XXXXXXXX`.
fn is_build_environment(interpreter: &Path) -> bool {
    let names: Vec<_> = interpreter.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    names.iter().any(|name| name.starts_with("pip-build-env-"))
        || names
            .windows(2)
            .any(|pair| (pair[0].starts_with("builds-v") || pair[0] == "uv") && pair[1].starts_with(".tmp"))
}

/// The environment that an interpreter's path belongs to, judged by the path's form alone.
fn home_of(interpreter: &Path) -> Option<&Path> {
    let bin = interpreter.parent()?;
    (bin.file_name()? == "bin").then(|| bin.parent()).flatten()
}

fn moved_cause(interpreter: &Path, venv: &Venv<'_>) -> String {
    let here = venv.folder.display();
    match home_of(interpreter) {
        Some(old) if !metadata::is_there(old) => {
            format!("the folder was renamed or moved from {} to {here} after the scripts were written", old.display())
        }
        Some(old) => {
            format!("the scripts were written for {}, whose Python is gone, and not for {here}", old.display())
        }
        None => format!("the interpreter was removed; the scripts of {here} were written for it"),
    }
}

fn foreign_cause(interpreter: &Path, venv: &Venv<'_>) -> String {
    let here = venv.folder.display();
    match home_of(interpreter).filter(|old| metadata::is_there(&old.join(cfg::NAME))) {
        Some(old) => format!(
            "the folder was copied from {}, which is still there, to {here}: the scripts run that one's packages",
            old.display()
        ),
        None => format!("the scripts were installed by {}, which is not the Python of {here}", interpreter.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_environment_is_told_from_a_moved_folder() {
        for (path, expected) in [
            ("/root/.cache/uv/builds-v0/.tmpJjOKeC/bin/python", true),
            ("/Users/me/Library/Caches/uv/.tmp7Y2T4Y/.venv/bin/python", true),
            ("/tmp/pip-build-env-k3_x/overlay/bin/python3", true),
            ("/home/me/builds/.venv/bin/python", false),
            ("/home/me/uv/.venv/bin/python", false),
            ("/tmp/.tmpX/.venv/bin/python", false),
            ("python", false),
        ] {
            assert_eq!(is_build_environment(Path::new(path)), expected, "{path}");
        }
    }
}
