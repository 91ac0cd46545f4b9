//! `start`, `succeed` and `fail` from words to exit code: silent, as a script's own lines are, unless JSON is asked for.
//!
//! Refuses to end as the step does: that a failure was recorded is no failure.

use crate::cli::arguments::{FailArguments, Global, StartArguments, SucceedArguments};
use crate::cli::exit_code::ExitCode;
use crate::cli::{complain, print_json, resolve};
use crate::decide::breaker::MAX_CONSECUTIVE;
use crate::ops::Error;
use crate::ops::report::Report;
use crate::ops::self_managed;
use crate::ops::self_managed::Place;
use crate::record::step_name::StepName;

fn place(step: &StepName, global: &Global) -> Result<Place, Error> {
    Ok(Place { directory: resolve::directory(global)?, step: step.clone() })
}

fn done(report: &Report, global: &Global) -> u8 {
    if global.json {
        print_json(report);
    }
    ExitCode::Success.code()
}

/// `start`.
///
/// # Errors
/// Nothing was begun.
pub(super) fn start(arguments: &StartArguments, global: &Global) -> Result<u8, Error> {
    let limit = resolve::max_consecutive()?.unwrap_or(MAX_CONSECUTIVE);
    let report =
        self_managed::start(&place(&arguments.step, global)?, arguments.pid, limit, &mut |line| complain(line))?;
    Ok(done(&report, global))
}

/// `succeed`.
///
/// # Errors
/// Nothing was recorded.
pub(super) fn succeed(arguments: &SucceedArguments, global: &Global) -> Result<u8, Error> {
    Ok(done(&self_managed::succeed(&place(&arguments.step, global)?, arguments.result.as_deref())?, global))
}

/// `fail`.
///
/// # Errors
/// Nothing was recorded.
pub(super) fn fail(arguments: &FailArguments, global: &Global) -> Result<u8, Error> {
    Ok(done(&self_managed::fail(&place(&arguments.step, global)?, arguments.detail.as_deref())?, global))
}
