//! What is reported of one check, as a row for people and as JSON. Built by `runner`, printed by `cli`.

use crate::preflight::{Check, CheckResult, Failure};
use crate::record::SCHEMA;
use crate::record::time::millis;
use serde::Serialize;
use std::time::Duration;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckStatus {
    /// It passed.
    Passed,
    /// It failed, fixes were run, and then it passed.
    Fixed,
    /// It failed.
    Failed,
}

/// Where a fix comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FixSource {
    /// The check's own `fix`, the only kind that `--fix` runs.
    Configured,
    /// What usually repairs such a failure; never run.
    Suggested,
}

/// One check's report. As JSON it is one object with these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CheckReport {
    /// The check's name.
    pub(crate) check: String,
    /// Its kind.
    pub(crate) kind: &'static str,
    /// How it ended.
    pub(crate) verdict: CheckStatus,
    /// What a check that passed found.
    pub(crate) detail: Option<String>,
    /// What was observed of a failure.
    pub(crate) symptom: Option<String>,
    /// The reason for it, where it is known.
    pub(crate) cause: Option<String>,
    /// The shell command that repairs it: the check's own, else a suggested one.
    pub(crate) fix: Option<String>,
    /// Which of the two `fix` is; null where there is none.
    pub(crate) fix_source: Option<FixSource>,
    /// Whether fixes helped; null where none was run for it.
    pub(crate) fixed: Option<bool>,
    /// How long its last run took.
    pub(crate) elapsed_ms: u64,
    /// The version of this object's form.
    pub(crate) schema: u64,
    /// Whether the suggested fix may be enabled as it stands.
    #[serde(skip)]
    pub(crate) is_lossless: bool,
}

impl CheckReport {
    /// Reports a check's first run.
    pub(super) fn new(check: &Check, result: CheckResult, took: Duration) -> Self {
        let failed = result.is_err();
        let (detail, failure) = match result {
            Ok(detail) => (detail, Failure::default()),
            Err(failure) => (None, failure),
        };
        let is_lossless = failure.suggestion.as_ref().is_some_and(|fix| fix.is_lossless);
        let suggested = failure.suggestion.map(|fix| (fix.command, FixSource::Suggested));
        let configured = check.fix.clone().map(|command| (command, FixSource::Configured));
        let (fix, fix_source) = configured.or(suggested).unzip();
        Self {
            check: check.name.clone(),
            kind: check.kind.describe().0,
            verdict: if failed { CheckStatus::Failed } else { CheckStatus::Passed },
            detail,
            symptom: failed.then_some(failure.symptom),
            cause: failure.cause,
            fix,
            fix_source,
            fixed: None,
            elapsed_ms: millis(took),
            schema: SCHEMA,
            is_lossless,
        }
    }

    /// The report of a run after fixes; `before` is how the check ended before them, `own` how its own fix did, where that
    /// was run for it.
    pub(super) fn after_fixes(mut self, before: CheckStatus, own: Option<&str>) -> Self {
        let passes = self.verdict == CheckStatus::Passed;
        if before == CheckStatus::Passed {
            self.symptom = self.symptom.map(|symptom| format!("{symptom}; it passed before the fixes were run"));
            return self;
        }
        if passes {
            self.verdict = CheckStatus::Fixed;
        }
        self.fixed = (passes || own.is_some()).then_some(passes);
        let remark = own.map_or_else(String::new, |end| format!("; its fix was run{end}"));
        self.symptom = self.symptom.map(|symptom| symptom + &remark);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::CheckKind;

    fn check(fix: Option<&str>) -> Check {
        Check {
            name: "a".into(),
            kind: CheckKind::Command("true".into()),
            timeout: Duration::from_secs(1),
            fix: fix.map(str::to_owned),
            folder: "/".into(),
        }
    }

    #[test]
    fn every_key_is_there_whatever_is_known() {
        let report = CheckReport::new(&check(None), Ok(None), Duration::from_millis(7));
        let text = serde_json::to_string(&report).unwrap();
        let expected = "{\"check\":\"a\",\"kind\":\"command\",\"verdict\":\"passed\",\"detail\":null,\"symptom\":null,\
            \"cause\":null,\"fix\":null,\"fix_source\":null,\"fixed\":null,\"elapsed_ms\":7,\"schema\":1}";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_configured_fix_goes_before_a_suggested_one_and_each_is_named_as_such() {
        let failure = Failure::new("x").with_advice("usual");
        let report = |fix| CheckReport::new(&check(fix), Err(failure.clone()), Duration::ZERO);
        let (suggested, configured) = (report(None), report(Some("own")));
        assert_eq!((suggested.fix.as_deref(), suggested.fix_source), (Some("usual"), Some(FixSource::Suggested)));
        assert_eq!((configured.fix.as_deref(), configured.fix_source), (Some("own"), Some(FixSource::Configured)));
    }

    #[test]
    fn what_a_fix_did_is_reported_and_so_is_what_it_broke() {
        let report = |before, result: CheckResult, own| {
            let report = CheckReport::new(&check(Some("f")), result, Duration::ZERO).after_fixes(before, own);
            (report.verdict, report.fixed, report.symptom.unwrap_or_default())
        };
        let (passed, failed) = (CheckStatus::Passed, CheckStatus::Failed);
        let broken = || Err(Failure::new("x"));
        for (before, result, own, expected) in [
            (failed, Ok(None), Some(" and helped"), (CheckStatus::Fixed, Some(true), "")),
            (failed, Ok(None), None, (CheckStatus::Fixed, Some(true), "")),
            (failed, broken(), Some(", and it broke"), (failed, Some(false), "x; its fix was run, and it broke")),
            (failed, broken(), None, (failed, None, "x")),
            (passed, Ok(None), None, (passed, None, "")),
            (passed, broken(), None, (failed, None, "x; it passed before the fixes were run")),
            (passed, broken(), Some(", and it broke"), (failed, None, "x; it passed before the fixes were run")),
        ] {
            let (verdict, fixed, symptom) = expected;
            assert_eq!(report(before, result, own), (verdict, fixed, symptom.to_owned()));
        }
    }
}
