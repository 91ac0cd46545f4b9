//! `dogwatch kill`.

use super::completions::running_steps;
use super::{Args, Context, Error, Meanings, StepName, Subcommand, defaults, exit_of_all};
use crate::decide::policy::GRACE;
use crate::env_vars;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::kill;
use crate::record::outcome::Outcome;
use crate::record::units;
use crate::sys::process::tree::Escalation;
use crate::sys::signals::{self, Signal};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// The steps whose runs to end
    #[arg(required = true, value_name = "STEP", add = running_steps())]
    steps: Vec<StepName>,
    /// What to send first, such as INT; KILL follows after the grace
    #[arg(short, long, value_name = "SIG", default_value = "TERM", value_parser = signals::parse, add = signal_names())]
    signal: Signal,
    /// How long processes have from that signal to KILL [default: 5s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    grace: Option<Duration>,
}

fn signal_names() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        Signal::iterator().map(|signal| CompletionCandidate::new(&signal.as_str()[3..])).collect()
    })
}

impl Subcommand for KillArgs {
    const NAME: &'static str = "kill";
    const ABOUT: &'static str = "End runs with their whole process trees";
    const EXAMPLES: &'static [&'static str] = &["dogwatch kill build --grace 10s", "dogwatch kill server --signal INT"];
    const NOTES: &'static str = "The run is recorded as failed, stopped on request; it counts for no circuit breaker.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::NotStarted, ExitCode::InternalError];
    const MEANINGS: Meanings = &[
        (ExitCode::Success, "none of them is running now"),
        (ExitCode::InternalError, "one could not be ended; the line says why"),
    ];

    /// How a run ended is not what the call failed at: once none of them runs, it has done what it should.
    fn exec(self, context: &Context) -> Result<u8, Error> {
        let grace = defaults::duration(self.grace, env_vars::GRACE)?.unwrap_or(GRACE);
        let escalation = Escalation { signal: self.signal, grace };
        let directory = defaults::directory(context)?;
        let kill::Killed { reports, complete, interrupted } = kill::kill(&directory, &self.steps, escalation)?;
        for report in &reports {
            context.out.print_report(report);
        }
        let has = |outcome| reports.iter().any(|report| report.outcome == outcome);
        if let Some(signal) = interrupted {
            return Ok(of_signal(signal as i32));
        }
        Ok(exit_of_all(has(Outcome::Running) || !complete, has(Outcome::NotStarted)))
    }
}
