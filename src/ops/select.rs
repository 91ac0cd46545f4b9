//! Which steps a command means that was given no names: those of the directory that have these tags, or that run.

use crate::error::Error;
use crate::ops::check::CheckOptions;
use crate::ops::list::{Listing, reports};
use crate::ops::report::Report;
use crate::record::step_name::StepName;
use crate::sys::process::info::my_lineage;

/// Which steps are meant without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeantSteps {
    /// All.
    All,
    /// All but those that this process is a part of: a wait for them would keep them from ending.
    Others,
    /// Of those the ones that run.
    Running,
}

/// The steps of the directory that are meant, by name; those with all the tags of the request where it has any.
///
/// # Errors
/// `ErrorKind::NotStarted` where there is none, an internal error where the directory cannot be read.
pub(crate) fn steps(request: &CheckOptions, which: MeantSteps) -> Result<Vec<StepName>, Error> {
    let request = CheckOptions { log_tail: 0, ..request.clone() };
    let Listing { steps: reports, faults } = reports(&request)?;
    let lineage = if which == MeantSteps::All { Vec::new() } else { my_lineage() };
    let is_own = |report: &&Report| {
        report.still_runs && report.pid.is_some_and(|pid| lineage.iter().any(|process| process.pid == pid))
    };
    let others: Vec<&Report> = reports.iter().filter(|report| !is_own(report)).collect();
    let meant = others.iter().filter(|report| which != MeantSteps::Running || report.still_runs);
    let steps: Vec<StepName> = meant.filter_map(|report| StepName::parse(&report.step).ok()).collect();
    if !steps.is_empty() {
        return Ok(steps);
    }
    if let Some(fault) = faults.into_iter().next() {
        return Err(Error::internal(fault));
    }
    let subject = if others.len() < reports.len() { "no other step" } else { "no step" };
    Err(Error::not_started(none(&request, which, subject, others.len())))
}

/// The sentence about a directory where no step is meant; `ended` have the tags and do not run.
pub(crate) fn none(request: &CheckOptions, which: MeantSteps, subject: &str, ended: usize) -> String {
    let place = request.directory.display();
    let tagged = match request.tags.as_slice() {
        [] => String::new(),
        tags => format!(" with tag {}", tags.join(" and ")),
    };
    if which != MeantSteps::Running || ended == 0 {
        return format!("{subject}{tagged} has started in {place}; start one with: dogwatch run STEP -- COMMAND");
    }
    let have = if ended == 1 { "has" } else { "have" };
    format!("{subject}{tagged} runs in {place}; {ended} {have} ended: look with dogwatch check")
}
