//! The short form of a report: what `wait`, `recover` and `run --for` print with `--json` of a step that runs or has
//! succeeded, since models read it at every call. Everything else is printed whole, and `--json=full` prints all whole.

use crate::ops::report::{BreakerStatus, Report};
use crate::record::outcome::{Action, Outcome};
use serde::Serialize;
use serde_json::value::RawValue;

/// A short report; which keys it has depends on the outcome alone.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum BriefReport<'report> {
    /// Of a step that runs.
    Running(BriefRunning<'report>),
    /// Of a step that has succeeded.
    Success(BriefSuccess<'report>),
}

/// As [`Report`], for `running`.
#[derive(Debug, Serialize)]
pub(crate) struct BriefRunning<'report> {
    step: &'report str,
    outcome: Outcome,
    action: Action,
    elapsed_ms: Option<u64>,
    expected_ms: Option<u64>,
    heartbeat_age_ms: Option<u64>,
    output_age_ms: Option<u64>,
    pid: Option<i32>,
    killed: bool,
    detail: Option<&'report str>,
    log: Option<&'report str>,
    backend: &'static str,
    run_id: Option<&'report str>,
    schema: u64,
}

/// As [`Report`], for `success`.
#[derive(Debug, Serialize)]
pub(crate) struct BriefSuccess<'report> {
    step: &'report str,
    outcome: Outcome,
    action: Action,
    exit_code: Option<i32>,
    elapsed_ms: Option<u64>,
    expected_ms: Option<u64>,
    pid: Option<i32>,
    killed: bool,
    result: Option<&'report RawValue>,
    result_error: Option<&'report str>,
    detail: Option<&'report str>,
    log: Option<&'report str>,
    breaker: Option<&'report BreakerStatus>,
    backend: &'static str,
    ended_at: Option<&'report str>,
    run_id: Option<&'report str>,
    schema: u64,
}

impl Report {
    /// The short form, where the outcome has one.
    pub(crate) fn brief(&self) -> Option<BriefReport<'_>> {
        let Self { outcome, action, elapsed_ms, expected_ms, pid, backend, schema, .. } = *self;
        let (step, detail, log) = (self.step.as_str(), self.detail.as_deref(), self.log.as_deref());
        let run_id = self.run_id.as_deref();
        match outcome {
            Outcome::Running => Some(BriefReport::Running(BriefRunning {
                step,
                outcome,
                action,
                elapsed_ms,
                expected_ms,
                heartbeat_age_ms: self.heartbeat_age_ms,
                output_age_ms: self.output_age_ms,
                pid,
                killed: self.killed,
                detail,
                log,
                backend,
                run_id,
                schema,
            })),
            Outcome::Success => Some(BriefReport::Success(BriefSuccess {
                step,
                outcome,
                action,
                exit_code: self.exit_code,
                elapsed_ms,
                expected_ms,
                pid,
                killed: self.killed,
                result: self.result.as_deref(),
                result_error: self.result_error.as_deref(),
                detail,
                log,
                breaker: self.breaker.as_ref(),
                backend,
                ended_at: self.ended_at.as_deref(),
                run_id,
                schema,
            })),
            Outcome::Failed
            | Outcome::Hung
            | Outcome::Died
            | Outcome::Timeout
            | Outcome::NotStarted
            | Outcome::Marker => None,
        }
    }
}
