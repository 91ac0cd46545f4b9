//! A Python environment: whether its console scripts start, by its own interpreter, and whether that is the one it was
//! made for.
//!
//! Refuses to believe that a script starts because it is there and executable: the kernel's "No such file or directory"
//! is about the interpreter that the first line names. Refuses to call an environment stale for a patch release.

mod cfg;
mod fix;
mod shebang;

use crate::preflight::{Failure, Verdict};
use crate::record::time::MonotonicTime;
use crate::sys::fs::metadata;
use crate::sys::fs::metadata::Kind;
use crate::sys::fs::monitor_dir::why;
use crate::sys::process::shell::{End, Order, Purpose, ShellRunner};
use crate::sys::process::spawn::Ended;
use cfg::{Cfg, Version};
pub(super) use fix::quoted;
use fix::{Project, Trouble, command};
use shebang::Shebang;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most bytes of a `pyvenv.cfg` that are read.
const LONGEST_CFG: usize = 64 << 10;
/// How many scripts a message names.
const NAMED: usize = 3;
/// Why nobody notices that scripts do not start, and that Python is another one: seen with uv 0.13.9 and pip 23.2.
const MASKED_SCRIPTS: [&str; 2] = [
    "pip show, pip list and imports pass all the same, for they look at the packages and never at these first lines",
    "uv sync, uv run python and uv pip show pass all the same, for they look at the packages and never at these first lines",
];
const MASKED_PYTHON: &str =
    "uv run hides it: it puts a new environment in the place of such a one and goes on, so only direct calls fail";

/// The environment that is looked at.
struct Venv<'check> {
    /// Its folder, from the root on, links resolved.
    folder: PathBuf,
    bin: PathBuf,
    /// Its folder as it is written in a command that runs in the project's folder.
    named: PathBuf,
    project: &'check Path,
    cfg: Cfg,
}

/// What is wrong: seen, behind it, and which way to mend it.
struct Finding {
    symptom: String,
    cause: String,
    trouble: Trouble,
}

/// Whether an environment is sound.
pub(super) fn check(path: &Path, project: &Path, deadline: MonotonicTime, shells: &ShellRunner) -> Verdict {
    let named = path.strip_prefix(project).unwrap_or(path).to_path_buf();
    let venv = open(path, named, project)?;
    let mut findings: Vec<Finding> = python(&venv, deadline, shells).into_iter().collect();
    let scripts = Scripts::read(&venv.bin)
        .map_err(|error| Failure::of(format!("cannot list {}: {}", venv.bin.display(), why(&error))))?;
    findings.extend(scripts.judge(&venv, findings.is_empty()));
    let Some(first) = findings.first() else {
        let version = venv.cfg.version.as_ref().map_or_else(String::new, |version| format!(", Python {version}"));
        return Ok(Some(format!("{} scripts{version}", scripts.count)));
    };
    // What is wrong with the interpreter comes first: it needs the whole environment made anew, scripts and all.
    let (trouble, by_uv) = (first.trouble, venv.cfg.by_uv);
    let join = |part: fn(&Finding) -> &str| findings.iter().map(part).collect::<Vec<_>>().join("; ");
    let mut causes = join(|finding| &finding.cause);
    for masked in [Trouble::Python, Trouble::Scripts] {
        let how = match masked {
            Trouble::Scripts => MASKED_SCRIPTS[usize::from(by_uv)],
            Trouble::Python if by_uv => MASKED_PYTHON,
            Trouble::Python | Trouble::Absent => continue,
        };
        if findings.iter().any(|finding| finding.trouble == masked) {
            causes = format!("{causes}; {how}");
        }
    }
    Err(Failure::of(join(|finding| &finding.symptom)).because(causes).mended_by(venv.cure(trouble)))
}

/// Finds the environment, or says that it is none.
fn open<'check>(path: &Path, named: PathBuf, project: &'check Path) -> Result<Venv<'check>, Failure> {
    let shown = path.display();
    let cannot = |error: &std::io::Error| Failure::of(format!("cannot look at {shown}: {}", why(error)));
    match metadata::kind(path).map_err(|error| cannot(&error))? {
        Kind::Folder => {}
        Kind::Absent => {
            let cure = cure_of(&named, project, Trouble::Absent, false);
            return Err(Failure::of(format!("there is no environment {shown}")).mended_by(cure));
        }
        Kind::File { .. } | Kind::Other => return Err(Failure::of(format!("{shown} is no folder"))),
    }
    let folder = metadata::resolved(path).map_err(|error| cannot(&error))?;
    let file = folder.join(cfg::NAME);
    let text = metadata::head(&file, LONGEST_CFG).map_err(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Failure::of(format!("cannot read {}: {}", file.display(), why(&error)));
        }
        Failure::of(format!("{shown} holds no {}, so no Python takes it for an environment", cfg::NAME))
            .because("it was made half, or it is another folder")
            .mended_by(cure_of(&named, project, Trouble::Python, false))
    })?;
    let cfg = cfg::parse(&String::from_utf8_lossy(&text));
    let bin = folder.join("bin");
    Ok(Venv { folder, bin, named, project, cfg })
}

fn cure_of(named: &Path, project: &Path, trouble: Trouble, by_uv: bool) -> String {
    command(named, trouble, beside(named, project, by_uv))
}

fn beside(named: &Path, project: &Path, by_uv: bool) -> Project {
    let has = |name: &str| metadata::is_there(&project.join(name));
    // What `uv sync` and `uv run` take for the project's own.
    let is_default = named == Path::new(".venv");
    Project {
        uv: by_uv || (is_default && has("uv.lock")),
        synced: is_default && has("pyproject.toml"),
        requirements: has("requirements.txt"),
        pyproject: has("pyproject.toml"),
    }
}

/// The usual fix for a project's environment, for a file that is written for it; nothing where a rebuild would lose
/// packages that nobody wrote down.
pub(crate) fn usual_fix(venv: &Path, project: &Path) -> Option<String> {
    let cfg = metadata::head(&project.join(venv).join(cfg::NAME), LONGEST_CFG).unwrap_or_default();
    let facts = beside(venv, project, cfg::parse(&String::from_utf8_lossy(&cfg)).by_uv);
    facts.lists_packages().then(|| command(venv, Trouble::Python, facts))
}

impl Venv<'_> {
    fn cure(&self, trouble: Trouble) -> String {
        cure_of(&self.named, self.project, trouble, self.cfg.by_uv)
    }
}

/// Looks at the interpreter: that it is there, runs, and is of the version that the environment was made for.
fn python(venv: &Venv<'_>, deadline: MonotonicTime, shells: &ShellRunner) -> Option<Finding> {
    let finding = |symptom: String, cause: String| Some(Finding { symptom, cause, trouble: Trouble::Python });
    let made = venv.cfg.version.as_ref().map_or_else(|| "its Python".to_owned(), |version| format!("Python {version}"));
    let python = venv.bin.join("python");
    let shown = python.display();
    match metadata::kind(&python) {
        Ok(Kind::File { executable: true }) => {}
        Ok(Kind::Absent) if metadata::is_there(&python) => {
            let (last, target) = end_of_links(&python);
            let symptom = format!("{shown} leads to {}, which is not there", target.display());
            let cause =
                format!("{made}, which {} was made from, was removed, moved or replaced", venv.folder.display());
            return finding(if last == python { symptom } else { format!("{symptom} ({})", last.display()) }, cause);
        }
        Ok(Kind::Absent) => return finding(format!("there is no {shown}"), "the environment is not whole".to_owned()),
        Ok(_) => return finding(format!("{shown} cannot be executed"), "it is no program".to_owned()),
        Err(error) => return finding(format!("cannot look at {shown}: {}", why(&error)), "unknown".to_owned()),
    }
    if let Some(home) = &venv.cfg.home
        && !matches!(metadata::kind(home), Ok(Kind::Folder))
    {
        let symptom = format!("home in {} names {}, which is not there", cfg::NAME, home.display());
        return finding(symptom, format!("{made} was removed or moved from {}", home.display()));
    }
    let text = format!(
        "{} -I -S -c 'import sys; print(\"%d.%d.%d\" % sys.version_info[:3])'",
        quoted(&python.to_string_lossy())
    );
    let order = Order {
        text: OsStr::new(&text),
        folder: Some(&venv.folder),
        variables: &crate::preflight::shell::variables(),
        deadline,
        grace: Duration::ZERO,
        purpose: Purpose::Ask,
    };
    let outcome = match shells.run(&order) {
        Ok(outcome) => outcome,
        Err(error) => return finding(format!("{shown} could not be run: {}", why(&error)), "unknown".to_owned()),
    };
    let said = super::shell::last_line(&outcome);
    if outcome.end != End::Known(Ended::Code(0)) {
        let silent = if outcome.end == End::OutOfTime { "it did not answer in time" } else { "it says nothing" };
        let said = said.unwrap_or_else(|| silent.to_owned());
        return finding(format!("{shown} does not run: {said}"), format!("{made} is damaged, or lacks what it needs"));
    }
    let real = said.as_deref().and_then(Version::parse)?;
    let made_for = venv.cfg.version.as_ref()?;
    if real.shares_packages_with(made_for) {
        return None;
    }
    let to = metadata::resolved(&python).unwrap_or(python);
    finding(
        format!("{} says {made_for}, and its interpreter is {real}", cfg::NAME),
        format!(
            "Python changed from {made_for} to {real} ({}), which does not look where the packages of {made_for} are",
            to.display()
        ),
    )
}

/// Follows links to the last one, and where that leads. As many as the kernel does at most (`path_resolution(7)`).
fn end_of_links(path: &Path) -> (PathBuf, PathBuf) {
    let (mut last, mut target) = (path.to_path_buf(), path.to_path_buf());
    for _ in 0..40 {
        let Some(next) = metadata::leads_to(&target) else { break };
        let next = target.parent().map_or(next.clone(), |folder| folder.join(&next));
        (last, target) = (target, next);
    }
    (last, target)
}

/// The scripts of an environment by who runs them.
struct Scripts {
    by_program: BTreeMap<PathBuf, Vec<String>>,
    /// Those that have a first line to name anybody.
    count: usize,
}

impl Scripts {
    fn read(bin: &Path) -> std::io::Result<Self> {
        let mut scripts = Self { by_program: BTreeMap::new(), count: 0 };
        for name in metadata::files(bin)? {
            // One that may not be read cannot be started either, but that is no matter of its interpreter.
            let Ok(head) = metadata::head(&bin.join(&name), shebang::HEAD) else { continue };
            let program = match shebang::parse(&head) {
                Shebang::None | Shebang::Search => continue,
                Shebang::Program(program) => program,
                Shebang::Beside(program) => bin.join(program),
            };
            scripts.count += 1;
            scripts.by_program.entry(program).or_default().push(name.to_string_lossy().into_owned());
        }
        Ok(scripts)
    }

    /// What is wrong with them; what they suffer with the interpreter itself is said only where that is `sound`.
    fn judge(&self, venv: &Venv<'_>, sound: bool) -> Vec<Finding> {
        let findings = self.by_program.iter().filter_map(|(program, names)| {
            let is_own = program.parent().is_some_and(|folder| {
                folder == venv.bin || metadata::resolved(folder).is_ok_and(|real| real == venv.bin)
            });
            let is_there = matches!(metadata::kind(program), Ok(Kind::File { executable: true }));
            let is_python = program
                .file_name()
                .is_some_and(|name| ["python", "pypy"].iter().any(|word| name.to_string_lossy().starts_with(word)));
            let (what, cause) = match (is_there, is_own) {
                (true, true) => return None,
                // A shell's script, or another language's.
                (true, false) if !is_python => return None,
                (true, false) => ("run another Python", elsewhere(program, venv)),
                (false, true) if !sound => return None,
                (false, true) => (
                    "do not start",
                    format!(
                        "the environment's Python is another than when they were written, and without {}",
                        program.display()
                    ),
                ),
                (false, false) => ("do not start", moved(program, venv)),
            };
            let gone = if is_there { "" } else { ", which is not there" };
            let symptom = format!(
                "{} of {} console scripts {what} ({}): their first line names {}{gone}",
                names.len(),
                self.count,
                some_of(names),
                program.display()
            );
            Some(Finding { symptom, cause, trouble: Trouble::Scripts })
        });
        findings.collect()
    }
}

/// The environment that an interpreter's path belongs to, by its form.
fn home_of(program: &Path) -> Option<&Path> {
    let bin = program.parent()?;
    (bin.file_name()? == "bin").then(|| bin.parent()).flatten()
}

fn moved(program: &Path, venv: &Venv<'_>) -> String {
    let here = venv.folder.display();
    match home_of(program) {
        Some(old) if !metadata::is_there(old) => {
            format!("the folder was renamed or moved from {} to {here} after the scripts were written", old.display())
        }
        Some(old) => {
            format!("the scripts were written for {}, whose Python is gone, and not for {here}", old.display())
        }
        None => format!("the interpreter was removed; the scripts of {here} were written for it"),
    }
}

fn elsewhere(program: &Path, venv: &Venv<'_>) -> String {
    let here = venv.folder.display();
    match home_of(program).filter(|old| metadata::is_there(&old.join(cfg::NAME))) {
        Some(old) => format!(
            "the folder was copied from {}, which is still there, to {here}: the scripts run that one's packages",
            old.display()
        ),
        None => format!("the scripts were installed by {}, which is not the Python of {here}", program.display()),
    }
}

fn some_of(names: &[String]) -> String {
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    format!("{}{more}", names[..names.len().min(NAMED)].join(", "))
}

/// What holds of the two parsers for any bytes.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzz(bytes: &[u8]) {
    let shebang = shebang::parse(bytes);
    assert!(bytes.starts_with(b"#!") || shebang == Shebang::None, "{shebang:?}");
    let cfg = cfg::parse(&String::from_utf8_lossy(bytes));
    assert!(cfg.home.is_none_or(|home| !home.as_os_str().is_empty()));
    assert!(cfg.version.is_none_or(|version| version.shares_packages_with(&version)));
}
