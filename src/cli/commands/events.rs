//! `dogwatch events`.

use super::completions::steps;
use super::tags::TagArgs;
use super::{Args, Context, Error, StepName, Subcommand};
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::events::events;
use crate::record::units;
use crate::sys::clock;
use crate::sys::stdio;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// The steps [default: all here, also those to come]
    #[arg(value_name = "STEP", add = steps())]
    steps: Vec<StepName>,
    #[command(flatten)]
    tags: TagArgs,
    /// How long [default: until it is interrupted]
    #[arg(long = "for", value_name = "D", value_parser = units::duration)]
    at_most: Option<Duration>,
}

impl Subcommand for EventsArgs {
    const NAME: &'static str = "events";
    const ABOUT: &'static str = "Print one JSON line for each start and end of a run, as it comes";
    const EXAMPLES: &'static [&'static str] =
        &["dogwatch events --for 1h", "dogwatch events | jq -r 'select(.event == \"end\") | .step'"];
    const NOTES: &'static str = "What has started or ended before the call is no event. A run that starts and ends at \
        once is told as well, unless `dogwatch clean` removes it at once.";
    const EXIT_CODES: &'static [ExitCode] =
        &[ExitCode::Success, ExitCode::InternalError, ExitCode::Interrupted, ExitCode::Terminated];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let request = self.tags.request(context)?.log_tail(0).steps(self.steps);
        let until = self.at_most.map(|span| clock::now().plus(span));
        if let Some(until) = until {
            stdio::set_deadline(until);
        }
        let signal = events(&request, until, &mut |event| context.out.print_json_line(event))?;
        Ok(signal.map_or(ExitCode::Success.code(), |signal| of_signal(signal as i32)))
    }
}
