//! The wheel held against an ordered map, and at its edges.

use super::{Timer, TimerWheel};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 64^6 ticks: the span of all levels.
const SPAN: u64 = 1 << 36;
const DAY: u64 = 24 * 60 * 60 * 1000;

fn advance(wheel: &mut TimerWheel<u64>, now: u64) -> Vec<u64> {
    let mut expired = Vec::new();
    wheel.advance(now, &mut |value| expired.push(value));
    expired
}

#[test]
fn a_timer_is_handed_out_at_its_tick_and_not_before() {
    for start in [0, 1, 63, 64, 4095, 4096, SPAN - 1, SPAN, 5 * SPAN + 17] {
        for delay in
            [1, 2, 62, 63, 64, 65, 4095, 4096, 4097, 1 << 18, 1 << 24, 1 << 30, SPAN - 1, SPAN, SPAN + 1, 9 * SPAN]
        {
            let mut wheel = TimerWheel::new(start);
            wheel.schedule(start + delay, 7);
            assert_eq!(wheel.next_deadline(), Some(start + delay), "{start} + {delay}");
            assert_eq!(advance(&mut wheel, start + delay - 1), Vec::<u64>::new(), "{start} + {delay}");
            assert_eq!(wheel.next_deadline(), Some(start + delay), "{start} + {delay}");
            assert_eq!(advance(&mut wheel, start + delay), [7], "{start} + {delay}");
            assert_eq!((wheel.next_deadline(), wheel.len()), (None, 0));
        }
    }
}

#[test]
fn a_deadline_in_the_past_is_due_at_once() {
    let mut wheel = TimerWheel::new(1000);
    wheel.schedule(10, 1);
    wheel.schedule(1000, 2);
    assert_eq!(wheel.next_deadline(), Some(1000));
    let mut expired = advance(&mut wheel, 1000);
    expired.sort_unstable();
    assert_eq!(expired, [1, 2]);
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut wheel = TimerWheel::new(0);
    wheel.schedule(u64::MAX, 1);
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    assert_eq!(advance(&mut wheel, u64::MAX - 1), Vec::<u64>::new());
    wheel.schedule(u64::MAX, 2);
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    let mut expired = advance(&mut wheel, u64::MAX);
    expired.sort_unstable();
    assert_eq!(expired, [1, 2]);
}

#[test]
fn a_stale_key_changes_nothing_even_when_its_place_is_used_again() {
    let mut wheel = TimerWheel::new(0);
    let first = wheel.schedule(5, 1);
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.schedule(6, 2);
    assert_eq!((wheel.cancel(first), wheel.reschedule(first, 1)), (None, false));
    assert_eq!(wheel.next_deadline(), Some(6));
    assert_eq!(advance(&mut wheel, 6), [2]);
    assert_eq!((wheel.cancel(second), wheel.len()), (None, 0));
}

#[test]
fn time_that_goes_back_is_no_time() {
    let mut wheel = TimerWheel::new(100);
    wheel.schedule(150, 1);
    assert_eq!(advance(&mut wheel, 120), Vec::<u64>::new());
    assert_eq!(advance(&mut wheel, 50), Vec::<u64>::new());
    assert_eq!(wheel.next_deadline(), Some(150));
    assert_eq!(advance(&mut wheel, 150), [1]);
}

#[test]
fn a_jump_of_days_hands_everything_out_in_order() {
    let mut wheel = TimerWheel::new(0);
    for value in 0..1000_u64 {
        wheel.schedule((value * 7_919_000) % (10 * DAY), (value * 7_919_000) % (10 * DAY));
    }
    let expired = advance(&mut wheel, 10 * DAY);
    assert_eq!(expired.len(), 1000);
    assert!(expired.is_sorted());
}

#[test]
fn moving_one_timer_over_and_over_keeps_the_next_deadline_and_the_memory() {
    let mut wheel = TimerWheel::new(0);
    let moved = wheel.schedule(10, 1);
    wheel.schedule(3_000_000, 2);
    for deadline in (0..2_000_000).step_by(10) {
        assert!(wheel.reschedule(moved, deadline));
        assert_eq!(wheel.next_deadline(), Some(deadline));
    }
    assert!(wheel.cancel(moved).is_some());
    assert_eq!(wheel.next_deadline(), Some(3_000_000));
}

#[test]
fn a_million_timers_come_out_in_order_each_once() {
    const COUNT: u64 = 1_000_000;
    const PRIME: u64 = 3_600_007;
    let mut wheel = TimerWheel::new(0);
    let mut timers: Vec<Timer> = (0..COUNT).map(|value| wheel.schedule(value * 7_919 % PRIME, value)).collect();
    // A third is taken out and a third moved, so that the lists are cut in the middle too.
    for (value, timer) in timers.drain(..).enumerate() {
        match value % 3 {
            0 => assert!(wheel.cancel(timer).is_some()),
            1 => assert!(wheel.reschedule(timer, value as u64 * 104_729 % PRIME)),
            _ => {}
        }
    }
    let left = wheel.len();
    let deadline = |value: u64| if value % 3 == 1 { value * 104_729 % PRIME } else { value * 7_919 % PRIME };
    let mut last = 0;
    let mut count = 0;
    for now in (0..=PRIME).step_by(50_000).chain([PRIME]) {
        if let Some(next) = wheel.next_deadline() {
            assert!(next >= last);
        }
        wheel.advance(now, &mut |value| {
            let due = deadline(value);
            assert!(due >= last && due <= now && value % 3 != 0);
            last = due;
            count += 1;
        });
    }
    assert_eq!((count, wheel.len()), (left, 0));
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
    Schedule(u64),
    Cancel(usize),
    Reschedule(usize, u64),
    Advance(u64),
}

fn delay() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..130_u64,
        0..10_000_u64,
        0..DAY,
        0..40 * DAY,
        0..3 * SPAN,
        (0..7_u32).prop_map(|level| 1 << (6 * level)),
        (0..7_u32).prop_map(|level| (1 << (6 * level)) - 1),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => delay().prop_map(Step::Schedule),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (any::<usize>(), delay()).prop_map(|(which, delay)| Step::Reschedule(which, delay)),
        3 => delay().prop_map(Step::Advance),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_wheel_does_what_an_ordered_map_does(
        origin in prop_oneof![Just(0_u64), 0..3 * SPAN],
        steps in proptest::collection::vec(step(), 1..80),
        ask in any::<bool>(),
    ) {
        let mut wheel = TimerWheel::new(origin);
        let mut model: BTreeMap<(u64, u64), Timer> = BTreeMap::new();
        let mut all: Vec<(u64, u64, Timer)> = Vec::new();
        let mut now = origin;
        let mut count = 0;
        for step in steps {
            match step {
                Step::Schedule(delay) => {
                    let timer = wheel.schedule(now + delay, count);
                    model.insert((now + delay, count), timer);
                    all.push((now + delay, count, timer));
                    count += 1;
                }
                Step::Cancel(which) if !all.is_empty() => {
                    let (deadline, value, timer) = all[which % all.len()];
                    let known = model.remove(&(deadline, value)).is_some();
                    prop_assert_eq!(wheel.cancel(timer), known.then_some(value));
                }
                Step::Reschedule(which, delay) if !all.is_empty() => {
                    let which = which % all.len();
                    let (deadline, value, timer) = all[which];
                    let known = model.remove(&(deadline, value)).is_some();
                    prop_assert_eq!(wheel.reschedule(timer, now + delay), known);
                    if known {
                        model.insert((now + delay, value), timer);
                        all[which].0 = now + delay;
                    }
                }
                Step::Advance(by) => {
                    now += by;
                    let mut expected: Vec<(u64, u64)> = model.keys().take_while(|(due, _)| *due <= now).copied().collect();
                    model.retain(|(due, _), _| *due > now);
                    let expired = advance(&mut wheel, now);
                    let dues: BTreeMap<u64, u64> = expected.iter().map(|&(due, value)| (value, due)).collect();
                    let order: Vec<u64> = expired.iter().map(|value| dues.get(value).copied().unwrap_or(u64::MAX)).collect();
                    prop_assert!(order.is_sorted(), "{:?}", order);
                    let mut got: Vec<(u64, u64)> = order.into_iter().zip(expired).collect();
                    got.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(got, expected);
                }
                Step::Cancel(_) | Step::Reschedule(..) => {}
            }
            if ask {
                prop_assert_eq!(wheel.next_deadline(), model.keys().next().map(|(due, _)| (*due).max(now)));
            }
            prop_assert_eq!(wheel.len(), model.len());
        }
        prop_assert_eq!(wheel.next_deadline(), model.keys().next().map(|(due, _)| (*due).max(now)));
    }
}
