//! `dogwatch run STEP --for D -- COMMAND`: starts the work detached, or joins the run that is there, and waits so long.
//!
//! Repeated until it does not end with 75, the same line starts the work once and tells its end: see `ops::one_call`.

use super::run_listener::run_detached;
use super::thresholds::ThresholdArgs;
use super::wait::{self, ExitPolicy, base_options};
use super::{Context, Error, ExitCode, StepName};
use crate::cli::deadline::CallDeadline;
use crate::cli::output::print_error;
use crate::ops::one_call::{CallStart, call_start, mark_told, owe};
use crate::ops::run::RunOptions;
use crate::ops::wait::WaitOptions;
use crate::record::outcome::Outcome;
use crate::sys::{clock, stdio};
use std::time::Duration;

/// How often the step is looked at again because another caller was faster.
const ATTEMPTS: usize = 8;
/// How long a run that was started or joined may have no files: where `clean` deleted it, the answer is that it is not there.
const GONE: Duration = Duration::from_secs(5);

/// Starts or joins, waits and prints; the exit code.
///
/// # Errors
/// The work cannot be started or waited for.
pub(super) fn exec(
    mut options: RunOptions,
    grace: Option<Duration>,
    at_most: Duration,
    context: &Context,
) -> Result<u8, Error> {
    let deadline = clock::now().plus(at_most);
    stdio::set_deadline(deadline);
    options.job.owes_end = true;
    let mut call = Call { options, context };
    for _ in 0..ATTEMPTS {
        match call_start(&call.options.directory, call.step())? {
            CallStart::Free => {
                let (code, sentence) = run_detached(&mut call.options, context)?;
                // The failed start of COMMAND is the end of a run like any other.
                let there = [ExitCode::Success, ExitCode::NotExecutable, ExitCode::NotFound];
                if there.iter().any(|exit| exit.code() == code) {
                    break;
                }
                // Else another caller was faster.
                if code != ExitCode::Running.code() {
                    context.out.failed(&sentence, code);
                    return Ok(code);
                }
            }
            CallStart::Running(command) => {
                call.note_other_command(&command, "this call joined it");
                break;
            }
            CallStart::Untold(command) => {
                call.note("the run ended before this call, which started nothing; call again to start it anew");
                call.note_other_command(&command, "call again to start this one");
                break;
            }
        }
    }
    let mut wait = base_options(ThresholdArgs::default(), grace, context)?
        .step(call.step().clone())
        .at_most(deadline.since(clock::now()))
        .start_timeout(GONE);
    wait.directory.clone_from(&call.options.directory);
    CallDeadline::of_wait(&wait).run_within(context, || call.wait(&wait))
}

struct Call<'call> {
    options: RunOptions,
    context: &'call Context,
}

impl Call<'_> {
    fn step(&self) -> &StepName {
        &self.options.job.step
    }

    /// Waits and prints; notes that the end was told once it was written, or that it is owed.
    fn wait(&self, wait: &WaitOptions) -> Result<u8, Error> {
        let (code, reports) = wait::wait_and_print(wait, ExitPolicy::default(), self.context)?;
        for report in &reports {
            let marked = match (report.outcome, &report.run_id) {
                (Outcome::Running, _) => owe(&self.options.directory, self.step()),
                (_, Some(run)) if self.context.out.is_written() => mark_told(&self.options.directory, self.step(), run),
                (_, _) => Ok(()),
            };
            if let Err(error) = marked {
                self.note(&error.to_string());
            }
        }
        Ok(code)
    }

    fn note(&self, sentence: &str) {
        if !self.context.out.quiet {
            print_error(&format!("{}: {sentence}", self.step()));
        }
    }

    fn note_other_command(&self, command: &[String], what: &str) {
        let own: Vec<String> =
            self.options.job.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        if !command.is_empty() && command != own {
            self.note(&format!("its command is another one: {}; {what}", command.join(" ")));
        }
    }
}
