//! A run's writes against a reader's reads, in every order, with the writer killed at every step: no false death, no
//! end of an earlier run for a new one, no lost result.
//!
//! The steps are those of the runner and of `step::snapshot`, in their order. Between any two steps of one party the
//! other may take any number of its own.

use crate::decide::policy::{Policy, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::decide::snapshot::{LocalContext, Process, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Verdict, evaluate};
use crate::record::file_state::{FileStamp, FileState, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Outcome, Reason};
use crate::record::pid::{ParsedPid, PidFileId};
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::time::{MonotonicTime, WallTime};
use std::sync::Arc;
use std::time::Duration;

const OLD: i32 = 41;
const NEW: i32 = 42;

/// What has become of the new run by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It goes on, or has not begun.
    Open,
    /// It has said how it ended.
    Said,
    /// It was killed without a word.
    Killed,
}

/// What stands in the directory and what the kernel knows, between two of the writer's steps.
#[derive(Clone, Debug)]
struct World {
    pid: Option<i32>,
    meta: Option<(i32, Option<Reason>)>,
    status: Option<(i32, StatusWord)>,
    result: Option<i32>,
    held: bool,
    lives: bool,
    fate: Fate,
}

/// The steps of a run over an ended one, as `wrapper` takes them.
fn steps() -> Vec<fn(&mut World)> {
    vec![
        |world| (world.held, world.lives) = (true, true),
        |world| world.pid = None,
        |world| world.status = None,
        |world| world.result = None,
        |world| world.meta = Some((NEW, None)),
        |world| world.pid = Some(NEW),
        |world| world.result = Some(NEW),
        |world| world.meta = Some((NEW, Some(Reason::Success))),
        |world| (world.status, world.fate) = (Some((NEW, StatusWord::Success)), Fate::Said),
        |world| world.held = false,
        |world| world.lives = false,
    ]
}

/// Every state in order, with the writer killed after so many steps.
fn timeline(before: &World, killed_after: usize) -> Vec<World> {
    let mut all = vec![before.clone()];
    for step in steps().into_iter().take(killed_after) {
        let mut next = all[all.len() - 1].clone();
        step(&mut next);
        all.push(next);
    }
    let mut last = all[all.len() - 1].clone();
    (last.held, last.lives) = (false, false);
    if last.fate == Fate::Open {
        last.fate = Fate::Killed;
    }
    all.push(last);
    all
}

fn stamp(of: i32) -> FileStamp {
    // The old run's files are a minute older than the new one's.
    let modified = WallTime::from_parts(1_700_000_000 + 60 * i64::from(of - OLD), 1);
    FileStamp { modified, size: 8, inode: u64::from(of.unsigned_abs()), owner: 0 }
}

fn there<T>(of: i32, content: T) -> FileState<T> {
    FileState::Present { stamp: stamp(of), content }
}

fn meta(world: &World) -> FileState<Arc<ParsedMeta>> {
    let Some((of, reason)) = world.meta else { return FileState::Missing };
    let meta = Meta {
        host: Some("here".into()),
        boot_id: Some("boot".into()),
        run_id: of.to_string(),
        pid: Some(of),
        pid_mtime_ns: Some(stamp(of).modified.as_nanos()),
        pid_started_at: Some(u64::from(of.unsigned_abs())),
        locked: true,
        reason,
        ..Meta::default()
    };
    there(of, Arc::new(ParsedMeta::Known(Box::new(meta))))
}

fn pid(world: &World) -> FileState<ParsedPid> {
    world.pid.map_or(FileState::Missing, |of| there(of, ParsedPid::Pid(of)))
}

fn blank(at: i64) -> Snapshot {
    let here = LocalContext {
        host: "here".into(),
        boot_id: "boot".into(),
        pid_namespace: Some(1),
        local_filesystem: true,
        ..LocalContext::default()
    };
    Snapshot::empty(MonotonicTime::from_millis(at), stamp(NEW + 1).modified, Duration::ZERO, Arc::new(here))
}

/// The reads of one look, as `SnapshotReader::read` takes them; each fills in what it sees.
fn reads() -> Vec<fn(&mut Snapshot, &World)> {
    vec![
        |snapshot, world| snapshot.pid = pid(world),
        |snapshot, world| snapshot.meta = meta(world),
        |snapshot, world| {
            let key = snapshot.pid_file_id();
            if key.is_none() || snapshot.run_meta().is_some_and(|meta| meta.locked) {
                snapshot.lock = if world.held { LockState::Held } else { LockState::Free };
            }
        },
        |snapshot, world| {
            let Some(PidFileId { pid: number, .. }) =
                snapshot.pid_file_id().filter(|_| snapshot.lock == LockState::Unknown)
            else {
                return;
            };
            snapshot.process = if number == NEW && world.lives {
                Process::Running { started: u64::from(NEW.unsigned_abs()), started_wall: stamp(NEW).modified }
            } else {
                Process::Gone { borne_elsewhere: false }
            };
        },
        |snapshot, world| {
            snapshot.status =
                world.status.map_or(FileState::Missing, |(of, word)| there(of, ParsedStatus::Complete(word)));
        },
        |snapshot, world| {
            if snapshot.status.is_there() {
                snapshot.meta = meta(world);
            }
        },
        |snapshot, world| {
            if matches!(snapshot.status.content(), Some(ParsedStatus::Complete(StatusWord::Success))) {
                snapshot.result = world
                    .result
                    .map_or(FileState::Missing, |of| there(of, ParsedResult::parse(of.to_string().as_bytes())));
            }
        },
        |snapshot, world| snapshot.heartbeat = world.meta.map_or(FileState::Missing, |(of, _)| there(of, ())),
    ]
}

/// Hands every look that can be taken from a place in the timeline on, with the place where it ended.
fn each_look(at: i64, timeline: &[World], from: usize, found: &mut dyn FnMut(Snapshot, usize)) {
    fn go(
        snapshot: &Snapshot,
        reads: &[fn(&mut Snapshot, &World)],
        timeline: &[World],
        from: usize,
        found: &mut dyn FnMut(Snapshot, usize),
    ) {
        let Some((read, rest)) = reads.split_first() else {
            // The pid file is looked at again: where it has changed the look is taken anew, from here on.
            let mut seen = Vec::new();
            for (place, world) in timeline.iter().enumerate().skip(from) {
                if seen.contains(&world.pid) {
                    continue;
                }
                seen.push(world.pid);
                if pid(world).stamp() == snapshot.pid.stamp() {
                    found(snapshot.clone(), place);
                } else {
                    each_look(snapshot.at.as_millis(), timeline, place, found);
                }
            }
            return;
        };
        let mut seen: Vec<String> = Vec::new();
        for (place, world) in timeline.iter().enumerate().skip(from) {
            let mut next = snapshot.clone();
            read(&mut next, world);
            // The earliest place that shows this: all that can follow a later one can follow it too.
            let shown = format!("{next:?}");
            if !seen.contains(&shown) {
                seen.push(shown);
                go(&next, rest, timeline, place, found);
            }
        }
    }
    go(&blank(at), &reads(), timeline, from, found);
}

fn policy(snapshot: &Snapshot, settle: SettleTimes) -> Policy {
    let wishes = ThresholdOptions {
        stale: Threshold { flag: Some(Duration::ZERO), environment: None },
        max_timeout: Threshold { flag: Some(Duration::ZERO), environment: None },
        start_timeout: START_TIMEOUT,
        until: MonotonicTime::NEVER,
        settle,
    };
    Policy::resolve(&wishes, snapshot.run_meta()).expect("no limits")
}

/// Holds a verdict against what was true when the look ended.
fn hold(verdict: &Verdict, snapshot: &Snapshot, then: &World, history: &str) {
    if matches!(verdict, Verdict::Pending { .. }) {
        return;
    }
    let context = || format!("{verdict:?} at {snapshot:?}\nwhile {then:?}\nafter {history}");
    let of_new = snapshot.pid_file_id().is_some_and(|file| file.pid == NEW);
    let recorded_old = snapshot.run_meta().is_some_and(|meta| meta.run_id == OLD.to_string());
    match verdict.answer().0 {
        Outcome::Success => {
            assert!(
                then.status == Some((NEW, StatusWord::Success))
                    || then.fate == Fate::Said
                    || then.meta == Some((NEW, Some(Reason::Success))),
                "{}",
                context()
            );
            if matches!(verdict, Verdict::Report(..)) {
                assert!(snapshot.result.is_there(), "the result is lost: {}", context());
            }
        }
        Outcome::Failed => {
            assert!(!of_new && (recorded_old || snapshot.status.is_there()), "an old end: {}", context());
        }
        Outcome::Died => assert!(then.fate == Fate::Killed, "a false death: {}", context()),
        Outcome::Hung | Outcome::Timeout | Outcome::NotStarted | Outcome::Running | Outcome::Marker => {
            panic!("no such end: {}", context());
        }
    }
}

#[test]
fn no_order_of_writes_and_reads_makes_a_false_death_an_old_end_or_a_lost_result() {
    let ended = World {
        pid: Some(OLD),
        meta: Some((OLD, Some(Reason::Failed))),
        status: Some((OLD, StatusWord::Failed)),
        result: None,
        held: false,
        lives: false,
        fate: Fate::Open,
    };
    let fresh = World { pid: None, meta: None, status: None, ..ended.clone() };
    let (mut looks, mut deaths, mut successes) = (0, 0, 0);
    for before in [ended, fresh] {
        for killed_after in 0..=steps().len() {
            let timeline = timeline(&before, killed_after);
            let mut firsts = Vec::new();
            each_look(1000, &timeline, 0, &mut |snapshot, place| firsts.push((snapshot, place)));
            for (first, place) in firsts {
                let mut tracker = RunTracker::default();
                let seen = tracker.observe(&first);
                // A look that may not block gives nothing time to settle: it has to be right by its order alone.
                let at_once = evaluate(&seen, &policy(&first, SettleTimes::NONE), first.at);
                hold(&at_once, &first, &timeline[place], "nothing, at once");
                let verdict = evaluate(&seen, &policy(&first, SettleTimes::CONTRACT), first.at);
                hold(&verdict, &first, &timeline[place], "nothing");
                looks += 1;
                if !matches!(verdict, Verdict::Pending { .. }) {
                    continue;
                }
                // The next look comes when all that settles has settled.
                each_look(9000, &timeline, place, &mut |second, place| {
                    let mut tracker = tracker.clone();
                    let verdict =
                        evaluate(&tracker.observe(&second), &policy(&second, SettleTimes::CONTRACT), second.at);
                    hold(&verdict, &second, &timeline[place], &format!("{first:?}"));
                    looks += 1;
                    let (outcome, _) = verdict.answer();
                    deaths += usize::from(outcome == Outcome::Died);
                    successes += usize::from(outcome == Outcome::Success);
                });
            }
        }
    }
    assert!(looks > 1000 && deaths > 10 && successes > 10, "{looks} looks, {deaths} deaths, {successes} successes");
}
