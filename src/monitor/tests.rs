//! The whole loop in a simulated world: random histories, a clock that jumps, events that get lost, and an oracle.
//!
//! Refuses to wait for anything: a day passes in microseconds. `DOGWATCH_HISTORIES` says how many histories are tried
//! and `DOGWATCH_SEED` from which on; a failure names the seed that shows it alone.

mod oracle;
mod played;
mod script;
mod simulated;
mod stories;

use crate::decide::policy::{SettleTimes, Threshold, ThresholdOptions};
use crate::monitor::event_sources::Backend;
use crate::monitor::options::{Order, StopWhen};
use crate::monitor::{End, Monitor};
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::env::variable as variable_text;
use played::Simulated;
use script::Random;
use simulated::State;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// As many as a few seconds of an unoptimised build allow; `scripts/fuzz` asks for 100,000 of an optimised one.
const HISTORIES: u64 = 10_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = variable_text(variable).map(|text| text.into_string().unwrap());
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn order(state: &State) -> Order {
    let nanos = |span: i64| Duration::from_nanos(u64::try_from(span).unwrap_or(0));
    let limits = state.limits;
    let threshold = |span: Option<i64>| Threshold { flag: None, environment: Some(span.map_or(Duration::ZERO, nanos)) };
    Order {
        steps: (0..state.steps.len()).map(|at| StepName::parse(&format!("step{at}")).unwrap()).collect(),
        wishes: ThresholdOptions {
            stale: threshold(limits.stale),
            max_timeout: threshold(limits.longest),
            start_timeout: nanos(limits.start),
            until: limits.until.map(MonotonicTime::from_nanos),
            settle: SettleTimes::CONTRACT,
        },
        until: limits.ends,
        new: false,
        kill: true,
        grace: Duration::from_secs(5),
        kill_command: None,
        backend: Backend::Auto,
        poll_interval: Duration::from_secs(1),
        logs: None,
    }
}

/// Plays one history; what was told is held against the oracle as it is told.
fn play(seed: u64) -> [u64; 8] {
    let state = Rc::new(RefCell::new(stories::history(&mut Random::new(seed))));
    let order = order(&state.borrow());
    let mut told = Vec::new();
    let told_to = Rc::clone(&state);
    let mut tell = |said: super::Told| {
        told_to.borrow_mut().told(said.index, said.outcome);
        told.push((said.index, said.outcome));
    };
    let end = Monitor::new(Simulated(Rc::clone(&state)), &order, &mut tell, None).run(&mut |_| {});
    assert_eq!(end, Ok(End::Answered));
    let mut places: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), told.len(), "told twice: {told:?}");
    assert!(order.until == StopWhen::Any || told.len() == order.steps.len(), "not all told: {told:?}");
    let mut counts = [0; 8];
    for (_, outcome) in &told {
        counts[*outcome as usize] += 1;
    }
    counts
}

#[test]
fn every_answer_of_every_history_is_what_the_oracle_expects_and_none_is_late() {
    let (first, histories) = (number("DOGWATCH_SEED", 1), number("DOGWATCH_HISTORIES", HISTORIES));
    let mut counts = [0; 8];
    for seed in first..first + histories {
        let played = std::panic::catch_unwind(|| play(seed));
        let Ok(played) = played else { panic!("see above; again by DOGWATCH_SEED={seed} DOGWATCH_HISTORIES=1") };
        counts.iter_mut().zip(played).for_each(|(sum, count)| *sum += count);
    }
    println!("outcomes of {histories} histories, in the order of their names in the code: {counts:?}");
    // All but the marker, which needs a log.
    assert!(histories < 1000 || counts[..7].iter().all(|count| *count > 0), "an outcome never came up: {counts:?}");
}
