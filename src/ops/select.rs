//! Which steps a command means that was given no names: those of the directory that have these tags, or that run.

use crate::error::Error;
use crate::ops::check::CheckOptions;
use crate::ops::list::{Listing, reports};
use crate::record::step_name::StepName;

/// Which steps are meant without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeantSteps {
    /// All.
    All,
    /// Those that run.
    Running,
}

/// The steps of the directory that are meant, by name; those with all the tags of the request where it has any.
///
/// # Errors
/// `ErrorKind::NotStarted` where there is none, an internal error where the directory cannot be read.
pub(crate) fn steps(request: &CheckOptions, which: MeantSteps) -> Result<Vec<StepName>, Error> {
    let request = CheckOptions { log_tail: 0, ..request.clone() };
    let Listing { steps: reports, faults } = reports(&request)?;
    let meant = reports.iter().filter(|report| which == MeantSteps::All || report.still_runs);
    let steps: Vec<StepName> = meant.filter_map(|report| StepName::parse(&report.step).ok()).collect();
    if !steps.is_empty() {
        return Ok(steps);
    }
    if let Some(fault) = faults.into_iter().next() {
        return Err(Error::internal(fault));
    }
    Err(Error::not_started(none(&request, which, reports.len())))
}

/// The sentence about a directory where no step is meant; `ended` have the tags and do not run.
pub(crate) fn none(request: &CheckOptions, which: MeantSteps, ended: usize) -> String {
    let place = request.directory.display();
    let tagged = match request.tags.as_slice() {
        [] => String::new(),
        tags => format!(" with tag {}", tags.join(" and ")),
    };
    match (which, ended) {
        (MeantSteps::Running, 1..) => format!(
            "no step{tagged} runs in {place}; {ended} {} ended: look with dogwatch check",
            if ended == 1 { "has" } else { "have" }
        ),
        (MeantSteps::Running | MeantSteps::All, _) => {
            format!("no step{tagged} has started in {place}; start one with: dogwatch run STEP -- COMMAND")
        }
    }
}
