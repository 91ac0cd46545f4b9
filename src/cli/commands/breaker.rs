//! `dogwatch breaker show|reset|record`.

use super::completions::steps;
use super::{Context, Error, ExitCode, Meanings, Subcommand, defaults};
use crate::cli::output::{format, print_error};
use crate::ops::breaker;
use crate::record::step_name::{InvalidStepName, StepName};
use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(super) struct BreakerArgs {
    #[command(subcommand)]
    action: BreakerAction,
}

#[derive(Debug, clap::Subcommand)]
enum BreakerAction {
    /// Show one breaker, or all of the directory
    Show {
        /// Its name; a step's own breaker has the step's name
        #[arg(value_parser = breaker_name, add = steps())]
        name: Option<StepName>,
    },
    /// Close one breaker, or all of the directory
    Reset {
        /// Its name
        #[arg(value_parser = breaker_name, add = steps())]
        name: Option<StepName>,
    },
    /// Count a success or a failure by hand
    Record {
        /// Its name
        #[arg(value_parser = breaker_name, add = steps())]
        name: StepName,
        /// What to count
        #[arg(value_name = "success|failed")]
        outcome: Counted,
    },
}

/// Parses the name of a breaker, which follows the rule of a step's.
///
/// # Errors
/// It is none.
pub(super) fn breaker_name(word: &str) -> Result<StepName, InvalidStepName> {
    StepName::parse(word).map_err(|error| error.of("circuit breaker's name"))
}

/// What is counted by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Counted {
    /// Resets.
    Success,
    /// Adds one.
    Failed,
}

impl Subcommand for BreakerArgs {
    const NAME: &'static str = "breaker";
    const ABOUT: &'static str = "Show or close a circuit breaker, or count a result by hand";
    const EXAMPLES: &'static [&'static str] = &["dogwatch breaker reset build"];
    const NOTES: &'static str =
        "`run` does not start once so many failures in a row were counted; any success closes the circuit again.";
    const EXIT_CODES: &'static [ExitCode] =
        &[ExitCode::Success, ExitCode::Usage, ExitCode::NotStarted, ExitCode::InternalError];
    const MEANINGS: Meanings = &[(ExitCode::NotStarted, "there is no such circuit breaker")];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let directory = defaults::directory(context)?;
        let limit = defaults::max_consecutive(None)?;
        let breakers = match self.action {
            BreakerAction::Show { name } => breaker::show(&directory, name.as_ref(), limit)?,
            BreakerAction::Reset { name } => breaker::reset(&directory, name.as_ref())?,
            BreakerAction::Record { name, outcome } => {
                vec![breaker::record(&directory, &name, outcome == Counted::Success, limit)]
            }
        };
        if breakers.is_empty() && !out.quiet {
            print_error(&format!("there is no circuit breaker in {}: no run has failed there", directory.display()));
        }
        let mut code = ExitCode::Success.code();
        for breaker in &breakers {
            match breaker {
                Err(error) => code = out.error(error),
                Ok(breaker) if out.json => out.print_json(breaker),
                Ok(breaker) if !out.quiet => out.print_line(&format::breaker_line(breaker)),
                Ok(_) => {}
            }
        }
        Ok(code)
    }
}
