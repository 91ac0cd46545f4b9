//! `NAME.breaker`: the circuit breaker's state as it stands on disk.
//!
//! `decide::breaker` decides how a counted run changes this record. Unknown keys are kept, a higher schema is an error.

use crate::error::Error;
use crate::record::outcome::Reason;
use crate::record::{SCHEMA, Schema, json_line};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most bytes of a breaker file that are read: 1 MiB.
pub(crate) const LONGEST: usize = 1 << 20;

/// How many counted runs are kept, so that a run seen twice is counted once.
pub(crate) const KEPT: usize = 64;

/// The state of one breaker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct BreakerRecord {
    /// The record's form; see [`SCHEMA`].
    pub(crate) schema: Schema,
    /// The breaker's name: the step's unless several share one.
    pub(crate) name: String,
    /// Failures since the last success.
    pub(crate) consecutive_failures: u32,
    /// When the last failure was counted, in milliseconds since 1970.
    pub(crate) last_failure_at_ms: Option<i64>,
    /// The run let through while the circuit was open, until it is counted.
    pub(crate) trial: Option<String>,
    /// When that run was let through, in milliseconds since 1970.
    pub(crate) trial_at_ms: Option<i64>,
    /// The last counted runs, the oldest first, [`KEPT`] at most.
    pub(crate) runs: Vec<CountedRun>,
    /// Keys of other writers, kept as they are.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// One run that was counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CountedRun {
    /// Its `run_id`, or for a plain-shell run a word made of its pid and the time of its `.pid`.
    pub(crate) run: String,
    /// How it ended.
    pub(crate) reason: Reason,
    /// When it was counted (RFC 3339, UTC).
    pub(crate) at: String,
}

impl BreakerRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// A sentence where the bytes are no such record or one of a higher schema.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| {
            Error::internal(format!("it is no breaker record: {error}; remove it to close the breaker"))
        })?;
        if record.schema.0 > SCHEMA {
            return Err(Error::internal(format!(
                "it has schema {}, and this dogwatch reads up to {SCHEMA}; update dogwatch",
                record.schema.0
            )));
        }
        Ok(record)
    }

    /// The record as the bytes of its file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        json_line(self)
    }

    /// Whether the run with this key is among those kept.
    pub(crate) fn has_counted(&self, run: &str) -> bool {
        self.runs.iter().any(|counted| counted.run == run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_goes_there_and_back_with_unknown_keys() {
        let mut record = BreakerRecord { name: "build".into(), consecutive_failures: 2, ..BreakerRecord::default() };
        record.runs.push(CountedRun { run: "r".into(), reason: Reason::Died, at: "now".into() });
        record.other.insert("note".into(), Value::from(7));
        assert_eq!(BreakerRecord::parse(&record.encode()).unwrap(), record);
    }

    #[test]
    fn a_higher_schema_and_damage_are_refused_in_a_sentence() {
        assert!(BreakerRecord::parse(br#"{"schema":9}"#).unwrap_err().to_string().contains("schema 9"));
        assert!(BreakerRecord::parse(b"{").unwrap_err().to_string().contains("no breaker record"));
    }
}
