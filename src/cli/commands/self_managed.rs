//! `dogwatch start`, `succeed` and `fail`: for scripts that are their own wrapper.
//!
//! They print nothing without `--json`, like a script's own lines, and end with 0 once the outcome is recorded, whatever
//! it is.

use super::completions::steps;
use super::{Args, Context, Error, ExitCode, StepName, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::ops::report::Report;
use crate::ops::self_managed;
use crate::record::units;

const EXIT_CODES: &[ExitCode] = &[ExitCode::Success, ExitCode::Usage, ExitCode::NotStarted, ExitCode::InternalError];
const ONE_OUTCOME: &str = "A run has one outcome: the same once more is fine, another is refused (125).";

#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// The step
    #[arg(add = steps())]
    step: StepName,
    /// The process whose end is the run's: in a shell, its own `$$`
    #[arg(long, value_name = "PID", value_parser = units::whole::<i32>)]
    pid: i32,
}

impl Subcommand for StartArgs {
    const NAME: &'static str = "start";
    const ABOUT: &'static str = "Write the start files for a script that publishes its own outcome";
    const EXAMPLES: &'static [&'static str] = &["dogwatch start deploy --pid $$"];
    const NOTES: &'static str = "Once the script has sent a heartbeat (`dogwatch beat deploy`) it has to go on \
        sending them; a script that never does is bounded by its process and the maximum time alone.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::Usage, ExitCode::InternalError];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let limit = defaults::max_consecutive(None)?;
        let directory = defaults::directory(context)?;
        let report = self_managed::start(&directory, &self.step, self.pid, limit, &mut |line| print_error(line))?;
        Ok(done(&report, context))
    }
}

#[derive(Debug, Args)]
pub(super) struct SucceedArgs {
    /// The step
    #[arg(add = steps())]
    step: StepName,
    /// One JSON value, or - to read it from standard input [default: no result]
    #[arg(long, value_name = "JSON")]
    result: Option<String>,
}

impl Subcommand for SucceedArgs {
    const NAME: &'static str = "succeed";
    const ABOUT: &'static str = "Record that a step has succeeded, for a script that publishes its own outcome";
    const EXAMPLES: &'static [&'static str] = &["dogwatch succeed deploy --result '{\"version\":7}'"];
    const NOTES: &'static str = ONE_OUTCOME;
    const EXIT_CODES: &'static [ExitCode] = EXIT_CODES;

    fn exec(self, context: &Context) -> Result<u8, Error> {
        Ok(done(&self_managed::succeed(&defaults::directory(context)?, &self.step, self.result.as_deref())?, context))
    }
}

#[derive(Debug, Args)]
pub(super) struct FailArgs {
    /// The step
    #[arg(add = steps())]
    step: StepName,
    /// A sentence on why
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,
}

impl Subcommand for FailArgs {
    const NAME: &'static str = "fail";
    const ABOUT: &'static str = "Record that a step has failed, for a script that publishes its own outcome";
    const EXAMPLES: &'static [&'static str] = &["dogwatch fail deploy --detail 'the server does not answer'"];
    const NOTES: &'static str = ONE_OUTCOME;
    const EXIT_CODES: &'static [ExitCode] = EXIT_CODES;

    fn exec(self, context: &Context) -> Result<u8, Error> {
        Ok(done(&self_managed::fail(&defaults::directory(context)?, &self.step, self.detail.as_deref())?, context))
    }
}

fn done(report: &Report, context: &Context) -> u8 {
    if context.out.json {
        context.out.print_json(report);
    }
    ExitCode::Success.code()
}
