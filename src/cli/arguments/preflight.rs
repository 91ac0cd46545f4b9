//! `preflight`, as typed.
//!
//! Refuses to combine flags; that is `resolve`'s.

use crate::cli::exit_code::{ExitCode, table};
use crate::preflight::Kind;
use crate::preflight::config::{module, variable};
use crate::preflight::network::{Address, Url};
use clap::Args;
use std::path::PathBuf;

/// `preflight`, as typed.
#[derive(Debug, Args)]
pub(in crate::cli) struct PreflightArguments {
    /// The file with the checks [default: preflight.toml in the project's folder, where it is]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Run the `fix` of every check that fails, each once, and check again
    #[arg(long)]
    pub(in crate::cli) fix: bool,
    /// Write a commented file for this project; one that is there is left as it is
    #[arg(
        long,
        conflicts_with_all = ["fix", "command", "python_import", "venv", "http", "tcp", "env", "exists"]
    )]
    pub(in crate::cli) init: bool,
    /// Passes where this shell command ends with exit code 0 (repeatable, as all below)
    #[arg(long, value_name = "TEXT", help_heading = "Checks, instead of the project's file")]
    command: Vec<String>,
    /// Passes where python3 can import this module
    #[arg(long, value_name = "MODULE", value_parser = module, help_heading = "Checks, instead of the project's file")]
    python_import: Vec<String>,
    /// Passes where this Python environment's scripts start by its own, unchanged Python
    #[arg(long, value_name = "FOLDER", help_heading = "Checks, instead of the project's file")]
    venv: Vec<PathBuf>,
    /// Passes where a GET of this http:// URL is answered with 2xx
    #[arg(long, value_name = "URL", value_parser = Url::parse, help_heading = "Checks, instead of the project's file")]
    http: Vec<Url>,
    /// Passes where a connection is taken there
    #[arg(long, value_name = "HOST:PORT", value_parser = Address::parse, help_heading = "Checks, instead of the project's file")]
    tcp: Vec<Address>,
    /// Passes where this variable is set and not empty
    #[arg(long, value_name = "VARIABLE", value_parser = variable, help_heading = "Checks, instead of the project's file")]
    env: Vec<String>,
    /// Passes where something stands under this path
    #[arg(long, value_name = "PATH", help_heading = "Checks, instead of the project's file")]
    exists: Vec<PathBuf>,
}

impl PreflightArguments {
    /// The checks that were asked for, in the order of the help.
    pub(in crate::cli) fn asked(&self) -> Vec<Kind> {
        let import = |module: &String| Kind::PythonImport { module: module.clone(), python: "python3".to_owned() };
        let variable = |name: &String| Kind::Env { variable: name.clone(), matches: None };
        let commands = self.command.iter().cloned().map(Kind::Command);
        commands
            .chain(self.python_import.iter().map(import))
            .chain(self.venv.iter().cloned().map(Kind::Venv))
            .chain(self.http.iter().cloned().map(Kind::Http))
            .chain(self.tcp.iter().cloned().map(Kind::Tcp))
            .chain(self.env.iter().map(variable))
            .chain(self.exists.iter().cloned().map(Kind::File))
            .collect()
    }
}

pub(super) fn help() -> String {
    let codes = table(&[ExitCode::Success, ExitCode::Failed, ExitCode::Usage]);
    format!(
        "Example:\n  dogwatch preflight --init && dogwatch preflight --fix && dogwatch run build -- make\n  \
         dogwatch preflight --tcp localhost:5432 --env API_KEY\n\n\
         Without a file and without checks as flags: the monitor directory, and .venv where the project has it. With\n\
         --file and flags: both. All checks run at once, each within its timeout (10s). Commands and fixes are given to\n\
         `sh -c` without standard input; a check that is over its time is ended with all that it started. Fixes run one\n\
         after the other, at most 10 minutes each, their output on standard error. Nothing is changed without --fix, and\n\
         --fix runs only what the file holds. `dogwatch run --preflight` (or DOGWATCH_PREFLIGHT=1) starts nothing where a\n\
         check fails.\n\n\
         --json: one object a check, in the file's order, always with all keys: check, kind, verdict (passed, failed,\n\
         fixed), detail (what a check that passed has to say), symptom, cause, fix (its own, else the usual way), fixed\n\
         (whether fixes helped; null where none was run), elapsed_ms, schema (1). What is absent is null.\n\n{codes}"
    )
}
