//! Values of flags that were not given: from the environment, else the default. Called by the commands.

use super::Context;
use crate::decide::breaker::MAX_CONSECUTIVE;
use crate::env_vars;
use crate::error::Error;
use crate::ops::directory::default_directory;
use crate::ops::each_once;
use crate::ops::preflight::PreflightOptions;
use crate::preflight::MonitorSettings;
use crate::record::step_name::{InvalidStepName, StepName};
use crate::record::units;
use crate::sys::env;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The monitor directory: `--dir`, else `$DOGWATCH_DIR`, else the project's own.
///
/// # Errors
/// `ErrorKind::Internal` where the current folder is gone and no directory was named.
pub(super) fn directory(context: &Context) -> Result<PathBuf, Error> {
    directory_or(context.dir.as_deref(), default_directory)
}

/// The value of `--dir`, else `$DOGWATCH_DIR`, else the default for the current folder.
///
/// # Errors
/// As [`directory()`].
pub(super) fn directory_or(flag: Option<&Path>, default: fn(&Path) -> PathBuf) -> Result<PathBuf, Error> {
    if let Some(directory) = flag {
        if directory.as_os_str().is_empty() {
            return Err(Error::invalid_options("--dir is empty; name a directory".to_owned()));
        }
        return Ok(directory.to_path_buf());
    }
    if let Some(directory) = env::variable(env_vars::DIR) {
        return Ok(directory.into());
    }
    let folder = env::current_folder().map_err(|error| error.advise("name a directory with --dir"))?;
    Ok(default(&folder))
}

/// The flag's value, else the variable's, else none.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the variable has no such value.
pub(super) fn or_variable<T, E: Display>(
    flag: Option<T>,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Error> {
    if flag.is_some() {
        return Ok(flag);
    }
    let Some(value) = env::variable(name) else { return Ok(None) };
    let text = value
        .to_str()
        .ok_or_else(|| Error::invalid_options(format!("${name} is no text; set it to a value or unset it")))?;
    parse(text).map(Some).map_err(|fault| Error::invalid_options(format!("${name}: {fault}")))
}

/// As [`or_variable`], for a duration.
///
/// # Errors
/// As [`or_variable`].
pub(super) fn duration(flag: Option<Duration>, name: &str) -> Result<Option<Duration>, Error> {
    or_variable(flag, name, units::duration)
}

/// Parses a tag.
///
/// # Errors
/// It is none: a tag follows the rule of a step's name.
pub(super) fn tag(word: &str) -> Result<StepName, InvalidStepName> {
    StepName::parse(word).map_err(|error| error.of("tag"))
}

/// The tags of a run: those that were given, and the environment's, which a coding agent's session sets.
///
/// # Errors
/// As [`or_variable`].
pub(super) fn tags(given: &[StepName]) -> Result<Vec<String>, Error> {
    let of_session = or_variable(None, env_vars::TAG, tag)?;
    Ok(each_once(given.iter().chain(&of_session)).iter().map(StepName::to_string).collect())
}

/// How many failures in a row open a breaker.
///
/// # Errors
/// As [`or_variable`].
pub(super) fn max_consecutive(flag: Option<u32>) -> Result<u32, Error> {
    let parse = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number of failures; write it like 3"));
    Ok(or_variable(flag, env_vars::MAX_CONSECUTIVE, parse)?.unwrap_or(MAX_CONSECUTIVE))
}

/// The project's own preflight checks.
///
/// # Errors
/// As [`or_variable`]; and where the current folder is gone.
pub(super) fn preflight(directory: PathBuf) -> Result<PreflightOptions, Error> {
    let monitor = MonitorSettings {
        directory,
        heartbeat_interval: duration(None, env_vars::HEARTBEAT_INTERVAL)?,
        stale: duration(None, env_vars::STALE)?,
    };
    PreflightOptions::of_current_folder(monitor)
}
