//! Reports as text for people: one line an outcome, details only on failure.
//!
//! Refuses to send a terminal anything that a log, a command line or a record says without making it harmless first.

use super::quantity::shown;
use crate::command::report::{Circuit, Report};
use crate::protocol::outcome::{Action, Outcome};
use crate::protocol::text::harmless;

/// Whether text may have colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paint(pub(super) bool);

impl Paint {
    fn outcome(self, outcome: Outcome) -> String {
        let color = match outcome {
            Outcome::Success | Outcome::Marker => "32",
            Outcome::Running | Outcome::NotStarted => "33",
            Outcome::Failed | Outcome::Hung | Outcome::Died | Outcome::Timeout => "31",
        };
        let word = outcome.as_str();
        if self.0 { format!("\u{1b}[{color}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

/// One step's answer in one line.
pub(super) fn line(report: &Report, paint: Paint) -> String {
    let mut text = format!("{}: {}", report.step, paint.outcome(report.outcome));
    if report.outcome == Outcome::Failed {
        match (&report.signal, report.exit_code) {
            (Some(signal), _) => text.push_str(&format!(", ended by {}", harmless(signal))),
            (None, Some(code)) => text.push_str(&format!(", exit code {code}")),
            (None, None) => {}
        }
    }
    if report.killed {
        text.push_str(", killed");
    }
    match (report.outcome, report.elapsed_ms, report.heartbeat_age_ms) {
        (Outcome::Running, Some(elapsed), Some(age)) => {
            text.push_str(&format!(" for {} (heartbeat {} ago)", shown(elapsed), shown(age)));
        }
        (Outcome::Running, Some(elapsed), None) => text.push_str(&format!(" for {}", shown(elapsed))),
        (Outcome::NotStarted, _, _) | (_, None, _) => {}
        (_, Some(elapsed), _) => text.push_str(&format!(" after {}", shown(elapsed))),
    }
    if let Some(detail) = &report.detail {
        text.push_str(": ");
        text.push_str(&harmless(detail));
    } else if let Some(error) = &report.result_error {
        text.push_str(": ");
        text.push_str(&harmless(error));
    }
    text
}

/// What stands on standard error beside a line: the log's end and what to do about an open circuit.
pub(super) fn aside(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(tail), Some(log)) = (&report.log_tail, &report.log)
        && !tail.is_empty()
    {
        lines.push(format!("--- last lines of {} ---", harmless(log)));
        lines.extend(tail.iter().map(|line| harmless(line)));
    }
    if report.action == Action::Stop
        && let Some(breaker) = &report.breaker
    {
        lines.push(format!(
            "circuit breaker {} is open after {} failures in a row; close it with: dogwatch breaker reset {0}",
            breaker.name, breaker.consecutive_failures
        ));
    }
    lines
}

/// One breaker in one line.
pub(super) fn circuit(breaker: &Circuit) -> String {
    let state = if breaker.open { "open" } else { "closed" };
    format!("{}: {state}, {} of {} failures in a row", breaker.name, breaker.consecutive_failures, breaker.max_consecutive)
}
