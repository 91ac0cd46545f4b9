//! The command line as typed: flags, their help, and nothing resolved.
//!
//! Refuses to read the environment and to combine flags; that is `resolve`'s.

mod fault;
mod own;
mod plain;
mod preflight;
mod run;
mod wait;

use crate::cli::exit_code::{ExitCode, table};
use crate::record::step_name::StepName;
use crate::record::units;
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
pub(in crate::cli) use fault::one_sentence;
pub(in crate::cli) use own::{FailArguments, StartArguments, SucceedArguments};
pub(in crate::cli) use preflight::PreflightArguments;
pub(in crate::cli) use run::{HeartbeatWord, LogWord, ResultWord, RunArguments, StdinWord};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
pub(in crate::cli) use wait::{BackendWord, CheckArguments, RecoverArguments, WaitArguments};

/// Runs background work and tells you the moment it succeeded, failed, hung, died or ran out of time.
#[derive(Debug, Parser)]
#[command(
    name = "dogwatch",
    version,
    about,
    disable_help_subcommand = true,
    after_help = main_help()
)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    pub(in crate::cli) global: Global,
    #[command(subcommand)]
    pub(in crate::cli) command: Command,
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Global {
    /// The monitor directory [default: `$DOGWATCH_DIR`, else one of your own for this project]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global options")]
    pub(in crate::cli) dir: Option<PathBuf>,
    /// Machine output: one JSON object a line on standard output
    #[arg(long, global = true, help_heading = "Global options")]
    pub(in crate::cli) json: bool,
    /// Say nothing but what was asked for
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(in crate::cli) quiet: bool,
    /// Say on standard error how it is done; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(in crate::cli) verbose: u8,
    /// Colour: auto, always or never (`NO_COLOR` is respected)
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Global options"
    )]
    pub(in crate::cli) color: Color,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Color {
    /// On a terminal.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Run COMMAND as a step: log, heartbeat, status, result
    #[command(after_help = run::help())]
    Run(Box<RunArguments>),
    /// Block until steps end, and say how
    #[command(after_help = wait::wait_help())]
    Wait(Box<WaitArguments>),
    /// Say once how steps stand; waits for nothing and touches nothing
    #[command(after_help = wait::check_help())]
    Check(CheckArguments),
    /// Put right what a lost waiter left: report, record, end or go on waiting
    #[command(after_help = wait::recover_help())]
    Recover(Box<RecoverArguments>),
    /// End runs with their whole process trees
    #[command(after_help = kill_help())]
    Kill {
        /// The steps whose runs to end
        #[arg(required = true, value_name = "STEP", value_parser = step)]
        steps: Vec<StepName>,
        /// From TERM to KILL [default: 5s]
        #[arg(long, value_name = "D", value_parser = units::duration)]
        grace: Option<Duration>,
    },
    /// List the steps here: state, elapsed, heartbeat age, pid, last log line
    #[command(after_help = list_help())]
    List {
        /// Draw it anew at every change, until Ctrl-C
        #[arg(short, long)]
        watch: bool,
    },
    /// Print a step's log
    #[command(after_help = log_help())]
    Log {
        /// The step
        #[arg(value_parser = step)]
        step: StepName,
        /// Go on printing what is written, until the step ends
        #[arg(short, long)]
        follow: bool,
        /// Only the last N lines [default: all]
        #[arg(short = 'n', long, value_name = "N")]
        lines: Option<u64>,
    },
    /// Beat for a step: a sign of life from a script or from COMMAND itself
    #[command(after_help = "Example:\n  dogwatch beat build\n\nInside a run the step may be left out.")]
    Beat {
        /// The step [default: the one this runs in, `$DOGWATCH_STEP`]
        #[arg(value_parser = step)]
        step: Option<StepName>,
    },
    /// Write the start files of a script that is its own wrapper
    #[command(after_help = own::start_help())]
    Start(StartArguments),
    /// Record that a step has succeeded, for a script that is its own wrapper
    #[command(after_help = own::end_help("succeed deploy --result '{\"version\":7}'"))]
    Succeed(SucceedArguments),
    /// Record that a step has failed, for a script that is its own wrapper
    #[command(after_help = own::end_help("fail deploy --detail 'the server does not answer'"))]
    Fail(FailArguments),
    /// Take ended runs away; locks and circuit breakers stay
    #[command(after_help = clean_help())]
    Clean {
        /// The steps whose files to remove
        #[arg(required_unless_present = "older_than", value_name = "STEP", value_parser = step)]
        steps: Vec<StepName>,
        /// All ended runs of which nothing was written for this long
        #[arg(long, value_name = "D", value_parser = units::duration, conflicts_with = "steps")]
        older_than: Option<Duration>,
        /// Say what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show, close or feed a circuit breaker
    #[command(after_help = breaker_help())]
    Breaker {
        #[command(subcommand)]
        what: BreakerCommand,
    },
    /// Check what has to hold before work begins, and mend what can be mended
    #[command(after_help = preflight::help())]
    Preflight(Box<PreflightArguments>),
    /// Print the page that teaches coding agents this program
    #[command(after_help = skill_help())]
    Skill {
        /// Put it into a folder instead [default: `~/.claude/skills/dogwatch`]
        // Empty where no folder is named.
        #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "")]
        install: Option<OsString>,
    },
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  dogwatch completions bash > ~/.local/share/bash-completion/completions/dogwatch"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page, or write one for each command into a folder
    #[command(after_help = "Example:\n  dogwatch man --out ~/.local/share/man/man1")]
    Man {
        /// The folder; made where it is missing
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Print the monitor directory
    #[command(after_help = "Example:\n  ls \"$(dogwatch dir)\"")]
    Dir,
}

/// What is done with a breaker.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum BreakerCommand {
    /// Show one breaker, or all of the directory
    Show {
        /// Its name; a step's own breaker has the step's name
        #[arg(value_parser = step)]
        name: Option<StepName>,
    },
    /// Close one breaker, or all of the directory
    Reset {
        /// Its name
        #[arg(value_parser = step)]
        name: Option<StepName>,
    },
    /// Count a success or a failure by hand
    Record {
        /// Its name
        #[arg(value_parser = step)]
        name: StepName,
        /// What to count
        #[arg(value_name = "success|failed")]
        outcome: Counted,
    },
}

/// What is counted by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Counted {
    /// Resets.
    Success,
    /// Adds one.
    Failed,
}

fn step(text: &str) -> Result<StepName, String> {
    StepName::parse(text).map_err(|error| error.to_string())
}

fn kill_help() -> String {
    "Example:\n  dogwatch kill build --grace 10s\n\n\
     The run is recorded as failed, killed on request; it counts for no circuit breaker.\n\
     Exit codes:\n    0  none of them runs any more\n    5  no such step has started\n  \
     125  one could not be ended; the line says why"
        .to_owned()
}

fn list_help() -> String {
    format!(
        "Example:\n  dogwatch list --watch\n\n\
         With --json one object a step, as `check --json` has it but for what its processes do; with --watch one for each \
         step that has changed.\n{}",
        table(&[ExitCode::Success, ExitCode::Own, ExitCode::Interrupted])
    )
}

fn log_help() -> String {
    format!(
        "Example:\n  dogwatch log build -f -n 20; dogwatch wait build\n\n\
         Into a pipe or file the bytes go as they were written; a terminal is sent no control character. Following ends \
         with 0 when the step has ended, however it did: `wait` says how.\n{}",
        table(&[ExitCode::Success, ExitCode::NotStarted, ExitCode::Own, ExitCode::Interrupted, ExitCode::Terminated])
    )
}

fn clean_help() -> String {
    "Example:\n  dogwatch clean --older-than 7d --dry-run\n\n\
     Exit codes:\n    0  all of them are gone\n    5  no such step has started\n  125  one still runs, or could not be \
     removed; the line says why"
        .to_owned()
}

fn breaker_help() -> String {
    format!(
        "Example:\n  dogwatch breaker reset build\n\n\
         `run` refuses to start once so many failures in a row were counted; any success closes the circuit again.\n{}",
        table(&[ExitCode::Success, ExitCode::Usage, ExitCode::Own])
    )
}

fn skill_help() -> String {
    format!(
        "Example:\n  dogwatch skill --install\n\n\
         Prints where the page stands then. One that was edited is left as it is (125).\n{}",
        table(&[ExitCode::Success, ExitCode::Own])
    )
}

fn main_help() -> String {
    format!(
        "Example:\n  dogwatch run build -- cargo build &\n  dogwatch wait build && echo go\n\n\
         Every step's files stand in one directory; `dogwatch dir` prints it.\n\n{}",
        table(&ExitCode::ALL)
    )
}

/// The whole definition, as completions and man pages are made from it.
pub(in crate::cli) fn definition() -> clap::Command {
    Arguments::command()
}

/// Reads the command line.
///
/// # Errors
/// clap's own: help and version are among them.
pub(in crate::cli) fn parse(
    line: impl IntoIterator<Item = OsString>,
    color: ColorChoice,
) -> Result<Arguments, clap::Error> {
    let line: Vec<OsString> = line.into_iter().collect();
    if let Some(arguments) = plain::parse(&line).or_else(|| plain::parse_by_one(&line)) {
        return Ok(arguments);
    }
    let matches = Arguments::command().color(color).try_get_matches_from(line)?;
    Arguments::from_arg_matches(&matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_in_the_definition() {
        Arguments::command().debug_assert();
    }
}
