//! The short form of a report: what `wait`, `recover` and `run --for` print with `--json` of a step that runs or has
//! succeeded, since models read it at every call. Everything else is printed whole, and `--json=full` prints all whole.

use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A report in its short form; which keys it has depends on the outcome alone.
#[derive(Debug)]
pub(crate) struct BriefReport<'report>(&'report Report);

impl Report {
    /// The short form, where the outcome has one.
    pub(crate) fn brief(&self) -> Option<BriefReport<'_>> {
        matches!(self.outcome, Outcome::Running | Outcome::Success).then_some(BriefReport(self))
    }
}

impl Serialize for BriefReport<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(report) = self;
        let runs = report.outcome == Outcome::Running;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("step", &report.step)?;
        object.serialize_entry("outcome", &report.outcome)?;
        object.serialize_entry("action", &report.action)?;
        if !runs {
            object.serialize_entry("exit_code", &report.exit_code)?;
        }
        object.serialize_entry("elapsed_ms", &report.elapsed_ms)?;
        object.serialize_entry("expected_ms", &report.expected_ms)?;
        if runs {
            object.serialize_entry("heartbeat_age_ms", &report.heartbeat_age_ms)?;
            object.serialize_entry("output_age_ms", &report.output_age_ms)?;
        }
        object.serialize_entry("pid", &report.pid)?;
        object.serialize_entry("killed", &report.killed)?;
        if !runs {
            object.serialize_entry("result", &report.result)?;
            object.serialize_entry("result_error", &report.result_error)?;
        }
        object.serialize_entry("detail", &report.detail)?;
        object.serialize_entry("log", &report.log)?;
        if !runs {
            object.serialize_entry("breaker", &report.breaker)?;
        }
        object.serialize_entry("backend", report.backend)?;
        if !runs {
            object.serialize_entry("ended_at", &report.ended_at)?;
        }
        object.serialize_entry("run_id", &report.run_id)?;
        object.serialize_entry("schema", &report.schema)?;
        object.end()
    }
}
