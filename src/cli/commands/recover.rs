//! `dogwatch recover`.

use super::check::check_and_print;
use super::completions::steps;
use super::tags::TagArgs;
use super::thresholds::check_options;
use super::wait::{OUTCOME_CODES, WaitFlags, options, wait_within_deadline};
use super::{Args, Context, Error, ExitCode, StepName, Subcommand, refuse_if};
use crate::ops::select::MeantSteps;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// The steps to recover [default: all here]
    #[arg(value_name = "STEP", add = steps())]
    steps: Vec<StepName>,
    #[command(flatten)]
    tags: TagArgs,
    #[command(flatten)]
    flags: WaitFlags,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Subcommand for RecoverArgs {
    const NAME: &'static str = "recover";
    const ABOUT: &'static str = "Take over for a lost waiter: report ends, record deaths, end what hangs, or wait";
    const EXAMPLES: &'static [&'static str] = &["dogwatch recover build --for 9m --json"];
    const NOTES: &'static str = "What has ended is reported; what is hung or out of time is ended with its whole \
        process tree; what died is recorded, and what it left is ended; what works is waited for. A step that has not \
        started is reported at once, unless --start-timeout gives it time. Ends as `wait` does.";
    const EXIT_CODES: &'static [ExitCode] = OUTCOME_CODES;

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let is_log_alone = self.steps.is_empty() && self.flags.log.is_some();
        refuse_if(is_log_alone, "a log alone has no run to recover; name its step")?;
        let steps = self.tags.steps(self.steps, MeantSteps::Others, context)?;
        // What has not started has no run to recover.
        let start_timeout = self.flags.start_timeout.unwrap_or(Duration::ZERO);
        let request = options(steps, &self.flags, context)?.start_timeout(start_timeout);
        if !self.dry_run {
            return wait_within_deadline(&request, self.flags.exit_policy(), context);
        }
        let request = check_options(self.flags.thresholds, context)?
            .steps(request.monitor.steps)
            .log_tail(self.flags.log_tail.log_tail);
        check_and_print(&request, true, context)
    }
}
