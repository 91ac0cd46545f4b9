//! `STEP.meta`: what is known of a run beyond its four plain files.
//!
//! Written by `run` at the start and the end, and by the process that records an outcome or an intent for it. Unknown
//! keys are kept; a record of a higher schema is refused and never rewritten, since its writer knew rules that we do
//! not.

use crate::record::evidence::TreeProcess;
use crate::record::file_state::FileId;
use crate::record::outcome::{Intent, Reason};
use crate::record::pid::PidFileId;
use crate::record::time::{MonotonicTime, WallTime};
use crate::record::{SCHEMA, Schema, evidence, json_line};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// The most bytes of a meta file that are read: 1 MiB.
pub(crate) const LONGEST: usize = 1 << 20;

/// The record of one run. A key that its writer did not know is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Meta {
    /// The record's form; see [`crate::record::SCHEMA`].
    pub(crate) schema: Schema,
    /// Unique among all runs of all steps.
    pub(crate) run_id: String,
    /// The machine's name where the run lives.
    pub(crate) host: Option<String>,
    /// The kernel's id of that boot.
    pub(crate) boot_id: Option<String>,
    /// The PID namespace's number (Linux).
    pub(crate) pid_namespace: Option<u64>,
    /// The time namespace's number (Linux): start times and clocks of another one are not comparable.
    pub(crate) time_namespace: Option<u64>,
    /// The monitor directory that the run writes to: a copy of it has another.
    pub(crate) directory: Option<FileId>,
    /// The file `STEP.lock` that the run holds its lock on.
    pub(crate) lock_file: Option<FileId>,
    /// The wrapper's pid; with `pid_mtime_ns` it ties this record to one `.pid` file.
    pub(crate) pid: Option<i32>,
    /// The `.pid` file's modification time in nanoseconds since 1970.
    pub(crate) pid_mtime_ns: Option<i64>,
    /// The kernel's raw start time of the wrapper: clock ticks (Linux) or microseconds (macOS), compared exactly.
    pub(crate) pid_started_at: Option<u64>,
    /// Whether this run holds `STEP.lock` for its life.
    pub(crate) locked: bool,
    /// When the run began, in milliseconds on the clock that stops in suspend.
    pub(crate) started_awake_ms: Option<i64>,
    /// The circuit breaker that counts this run; null for none.
    pub(crate) breaker: Option<String>,
    /// How many failures in a row open it; zero for never.
    pub(crate) max_consecutive: Option<u32>,
    /// A sentence on how the run ended.
    pub(crate) detail: Option<String>,
    /// What a terminator is about to record.
    pub(crate) intent: Option<Intent>,
    /// How often an intent was announced or taken back: a record with a smaller number is an older copy.
    pub(crate) announcements: u32,
    /// Set where the terminator asked the wrapper to end its own tree: from the first signal to KILL, in milliseconds.
    pub(crate) end_within_ms: Option<u64>,
    /// That first signal's name, such as `SIGTERM`.
    pub(crate) end_signal: Option<String>,
    /// Which processes were still there after the run's tree was ended, as text; null for none.
    pub(crate) survivors: Option<String>,
    /// The tree as it was when that was announced.
    #[serde(deserialize_with = "evidence::tolerant")]
    pub(crate) evidence: Option<Vec<TreeProcess>>,
    /// COMMAND's pid.
    pub(crate) child_pid: Option<i32>,
    /// The kernel's raw start time of COMMAND: its number may have come to mean another process.
    pub(crate) child_started_at: Option<u64>,
    /// Whether the wrapper may have children that are not the run's: it had some before COMMAND.
    pub(crate) has_older_children: bool,
    /// COMMAND's process group, which is also its session.
    pub(crate) process_group: Option<i32>,
    /// The user who runs it.
    pub(crate) uid: Option<u32>,
    /// COMMAND and its arguments; what is no UTF-8 in them is replaced.
    pub(crate) command: Vec<String>,
    /// The folder in which COMMAND was started.
    pub(crate) cwd: Option<String>,
    /// When the run began (RFC 3339, UTC), for people.
    pub(crate) started_at: Option<String>,
    /// How often it beats, in milliseconds.
    pub(crate) heartbeat_interval_ms: Option<u64>,
    /// What makes it beat.
    pub(crate) heartbeat_on: Option<String>,
    /// The staleness threshold given to `run`, in milliseconds.
    pub(crate) stale_ms: Option<u64>,
    /// The longest the run may take, in milliseconds; zero for no limit.
    pub(crate) max_timeout_ms: Option<u64>,
    /// When the run ended (RFC 3339, UTC).
    pub(crate) ended_at: Option<String>,
    /// COMMAND's own exit code.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended COMMAND.
    pub(crate) signal: Option<String>,
    /// Whether the circuit breaker has counted the run.
    pub(crate) counted: bool,
    /// The recorded outcome; its presence means that the run is over.
    pub(crate) reason: Option<Reason>,
    /// Why there is no result, where COMMAND gave one that is none.
    pub(crate) result_error: Option<String>,
    /// The words by which a caller finds the run among others.
    pub(crate) tags: Vec<String>,
    /// Whether `run --for` has told this run's end; null where none waited for it.
    pub(crate) told: Option<bool>,
    /// Keys of other writers, kept as they are.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// What the bytes of a meta file say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ParsedMeta {
    /// A record that this program understands.
    Known(Box<Meta>),
    /// A record of a higher schema.
    Newer(u64),
    /// No record: half-written by a foreign writer, or damaged.
    Broken(String),
}

impl ParsedMeta {
    /// Reads a record.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct OnlySchema {
            schema: u64,
        }
        // The schema first: a newer record may have changed the type of any other key.
        match serde_json::from_slice::<OnlySchema>(bytes) {
            Ok(OnlySchema { schema }) if schema > SCHEMA => Self::Newer(schema),
            Ok(_) => match serde_json::from_slice::<Meta>(bytes) {
                Ok(meta) => Self::Known(Box::new(meta)),
                Err(error) => Self::Broken(error.to_string()),
            },
            Err(error) => Self::Broken(error.to_string()),
        }
    }
}

impl Meta {
    /// The record as the bytes of its file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        json_line(self)
    }

    /// Announces what is about to be recorded of the run, with its tree as it then was. The first announcer's word counts, so
    /// that two terminators report the same. Returns whether this is the first.
    pub(crate) fn announce(&mut self, intent: Intent, detail: &str, evidence: Option<Vec<TreeProcess>>) -> bool {
        let first = self.intent.is_none();
        if first {
            (self.intent, self.detail, self.evidence) = (Some(intent), Some(detail.to_owned()), evidence);
            self.announcements += 1;
        }
        first
    }

    /// Takes the announcement back: the run goes on. With the processes that could not be ended.
    pub(crate) fn withdraw(&mut self, survivors: Option<String>) {
        (self.intent, self.detail, self.evidence) = (None, None, None);
        (self.end_within_ms, self.end_signal) = (None, None);
        self.survivors = survivors;
        self.announcements += 1;
    }

    /// Whether this record speaks of the run that a pid file names; without one, of a run that wrote no pid.
    ///
    /// A file's time may be finer on one side of a network filesystem than on the other: a whole second stands for all
    /// of it.
    pub(crate) fn speaks_of(&self, run: Option<PidFileId>) -> bool {
        let recorded = self.pid.zip(self.pid_mtime_ns.map(WallTime::from_nanos));
        match (recorded, run) {
            (Some((pid, written)), Some(run)) => pid == run.pid && written.is_same_file_time(run.written),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// When the run began on the awake clock of its boot; `None` in a record that was not written then, by `run` or `start`.
    pub(crate) fn began(&self) -> Option<MonotonicTime> {
        self.started_awake_ms.map(MonotonicTime::from_millis)
    }

    /// Whether this lock file is the one that the run holds its lock on. Records of older versions do not say which it is.
    pub(crate) fn is_lock(&self, file: Option<FileId>) -> bool {
        self.lock_file.is_none() || self.lock_file == file
    }

    /// How often the run beats.
    pub(crate) fn heartbeat_interval(&self) -> Option<Duration> {
        self.heartbeat_interval_ms.map(Duration::from_millis)
    }

    /// How long the run took, by its own two stamps.
    pub(crate) fn took(&self) -> Option<Duration> {
        let parse = |text: &Option<String>| humantime::parse_rfc3339(text.as_deref()?).ok();
        parse(&self.ended_at)?.duration_since(parse(&self.started_at)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::evidence::ProcessState;
    use proptest::prelude::*;

    fn sample() -> Meta {
        Meta {
            run_id: "1-2-3".into(),
            pid: Some(42),
            pid_mtime_ns: Some(7),
            command: vec!["make".into(), "all".into()],
            reason: Some(Reason::Hung),
            evidence: Some(vec![TreeProcess::new(42, 1, "sh".into(), ProcessState::Stopped, 3)]),
            started_at: Some("2026-01-01T00:00:00.000Z".into()),
            ended_at: Some("2026-01-01T00:00:01.500Z".into()),
            ..Meta::default()
        }
    }

    #[test]
    fn a_record_goes_there_and_back() {
        assert_eq!(ParsedMeta::parse(&sample().encode()), ParsedMeta::Known(Box::new(sample())));
    }

    #[test]
    fn every_key_of_the_contract_is_written_even_when_null() {
        let value: Value = serde_json::from_slice(&Meta::default().encode()).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        for key in [
            "schema", "run_id", "host", "boot_id", "pid_namespace", "time_namespace", "directory", "lock_file", "pid",
            "pid_mtime_ns", "pid_started_at", "locked", "started_awake_ms", "breaker", "max_consecutive", "detail",
            "intent", "announcements", "end_within_ms", "end_signal", "survivors", "has_older_children", "evidence",
            "child_pid", "process_group", "uid", "command", "cwd", "started_at", "heartbeat_interval_ms",
            "heartbeat_on", "stale_ms", "max_timeout_ms", "ended_at", "exit_code", "signal", "reason",
        ] {
            assert!(keys.contains(&key), "{key}");
        }
    }

    #[test]
    fn unknown_keys_are_kept() {
        let long = br#"{"schema":1,"run_id":"a","note":14444444444444444444444444444444444444444444444.5}"#;
        let ParsedMeta::Known(meta) = ParsedMeta::parse(long) else { panic!("not read") };
        assert_eq!(ParsedMeta::parse(&meta.encode()), ParsedMeta::Known(meta), "a number is the same once it was read");
        let text = br#"{"schema":1,"run_id":"a","note":{"by":"me"}}"#;
        let ParsedMeta::Known(meta) = ParsedMeta::parse(text) else { panic!("not read") };
        let again: Value = serde_json::from_slice(&meta.encode()).unwrap();
        assert_eq!(again["note"]["by"], "me");
    }

    #[test]
    fn evidence_in_a_form_of_its_own_spoils_nothing_else() {
        for foreign in ["7", "{}", "[{}]", "\"x\"", "[{\"pid\":\"x\"}]", "null"] {
            let text = format!(r#"{{"schema":1,"run_id":"a","evidence":{foreign},"reason":"hung"}}"#);
            let ParsedMeta::Known(meta) = ParsedMeta::parse(text.as_bytes()) else { panic!("not read: {foreign}") };
            assert_eq!((meta.evidence, meta.reason), (None, Some(Reason::Hung)), "{foreign}");
        }
    }

    #[test]
    fn a_higher_schema_is_told_apart_even_where_other_keys_changed_type() {
        assert_eq!(ParsedMeta::parse(br#"{"schema":2,"pid":"x"}"#), ParsedMeta::Newer(2));
        assert!(matches!(ParsedMeta::parse(br#"{"schema":1,"pid":"x"}"#), ParsedMeta::Broken(_)));
        assert!(matches!(ParsedMeta::parse(b"{}"), ParsedMeta::Broken(_)));
    }

    #[test]
    fn a_record_speaks_only_of_the_run_with_its_pid_and_pid_time() {
        let meta = sample();
        let file = |pid, written| Some(PidFileId { pid, written });
        assert!(meta.speaks_of(file(42, WallTime::from_nanos(7))));
        assert!(!meta.speaks_of(file(42, WallTime::from_nanos(8))));
        assert!(!meta.speaks_of(file(43, WallTime::from_nanos(7))));
        assert!(!meta.speaks_of(None));
        assert!(Meta::default().speaks_of(None));
        assert!(!Meta::default().speaks_of(file(1, WallTime::from_nanos(0))));
        assert!(meta.speaks_of(file(42, WallTime::from_nanos(0))), "the same time without its fraction");
        assert!(!meta.speaks_of(file(42, WallTime::from_parts(1, 0))));
    }

    #[test]
    fn the_two_stamps_tell_how_long_the_run_took() {
        assert_eq!(sample().took(), Some(Duration::from_millis(1500)));
        assert_eq!(Meta::default().took(), None);
    }

    proptest! {
        #[test]
        fn every_prefix_of_a_record_is_broken_and_no_flip_panics(cut in 0usize..600, flip in any::<(usize, u8)>()) {
            let mut bytes = sample().encode();
            let whole = bytes.trim_ascii_end().len();
            prop_assert!(cut >= whole || matches!(ParsedMeta::parse(&bytes[..cut]), ParsedMeta::Broken(_)));
            let index = flip.0 % bytes.len();
            bytes[index] ^= flip.1;
            let _any = ParsedMeta::parse(&bytes);
        }
    }
}
