//! `dogwatch check`.

use super::completions::steps;
use super::tags::TagArgs;
use super::thresholds::{LogTailArgs, ThresholdArgs, check_options};
use super::wait::OUTCOME_CODES;
use super::{Args, Context, Error, ExitCode, StepName, Subcommand};
use crate::cli::deadline::CallDeadline;
use crate::exit_code::of_all;
use crate::ops::check::{CheckOptions, Checked, plans};
use crate::ops::select::MeantSteps;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The steps to look at [default: all here]
    #[arg(value_name = "STEP", add = steps())]
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
    const EXAMPLES: &'static [&'static str] = &["dogwatch check build --json"];
    const NOTES: &'static str = "Ends as `wait` does; 75 while the step runs.";
    const EXIT_CODES: &'static [ExitCode] = OUTCOME_CODES;

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let steps = self.tags.steps(self.steps, MeantSteps::All, context)?;
        let options = check_options(self.thresholds, context)?.steps(steps).log_tail(self.log_tail.log_tail);
        check_and_print(&options, false, context)
    }
}

/// Looks once and prints how each step stands, with what a recovery would do where that is asked for; the exit code.
///
/// # Errors
/// As [`CheckOptions::check`].
pub(super) fn check_and_print(options: &CheckOptions, with_plans: bool, context: &Context) -> Result<u8, Error> {
    CallDeadline::of_check(options).run_within(context, || {
        let checked = plans(options)?;
        for Checked { report, plan, .. } in &checked {
            context.out.print_report(report);
            if with_plans && !context.out.json && !context.out.quiet {
                context.out.print_line(&format!("{}: recover {}", report.step, plan.as_str()));
            }
        }
        Ok(of_all(checked.iter().map(|checked| checked.report.outcome), false).code())
    })
}
