//! `wait`, `recover` and `check`, as typed.
//!
//! Refuses to combine flags; that is `resolve`'s.

use crate::cli::arguments::step;
use crate::cli::exit_code::{ExitCode, table};
use crate::record::step_name::StepName;
use crate::record::units;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How many lines of a log are shown unasked.
pub(super) const LOG_TAIL: usize = 20;

/// `wait`, as typed.
#[derive(Debug, Default, Args)]
pub(in crate::cli) struct WaitArguments {
    /// The steps to wait for; with --log there may be none
    #[arg(required_unless_present = "log", value_name = "STEP", value_parser = step)]
    pub(in crate::cli) steps: Vec<StepName>,
    /// A heartbeat this old means hung (0: never) [default: the run's own, else 60s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) stale: Option<Duration>,
    /// A run this old is out of time (0: never) [default: the run's own, else 30m]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) max_timeout: Option<Duration>,
    /// From TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) grace: Option<Duration>,
    /// Only report a hung or overdue run; end and record nothing
    #[arg(long)]
    pub(in crate::cli) no_kill: bool,
    /// End a run by `sh -c COMMAND` instead of signals (sees `DOGWATCH_STEP`, `DOGWATCH_PID` and `DOGWATCH_DIR`): for
    /// work on a cluster or another host, like 'scancel 123'
    #[arg(long, value_name = "COMMAND", conflicts_with = "no_kill")]
    pub(in crate::cli) kill_command: Option<OsString>,
    /// The longest this call blocks; then exit 75, and call again to go on
    #[arg(long = "for", value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) at_most: Option<Duration>,
    /// How long a step may take to start [default: 60s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) start_timeout: Option<Duration>,
    /// Until all have ended (the default)
    #[arg(long, conflicts_with = "any")]
    pub(in crate::cli) all: bool,
    /// Until the first has ended, whatever its outcome
    #[arg(long)]
    pub(in crate::cli) any: bool,
    /// Until all have ended, or the first badly
    #[arg(long, conflicts_with = "any")]
    pub(in crate::cli) fail_fast: bool,
    /// Pass over an outcome that was recorded before this call
    #[arg(long)]
    pub(in crate::cli) new: bool,
    /// Also end well (exit 0) when a line of the log matches, from the log's beginning
    #[arg(long, value_name = "REGEX")]
    pub(in crate::cli) marker: Option<String>,
    /// Also end as failed (exit 1) when a line of the log matches; beats a marker
    #[arg(long, value_name = "REGEX")]
    pub(in crate::cli) fail_marker: Option<String>,
    /// The log to look through for markers [default: the step's own]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) log: Option<PathBuf>,
    /// How to notice changes [default: auto]
    #[arg(long, value_name = "HOW")]
    pub(in crate::cli) backend: Option<BackendWord>,
    /// How often to look where no events come [default: 1s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) poll_interval: Option<Duration>,
    /// End with COMMAND's own exit code where it is known (one step)
    #[arg(long)]
    pub(in crate::cli) propagate: bool,
    /// Print only the result's JSON
    #[arg(long, conflicts_with = "json")]
    pub(in crate::cli) result: bool,
    /// How many of the log's last lines to show on anything but success
    #[arg(long, value_name = "N", default_value_t = LOG_TAIL)]
    pub(in crate::cli) log_tail: usize,
}

/// `recover`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct RecoverArguments {
    #[command(flatten)]
    pub(in crate::cli) wait: WaitArguments,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

/// `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum BackendWord {
    /// Events where they tell all, else polling
    Auto,
    /// Events
    Event,
    /// Polling
    Poll,
}

/// `check`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArguments {
    /// The steps to look at
    #[arg(required = true, value_name = "STEP", value_parser = step)]
    pub(in crate::cli) steps: Vec<StepName>,
    /// A heartbeat this old means hung (0: never) [default: the run's own, else 60s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) stale: Option<Duration>,
    /// A run this old is out of time (0: never) [default: the run's own, else 30m]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) max_timeout: Option<Duration>,
    /// How many of the log's last lines to show on anything but success
    #[arg(long, value_name = "N", default_value_t = LOG_TAIL)]
    pub(in crate::cli) log_tail: usize,
}

pub(super) fn wait_help() -> String {
    let codes = table(&[
        ExitCode::Success,
        ExitCode::Failed,
        ExitCode::Usage,
        ExitCode::Hung,
        ExitCode::Died,
        ExitCode::NotStarted,
        ExitCode::Running,
        ExitCode::Timeout,
        ExitCode::Own,
        ExitCode::Interrupted,
        ExitCode::Terminated,
    ]);
    format!(
        "Examples:\n  dogwatch wait build test --for 9m --json\n  \
         dogwatch wait server --marker 'listening on' --fail-marker 'panic|EADDRINUSE' && curl localhost:8080\n\n\
         Of several steps the worst decides.\n{codes}"
    )
}

pub(super) fn recover_help() -> String {
    format!(
        "Example:\n  dogwatch recover build --for 9m --json\n\n\
         For when a waiter was lost. What has ended is reported; what is hung or out of time is ended with its whole tree; \
         what died is recorded, and what it left is ended; what works is waited for. A step that has not started is said \
         so at once, unless --start-timeout gives it time.\nEnds as `wait` does.\n{}",
        table(&[
            ExitCode::Success,
            ExitCode::Failed,
            ExitCode::Hung,
            ExitCode::Died,
            ExitCode::NotStarted,
            ExitCode::Running,
            ExitCode::Timeout
        ])
    )
}

pub(super) fn check_help() -> String {
    format!(
        "Example:\n  dogwatch check build --json\n\nEnds as `wait` does; 75 while the step runs.\n{}",
        table(&[
            ExitCode::Success,
            ExitCode::Failed,
            ExitCode::Hung,
            ExitCode::Died,
            ExitCode::NotStarted,
            ExitCode::Running,
            ExitCode::Timeout,
        ])
    )
}
