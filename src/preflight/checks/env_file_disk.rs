//! Checks a variable, a path, and free disk space. A variable's value is never shown: it may be a secret.

use crate::error::io_reason;
use crate::preflight::{CheckResult, Failure};
use crate::record::units::bytes;
use crate::sys::env;
use crate::sys::fs::metadata;
use regex_lite::Regex;
use std::path::Path;

/// Whether a variable is set and its value matches.
pub(in crate::preflight) fn check_variable(name: &str, matches: Option<&Regex>) -> CheckResult {
    let Some(value) = env::variable(name) else {
        return Err(Failure::new(format!("${name} is not set, or is empty")));
    };
    let Some(pattern) = matches else { return Ok(None) };
    if value.to_str().is_some_and(|value| pattern.is_match(value)) {
        return Ok(None);
    }
    Err(Failure::new(format!("${name} is set, and its value does not match {:?}", pattern.as_str())))
}

/// Whether a path exists.
pub(in crate::preflight) fn check_path(path: &Path) -> CheckResult {
    let shown = path.display();
    match metadata::kind(path) {
        Ok(metadata::FileKind::Absent) => {
            let failure = Failure::new(format!("there is no {shown}"));
            Err(match metadata::leads_to(path) {
                Some(target) => failure.with_cause(format!("it is a link to {}, which is not there", target.display())),
                None => failure,
            })
        }
        Ok(_) => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot read {shown}: {}", io_reason(&error)))),
    }
}

/// Whether a filesystem has free space.
pub(in crate::preflight) fn check_free_space(path: &Path, min_free: u64) -> CheckResult {
    let shown = path.display();
    match metadata::room(path) {
        Ok(free) if free >= min_free => Ok(Some(format!("{} free", bytes(free)))),
        Ok(free) => Err(Failure::new(format!("{} free at {shown}, {} are needed", bytes(free), bytes(min_free)))),
        Err(error) => Err(Failure::new(format!("cannot read the free space at {shown}: {}", io_reason(&error)))),
    }
}
