//! What is said of one check: every fact under its own key, absent ones as null.
//!
//! Refuses to judge: a check's own verdict comes in, words for people and machines go out.

use crate::preflight::{Check, Failure};
use crate::record::SCHEMA;
use crate::record::time::millis;
use serde::Serialize;
use std::time::Duration;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Word {
    /// It passed at once.
    Passed,
    /// It failed, a fix was run, and then it passed.
    Fixed,
    /// It failed.
    Failed,
}

impl Word {
    /// The word in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Fixed => "fixed",
            Self::Failed => "failed",
        }
    }
}

/// What is known of one check. As JSON it is one object with these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Its name.
    pub(crate) check: String,
    /// Its kind.
    pub(crate) kind: &'static str,
    /// How it came out.
    pub(crate) verdict: Word,
    /// What a check that passed has to say.
    pub(crate) detail: Option<String>,
    /// What is seen of a failure.
    pub(crate) symptom: Option<String>,
    /// What is behind it, where that can be told.
    pub(crate) cause: Option<String>,
    /// The shell command that mends it: the check's own, else the usual one where there is one.
    pub(crate) fix: Option<String>,
    /// Whether that helped; nothing where no fix was run.
    pub(crate) fixed: Option<bool>,
    /// How long the check took, the last time it was run.
    pub(crate) elapsed_ms: u64,
    /// The form of this object.
    pub(crate) schema: u64,
    /// Whether the fix is the check's own, which is the only kind that is ever run.
    #[serde(skip)]
    pub(crate) own_fix: bool,
}

impl Finding {
    /// Puts together what is said of a check.
    pub(super) fn of(check: &Check, verdict: Result<Option<String>, Failure>, took: Duration) -> Self {
        let failed = verdict.is_err();
        let (detail, failure) = match verdict {
            Ok(detail) => (detail, Failure::default()),
            Err(failure) => (None, failure),
        };
        Self {
            check: check.name.clone(),
            kind: check.kind.as_str(),
            verdict: if failed { Word::Failed } else { Word::Passed },
            detail,
            symptom: failed.then_some(failure.symptom),
            cause: failure.cause,
            fix: check.fix.clone().or(failure.fix),
            fixed: None,
            elapsed_ms: millis(took),
            schema: SCHEMA,
            own_fix: check.fix.is_some(),
        }
    }

    /// The same after fixes were run.
    pub(super) fn after_fix(mut self, own: OwnFix<'_>) -> Self {
        let passed = self.verdict == Word::Passed;
        if passed {
            self.verdict = Word::Fixed;
        }
        self.fixed = (passed || own != OwnFix::None).then_some(passed);
        let remark = match own {
            OwnFix::None => String::new(),
            OwnFix::Done => "; its fix was run and did not help".to_owned(),
            OwnFix::Broken(fault) => format!("; its fix was run, and {fault}"),
        };
        self.symptom = self.symptom.map(|symptom| symptom + &remark);
        self
    }
}

/// What became of a check's own fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnFix<'run> {
    /// It has none.
    None,
    /// It was run to its end.
    Done,
    /// It went wrong: a sentence that follows "and".
    Broken(&'run str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Kind;

    fn check(fix: Option<&str>) -> Check {
        Check {
            name: "a".into(),
            kind: Kind::Command("true".into()),
            limit: Duration::from_secs(1),
            fix: fix.map(str::to_owned),
            folder: "/".into(),
        }
    }

    #[test]
    fn every_key_is_there_whatever_is_known() {
        let found = Finding::of(&check(None), Ok(None), Duration::from_millis(7));
        let text = serde_json::to_string(&found).unwrap();
        let expected = "{\"check\":\"a\",\"kind\":\"command\",\"verdict\":\"passed\",\"detail\":null,\"symptom\":null,\
            \"cause\":null,\"fix\":null,\"fixed\":null,\"elapsed_ms\":7,\"schema\":1}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_fix_of_its_own_goes_before_the_usual_one() {
        let failure = Failure::of("x").mended_by("usual");
        let of = |fix| Finding::of(&check(fix), Err(failure.clone()), Duration::ZERO);
        assert_eq!((of(None).fix.as_deref(), of(None).own_fix), (Some("usual"), false));
        assert_eq!((of(Some("own")).fix.as_deref(), of(Some("own")).own_fix), (Some("own"), true));
    }

    #[test]
    fn what_became_of_a_fix_is_said() {
        let of = |verdict: Result<Option<String>, Failure>, own| {
            let found = Finding::of(&check(Some("f")), verdict, Duration::ZERO).after_fix(own);
            (found.verdict, found.fixed, found.symptom.unwrap_or_default())
        };
        assert_eq!(of(Ok(None), OwnFix::Done), (Word::Fixed, Some(true), String::new()));
        assert_eq!(of(Ok(None), OwnFix::None), (Word::Fixed, Some(true), String::new()));
        let failed = of(Err(Failure::of("x")), OwnFix::Broken("it broke"));
        assert_eq!(failed, (Word::Failed, Some(false), "x; its fix was run, and it broke".into()));
        let failed = of(Err(Failure::of("x")), OwnFix::Done);
        assert_eq!(failed, (Word::Failed, Some(false), "x; its fix was run and did not help".into()));
        assert_eq!(of(Err(Failure::of("x")), OwnFix::None), (Word::Failed, None, "x".into()));
    }
}
