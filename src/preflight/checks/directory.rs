//! Checks the monitor directory, or its nearest ancestor that exists: private, writable, with events, locks and a clock.
//!
//! It does what runs and waiters will do: creates a file, receives its event, locks it, reads its time, deletes it. Missing
//! events are no failure, since waiters poll then; the report says so.

use crate::error::io_reason;
use crate::preflight::{CheckResult, Failure, MonitorSettings, shown};
use crate::record::shell_word::shell_word;
use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::fs::FsType;
use crate::sys::fs::foreign_writers::{ForeignWriters, foreign_writers};
use crate::sys::fs::metadata::{self, FileKind};
use crate::sys::fs::probe::{ProbeFile, Supplies, has_event, probe_name, watch_for};
use crate::sys::platform::fs_type;
use crate::sys::platform::watch_limits::supplies;
use crate::sys::watch::dir::{self, Events};
use crate::sys::{clock, env};
use std::path::Path;
use std::time::Duration;

/// How long an event may take. It takes well under a millisecond, but a loaded machine must not fail the check.
const EVENT_TIMEOUT: Duration = Duration::from_secs(2);
/// By how much the filesystem's clock may differ from this machine's. The slack for a process older than its `.pid`
/// (`sys::process::tree`) and for a status older than its run is 2 s too.
const MAX_SKEW: Duration = Duration::from_secs(2);
const ELSEWHERE: &str = "choose a directory of your own on a local disk: export DOGWATCH_DIR=…";

/// Whether runs and waiters can use the monitor directory.
pub(in crate::preflight) fn check(settings: &MonitorSettings, deadline: MonotonicTime) -> CheckResult {
    check_intervals(settings)?;
    let directory = env::absolute(&settings.directory);
    let folder = dir::nearest(&directory);
    let is_itself = folder == directory;
    if !is_itself && metadata::kind(&directory).is_ok_and(|kind| kind != FileKind::Absent) {
        return Err(Failure::new(format!("{} is not a folder", directory.display())).with_advice(ELSEWHERE));
    }
    if let Some(writers) = foreign_writers(&folder, is_itself) {
        return Err(forgeable(&writers));
    }
    let locality = fs_type::look(&folder).map_err(|error| {
        Failure::new(format!("the filesystem of {} does not answer: {}", folder.display(), io_reason(&error)))
            .with_advice(ELSEWHERE)
    })?;
    // Read before the probe takes its own instance and watch.
    let left = remaining_watches(supplies());
    let backend = probe_directory(&folder, &locality, deadline)?;
    let subject = if is_itself {
        directory.display().to_string()
    } else {
        format!("{} does not exist yet; {} does", directory.display(), folder.display())
    };
    Ok(Some(format!("{subject}: {backend}{left}")))
}

/// Fails where one late heartbeat would already be stale.
fn check_intervals(settings: &MonitorSettings) -> Result<(), Failure> {
    let (Some(interval), Some(stale)) = (settings.heartbeat_interval, settings.stale) else { return Ok(()) };
    if stale.is_zero() || interval.saturating_mul(2) < stale {
        return Ok(());
    }
    let symptom = format!(
        "DOGWATCH_HEARTBEAT_INTERVAL ({}) is not less than half of DOGWATCH_STALE ({})",
        shown(interval),
        shown(stale)
    );
    Err(Failure::new(symptom)
        .with_cause("one late heartbeat would make a healthy run look hung")
        .with_advice(format!("export DOGWATCH_HEARTBEAT_INTERVAL={}ms", (stale / 3).as_millis().max(1))))
}

/// Creates, watches, locks, stamps and deletes one file; returns how changes will be noticed, and why.
fn probe_directory(folder: &Path, locality: &FsType, deadline: MonotonicTime) -> Result<String, Failure> {
    let shown = folder.display();
    let name = probe_name();
    // On a remote filesystem this machine's own write raises an event and other machines' writes do not: it proves nothing.
    let events = locality.local.then(|| watch_for(folder, &name));
    let probe = ProbeFile::create(folder, &name).map_err(|error| {
        Failure::new(format!("cannot write in {shown}: {}", io_reason(&error))).with_advice(ELSEWHERE)
    })?;
    let backend = match events {
        None => format!("changes are noticed by polling, since {} does not tell of what others write", locality.name),
        Some(Err(error)) => {
            format!("changes are noticed by polling, since no events can be had: {}", io_reason(&error))
        }
        Some(Ok(mut events)) => {
            if !has_event(&mut events, clock::now().plus(EVENT_TIMEOUT).min(deadline)) {
                return Err(Failure::new(format!(
                    "a file was created in {shown} and no {} event came",
                    Events::BACKEND
                ))
                .with_cause(format!("{} does not deliver events here, as in some sandboxes", locality.name))
                .with_advice("export DOGWATCH_BACKEND=poll"));
            }
            format!("changes are noticed by {}, since {} is local", Events::BACKEND, locality.name)
        }
    };
    match probe.lock() {
        Ok(Some(_lock)) => {}
        Ok(None) => return Err(Failure::new(format!("a file in {shown} was locked by another process at once"))),
        Err(error) => {
            return Err(Failure::new(format!("a file in {shown} cannot be locked: {}", io_reason(&error)))
                .with_cause(format!("{} has no locks, or its lock service is down", locality.name))
                .with_advice(ELSEWHERE));
        }
    }
    let clocks = probe
        .clocks()
        .map_err(|error| Failure::new(format!("cannot set the time of a file in {shown}: {}", io_reason(&error))))?;
    check_skew(clocks, &locality.name)?;
    Ok(backend)
}

/// Fails where the filesystem's clock is off; the three are the clock here before, the file's, and the clock here after.
fn check_skew((before, made, after): (WallTime, WallTime, WallTime), filesystem: &str) -> Result<(), Failure> {
    let (behind, ahead) = (before.since(made), made.since(after));
    let (by, how) = if behind > MAX_SKEW { (behind, "behind") } else { (ahead, "ahead of") };
    if by <= MAX_SKEW {
        return Ok(());
    }
    let by = shown(Duration::from_secs(by.as_secs()));
    Err(Failure::new(format!("the clock of the filesystem is {by} {how} this machine's"))
        .with_cause(format!("{filesystem} takes its times from another machine, and one of the two is wrong"))
        .with_advice("set both clocks by NTP, or choose a directory on a local disk: export DOGWATCH_DIR=…"))
}

fn forgeable(writers: &ForeignWriters) -> Failure {
    let failure = Failure::new(writers.to_string());
    match writers {
        ForeignWriters::Owner { .. } => {
            failure.with_cause("its owner can replace every file of every run").with_advice(ELSEWHERE)
        }
        ForeignWriters::Mode { folder, .. } => failure
            .with_cause("who can write there can replace every file of every run")
            .with_advice(format!("chmod go-w {}", shell_word(&folder.to_string_lossy()))),
    }
}

/// What this user has left of the kernel's instances and watches, as the end of a sentence.
fn remaining_watches(supplies: Option<Supplies>) -> String {
    supplies.map_or_else(String::new, |Supplies { instances, watches }| {
        format!(
            "; {} of {} instances and {} of {} watches are left",
            instances.limit.saturating_sub(instances.used),
            instances.limit,
            watches.limit.saturating_sub(watches.used),
            watches.limit
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_must_come_at_least_twice_within_the_staleness() {
        let settings = |interval, stale| MonitorSettings {
            heartbeat_interval: Some(Duration::from_secs(interval)),
            stale: Some(Duration::from_secs(stale)),
            ..MonitorSettings::default()
        };
        assert!(check_intervals(&MonitorSettings::default()).is_ok());
        for (interval, stale, fits) in [(10, 60, true), (29, 60, true), (30, 60, false), (90, 60, false), (90, 0, true)]
        {
            assert_eq!(check_intervals(&settings(interval, stale)).is_ok(), fits, "{interval} {stale}");
        }
    }

    #[test]
    fn clocks_may_differ_by_two_seconds() {
        let at = |second: i64| WallTime::from_parts(second, 0);
        for (made, words) in
            [(100, None), (98, None), (102, None), (97, Some("3s behind")), (3700, Some("1h ahead of"))]
        {
            let found = check_skew((at(100), at(made), at(100)), "nfs").err().map(|failure| failure.symptom);
            assert_eq!(found.is_some(), words.is_some(), "{made}");
            assert!(found.zip(words).is_none_or(|(found, words)| found.contains(words)), "{made}");
        }
    }
}
