//! `preflight`: chooses the checks, runs them, decides whether `run` may begin, and writes a project's first file.
//! Called by `cli` and `ops::run`.

use crate::error::Error;
use crate::error::io_reason;
pub(crate) use crate::preflight::PreflightEvent;
use crate::preflight::report::{CheckReport, CheckStatus};
use crate::preflight::template::{self, ProjectFindings};
use crate::preflight::{
    self, Check, CheckKind, DEFAULT_TIMEOUT, MonitorSettings, SuggestedFix, config, preventive_fix,
};
use crate::sys::env;
use crate::sys::fs::metadata;
use crate::sys::signals::Signal;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is read where none is named.
const FILE: &str = "preflight.toml";
/// The environment that is checked where there is no file.
const VENV: &str = ".venv";
/// The most bytes of a file that are read.
const MAX_FILE: usize = 1 << 20;
/// Files that a project's work needs, where it has them.
const PROJECT_FILES: [&str; 2] = ["pyproject.toml", "uv.lock"];

/// What to check.
#[derive(Clone, Debug)]
pub(crate) struct PreflightOptions {
    /// This process's current folder.
    pub(crate) current: PathBuf,
    /// The project's folder.
    pub(crate) project: PathBuf,
    /// The file that the user named.
    pub(crate) file: Option<PathBuf>,
    /// The checks that the user gave as flags, in place of the project's own file.
    pub(crate) flags: Vec<CheckKind>,
    /// The monitor directory.
    pub(crate) monitor: MonitorSettings,
    /// Whether to run fixes.
    pub(crate) fix: bool,
}

/// What all checks found.
#[derive(Clone, Debug)]
pub(crate) struct PreflightReport {
    /// One report a check, in order.
    pub(crate) checks: Vec<CheckReport>,
    /// The file that they came from, as shown to people; `None` where there was none.
    pub(crate) file: Option<PathBuf>,
}

impl PreflightReport {
    /// The checks that failed.
    pub(crate) fn failed(&self) -> Vec<&CheckReport> {
        self.checks.iter().filter(|check| check.verdict == CheckStatus::Failed).collect()
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PreflightError {
    /// The file is invalid: a sentence for each error, with its place.
    Config(Vec<String>),
    /// A signal came first.
    Interrupted(Signal),
}

impl PreflightOptions {
    /// The own checks of the project that this process's current folder belongs to.
    ///
    /// # Errors
    /// `ErrorKind::Internal` where that folder is gone.
    pub(crate) fn of_current_folder(monitor: MonitorSettings) -> Result<Self, Error> {
        let current = env::current_folder().map_err(|error| error.advise("go to one that is there"))?;
        let (project, _) = env::project(&current);
        Ok(Self { current, project, file: None, flags: Vec::new(), monitor, fix: false })
    }

    /// The file to read: the named one, else the project's own unless checks were given as flags.
    fn file_to_read(&self) -> Option<PathBuf> {
        let own = self.project.join(FILE);
        // A dangling link is meant to be a file: reading it reports the error.
        let reads_own = self.flags.is_empty() && metadata::is_there(&own);
        let own = || own.strip_prefix(&self.current).unwrap_or(&own).to_path_buf();
        self.file.clone().or_else(|| reads_own.then(own))
    }

    /// The checks, in the order in which they are reported, and the file they come from.
    fn checks(&self) -> Result<(Vec<Check>, Option<PathBuf>), Vec<String>> {
        let file = self.file_to_read();
        let mut checks = match &file {
            Some(file) => read_file(file, &self.monitor)?,
            None if self.flags.is_empty() => {
                let monitor = CheckKind::Monitor(self.monitor.clone());
                let venv = metadata::is_there(&self.project.join(VENV)).then(|| venv_check(&self.project));
                [check("monitor".to_owned(), monitor, &self.project)].into_iter().chain(venv).collect()
            }
            None => Vec::new(),
        };
        for kind in &self.flags {
            let (word, what) = kind.describe();
            let name = format!("{word} {what}").trim_end().to_owned();
            // The same flag twice is one check; a check of that name in the file is the same one.
            if checks.iter().all(|check| check.name != name) {
                checks.push(check(name, kind.clone(), &self.current));
            }
        }
        Ok((checks, file))
    }
}

fn check(name: String, kind: CheckKind, folder: &Path) -> Check {
    Check { name, kind, timeout: DEFAULT_TIMEOUT, fix: None, folder: folder.to_path_buf() }
}

fn venv_check(folder: &Path) -> Check {
    check("venv".to_owned(), CheckKind::Venv(VENV.into()), folder)
}

/// Reads a file; its relative paths begin in its own folder.
fn read_file(file: &Path, monitor: &MonitorSettings) -> Result<Vec<Check>, Vec<String>> {
    let shown = file.display();
    let bytes = metadata::head(file, MAX_FILE + 1).map_err(|error| {
        let advice =
            if error.kind() == io::ErrorKind::NotFound { "; write one with: dogwatch preflight --init" } else { "" };
        vec![format!("cannot read {shown}: {}{advice}", io_reason(&error))]
    })?;
    if bytes.len() > MAX_FILE {
        return Err(vec![format!("{shown} is larger than 1 MiB; a preflight file is a list of checks")]);
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let (line, column) = config::end_of(&String::from_utf8_lossy(valid));
        vec![format!("{shown}:{line}:{column}: this is not UTF-8 text")]
    })?;
    let absolute = env::absolute(file);
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    config::parse(&text, folder, monitor).map_err(|errors| {
        errors.iter().map(|error| format!("{shown}:{}:{}: {}", error.line, error.column, error.message)).collect()
    })
}

/// Runs the checks, and their fixes where the options say so.
///
/// # Errors
/// [`PreflightError`]; with an invalid file no check is run, since what it meant to test is unknown.
pub(crate) fn preflight(
    options: &PreflightOptions,
    on_event: &mut dyn FnMut(PreflightEvent<'_>),
) -> Result<PreflightReport, PreflightError> {
    let (checks, file) = options.checks().map_err(PreflightError::Config)?;
    let checks = preflight::run(&checks, options.fix, on_event).map_err(PreflightError::Interrupted)?;
    Ok(PreflightReport { checks, file })
}

/// Lets a run begin only where every check passes; `warn` gets what could not be done meanwhile.
///
/// # Errors
/// `ErrorKind::Internal` that names the failed checks, `ErrorKind::InvalidOptions` where the file is invalid.
pub(super) fn gate(options: &PreflightOptions, warn: &mut dyn FnMut(&str)) -> Result<(), Error> {
    let mut on_event = |event: PreflightEvent<'_>| match event {
        PreflightEvent::Warning(sentence) => warn(sentence),
        PreflightEvent::FixStarted(_) => {}
    };
    let report = preflight(options, &mut on_event).map_err(|error| match error {
        PreflightError::Config(sentences) => {
            let more = sentences.len().saturating_sub(1);
            let more = if more == 0 { String::new() } else { format!(" (and {more} more; see dogwatch preflight)") };
            Error::invalid_options(format!("{}{more}", sentences.first().map_or("", String::as_str)))
        }
        PreflightError::Interrupted(signal) => {
            Error::internal(format!("{signal} came while the preflight ran, so nothing was started"))
        }
    })?;
    let failed: Vec<&str> = report.failed().into_iter().map(|check| check.check.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::internal(format!(
        "{} of {} preflight checks failed ({}), so nothing was started; see why with: dogwatch preflight",
        failed.len(),
        report.checks.len(),
        failed.join(", ")
    )))
}

/// Writes a commented file for this project and returns its path. The project's environment is checked first, so that the
/// file holds the very fix that `preflight` suggests for it.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the file exists, `ErrorKind::Internal` where it cannot be written or a signal came first.
pub(crate) fn init(options: &PreflightOptions) -> Result<PathBuf, Error> {
    let file = options.file.clone().unwrap_or_else(|| options.project.join(FILE));
    let absolute = env::absolute(&file);
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let has = |name: &str| metadata::is_there(&folder.join(name));
    let project = ProjectFindings {
        venv: has(VENV),
        venv_fix: if has(VENV) { suggested_venv_fix(folder)? } else { None },
        files: PROJECT_FILES.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect(),
        services: template::services(&env::variables()),
    };
    metadata::write_new(&file, template::text(&project, folder).as_bytes()).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            Error::invalid_options(format!(
                "{} exists already and is left as it is; name another with --file, or remove it",
                file.display()
            ))
        } else {
            Error::io(format!("cannot write {}", file.display()), error)
        }
    })?;
    Ok(file)
}

/// What `preflight` suggests for the environment as it is, else what would repair it after a move.
fn suggested_venv_fix(folder: &Path) -> Result<Option<SuggestedFix>, Error> {
    let reports = preflight::run(&[venv_check(folder)], false, &mut |_| {}).map_err(|signal| {
        Error::internal(format!("{signal} came while the environment was checked, so no file was written"))
    })?;
    let report = reports.into_iter().next().filter(|report| report.verdict == CheckStatus::Failed);
    let Some(report) = report else { return Ok(preventive_fix(Path::new(VENV), folder)) };
    Ok(report.fix.map(|command| SuggestedFix { command, is_lossless: report.is_lossless }))
}
