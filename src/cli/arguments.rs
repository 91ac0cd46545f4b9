//! The command line as typed: flags, their help, and nothing resolved.
//!
//! Refuses to read the environment and to combine flags; that is `resolve`'s.

use super::exit::{Exit, table};
use super::quantity;
use crate::protocol::step::StepName;
use clap::{Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Runs background work and tells you the moment it succeeded, failed, hung, died or ran out of time.
#[derive(Debug, Parser)]
#[command(
    name = "dogwatch",
    version,
    about,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = main_help()
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The monitor directory [default: `$DOGWATCH_DIR`, else one of your own for this project]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Global options")]
    pub(super) dir: Option<PathBuf>,
    /// Machine output: one JSON object a line on standard output
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// Say nothing but what was asked for
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
    /// Say on standard error how it is done; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(super) verbose: u8,
    /// Colour: auto, always or never (`NO_COLOR` is respected)
    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Global options"
    )]
    pub(super) color: Color,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run COMMAND as a step: log, heartbeat, status, result
    #[command(after_help = run_help())]
    Run(Box<RunArguments>),
    /// Block until steps end, and say how
    #[command(after_help = wait_help())]
    Wait(Box<WaitArguments>),
    /// Say once how steps stand; waits for nothing and touches nothing
    #[command(after_help = check_help())]
    Check(CheckArguments),
    /// Beat for a step: a sign of life from a script or from COMMAND itself
    #[command(after_help = "Example:\n  dogwatch beat build\n\nInside a run the step may be left out.")]
    Beat {
        /// The step [default: the one this runs in, `$DOGWATCH_STEP`]
        #[arg(value_parser = step)]
        step: Option<StepName>,
    },
    /// Show, close or feed a circuit breaker
    #[command(after_help = "Example:\n  dogwatch breaker reset build")]
    Breaker {
        #[command(subcommand)]
        what: BreakerCommand,
    },
    /// Print the monitor directory
    #[command(after_help = "Example:\n  ls \"$(dogwatch dir)\"")]
    Dir,
}

/// What is done with a breaker.
#[derive(Debug, Subcommand)]
pub(super) enum BreakerCommand {
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
pub(super) enum Counted {
    /// Resets.
    Success,
    /// Adds one.
    Failed,
}

/// `run`, as typed.
#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The step's name
    #[arg(value_parser = step)]
    pub(super) step: StepName,
    /// The program to run, and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
    /// How often to beat [default: 10s, or a third of --stale]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) heartbeat_interval: Option<Duration>,
    /// What makes it beat: COMMAND lives, its log grows, or only COMMAND itself beats
    #[arg(long, value_name = "WHAT", default_value = "process")]
    pub(super) heartbeat_on: HeartbeatWord,
    /// Which streams go to the log; the others stay this terminal's
    #[arg(long, value_name = "STREAMS", default_value = "both")]
    pub(super) log: LogWord,
    /// Also pass the logged output through, in order
    #[arg(long)]
    pub(super) tee: bool,
    /// How much disk the log may use; beyond it the oldest part goes (0: no bound) [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    pub(super) log_max: Option<u64>,
    /// Where the result comes from: the file that COMMAND is told, its standard output, or the file only
    #[arg(long, value_name = "FROM", default_value = "auto")]
    pub(super) result: ResultWord,
    /// End the run after this long, even if nobody waits (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) max_timeout: Option<Duration>,
    /// End the run when its heartbeat is this old, even if nobody waits (0: never) [default: no limit]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) stale: Option<Duration>,
    /// From TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) grace: Option<Duration>,
    /// Let what COMMAND leaves running live on
    #[arg(long)]
    pub(super) keep_children: bool,
    /// COMMAND's standard input: /dev/null, or this terminal's
    #[arg(long, value_name = "WHICH", default_value = "null")]
    pub(super) stdin: StdinWord,
    /// Return as soon as COMMAND runs, and print the pid; the work goes on by itself
    #[arg(short, long, conflicts_with_all = ["tee"])]
    pub(super) detach: bool,
    /// The circuit breaker that counts this run [default: the step's own]
    #[arg(long, value_name = "NAME", value_parser = step, conflicts_with = "no_breaker")]
    pub(super) breaker: Option<StepName>,
    /// How many failures in a row open the breaker (0: never) [default: 3]
    #[arg(long, value_name = "N")]
    pub(super) max_consecutive: Option<u32>,
    /// Count this run for no breaker, and ask none
    #[arg(long)]
    pub(super) no_breaker: bool,
    /// After how long an open breaker lets one run through [default: never]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) cooldown: Option<Duration>,
}

/// `--heartbeat-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HeartbeatWord {
    /// While COMMAND lives
    Process,
    /// While the log grows
    Output,
    /// When COMMAND itself beats
    Manual,
}

/// `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogWord {
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
pub(super) enum ResultWord {
    /// The file, where COMMAND writes it
    Auto,
    /// COMMAND's standard output
    Stdout,
    /// The file; that it is missing is a fault
    File,
}

/// `--stdin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StdinWord {
    /// /dev/null
    Null,
    /// This process's own
    Inherit,
}

/// `wait`, as typed.
#[derive(Debug, Args)]
pub(super) struct WaitArguments {
    /// The steps to wait for
    #[arg(required = true, value_name = "STEP", value_parser = step)]
    pub(super) steps: Vec<StepName>,
    /// A heartbeat this old means hung (0: never) [default: the run's own, else 60s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) stale: Option<Duration>,
    /// A run this old is out of time (0: never) [default: the run's own, else 30m]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) max_timeout: Option<Duration>,
    /// From TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) grace: Option<Duration>,
    /// Only report a hung or overdue run; end and record nothing
    #[arg(long)]
    pub(super) no_kill: bool,
    /// The longest this call blocks; then exit 75, and call again to go on
    #[arg(long = "for", value_name = "D", value_parser = quantity::duration)]
    pub(super) at_most: Option<Duration>,
    /// How long a step may take to start [default: 60s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) start_timeout: Option<Duration>,
    /// Until all have ended (the default)
    #[arg(long, conflicts_with = "any")]
    pub(super) all: bool,
    /// Until the first has ended, whatever its outcome
    #[arg(long)]
    pub(super) any: bool,
    /// Until all have ended, or the first badly
    #[arg(long, conflicts_with = "any")]
    pub(super) fail_fast: bool,
    /// Pass over an outcome that was recorded before this call
    #[arg(long)]
    pub(super) new: bool,
    /// How to notice changes [default: auto]
    #[arg(long, value_name = "HOW")]
    pub(super) backend: Option<BackendWord>,
    /// How often to look where no events come [default: 1s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) poll_interval: Option<Duration>,
    /// End with COMMAND's own exit code where it is known (one step)
    #[arg(long)]
    pub(super) propagate: bool,
    /// Print only the result's JSON
    #[arg(long, conflicts_with = "json")]
    pub(super) result: bool,
    /// How many of the log's last lines to show on anything but success
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) log_tail: usize,
}

/// `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum BackendWord {
    /// Events where they tell all, else polling
    Auto,
    /// Events
    Event,
    /// Polling
    Poll,
}

/// `check`, as typed.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The steps to look at
    #[arg(required = true, value_name = "STEP", value_parser = step)]
    pub(super) steps: Vec<StepName>,
    /// A heartbeat this old means hung (0: never) [default: the run's own, else 60s]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) stale: Option<Duration>,
    /// A run this old is out of time (0: never) [default: the run's own, else 30m]
    #[arg(long, value_name = "D", value_parser = quantity::duration)]
    pub(super) max_timeout: Option<Duration>,
    /// How many of the log's last lines to show on anything but success
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) log_tail: usize,
}

fn step(text: &str) -> Result<StepName, String> {
    StepName::parse(text).map_err(|error| error.to_string())
}

fn main_help() -> String {
    format!(
        "Example:\n  dogwatch run build -- cargo build &\n  dogwatch wait build && echo go\n\n\
         Every step's files stand in one directory; `dogwatch dir` prints it.\n\n{}",
        table(&Exit::ALL)
    )
}

fn run_help() -> String {
    let codes = table(&[Exit::Hung, Exit::CircuitOpen, Exit::Timeout, Exit::Own, Exit::NotExecutable, Exit::NotFound]);
    format!(
        "Example:\n  dogwatch run build --max-timeout 30m -- cargo build --release\n\n\
         Ends with COMMAND's own exit code, 128 + n where signal n ended it.\n{codes}"
    )
}

fn wait_help() -> String {
    let codes = table(&[
        Exit::Success,
        Exit::Failed,
        Exit::Usage,
        Exit::Hung,
        Exit::Died,
        Exit::NotStarted,
        Exit::Running,
        Exit::Timeout,
        Exit::Own,
        Exit::Interrupted,
        Exit::Terminated,
    ]);
    format!("Example:\n  dogwatch wait build test --for 9m --json\n\nOf several steps the worst decides.\n{codes}")
}

fn check_help() -> String {
    format!(
        "Example:\n  dogwatch check build --json\n\nEnds as `wait` does; 75 while the step runs.\n{}",
        table(&[Exit::Success, Exit::Failed, Exit::Hung, Exit::Died, Exit::NotStarted, Exit::Running, Exit::Timeout,])
    )
}

/// Reads the command line.
///
/// # Errors
/// clap's own: help and version are among them.
pub(super) fn parse(line: impl IntoIterator<Item = OsString>, color: ColorChoice) -> Result<Arguments, clap::Error> {
    let matches = Arguments::command().color(color).try_get_matches_from(line)?;
    <Arguments as clap::FromArgMatches>::from_arg_matches(&matches)
}

/// A usage error in one sentence: what clap says in several lines, and where help is.
pub(super) fn one_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if paragraph.starts_with("Usage:") || paragraph.starts_with("For more information") {
            continue;
        }
        said.push(paragraph.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned());
    }
    let about = text.lines().find_map(|line| line.strip_prefix("Usage: dogwatch "));
    let command =
        about.and_then(|usage| usage.split_whitespace().next()).filter(|word| word.starts_with(char::is_alphabetic));
    let help = command.map_or_else(|| "dogwatch --help".to_owned(), |command| format!("dogwatch {command} --help"));
    format!("{} (see {help})", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault_in_the_definition() {
        Arguments::command().debug_assert();
    }

    fn refused(line: &str) -> String {
        let words = std::iter::once("dogwatch").chain(line.split_whitespace()).map(OsString::from);
        one_sentence(&parse(words, ColorChoice::Never).unwrap_err())
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_fault_and_the_help() {
        for (line, fault, help) in [
            ("wiat build", "'wait'", "dogwatch --help"),
            ("wait", "<STEP>", "dogwatch wait --help"),
            ("wait a/b", "no step name", "--help"),
            ("wait b --stale soon", "is no duration", "--help"),
            ("run build", "<COMMAND>", "dogwatch run --help"),
            ("run build --log-max huge -- true", "is no size", "--help"),
        ] {
            let sentence = refused(line);
            assert!(sentence.contains(fault) && sentence.contains(help), "{line}: {sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
