//! `dogwatch preflight`: the report as a table or as JSON, and the exit code. All text of others is sanitized.

use super::{Args, Context, Error, ExitCode, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::cli::output::styles::Styles;
use crate::ops::preflight::{self, PreflightError, PreflightEvent, PreflightReport};
use crate::preflight::CheckKind;
use crate::preflight::checks::http::Url;
use crate::preflight::checks::tcp::Address;
use crate::preflight::config::{module, variable};
use crate::preflight::report::{CheckStatus, FixSource};
use crate::record::SCHEMA;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::shell_word::shell_word;
use crate::sys::signals::Signal;
use clap::ValueHint::AnyPath;
use clap::builder::{PathBufValueParser, StringValueParser, TypedValueParser};
use serde_json::json;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The widest column of names; a longer name only shifts its own row.
const MAX_NAME_WIDTH: usize = 40;

#[derive(Debug, Args)]
pub(super) struct PreflightArgs {
    /// The file with the checks [default: preflight.toml in the project's folder, if it exists]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Run the `fix` of every check that fails, each once, then all checks again
    #[arg(long)]
    fix: bool,
    /// Write a commented file for this project, with the suggested fix; an existing one is not changed
    #[arg(
        long,
        conflicts_with_all = ["fix", "command", "python_import", "venv", "http", "tcp", "env", "exists"]
    )]
    init: bool,
    #[command(flatten, next_help_heading = "Checks, instead of the project's file")]
    checks: CheckFlags,
}

/// Checks that are given as flags.
#[derive(Debug, Args)]
struct CheckFlags {
    /// Passes if this shell command exits with 0 (repeatable, as all below)
    #[arg(long, value_name = "TEXT", value_parser = StringValueParser::new().map(CheckKind::Command))]
    command: Vec<CheckKind>,
    /// Passes if python3 can import this module
    #[arg(long, value_name = "MODULE", value_parser = module.map(import))]
    python_import: Vec<CheckKind>,
    /// Passes if this Python environment's scripts and activate work and its Python is unchanged
    #[arg(long, value_name = "FOLDER", value_parser = PathBufValueParser::new().map(CheckKind::Venv), value_hint = AnyPath)]
    venv: Vec<CheckKind>,
    /// Passes if a GET of this http:// URL is answered with 2xx
    #[arg(long, value_name = "URL", value_parser = Url::parse.map(CheckKind::Http))]
    http: Vec<CheckKind>,
    /// Passes if a connection is accepted there
    #[arg(long, value_name = "HOST:PORT", value_parser = Address::parse.map(CheckKind::Tcp))]
    tcp: Vec<CheckKind>,
    /// Passes if this variable is set and not empty
    #[arg(long, value_name = "VARIABLE", value_parser = variable.map(is_set))]
    env: Vec<CheckKind>,
    /// Passes if this path exists
    #[arg(long, value_name = "PATH", value_parser = PathBufValueParser::new().map(CheckKind::File), value_hint = AnyPath)]
    exists: Vec<CheckKind>,
}

fn import(module: String) -> CheckKind {
    CheckKind::PythonImport { module, python: "python3".to_owned() }
}

fn is_set(variable: String) -> CheckKind {
    CheckKind::Env { variable, matches: None }
}

impl Subcommand for PreflightArgs {
    const NAME: &'static str = "preflight";
    const ABOUT: &'static str = "Check what must be true before work begins, and fix what can be fixed";
    const EXAMPLES: &'static [&'static str] = &[
        "dogwatch preflight --init && dogwatch preflight --fix && dogwatch run build -- make",
        "dogwatch preflight --tcp localhost:5432 --env API_KEY",
    ];
    const NOTES: &'static str = "Without a file and without checks as flags: the monitor directory, and .venv if the project has it. With\n\
        --file and flags: both. All checks run at once, each within its timeout (10s). Commands and fixes are run by\n\
        `sh -c` without standard input; a check that is over its time is terminated with all that it started. Fixes run\n\
        one after the other, at most 10 minutes each, their output on standard error; then all checks run again. --fix\n\
        runs only a check's own `fix`, never a suggested one, and nothing is changed without --fix.\n\
        `dogwatch run --preflight` starts nothing if a check fails.\n\n\
        --json: one object a check, in the file's order, always with all keys: check, kind, verdict (passed, failed,\n\
        fixed), detail (of a check that passed), symptom, cause, fix, fix_source (configured, suggested), fixed (whether\n\
        fixes helped; null if none was run), elapsed_ms, schema (1). Absent facts are null.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::Failed, ExitCode::Usage];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let mut options = defaults::preflight(defaults::directory(context)?)?;
        let CheckFlags { command, python_import, venv, http, tcp, env, exists } = self.checks;
        options.flags = [command, python_import, venv, http, tcp, env, exists].concat();
        (options.file, options.fix) = (self.file, self.fix);
        if self.init {
            let file = preflight::init(&options)?.to_string_lossy().into_owned();
            if out.json {
                out.print_json(&json!({ "file": file, "schema": SCHEMA }));
            } else if !out.quiet {
                out.print_line(&sanitize_for_terminal(&file));
            }
            return Ok(ExitCode::Success.code());
        }
        let mut on_event = |event: PreflightEvent<'_>| match event {
            PreflightEvent::FixStarted(command) if !out.quiet => print_error(&format!("running the fix: {command}")),
            PreflightEvent::FixStarted(_) => {}
            PreflightEvent::Warning(sentence) => print_error(sentence),
        };
        match preflight::preflight(&options, &mut on_event) {
            Ok(report) => {
                let file = options.file.as_ref().map(|file| format!(" --file {}", shell_word(&file.to_string_lossy())));
                let fix = format!("dogwatch preflight --fix{}", file.unwrap_or_default());
                Ok(print_report(&report, (!options.fix).then_some(&fix), context))
            }
            Err(PreflightError::Config(sentences)) if out.json => Err(Error::invalid_options(sentences.join("; "))),
            Err(PreflightError::Config(sentences)) => {
                for sentence in &sentences {
                    print_error(sentence);
                }
                Ok(ExitCode::Usage.code())
            }
            Err(PreflightError::Interrupted(signal)) => {
                print_error(&format!(
                    "{signal} came before all checks were done; what they had started was terminated"
                ));
                Ok(if signal == Signal::SIGINT { ExitCode::Interrupted } else { ExitCode::Terminated }.code())
            }
        }
    }
}

/// Prints the report, with what runs the fixes where they were not run; returns the exit code.
fn print_report(report: &PreflightReport, fix: Option<&String>, context: &Context) -> u8 {
    let out = &context.out;
    if out.json {
        for check in &report.checks {
            out.print_json(check);
        }
    } else if !out.quiet {
        for line in table(report, fix, out.styles) {
            out.print_line(&line);
        }
    }
    let failed = report.failed();
    let without_fix = failed.iter().filter(|check| check.fix_source != Some(FixSource::Configured));
    let without_fix: Vec<&str> = without_fix.map(|check| check.check.as_str()).collect();
    if fix.is_none() && !without_fix.is_empty() && !out.quiet {
        let how = how_to_configure(report.file.as_deref());
        print_error(&format!("no fix is configured for {}; {how}", without_fix.join(", ")));
    }
    if failed.is_empty() { ExitCode::Success } else { ExitCode::Failed }.code()
}

/// How to give a check a fix that `--fix` runs.
fn how_to_configure(file: Option<&Path>) -> String {
    match file {
        Some(file) => format!("add `fix = \"…\"` to its [[check]] in {}", file.display()),
        None => "write a file that holds one with: dogwatch preflight --init".to_owned(),
    }
}

/// A row a check; under a failed one its symptom, cause and fix.
fn table(report: &PreflightReport, fix: Option<&String>, styles: Styles) -> Vec<String> {
    let checks = &report.checks;
    let names: Vec<Cow<'_, str>> = checks.iter().map(|check| sanitize_for_terminal(&check.check)).collect();
    let widths = names.iter().map(|name| name.chars().count()).filter(|&width| width <= MAX_NAME_WIDTH);
    let width = widths.max().unwrap_or(0);
    let mut lines = Vec::new();
    for (check, name) in checks.iter().zip(&names) {
        let detail =
            check.detail.as_deref().map_or_else(String::new, |detail| format!("  {}", sanitize_for_terminal(detail)));
        lines.push(format!("{name:<width$}  {}{detail}", styles.check_status(check.verdict)));
        if check.verdict == CheckStatus::Failed {
            let fix = if check.fix_source == Some(FixSource::Suggested) { "suggested fix:" } else { "fix:" };
            for (label, text) in [("symptom:", &check.symptom), ("cause:", &check.cause), (fix, &check.fix)] {
                if let Some(text) = text {
                    lines.push(format!("    {label:<9} {}", sanitize_for_terminal(text)));
                }
            }
        }
    }
    lines.extend(summary(report, fix));
    lines
}

/// The last line: how many checks failed, and what runs their fixes. After `--fix` there is nothing left to run.
fn summary(report: &PreflightReport, fix: Option<&String>) -> Option<String> {
    let failed = report.failed();
    if failed.is_empty() {
        return None;
    }
    let count = format!("{} of {} checks failed", failed.len(), report.checks.len());
    let Some(fix) = fix else { return Some(count) };
    let from = |source| failed.iter().filter(|check| check.fix_source == Some(source)).count();
    Some(match (from(FixSource::Configured), from(FixSource::Suggested)) {
        (0, 0) => count,
        (0, _) => format!("{count}; to let --fix run a suggested fix, {}", how_to_configure(report.file.as_deref())),
        (configured, _) => format!("{count}; run the fix of {configured} with: {fix}"),
    })
}
