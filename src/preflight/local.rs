//! What this machine holds: a variable, a path, room on a disk.
//!
//! Refuses to show a variable's value: it may be a secret.

use crate::preflight::{Failure, Verdict};
use crate::record::units::bytes;
use crate::sys::env;
use crate::sys::fs::metadata;
use crate::sys::fs::monitor_dir::why;
use regex_lite::Regex;
use std::path::Path;

/// Whether a variable is set, to something that matches.
pub(super) fn variable(name: &str, matches: Option<&Regex>) -> Verdict {
    let Some(value) = env::variable(name) else {
        return Err(Failure::of(format!("${name} is not set, or is empty")));
    };
    let Some(pattern) = matches else { return Ok(None) };
    if value.to_str().is_some_and(|value| pattern.is_match(value)) {
        return Ok(None);
    }
    Err(Failure::of(format!("${name} is set, and its value does not match {:?}", pattern.as_str())))
}

/// Whether something stands under a path.
pub(super) fn file(path: &Path) -> Verdict {
    let shown = path.display();
    match metadata::kind(path) {
        Ok(metadata::Kind::Absent) => {
            let failure = Failure::of(format!("there is no {shown}"));
            Err(match metadata::leads_to(path) {
                Some(target) => failure.because(format!("it is a link to {}, which is not there", target.display())),
                None => failure,
            })
        }
        Ok(_) => Ok(None),
        Err(error) => Err(Failure::of(format!("cannot look at {shown}: {}", why(&error)))),
    }
}

/// Whether a filesystem has room.
pub(super) fn disk(path: &Path, min_free: u64) -> Verdict {
    let shown = path.display();
    match metadata::room(path) {
        Ok(free) if free >= min_free => Ok(Some(format!("{} free", bytes(free)))),
        Ok(free) => Err(Failure::of(format!("{} free at {shown}, {} are wanted", bytes(free), bytes(min_free)))),
        Err(error) => Err(Failure::of(format!("cannot ask for the room at {shown}: {}", why(&error)))),
    }
}
