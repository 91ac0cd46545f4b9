//! Which of several outcomes speaks for them all.
//!
//! `exit_code` turns the worst outcome into an exit code.

use crate::record::outcome::Outcome;

/// How bad an outcome is, the worst highest. Under `--for` a step that still runs outranks every other, since the call
/// has to be repeated whatever the others say.
fn rank(outcome: Outcome, sliced: bool) -> u8 {
    match outcome {
        Outcome::Running if sliced => 7,
        Outcome::Timeout => 6,
        Outcome::Hung => 5,
        Outcome::Died => 4,
        Outcome::Failed => 3,
        Outcome::NotStarted => 2,
        Outcome::Running => 1,
        Outcome::Success | Outcome::Marker => 0,
    }
}

/// The worst of these outcomes; nothing of none.
pub(crate) fn worst(outcomes: impl IntoIterator<Item = Outcome>, sliced: bool) -> Option<Outcome> {
    outcomes.into_iter().max_by_key(|&outcome| rank(outcome, sliced))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Died, Failed, Hung, Marker, NotStarted, Running, Success, Timeout};

    #[test]
    fn each_outcome_outranks_all_that_the_contract_names_after_it() {
        let order = [Timeout, Hung, Died, Failed, NotStarted, Running, Success];
        for (index, &worse) in order.iter().enumerate() {
            for &better in &order[index..] {
                assert_eq!(worst([better, worse], false), Some(worse));
            }
        }
        assert_eq!(worst([], false), None);
        assert!(matches!(worst([Success, Marker], false), Some(Success | Marker)));
    }

    #[test]
    fn in_a_slice_a_running_step_outranks_every_end() {
        for other in [Timeout, Hung, Died, Failed, NotStarted, Success, Marker] {
            assert_eq!(worst([Running, other], true), Some(Running));
        }
    }
}
