//! Reports as text for people: one line an outcome, details only on failure.
//!
//! Refuses to send a terminal anything that a log, a command line or a record says without making it harmless first.

use crate::command::report::{Circuit, Report};
use crate::preflight::report::Word;
use crate::protocol::outcome::{Action, Outcome};
use crate::protocol::quantity::shown;
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
        self.colored(color, outcome.as_str())
    }

    /// How a check came out.
    pub(super) fn verdict(self, verdict: Word) -> String {
        let color = match verdict {
            Word::Passed => "32",
            Word::Fixed => "33",
            Word::Failed => "31",
        };
        self.colored(color, verdict.as_str())
    }

    fn colored(self, color: &str, word: &str) -> String {
        if self.0 { format!("\u{1b}[{color}m{word}\u{1b}[0m") } else { word.to_owned() }
    }
}

/// One step's answer in one line.
pub(super) fn line(report: &Report, paint: Paint) -> String {
    let how = match (report.outcome, &report.signal, report.exit_code) {
        (Outcome::Failed, Some(signal), _) => format!(", ended by {}", harmless(signal)),
        (Outcome::Failed, None, Some(code)) => format!(", exit code {code}"),
        _ => String::new(),
    };
    // What a dead run left is ended too, but nobody killed the run itself.
    let killed = if report.killed && report.outcome != Outcome::Died { ", killed" } else { "" };
    let when = match (report.outcome, report.elapsed_ms, report.heartbeat_age_ms) {
        (Outcome::NotStarted, _, _) | (_, None, _) => String::new(),
        (Outcome::Running, Some(elapsed), Some(age)) => {
            format!(" for {} (heartbeat {} ago)", shown(elapsed), shown(age))
        }
        (Outcome::Running, Some(elapsed), None) => format!(" for {}", shown(elapsed)),
        (_, Some(elapsed), _) => format!(" after {}", shown(elapsed)),
    };
    let why = report.detail.as_ref().or(report.result_error.as_ref());
    let why = why.map_or(String::new(), |why| format!(": {}", harmless(why)));
    format!("{}: {}{how}{killed}{when}{why}", report.step, paint.outcome(report.outcome))
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
    format!(
        "{}: {state}, {} of {} failures in a row",
        breaker.name, breaker.consecutive_failures, breaker.max_consecutive
    )
}
