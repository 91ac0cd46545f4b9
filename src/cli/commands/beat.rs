//! `dogwatch beat`.

use super::completions::steps;
use super::{Args, Context, Error, ExitCode, StepName, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::env_vars;
use crate::ops::beat;
use crate::sys::env;
use std::path::Path;

#[derive(Debug, Args)]
pub(super) struct BeatArgs {
    /// The step [default: the one this runs in, `$DOGWATCH_STEP`]
    #[arg(add = steps())]
    step: Option<StepName>,
}

impl Subcommand for BeatArgs {
    const NAME: &'static str = "beat";
    const ABOUT: &'static str = "Send a heartbeat for a step: from a script, or from COMMAND itself";
    const EXAMPLES: &'static [&'static str] = &["dogwatch beat build"];
    const NOTES: &'static str = "Inside a run the step may be left out.";

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let inside = env::variable(env_vars::HEARTBEAT).filter(|_| self.step.is_none() && context.dir.is_none());
        if let Some(path) = inside {
            beat::beat_at(Path::new(&path))?;
            return Ok(ExitCode::Success.code());
        }
        let step = defaults::or_variable(self.step, env_vars::STEP, StepName::parse)?.ok_or_else(|| {
            Error::invalid_options("no step was named, and this is not inside a run; name it: dogwatch beat STEP")
        })?;
        let warning = beat::beat(defaults::directory(context)?, &step)?;
        if let Some(sentence) = warning.filter(|_| !context.out.quiet) {
            print_error(&sentence);
        }
        Ok(ExitCode::Success.code())
    }
}
