//! What is to be done about a step whose waiter may have gone: the recovery rules as data, to be carried out or printed.
//!
//! A plan only rephrases the verdict; it carries out nothing.

use crate::decide::verdict::{RequiredAction, Verdict};
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
        Verdict::Pending { .. } => Plan::Wait,
        Verdict::Final(finding) => match (finding.next, finding.outcome) {
            (RequiredAction::Record(_), _) => Plan::Record,
            (RequiredAction::Terminate(_), _) => Plan::End,
            (RequiredAction::Report, Outcome::NotStarted) => Plan::Start,
            (RequiredAction::Report, Outcome::Running) => Plan::Wait,
            (RequiredAction::Report, _) => Plan::Take,
        },
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
    use crate::decide::verdict::Finding;
    use crate::record::outcome::{Intent, Reason};
    use crate::record::time::MonotonicTime;

    #[test]
    fn every_verdict_has_the_plan_of_the_recovery_rules() {
        let verdict = |outcome, next| Verdict::Final(Finding { outcome, next, detail: None });
        for (verdict, expected, action) in [
            (verdict(Outcome::Success, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Failed, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Hung, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Died, RequiredAction::Record(Reason::Died)), Plan::Record, None),
            (verdict(Outcome::Hung, RequiredAction::Terminate(Intent::Hung)), Plan::End, Some(Action::Kill)),
            (verdict(Outcome::Timeout, RequiredAction::Terminate(Intent::Timeout)), Plan::End, Some(Action::Kill)),
            (verdict(Outcome::Running, RequiredAction::Report), Plan::Wait, Some(Action::Wait)),
            (verdict(Outcome::NotStarted, RequiredAction::Report), Plan::Start, None),
            (Verdict::Pending { recheck_at: MonotonicTime::NEVER, poll_fast: false }, Plan::Wait, Some(Action::Wait)),
        ] {
            assert_eq!((plan(&verdict), plan(&verdict).action()), (expected, action), "{verdict:?}");
        }
    }
}
