//! `dogwatch run STEP --for D -- COMMAND`: starts the work detached, or joins the run that is there, and waits so long.
//!
//! Repeated until it does not end with 75, the same line starts the work once and tells its end: see `ops::one_call`.

use super::run_listener::{RunListener, read_told, tell};
use super::thresholds::ThresholdArgs;
use super::wait::{self, ExitPolicy, base_options};
use crate::cli::deadline::CallDeadline;
use crate::cli::output::print_error;
use crate::cli::{Context, exit_code_of};
use crate::error::{Error, ErrorKind};
use crate::exit_code::ExitCode;
use crate::ops::one_call::{CallStart, call_start, mark_told, owe};
use crate::ops::run::RunOptions;
use crate::ops::sandbox;
use crate::ops::wait::WaitOptions;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::sys::process::daemonize::{Daemonized, detach};
use crate::sys::process::spawn::Stream;
use crate::sys::{clock, env, stdio};
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
    // A detached run does not change its folder and needs the directory's whole name.
    options.directory = env::absolute(&options.directory);
    (options.job.detached, options.job.owes_end) = (true, true);
    let call = Call { options, context };
    for _ in 0..ATTEMPTS {
        match call_start(&call.options.directory, call.step())? {
            CallStart::Free => match call.start()? {
                Started::Run => break,
                Started::ByAnother => {}
                Started::Over(code) => return Ok(code),
            },
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

/// What came of a start.
enum Started {
    /// There is a run of this call, even where COMMAND could not be executed.
    Run,
    /// Another caller was faster.
    ByAnother,
    /// There is no run to wait for, and the reason was printed; or this is the process of the run, which has ended. The exit
    /// code.
    Over(u8),
}

struct Call<'call> {
    options: RunOptions,
    context: &'call Context,
}

impl Call<'_> {
    fn step(&self) -> &StepName {
        &self.options.job.step
    }

    fn start(&self) -> Result<Started, Error> {
        match detach(self.options.job.inherit_stdin).map_err(|error| Error::io("cannot detach", error))? {
            Daemonized::Caller(pipe) => Ok(self.started(pipe)),
            Daemonized::Worker(caller) => Ok(Started::Over(self.be_the_run(caller))),
        }
    }

    /// The detached process: runs COMMAND to its end. Tells the caller as `run --detach` does, and 75 where a run is there.
    fn be_the_run(&self, caller: Stream) -> u8 {
        let mut listener = RunListener::new(self.step().as_str(), false);
        listener.caller = Some(caller);
        match self.options.run_with(&mut |event| listener.on_event(&event)) {
            Ok(ran) => {
                if let Some(fault) = &ran.fault {
                    tell(listener.caller.take(), ran.exit_code, fault);
                }
                ran.exit_code
            }
            Err(error) => {
                let is_there = error.kind() == ErrorKind::AlreadyRunning;
                let code = if is_there { ExitCode::Running } else { exit_code_of(&error) };
                tell(listener.caller.take(), code.code(), &error);
                code.code()
            }
        }
    }

    fn started(&self, pipe: Stream) -> Started {
        let (code, sentence) = match read_told(pipe) {
            Ok(told) => told,
            Err(code) => return Started::Over(code),
        };
        let is = |exit: ExitCode| exit.code() == code;
        if is(ExitCode::Success) {
            if let Some(warning) = sandbox::warning() {
                self.note(&warning);
            }
            return Started::Run;
        }
        // The failed start of COMMAND is the end of a run like any other.
        if is(ExitCode::NotExecutable) || is(ExitCode::NotFound) {
            return Started::Run;
        }
        if is(ExitCode::Running) {
            return Started::ByAnother;
        }
        self.context.out.failed(&sentence, code);
        Started::Over(code)
    }

    /// Waits and prints; notes that the end was told once it was written, or that it is owed.
    fn wait(&self, wait: &WaitOptions) -> Result<u8, Error> {
        let waited = wait::wait_and_print(wait, ExitPolicy::default(), self.context)?;
        for told in &waited.ended {
            let marked = match (told.outcome, &told.run_id) {
                (Outcome::Running, _) => owe(&self.options.directory, self.step()),
                (_, Some(run)) if self.context.out.is_written() => mark_told(&self.options.directory, self.step(), run),
                (_, _) => Ok(()),
            };
            if let Err(error) = marked {
                self.note(&error.to_string());
            }
        }
        Ok(waited.code)
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
