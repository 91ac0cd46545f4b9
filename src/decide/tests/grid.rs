//! The properties of `evaluate` that license a loop to sleep, each over the whole grid: several hundred thousand cases.

use crate::decide::policy::{Policy, SettleTimes};
use crate::decide::snapshot::{Heartbeat, Liveness, Observation, ResultState, Status};
use crate::decide::verdict::{Verdict, evaluate};
use crate::record::file_names::Record;
use crate::record::outcome::{Intent, Outcome, Reason};
use crate::record::status::StatusWord;
use crate::record::time::MonotonicTime;
use std::time::Duration;

const NOW: i64 = 10_000_000;

fn at(millis: i64) -> MonotonicTime {
    MonotonicTime::from_millis(millis)
}

fn ago(millis: i64) -> MonotonicTime {
    at(NOW - millis)
}

fn livenesses() -> Vec<Liveness> {
    vec![
        Liveness::Alive,
        Liveness::Unknown,
        Liveness::Dead { since: ago(0) },
        Liveness::Dead { since: ago(199) },
        Liveness::Dead { since: ago(200) },
        Liveness::Starting { since: ago(100) },
        Liveness::Starting { since: ago(6000) },
    ]
}

fn statuses() -> Vec<Status> {
    let mut all = vec![Status::Absent];
    for since in [ago(0), ago(999), ago(1000), ago(2000), ago(86_400_000)] {
        all.push(Status::Unfinished { since, word: "\"SUC\"".into() });
        all.push(Status::Complete { since, word: StatusWord::Success });
        all.push(Status::Complete { since, word: StatusWord::Failed });
    }
    all
}

fn heartbeats() -> Vec<Option<Heartbeat>> {
    let beat = |fresh: i64, seen: i64| Some(Heartbeat { fresh: ago(fresh), seen: ago(seen), unconfirmed: None });
    vec![
        None,
        beat(0, 0),
        beat(59_999, 59_999),
        beat(60_000, 60_000),
        // A clock that was set makes a beat look old at the very look that shows it change.
        beat(90_000, 0),
        Some(Heartbeat { fresh: ago(86_400_000), seen: ago(86_400_000), unconfirmed: Some(ago(5000)) }),
        Some(Heartbeat { fresh: ago(86_400_000), seen: ago(86_400_000), unconfirmed: Some(ago(10_000)) }),
    ]
}

/// Every observation of the grid; those of an absent step come first.
fn observations() -> Vec<Observation> {
    let plain = Observation::absent(ago(0));
    let mut all: Vec<Observation> =
        [0, 1, 59_999, 60_000, 86_400_000].into_iter().map(|since| Observation::absent(ago(since))).collect();
    for liveness in livenesses() {
        for status in statuses() {
            for heartbeat in heartbeats() {
                for recorded in [None, Some(Reason::Success), Some(Reason::Hung), Some(Reason::Killed)] {
                    for (intent, result, began, invalid) in [
                        (None, ResultState::Absent, 0, None),
                        (None, ResultState::Whole, 1_800_000, None),
                        (Some(Intent::Timeout), ResultState::Unfinished, 1_799_999, None),
                        (None, ResultState::Absent, 100, Some(Record::Pid)),
                        (None, ResultState::Absent, 100, Some(Record::Result)),
                    ] {
                        all.push(Observation {
                            absent_since: None,
                            liveness,
                            status: status.clone(),
                            recorded,
                            intent,
                            result,
                            heartbeat,
                            began: ago(began),
                            invalid: invalid.map(|record| (record, "is a FIFO".to_owned())),
                            ..plain.clone()
                        });
                    }
                }
            }
        }
    }
    all
}

fn policies() -> Vec<Policy> {
    let minute = Some(Duration::from_secs(60));
    let half_hour = Some(Duration::from_secs(1800));
    let mut all = Vec::new();
    for (stale, max_timeout) in [(minute, half_hour), (None, half_hour), (minute, None), (None, None)] {
        for until in [MonotonicTime::NEVER, at(NOW), at(NOW + 50), at(NOW + 3_600_000)] {
            all.push(Policy {
                stale,
                max_timeout,
                heartbeat_interval: Duration::from_secs(10),
                start_timeout: Duration::from_secs(60),
                until,
                settle: SettleTimes::CONTRACT,
            });
        }
    }
    all
}

fn for_all(mut holds: impl FnMut(&Observation, &Policy, Verdict)) {
    let policies = policies();
    for seen in observations() {
        for policy in &policies {
            holds(&seen, policy, evaluate(&seen, policy, at(NOW)));
        }
    }
}

fn pending(verdict: &Verdict) -> Option<MonotonicTime> {
    let Verdict::Pending { recheck_at, .. } = verdict else { return None };
    Some(*recheck_at)
}

fn outcome(verdict: &Verdict) -> Option<Outcome> {
    (!matches!(verdict, Verdict::Pending { .. })).then(|| verdict.answer().0)
}

#[test]
fn a_pending_verdict_names_a_later_moment_until_which_time_alone_changes_nothing() {
    for_all(|seen, policy, verdict| {
        let Some(again) = pending(&verdict) else { return };
        assert!(again > at(NOW), "{seen:?}\n{policy:?}");
        let gap = again.since(at(NOW)).min(Duration::from_secs(86_400 * 365));
        for part in [gap / 2, gap.saturating_sub(Duration::from_nanos(1))] {
            let meanwhile = at(NOW).plus(part);
            assert_eq!(evaluate(seen, policy, meanwhile), verdict, "{seen:?}\n{policy:?}\n{meanwhile:?}");
        }
    });
}

#[test]
fn at_the_named_moment_the_answer_is_there() {
    for_all(|seen, policy, verdict| {
        let Some(again) = pending(&verdict) else { return };
        // A run that only seems to start is looked at anew from then on: the bound ends the seeming, not the run.
        if again == MonotonicTime::NEVER || matches!(seen.liveness, Liveness::Starting { .. }) {
            return;
        }
        let then = evaluate(seen, policy, again);
        assert!(pending(&then).is_none(), "{seen:?}\n{policy:?}\n{again:?} {then:?}");
    });
}

#[test]
fn a_run_that_seems_to_start_is_believed_for_a_bounded_time_only() {
    for_all(|seen, policy, verdict| {
        if let (Liveness::Starting { since }, Some(again)) = (seen.liveness, pending(&verdict)) {
            let believed = since.plus(Duration::from_secs(5));
            assert!(at(NOW) >= believed || again <= believed, "{seen:?}\n{policy:?}\n{verdict:?}");
        }
    });
}

#[test]
fn a_final_verdict_stays_final_when_only_time_passes() {
    for_all(|seen, policy, verdict| {
        if pending(&verdict).is_none() {
            for later in [1, 200, 60_000, 86_400_000] {
                let then = evaluate(seen, policy, at(NOW + later));
                assert!(pending(&then).is_none(), "{seen:?}\n{policy:?}");
            }
        }
    });
}

#[test]
fn a_complete_status_outranks_all_but_an_earlier_recorded_outcome() {
    for_all(|seen, policy, verdict| {
        let Status::Complete { word, .. } = seen.status else { return };
        if matches!(seen.liveness, Liveness::Starting { .. }) {
            return;
        }
        if pending(&verdict).is_some() {
            assert_eq!(word, StatusWord::Success, "only a success waits, for its result: {seen:?}\n{policy:?}");
            return;
        }
        let Verdict::Report(outcome, _) = verdict else { panic!("{seen:?}") };
        let bad_result = matches!(seen.invalid, Some((Record::Result, _))) && seen.recorded.is_none();
        let expected = match (seen.recorded, word, seen.intent) {
            (Some(Reason::Hung), ..) => Outcome::Hung,
            (Some(Reason::Killed), ..) => Outcome::Failed,
            (_, StatusWord::Success, _) => {
                if bad_result {
                    Outcome::Failed
                } else {
                    Outcome::Success
                }
            }
            (_, StatusWord::Failed, Some(Intent::Timeout)) => Outcome::Timeout,
            (_, StatusWord::Failed, _) => Outcome::Failed,
        };
        assert_eq!(outcome, expected, "{seen:?}\n{policy:?}");
    });
}

#[test]
fn a_success_waits_for_its_result_at_most_a_second_and_only_while_its_writer_may_live() {
    for_all(|seen, _, verdict| {
        let Status::Complete { since, word: StatusWord::Success } = seen.status else { return };
        if pending(&verdict).is_some() && !matches!(seen.liveness, Liveness::Starting { .. }) {
            assert!(at(NOW) < since.plus(Duration::from_secs(1)), "{seen:?}");
            assert_ne!(seen.result, ResultState::Whole, "{seen:?}");
            assert!(!matches!(seen.liveness, Liveness::Dead { .. }) && seen.recorded.is_none(), "{seen:?}");
        }
    });
}

#[test]
fn widening_a_threshold_never_ends_a_run_sooner() {
    for_all(|seen, policy, verdict| {
        if pending(&verdict).is_none() {
            return;
        }
        let wider = [
            Policy { stale: policy.stale.map(|stale| stale * 2), ..*policy },
            Policy { stale: None, ..*policy },
            Policy { max_timeout: policy.max_timeout.map(|limit| limit * 2), ..*policy },
            Policy { max_timeout: None, ..*policy },
            Policy { settle: SettleTimes { death: policy.settle.death * 2, ..policy.settle }, ..*policy },
            Policy { settle: SettleTimes { result: policy.settle.result * 2, ..policy.settle }, ..*policy },
            Policy { start_timeout: policy.start_timeout * 2, ..*policy },
        ];
        for policy in wider {
            assert!(pending(&evaluate(seen, &policy, at(NOW))).is_some(), "{seen:?}\n{policy:?}");
        }
    });
}

#[test]
fn nothing_is_terminated_but_a_stale_or_overdue_run_without_a_status() {
    for_all(|seen, policy, verdict| {
        let Verdict::Terminate { intent, .. } = verdict else { return };
        assert!(!matches!(seen.status, Status::Complete { .. }) && seen.absent_since.is_none());
        assert!(!matches!(seen.liveness, Liveness::Dead { .. }), "{seen:?}");
        match intent {
            Intent::Hung => {
                let beat = seen.heartbeat.expect("a heartbeat that is stale");
                let stale = policy.stale.expect("a threshold");
                assert!(at(NOW) >= beat.fresh.plus(stale), "{seen:?}");
                assert_eq!(verdict.answer().0, Outcome::Hung);
            }
            Intent::Timeout => {
                assert!(at(NOW) >= seen.began.plus(policy.max_timeout.expect("a limit")), "{seen:?}");
                assert_eq!(verdict.answer().0, Outcome::Timeout);
            }
            Intent::Killed => panic!("nobody asked: {seen:?}"),
        }
    });
}

#[test]
fn died_is_said_only_of_the_known_dead_and_only_after_the_settling_time() {
    for_all(|seen, policy, verdict| {
        if outcome(&verdict) != Some(Outcome::Died) {
            return;
        }
        let Liveness::Dead { since } = seen.liveness else { panic!("{seen:?}") };
        assert!(at(NOW) >= since.plus(policy.settle.death), "{seen:?}\n{policy:?}");
        assert_eq!(verdict, Verdict::Record(Reason::Died, None));
    });
}

#[test]
fn the_callers_patience_ends_a_wait_without_touching_anything_but_lets_the_ended_say_how() {
    for_all(|seen, policy, verdict| {
        if let (true, Some(again)) = (policy.until == at(NOW), pending(&verdict)) {
            let ended = seen.succeeded() || matches!(seen.liveness, Liveness::Dead { .. });
            assert!(ended && again <= at(NOW + 1000), "{seen:?}\n{policy:?}");
            let at_once = Policy { settle: SettleTimes::NONE, ..*policy };
            assert!(pending(&evaluate(seen, &at_once, at(NOW))).is_none(), "{seen:?}\n{policy:?}");
        }
        if matches!(outcome(&verdict), Some(Outcome::Running | Outcome::NotStarted)) {
            assert!(matches!(verdict, Verdict::Report(..)));
        }
    });
}

#[test]
fn shifting_every_moment_shifts_the_verdict_and_nothing_else() {
    let shift = Duration::from_millis(123_456_789);
    for_all(|seen, policy, verdict| {
        let moved = |moment: MonotonicTime| if moment == MonotonicTime::NEVER { moment } else { moment.plus(shift) };
        let liveness = match seen.liveness {
            Liveness::Dead { since } => Liveness::Dead { since: moved(since) },
            Liveness::Starting { since } => Liveness::Starting { since: moved(since) },
            other @ (Liveness::Alive | Liveness::Unknown) => other,
        };
        let status = match seen.status.clone() {
            Status::Absent => Status::Absent,
            Status::Unfinished { since, word } => Status::Unfinished { since: moved(since), word },
            Status::Complete { since, word } => Status::Complete { since: moved(since), word },
        };
        let heartbeat = seen.heartbeat.map(|beat| Heartbeat {
            fresh: moved(beat.fresh),
            seen: moved(beat.seen),
            unconfirmed: beat.unconfirmed.map(moved),
        });
        let later = Observation {
            absent_since: seen.absent_since.map(moved),
            liveness,
            status,
            heartbeat,
            began: moved(seen.began),
            ..seen.clone()
        };
        let expected = match verdict {
            Verdict::Pending { recheck_at, poll_fast } => Verdict::Pending { recheck_at: moved(recheck_at), poll_fast },
            other @ (Verdict::Report(..) | Verdict::Record(..) | Verdict::Terminate { .. }) => other,
        };
        let policy = Policy { until: moved(policy.until), ..*policy };
        assert_eq!(evaluate(&later, &policy, at(NOW).plus(shift)), expected, "{seen:?}");
    });
}
