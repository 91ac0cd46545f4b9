//! The state machine in a simulated world: random histories, a clock that jumps, events that get lost, and an oracle.
//!
//! A day passes in microseconds. `DOGWATCH_HISTORIES` says how many histories are tried and `DOGWATCH_SEED` from which on; a
//! failure names the seed that shows it alone.

mod log;
mod oracle;
mod places;
mod played;
mod script;
mod simulated;
mod stories;

use crate::decide::log_match::Patterns;
use crate::decide::policy::{SettleTimes, Threshold, ThresholdOptions};
use crate::monitor::machine::Monitor;
use crate::monitor::options::{Backend, LogOptions, MonitorOptions, WaitMode};
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::sys::env::variable as variable_text;
use script::Random;
use simulated::State;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// As many as a few seconds of an unoptimised build allow; `scripts/fuzz` asks for 100,000 of an optimised one.
const HISTORIES: u64 = 10_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = variable_text(variable).map(|text| text.into_string().unwrap());
    text.map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn options(state: &State) -> MonitorOptions {
    let nanos = |span: i64| Duration::from_nanos(u64::try_from(span).unwrap_or(0));
    let limits = state.limits;
    let threshold = |span: Option<i64>| Threshold { flag: None, environment: Some(span.map_or(Duration::ZERO, nanos)) };
    let patterns = || Arc::new(Patterns::new(Some("needle"), None).unwrap());
    MonitorOptions {
        steps: (0..state.waited_for).map(|at| StepName::parse(&format!("step{at}")).unwrap()).collect(),
        thresholds: ThresholdOptions {
            stale: threshold(limits.stale),
            max_timeout: threshold(limits.longest),
            start_timeout: nanos(limits.start),
            until: limits.until.map_or(MonotonicTime::NEVER, MonotonicTime::from_nanos),
            settle: SettleTimes::CONTRACT,
        },
        mode: limits.ends,
        new: false,
        kill: true,
        grace: Duration::from_secs(5),
        kill_command: None,
        backend: Backend::Auto,
        poll_interval: Duration::from_secs(1),
        progress: false,
        logs: limits.marker.then(|| LogOptions { patterns: patterns(), file: None }),
    }
}

/// Plays one history; what is reported is held against the oracle as it comes.
fn play(seed: u64) -> [u64; 8] {
    let mut state = stories::history(&mut Random::new(seed));
    let mut options = options(&state);
    options.progress = state.random.happens(10);
    let mut monitor = Monitor::new(&options, Path::new("/simulated"), MonotonicTime::from_nanos(state.now));
    let told = state.drive(&mut monitor);
    let mut positions: Vec<usize> = told.iter().map(|(index, _)| *index).collect();
    positions.sort_unstable();
    positions.dedup();
    assert_eq!(positions.len(), told.len(), "reported twice: {told:?}");
    let all = options.mode == WaitMode::Any || told.len() == options.steps.len();
    assert!(all, "not all were reported: {told:?}");
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
    assert!(histories < 1000 || counts.iter().all(|count| *count > 0), "an outcome never came up: {counts:?}");
}
