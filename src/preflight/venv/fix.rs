//! The suggested fix for an environment, as one shell command. Called by `venv`; pure.
//!
//! dogwatch never runs it by itself: a rebuild removes packages that no file lists, so who knows the project decides,
//! by writing it down as the check's own fix.

use crate::record::shell_word::shell_word;
use std::path::Path;

/// What is wrong with an environment, as far as it decides the fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum VenvProblem {
    /// The environment is not there.
    Missing,
    /// Its Python is gone, damaged or another version.
    Interpreter,
    /// Scripts name another Python, or end their first line with CRLF.
    Scripts,
    /// Scripts name the Python of a temporary build environment.
    BuildEnvironment,
    /// Scripts have no execute bit.
    ModeBits,
    /// Scripts that this user may not execute: no command of this user's repairs that.
    Permission,
    /// Activation scripts name another folder, or have CRLF line ends.
    Activate,
}

/// What decides how an environment is repaired, apart from the problem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProjectFacts {
    /// Whether uv made the environment, or the project has a `uv.lock`.
    pub(super) uv: bool,
    /// Whether it is the environment that `uv sync` works on: `.venv` beside a `pyproject.toml`.
    pub(super) synced: bool,
    /// Whether there is a `requirements.txt`.
    pub(super) requirements: bool,
    /// Whether there is a `pyproject.toml`.
    pub(super) pyproject: bool,
    /// Whether the environment sees the system's packages.
    pub(super) system_packages: bool,
    /// Whether it has no pip, as one made by `python3 -m venv --without-pip`.
    pub(super) lacks_pip: bool,
}

impl ProjectFacts {
    /// Whether a rebuild finds all packages again.
    pub(super) const fn lists_packages(self) -> bool {
        if self.uv { self.synced || self.requirements } else { self.requirements || self.pyproject }
    }
}

/// A fix that is offered, not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SuggestedFix {
    /// The shell command, to be run in the project's folder.
    pub(crate) command: String,
    /// Whether it can be enabled as it stands: nothing is lost that the project's files do not list.
    pub(crate) is_lossless: bool,
}

/// Appended to a rebuild where no file lists the packages.
const THEN_INSTALL: &str = " # and install its packages again";

/// The command for these problems; `venv` is as seen from the project's folder. `None` where no command is known.
pub(super) fn suggest(venv: &Path, problems: &[VenvProblem], facts: ProjectFacts) -> Option<SuggestedFix> {
    let quoted_venv = shell_word(&venv.to_string_lossy());
    let has = |problem| problems.contains(&problem);
    if has(VenvProblem::Missing) || has(VenvProblem::Interpreter) {
        let clear = if has(VenvProblem::Missing) { "" } else { " --clear" };
        return Some(rebuild(&quoted_venv, clear, facts));
    }
    if has(VenvProblem::Scripts) && facts.uv && facts.lists_packages() {
        return Some(rebuild(&quoted_venv, " --clear", facts));
    }
    let mut commands = Vec::new();
    let mut is_lossless = true;
    if has(VenvProblem::Scripts) {
        commands.push(reinstall(&quoted_venv, facts));
    } else if has(VenvProblem::ModeBits) {
        // Reinstalling sets the modes too.
        commands.push(format!("find {quoted_venv}/bin -type f ! -name '[aA]ctivate*' -exec chmod a+x {{}} +"));
    }
    if has(VenvProblem::BuildEnvironment) && facts.pyproject {
        // Not editable: only an editable install keeps the build environment's path.
        is_lossless = false;
        commands.push(if facts.uv {
            format!("uv pip install --python {quoted_venv} --reinstall --no-deps .")
        } else {
            format!("{quoted_venv}/bin/python -m pip install --force-reinstall --no-deps .")
        });
    }
    if has(VenvProblem::Activate) {
        commands.push(rewrite_activate(&quoted_venv, facts));
    }
    (!commands.is_empty()).then(|| SuggestedFix { command: commands.join(" && "), is_lossless })
}

/// Makes the environment anew, with its packages where a file lists them.
fn rebuild(venv: &str, clear: &str, facts: ProjectFacts) -> SuggestedFix {
    let (uv, plain) = (format!("uv venv{clear}"), format!("python3 -m venv{clear} {venv}"));
    let pip = format!("{venv}/bin/python -m pip install");
    let command = match facts {
        ProjectFacts { uv: true, synced: true, .. } => format!("{uv} && uv sync"),
        ProjectFacts { uv: true, requirements: true, .. } => {
            format!("{uv} {venv} && uv pip install --python {venv} -r requirements.txt")
        }
        ProjectFacts { uv: true, .. } => format!("{uv} {venv}{THEN_INSTALL}"),
        ProjectFacts { requirements: true, .. } => format!("{plain} && {pip} -r requirements.txt"),
        ProjectFacts { pyproject: true, .. } => format!("{plain} && {pip} -e ."),
        ProjectFacts { .. } => format!("{plain}{THEN_INSTALL}"),
    };
    SuggestedFix { command, is_lossless: facts.lists_packages() }
}

/// Installs every package again in place, which writes the scripts anew.
fn reinstall(venv: &str, facts: ProjectFacts) -> String {
    if facts.uv {
        return format!("uv pip freeze --python {venv} | uv pip install --python {venv} --reinstall --no-deps -r -");
    }
    let pip = format!("{venv}/bin/python -m pip");
    let ensure = if facts.lacks_pip { format!("{venv}/bin/python -m ensurepip && ") } else { String::new() };
    // pip reads the whole list before it removes anything.
    format!("{ensure}{pip} freeze --all | {pip} install --force-reinstall --no-deps -r /dev/stdin")
}

/// Writes `activate` and its like anew; packages and scripts stay (seen with Python 3.11, virtualenv 21 and uv 0.13).
fn rewrite_activate(venv: &str, facts: ProjectFacts) -> String {
    let system = if facts.system_packages { " --system-site-packages" } else { "" };
    if facts.uv {
        format!("uv venv --allow-existing{system} --python {venv}/bin/python {venv}")
    } else {
        format!("{venv}/bin/python -m venv --without-pip{system} {venv}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::venv::VenvProblem::{Activate, BuildEnvironment, Interpreter, Missing, ModeBits, Scripts};

    const NONE: ProjectFacts = ProjectFacts {
        uv: false,
        synced: false,
        requirements: false,
        pyproject: false,
        system_packages: false,
        lacks_pip: false,
    };
    const UV: ProjectFacts = ProjectFacts { uv: true, ..NONE };
    const SYNCED: ProjectFacts = ProjectFacts { synced: true, pyproject: true, ..UV };
    const LISTED: ProjectFacts = ProjectFacts { requirements: true, ..NONE };

    #[test]
    fn the_fix_fits_the_problem_who_made_it_and_what_the_project_lists() {
        const PIP: &str = "'a b'/bin/python -m pip freeze --all | 'a b'/bin/python -m pip install --force-reinstall \
            --no-deps -r /dev/stdin";
        for (problems, facts, expected, is_lossless) in [
            (&[Missing][..], SYNCED, "uv venv && uv sync".to_owned(), true),
            (&[Scripts, Activate], SYNCED, "uv venv --clear && uv sync".to_owned(), true),
            (&[Interpreter, Activate], UV, "uv venv --clear 'a b' # and install its packages again".to_owned(), false),
            (
                &[Scripts],
                UV,
                "uv pip freeze --python 'a b' | uv pip install --python 'a b' --reinstall --no-deps -r -".to_owned(),
                true,
            ),
            (
                &[Interpreter],
                ProjectFacts { requirements: true, ..UV },
                "uv venv --clear 'a b' && uv pip install --python 'a b' -r requirements.txt".to_owned(),
                true,
            ),
            (&[Scripts], LISTED, PIP.to_owned(), true),
            (
                &[Scripts],
                ProjectFacts { lacks_pip: true, ..NONE },
                format!("'a b'/bin/python -m ensurepip && {PIP}"),
                true,
            ),
            (
                &[Scripts, ModeBits, Activate],
                NONE,
                format!("{PIP} && 'a b'/bin/python -m venv --without-pip 'a b'"),
                true,
            ),
            (
                &[ModeBits],
                LISTED,
                "find 'a b'/bin -type f ! -name '[aA]ctivate*' -exec chmod a+x {} +".to_owned(),
                true,
            ),
            (
                &[Activate],
                ProjectFacts { system_packages: true, ..SYNCED },
                "uv venv --allow-existing --system-site-packages --python 'a b'/bin/python 'a b'".to_owned(),
                true,
            ),
            (&[BuildEnvironment], SYNCED, "uv pip install --python 'a b' --reinstall --no-deps .".to_owned(), false),
            (
                &[Interpreter],
                LISTED,
                "python3 -m venv --clear 'a b' && 'a b'/bin/python -m pip install -r requirements.txt".to_owned(),
                true,
            ),
            (
                &[Missing],
                ProjectFacts { pyproject: true, ..NONE },
                "python3 -m venv 'a b' && 'a b'/bin/python -m pip install -e .".to_owned(),
                true,
            ),
            (&[Missing], NONE, "python3 -m venv 'a b' # and install its packages again".to_owned(), false),
        ] {
            let fix = suggest(Path::new("a b"), problems, facts).unwrap();
            assert_eq!((fix.command, fix.is_lossless), (expected, is_lossless), "{problems:?}");
        }
        assert_eq!(suggest(Path::new("v"), &[BuildEnvironment], NONE), None);
    }
}
