//! `RunTracker` over scripted looks: left-overs, heartbeats by observed change, deaths, replaced runs, other machines.

use crate::decide::snapshot::{Liveness, LocalContext, Process, ResultState, Snapshot, Status};
use crate::decide::tracker::RunTracker;
use crate::decide::warning::{Warning, remarks};
use crate::record::file_names::Record;
use crate::record::file_state::{FileFault, FileId, FileStamp, FileState, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::Reason;
use crate::record::pid::ParsedPid;
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::time::{MonotonicTime, WallTime};
use std::sync::Arc;
use std::time::Duration;

/// The wall clock reads this many seconds when the awake clock reads none.
const EPOCH: i64 = 1_700_000_000;

pub(super) fn wall(second: f64) -> WallTime {
    // No whole second: that would be a coarse filesystem's.
    WallTime::from_parts(EPOCH, 1).plus(Duration::from_secs_f64(second))
}

pub(super) fn moment(second: f64) -> MonotonicTime {
    MonotonicTime::from_nanos(0).plus(Duration::from_secs_f64(second))
}

pub(super) fn stamp(second: f64) -> FileStamp {
    FileStamp { modified: wall(second), size: 8, inode: 1, owner: 0 }
}

pub(super) fn there<T>(second: f64, content: T) -> FileState<T> {
    FileState::Present { stamp: stamp(second), content }
}

/// A look at `second`, at an empty directory of this machine.
pub(super) fn snapshot(second: f64) -> Snapshot {
    let here = LocalContext {
        host: "here".into(),
        boot_id: "boot".into(),
        pid_namespace: Some(1),
        time_namespace: Some(1),
        directory: Some(FileId { device: 1, inode: 1 }),
        local_filesystem: true,
    };
    Snapshot {
        lock: LockState::Unknown,
        ..Snapshot::empty(moment(second), wall(second), Duration::ZERO, Arc::new(here))
    }
}

/// The same with a living plain-shell run whose process and pid file are of second 100.
pub(super) fn plain(second: f64) -> Snapshot {
    Snapshot {
        pid: there(100.0, ParsedPid::Pid(42)),
        process: Process::Running { started: 7, started_wall: wall(100.0) },
        ..snapshot(second)
    }
}

pub(super) fn success(second: f64) -> FileState<ParsedStatus> {
    there(second, ParsedStatus::Complete(StatusWord::Success))
}

pub(super) fn of_run(meta: Meta) -> FileState<Arc<ParsedMeta>> {
    let meta = Meta { pid: Some(42), pid_mtime_ns: Some(wall(100.0).as_nanos()), ..meta };
    there(100.0, Arc::new(ParsedMeta::Known(Box::new(meta))))
}

pub(super) fn local() -> Meta {
    Meta { host: Some("here".into()), boot_id: Some("boot".into()), pid_namespace: Some(1), ..Meta::default() }
}

pub(super) const GONE: Process = Process::Gone { borne_elsewhere: false };

#[test]
fn a_status_from_before_the_living_process_is_left_over_and_one_from_after_is_not() {
    let mut tracker = RunTracker::default();
    let old = tracker.observe(&Snapshot { status: success(99.9), ..plain(101.0) });
    assert_eq!((old.status, old.liveness), (Status::Absent, Liveness::Alive));
    let new = tracker.observe(&Snapshot { status: success(101.5), ..plain(102.0) });
    assert_eq!(new.status, Status::Complete { since: moment(102.0), word: StatusWord::Success });
}

#[test]
fn what_was_written_after_the_pid_file_is_never_left_over_however_coarse_its_clock() {
    let late_start = Process::Running { started: 7, started_wall: wall(100.008) };
    let quick = Snapshot { status: success(100.004), process: late_start, ..plain(101.0) };
    assert!(matches!(RunTracker::default().observe(&quick).status, Status::Complete { .. }));
}

#[test]
fn a_dead_runs_status_may_be_two_seconds_older_than_its_pid_file_and_no_more() {
    for (written, counts) in [(98.1, true), (97.9, false)] {
        let seen = RunTracker::default().observe(&Snapshot { status: success(written), process: GONE, ..plain(110.0) });
        assert_eq!(seen.status != Status::Absent, counts, "{written}");
    }
}

#[test]
fn left_over_results_and_heartbeats_go_with_the_status() {
    let json = |second| there(second, ParsedResult::parse(b"1"));
    let old = Snapshot { result: json(99.0), heartbeat: there(99.0, ()), status: success(101.0), ..plain(102.0) };
    let seen = RunTracker::default().observe(&old);
    assert_eq!((seen.result, seen.heartbeat), (ResultState::Absent, None));
    let new = Snapshot { result: json(101.0), heartbeat: there(101.0, ()), ..old };
    let seen = RunTracker::default().observe(&new);
    assert_eq!((seen.result, seen.heartbeat.map(|beat| beat.fresh)), (ResultState::Whole, Some(moment(101.0))));
}

#[test]
fn a_clock_set_back_during_a_run_does_not_make_its_own_status_look_old() {
    let recorded = Meta { locked: true, reason: Some(Reason::Success), ..local() };
    let snapshot = Snapshot { meta: of_run(recorded), lock: LockState::Free, status: success(50.0), ..plain(60.0) };
    let seen = RunTracker::default().observe(&snapshot);
    assert!(matches!(seen.status, Status::Complete { .. }));
    assert_eq!(seen.recorded, Some(Reason::Success));
}

#[test]
fn heartbeat_age_counts_from_the_later_of_heartbeat_and_pid_and_the_future_is_fresh() {
    // Elsewhere, so that the left-over heartbeat is not dropped by the process's own start.
    let elsewhere =
        |heartbeat: f64| Snapshot { process: Process::Hidden, heartbeat: there(heartbeat, ()), ..plain(130.0) };
    for (heartbeat, fresh) in [(10.0, 100.0), (120.0, 120.0), (500.0, 130.0)] {
        let seen = RunTracker::default().observe(&elsewhere(heartbeat));
        assert_eq!(seen.heartbeat.map(|beat| beat.fresh), Some(moment(fresh)), "{heartbeat}");
    }
}

#[test]
fn a_heartbeat_seen_to_change_is_fresh_whatever_the_servers_clock_says() {
    for skew in [-300.0, 300.0] {
        let mut tracker = RunTracker::default();
        let beat =
            |at: f64, beaten: f64| Snapshot { heartbeat: there(beaten + 1000.0 + skew, ()), ..plain(at + 1000.0) };
        tracker.observe(&beat(0.0, 0.0));
        // It beats every ten seconds; looks come when they come. The first change puts the anchor right.
        for (at, beaten) in [(15.0, 10.0), (48.0, 40.0), (61.0, 60.0), (125.0, 120.0)] {
            let fresh = tracker.observe(&beat(at, beaten)).heartbeat.expect("a heartbeat").fresh;
            assert!(fresh >= moment(beaten + 1000.0 - 16.0) && fresh <= moment(at + 1000.0), "{skew} {at}: {fresh:?}");
        }
        let last = tracker.observe(&beat(130.0, 120.0)).heartbeat.expect("a heartbeat");
        let again = tracker.observe(&beat(150.0, 120.0)).heartbeat.expect("a heartbeat");
        assert_eq!(last, again, "no change, no news");
    }
}

#[test]
fn on_a_machine_that_slept_a_first_age_is_unconfirmed_until_a_beat_is_seen() {
    let mut tracker = RunTracker::default();
    let slept =
        |at: f64, beaten: f64| Snapshot { slept: Duration::from_secs(3600), heartbeat: there(beaten, ()), ..plain(at) };
    let first = tracker.observe(&slept(4000.0, 101.0)).heartbeat.expect("a heartbeat");
    assert_eq!(first.unconfirmed, Some(moment(4000.0)));
    let changed = tracker.observe(&slept(4005.0, 4004.0)).heartbeat.expect("a heartbeat");
    assert_eq!(changed.unconfirmed, None);
}

#[test]
fn time_asleep_is_not_elapsed() {
    let slept = Snapshot { slept: Duration::from_secs(1000), ..plain(3000.0) };
    assert_eq!(RunTracker::default().observe(&slept).began, moment(1100.0));
    let by_record = Snapshot { meta: of_run(Meta { started_awake_ms: Some(250_000), ..local() }), ..slept };
    assert_eq!(RunTracker::default().observe(&by_record).began, moment(250.0));
}

#[test]
fn on_a_network_filesystem_a_free_lock_proves_nothing_and_a_gone_process_of_this_machine_does() {
    let here = Arc::new(LocalContext { local_filesystem: false, ..snapshot(0.0).here.as_ref().clone() });
    let locked = of_run(Meta { locked: true, pid_started_at: Some(9), ..local() });
    let running = Process::Running { started: 9, started_wall: wall(99.0) };
    for (lock, process, liveness) in [
        (LockState::Free, running, Liveness::Alive),
        (LockState::Held, GONE, Liveness::Alive),
        (LockState::Free, Process::Hidden, Liveness::Unknown),
        (LockState::Free, GONE, Liveness::Dead { since: moment(110.0) }),
        (LockState::Unknown, GONE, Liveness::Dead { since: moment(110.0) }),
    ] {
        let snapshot = Snapshot { here: Arc::clone(&here), meta: locked.clone(), lock, process, ..plain(110.0) };
        assert_eq!(RunTracker::default().observe(&snapshot).liveness, liveness, "{lock:?} {process:?}");
    }
}

#[test]
fn a_held_lock_counts_only_for_the_run_that_recorded_it() {
    let of_other = there(100.0, Arc::new(ParsedMeta::Known(Box::new(Meta { locked: true, pid: Some(41), ..local() }))));
    let snapshot = Snapshot { meta: of_other, lock: LockState::Held, process: GONE, ..plain(110.0) };
    assert_eq!(RunTracker::default().observe(&snapshot).liveness, Liveness::Dead { since: moment(110.0) });
}

#[test]
fn with_no_pid_a_held_lock_means_a_run_is_starting() {
    let mut tracker = RunTracker::default();
    let between = Snapshot { lock: LockState::Held, status: success(50.0), ..snapshot(110.0) };
    assert_eq!(tracker.observe(&between).liveness, Liveness::Starting { since: moment(110.0) });
    let still = Snapshot { lock: LockState::Held, status: success(50.0), ..snapshot(111.0) };
    assert_eq!(tracker.observe(&still).liveness, Liveness::Starting { since: moment(110.0) });
    let free = Snapshot { lock: LockState::Free, status: success(50.0), ..snapshot(112.0) };
    assert_eq!(tracker.observe(&free).liveness, Liveness::Unknown);
}

#[test]
fn a_wrapper_killed_before_its_pid_stood_is_dead_and_a_withdrawn_pid_leaves_the_recorded_outcome() {
    let orphan = |reason, lock, heartbeat| Snapshot {
        meta: of_run(Meta { locked: true, reason, ..local() }),
        heartbeat: there(heartbeat, ()),
        lock,
        ..snapshot(110.0)
    };
    let first = |snapshot: &Snapshot| RunTracker::default().observe(snapshot);
    assert_eq!(first(&orphan(None, LockState::Free, 100.1)).liveness, Liveness::Dead { since: moment(110.0) });
    let withdrawn = first(&orphan(Some(Reason::Hung), LockState::Free, 90.0));
    assert_eq!((withdrawn.liveness, withdrawn.recorded), (Liveness::Dead { since: moment(110.0) }, Some(Reason::Hung)));
    assert_eq!(first(&orphan(None, LockState::Held, 100.1)).liveness, Liveness::Starting { since: moment(110.0) });
    // Somebody who writes no pid beats on: the old record is not theirs.
    assert_eq!(first(&orphan(None, LockState::Free, 109.0)).liveness, Liveness::Unknown);
}

#[test]
fn a_missing_pid_is_dead_where_that_is_known_and_elsewhere_where_not() {
    let gone = |borne_elsewhere, local_filesystem| {
        let here = LocalContext { local_filesystem, ..snapshot(0.0).here.as_ref().clone() };
        Snapshot { process: Process::Gone { borne_elsewhere }, here: Arc::new(here), ..plain(110.0) }
    };
    let first = |snapshot: &Snapshot| RunTracker::default().observe(snapshot).liveness;
    assert_eq!(first(&gone(false, true)), Liveness::Dead { since: moment(110.0) });
    assert_eq!(first(&gone(true, true)), Liveness::Unknown);
    assert_eq!(first(&gone(false, false)), Liveness::Unknown);
    assert_eq!(remarks(&gone(true, true), Liveness::Unknown), [Warning::Unseen(42)]);
    // Seen alive and then not is dead anywhere.
    let mut tracker = RunTracker::default();
    tracker.observe(&plain(105.0));
    assert_eq!(tracker.observe(&gone(true, false)).liveness, Liveness::Dead { since: moment(110.0) });
}

#[test]
fn a_process_that_started_after_the_pid_file_has_a_recycled_number() {
    let started =
        |second| Snapshot { process: Process::Running { started: 9, started_wall: wall(second) }, ..plain(200.0) };
    assert_eq!(RunTracker::default().observe(&started(101.9)).liveness, Liveness::Alive);
    assert_eq!(RunTracker::default().observe(&started(102.1)).liveness, Liveness::Dead { since: moment(200.0) });
    // Where the start was recorded it is compared exactly.
    let recorded = |raw| Snapshot { meta: of_run(Meta { pid_started_at: Some(raw), ..local() }), ..started(101.0) };
    assert_eq!(RunTracker::default().observe(&recorded(9)).liveness, Liveness::Alive);
    assert_eq!(RunTracker::default().observe(&recorded(8)).liveness, Liveness::Dead { since: moment(200.0) });
}

#[test]
fn a_process_that_took_the_number_over_is_known_by_its_start_once_the_first_was_seen() {
    let mut tracker = RunTracker::default();
    assert_eq!(tracker.observe(&plain(105.0)).liveness, Liveness::Alive);
    // So soon after the pid file that its age alone would not tell.
    let other = Snapshot { process: Process::Running { started: 8, started_wall: wall(100.5) }, ..plain(110.0) };
    assert_eq!(RunTracker::default().observe(&other).liveness, Liveness::Alive);
    assert_eq!(tracker.observe(&other).liveness, Liveness::Dead { since: moment(110.0) });
}

#[test]
fn another_host_boot_or_namespace_is_elsewhere_and_said_so() {
    for (meta, remark) in [
        (
            Meta { host: Some("there".into()), boot_id: Some("other".into()), ..local() },
            Warning::OtherHost("there".into()),
        ),
        (Meta { boot_id: Some("before".into()), ..local() }, Warning::OtherBoot),
        (Meta { pid_namespace: Some(2), ..local() }, Warning::OtherNamespace),
    ] {
        let snapshot = Snapshot { meta: of_run(meta), process: GONE, ..plain(110.0) };
        let liveness = RunTracker::default().observe(&snapshot).liveness;
        assert_eq!(liveness, Liveness::Unknown, "{remark:?}");
        assert_eq!(remarks(&snapshot, liveness), [remark]);
    }
}

#[test]
fn a_run_of_before_a_reboot_is_dead_where_its_lock_is_this_disks_and_free() {
    let lock = FileId { device: 9, inode: 5 };
    let before = Meta { boot_id: Some("before".into()), locked: true, lock_file: Some(lock), ..local() };
    let rebooted = || Snapshot {
        meta: of_run(before.clone()),
        lock: LockState::Free,
        // The disk may have another number now.
        lock_file: Some(FileId { device: 8, ..lock }),
        process: GONE,
        ..plain(110.0)
    };
    let liveness = |snapshot: &Snapshot| RunTracker::default().observe(snapshot).liveness;
    assert_eq!(liveness(&rebooted()), Liveness::Dead { since: moment(110.0) });
    let far = Arc::new(LocalContext { local_filesystem: false, ..(*rebooted().here).clone() });
    for unsure in [
        Snapshot { lock: LockState::Held, ..rebooted() },
        Snapshot { lock: LockState::Unknown, ..rebooted() },
        Snapshot { lock_file: Some(FileId { inode: 6, ..lock }), ..rebooted() },
        Snapshot { meta: of_run(Meta { host: Some("there".into()), ..before.clone() }), ..rebooted() },
        Snapshot { here: far, ..rebooted() },
    ] {
        assert_eq!(liveness(&unsure), Liveness::Unknown, "{unsure:?}");
    }
}

#[test]
fn a_death_counts_from_the_first_look_that_showed_it_and_is_taken_back_with_it() {
    let mut tracker = RunTracker::default();
    assert_eq!(
        tracker.observe(&Snapshot { process: GONE, ..plain(110.0) }).liveness,
        Liveness::Dead { since: moment(110.0) }
    );
    assert_eq!(
        tracker.observe(&Snapshot { process: GONE, ..plain(111.0) }).liveness,
        Liveness::Dead { since: moment(110.0) }
    );
    assert_eq!(tracker.observe(&plain(112.0)).liveness, Liveness::Alive);
    assert_eq!(
        tracker.observe(&Snapshot { process: GONE, ..plain(113.0) }).liveness,
        Liveness::Dead { since: moment(113.0) }
    );
}

#[test]
fn a_new_pid_file_is_a_new_run_of_which_nothing_is_remembered() {
    let mut tracker = RunTracker::default();
    tracker.observe(&Snapshot { heartbeat: there(105.0, ()), ..plain(110.0) });
    assert!(!tracker.replaced());
    let new = Snapshot {
        pid: there(120.0, ParsedPid::Pid(43)),
        process: Process::Running { started: 9, started_wall: wall(119.0) },
        heartbeat: there(105.0, ()),
        ..snapshot(121.0)
    };
    let seen = tracker.observe(&new);
    assert!(tracker.replaced());
    assert_eq!((seen.began, seen.heartbeat), (moment(120.0), None));
}

#[test]
fn a_pid_that_comes_late_is_the_same_run_and_one_that_goes_takes_nothing_back() {
    let mut tracker = RunTracker::default();
    let without = Snapshot { heartbeat: there(101.0, ()), ..snapshot(110.0) };
    assert_eq!(tracker.observe(&without).liveness, Liveness::Unknown);
    let with = Snapshot { heartbeat: there(101.0, ()), ..plain(111.0) };
    let seen = tracker.observe(&with);
    assert_eq!((seen.liveness, seen.began), (Liveness::Alive, moment(100.0)));
    let gone = Snapshot { heartbeat: there(101.0, ()), ..snapshot(112.0) };
    assert_eq!(tracker.observe(&gone).began, moment(100.0));
    assert!(!tracker.replaced());
}

#[test]
fn an_outcome_from_before_the_call_can_be_passed_over_until_anything_new_stands_there() {
    let mut tracker = RunTracker::default();
    let old = Snapshot { status: success(101.0), process: GONE, ..plain(110.0) };
    tracker.skip_existing(&old);
    assert_eq!(tracker.observe(&old).absent_since, Some(moment(110.0)));
    let rewritten = Snapshot { status: success(120.0), process: GONE, ..plain(121.0) };
    assert!(matches!(tracker.observe(&rewritten).status, Status::Complete { .. }));
}

#[test]
fn a_result_is_passed_over_with_its_status_and_one_from_long_after_that_is_the_next_runs() {
    for (second, expected) in [(102.9, ResultState::Absent), (103.1, ResultState::Whole)] {
        let result = || there(second, ParsedResult::parse(b"1"));
        let mut tracker = RunTracker::default();
        let standing_result = result().stamp();
        tracker.skip_existing(&Snapshot { status: success(101.0), standing_result, process: GONE, ..plain(110.0) });
        let next = Snapshot { status: success(120.0), result: result(), process: GONE, ..plain(121.0) };
        assert_eq!(tracker.observe(&next).result, expected, "of second {second}");
    }
}

#[test]
fn what_is_no_regular_file_is_named_the_status_first() {
    let fault = |what: &str| FileFault::Unfit(what.to_owned());
    let both = Snapshot {
        status: FileState::Invalid(fault("is a FIFO")),
        pid: FileState::Invalid(fault("is a socket")),
        ..snapshot(1.0)
    };
    assert_eq!(
        RunTracker::default().observe(&both).invalid,
        Some((Record::Status, "the status file is a FIFO".into()))
    );
    let meta = Snapshot { meta: FileState::Invalid(fault("is a directory")), ..snapshot(1.0) };
    assert_eq!(
        RunTracker::default().observe(&meta).invalid,
        Some((Record::Meta, "the meta file is a directory".into()))
    );
}
