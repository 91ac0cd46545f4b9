//! `start`, `succeed` and `fail`, as typed.
//!
//! Refuses to combine flags; that is `resolve`'s.

use crate::cli::arguments::step;
use crate::cli::exit_code::{ExitCode, table};
use crate::record::step_name::StepName;
use clap::Args;

/// `start`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct StartArguments {
    /// The step
    #[arg(value_parser = step)]
    pub(in crate::cli) step: StepName,
    /// The process whose end is the run's: in a shell, its own `$$`
    #[arg(long, value_name = "PID")]
    pub(in crate::cli) pid: i32,
}

/// `succeed`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct SucceedArguments {
    /// The step
    #[arg(value_parser = step)]
    pub(in crate::cli) step: StepName,
    /// One JSON value, or - to read it from standard input [default: no result]
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub(in crate::cli) result: Option<String>,
}

/// `fail`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct FailArguments {
    /// The step
    #[arg(value_parser = step)]
    pub(in crate::cli) step: StepName,
    /// A sentence on why
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(in crate::cli) detail: Option<String>,
}

pub(super) fn start_help() -> String {
    format!(
        "Example:\n  dogwatch start deploy --pid $$\n\n\
         Once it beats (`dogwatch beat deploy`) it has to go on beating; a script that never does is bounded by its \
         process and the maximum time alone.\n{}",
        table(&[ExitCode::Success, ExitCode::Usage, ExitCode::Own])
    )
}

pub(super) fn end_help(example: &str) -> String {
    format!(
        "Example:\n  dogwatch {example}\n\n\
         A run has one outcome: the same once more is fine, another is refused (125).\n{}",
        table(&[ExitCode::Success, ExitCode::Usage, ExitCode::Own])
    )
}
