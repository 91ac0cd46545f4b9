//! `preflight`: which checks there are, what they found, and whether `run` may begin.
//!
//! Refuses to run some checks of a file that has a fault: what it meant to test is not known then.

use crate::ops::Error;
use crate::preflight;
use crate::preflight::report::{Finding, Word};
use crate::preflight::template;
use crate::preflight::template::Shown;
use crate::preflight::{Check, Kind, LIMIT, Place, config, usual_venv_fix};
pub(crate) use crate::preflight::{Interrupted, Listener};
use crate::sys::env;
use crate::sys::fs::metadata;
use crate::sys::fs::monitor_dir::why;
use crate::sys::signals::Signal;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is read where none is named.
const FILE: &str = "preflight.toml";
/// The environment that is checked where there is no file.
const VENV: &str = ".venv";
/// The most bytes of a file that are read.
const LONGEST_FILE: usize = 1 << 20;
/// What marks a project, and without which its work cannot begin.
const PROJECT_FILES: [&str; 2] = ["pyproject.toml", "uv.lock"];

/// What to check.
#[derive(Clone, Debug)]
pub(crate) struct Preflight {
    /// The folder that this process stands in.
    pub(crate) current: PathBuf,
    /// The project's folder.
    pub(crate) project: PathBuf,
    /// The file that was named.
    pub(crate) file: Option<PathBuf>,
    /// What was asked for on the command line, instead of the project's own file.
    pub(crate) asked: Vec<Kind>,
    /// The monitor directory.
    pub(crate) place: Place,
    /// Whether fixes are run.
    pub(crate) fix: bool,
}

/// Why there are no findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The file has faults: a sentence each, with its place.
    Faults(Vec<String>),
    /// A signal came first.
    Interrupted(Signal),
}

impl Preflight {
    /// The project's own checks, from a process that stands in `current`.
    pub(crate) fn new(current: PathBuf, place: Place) -> Self {
        let project = env::project(&current);
        Self { current, project, file: None, asked: Vec::new(), place, fix: false }
    }

    /// The checks, in the order in which they are reported.
    fn checks(&self) -> Result<Vec<Check>, Vec<String>> {
        let own = self.project.join(FILE);
        let mut checks = match &self.file {
            Some(file) => read(file, &self.place)?,
            None if !self.asked.is_empty() => Vec::new(),
            // A link that leads nowhere was meant to be a file.
            None if metadata::is_there(&own) => read(own.strip_prefix(&self.current).unwrap_or(&own), &self.place)?,
            None => self.usual(),
        };
        for kind in &self.asked {
            let name = name_of(kind);
            let folder = self.current.clone();
            // One that was asked for twice is one; a file's check of that name was meant the same.
            if checks.iter().all(|check| check.name != name) {
                checks.push(Check { name, kind: kind.clone(), limit: LIMIT, fix: None, folder });
            }
        }
        Ok(checks)
    }

    /// What is checked where nobody said anything.
    fn usual(&self) -> Vec<Check> {
        let mut kinds = vec![("monitor", Kind::Monitor(self.place.clone()))];
        if metadata::is_there(&self.project.join(VENV)) {
            kinds.push(("venv", Kind::Venv(VENV.into())));
        }
        let check = |(name, kind): (&str, Kind)| Check {
            name: name.to_owned(),
            kind,
            limit: LIMIT,
            fix: None,
            folder: self.project.clone(),
        };
        kinds.into_iter().map(check).collect()
    }
}

/// A name for what was asked for without one.
fn name_of(kind: &Kind) -> String {
    let what = match kind {
        Kind::Command(text) => text.clone(),
        Kind::PythonImport { module, .. } => module.clone(),
        Kind::Venv(path) | Kind::File(path) | Kind::Disk { path, .. } => path.display().to_string(),
        Kind::Http(url) => url.to_string(),
        Kind::Tcp(address) => address.to_string(),
        Kind::Env { variable, .. } => variable.clone(),
        Kind::Monitor(_) => String::new(),
    };
    format!("{} {what}", kind.as_str()).trim_end().to_owned()
}

/// Reads a file; its paths begin in its own folder.
fn read(file: &Path, place: &Place) -> Result<Vec<Check>, Vec<String>> {
    let shown = file.display();
    let bytes = metadata::head(file, LONGEST_FILE + 1).map_err(|error| {
        let advice =
            if error.kind() == io::ErrorKind::NotFound { "; write one with: dogwatch preflight --init" } else { "" };
        vec![format!("cannot read {shown}: {}{advice}", why(&error))]
    })?;
    if bytes.len() > LONGEST_FILE {
        return Err(vec![format!("{shown} is larger than 1 MiB, which no preflight file is")]);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let (line, column) = config::end_of(&String::from_utf8_lossy(before));
        vec![format!("{shown}:{line}:{column}: this is no UTF-8 text")]
    })?;
    let whole = env::absolute(file);
    let folder = whole.parent().unwrap_or(Path::new("/"));
    config::parse(&text, folder, place).map_err(|faults| {
        faults.iter().map(|fault| format!("{shown}:{}:{}: {}", fault.line, fault.column, fault.sentence)).collect()
    })
}

/// Runs the checks, and where it was asked for their fixes.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn preflight(request: &Preflight, listener: &mut dyn Listener) -> Result<Vec<Finding>, Refusal> {
    let checks = request.checks().map_err(Refusal::Faults)?;
    preflight::examine(&checks, request.fix, listener).map_err(|Interrupted(signal)| Refusal::Interrupted(signal))
}

/// Lets a run begin only where every check passes.
///
/// # Errors
/// [`Error::Own`] that names the checks that failed, [`Error::Usage`] where the file has a fault.
pub(super) fn gate(request: &Preflight, trouble: &mut dyn FnMut(&str)) -> Result<(), Error> {
    struct Quiet<'run>(&'run mut dyn FnMut(&str));
    impl Listener for Quiet<'_> {
        fn fixing(&mut self, _command: &str) {}
        fn trouble(&mut self, sentence: &str) {
            (self.0)(sentence);
        }
    }
    let findings = preflight(request, &mut Quiet(trouble)).map_err(|refusal| match refusal {
        Refusal::Faults(sentences) => {
            let more = sentences.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more; see dogwatch preflight)") };
            Error::Usage(format!("{}{more}", sentences.first().map_or("", String::as_str)))
        }
        Refusal::Interrupted(signal) => {
            Error::Own(format!("{signal} came while the preflight went on, so nothing was started"))
        }
    })?;
    let failed: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict == Word::Failed)
        .map(|finding| finding.check.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Own(format!(
        "{} of {} preflight checks failed ({}), so nothing was started; see why with: dogwatch preflight",
        failed.len(),
        findings.len(),
        failed.join(", ")
    )))
}

/// Writes a commented file for this project.
///
/// # Errors
/// [`Error::Usage`] where there is one, [`Error::Own`] where it cannot be written.
pub(crate) fn init(request: &Preflight) -> Result<PathBuf, Error> {
    let file = request.file.clone().unwrap_or_else(|| request.project.join(FILE));
    let whole = env::absolute(&file);
    let folder = whole.parent().unwrap_or(Path::new("/"));
    let has = |name: &str| metadata::is_there(&folder.join(name));
    let shown = Shown {
        venv: has(VENV),
        venv_fix: usual_venv_fix(Path::new(VENV), folder),
        files: PROJECT_FILES.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect(),
        services: template::services(&env::variables()),
    };
    metadata::write_new(&file, template::text(&shown, folder).as_bytes()).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Error::Usage(format!(
                "{} is there already and is left as it is; name another with --file, or remove it",
                file.display()
            ))
        } else {
            Error::Own(format!("cannot write {}: {}", file.display(), why(&error)))
        }
    })?;
    Ok(file)
}
