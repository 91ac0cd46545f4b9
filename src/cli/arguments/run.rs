//! `run`, as typed.
//!
//! Refuses to combine flags; that is `resolve`'s.

use crate::cli::arguments::step;
use crate::cli::exit_code::{ExitCode, table};
use crate::record::step_name::StepName;
use crate::record::units;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::time::Duration;

/// `run`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// The step's name
    #[arg(value_parser = step)]
    pub(in crate::cli) step: StepName,
    /// The program to run, and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<OsString>,
    /// How often to beat [default: 10s, or a third of --stale]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) heartbeat_interval: Option<Duration>,
    /// What makes it beat: COMMAND lives, its log grows, its processes do anything, or only COMMAND itself beats
    #[arg(long, value_name = "WHAT", default_value = "process")]
    pub(in crate::cli) heartbeat_on: HeartbeatWord,
    /// Which streams go to the log; the others stay this terminal's
    #[arg(long, value_name = "STREAMS", default_value = "both")]
    pub(in crate::cli) log: LogWord,
    /// Also pass the logged output through, in order
    #[arg(long)]
    pub(in crate::cli) tee: bool,
    /// How much disk the log may use; beyond it the oldest part goes (0: no bound) [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(in crate::cli) log_max: Option<u64>,
    /// Where the result comes from: the file that COMMAND is told, its standard output, or the file only
    #[arg(long, value_name = "FROM", default_value = "auto")]
    pub(in crate::cli) result: ResultWord,
    /// End the run after this long, even if nobody waits (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) max_timeout: Option<Duration>,
    /// End the run when its heartbeat is this old, even if nobody waits (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) stale: Option<Duration>,
    /// From TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) grace: Option<Duration>,
    /// Let what COMMAND leaves running live on
    #[arg(long)]
    pub(in crate::cli) keep_children: bool,
    /// COMMAND's standard input: /dev/null, or this terminal's
    #[arg(long, value_name = "WHICH", default_value = "null")]
    pub(in crate::cli) stdin: StdinWord,
    /// Return as soon as COMMAND runs, and print the pid; the work goes on by itself
    #[arg(short, long, conflicts_with_all = ["tee"])]
    pub(in crate::cli) detach: bool,
    /// Where the step runs already, wait for that run instead of refusing
    #[arg(long)]
    pub(in crate::cli) attach: bool,
    /// The circuit breaker that counts this run [default: the step's own]
    #[arg(long, value_name = "NAME", value_parser = step, conflicts_with = "no_breaker")]
    pub(in crate::cli) breaker: Option<StepName>,
    /// How many failures in a row open the breaker (0: never) [default: 3]
    #[arg(long, value_name = "N")]
    pub(in crate::cli) max_consecutive: Option<u32>,
    /// Count this run for no breaker, and ask none
    #[arg(long)]
    pub(in crate::cli) no_breaker: bool,
    /// Check first what the project's preflight.toml says, and start nothing where a check fails
    #[arg(long)]
    pub(in crate::cli) preflight: bool,
    /// After how long an open breaker lets one run through [default: never]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(in crate::cli) cooldown: Option<Duration>,
}

/// `--heartbeat-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum HeartbeatWord {
    /// While COMMAND lives
    Process,
    /// While the log grows
    Output,
    /// While COMMAND's processes use CPU time, move bytes or write output
    Activity,
    /// When COMMAND itself beats
    Manual,
}

/// `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogWord {
    /// Standard output and standard error
    Both,
    /// Standard error
    Stderr,
    /// Standard output
    Stdout,
    /// Nothing
    None,
}

/// `--result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ResultWord {
    /// The file, where COMMAND writes it
    Auto,
    /// COMMAND's standard output
    Stdout,
    /// The file; that it is missing is a fault
    File,
}

/// `--stdin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StdinWord {
    /// /dev/null
    Null,
    /// This process's own
    Inherit,
}

pub(super) fn help() -> String {
    let codes = table(&[
        ExitCode::Hung,
        ExitCode::CircuitOpen,
        ExitCode::Timeout,
        ExitCode::Own,
        ExitCode::NotExecutable,
        ExitCode::NotFound,
    ]);
    format!(
        "Example:\n  dogwatch run build --max-timeout 30m -- cargo build --release\n\n\
         Ends with COMMAND's own exit code, 128 + n where signal n ended it.\n{codes}"
    )
}
