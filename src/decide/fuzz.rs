//! What holds of judgement for any sequence of looks, and of markers for any log: harnesses, shared by the fuzz targets
//! and the property tests.
//!
//! Built for these two alone. The looks are of any files at any times by any clock: a heartbeat has no other content.

use crate::decide::log_match::{LogMatch, Patterns, Search};
use crate::decide::policy::{Policy, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::decide::snapshot::{Here, Process, Snapshot};
use crate::decide::tracker::{RunTracker, meta_for, pid_file_id};
use crate::decide::verdict::{Verdict, judge};
use crate::decide::warning::remarks;
use crate::record::file_state::{File, FileStamp, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Reason};
use crate::record::pid::ParsedPid;
use crate::record::result::ParsedResult;
use crate::record::status::ParsedStatus;
use crate::record::time::{MonotonicTime, WallTime};
use std::sync::Arc;
use std::time::Duration;

/// Numbers out of bytes; zeros where they have run out.
struct Source<'bytes>(&'bytes [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Mostly near, and now and then anywhere.
    fn nanos(&mut self) -> i64 {
        match self.byte() % 8 {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            _ => i64::from(self.byte()) * 500_000_000,
        }
    }

    fn file<T>(&mut self, content: impl FnOnce(&mut Self) -> T) -> File<T> {
        match self.byte() % 5 {
            0 => File::Absent,
            1 => File::Unfit("is a FIFO".into()),
            _ => {
                let modified = WallTime::from_nanos(self.nanos());
                let stamp =
                    FileStamp { modified, size: u64::from(self.byte()), inode: u64::from(self.byte()), owner: 0 };
                File::There { stamp, content: content(self) }
            }
        }
    }

    fn process(&mut self) -> Process {
        match self.byte() % 4 {
            0 => Process::Unclaimed,
            1 => Process::Hidden,
            2 => Process::Gone { borne_elsewhere: self.byte().is_multiple_of(2) },
            _ => Process::Running {
                started: u64::from(self.byte() % 3),
                started_wall: WallTime::from_nanos(self.nanos()),
            },
        }
    }

    fn meta(&mut self, pid: &File<ParsedPid>) -> Meta {
        let stamp = pid.stamp().map(|stamp| stamp.modified.as_nanos());
        Meta {
            locked: self.byte().is_multiple_of(2),
            pid: stamp.map(|_| 42),
            pid_mtime_ns: stamp,
            started_awake_ms: self.byte().is_multiple_of(2).then(|| self.nanos()),
            heartbeat_interval_ms: Some(u64::from_le_bytes(self.nanos().to_le_bytes())),
            host: [None, Some("here".into()), Some("there".into())][usize::from(self.byte() % 3)].clone(),
            reason: [None, Some(Reason::Success), Some(Reason::Hung)][usize::from(self.byte() % 3)],
            intent: [None, Some(Intent::Timeout)][usize::from(self.byte() % 2)],
            ..Meta::default()
        }
    }

    fn look(&mut self, at: i64) -> Snapshot {
        let wall = WallTime::from_nanos(self.nanos());
        let here = Here {
            host: "here".into(),
            boot_id: "boot".into(),
            pid_namespace: None,
            local_filesystem: self.byte() > 9,
            ..Here::default()
        };
        let words: [&[u8]; 5] = [b"SUCCESS\n", b"failed", b"", b"SUC", b"DONE"];
        let pid =
            self.file(|source| ParsedPid::parse([&b"42\n"[..], b"43\n", b"", b"x"][usize::from(source.byte() % 4)]));
        let record = self.byte();
        let meta = self.meta(&pid);
        Snapshot {
            at: MonotonicTime::from_nanos(at),
            wall,
            file_wall: WallTime::from_nanos(self.nanos()),
            slept: Duration::from_secs(u64::from(self.byte())),
            here: Arc::new(here),
            meta: match record % 4 {
                0 => File::Absent,
                1 => self.file(|source| Arc::new(ParsedMeta::parse(source.0))),
                _ => self.file(|_| Arc::new(ParsedMeta::Known(Box::new(meta)))),
            },
            pid,
            lock: [LockState::Absent, LockState::Free, LockState::Held, LockState::Unknown]
                [usize::from(self.byte() % 4)],
            process: self.process(),
            status: self.file(|source| ParsedStatus::parse(words[usize::from(source.byte() % 5)])),
            result: self.file(|source| ParsedResult::parse([&b"1"[..], b"{"][usize::from(source.byte() % 2)])),
            standing_result: None,
            lock_file: None,
            heartbeat: self.file(|_| ()),
        }
    }
}

/// Any looks after each other: every one is judged, and whoever sleeps by the verdict sleeps right.
pub(crate) fn looks(bytes: &[u8]) {
    let mut source = Source(bytes);
    let (mut history, mut at) = (RunTracker::default(), 0_i64);
    let stale = Duration::from_secs(u64::from(source.byte()));
    let wishes = ThresholdOptions {
        stale: Threshold { flag: None, environment: Some(stale) },
        max_timeout: Threshold { flag: None, environment: Some(stale.saturating_mul(3)) },
        start_timeout: START_TIMEOUT,
        until: source.byte().is_multiple_of(2).then(|| MonotonicTime::from_nanos(source.nanos())),
        settle: SettleTimes::CONTRACT,
    };
    while !source.0.is_empty() {
        at = at.saturating_add(source.nanos().saturating_abs());
        let look = source.look(at);
        let seen = history.note(&look);
        let _remarks = remarks(&look, seen.liveness);
        let Ok(policy) = Policy::resolve(&wishes, meta_for(&look, pid_file_id(&look))) else { continue };
        let verdict = judge(&seen, &policy, look.at);
        if let Verdict::Pending { look_again, .. } = verdict {
            assert!(look_again > look.at || look.at == MonotonicTime::NEVER, "{verdict:?} {look:?}");
            let before = MonotonicTime::from_nanos(0).plus(look_again.since(MonotonicTime::from_nanos(1)));
            if before > look.at && look_again != MonotonicTime::NEVER {
                assert_eq!(judge(&seen, &policy, before), verdict, "{look:?}");
            }
        }
        // The same look again says the same, but for who is dead since when.
        let again = history.clone().note(&look);
        assert_eq!((&again.status, again.began), (&seen.status, seen.began), "{look:?}");
    }
}

/// A log looked through at once, and in two pieces.
pub(crate) fn marker(bytes: &[u8]) {
    let (length, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    let (pattern, log) = rest.split_at((length % 16).min(rest.len()));
    let Ok(markers) = Patterns::new(Some(&String::from_utf8_lossy(pattern)), Some("^FATAL")) else { return };
    let markers = Arc::new(markers);
    let search = |pieces: &[&[u8]]| {
        let mut search = Search::new(Arc::clone(&markers));
        for piece in pieces {
            search.feed(piece);
        }
        search.finish();
        search.sign().cloned()
    };
    let (first, second) = log.split_at(length.min(log.len()));
    let found = search(&[log]);
    assert_eq!(search(&[first, second]), found);
    let fails = String::from_utf8_lossy(log).lines().any(|line| line.starts_with("FATAL"));
    assert!(!fails || matches!(found, Some(LogMatch::Fail(_))), "{found:?}");
}
