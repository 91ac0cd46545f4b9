//! What a run reports while it goes on: to people on standard error, to the caller of a detached run through a pipe.
//! `dogwatch run` uses it, in the foreground, detached, and with `--for`; the last two start the run by [`run_detached`].

use super::{Context, ExitCode};
use crate::cli::exit_code_of;
use crate::cli::output::{error_line, format, print_error};
use crate::error::{Error, ErrorKind};
use crate::ops::event::Event;
use crate::ops::run::RunOptions;
use crate::ops::sandbox;
use crate::sys::env;
use crate::sys::process::daemonize::detach;
use crate::sys::stderr::StderrWriter;
use std::fmt::Display;
use std::io::{PipeReader, PipeWriter, Read, Write};

/// Prints what a run reports while it goes on.
pub(super) struct RunListener<'call> {
    step: &'call str,
    /// Where a detached run tells its caller that it has started; none once it was told.
    caller: Option<PipeWriter>,
    /// Whether people read standard error.
    for_people: bool,
    /// What is printed while COMMAND runs must not wait for a reader.
    stderr: StderrWriter,
}

impl<'call> RunListener<'call> {
    /// For a run in the foreground; `for_people` says whether they read standard error.
    pub(super) fn new(step: &'call str, for_people: bool) -> Self {
        Self { step, caller: None, for_people, stderr: StderrWriter::default() }
    }

    /// One sentence on standard error, under the program's name.
    pub(super) fn print_error(&mut self, sentence: &str) {
        self.stderr.print(error_line(sentence));
    }

    /// Prints, or tells the caller.
    pub(super) fn on_event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Started(pid) => tell(self.caller.take(), ExitCode::Success.code(), pid),
            Event::Warning(sentence) => self.print_error(&format!("{}: {sentence}", self.step)),
            Event::Evidence(tree) if self.for_people => {
                for line in format::process_tree(tree) {
                    self.stderr.print(line);
                }
            }
            Event::Evidence(_) | Event::Answer(_) | Event::Progress(..) | Event::Idle(_) | Event::Diagnostic(_) => {}
        }
    }
}

/// Runs COMMAND in a process of its own; what that tells: 0 and the pid once COMMAND runs, else [`refusal_code`] or the code of
/// a failed start, and a sentence.
///
/// # Errors
/// There is no process to be had, or it ended without a word.
pub(super) fn run_detached(options: &mut RunOptions, context: &Context) -> Result<(u8, String), Error> {
    // A detached run does not change its folder and needs the directory's whole name.
    options.directory = env::absolute(&options.directory);
    options.job.detached = true;
    let pipe = detach(options.job.inherit_stdin, |caller| be_the_run(options, caller));
    let told = read_told(pipe.map_err(|error| Error::io("cannot detach", error))?)?;
    if let Some(warning) = sandbox::warning().filter(|_| told.0 == ExitCode::Success.code() && !context.out.quiet) {
        print_error(&format!("{}: {warning}", options.job.step));
    }
    Ok(told)
}

/// The detached process: runs COMMAND to its end.
fn be_the_run(options: &RunOptions, caller: PipeWriter) -> u8 {
    let mut listener = RunListener::new(options.job.step.as_str(), false);
    listener.caller = Some(caller);
    let (code, fault) = match options.run_with(&mut |event| listener.on_event(&event)) {
        Ok(ran) => (ran.exit_code, ran.fault),
        Err(error) => (refusal_code(&error), Some(error.to_string())),
    };
    if let Some(fault) = fault {
        tell(listener.caller.take(), code, fault);
    }
    code
}

/// The exit code for a run that could not begin, with 75 where the step runs already.
pub(super) fn refusal_code(error: &Error) -> u8 {
    if error.kind() == ErrorKind::AlreadyRunning { ExitCode::Running } else { exit_code_of(error) }.code()
}

/// Tells the caller of a detached run what came of it: an exit code, and the pid or a sentence.
fn tell(caller: Option<PipeWriter>, code: u8, message: impl Display) {
    if let Some(mut caller) = caller {
        // A caller that has gone does not need it.
        let _gone = caller.write_all(format!("{code} {message}").as_bytes());
    }
}

/// Reads what the detached process tells.
fn read_told(mut pipe: PipeReader) -> Result<(u8, String), Error> {
    let mut text = String::new();
    let message = pipe.read_to_string(&mut text).ok().and_then(|_| text.split_once(' '));
    let told = message.and_then(|(code, rest)| Some((code.parse().ok()?, rest.to_owned())));
    told.ok_or_else(|| Error::internal("the detached run ended before it began; look at the system's log for why"))
}
