//! `run`: runs COMMAND as a step and comes back with how it ended.
//!
//! The exit code of the contract is in [`RunResult`], the rest in the files.

use crate::decide::breaker::MAX_CONSECUTIVE;
use crate::decide::policy::{GRACE, HEARTBEAT_INTERVAL};
use crate::error::Error;
use crate::ops::event::Event;
#[cfg(feature = "preflight")]
use crate::ops::preflight::{PreflightOptions, gate};
#[cfg(feature = "preflight")]
use crate::preflight::MonitorSettings;
use crate::record::shell_word::shell_word;
use crate::record::step_name::StepName;
use crate::runner::{self, HeartbeatOn, Job, LogStreams, ResultFrom, RunResult, RunnerEvent};
use crate::sys::env;
use crate::sys::fs::foreign_writers::{ForeignWriters, foreign_writers};
use crate::sys::fs::monitor_dir::MonitorDir;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Runs COMMAND as a step.
///
/// This process becomes the run's wrapper: it waits for COMMAND, and for no other child, and handles signals. Call it from the
/// main thread: COMMAND is ended with the thread that called.
///
/// # Examples
///
/// ```
/// use dogwatch::{CheckOptions, Outcome, RunOptions};
///
/// let folder = tempfile::tempdir()?;
/// let command = ["sh", "-c", "echo $WORK; exit 3"];
///
/// let result = RunOptions::new(folder.path(), "build".parse()?, command).env("WORK", "compiling").run()?;
/// assert_eq!((result.outcome, result.exit_code), (Outcome::Failed, 3));
/// assert_eq!(std::fs::read_to_string(folder.path().join("build.log"))?, "compiling\n");
/// // Every later reader is told the same.
/// assert_eq!(CheckOptions::new(folder.path()).step("build".parse()?).check()?[0].exit_code, Some(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RunOptions {
    pub(crate) directory: PathBuf,
    pub(crate) job: Job,
    /// What has to hold before anything of the step is touched.
    #[cfg(feature = "preflight")]
    pub(crate) preflight: Option<PreflightOptions>,
}

impl RunOptions {
    /// Runs COMMAND, a program and its arguments, as `step` of this monitor directory, which is made where it is missing.
    pub fn new<Word: Into<OsString>>(
        directory: impl Into<PathBuf>,
        step: StepName,
        command: impl IntoIterator<Item = Word>,
    ) -> Self {
        let job = Job {
            breaker: Some(step.clone()),
            step,
            command: command.into_iter().map(Into::into).collect(),
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
            directory: directory.into(),
            job,
            #[cfg(feature = "preflight")]
            preflight: None,
        }
    }

    /// How often the run sends a heartbeat: every 10 s by default.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.job.heartbeat_interval = interval;
        self
    }

    /// What a heartbeat means: that COMMAND lives, by default.
    pub fn heartbeat_on(mut self, what: HeartbeatOn) -> Self {
        self.job.heartbeat_on = what;
        self
    }

    /// Ends the run when its heartbeat is this old, whether or not anything waits for it; zero and `None` for never.
    pub fn stale(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.job.stale = limit.into();
        self
    }

    /// Ends the run after this long, whether or not anything waits for it; zero and `None` for never.
    pub fn max_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.job.max_timeout = limit.into();
        self
    }

    /// How long processes have from TERM to KILL: 5 s by default.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.job.grace = grace;
        self
    }

    /// Which of COMMAND's streams go to the log: both by default. The others stay this process's own.
    pub fn log(mut self, streams: LogStreams) -> Self {
        self.job.log = streams;
        self
    }

    /// Also passes the logged output through to standard output, in order.
    pub fn tee(mut self, tee: bool) -> Self {
        self.job.tee = tee;
        self
    }

    /// How many bytes of disk the log may use, 1 GiB by default; beyond it the oldest part is deleted. Zero for no limit.
    pub fn log_max(mut self, bytes: u64) -> Self {
        self.job.log_max = bytes;
        self
    }

    /// Where the result comes from: the file in `$DOGWATCH_RESULT`, where COMMAND writes it, by default.
    pub fn result(mut self, from: ResultFrom) -> Self {
        self.job.result = from;
        self
    }

    /// Does not end the processes that COMMAND leaves running.
    pub fn keep_children(mut self, keep: bool) -> Self {
        self.job.keep_children = keep;
        self
    }

    /// Gives COMMAND a variable beyond those that it inherits.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.job.env.push((name.into(), value.into()));
        self
    }

    /// The folder to run COMMAND in: this process's own by default.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.job.cwd = Some(folder.into());
        self
    }

    /// Lets COMMAND read this process's standard input, in place of `/dev/null`.
    pub fn inherit_stdin(mut self, inherit: bool) -> Self {
        self.job.inherit_stdin = inherit;
        self
    }

    /// The circuit breaker that counts the run: the step's own by default. With `None` the run starts even if that is open, and
    /// is not counted.
    pub fn breaker(mut self, name: impl Into<Option<StepName>>) -> Self {
        self.job.breaker = name.into();
        self
    }

    /// How many failures in a row open the breaker, 3 by default; zero for never.
    pub fn max_consecutive(mut self, failures: u32) -> Self {
        self.job.max_consecutive = failures;
        self
    }

    /// How long after its last failure an open breaker lets one run start; `None`, the default, for never.
    pub fn cooldown(mut self, cooldown: impl Into<Option<Duration>>) -> Self {
        self.job.cooldown = cooldown.into();
        self
    }

    /// A word by which the run can be chosen; it has the form of a step's name.
    pub fn tag(mut self, tag: &StepName) -> Self {
        self.job.tags.push(tag.as_str().to_owned());
        self
    }

    /// Runs the checks of the project's `preflight.toml` first, and starts nothing if one fails. The project is that of this
    /// process's current folder.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind): the current folder is gone.
    #[cfg(feature = "preflight")]
    pub fn preflight(self) -> Result<Self, Error> {
        let settings =
            MonitorSettings { directory: self.directory.clone(), heartbeat_interval: None, stale: self.job.stale };
        let preflight = Some(PreflightOptions::of_current_folder(settings)?);
        Ok(Self { preflight, ..self })
    }

    /// Runs COMMAND to its end.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyRunning`](crate::ErrorKind) where the step runs already, [`ErrorKind::BreakerOpen`](crate::ErrorKind),
    /// [`ErrorKind::Internal`](crate::ErrorKind) where the directory cannot be written.
    pub fn run(&self) -> Result<RunResult, Error> {
        self.run_with(&mut |_| {})
    }

    /// As [`run`](Self::run), and reports what happens meanwhile: [`Event::Started`], [`Event::Warning`] and
    /// [`Event::Evidence`].
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with(&self, on_event: &mut dyn FnMut(Event<'_>)) -> Result<RunResult, Error> {
        #[cfg(feature = "preflight")]
        if let Some(preflight) = &self.preflight {
            gate(preflight, &mut |sentence| on_event(Event::Warning(sentence)))?;
        }
        // A directory of another user is refused elsewhere.
        let writers = foreign_writers(&env::absolute(&self.directory), true);
        if let Some(writers @ ForeignWriters::Mode { folder, .. }) = &writers {
            let advice = format!("chmod go-w {}", shell_word(&folder.to_string_lossy()));
            let risk = format!("{writers}; who can write there can replace every file of every run; {advice}");
            on_event(Event::Warning(&risk));
        }
        runner::run(&MonitorDir::at(self.directory.clone()), &self.job, &mut |event| {
            on_event(match event {
                RunnerEvent::Started(pid) => Event::Started(pid),
                RunnerEvent::Warning(sentence) => Event::Warning(sentence),
                RunnerEvent::Evidence(tree) => Event::Evidence(tree),
            });
        })
    }
}
