//! The short form of a report: what `wait`, `recover` and `run --for` print with `--json` of a step that runs or has
//! succeeded, since models read it at every call. Everything else is printed whole, and `--json=full` prints all whole.

use crate::ops::report::{BreakerStatus, Report};
use crate::record::outcome::{Action, Outcome};
use serde::Serialize;
use serde_json::value::RawValue;

/// A short report; which keys it has depends on the outcome alone.
#[derive(Debug, Serialize)]
#[expect(clippy::option_option, reason = "a key may be null, or missing")]
pub(crate) struct BriefReport<'report> {
    step: &'report str,
    outcome: Outcome,
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<Option<i32>>,
    elapsed_ms: Option<u64>,
    expected_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat_age_ms: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_age_ms: Option<Option<u64>>,
    pid: Option<i32>,
    killed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Option<&'report RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_error: Option<Option<&'report str>>,
    detail: Option<&'report str>,
    log: Option<&'report str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<Option<&'report BreakerStatus>>,
    backend: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Option<&'report str>>,
    run_id: Option<&'report str>,
    schema: u64,
}

impl Report {
    /// The short form, where the outcome has one.
    pub(crate) fn brief(&self) -> Option<BriefReport<'_>> {
        let Self { outcome, action, elapsed_ms, expected_ms, pid, killed, backend, schema, .. } = *self;
        if !matches!(outcome, Outcome::Running | Outcome::Success) {
            return None;
        }
        let (runs, ended) = (outcome == Outcome::Running, outcome == Outcome::Success);
        Some(BriefReport {
            step: &self.step,
            outcome,
            action,
            exit_code: ended.then_some(self.exit_code),
            elapsed_ms,
            expected_ms,
            heartbeat_age_ms: runs.then_some(self.heartbeat_age_ms),
            output_age_ms: runs.then_some(self.output_age_ms),
            pid,
            killed,
            result: ended.then_some(self.result.as_deref()),
            result_error: ended.then_some(self.result_error.as_deref()),
            detail: self.detail.as_deref(),
            log: self.log.as_deref(),
            breaker: ended.then_some(self.breaker.as_ref()),
            backend,
            ended_at: ended.then_some(self.ended_at.as_deref()),
            run_id: self.run_id.as_deref(),
            schema,
        })
    }
}
