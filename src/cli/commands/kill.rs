//! `dogwatch kill`.

use super::completions::running_steps;
use super::{Help, Subcommand};
use crate::cli::{Context, defaults};
use crate::decide::policy::GRACE;
use crate::env_vars;
use crate::error::Error;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::kill;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::units;
use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// The steps whose runs to end
    #[arg(required = true, value_name = "STEP", add = running_steps())]
    steps: Vec<StepName>,
    /// How long processes have from TERM to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    grace: Option<Duration>,
}

impl Subcommand for KillArgs {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "End runs with their whole process trees";
    const HELP: Help = Help {
        examples: &["dogwatch kill build --grace 10s"],
        notes: "The run is recorded as failed, stopped on request; it counts for no circuit breaker.",
        exit_codes: &[
            (ExitCode::Success, Some("none of them is running now")),
            (ExitCode::NotStarted, None),
            (ExitCode::InternalError, Some("one could not be ended; the line says why")),
        ],
    };

    /// How a run ended is not what the call failed at: once none of them runs, it has done what it should.
    fn exec(self, context: &Context) -> Result<u8, Error> {
        let grace = defaults::duration(self.grace, env_vars::GRACE)?.unwrap_or(GRACE);
        let request = kill::Kill { directory: defaults::directory(context)?, steps: self.steps, grace };
        let kill::Killed { reports, complete, interrupted } = kill::kill(&request)?;
        for report in &reports {
            context.out.print_report(report);
        }
        let has = |outcome| reports.iter().any(|report| report.outcome == outcome);
        if let Some(signal) = interrupted {
            return Ok(of_signal(signal as i32));
        }
        let exit = match (has(Outcome::Running) || !complete, has(Outcome::NotStarted)) {
            (true, _) => ExitCode::InternalError,
            (false, true) => ExitCode::NotStarted,
            (false, false) => ExitCode::Success,
        };
        Ok(exit.code())
    }
}
