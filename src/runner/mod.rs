//! The running loop: being a run.
//!
//! It starts COMMAND held, publishes the start files, lets COMMAND go, beats, forwards signals, bounds time and log, and
//! publishes the end. It refuses to change COMMAND's fate by its own troubles (I8): what cannot be written is said on
//! stderr, and the exit code stays COMMAND's.

mod command_text;
mod end_tree;
mod finish;
mod heartbeat;
mod interruption;
mod left_behind;
mod output;
mod start;
mod supervise;

use crate::error::{Error, UnknownWord, Word};
use crate::exit_code::ExitCode;
use crate::record::evidence::TreeProcess;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What to run, and how.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The step.
    pub(crate) step: StepName,
    /// COMMAND and its arguments.
    pub(crate) command: Vec<OsString>,
    /// How often to beat.
    pub(crate) heartbeat_interval: Duration,
    /// What makes it beat.
    pub(crate) heartbeat_on: HeartbeatOn,
    /// How old the heartbeat may become before the run is ended, where `run` was given it; zero for never.
    pub(crate) stale: Option<Duration>,
    /// How long the run may take, where `run` was given it; zero for no limit.
    pub(crate) max_timeout: Option<Duration>,
    /// From TERM to KILL.
    pub(crate) grace: Duration,
    /// Which streams go to the log.
    pub(crate) log: LogStreams,
    /// Whether the log is also passed through to standard output.
    pub(crate) tee: bool,
    /// Whether no caller waits for this process: then it stays to write the outcome to the disk.
    pub(crate) detached: bool,
    /// Whether this process does nothing but this run: it adopts orphans and waits for every child.
    pub(crate) owns_process: bool,
    /// How many bytes of disk the log may use; zero for no bound.
    pub(crate) log_max: u64,
    /// Where the result comes from.
    pub(crate) result: ResultFrom,
    /// Whether what COMMAND leaves running lives on.
    pub(crate) keep_children: bool,
    /// Variables that COMMAND sees beyond those inherited.
    pub(crate) env: Vec<(String, OsString)>,
    /// The folder in which COMMAND starts; nothing for this process's own.
    pub(crate) cwd: Option<PathBuf>,
    /// Whether COMMAND keeps this process's standard input.
    pub(crate) inherit_stdin: bool,
    /// The circuit breaker that counts the run.
    pub(crate) breaker: Option<StepName>,
    /// How many failures in a row open it.
    pub(crate) max_consecutive: u32,
    /// After how long an open circuit lets one run through.
    pub(crate) cooldown: Option<Duration>,
    /// The words by which the run can be chosen.
    pub(crate) tags: Vec<String>,
    /// Whether the run's end is owed to the caller of `run --for`, which starts nothing over an end that is owed already.
    pub(crate) owes_end: bool,
}

/// What makes a run beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeartbeatOn {
    /// COMMAND lives.
    Process,
    /// The log grows.
    Output,
    /// COMMAND's process tree uses CPU time, moves bytes or writes output.
    Activity,
    /// Only COMMAND itself beats.
    Manual,
}

impl HeartbeatOn {
    /// The words of the command line.
    pub(crate) const WORDS: [Word<Self>; 4] = [
        ("process", Self::Process, "COMMAND lives"),
        ("output", Self::Output, "The log grows"),
        ("activity", Self::Activity, "COMMAND's processes use CPU time, move bytes or write output"),
        ("manual", Self::Manual, "COMMAND itself sends it"),
    ];

    /// The word in `.meta` and on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        Self::WORDS.into_iter().find_map(|(word, on, _)| (on == self).then_some(word)).unwrap_or_default()
    }
}

impl FromStr for HeartbeatOn {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        UnknownWord::find(word, &Self::WORDS)
    }
}

/// Which of COMMAND's streams go to the log; the others stay this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogStreams {
    /// Standard output and standard error, in order.
    Both,
    /// Standard error only.
    Stderr,
    /// Standard output only.
    Stdout,
    /// Neither: no log is written.
    None,
}

impl LogStreams {
    /// The words of the command line.
    pub(crate) const WORDS: [Word<Self>; 4] = [
        ("both", Self::Both, "Standard output and standard error"),
        ("stderr", Self::Stderr, "Standard error"),
        ("stdout", Self::Stdout, "Standard output"),
        ("none", Self::None, "Nothing"),
    ];
}

impl FromStr for LogStreams {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        UnknownWord::find(word, &Self::WORDS)
    }
}

/// Where the result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResultFrom {
    /// The file that COMMAND was told, where it wrote one.
    Auto,
    /// COMMAND's standard output.
    Stdout,
    /// The file that COMMAND was told; that it wrote none is a fault.
    File,
}

impl ResultFrom {
    /// The words of the command line.
    pub(crate) const WORDS: [Word<Self>; 3] = [
        ("auto", Self::Auto, "The file in $DOGWATCH_RESULT, where COMMAND writes it"),
        ("stdout", Self::Stdout, "COMMAND's standard output"),
        ("file", Self::File, "The file in $DOGWATCH_RESULT; it is an error if it is missing"),
    ];
}

impl FromStr for ResultFrom {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        UnknownWord::find(word, &Self::WORDS)
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

/// Why COMMAND could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecError {
    /// The exit code that says so: there is no such program, or it cannot be executed.
    pub(crate) exit_code: ExitCode,
    /// The sentence.
    pub(crate) sentence: String,
}

/// What a run reports while it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunnerEvent<'event> {
    /// The start files stand and COMMAND runs; this process's number.
    Started(i32),
    /// Something could not be done; COMMAND's fate does not change.
    Warning(&'event str),
    /// COMMAND is ended for a limit; this is its tree before the first signal.
    Evidence(&'event [TreeProcess]),
}

/// Where a run reports to.
pub(crate) type OnEvent<'call> = &'call mut dyn FnMut(RunnerEvent<'_>);

/// Runs a job to its end.
///
/// # Errors
/// [`Error`] where no run was begun.
pub(crate) fn run(directory: &MonitorDir, job: &Job, on_event: OnEvent<'_>) -> Result<RunResult, Error> {
    let mut run = start::start(directory, job, on_event)?;
    let tree = supervise::supervise(&mut run, job, on_event);
    Ok(finish::finish(run, job, tree, on_event))
}
