//! `dogwatch run STEP --for D -- COMMAND`: starts the work detached, or joins the run that is there, and waits so long.
//!
//! Repeated until it does not end with 75, the same line starts the work once and tells its end: see `ops::one_call`.

use super::run_listener::run_detached;
use super::thresholds::ThresholdArgs;
use super::wait::{ExitPolicy, base_options, wait_and_print};
use super::{Context, Error, ExitCode};
use crate::cli::deadline::CallDeadline;
use crate::cli::output::print_error;
use crate::ops::one_call::{CallStart, call_start, mark_told, owe};
use crate::ops::report::shortened;
use crate::ops::run::RunOptions;
use crate::ops::wait::WaitOptions;
use crate::record::outcome::Outcome;
use crate::sys::{clock, stdio};
use std::time::Duration;

/// How often the step is looked at again because another caller was faster.
const ATTEMPTS: usize = 8;
/// How long a run that was started or joined may have no files: where `clean` deleted it, the answer is that it is not there.
const GONE: Duration = Duration::from_secs(5);
/// What is said of a run that is there with another command.
pub(super) const JOINED: &str = "this call joined it";

/// Starts or joins, waits and prints; the exit code.
///
/// # Errors
/// The work cannot be started or waited for.
pub(super) fn exec(
    mut options: RunOptions,
    thresholds: ThresholdArgs,
    grace: Option<Duration>,
    at_most: Duration,
    context: &Context,
) -> Result<u8, Error> {
    let deadline = clock::now().plus(at_most);
    stdio::set_deadline(deadline);
    options.job.owes_end = true;
    let mut policy = ExitPolicy::default();
    for _ in 0..ATTEMPTS {
        match call_start(&options.directory, &options.job.step)? {
            CallStart::Free => {
                let (code, sentence) = run_detached(&mut options, context)?;
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
                policy = note_other(&options, &command, JOINED, context);
                break;
            }
            CallStart::Untold(command) => {
                let sentence = "the run ended before this call, which started nothing; call again to start it anew";
                note(&options, sentence, context);
                policy = note_other(&options, &command, "call again to start this one", context);
                break;
            }
        }
    }
    let mut wait = base_options(thresholds, grace, context)?
        .step(options.job.step.clone())
        .at_most(deadline.since(clock::now()))
        .start_timeout(GONE);
    wait.directory.clone_from(&options.directory);
    CallDeadline::of_wait(&wait).run_within(context, || wait_and_mark(&options, &wait, policy, context))
}

/// Waits and prints; notes that the end was told once it was written, or that it is owed.
fn wait_and_mark(run: &RunOptions, wait: &WaitOptions, policy: ExitPolicy, context: &Context) -> Result<u8, Error> {
    let (code, reports) = wait_and_print(wait, policy, context)?;
    for report in &reports {
        let marked = match (report.outcome, &report.run_id) {
            (Outcome::Running, _) => owe(&run.directory, &run.job.step),
            (_, Some(id)) if context.out.is_written() => mark_told(&run.directory, &run.job.step, id),
            (_, _) => Ok(()),
        };
        if let Err(error) = marked {
            note(run, &error.to_string(), context);
        }
    }
    Ok(code)
}

fn note(options: &RunOptions, sentence: &str, context: &Context) {
    if !context.out.quiet {
        print_error(&format!("{}: {sentence}", options.job.step));
    }
}

/// Notes on standard error that the run has another command than the caller asked for, where that is so. The policy that is
/// returned prints the same in JSON, for callers that read only that.
pub(super) fn note_other(options: &RunOptions, command: &[String], what: &str, context: &Context) -> ExitPolicy {
    let own: Vec<String> = options.job.command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    if command.is_empty() || command == own || command == shortened(&own) {
        return ExitPolicy::default();
    }
    let sentence = format!("its command is another one: {}; {what}", shortened(command).join(" "));
    note(options, &sentence, context);
    ExitPolicy { remark: Some(sentence).filter(|_| context.out.json), ..ExitPolicy::default() }
}
