//! The short form of a report: what `wait`, `recover` and `run --for` print with `--json` of a step that runs or has
//! succeeded, since models read it at every call. Everything else is printed whole, and `--json=full` prints all whole.

use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use serde::ser::{Error, Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// The keys of a step that runs.
const RUNNING: [&str; 14] = [
    "step", "outcome", "action", "elapsed_ms", "expected_ms", "heartbeat_age_ms", "output_age_ms", "pid", "killed",
    "detail", "log", "backend", "run_id", "schema",
];
/// The keys of a step that has succeeded.
const SUCCESS: [&str; 17] = [
    "step", "outcome", "action", "exit_code", "elapsed_ms", "expected_ms", "pid", "killed", "result", "result_error",
    "detail", "log", "breaker", "backend", "ended_at", "run_id", "schema",
];

/// A report in its short form, with these keys alone.
#[derive(Debug)]
pub(crate) struct BriefReport<'report>(&'report Report, &'static [&'static str]);

impl Report {
    /// The short form, where the outcome has one.
    pub(crate) fn brief(&self) -> Option<BriefReport<'_>> {
        let keys: &[&str] = if self.outcome == Outcome::Running { &RUNNING } else { &SUCCESS };
        matches!(self.outcome, Outcome::Running | Outcome::Success).then_some(BriefReport(self, keys))
    }
}

impl Serialize for BriefReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(report, keys) = self;
        let whole = serde_json::to_string(report).map_err(S::Error::custom)?;
        let facts: HashMap<&str, &RawValue> = serde_json::from_str(&whole).map_err(S::Error::custom)?;
        serializer.collect_map(keys.iter().map(|key| (key, facts.get(key))))
    }
}
