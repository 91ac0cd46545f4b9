//! Verdicts where clocks mislead: a machine that has slept, a file server's own clock, times of whole seconds, the future.
//!
//! Every clock is an argument, so no test waits.

use crate::decide::policy::{PauseDetector, Policy, START_TIMEOUT, SettleTimes, Threshold, ThresholdOptions};
use crate::decide::snapshot::{Liveness, LocalContext, Process, ResultState, Snapshot, Status};
use crate::decide::tests::looks::{GONE, local, moment, of_run, plain, snapshot, success, there, wall};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Verdict, evaluate};
use crate::record::file_state::FileState;
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Reason};
use crate::record::status::ParsedStatus;
use crate::record::time::MonotonicTime;
use std::sync::Arc;
use std::time::Duration;

/// The verdict on one more look, held to this staleness and nothing else.
fn verdict(tracker: &mut RunTracker, snapshot: &Snapshot, stale: f64) -> Verdict {
    let wishes = ThresholdOptions {
        stale: Threshold { flag: None, environment: Some(Duration::from_secs_f64(stale)) },
        max_timeout: Threshold { flag: Some(Duration::ZERO), environment: None },
        start_timeout: START_TIMEOUT,
        until: MonotonicTime::NEVER,
        settle: SettleTimes::CONTRACT,
    };
    let policy = Policy::resolve(&wishes, snapshot.run_meta()).expect("a policy");
    evaluate(&tracker.observe(snapshot), &policy, snapshot.at)
}

fn is_hung(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Terminate { intent: Intent::Hung, .. })
}

fn looks_again(verdict: &Verdict) -> MonotonicTime {
    let Verdict::Pending { recheck_at, .. } = verdict else { panic!("{verdict:?}") };
    *recheck_at
}

/// A run of this program that beats every two seconds, looked at after an hour's sleep; its last beat was before.
fn slept(at: f64, beaten: f64) -> Snapshot {
    let meta = of_run(Meta { heartbeat_interval_ms: Some(2000), ..local() });
    Snapshot { meta, slept: Duration::from_secs(3600), heartbeat: there(beaten, ()), ..plain(at) }
}

#[test]
fn a_heartbeat_stale_at_first_sight_after_a_sleep_is_confirmed_before_anything_is_killed() {
    let mut alive = RunTracker::default();
    let first = verdict(&mut alive, &slept(4000.0, 395.0), 60.0);
    assert_eq!(looks_again(&first), moment(4002.0), "one heartbeat interval, by the run's own record");
    let beats = verdict(&mut alive, &slept(4002.0, 4001.5), 60.0);
    assert!(looks_again(&beats) >= moment(4060.0), "it has beaten: from then on it is as good as any");
    let mut dead = RunTracker::default();
    assert!(!is_hung(&verdict(&mut dead, &slept(4000.0, 395.0), 60.0)));
    assert!(!is_hung(&verdict(&mut dead, &slept(4001.999, 395.0), 60.0)));
    assert!(is_hung(&verdict(&mut dead, &slept(4002.0, 395.0), 60.0)));
}

#[test]
fn after_a_pause_that_stopped_the_observer_too_a_heartbeat_has_the_whole_of_its_time_again() {
    for paused in [false, true] {
        let mut run = RunTracker::default();
        let look = |at| Snapshot { heartbeat: there(100.0, ()), ..plain(at) };
        assert!(!is_hung(&verdict(&mut run, &look(101.0), 60.0)));
        if paused {
            run.note_pause(moment(500.0));
        }
        assert_eq!(is_hung(&verdict(&mut run, &look(500.1), 60.0)), !paused);
        assert_eq!(is_hung(&verdict(&mut run, &look(559.9), 60.0)), !paused);
        assert!(is_hung(&verdict(&mut run, &look(560.1), 60.0)), "it has said nothing since");
    }
}

#[test]
fn after_a_pause_a_start_has_the_whole_of_its_time_again_and_what_settles_has_not() {
    let unfinished = there(101.0, ParsedStatus::Unfinished("SUC".into()));
    let mut absent = RunTracker::default();
    assert_eq!(looks_again(&verdict(&mut absent, &snapshot(101.0), 60.0)), moment(161.0));
    absent.note_pause(moment(500.0));
    assert_eq!(looks_again(&verdict(&mut absent, &snapshot(500.1), 60.0)), moment(560.0));
    for look in [Snapshot { process: GONE, ..plain(101.0) }, Snapshot { status: unfinished, ..plain(101.0) }] {
        let mut step = RunTracker::default();
        assert!(matches!(verdict(&mut step, &look, 60.0), Verdict::Pending { .. }), "{look:?}");
        step.note_pause(moment(500.0));
        let later = Snapshot { at: moment(500.1), ..look };
        assert!(!matches!(verdict(&mut step, &later, 600.0), Verdict::Pending { .. }), "{later:?}");
    }
}

#[test]
fn a_process_was_paused_that_goes_on_over_a_second_later_than_it_had_planned() {
    let mut pauses = PauseDetector::new(moment(1.0));
    assert!(!pauses.was_paused(moment(1.9)) && !pauses.was_paused(moment(2.8)), "a second is long for a single look");
    assert!(pauses.was_paused(moment(3.9)) && !pauses.was_paused(moment(4.0)));
    pauses.sleeps_until(moment(60.0));
    assert!(!pauses.was_paused(moment(10.0)), "something happened");
    assert!(pauses.was_paused(moment(60.0)), "it had meant to go on at once");
    pauses.sleeps_until(moment(70.0));
    assert!(!pauses.was_paused(moment(71.0)));
    pauses.sleeps_until(moment(80.0));
    assert!(pauses.was_paused(moment(81.1)));
}

#[test]
fn a_sleep_between_two_looks_ages_nothing() {
    // Both clocks of the looks stand still in the sleep; the wall clock and the files' do not.
    let mut tracker = RunTracker::default();
    let before = verdict(&mut tracker, &Snapshot { heartbeat: there(1000.0, ()), ..plain(1001.0) }, 60.0);
    assert_eq!(looks_again(&before), moment(1060.0));
    let after =
        Snapshot { wall: wall(5000.0), file_wall: wall(5000.0), slept: Duration::from_secs(3998), ..plain(1002.0) };
    let after = Snapshot { heartbeat: there(1000.0, ()), ..after };
    assert_eq!(looks_again(&verdict(&mut tracker, &after, 60.0)), moment(1060.0));
}

/// A look at a directory of a file server whose clock is ahead of this machine's.
fn served(at: f64, ahead: f64, heartbeat: f64) -> Snapshot {
    let here = LocalContext { local_filesystem: false, ..snapshot(0.0).here.as_ref().clone() };
    let plain = plain(at);
    Snapshot {
        here: Arc::new(here),
        file_wall: wall(at + ahead),
        heartbeat: there(heartbeat, ()),
        process: Process::Hidden,
        ..plain
    }
}

#[test]
fn whichever_clock_stamped_it_a_beating_run_on_a_file_server_is_not_hung_and_a_silent_one_is() {
    for ahead in [-300.0, 0.0, 300.0] {
        // The server's clock, the client's own, and some third machine's.
        for stamped in [ahead, 0.0, -777.0, 777.0] {
            let mut beating = RunTracker::default();
            let mut silent = RunTracker::default();
            let mut found = None;
            for half in 0..200 {
                let at = 3000.0 + f64::from(half) / 2.0;
                // It beats every ten seconds, first a second before the first look.
                let beat = 2999.0 + 10.0 * ((at - 2999.0) / 10.0).floor() + stamped;
                assert!(!is_hung(&verdict(&mut beating, &served(at, ahead, beat), 21.0)), "{ahead} {stamped} {at}");
                if found.is_none() && is_hung(&verdict(&mut silent, &served(at, ahead, 2999.0 + stamped), 21.0)) {
                    found = Some(at);
                }
            }
            let found = found.expect("a hang is found");
            assert!(found <= 3000.0 + 21.0 + 1.0, "{ahead} {stamped}: found at {found}");
        }
    }
}

#[test]
fn beats_whose_times_have_whole_seconds_are_never_taken_for_older_than_they_may_be() {
    // Half a second between beats, a threshold just over twice that, looks exactly when the judgement wants them.
    for phase in 0..20 {
        let phase = f64::from(phase) / 20.0;
        let beaten = |at: f64| phase + 0.5 * ((at - phase) / 0.5).floor();
        let coarse = |at: f64, beat: f64| {
            let FileState::Present { mut stamp, content } = there(beat, ()) else { panic!("a file") };
            stamp.modified = crate::record::time::WallTime::from_parts(stamp.modified.as_nanos() / 1_000_000_000, 0);
            Snapshot { heartbeat: FileState::Present { stamp, content }, ..plain(at) }
        };
        let mut tracker = RunTracker::default();
        let mut at = 200.3;
        while at < 260.0 {
            let next = looks_again(&verdict(&mut tracker, &coarse(at, beaten(at)), 1.1));
            #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
            let next = next.since(MonotonicTime::from_nanos(0)).as_nanos() as f64 / 1e9;
            assert!(next > at);
            at = next;
        }
        // It stops: found one threshold and one second later at the latest, plus the look that sees the last beat.
        let last = beaten(at);
        let hung = (0..400).map(|step| at + f64::from(step) / 100.0);
        let found = hung.into_iter().find(|&later| is_hung(&verdict(&mut tracker, &coarse(later, last), 1.1)));
        assert!(found.is_some_and(|found| found >= last + 1.1 && found <= at + 2.2), "{phase}: {found:?} {last}");
    }
}

#[test]
fn a_beat_from_the_future_is_fresh_now_and_no_longer() {
    let mut tracker = RunTracker::default();
    let future = |at: f64| Snapshot { heartbeat: there(9999.0, ()), ..plain(at) };
    assert_eq!(looks_again(&verdict(&mut tracker, &future(500.0), 60.0)), moment(560.0));
    assert!(!is_hung(&verdict(&mut tracker, &future(559.999), 60.0)));
    assert!(is_hung(&verdict(&mut tracker, &future(560.0), 60.0)));
}

#[test]
fn an_old_outcome_stays_passed_over_when_a_killed_starter_has_left_its_record_alone() {
    let ended = of_run(Meta { locked: true, run_id: "old".into(), reason: Some(Reason::Failed), ..local() });
    let mut tracker = RunTracker::default();
    let old = Snapshot { meta: ended.clone(), status: success(101.0), process: GONE, ..plain(110.0) };
    tracker.skip_existing(&old);
    let lock = crate::record::file_state::LockState::Free;
    let alone = Snapshot { meta: ended.clone(), lock, ..snapshot(120.0) };
    assert!(tracker.observe(&alone).absent_since.is_some());
    let published_again = Snapshot { meta: ended, lock, status: success(121.0), ..snapshot(122.0) };
    assert!(tracker.observe(&published_again).absent_since.is_some());
    let new = of_run(Meta { locked: true, run_id: "new".into(), reason: Some(Reason::Success), ..local() });
    let next = Snapshot { meta: new, lock, status: success(130.0), ..plain(131.0) };
    assert!(matches!(tracker.observe(&next).status, Status::Complete { .. }));
}

#[test]
fn a_plain_shells_next_outcome_is_news_although_the_record_of_its_last_one_stays() {
    let recorded = Meta { run_id: "status-1".into(), reason: Some(Reason::Hung), ..Meta::default() };
    let recorded = there(102.0, Arc::new(ParsedMeta::Known(Box::new(recorded))));
    let mut tracker = RunTracker::default();
    let old = Snapshot { meta: recorded.clone(), status: success(101.0), ..snapshot(110.0) };
    tracker.skip_existing(&old);
    assert!(tracker.observe(&old).absent_since.is_some());
    let next = Snapshot { meta: recorded, status: success(130.0), ..snapshot(131.0) };
    assert!(matches!(tracker.observe(&next).status, Status::Complete { .. }));
}

/// A look at a plain shell's run on a machine whose wall clock was set by so many seconds since second 100.
fn set(at: f64, by: f64) -> Snapshot {
    let now = wall(at + by);
    let began = wall(100.0 + by);
    let process = Process::Running { started: 7, started_wall: began };
    Snapshot { wall: now, file_wall: now, process, ..plain(at) }
}

#[test]
fn a_process_that_was_seen_alive_is_not_another_because_the_clock_was_set_forward() {
    let mut tracker = RunTracker::default();
    assert_eq!(tracker.observe(&plain(105.0)).liveness, Liveness::Alive);
    assert_eq!(tracker.observe(&set(110.0, 3600.0)).liveness, Liveness::Alive);
    // Who never saw it has only its age.
    assert!(matches!(RunTracker::default().observe(&set(110.0, 3600.0)).liveness, Liveness::Dead { .. }));
}

#[test]
fn a_clock_set_back_between_two_beats_makes_none_of_them_old() {
    let mut tracker = RunTracker::default();
    verdict(&mut tracker, &Snapshot { heartbeat: there(200.0, ()), ..plain(200.0) }, 21.0);
    // Set back by 19 s at second 215; the beat of second 220 bears second 201.
    let beaten = Snapshot { heartbeat: there(201.0, ()), ..set(221.0, -19.0) };
    assert_eq!(looks_again(&verdict(&mut tracker, &beaten, 21.0)), moment(241.0));
    let silent = Snapshot { heartbeat: there(201.0, ()), ..set(241.0, -19.0) };
    assert!(is_hung(&verdict(&mut tracker, &silent, 21.0)));
}

#[test]
fn what_comes_after_the_first_look_is_this_runs_although_a_clock_set_back_makes_it_older_than_the_run() {
    let mut tracker = RunTracker::default();
    tracker.observe(&Snapshot { heartbeat: there(100.0, ()), ..plain(110.0) });
    let result = |second| there(second, crate::record::result::ParsedResult::parse(b"1"));
    let ended =
        |status, result| Snapshot { status: success(status), result, heartbeat: there(50.0, ()), ..set(160.0, -100.0) };
    let seen = tracker.clone().observe(&ended(60.0, result(59.5)));
    assert!(matches!(seen.status, Status::Complete { .. }));
    assert_eq!(seen.result, ResultState::Whole);
    assert!(seen.heartbeat.is_some());
    let dead = |made| tracker.clone().observe(&Snapshot { process: GONE, ..ended(60.0, result(made)) });
    assert!(matches!(dead(59.5).status, Status::Complete { .. }));
    assert_eq!((dead(59.5).result, dead(40.0).result), (ResultState::Whole, ResultState::Absent));
}

#[test]
fn what_was_held_against_the_living_process_once_is_not_judged_by_its_age_again() {
    let mut tracker = RunTracker::default();
    // An old success, a second before the new run's pid: within the slack, but the process was seen.
    let young = Snapshot { status: success(99.0), heartbeat: there(100.5, ()), ..plain(110.0) };
    assert_eq!(tracker.observe(&young).status, Status::Absent);
    let forward = Snapshot { status: success(99.0), heartbeat: there(100.5, ()), ..set(120.0, 3600.0) };
    assert!(tracker.observe(&forward).heartbeat.is_some());
    let dead = Snapshot { status: success(99.0), process: GONE, ..plain(130.0) };
    assert_eq!(tracker.observe(&dead).status, Status::Absent, "a death makes no success of an earlier run's");
    // To the first look at a dead one it may be its own.
    assert!(matches!(RunTracker::default().observe(&dead).status, Status::Complete { .. }));
}

#[test]
fn a_wrapper_that_takes_its_pid_away_does_not_make_an_old_result_its_own() {
    let old = there(50.0, crate::record::result::ParsedResult::parse(b"1"));
    let mut tracker = RunTracker::default();
    tracker.observe(&plain(110.0));
    let last = Snapshot { status: success(120.0), result: old, ..snapshot(121.0) };
    let seen = tracker.observe(&last);
    assert!(matches!(seen.status, Status::Complete { .. }));
    assert_eq!(seen.result, ResultState::Absent);
}

#[test]
fn a_pid_that_comes_late_makes_the_heartbeat_that_was_there_no_older_than_itself() {
    let mut tracker = RunTracker::default();
    assert_eq!(
        looks_again(&verdict(&mut tracker, &Snapshot { heartbeat: there(97.0, ()), ..snapshot(97.5) }, 21.0)),
        moment(118.0)
    );
    let named = Snapshot { heartbeat: there(97.0, ()), ..plain(100.5) };
    let process = Process::Running { started: 7, started_wall: wall(96.0) };
    let named = Snapshot { process, ..named };
    assert_eq!(looks_again(&verdict(&mut tracker, &named, 21.0)), moment(121.0));
    // The next beat is as much later as its time says, not as much later than the pid.
    let beaten = Snapshot { heartbeat: there(104.0, ()), process, ..plain(110.0) };
    assert_eq!(looks_again(&verdict(&mut tracker, &beaten, 21.0)), moment(125.0));
}
