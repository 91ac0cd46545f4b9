//! The command line: arguments to options, reports to text, JSON and exit codes. Called by `main`.
//!
//! One file a subcommand in `commands`; results go to standard output, everything else to standard error.

mod commands;
mod deadline;
mod defaults;
mod output;
mod usage_error;

use crate::error::{Error, ErrorKind};
use crate::exit_code::ExitCode;
use crate::sys::signals;
use clap::{Args, FromArgMatches, ValueEnum};
use output::{Output, print_error};
use std::ffi::OsString;
use std::panic::catch_unwind;
use std::path::PathBuf;

/// The program: reads the command line, does what it says, ends with the exit code of the contract.
#[cfg_attr(not(test), expect(clippy::disallowed_methods, reason = "its arguments are what this layer reads"))]
pub fn main() -> ! {
    signals::survive_file_size_limit();
    let code = catch_panic(|| run(&std::env::args_os().collect::<Vec<_>>()));
    std::process::exit(i32::from(code))
}

/// A panic ends with 125 like any other failure of ours: no script knows what 101 means. The panic has printed where.
fn catch_panic(work: impl FnOnce() -> u8 + std::panic::UnwindSafe) -> u8 {
    catch_unwind(work).unwrap_or_else(|_| {
        print_error("this is a bug in dogwatch; please report it");
        ExitCode::InternalError.code()
    })
}

fn run(line: &[OsString]) -> u8 {
    if let Some(code) = commands::completions::answer(line) {
        return code;
    }
    let parsed = commands::parse(line).and_then(|matches| Ok((GlobalArgs::from_arg_matches(&matches)?, matches)));
    let (global, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return usage_error::print(&error, line),
    };
    let context = Context { out: Output::new(&global), dir: global.dir };
    let code = commands::exec(&matches, &context).unwrap_or_else(|error| context.out.error(&error));
    context.out.finish(code)
}

/// Flags that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
struct GlobalArgs {
    /// The monitor directory [default: `$DOGWATCH_DIR`, else one of your own for this project]
    #[arg(long, value_name = "DIR", global = true, value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Print machine output: one JSON object a line on standard output; `full`, or -v, gives every key of a wait's answer
    #[arg(
        long,
        value_name = "FORM",
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "brief"
    )]
    json: Option<JsonForm>,
    /// Print no remarks, only what was asked for
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print on standard error how changes are noticed and why; repeat for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Colour: auto, always or never (`NO_COLOR` is respected)
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto", hide_default_value = true)]
    color: Color,
}

/// How much a JSON object tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum JsonForm {
    /// Of a wait for what runs or has succeeded: what is needed to go on.
    Brief,
    /// Everything.
    Full,
}

/// When output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    /// On a terminal.
    Auto,
    /// Even into a pipe.
    Always,
    /// Not at all.
    Never,
}

/// What every command gets besides its own arguments.
struct Context {
    /// `--dir`, where it was given.
    dir: Option<PathBuf>,
    /// Where and how to print.
    out: Output,
}

/// The exit code for an operation that gave no report.
fn exit_code_of(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::InvalidOptions => ExitCode::Usage,
        ErrorKind::BreakerOpen => ExitCode::CircuitOpen,
        ErrorKind::NotStarted => ExitCode::NotStarted,
        ErrorKind::AlreadyRunning | ErrorKind::Internal => ExitCode::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_with_125() {
        assert_eq!((catch_panic(|| panic!("a fault")), catch_panic(|| 3)), (125, 3));
    }
}
