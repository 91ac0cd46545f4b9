//! `dogwatch clean`.

use super::completions::ended_steps;
use super::{Args, Context, Error, ExitCode, Meanings, StepName, Subcommand, defaults, exit_of_all};
use crate::cli::output::print_error;
use crate::ops::clean;
use crate::record::units;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct CleanArgs {
    /// The steps whose files to delete
    #[arg(required_unless_present_any = ["older_than", "all"], value_name = "STEP", add = ended_steps())]
    steps: Vec<StepName>,
    /// All finished runs whose files were not written for this long
    #[arg(long, value_name = "D", value_parser = units::duration, conflicts_with = "steps")]
    older_than: Option<Duration>,
    /// All finished runs
    #[arg(long, conflicts_with_all = ["steps", "older_than"])]
    all: bool,
    /// Print what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

impl Subcommand for CleanArgs {
    const NAME: &'static str = "clean";
    const ABOUT: &'static str = "Delete finished runs and their history (keeps locks and circuit breakers)";
    const EXAMPLES: &'static [&'static str] = &["dogwatch clean --older-than 7d --dry-run"];
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::NotStarted, ExitCode::InternalError];
    const MEANINGS: Meanings = &[
        (ExitCode::Success, "all of them are gone"),
        (ExitCode::InternalError, "one still runs, or could not be deleted; the line says why"),
    ];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let named = (self.older_than.is_none() && !self.all).then_some(self.steps.as_slice());
        let directory = defaults::directory(context)?;
        let done = clean::clean(&directory, named, self.older_than, self.dry_run, &mut |line| print_error(line))?;
        for one in done.iter().filter(|one| out.json || one.detail.is_some() || self.dry_run) {
            match &one.detail {
                _ if out.json => out.print_json(one),
                Some(detail) => print_error(detail),
                None => out.print_line(&one.step),
            }
        }
        let count = done.iter().filter(|one| one.gone).count();
        if !out.json && !out.quiet {
            let would = if self.dry_run { "would be " } else { "" };
            out.print_line(&format!("{count} {} {would}cleaned", if count == 1 { "step" } else { "steps" }));
        }
        let refused = |absent| done.iter().any(|one| !one.gone && one.absent == absent);
        Ok(exit_of_all(refused(false), refused(true)))
    }
}
