//! `dogwatch check`.

use super::completions::steps;
use super::tags::TagArgs;
use super::wait::{LogTailArgs, OUTCOME_CODES, ThresholdArgs, report_interrupt};
use super::{Help, Subcommand, exit_code, step};
use crate::cli::deadline::CallDeadline;
use crate::cli::{Context, defaults};
use crate::env_vars;
use crate::error::Error;
use crate::ops::check::{CheckOptions, check};
use crate::ops::select::MeantSteps;
use crate::record::step_name::StepName;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The steps to look at [default: all here]
    #[arg(value_name = "STEP", value_parser = step, add = steps())]
    steps: Vec<StepName>,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    thresholds: ThresholdArgs,
    #[command(flatten)]
    log_tail: LogTailArgs,
}

impl Subcommand for CheckArgs {
    const NAME: &'static str = "check";
    const ABOUT: &'static str = "Say once how steps are doing, without waiting and without changing anything";
    const HELP: Help = Help {
        examples: &["dogwatch check build --json"],
        notes: "Ends as `wait` does; 75 while the step runs.",
        exit_codes: OUTCOME_CODES,
    };

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let steps = self.tags.steps(self.steps, MeantSteps::All, context)?;
        let options = options(steps, self.thresholds, self.log_tail, context)?;
        CallDeadline::of_check(&options).run_within(
            context,
            &|signal| report_interrupt(signal, &options.steps, context),
            || {
                let reports = check(&options)?;
                for report in &reports {
                    context.out.print_report(report);
                }
                Ok(exit_code(reports.iter().map(|report| report.outcome), false))
            },
        )
    }
}

/// What `check`, `list` and `recover --dry-run` are asked for.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the environment does not fit.
pub(super) fn options(
    steps: Vec<StepName>,
    thresholds: ThresholdArgs,
    log_tail: LogTailArgs,
    context: &Context,
) -> Result<CheckOptions, Error> {
    let mut options = CheckOptions::new(defaults::directory(context)?, steps);
    (options.stale, options.max_timeout) = (thresholds.stale, thresholds.max_timeout);
    options.environment_stale = defaults::duration(None, env_vars::STALE)?;
    options.environment_max_timeout = defaults::duration(None, env_vars::MAX_TIMEOUT)?;
    options.log_tail = log_tail.log_tail;
    Ok(options)
}
