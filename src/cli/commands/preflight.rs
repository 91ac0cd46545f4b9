//! `dogwatch preflight`: findings as a table or as JSON, and the exit code. All text of others is sanitized.

use super::{Help, Subcommand};
use crate::cli::output::print_error;
use crate::cli::output::styles::Styles;
use crate::cli::{Context, defaults};
use crate::exit_code::ExitCode;
use crate::ops::Error;
use crate::ops::preflight::{self, Listener, Refusal};
use crate::preflight::Kind;
use crate::preflight::config::{module, variable};
use crate::preflight::network::{Address, Url};
use crate::preflight::report::{Finding, Word};
use crate::record::SCHEMA;
use crate::record::sanitize::sanitize_for_terminal;
use crate::sys::signals::Signal;
use clap::Args;
use serde::Serialize;
use std::borrow::Cow;
use std::path::PathBuf;

/// The widest column of names; a longer name only pushes its own row.
const WIDEST: usize = 40;

#[derive(Debug, Args)]
pub(super) struct PreflightArgs {
    /// The file with the checks [default: preflight.toml in the project's folder, where it is]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run the `fix` of every check that fails, each once, and check again
    #[arg(long)]
    fix: bool,
    /// Write a commented file for this project; an existing one is not changed
    #[arg(
        long,
        conflicts_with_all = ["fix", "command", "python_import", "venv", "http", "tcp", "env", "exists"]
    )]
    init: bool,
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
    /// Passes where a connection is accepted there
    #[arg(long, value_name = "HOST:PORT", value_parser = Address::parse, help_heading = "Checks, instead of the project's file")]
    tcp: Vec<Address>,
    /// Passes where this variable is set and not empty
    #[arg(long, value_name = "VARIABLE", value_parser = variable, help_heading = "Checks, instead of the project's file")]
    env: Vec<String>,
    /// Passes where this path exists
    #[arg(long, value_name = "PATH", help_heading = "Checks, instead of the project's file")]
    exists: Vec<PathBuf>,
}

impl PreflightArgs {
    /// The checks that were asked for, in the order of the help.
    fn asked(&self) -> Vec<Kind> {
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

impl Subcommand for PreflightArgs {
    const NAME: &'static str = "preflight";
    const ABOUT: &'static str = "Check what has to hold before work begins, and fix what can be fixed";
    const HELP: Help = Help {
        examples: &[
            "dogwatch preflight --init && dogwatch preflight --fix && dogwatch run build -- make",
            "dogwatch preflight --tcp localhost:5432 --env API_KEY",
        ],
        notes: "Without a file and without checks as flags: the monitor directory, and .venv where the project has it. With\n\
                --file and flags: both. All checks run at once, each within its timeout (10s). Commands and fixes are given to\n\
                `sh -c` without standard input; a check that is over its time is ended with all that it started. Fixes run one\n\
                after the other, at most 10 minutes each, their output on standard error. Nothing is changed without --fix, and\n\
                --fix runs only what the file holds. `dogwatch run --preflight` (or DOGWATCH_PREFLIGHT=1) starts nothing where a\n\
                check fails.\n\n\
                --json: one object a check, in the file's order, always with all keys: check, kind, verdict (passed, failed,\n\
                fixed), detail (what a check that passed has to say), symptom, cause, fix (its own, else the usual way), fixed\n\
                (whether fixes helped; null where none was run), elapsed_ms, schema (1). What is absent is null.",
        exit_codes: &[(ExitCode::Success, None), (ExitCode::Failed, None), (ExitCode::Usage, None)],
    };

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let mut request = defaults::preflight(defaults::directory(context)?)?;
        request.file.clone_from(&self.file);
        request.fix = self.fix;
        request.asked = self.asked();
        if self.init {
            let file = preflight::init(&request)?.to_string_lossy().into_owned();
            if out.json {
                out.print_json(&Written { file, schema: SCHEMA });
            } else if !out.quiet {
                out.print_line(&sanitize_for_terminal(&file));
            }
            return Ok(ExitCode::Success.code());
        }
        let findings = match preflight::preflight(&request, &mut Printer { context }) {
            Ok(findings) => findings,
            Err(Refusal::Faults(sentences)) => {
                for sentence in &sentences {
                    print_error(sentence);
                }
                return Ok(ExitCode::Usage.code());
            }
            Err(Refusal::Interrupted(signal)) => {
                print_error(&format!("{signal} came before all checks were done; what they had started is ended"));
                let exit = if signal == Signal::SIGINT { ExitCode::Interrupted } else { ExitCode::Terminated };
                return Ok(exit.code());
            }
        };
        if out.json {
            for finding in &findings {
                out.print_json(finding);
            }
        } else if !out.quiet {
            for line in table(&findings, out.styles) {
                out.print_line(&line);
            }
        }
        let failed = findings.iter().any(|finding| finding.verdict == Word::Failed);
        Ok(if failed { ExitCode::Failed } else { ExitCode::Success }.code())
    }
}

/// Where the file is that was written.
#[derive(Serialize)]
struct Written {
    file: String,
    schema: u64,
}

/// Prints what happens while checks run.
struct Printer<'call> {
    context: &'call Context,
}

impl Listener for Printer<'_> {
    fn fixing(&mut self, command: &str) {
        if !self.context.out.quiet {
            print_error(&format!("running the fix: {command}"));
        }
    }

    fn trouble(&mut self, sentence: &str) {
        print_error(sentence);
    }
}

/// A row a check; under one that failed what is seen, what is behind it, and what mends it.
fn table(findings: &[Finding], styles: Styles) -> Vec<String> {
    let names: Vec<Cow<'_, str>> = findings.iter().map(|finding| sanitize_for_terminal(&finding.check)).collect();
    let widest = names.iter().map(|name| name.chars().count()).filter(|&width| width <= WIDEST).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (finding, name) in findings.iter().zip(&names) {
        let detail =
            finding.detail.as_deref().map_or_else(String::new, |detail| format!("  {}", sanitize_for_terminal(detail)));
        lines.push(format!("{name:<widest$}  {}{detail}", styles.check_status(finding.verdict)));
        let fix = if finding.own_fix { "fix:     " } else { "usual fix:" };
        for (label, text) in [("symptom: ", &finding.symptom), ("cause:   ", &finding.cause), (fix, &finding.fix)] {
            if let (Some(text), Word::Failed) = (text, finding.verdict) {
                lines.push(format!("    {label} {}", sanitize_for_terminal(text)));
            }
        }
    }
    let failed: Vec<&Finding> = findings.iter().filter(|finding| finding.verdict == Word::Failed).collect();
    if !failed.is_empty() {
        let mendable = failed.iter().filter(|finding| finding.own_fix && finding.fixed.is_none()).count();
        let advice = if mendable == 0 {
            String::new()
        } else {
            format!("; dogwatch preflight --fix runs what mends {mendable} of them")
        };
        lines.push(format!("{} of {} checks failed{advice}", failed.len(), findings.len()));
    }
    lines
}
