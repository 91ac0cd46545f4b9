//! `run STEP --for D -- COMMAND`: how the step stands before the call, and what the call notes in the run's record.
//!
//! A run that such a call started, or waited for, owes its end to the next call until one has told it. So the same line,
//! repeated, starts the work once and tells its end at least once: a caller that is killed after the end and before it has
//! printed it leaves the mark as it is, and callers that wait side by side each tell the end of the same run.

use crate::decide::recovery::{Plan, plan};
use crate::decide::verdict::Assessment;
use crate::error::Error;
use crate::ops::{open, reader};
use crate::record::step_name::StepName;
use crate::step::telling;
use std::path::Path;

/// How a step stands before a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallStart {
    /// Nothing runs, and no end is owed: start COMMAND.
    Free,
    /// A run goes on, with this command where its record has it: wait for it.
    Running(Vec<String>),
    /// A run has ended and was not told, with this command where its record has it: tell it, and start nothing.
    Untold(Vec<String>),
}

/// Looks at the step. The end of a run that goes on is owed to the caller from now on.
///
/// # Errors
/// An internal error where the files cannot be read or the mark cannot be written.
pub(crate) fn call_start(directory: &Path, step: &StepName) -> Result<CallStart, Error> {
    let mut reader = reader(&open(directory)?, step);
    let Assessment { snapshot, verdict, .. } = reader.assess_settled()?;
    let meta = snapshot.run_meta();
    let command = meta.map_or_else(Vec::new, |meta| meta.command.clone());
    if plan(&verdict) != Plan::Wait {
        return Ok(if telling::is_owed(&snapshot) { CallStart::Untold(command) } else { CallStart::Free });
    }
    telling::owe(&mut reader)?;
    Ok(CallStart::Running(command))
}

/// Notes that the end of the run that goes on is owed to the caller, who is told to call again.
///
/// # Errors
/// An internal error where the mark cannot be written.
pub(crate) fn owe(directory: &Path, step: &StepName) -> Result<(), Error> {
    telling::owe(&mut reader(&open(directory)?, step))
}

/// Notes that the end of this run was told: call it after the answer was written.
///
/// # Errors
/// An internal error where the mark cannot be written; the next call tells the end once more.
pub(crate) fn mark_told(directory: &Path, step: &StepName, run: &str) -> Result<(), Error> {
    let directory = open(directory)?;
    telling::mark_told(&directory, step, run)
}
