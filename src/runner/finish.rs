//! The end of a run: what is left is ended, the outcome is published, the lock is dropped.
//!
//! The status is published after every process of the run has ended (unless the caller asked otherwise), because its
//! reader may start the next step on the same files.

use crate::error::io_reason;
use crate::exit_code::{ExitCode, of_signal};
use crate::record::file_names::{Record, TempFile, file_name};
use crate::record::file_state::FileState;
use crate::record::outcome::{Outcome, Reason, detail_of};
use crate::record::result::{LONGEST, ParsedResult};
use crate::record::time::millis;
use crate::runner::end_tree::TreeEnd;
use crate::runner::left_behind::{self, LeftBehind};
use crate::runner::start::ActiveRun;
use crate::runner::{ExecError, Job, OnEvent, ResultFrom, RunResult, RunnerEvent};
use crate::step::outcome::RunStatus;
use crate::step::own_run::RecordedEnd;
use crate::step::publisher::{Ending, still_there};
use crate::sys::clock;
use crate::sys::fs::fsync;
use crate::sys::platform::cgroup;
use crate::sys::process::spawn::ExitStatus;
use crate::sys::signals::Signal;

/// Publishes the end of a run whose COMMAND has ended.
pub(super) fn finish(mut run: ActiveRun, job: &Job, tree: TreeEnd, on_event: OnEvent<'_>) -> RunResult {
    let now = clock::now();
    let interrupted = run.interruptions.cause(tree.command, now, job.grace);
    let elapsed = millis(now.since(run.began));
    let settles = !tree.is_gone && tree.survivors.is_none() && !job.keep_children;
    let left = if settles { left_behind::settle(&mut run, job, on_event) } else { LeftBehind::default() };
    let sentence = left.sentence();
    let mut ending = Ending { survivors: tree.survivors.or(left.survivors), ..ending(&run, tree.command, interrupted) };
    let succeeded = ending.reason == Reason::Success;
    (ending.result, ending.result_error) = result(&run, job, succeeded, elapsed);
    let no_result = ending.result_error.as_ref().filter(|_| succeeded);
    let no_result = no_result.map(|fault| format!("{fault}; the run succeeded all the same"));
    let loss = run.output.loss();
    let killed = !succeeded && !is_sigkill(tree.command) && has_memory_kill(&run);
    let killed = killed.then(|| "a process was killed for using too much memory while COMMAND ran".to_owned());
    let mut told: Vec<String> = sentence.into_iter().chain(loss).chain(killed).collect();
    ending.detail = detail_of(ending.detail.into_iter().chain(told.iter().cloned()));
    // The line that tells of a failure has it in its detail; a success prints no line.
    told.extend(ending.survivors.as_deref().filter(|_| succeeded).map(still_there));
    let ActiveRun { own, preallocated, directory, output, fault, mut signals, .. } = run;
    let RecordedEnd { before, reason, troubles } = own.record_end(ending, preallocated);
    let by_other = (before == RunStatus::Ended && succeeded != (reason == Reason::Success)).then(|| {
        format!("another process had recorded its end as {}, which is what waiters are told", reason.outcome().as_str())
    });
    for sentence in told.into_iter().chain(no_result).chain(troubles).chain(by_other) {
        let removed =
            if directory.is_removed() { " (the monitor directory was removed while COMMAND ran)" } else { "" };
        on_event(RunnerEvent::Warning(&format!("{sentence}{removed}")));
    }
    // The process that sent the signal looks for survivors, and may be waiting for this one.
    if job.detached && before == RunStatus::Running && interrupted.is_none() {
        let last = [Record::Result, Record::Meta, Record::Status];
        let files = last.map(|record| directory.join(&file_name(&job.step, record)));
        fsync::sync(directory.path(), &files);
    }
    if let Some(loss) = output.close(&mut signals) {
        let log = directory.join(&file_name(&job.step, Record::Log));
        on_event(RunnerEvent::Warning(&format!("{loss}; it is in {}", log.display())));
    }
    let exit_code = exit_code(reason.outcome(), tree.command, fault.as_ref());
    RunResult { outcome: reason.outcome(), exit_code, fault: fault.map(|fault| fault.sentence) }
}

fn exit_code(outcome: Outcome, ended: Option<ExitStatus>, fault: Option<&ExecError>) -> u8 {
    if let Some(fault) = fault {
        return fault.exit_code.code();
    }
    match (outcome, ended) {
        // These are recorded as COMMAND's own end only if it was ended from outside; its code then means nothing.
        (Outcome::Timeout, _) => ExitCode::Timeout.code(),
        (Outcome::Hung, _) => ExitCode::Hung.code(),
        (_, Some(ExitStatus::Code(code))) => u8::try_from(code & 0xff).unwrap_or(1),
        (_, Some(ExitStatus::Signal(number))) => of_signal(number),
        (_, None) => ExitCode::InternalError.code(),
    }
}

fn ending(run: &ActiveRun, command: Option<ExitStatus>, interrupted: Option<Signal>) -> Ending {
    if let Some(fault) = &run.fault {
        let exit_code = Some(fault.exit_code.code().into());
        return Ending { detail: Some(fault.sentence.clone()), exit_code, ..Ending::of(Reason::Failed) };
    }
    // An interrupted run was killed, which says nothing about the work.
    let failed = Ending {
        detail: interrupted.map(|signal| format!("interrupted by {}", signal.as_str())),
        ..Ending::of(if interrupted.is_some() { Reason::Killed } else { Reason::Failed })
    };
    match command {
        Some(ExitStatus::Code(0)) => Ending { exit_code: Some(0), ..Ending::of(Reason::Success) },
        Some(ExitStatus::Code(code)) => Ending { exit_code: Some(code), ..failed },
        Some(ExitStatus::Signal(_)) if is_sigkill(command) && has_memory_kill(run) => {
            let detail = "killed for using too much memory".to_owned();
            Ending { signal: Some("SIGKILL".to_owned()), detail: Some(detail), ..failed }
        }
        Some(ExitStatus::Signal(number)) => Ending { signal: Some(signal_name(number)), ..failed },
        None => Ending { detail: Some("COMMAND could not be ended".to_owned()), ..failed },
    }
}

fn is_sigkill(command: Option<ExitStatus>) -> bool {
    command == Some(ExitStatus::Signal(Signal::SIGKILL as i32))
}

/// Whether the kernel has killed a process for memory since the run began.
fn has_memory_kill(run: &ActiveRun) -> bool {
    cgroup::kills() > run.memory_kills
}

/// The name of a signal's number; real-time signals have none but their number.
fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("SIG{number}"), |signal| signal.as_str().to_owned())
}

/// The bytes of `.result`, and why there is none or not COMMAND's. What COMMAND gave is kept of a failed run too; a run
/// that succeeded and was not asked for a result has a record of itself.
fn result(run: &ActiveRun, job: &Job, succeeded: bool, elapsed: u64) -> (Option<Vec<u8>>, Option<String>) {
    let name = TempFile::GIVEN.of(&job.step, &run.id);
    if job.result == ResultFrom::Stdout {
        run.output.append_file(&run.directory.file(&name));
    }
    let given = match run.directory.read(&name, LONGEST + 1) {
        Ok(FileState::Present { content, .. }) => Ok(Some(content)),
        Ok(FileState::Missing) => Ok(None),
        Ok(FileState::Invalid(fault)) => Err(format!("the result file {fault}")),
        Err(error) => Err(format!("the result cannot be read: {}", io_reason(&error))),
    };
    let fault = match (given, job.result) {
        (Ok(Some(bytes)), _) if bytes.len() > LONGEST => {
            format!("the result is longer than {} MiB", LONGEST >> 20)
        }
        (Ok(Some(bytes)), _) => match ParsedResult::parse(&bytes) {
            ParsedResult::Json(_) => return (Some(bytes), None),
            ParsedResult::Unfinished(fault) => fault,
        },
        (Ok(None), ResultFrom::Auto) => return (succeeded.then(|| own_result(elapsed, None)), None),
        (Ok(None), ResultFrom::File | ResultFrom::Stdout) => return (None, Some("COMMAND wrote no result".to_owned())),
        (Err(fault), _) => fault,
    };
    // Nothing is made up for output that was to be the result: it is in the log.
    let made_up = succeeded && job.result != ResultFrom::Stdout;
    (made_up.then(|| own_result(elapsed, Some(&fault))), Some(fault))
}

/// The record of the run itself, its keys in the contract's order.
fn own_result(elapsed: u64, fault: Option<&str>) -> Vec<u8> {
    let fault = fault.map_or(String::new(), |fault| format!(",\"result_error\":{}", serde_json::json!(fault)));
    format!("{{\"exit_code\":0,\"elapsed_ms\":{elapsed}{fault}}}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_own_code_passes_unless_somebody_ended_it() {
        for code in 0..=255_u8 {
            let ended = Some(ExitStatus::Code(i32::from(code)));
            assert_eq!(exit_code(Outcome::Failed, ended, None), code);
        }
        for (outcome, ended, code) in [
            (Outcome::Failed, ExitStatus::Signal(15), 143),
            (Outcome::Timeout, ExitStatus::Signal(9), 124),
            (Outcome::Hung, ExitStatus::Code(1), 3),
            (Outcome::Success, ExitStatus::Code(0), 0),
        ] {
            assert_eq!(exit_code(outcome, Some(ended), None), code);
        }
    }
}
