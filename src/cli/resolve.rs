//! From what was typed to what is meant: flags, then the environment, then defaults; contradictions refused.
//!
//! Refuses to look at any step: what depends on a run is resolved where the run is known.

use crate::cli::arguments::{
    BackendWord, CheckArguments, Global, HeartbeatWord, LogWord, PreflightArguments, RecoverArguments, ResultWord,
    RunArguments, StdinWord, WaitArguments,
};
use crate::decide::log_match::Patterns;
use crate::decide::policy::{GRACE, HEARTBEAT_INTERVAL, START_TIMEOUT};
use crate::monitor::Backend;
use crate::ops::check::Check;
use crate::ops::kill::Kill;
use crate::ops::log::Log;
use crate::ops::preflight::Preflight;
use crate::ops::run::Run;
use crate::ops::wait::Wait;
use crate::ops::{Error, default_directory};
use crate::preflight::Place;
use crate::record::step_name::StepName;
use crate::record::units;
use crate::runner::{HeartbeatOn, LogStreams, ResultFrom};
use crate::sys::env;
use clap::ValueEnum;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The monitor directory: `--dir`, else `$DOGWATCH_DIR`, else the project's own.
///
/// # Errors
/// [`Error::Own`] where the current folder is gone and none was named.
pub(super) fn directory(global: &Global) -> Result<PathBuf, Error> {
    if let Some(directory) = &global.dir {
        if directory.as_os_str().is_empty() {
            return Err(Error::Usage("--dir is empty; name a directory".to_owned()));
        }
        return Ok(directory.clone());
    }
    if let Some(directory) = env::variable("DOGWATCH_DIR") {
        return Ok(directory.into());
    }
    let folder = env::current_folder()
        .map_err(|error| Error::Own(format!("there is no current folder ({error}); name a directory with --dir")))?;
    Ok(default_directory(&folder))
}

/// A flag's default from the environment.
fn from_environment<T>(name: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, Error> {
    let Some(value) = env::variable(name) else { return Ok(None) };
    let text =
        value.to_str().ok_or_else(|| Error::Usage(format!("${name} is no text; set it to a value or unset it")))?;
    read(text).map(Some).map_err(|fault| Error::Usage(format!("${name}: {fault}")))
}

fn duration_from(name: &str) -> Result<Option<Duration>, Error> {
    from_environment(name, units::duration)
}

fn or_environment<T>(
    flag: Option<T>,
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, Error> {
    match flag {
        Some(value) => Ok(Some(value)),
        None => from_environment(name, read),
    }
}

/// `run`, as meant.
///
/// # Errors
/// [`Error::Usage`] where two flags contradict each other.
pub(super) fn run(arguments: &RunArguments, global: &Global) -> Result<Run, Error> {
    let mut request = Run::new(directory(global)?, arguments.step.clone(), arguments.command.clone());
    let job = &mut request.job;
    job.stale = or_environment(arguments.stale, "DOGWATCH_STALE", units::duration)?;
    job.max_timeout = or_environment(arguments.max_timeout, "DOGWATCH_MAX_TIMEOUT", units::duration)?;
    job.heartbeat_interval = heartbeat_interval(arguments.heartbeat_interval, job.stale)?;
    job.heartbeat_on = match arguments.heartbeat_on {
        HeartbeatWord::Process => HeartbeatOn::Process,
        HeartbeatWord::Output => HeartbeatOn::Output,
        HeartbeatWord::Activity => HeartbeatOn::Activity,
        HeartbeatWord::Manual => HeartbeatOn::Manual,
    };
    if let Some(grace) = or_environment(arguments.grace, "DOGWATCH_GRACE", units::duration)? {
        job.grace = grace;
    }
    job.log = match arguments.log {
        LogWord::Both => LogStreams::Both,
        LogWord::Stderr => LogStreams::Stderr,
        LogWord::Stdout => LogStreams::Stdout,
        LogWord::None => LogStreams::None,
    };
    job.tee = arguments.tee;
    // Nobody waits for a detached one's end.
    job.leaving = !arguments.detach;
    if let Some(size) = or_environment(arguments.log_max, "DOGWATCH_LOG_MAX", units::size)? {
        job.log_max = size;
    }
    job.result = match arguments.result {
        ResultWord::Auto => ResultFrom::Auto,
        ResultWord::Stdout => ResultFrom::Stdout,
        ResultWord::File => ResultFrom::File,
    };
    if arguments.result == ResultWord::Stdout && arguments.log == LogWord::Stdout {
        return Err(Error::Usage(
            "--result stdout takes COMMAND's standard output, so --log stdout has nothing to log; use --log stderr"
                .to_owned(),
        ));
    }
    job.keep_children = arguments.keep_children;
    job.inherit_stdin = arguments.stdin == StdinWord::Inherit;
    if let Some(limit) = arguments.max_consecutive.map_or_else(max_consecutive, |limit| Ok(Some(limit)))? {
        job.max_consecutive = limit;
    }
    if arguments.no_breaker {
        job.breaker = None;
    } else if let Some(name) = &arguments.breaker {
        job.breaker = Some(name.clone());
    }
    job.cooldown = arguments.cooldown;
    if arguments.preflight || env::variable("DOGWATCH_PREFLIGHT").is_some_and(|value| value != "0") {
        request.preflight = Some(preflight_of(request.directory.clone())?);
    }
    Ok(request)
}

/// The project's own preflight.
fn preflight_of(directory: PathBuf) -> Result<Preflight, Error> {
    let current = env::current_folder()
        .map_err(|error| Error::Own(format!("there is no current folder ({error}); go to one that is there")))?;
    let place = Place {
        directory,
        heartbeat_interval: duration_from("DOGWATCH_HEARTBEAT_INTERVAL")?,
        stale: duration_from("DOGWATCH_STALE")?,
    };
    Ok(Preflight::new(current, place))
}

/// `preflight`, as meant.
///
/// # Errors
/// [`Error::Usage`] where a flag or the environment does not fit.
pub(super) fn preflight(arguments: &PreflightArguments, global: &Global) -> Result<Preflight, Error> {
    let mut request = preflight_of(directory(global)?)?;
    request.file.clone_from(&arguments.file);
    request.fix = arguments.fix;
    request.asked = arguments.asked();
    Ok(request)
}

/// `$DOGWATCH_MAX_CONSECUTIVE`.
///
/// # Errors
/// [`Error::Usage`] where it is no number.
pub(super) fn max_consecutive() -> Result<Option<u32>, Error> {
    from_environment("DOGWATCH_MAX_CONSECUTIVE", |text| {
        text.parse().map_err(|_| format!("{text:?} is no number of failures; write it like 3"))
    })
}

/// An interval that was asked for must leave room for a missed beat; one that was not shrinks to fit.
fn heartbeat_interval(flag: Option<Duration>, stale: Option<Duration>) -> Result<Duration, Error> {
    let stale = stale.filter(|stale| !stale.is_zero());
    if flag.is_some_and(|interval| interval.is_zero()) {
        return Err(Error::Usage("--heartbeat-interval 0 is no interval; use one like 10s".to_owned()));
    }
    match (flag, stale) {
        (Some(interval), Some(stale)) if interval.saturating_mul(2) >= stale => Err(Error::Usage(format!(
            "--heartbeat-interval {} is not less than half of --stale {}; lower the one or raise the other",
            humantime::format_duration(interval),
            humantime::format_duration(stale)
        ))),
        (Some(interval), _) => Ok(interval),
        (None, stale) => {
            let default = duration_from("DOGWATCH_HEARTBEAT_INTERVAL")?.filter(|span| !span.is_zero());
            let default = default.unwrap_or(HEARTBEAT_INTERVAL);
            Ok(stale.map_or(default, |stale| default.min((stale / 3).max(Duration::from_millis(1)))))
        }
    }
}

/// A wait for what `run` found running.
///
/// # Errors
/// [`Error::Usage`] where the environment does not fit.
pub(super) fn attached(arguments: &RunArguments, global: &Global) -> Result<Wait, Error> {
    let mut request = waiting(vec![arguments.step.clone()], global)?;
    request.grace = or_environment(arguments.grace, "DOGWATCH_GRACE", units::duration)?.unwrap_or(request.grace);
    Ok(request)
}

fn waiting(steps: Vec<StepName>, global: &Global) -> Result<Wait, Error> {
    let mut request = Wait::new(directory(global)?, steps);
    request.environment_stale = duration_from("DOGWATCH_STALE")?;
    request.environment_max_timeout = duration_from("DOGWATCH_MAX_TIMEOUT")?;
    request.leaving = true;
    Ok(request)
}

/// `recover`, as meant: a wait that gives a step no time to start unless it was told to.
///
/// # Errors
/// As [`wait`].
pub(super) fn recover(arguments: &RecoverArguments, global: &Global) -> Result<Wait, Error> {
    let mut request = wait(&arguments.wait, global)?;
    if request.steps.is_empty() {
        return Err(Error::Usage("a log alone has no run to recover; name its step".to_owned()));
    }
    request.start_timeout = arguments.wait.start_timeout.unwrap_or(Duration::ZERO);
    Ok(request)
}

/// `recover --dry-run`, as meant.
///
/// # Errors
/// As [`wait`].
pub(super) fn recover_dry(arguments: &RecoverArguments, global: &Global) -> Result<Check, Error> {
    let request = recover(arguments, global)?;
    let mut check = Check::new(request.directory, request.steps);
    (check.stale, check.max_timeout) = (request.stale, request.max_timeout);
    check.environment_stale = request.environment_stale;
    check.environment_max_timeout = request.environment_max_timeout;
    check.log_tail = request.log_tail;
    Ok(check)
}

/// `kill`, as meant.
///
/// # Errors
/// [`Error::Usage`] where the environment does not fit.
pub(super) fn kill(steps: &[StepName], grace: Option<Duration>, global: &Global) -> Result<Kill, Error> {
    let grace = or_environment(grace, "DOGWATCH_GRACE", units::duration)?.unwrap_or(GRACE);
    Ok(Kill { directory: directory(global)?, steps: steps.to_vec(), grace })
}

/// `wait`, as meant.
///
/// # Errors
/// [`Error::Usage`] where a flag does not fit.
pub(super) fn wait(arguments: &WaitArguments, global: &Global) -> Result<Wait, Error> {
    let mut request = waiting(arguments.steps.clone(), global)?;
    request.stale = arguments.stale;
    request.max_timeout = arguments.max_timeout;
    if let Some(grace) = or_environment(arguments.grace, "DOGWATCH_GRACE", units::duration)? {
        request.grace = grace;
    }
    if let Some(limit) = or_environment(arguments.start_timeout, "DOGWATCH_START_TIMEOUT", units::duration)? {
        request.start_timeout = limit;
    }
    if let Some(interval) = or_environment(arguments.poll_interval, "DOGWATCH_POLL_INTERVAL", units::duration)? {
        if interval.is_zero() {
            return Err(Error::Usage("a poll interval of 0 would never rest; use one like 1s".to_owned()));
        }
        request.poll_interval = interval;
    }
    let backend = or_environment(arguments.backend, "DOGWATCH_BACKEND", |text| BackendWord::from_str(text, true))?;
    request.backend = match backend.unwrap_or(BackendWord::Auto) {
        BackendWord::Auto => Backend::Auto,
        BackendWord::Event => Backend::Event,
        BackendWord::Poll => Backend::Poll,
    };
    request.kill = !arguments.no_kill;
    if arguments.kill_command.as_ref().is_some_and(|command| command.is_empty()) {
        return Err(Error::Usage(
            "--kill-command is empty; name a command, or use --no-kill to end nothing".to_owned(),
        ));
    }
    request.kill_command.clone_from(&arguments.kill_command);
    request.at_most = arguments.at_most;
    // `--all` is the default; it is there to be said.
    request.any = arguments.any && !arguments.all;
    request.fail_fast = arguments.fail_fast;
    request.new = arguments.new;
    request.log_tail = arguments.log_tail;
    look_through(arguments, &mut request)?;
    let several = arguments.steps.iter().any(|step| *step != arguments.steps[0]);
    if several && arguments.propagate {
        return Err(Error::Usage("--propagate passes on one step's exit code; name one step".to_owned()));
    }
    Ok(request)
}

/// What is looked for in which log.
fn look_through(arguments: &WaitArguments, request: &mut Wait) -> Result<(), Error> {
    let (marker, fail) = (arguments.marker.as_deref(), arguments.fail_marker.as_deref());
    if marker.is_some() || fail.is_some() {
        request.markers = Some(Arc::new(Patterns::new(marker, fail).map_err(Error::Usage)?));
    }
    let Some(log) = &arguments.log else { return Ok(()) };
    if request.markers.is_none() {
        return Err(Error::Usage("--log names a log to look through; say for what with --marker REGEX".to_owned()));
    }
    if log.as_os_str().is_empty() {
        return Err(Error::Usage("--log is empty; name a file".to_owned()));
    }
    if arguments.steps.iter().any(|step| *step != arguments.steps[0]) {
        return Err(Error::Usage("--log is one step's log; name one step, or none".to_owned()));
    }
    request.log = Some(log.clone());
    Ok(())
}

/// `list`, as meant: a check of whatever is there.
///
/// # Errors
/// [`Error::Usage`] where the environment does not fit.
pub(super) fn list(global: &Global) -> Result<Check, Error> {
    let mut request = Check::new(directory(global)?, Vec::new());
    request.environment_stale = duration_from("DOGWATCH_STALE")?;
    request.environment_max_timeout = duration_from("DOGWATCH_MAX_TIMEOUT")?;
    request.log_tail = 1;
    Ok(request)
}

/// `log`, as meant.
///
/// # Errors
/// [`Error::Usage`] where the environment does not fit.
pub(super) fn log(step: StepName, follow: bool, lines: Option<u64>, global: &Global) -> Result<Log, Error> {
    let start_timeout = duration_from("DOGWATCH_START_TIMEOUT")?.unwrap_or(START_TIMEOUT);
    Ok(Log { directory: directory(global)?, step, lines, follow, start_timeout })
}

/// `check`, as meant.
///
/// # Errors
/// [`Error::Usage`] where the environment does not fit.
pub(super) fn check(arguments: &CheckArguments, global: &Global) -> Result<Check, Error> {
    let mut request = Check::new(directory(global)?, arguments.steps.clone());
    request.stale = arguments.stale;
    request.max_timeout = arguments.max_timeout;
    request.environment_stale = duration_from("DOGWATCH_STALE")?;
    request.environment_max_timeout = duration_from("DOGWATCH_MAX_TIMEOUT")?;
    request.log_tail = arguments.log_tail;
    Ok(request)
}
