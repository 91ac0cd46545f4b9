//! What is to be done about a step whose waiter may have gone: the recovery rules as data, to be carried out or printed.
//!
//! A plan only rephrases the verdict; it carries out nothing.

use crate::decide::verdict::Verdict;
use crate::record::outcome::{Action, Outcome};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It has ended and says how: take the answer.
    Take,
    /// It is dead and its end is not recorded: record it, and end what it left.
    Record,
    /// It lives without a sign of life, or too long: end it, and record that.
    End,
    /// It works: go on waiting.
    Wait,
    /// It has not started: start it.
    Start,
}

/// The plan that a verdict calls for.
pub(crate) fn plan(verdict: &Verdict) -> Plan {
    match verdict {
        Verdict::Record(..) => Plan::Record,
        Verdict::Terminate { .. } => Plan::End,
        Verdict::Report(Outcome::NotStarted, _) => Plan::Start,
        Verdict::Pending { .. } | Verdict::Report(Outcome::Running, _) => Plan::Wait,
        Verdict::Report(..) => Plan::Take,
    }
}

impl Plan {
    /// What a caller should do who only looks; `None` if the outcome itself says it.
    pub(crate) fn action(self) -> Option<Action> {
        match self {
            Self::End => Some(Action::Kill),
            Self::Wait => Some(Action::Wait),
            Self::Take | Self::Record | Self::Start => None,
        }
    }

    /// What carrying it out would do, for people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Take => "would report it",
            Self::Record => "would record it and end what is left of it",
            Self::End => "would end its whole process tree and record it",
            Self::Wait => "would go on waiting",
            Self::Start => "would report it; start it with dogwatch run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::{Intent, Reason};
    use crate::record::time::MonotonicTime;

    #[test]
    fn every_verdict_has_the_plan_of_the_recovery_rules() {
        let report = |outcome| Verdict::Report(outcome, None);
        let end = |intent| Verdict::Terminate { intent, why: String::new(), while_running: String::new() };
        for (verdict, expected, action) in [
            (report(Outcome::Success), Plan::Take, None),
            (report(Outcome::Failed), Plan::Take, None),
            (report(Outcome::Hung), Plan::Take, None),
            (Verdict::Record(Reason::Died, None), Plan::Record, None),
            (end(Intent::Hung), Plan::End, Some(Action::Kill)),
            (end(Intent::Timeout), Plan::End, Some(Action::Kill)),
            (report(Outcome::Running), Plan::Wait, Some(Action::Wait)),
            (report(Outcome::NotStarted), Plan::Start, None),
            (Verdict::Pending { recheck_at: MonotonicTime::NEVER, poll_fast: false }, Plan::Wait, Some(Action::Wait)),
        ] {
            assert_eq!((plan(&verdict), plan(&verdict).action()), (expected, action), "{verdict:?}");
        }
    }
}
