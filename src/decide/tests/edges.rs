//! The exact moments and combinations at which a verdict turns: each was a small change to the code that nothing noticed.
//!
//! Each case is the exact boundary value, not a range.

use crate::decide::breaker::reset;
use crate::decide::policy::{Policy, SettleTimes};
use crate::decide::snapshot::{Heartbeat, Liveness, LocalContext, Observation, Process, ResultState, Snapshot, Status};
use crate::decide::tests::looks::{GONE, local, moment, of_run, plain, snapshot, success, there, wall};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Verdict, evaluate};
use crate::record::breaker::{BreakerRecord, CountedRun};
use crate::record::file_names::Record;
use crate::record::file_state::{FileFault, FileId, FileState, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Outcome, Reason};
use crate::record::pid::ParsedPid;
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::time::MonotonicTime;
use std::sync::Arc;
use std::time::Duration;

const POLICY: Policy = Policy {
    stale: Some(Duration::from_secs(60)),
    max_timeout: Some(Duration::from_secs(1800)),
    heartbeat_interval: Duration::from_secs(10),
    start_timeout: Duration::from_secs(60),
    until: MonotonicTime::NEVER,
    settle: SettleTimes::CONTRACT,
};

/// A run that began at second 100 and of which nothing else is known.
fn run(liveness: Liveness) -> Observation {
    Observation { absent_since: None, liveness, ..Observation::absent(moment(100.0)) }
}

fn at(seen: &Observation, second: f64) -> Verdict {
    evaluate(seen, &POLICY, moment(second))
}

#[track_caller]
fn is_final(verdict: &Verdict) -> (Outcome, Option<String>) {
    assert!(!matches!(verdict, Verdict::Pending { .. }), "{verdict:?}");
    verdict.answer()
}

#[track_caller]
fn is_pending(verdict: &Verdict) -> (MonotonicTime, bool) {
    let Verdict::Pending { recheck_at, poll_fast } = verdict else { panic!("{verdict:?}") };
    (*recheck_at, *poll_fast)
}

#[test]
fn a_torn_status_is_waited_for_two_seconds_and_then_quoted() {
    let status = Status::Unfinished { since: moment(110.0), word: "\"SUC\"".into() };
    let seen = Observation { status, ..run(Liveness::Alive) };
    assert_eq!(is_pending(&at(&seen, 110.0)), (moment(112.0), true));
    assert_eq!(is_pending(&at(&seen, 111.999)), (moment(112.0), true));
    let (outcome, detail) = is_final(&at(&seen, 112.0));
    assert_eq!(outcome, Outcome::Failed);
    assert_eq!(detail.as_deref(), Some("the status file holds \"SUC\", which is neither SUCCESS nor FAILED"));
}

#[test]
fn a_death_beside_a_torn_status_is_looked_at_closely_and_no_patience_cuts_it_short() {
    let status = Status::Unfinished { since: moment(110.0), word: "\"\"".into() };
    let torn = Observation { status, ..run(Liveness::Dead { since: moment(110.0) }) };
    assert_eq!(is_pending(&at(&torn, 110.1)), (moment(110.2), true));
    let impatient = Policy { until: moment(105.0), ..POLICY };
    for seen in [torn, run(Liveness::Dead { since: moment(110.0) })] {
        let verdict = evaluate(&seen, &impatient, moment(110.1));
        assert_eq!(is_pending(&verdict).0, moment(110.2), "a death is settled before anybody is told that it runs");
    }
}

#[test]
fn a_status_under_a_held_lock_without_a_pid_is_believed_after_five_seconds() {
    let status = Status::Complete { since: moment(109.0), word: StatusWord::Failed };
    let seen = Observation { status, ..run(Liveness::Starting { since: moment(110.0) }) };
    assert_eq!(is_pending(&at(&seen, 110.0)), (moment(115.0), true));
    assert_eq!(is_pending(&at(&seen, 114.999)).0, moment(115.0));
    assert_eq!(is_final(&at(&seen, 115.0)).0, Outcome::Failed);
}

#[test]
fn a_run_that_only_seems_to_start_is_held_to_its_limits_from_the_fifth_second_on() {
    let heartbeat = Some(Heartbeat { fresh: moment(10.0), seen: moment(10.0), unconfirmed: None });
    let seen = Observation { heartbeat, ..run(Liveness::Starting { since: moment(110.0) }) };
    assert_eq!(is_pending(&at(&seen, 114.999)), (moment(115.0), true));
    assert_eq!(is_final(&at(&seen, 115.0)).0, Outcome::Hung);
}

#[test]
fn a_success_waits_for_its_result_for_a_second_and_not_where_that_is_whole() {
    let status = Status::Complete { since: moment(110.0), word: StatusWord::Success };
    for (result, waits) in [(ResultState::Absent, true), (ResultState::Unfinished, true), (ResultState::Whole, false)] {
        let seen = Observation { status: status.clone(), result, ..run(Liveness::Alive) };
        assert_eq!(matches!(at(&seen, 110.999), Verdict::Pending { .. }), waits, "{result:?}");
        assert_eq!(is_final(&at(&seen, 111.0)).0, Outcome::Success);
    }
}

#[test]
fn what_was_recorded_is_told_in_its_own_words_and_a_kill_in_ours() {
    let status = Status::Complete { since: moment(110.0), word: StatusWord::Failed };
    for (reason, recorded, told) in [
        (Reason::Hung, Some("no heartbeat"), Some("no heartbeat")),
        (Reason::Hung, None, None),
        (Reason::Killed, None, Some("stopped on request")),
        (Reason::Killed, Some("by me"), Some("by me")),
    ] {
        let recorded_detail = recorded.map(str::to_owned);
        let seen = Observation {
            status: status.clone(),
            recorded: Some(reason),
            recorded_detail,
            ..run(Liveness::Dead { since: moment(110.0) })
        };
        assert_eq!(is_final(&at(&seen, 111.0)).1.as_deref(), told, "{reason:?}");
    }
}

#[test]
fn without_a_pid_a_record_means_a_death_only_where_its_lock_can_be_seen() {
    let seen = |meta: Meta, local_filesystem: bool| {
        let here = LocalContext { local_filesystem, ..snapshot(0.0).here.as_ref().clone() };
        let content = Arc::new(ParsedMeta::Known(Box::new(Meta { pid: Some(42), pid_mtime_ns: Some(1), ..meta })));
        let snapshot =
            Snapshot { here: Arc::new(here), meta: there(100.0, content), lock: LockState::Free, ..snapshot(101.0) };
        RunTracker::default().observe(&snapshot).liveness
    };
    let locked = || Meta { locked: true, ..local() };
    assert_eq!(seen(locked(), true), Liveness::Dead { since: moment(101.0) });
    assert_eq!(seen(locked(), false), Liveness::Unknown);
    assert_eq!(seen(Meta { boot_id: Some("before".into()), ..locked() }, true), Liveness::Unknown);
    assert_eq!(seen(Meta { host: Some("there".into()), boot_id: None, ..locked() }, true), Liveness::Unknown);
    assert_eq!(seen(local(), true), Liveness::Unknown);
}

#[test]
fn a_process_exactly_two_seconds_younger_than_its_pid_file_is_the_one_it_names() {
    let started =
        |second| Snapshot { process: Process::Running { started: 9, started_wall: wall(second) }, ..plain(200.0) };
    assert_eq!(RunTracker::default().observe(&started(102.0)).liveness, Liveness::Alive);
    assert!(matches!(RunTracker::default().observe(&started(102.000_001)).liveness, Liveness::Dead { .. }));
}

#[test]
fn a_status_stands_since_its_last_change_and_at_the_first_look_as_long_as_it_is_old() {
    let torn = |second: f64, at: f64| Snapshot { status: there(second, ParsedStatus::parse(b"SUC")), ..plain(at) };
    let since = |seen: Observation| {
        let Status::Unfinished { since, .. } = seen.status else { panic!("{seen:?}") };
        since
    };
    let mut tracker = RunTracker::default();
    assert_eq!(since(tracker.observe(&torn(104.0, 110.0))), moment(104.0));
    assert_eq!(since(tracker.observe(&torn(104.0, 111.0))), moment(104.0));
    assert_eq!(since(tracker.observe(&torn(104.5, 112.0))), moment(112.0));
    assert_eq!(since(tracker.observe(&torn(104.5, 113.0))), moment(112.0));
}

#[test]
fn a_pid_that_comes_late_takes_nothing_back_of_what_was_seen_before() {
    let torn = there(99.0, ParsedStatus::parse(b"SUC"));
    let set_forward = |snapshot: Snapshot| Snapshot { file_wall: wall(3700.0), ..snapshot };
    let process = Process::Running { started: 7, started_wall: wall(90.0) };
    let mut tracker = RunTracker::default();
    tracker.observe(&Snapshot { heartbeat: there(95.0, ()), status: torn.clone(), ..snapshot(99.5) });
    let named = Snapshot { heartbeat: there(95.0, ()), status: torn, process, ..plain(100.5) };
    let seen = tracker.clone().observe(&set_forward(named));
    assert_eq!(seen.status, Status::Unfinished { since: moment(99.0), word: "\"SUC\"".into() });
    // Its age would be an hour; it counts from the pid, which by that clock is as old.
    assert_eq!(seen.heartbeat.map(|beat| beat.fresh), Some(moment(95.0)));
    let new = there(96.0, ParsedStatus::parse(b"SUC"));
    let seen = tracker.observe(&set_forward(Snapshot { status: new, process, ..plain(100.5) }));
    assert_eq!(seen.status, Status::Unfinished { since: moment(100.5), word: "\"SUC\"".into() }, "seen to come");
}

#[test]
fn a_death_makes_a_result_of_the_slack_before_the_pid_the_runs_own() {
    let mut tracker = RunTracker::default();
    tracker.observe(&plain(105.0));
    let result = there(99.0, ParsedResult::parse(b"1"));
    let alive = Snapshot { status: success(120.0), result: result.clone(), ..plain(121.0) };
    assert_eq!(tracker.clone().observe(&alive).result, ResultState::Absent);
    let dead = Snapshot { status: success(120.0), result, process: GONE, ..plain(121.0) };
    assert_eq!(tracker.observe(&dead).result, ResultState::Whole);
}

#[test]
fn a_result_that_is_an_earlier_runs_is_not_told_and_any_other_is() {
    let result = |second| there(second, ParsedResult::parse(b"1"));
    for (made, told) in [(50.0, false), (119.0, true)] {
        let snapshot = Snapshot { status: success(120.0), result: result(made), ..plain(121.0) };
        let seen = RunTracker::default().observe(&snapshot);
        assert_eq!(snapshot.without_left_over(&seen).result.is_there(), told, "{made}");
    }
    // What cannot be read is told as that.
    let unfit = Snapshot {
        status: success(120.0),
        result: FileState::Invalid(FileFault::Unfit("is a FIFO".into())),
        ..plain(121.0)
    };
    let seen = RunTracker::default().observe(&unfit);
    assert!(unfit.without_left_over(&seen).result.is_there());
}

#[test]
fn one_second_asleep_is_two_clocks_read_one_after_the_other() {
    let first = |slept: f64| {
        let snapshot = Snapshot { slept: Duration::from_secs_f64(slept), heartbeat: there(105.0, ()), ..plain(110.0) };
        RunTracker::default().observe(&snapshot).heartbeat.and_then(|beat| beat.unconfirmed)
    };
    assert_eq!((first(1.0), first(1.001)), (None, Some(moment(110.0))));
}

#[test]
fn a_record_without_a_pid_speaks_of_what_is_no_more_than_two_seconds_younger() {
    let record = |reason, intent| {
        there(
            100.0,
            Arc::new(ParsedMeta::Known(Box::new(Meta {
                reason,
                intent,
                run_id: "status-1".into(),
                ..Meta::default()
            }))),
        )
    };
    for (younger, speaks) in [(-5.0, true), (1.0, true), (2.0, true), (2.001, false), (60.0, false)] {
        let status = success(100.0 + younger);
        let ended = Snapshot { meta: record(Some(Reason::Hung), None), status, ..snapshot(170.0) };
        assert_eq!(ended.run_meta().is_some(), speaks, "an end, {younger}");
        let heartbeat = there(100.0 + younger, ());
        let announced = Snapshot { meta: record(None, Some(Intent::Hung)), heartbeat, ..snapshot(170.0) };
        assert_eq!(announced.run_meta().is_some(), speaks, "an announcement, {younger}");
    }
    let ended = Snapshot { meta: record(Some(Reason::Hung), None), ..snapshot(170.0) };
    assert!(ended.run_meta().is_none(), "there is no end that it could speak of");
    let announced = Snapshot { meta: record(None, Some(Intent::Hung)), ..snapshot(170.0) };
    assert!(announced.run_meta().is_some());
}

#[test]
fn a_file_exactly_as_old_as_the_run_is_its_own_and_so_is_what_a_record_names() {
    let first = |status: f64, heartbeat: f64, meta: FileState<Arc<ParsedMeta>>| {
        let snapshot = Snapshot { status: success(status), heartbeat: there(heartbeat, ()), meta, ..plain(110.0) };
        let seen = RunTracker::default().observe(&snapshot);
        (seen.status != Status::Absent, seen.heartbeat.is_some())
    };
    assert_eq!(first(100.0, 100.0, FileState::Missing), (true, true));
    assert_eq!(first(99.999, 99.999, FileState::Missing), (false, false));
    let recorded = of_run(Meta { reason: Some(Reason::Hung), ..local() });
    assert_eq!(first(99.0, 99.0, recorded), (true, true));
    let named = of_run(Meta { reason: None, ..local() });
    assert_eq!(first(99.0, 99.0, named), (false, false));
}

#[test]
fn a_reset_closes_the_circuit_and_forgets_no_run_and_no_name() {
    let counted = CountedRun { run: "r".into(), reason: Reason::Died, at: "now".into() };
    let record = BreakerRecord {
        name: "b".into(),
        consecutive_failures: 3,
        last_failure_at_ms: Some(7),
        runs: vec![counted.clone()],
        ..BreakerRecord::default()
    };
    let after = reset(record);
    assert_eq!((after.consecutive_failures, after.last_failure_at_ms), (0, None));
    assert_eq!((after.name.as_str(), after.runs), ("b", vec![counted]));
}

#[test]
fn a_pid_file_of_another_run_says_nothing_of_this_one() {
    let mut tracker = RunTracker::default();
    tracker.observe(&plain(105.0));
    let next = Snapshot { pid: there(130.0, ParsedPid::Pid(43)), process: GONE, ..snapshot(131.0) };
    assert_eq!(tracker.observe(&next).began, moment(130.0));
    assert!(tracker.replaced());
}

#[test]
fn a_plan_and_a_remark_each_say_something_of_their_own() {
    use crate::decide::recovery::Plan;
    use crate::decide::warning::Warning;
    let plans = [Plan::Take, Plan::Record, Plan::End, Plan::Wait, Plan::Start];
    assert!(plans.iter().all(|plan| plan.as_str().starts_with("would ")), "{plans:?}");
    let remarks = [
        (Warning::BadPid("\"x\"".into()), "\"x\""),
        (Warning::BrokenMeta("cut".into()), "cut"),
        (Warning::OtherHost("there".into()), "there"),
        (Warning::OtherBoot, "last boot"),
        (Warning::OtherNamespace, "PID namespace"),
        (Warning::Unseen(42), "42"),
        (Warning::Replaced, "replaced"),
    ];
    for (remark, part) in &remarks {
        assert!(remark.to_string().contains(part), "{remark}");
    }
    let beyond: Vec<bool> = remarks.iter().map(|(remark, _)| remark.forbids_signals()).collect();
    assert_eq!(beyond, [false, false, true, true, true, false, false]);
}

#[test]
fn a_run_of_another_machine_or_namespace_is_out_of_reach_and_one_of_here_is_not() {
    use crate::decide::warning::{Warning, out_of_reach, remarks};
    let with =
        |host: &str, boot: Option<&str>| Meta { host: Some(host.into()), boot_id: boot.map(str::to_owned), ..local() };
    for (meta, expected) in [
        (local(), None),
        (with("there", Some("before")), Some(Warning::OtherHost("there".into()))),
        (with("here", Some("before")), Some(Warning::OtherBoot)),
        // Equal ids of the boot decide: a machine's name may change. Where one is unknown the name has to do.
        (with("there", Some("boot")), None),
        (with("there", None), Some(Warning::OtherHost("there".into()))),
        (with("there", Some("")), Some(Warning::OtherHost("there".into()))),
        (with("here", Some("")), None),
        (with("here", None), None),
        (Meta { pid_namespace: Some(2), ..local() }, Some(Warning::OtherNamespace)),
        (Meta { time_namespace: Some(2), ..local() }, Some(Warning::OtherTime)),
        (Meta { directory: Some(FileId { device: 1, inode: 1 }), ..local() }, None),
        (Meta { directory: Some(FileId { device: 1, inode: 2 }), ..local() }, Some(Warning::Copy)),
        (Meta { directory: Some(FileId { device: 2, inode: 1 }), ..local() }, Some(Warning::Copy)),
    ] {
        let snapshot = Snapshot { meta: of_run(meta), ..plain(110.0) };
        assert_eq!(out_of_reach(&snapshot), expected);
        assert_eq!(remarks(&snapshot, Liveness::Alive).first(), expected.as_ref());
    }
    assert_eq!(out_of_reach(&plain(110.0)), None);
}

#[test]
fn what_comes_together_with_a_late_pid_was_not_there_at_the_look_before() {
    let process = Process::Running { started: 7, started_wall: wall(80.0) };
    let mut tracker = RunTracker::default();
    tracker.observe(&Snapshot { heartbeat: there(95.0, ()), ..snapshot(99.5) });
    let named = Snapshot { heartbeat: there(95.0, ()), process, ..plain(100.5) };
    let torn = Snapshot { file_wall: wall(3700.0), status: there(96.0, ParsedStatus::parse(b"SUC")), ..named.clone() };
    let Status::Unfinished { since, .. } = tracker.clone().observe(&torn).status else { panic!("no status") };
    assert_eq!(since, moment(100.5), "it stands since this look, whatever its time says");
    // The clock was set back by some seconds, a beat came, the machine slept for an hour: half a second awake since.
    let pid = there(80.0, ParsedPid::Pid(42));
    let slept = Snapshot { file_wall: wall(3695.7), slept: Duration::from_secs(3600), pid, ..named };
    let seen = tracker.observe(&Snapshot { heartbeat: there(95.2, ()), ..slept });
    let fresh = seen.heartbeat.map(|beat| moment(100.5).since(beat.fresh).as_millis());
    assert_eq!(fresh, Some(500));
}

#[test]
fn a_torn_status_that_has_settled_is_named_before_another_broken_file() {
    let status = Status::Unfinished { since: moment(110.0), word: "\"DONE\"".into() };
    let invalid = Some((Record::Pid, "the pid file is a FIFO".to_owned()));
    let seen = Observation { status, invalid, ..run(Liveness::Unknown) };
    let detail = is_final(&at(&seen, 112.0)).1;
    assert!(detail.as_deref().is_some_and(|detail| detail.contains("DONE")), "{detail:?}");
}
