//! `run`: runs COMMAND as a step and comes back with how it ended.
//!
//! Refuses to turn the run's end into words; the exit code of the contract is in [`RunResult`], the rest in the files.

use crate::decide::breaker::MAX_CONSECUTIVE;
use crate::decide::policy::{GRACE, HEARTBEAT_INTERVAL};
use crate::error::Error;
use crate::exit_code::{ExitCode, of_signal};
#[cfg(feature = "preflight")]
use crate::ops::preflight::{PreflightOptions, gate};
use crate::record::evidence::TreeProcess;
use crate::record::outcome::Outcome;
use crate::record::shell_word::shell_word;
use crate::record::step_name::StepName;
use crate::runner;
pub(crate) use crate::runner::RunReporter;
use crate::runner::{Finished, HeartbeatOn, Job, LogStreams, ResultFrom};
use crate::sys::env;
use crate::sys::fs::foreign_writers::{ForeignWriters, foreign_writers};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::process::spawn::ExitStatus;
use std::ffi::OsString;
use std::path::PathBuf;

/// What to run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunOptions {
    /// The monitor directory; made where it is missing.
    pub directory: PathBuf,
    pub(crate) job: Job,
    /// What has to hold before anything of the step is touched.
    #[cfg(feature = "preflight")]
    pub(crate) preflight: Option<PreflightOptions>,
}

impl RunOptions {
    /// Runs COMMAND as `step` with every default.
    #[must_use]
    pub fn new(directory: PathBuf, step: StepName, command: Vec<OsString>) -> Self {
        let job = Job {
            breaker: Some(step.clone()),
            step,
            command,
            heartbeat_interval: HEARTBEAT_INTERVAL,
            heartbeat_on: HeartbeatOn::Process,
            stale: None,
            max_timeout: None,
            grace: GRACE,
            log: LogStreams::Both,
            tee: false,
            detached: false,
            owns_process: false,
            log_max: 1 << 30,
            result: ResultFrom::Auto,
            keep_children: false,
            env: Vec::new(),
            cwd: None,
            inherit_stdin: false,
            max_consecutive: MAX_CONSECUTIVE,
            cooldown: None,
            tags: Vec::new(),
            owes_end: false,
        };
        Self {
            directory,
            job,
            #[cfg(feature = "preflight")]
            preflight: None,
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunResult {
    /// The outcome as recorded for everybody.
    pub outcome: Outcome,
    /// The exit code that `dogwatch run` ends with: COMMAND's own, 128 + n for signal n, 124 over its time, 3 hung, 126
    /// not executable, 127 not found.
    pub exit_code: u8,
    /// Why COMMAND could not be started.
    pub fault: Option<String>,
}

/// Runs COMMAND to its end, as the step's wrapper.
///
/// This process becomes the wrapper: it waits for COMMAND, and for no other child, and handles signals. Call it from its main
/// thread: COMMAND is ended with the thread that called.
///
/// # Examples
///
/// ```
/// use dogwatch::{CheckOptions, Outcome, RunOptions, StepName, check, run};
///
/// let folder = tempfile::tempdir()?;
/// let (directory, step) = (folder.path().to_path_buf(), StepName::parse("build")?);
/// let command = ["sh", "-c", "echo working; exit 3"].map(Into::into).to_vec();
///
/// let ran = run(&RunOptions::new(directory.clone(), step.clone(), command))?;
/// assert_eq!((ran.outcome, ran.exit_code), (Outcome::Failed, 3));
/// assert_eq!(std::fs::read_to_string(directory.join("build.log"))?, "working\n");
/// // Whoever looks later is told the same.
/// assert_eq!(check(&CheckOptions::new(directory, vec![step]))?[0].exit_code, Some(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `ErrorKind::AlreadyRunning` where the step runs already, `ErrorKind::BreakerOpen`, `ErrorKind::Internal` where the directory cannot be
/// written.
pub fn run(request: &RunOptions) -> Result<RunResult, Error> {
    struct Silent;
    impl RunReporter for Silent {
        fn started(&mut self, _pid: i32, _fault: Option<&runner::NotStarted>) {}
        fn trouble(&mut self, _sentence: &str) {}
        fn evidence(&mut self, _tree: &[TreeProcess]) {}
    }
    listen(request, &mut Silent)
}

/// As [`run`], with a listener.
pub(crate) fn listen(request: &RunOptions, listener: &mut dyn RunReporter) -> Result<RunResult, Error> {
    #[cfg(feature = "preflight")]
    if let Some(preflight) = &request.preflight {
        gate(preflight, &mut |sentence| listener.trouble(sentence))?;
    }
    // A directory of another user is refused elsewhere.
    let writers = foreign_writers(&env::absolute(&request.directory), true);
    if let Some(writers @ ForeignWriters::Mode { folder, .. }) = &writers {
        let advice = format!("chmod go-w {}", shell_word(&folder.to_string_lossy()));
        listener.trouble(&format!("{writers}; who can write there can replace every file of every run; {advice}"));
    }
    let directory = MonitorDir::at(request.directory.clone());
    let finished = runner::run(&directory, &request.job, listener)?;
    Ok(RunResult {
        outcome: finished.outcome,
        exit_code: exit_code(&finished),
        fault: finished.not_started.map(|fault| fault.sentence),
    })
}

fn exit_code(finished: &Finished) -> u8 {
    if let Some(fault) = &finished.not_started {
        return if fault.missing { ExitCode::NotFound } else { ExitCode::NotExecutable }.code();
    }
    match (finished.outcome, finished.ended) {
        // These are recorded as COMMAND's own end only when somebody ended it; its code is then an accident.
        (Outcome::Timeout, _) => ExitCode::Timeout.code(),
        (Outcome::Hung, _) => ExitCode::Hung.code(),
        (_, Some(ExitStatus::Code(code))) => u8::try_from(code & 0xff).unwrap_or(1),
        (_, Some(ExitStatus::Signal(number))) => of_signal(number),
        (_, None) => ExitCode::InternalError.code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(outcome: Outcome, ended: Option<ExitStatus>) -> Finished {
        Finished { outcome, ended, not_started: None }
    }

    #[test]
    fn commands_own_code_passes_unless_somebody_ended_it() {
        for code in 0..=255_u8 {
            let ended = Some(ExitStatus::Code(i32::from(code)));
            assert_eq!(exit_code(&finished(Outcome::Failed, ended)), code);
        }
        assert_eq!(exit_code(&finished(Outcome::Failed, Some(ExitStatus::Signal(15)))), 143);
        assert_eq!(exit_code(&finished(Outcome::Timeout, Some(ExitStatus::Signal(9)))), 124);
        assert_eq!(exit_code(&finished(Outcome::Hung, Some(ExitStatus::Code(1)))), 3);
        assert_eq!(exit_code(&finished(Outcome::Success, Some(ExitStatus::Code(0)))), 0);
    }
}
