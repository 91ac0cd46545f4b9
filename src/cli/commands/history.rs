//! `dogwatch history`.

use super::completions::steps;
use super::{Args, Context, Error, ExitCode, StepName, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::ops::history::{EndedRun, history};
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::units::shown;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// The step [default: all]
    #[arg(value_name = "STEP", add = steps())]
    step: Option<StepName>,
}

impl Subcommand for HistoryArgs {
    const NAME: &'static str = "history";
    const ABOUT: &'static str = "List the runs of a step that have ended, the last 64";
    const EXAMPLES: &'static [&'static str] = &["dogwatch history build"];
    const NOTES: &'static str = "With --json one object a run. `clean` deletes a step's history with its other files.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::NotStarted, ExitCode::InternalError];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let directory = defaults::directory(context)?;
        let of = self.step.as_ref().map_or_else(String::new, |step| format!(" of {step}"));
        let runs = history(&directory, self.step.as_ref())?;
        if runs.is_empty() && !out.quiet {
            print_error(&format!("no run{of} has ended in {} yet", directory.display()));
        }
        let longest = runs.iter().map(|run| run.step.len()).max().unwrap_or(0);
        for run in &runs {
            if out.json {
                out.print_json(run);
            } else {
                out.print_line(&line(run, longest, context));
            }
        }
        Ok(ExitCode::Success.code())
    }
}

/// One run in one line: step, start, outcome, how long it took.
fn line(ended: &EndedRun, longest: usize, context: &Context) -> String {
    let EndedRun { step, run, .. } = ended;
    let started = run.started_at.as_deref().map_or_else(|| "-".into(), sanitize_for_terminal);
    let how = match (&run.signal, run.exit_code) {
        (Some(signal), _) => format!(" ({})", sanitize_for_terminal(signal)),
        (None, Some(code)) if code != 0 => format!(" (exit code {code})"),
        (None, _) => String::new(),
    };
    let took = run.elapsed_ms.map_or_else(String::new, |took| format!(" after {}", shown(took)));
    let outcome = context.out.styles.state(run.outcome, run.outcome.as_str());
    format!("{step:longest$}  {started}  {outcome}{took}{how}")
}
