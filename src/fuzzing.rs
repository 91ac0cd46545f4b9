//! What holds of every parser, and of judgement, for any bytes. Called by the fuzz targets in `tests/fuzz` and by the
//! property tests beside this file; no part of the program.
//!
//! A parser is held against its encoder, a second reading, or the naive rule.

mod seeds;

use crate::decide::log_match::{LineMatcher, LogMatch, Patterns};
use crate::decide::policy::{Policy, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::decide::snapshot::{LocalContext, Process, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Verdict, evaluate};
use crate::decide::warning::remarks;
use crate::preflight::MonitorSettings;
use crate::preflight::config::parse as parse_preflight;
use crate::preflight::venv::{activate, cfg, shebang as shebangs};
use crate::record::breaker::BreakerRecord;
use crate::record::file_names::{Record, file_name, parse_file_name, parse_temporary_name, temporary_name};
use crate::record::file_state::{FileFault, FileStamp, FileState, LockState};
use crate::record::line_splitter::LineSplitter;
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Reason};
use crate::record::pid::ParsedPid;
use crate::record::result::{ParsedResult, one_line};
use crate::record::sanitize::{StreamSanitizer, quote, sanitize_for_terminal, sanitize_json};
use crate::record::status::ParsedStatus;
use crate::record::step_name::StepName;
use crate::record::time::{MonotonicTime, WallTime};
use crate::record::{evidence, units};
pub use seeds::{HARNESSES, Harness, harness};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Two pieces of the bytes, cut where the first byte says.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (cut, rest) = bytes.split_first().map_or((0, bytes), |(cut, rest)| (usize::from(*cut), rest));
    rest.split_at(cut.min(rest.len()))
}

/// `STEP.status`.
fn status(bytes: &[u8]) {
    let read = ParsedStatus::parse(bytes);
    let text = String::from_utf8_lossy(bytes).to_ascii_uppercase();
    let blank = |one: char| one.is_ascii_whitespace() || one == '\0';
    let first = text.split(blank).find(|word| !word.is_empty()).unwrap_or_default().to_owned();
    match &read {
        ParsedStatus::Complete(word) => assert_eq!(first.trim_end_matches(':'), word.as_str()),
        ParsedStatus::FailedWith(said) => assert!(first.starts_with("FAILED:") && !said.is_empty(), "{bytes:?}"),
        ParsedStatus::Unfinished(_) => {
            assert!(first != "SUCCESS" && first != "FAILED" && !first.starts_with("FAILED:"), "{bytes:?}");
        }
    }
    if let ParsedStatus::Complete(word) = read {
        assert_eq!(ParsedStatus::parse(word.line().as_bytes()), read);
    }
}

/// `STEP.result`.
fn result(bytes: &[u8]) {
    let strictly = serde_json::from_slice::<Value>(bytes);
    match ParsedResult::parse(bytes) {
        ParsedResult::Json(value) => {
            let shown = one_line(&value);
            assert!(!shown.get().contains('\n'), "{shown}");
            let safe = sanitize_json(shown.get());
            assert!(!safe.contains(|one: char| one.is_control() && one != '\t' && one != '\r'), "{safe:?}");
            let same = (serde_json::from_str::<Value>(&safe).ok(), serde_json::from_str::<Value>(shown.get()).ok());
            assert_eq!(same.0, same.1);
            // Numbers beyond any float's reach are JSON and no value: they are kept as written.
            if let (Ok(value), Ok(shown)) = (strictly, serde_json::from_str::<Value>(shown.get())) {
                assert_eq!(value, shown);
            }
        }
        ParsedResult::Unfinished(_) => assert!(strictly.is_err(), "{bytes:?}"),
    }
}

/// `STEP.meta`.
fn meta(bytes: &[u8]) {
    if let ParsedMeta::Known(meta) = ParsedMeta::parse(bytes) {
        let _all = (meta.began(), meta.took(), meta.heartbeat_interval(), meta.speaks_of(None));
        assert_eq!(ParsedMeta::parse(&meta.encode()), ParsedMeta::Known(meta.clone()));
    }
}

/// `NAME.breaker`.
fn breaker(bytes: &[u8]) {
    if let Ok(record) = BreakerRecord::parse(bytes) {
        assert_eq!(BreakerRecord::parse(&record.encode()).ok().as_ref(), Some(&record));
    }
}

/// `STEP.pid`.
fn pid(bytes: &[u8]) {
    if let ParsedPid::Pid(pid) = ParsedPid::parse(bytes) {
        assert!(pid > 0);
        assert_eq!(ParsedPid::parse(format!("{pid}\n").as_bytes()), ParsedPid::Pid(pid));
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(text.trim_matches(|one: char| one.is_ascii_whitespace() || one == '\0').parse(), Ok(pid));
    }
}

/// Step names, and the file names that are made of them.
fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let fits = |one: u8| one.is_ascii_alphanumeric() || b"._@+=:-".contains(&one);
    let good = (1..=100).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['.', '-']);
    let name = StepName::parse(&text);
    assert_eq!(name.is_ok(), good, "{text:?}");
    for record in Record::ALL {
        let Ok(name) = &name else { continue };
        assert_eq!(parse_file_name(&file_name(name, record)), Some((name.as_str(), record)));
        let hidden = temporary_name(name, record, "7-7-7");
        assert_eq!(parse_file_name(&hidden), None);
        assert_eq!(parse_temporary_name(&hidden), Some(name.as_str()));
    }
    if let Some((step, _)) = parse_file_name(&text) {
        assert!(!step.contains('/') && StepName::parse(step).is_ok());
    }
    let _none = parse_temporary_name(&text);
}

/// Durations and sizes as people write them.
fn quantities(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(span) = units::duration(&text) {
        assert!(!units::shown(crate::record::time::millis(span)).is_empty());
    }
    if let Ok(size) = units::size(&text) {
        assert!(!units::bytes(size).is_empty());
    }
}

/// Sanitizes untrusted text, whole and in two pieces.
fn terminal_text(bytes: &[u8]) {
    let obeyed = |one: char| one.is_control() && one != '\t' && one != '\n';
    let (first, second) = two(bytes);
    let mut cleaner = StreamSanitizer::default();
    let in_pieces = cleaner.feed(first) + &cleaner.feed(second) + &cleaner.finish();
    let mut cleaner = StreamSanitizer::default();
    let at_once = cleaner.feed(&[first, second].concat()) + &cleaner.finish();
    assert_eq!(in_pieces, at_once, "{first:?} {second:?}");
    assert!(!at_once.contains(obeyed), "{at_once:?}");
    assert!(!sanitize_for_terminal(&String::from_utf8_lossy(bytes)).contains(|one: char| obeyed(one) || one == '\n'));
    assert!(!quote(bytes).contains(|one: char| one.is_control()));
    if let Some(line) = evidence::command_line(bytes) {
        assert!(!line.contains(|one: char| one.is_control()), "{line:?}");
    }
}

/// Bytes cut into lines, whole and in two pieces.
fn split_lines(bytes: &[u8]) {
    let (first, second) = two(bytes);
    let cut = |pieces: &[&[u8]]| {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line.to_vec()));
        }
        lines.finish(&mut |line| found.push(line.to_vec()));
        found
    };
    let whole = cut(&[&[first, second].concat()]);
    assert_eq!(cut(&[first, second]), whole, "{first:?} {second:?}");
    assert!(whole.iter().all(|line| !line.is_empty() && !line.contains(&b'\n')));
}

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

    fn file<T>(&mut self, content: impl FnOnce(&mut Self) -> T) -> FileState<T> {
        match self.byte() % 6 {
            0 => FileState::Missing,
            1 => FileState::Invalid(FileFault::Denied),
            2 => FileState::Invalid(FileFault::Unfit("is a FIFO".into())),
            _ => {
                let modified = WallTime::from_nanos(self.nanos());
                let stamp =
                    FileStamp { modified, size: u64::from(self.byte()), inode: u64::from(self.byte()), owner: 0 };
                FileState::Present { stamp, content: content(self) }
            }
        }
    }

    fn process(&mut self) -> Process {
        match self.byte() % 4 {
            0 => Process::NotAsked,
            1 => Process::Hidden,
            2 => Process::Gone { borne_elsewhere: self.byte().is_multiple_of(2) },
            _ => Process::Running {
                started: u64::from(self.byte() % 3),
                started_wall: WallTime::from_nanos(self.nanos()),
            },
        }
    }

    fn meta(&mut self, pid: &FileState<ParsedPid>) -> Meta {
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
        let here = LocalContext {
            host: "here".into(),
            boot_id: "boot".into(),
            pid_namespace: None,
            local_filesystem: self.byte() > 9,
            ..LocalContext::default()
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
                0 => FileState::Missing,
                1 => self.file(|source| Arc::new(ParsedMeta::parse(source.0))),
                _ => self.file(|_| Arc::new(ParsedMeta::Known(Box::new(meta)))),
            },
            pid,
            lock: [LockState::Free, LockState::Held, LockState::Unknown][usize::from(self.byte() % 3)],
            process: self.process(),
            followed: self.process(),
            is_stopped: self.byte().is_multiple_of(4),
            status: self.file(|source| ParsedStatus::parse(words[usize::from(source.byte() % 5)])),
            result: self.file(|source| ParsedResult::parse([&b"1"[..], b"{"][usize::from(source.byte() % 2)])),
            standing_result: None,
            lock_file: None,
            heartbeat: self.file(|_| ()),
        }
    }
}

/// Any looks after each other: every one is judged, and whoever sleeps by the verdict sleeps right.
fn looks(bytes: &[u8]) {
    let mut source = Source(bytes);
    let (mut history, mut at) = (RunTracker::default(), 0_i64);
    let stale = Duration::from_secs(u64::from(source.byte()));
    let wishes = ThresholdOptions {
        stale: Threshold { flag: None, environment: Some(stale) },
        max_timeout: Threshold { flag: None, environment: Some(stale.saturating_mul(3)) },
        start_timeout: START_TIMEOUT,
        until: if source.byte().is_multiple_of(2) {
            MonotonicTime::from_nanos(source.nanos())
        } else {
            MonotonicTime::NEVER
        },
        settle: SettleTimes::CONTRACT,
    };
    while !source.0.is_empty() {
        at = at.saturating_add(source.nanos().saturating_abs());
        let snapshot = source.look(at);
        let seen = history.observe(&snapshot);
        let _remarks = remarks(&snapshot, seen.liveness);
        let Ok(policy) = Policy::resolve(&wishes, snapshot.run_meta()) else { continue };
        let verdict = evaluate(&seen, &policy, snapshot.at);
        if let Verdict::Pending { recheck_at, .. } = verdict {
            assert!(recheck_at > snapshot.at || snapshot.at == MonotonicTime::NEVER, "{verdict:?} {snapshot:?}");
            let before = MonotonicTime::from_nanos(0).plus(recheck_at.since(MonotonicTime::from_nanos(1)));
            if before > snapshot.at && recheck_at != MonotonicTime::NEVER {
                assert_eq!(evaluate(&seen, &policy, before), verdict, "{snapshot:?}");
            }
        }
        // The same look again says the same, but for who is dead since when.
        let again = history.clone().observe(&snapshot);
        assert_eq!((&again.status, again.began), (&seen.status, seen.began), "{snapshot:?}");
    }
}

/// A log looked through at once, and in two pieces.
fn marker(bytes: &[u8]) {
    let (length, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first), rest));
    let (pattern, log) = rest.split_at((length % 16).min(rest.len()));
    let Ok(markers) = Patterns::new(Some(&String::from_utf8_lossy(pattern)), Some("^FATAL")) else { return };
    let markers = Arc::new(markers);
    let search = |pieces: &[&[u8]]| {
        let mut matcher = LineMatcher::new(Arc::clone(&markers));
        for piece in pieces {
            matcher.feed(piece);
        }
        matcher.finish();
        matcher.found().cloned()
    };
    let (first, second) = log.split_at(length.min(log.len()));
    let found = search(&[log]);
    assert_eq!(search(&[first, second]), found);
    let fails = String::from_utf8_lossy(log).lines().any(|line| line.starts_with("FATAL"));
    assert!(!fails || matches!(found, Some(LogMatch::Fail(_))), "{found:?}");
}

/// `preflight.toml`: checks, or faults that each say where.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(faults) = parse_preflight(&text, Path::new("/"), &MonitorSettings::default()) {
        assert!(!faults.is_empty());
        let lines = text.matches('\n').count() + 1;
        for fault in faults {
            assert!((1..=lines).contains(&fault.line) && fault.column >= 1 && !fault.message.is_empty(), "{fault:?}");
        }
    }
}

/// Scripts' first lines, activation scripts, `pyvenv.cfg`.
fn shebang(bytes: &[u8]) {
    let shebang = shebangs::parse(bytes);
    assert!(bytes.starts_with(b"#!") || shebang == shebangs::Shebang::None, "{shebang:?}");
    assert!(activate::virtual_env(bytes).is_none_or(|folder| folder.is_absolute()));
    let cfg = cfg::parse(&String::from_utf8_lossy(bytes));
    assert!(cfg.home.is_none_or(|home| !home.as_os_str().is_empty()));
    assert!(cfg.version.is_none_or(|version| version.shares_packages_with(&version)));
}

/// Feeds one text to every parser of a file under `/proc`.
#[cfg(target_os = "linux")]
fn proc_files(bytes: &[u8]) {
    use crate::sys::linux::{cgroup, fs_type, procfs, wait_reason};

    let text = String::from_utf8_lossy(bytes);
    if let Some(stat) = procfs::stat(bytes) {
        let name = procfs::name(bytes).expect("what has fields after its name has a name");
        assert!(name.is_empty() || bytes.windows(name.len()).any(|part| part == name));
        assert!(stat.state != ' ');
    }
    let _all = (
        procfs::stack(bytes),
        procfs::user(&text),
        procfs::inner_pid(&text),
        procfs::newest_pid(&text),
        procfs::signal_dispositions(&text),
    );
    let held = bytes.split(|&byte| byte == 0).next().and_then(|entry| std::str::from_utf8(entry).ok());
    assert!(held.is_none_or(|entry| procfs::environment_holds(bytes, entry)));
    let pids: Vec<i32> = bytes.iter().map(|&byte| i32::from(byte)).collect();
    let ordered = procfs::in_order_of_birth(pids.clone(), pids.first().copied());
    assert!(ordered.len() == pids.len() && ordered.last() == pids.first() || pids.is_empty());
    let _waits = (wait_reason::by_call(&text), wait_reason::by_place(&text));
    let sets = (wait_reason::local_sockets(&text).count(), wait_reason::epoll_set(&text).count());
    assert!(sets.0 <= bytes.len() && sets.1 <= bytes.len());
    assert!(wait_reason::poll_set(bytes).iter().all(|(descriptor, _)| *descriptor >= 0));
    assert!(
        wait_reason::select_set(bytes)
            .all(|descriptor| usize::try_from(descriptor).is_ok_and(|at| at < bytes.len() * 8))
    );
    let _mounts = (fs_type::remote_mount_point(bytes), cgroup::counters(&text, &text), cgroup::count(&text));
}

#[cfg(not(target_os = "linux"))]
fn proc_files(_bytes: &[u8]) {}

fn text(bytes: &[u8]) {
    terminal_text(bytes);
    split_lines(bytes);
}
