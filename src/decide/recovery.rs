//! What is to be done about a step whose waiter may have gone: the recovery rules as data, to be carried out or printed.
//!
//! A plan only rephrases the verdict; it carries out nothing.

use crate::decide::verdict::{RequiredAction, Verdict};
use crate::record::outcome::{Action, Intent, Outcome, Reason};

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It has ended and says how: take the answer.
    Take,
    /// It is dead and its end is not recorded: record it, and end what it left.
    Record(Reason),
    /// It lives without a sign of life, or too long: end it, and record that.
    End(Intent),
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
            (RequiredAction::Record(reason), _) => Plan::Record(reason),
            (RequiredAction::Terminate(intent), _) => Plan::End(intent),
            (RequiredAction::Report, Outcome::NotStarted) => Plan::Start,
            (RequiredAction::Report, Outcome::Running) => Plan::Wait,
            (
                RequiredAction::Report,
                Outcome::Success | Outcome::Failed | Outcome::Hung | Outcome::Died | Outcome::Timeout | Outcome::Marker,
            ) => Plan::Take,
        },
    }
}

impl Plan {
    /// What a caller should do who only looks; `None` if the outcome itself says it.
    pub(crate) fn action(self) -> Option<Action> {
        match self {
            Self::End(_) => Some(Action::Kill),
            Self::Wait => Some(Action::Wait),
            Self::Take | Self::Record(_) | Self::Start => None,
        }
    }

    /// What carrying it out would do, for people.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Take => "would report it",
            Self::Record(_) => "would record it and end what is left of it",
            Self::End(_) => "would end its whole process tree and record it",
            Self::Wait => "would go on waiting",
            Self::Start => "would report it; start it with dogwatch run",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::verdict::Finding;
    use crate::record::time::MonotonicTime;

    #[test]
    fn every_verdict_has_the_plan_of_the_recovery_rules() {
        let verdict = |outcome, next| Verdict::Final(Finding { outcome, next, detail: None });
        for (verdict, expected, action) in [
            (verdict(Outcome::Success, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Failed, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Hung, RequiredAction::Report), Plan::Take, None),
            (verdict(Outcome::Died, RequiredAction::Record(Reason::Died)), Plan::Record(Reason::Died), None),
            (
                verdict(Outcome::Hung, RequiredAction::Terminate(Intent::Hung)),
                Plan::End(Intent::Hung),
                Some(Action::Kill),
            ),
            (
                verdict(Outcome::Timeout, RequiredAction::Terminate(Intent::Timeout)),
                Plan::End(Intent::Timeout),
                Some(Action::Kill),
            ),
            (verdict(Outcome::Running, RequiredAction::Report), Plan::Wait, Some(Action::Wait)),
            (verdict(Outcome::NotStarted, RequiredAction::Report), Plan::Start, None),
            (Verdict::Pending { recheck_at: MonotonicTime::NEVER, poll_fast: false }, Plan::Wait, Some(Action::Wait)),
        ] {
            assert_eq!((plan(&verdict), plan(&verdict).action()), (expected, action), "{verdict:?}");
        }
    }
}
