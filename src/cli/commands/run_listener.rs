//! What a run reports while it goes on: to people on standard error, to the caller of a detached run through a pipe.
//! `dogwatch run` uses it, in the foreground, detached, and with `--for`.

use crate::cli::output::{error_line, format};
use crate::exit_code::ExitCode;
use crate::ops::event::Event;
use crate::sys::process::spawn::Stream;
use crate::sys::stderr::StderrWriter;
use std::fmt::Display;
use std::io::Write;

/// Prints what a run reports while it goes on.
pub(super) struct RunListener<'call> {
    step: &'call str,
    /// Where a detached run tells its caller that it has started.
    caller: Option<Stream>,
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

    /// From now on the caller of a detached run is told when it has started.
    pub(super) fn set_caller(&mut self, caller: Stream) {
        self.caller = Some(caller);
    }

    /// The caller, where it was not told yet.
    pub(super) fn take_caller(&mut self) -> Option<Stream> {
        self.caller.take()
    }
}

impl RunListener<'_> {
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

/// Tells the caller of a detached run what came of it: an exit code, and the pid or a sentence.
pub(super) fn tell(caller: Option<Stream>, code: u8, message: impl Display) {
    if let Some(mut caller) = caller {
        // A caller that has gone does not need it.
        let _gone = caller.write_all(format!("{code} {message}").as_bytes());
    }
}
