//! Checks a Python environment: its interpreter, its console scripts, its activation scripts. Called by `run_check`.
//!
//! That a script is there and executable proves nothing: the kernel's "No such file or directory" may be about the
//! interpreter that its first line names. A patch release of Python does not make an environment stale.

pub(crate) mod activate;
pub(crate) mod cfg;
mod fix;
mod interpreter;
mod scripts;
pub(crate) mod shebang;

use crate::error::io_reason;
use crate::preflight::checks::command::Shell;
use crate::preflight::{CheckResult, Failure};
use crate::sys::fs::metadata::{self, FileKind};
use cfg::Cfg;
pub(crate) use fix::SuggestedFix;
use fix::{ProjectFacts, VenvProblem, suggest};
use scripts::Scripts;
use std::path::{Path, PathBuf};

/// The most bytes of a `pyvenv.cfg` that are read.
const LONGEST_CFG: usize = 64 << 10;
/// Why broken scripts go unnoticed, without uv and with it: seen with pip 23.2 and uv 0.13.9.
const MASKED_SCRIPTS: [&str; 2] = [
    "pip show, pip list and imports work all the same, since they read the packages and not these first lines",
    "uv sync, uv run python and uv pip show work all the same, since they read the packages and not these first lines",
];
const MASKED_PYTHON: &str =
    "uv run hides it: it replaces such an environment with a new one and goes on, so only direct calls fail";

/// The environment that is checked.
#[derive(Debug)]
struct Venv<'check> {
    /// Its absolute folder, links resolved.
    folder: PathBuf,
    bin: PathBuf,
    /// Its folder as a command in the project's folder names it.
    named: PathBuf,
    project: &'check Path,
    cfg: Cfg,
}

/// One problem with an environment.
#[derive(Debug)]
struct Problem {
    symptom: String,
    cause: String,
    kind: VenvProblem,
}

/// Whether an environment of the project in the shell's folder works.
pub(super) fn check(path: &Path, shell: Shell<'_>) -> CheckResult {
    let named = path.strip_prefix(shell.folder).unwrap_or(path).to_path_buf();
    let venv = open(path, named, shell.folder)?;
    let mut problems: Vec<Problem> = interpreter::inspect(&venv, shell).into_iter().collect();
    let scripts = Scripts::read(&venv.bin)
        .map_err(|error| Failure::new(format!("cannot list {}: {}", venv.bin.display(), io_reason(&error))))?;
    problems.extend(scripts.problems(&venv, problems.is_empty()));
    let is_moved = problems.iter().any(|problem| problem.kind == VenvProblem::Scripts);
    problems.extend(activate::inspect(&venv, is_moved));
    if problems.is_empty() {
        let version = venv.cfg.version.as_ref().map_or_else(String::new, |version| format!(", Python {version}"));
        return Ok(Some(format!("{} scripts{version}", scripts.count)));
    }
    let kinds: Vec<VenvProblem> = problems.iter().map(|problem| problem.kind).collect();
    let mut causes: Vec<&str> = Vec::new();
    for problem in &problems {
        // One move breaks scripts of several interpreters, for one reason.
        if !causes.contains(&problem.cause.as_str()) {
            causes.push(&problem.cause);
        }
    }
    if kinds.contains(&VenvProblem::Interpreter) && venv.cfg.by_uv {
        causes.push(MASKED_PYTHON);
    }
    if kinds.contains(&VenvProblem::Scripts) {
        causes.push(MASKED_SCRIPTS[usize::from(venv.cfg.by_uv)]);
    }
    let symptoms: Vec<&str> = problems.iter().map(|problem| problem.symptom.as_str()).collect();
    let fix = suggest(&venv.named, &kinds, project_facts(&venv.named, venv.project, &venv.cfg));
    Err(Failure::new(symptoms.join("; ")).with_cause(causes.join("; ")).with_suggestion(fix))
}

/// Opens the environment, or fails because there is none.
fn open<'check>(path: &Path, named: PathBuf, project: &'check Path) -> Result<Venv<'check>, Failure> {
    let shown = path.display();
    let cannot = |error: &std::io::Error| Failure::new(format!("cannot read {shown}: {}", io_reason(error)));
    let fix = |named: &Path, problem| suggest(named, &[problem], project_facts(named, project, &Cfg::default()));
    match metadata::kind(path).map_err(|error| cannot(&error))? {
        FileKind::Folder => {}
        FileKind::Absent => {
            return Err(Failure::new(format!("there is no environment {shown}"))
                .with_suggestion(fix(&named, VenvProblem::Missing)));
        }
        FileKind::File { .. } | FileKind::Other => return Err(Failure::new(format!("{shown} is not a folder"))),
    }
    let folder = metadata::resolved(path).map_err(|error| cannot(&error))?;
    let file = folder.join(cfg::NAME);
    let text = metadata::head(&file, LONGEST_CFG).map_err(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Failure::new(format!("cannot read {}: {}", file.display(), io_reason(&error)));
        }
        // A rebuild empties the folder, so it is offered only where the folder looks like an environment: any other folder
        // may hold the user's own files.
        let has_begun = ["bin", "lib"].iter().all(|part| metadata::is_there(&folder.join(part)));
        let cause = if has_begun { "making it was interrupted" } else { "it is another kind of folder" };
        Failure::new(format!("{shown} holds no {}, so no Python takes it for an environment", cfg::NAME))
            .with_cause(cause)
            .with_suggestion(fix(&named, VenvProblem::Interpreter).filter(|_| has_begun))
    })?;
    let cfg = cfg::parse(&String::from_utf8_lossy(&text));
    let bin = folder.join("bin");
    Ok(Venv { folder, bin, named, project, cfg })
}

fn project_facts(named: &Path, project: &Path, cfg: &Cfg) -> ProjectFacts {
    let has = |name: &str| metadata::is_there(&project.join(name));
    // What `uv sync` and `uv run` take for the project's own.
    let is_default = named == Path::new(".venv");
    ProjectFacts {
        uv: cfg.by_uv || (is_default && has("uv.lock")),
        synced: is_default && has("pyproject.toml"),
        requirements: has("requirements.txt"),
        pyproject: has("pyproject.toml"),
        system_packages: cfg.system_packages,
        lacks_pip: !["bin/pip", "bin/pip3"].iter().any(|name| has(&format!("{}/{name}", named.display()))),
    }
}

/// What `preflight --init` writes for an environment that works: what would repair it after its folder was moved, from
/// files that list the packages where there are any, else in place.
pub(crate) fn preventive_fix(venv: &Path, project: &Path) -> Option<SuggestedFix> {
    let text = metadata::head(&project.join(venv).join(cfg::NAME), LONGEST_CFG).unwrap_or_default();
    let facts = project_facts(venv, project, &cfg::parse(&String::from_utf8_lossy(&text)));
    let problems: &[VenvProblem] = if facts.lists_packages() {
        &[VenvProblem::Interpreter]
    } else {
        &[VenvProblem::Scripts, VenvProblem::Activate]
    };
    suggest(venv, problems, facts)
}
