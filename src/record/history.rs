//! `STEP.history`: one JSON line for each ended run of a step, the oldest first. Written by the process that records an end,
//! read for `dogwatch history` and for how long a run of the step usually takes.

use crate::record::json_line;
use crate::record::meta::Meta;
use crate::record::outcome::Outcome;
use crate::record::time::{WallTime, millis};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The most bytes of a history file that are read: 64 lines of it take a tenth of that.
pub(crate) const LONGEST: usize = 256 << 10;
/// How many ended runs are kept.
pub(crate) const KEPT: usize = 64;
/// How many successes say how long a run takes: enough to let one odd run pass, few enough to follow a change.
const COUNTED: usize = 11;
/// From how many successes on a time is expected at all.
const NEEDED: usize = 3;

/// One ended run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryEntry {
    /// Its `run_id`, or for a plain-shell run a word made of its pid and the time of its `.pid`.
    pub(crate) run_id: String,
    /// When it began (RFC 3339, UTC).
    pub(crate) started_at: Option<String>,
    /// How long it took, in milliseconds.
    pub(crate) elapsed_ms: Option<u64>,
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// COMMAND's exit code.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended COMMAND.
    pub(crate) signal: Option<String>,
}

impl HistoryEntry {
    /// The line about a run, by its record and the time that it took.
    pub(crate) fn of(meta: &Meta, outcome: Outcome, took: Option<Duration>) -> Self {
        Self {
            run_id: meta.run_id.clone(),
            started_at: meta.started_at.clone(),
            elapsed_ms: took.map(millis),
            outcome,
            exit_code: meta.exit_code,
            signal: meta.signal.clone(),
        }
    }

    /// When it ended (RFC 3339, UTC).
    pub(crate) fn ended_at(&self) -> Option<String> {
        let began = WallTime::parse(self.started_at.as_deref()?)?;
        Some(began.plus(Duration::from_millis(self.elapsed_ms?)).rfc3339())
    }
}

/// The runs that the bytes of a history file tell of; a line that is no such record is left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<HistoryEntry> {
    bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// The last [`KEPT`] of these runs as the bytes of the file.
pub(crate) fn encode(entries: &[HistoryEntry]) -> Vec<u8> {
    entries[entries.len().saturating_sub(KEPT)..].iter().flat_map(json_line).collect()
}

/// How long a run usually takes, in milliseconds: the median of the last successes; `None` if there are fewer than
/// three.
pub(crate) fn expected_ms(entries: &[HistoryEntry]) -> Option<u64> {
    let successes = entries.iter().rev().filter(|entry| entry.outcome == Outcome::Success);
    let mut times: Vec<u64> = successes.filter_map(|entry| entry.elapsed_ms).take(COUNTED).collect();
    times.sort_unstable();
    let middle = times.len() / 2;
    match times.len() {
        count if count < NEEDED => None,
        count if count % 2 == 1 => Some(times[middle]),
        _ => Some(times[middle - 1].midpoint(times[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(number: u64, outcome: Outcome, elapsed_ms: u64) -> HistoryEntry {
        let meta = Meta { run_id: format!("r{number}"), exit_code: Some(0), ..Meta::default() };
        HistoryEntry::of(&meta, outcome, Some(Duration::from_millis(elapsed_ms)))
    }

    #[test]
    fn the_last_64_are_kept_and_read_back() {
        let all: Vec<HistoryEntry> = (0..70).map(|number| entry(number, Outcome::Failed, number)).collect();
        let bytes = encode(&all);
        assert_eq!(parse(&bytes), all[6..]);
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), KEPT);
    }

    #[test]
    fn a_line_that_is_no_record_costs_no_other_line() {
        let mut bytes = encode(&[entry(1, Outcome::Success, 5)]);
        bytes.extend_from_slice(b"{\"run_id\":\nnonsense\n\n");
        bytes.extend(encode(&[entry(2, Outcome::Died, 6)]));
        assert_eq!(parse(&bytes), [entry(1, Outcome::Success, 5), entry(2, Outcome::Died, 6)]);
    }

    #[test]
    fn the_median_of_the_last_successes_is_expected_from_three_on() {
        let of = |times: &[u64]| -> Vec<HistoryEntry> {
            times.iter().map(|&time| entry(time, Outcome::Success, time)).collect()
        };
        assert_eq!((expected_ms(&[]), expected_ms(&of(&[7, 9]))), (None, None));
        assert_eq!(expected_ms(&of(&[9000, 10, 30])), Some(30));
        assert_eq!(expected_ms(&of(&[9000, 10, 20, 30])), Some(25));
        let mut failed = of(&[10, 20]);
        failed.push(entry(3, Outcome::Failed, 1));
        assert_eq!(expected_ms(&failed), None, "a failure says nothing about it");
        let slow: Vec<u64> = std::iter::repeat_n(10, 40).chain(std::iter::repeat_n(500, 11)).collect();
        assert_eq!(expected_ms(&of(&slow)), Some(500), "what it has taken lately counts");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let entries = parse(&bytes);
            let _expected = expected_ms(&entries);
            prop_assert_eq!(parse(&encode(&entries)), entries);
        }
    }
}
