//! `preflight`: findings as a table or as JSON, and the exit code.
//!
//! Refuses to send a terminal anything that a file, a folder's name or a command's output says without making it
//! harmless first.

use crate::cli::arguments::{Global, PreflightArguments};
use crate::cli::exit_code::ExitCode;
use crate::cli::format::Styles;
use crate::cli::{complain, paint, print_json, print_line, resolve};
use crate::ops::Error;
use crate::ops::preflight;
use crate::ops::preflight::{Listener, Refusal};
use crate::preflight::report::{Finding, Word};
use crate::record::SCHEMA;
use crate::record::sanitize::sanitize_for_terminal;
use crate::sys::signals::Signal;
use serde::Serialize;
use std::borrow::Cow;

/// How wide the column of names becomes at most; a longer name only pushes its own row.
const WIDEST: usize = 40;

/// Where the file stands that was written.
#[derive(Serialize)]
struct Written {
    file: String,
    schema: u64,
}

struct Voice<'call> {
    global: &'call Global,
}

impl Listener for Voice<'_> {
    fn fixing(&mut self, command: &str) {
        if !self.global.quiet {
            complain(&format!("running the fix: {command}"));
        }
    }

    fn trouble(&mut self, sentence: &str) {
        complain(sentence);
    }
}

/// Does what `preflight` says.
pub(super) fn command(arguments: &PreflightArguments, global: &Global) -> Result<u8, Error> {
    let request = resolve::preflight(arguments, global)?;
    if arguments.init {
        let file = preflight::init(&request)?.to_string_lossy().into_owned();
        if global.json {
            print_json(&Written { file, schema: SCHEMA });
        } else if !global.quiet {
            print_line(&sanitize_for_terminal(&file));
        }
        return Ok(ExitCode::Success.code());
    }
    let findings = match preflight::preflight(&request, &mut Voice { global }) {
        Ok(findings) => findings,
        Err(Refusal::Faults(sentences)) => {
            for sentence in &sentences {
                complain(sentence);
            }
            return Ok(ExitCode::Usage.code());
        }
        Err(Refusal::Interrupted(signal)) => {
            complain(&format!("{signal} came before all checks were done; what they had started is ended"));
            let exit = if signal == Signal::SIGINT { ExitCode::Interrupted } else { ExitCode::Terminated };
            return Ok(exit.code());
        }
    };
    if global.json {
        for finding in &findings {
            print_json(finding);
        }
    } else if !global.quiet {
        for line in table(&findings, paint(global)) {
            print_line(&line);
        }
    }
    let failed = findings.iter().any(|finding| finding.verdict == Word::Failed);
    Ok(if failed { ExitCode::Failed } else { ExitCode::Success }.code())
}

/// A row a check; under one that failed what is seen, what is behind it, and what mends it.
fn table(findings: &[Finding], paint: Styles) -> Vec<String> {
    let names: Vec<Cow<'_, str>> = findings.iter().map(|finding| sanitize_for_terminal(&finding.check)).collect();
    let widest = names.iter().map(|name| name.chars().count()).filter(|&width| width <= WIDEST).max().unwrap_or(0);
    let mut lines = Vec::new();
    for (finding, name) in findings.iter().zip(&names) {
        let detail =
            finding.detail.as_deref().map_or_else(String::new, |detail| format!("  {}", sanitize_for_terminal(detail)));
        lines.push(format!("{name:<widest$}  {}{detail}", paint.verdict(finding.verdict)));
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
