//! What a run reports while it goes on: to people on standard error, to the caller of a detached run through a pipe.
//! `dogwatch run` uses it, in the foreground, detached, and with `--for`.

use crate::cli::output::{error_line, format, print_error};
use crate::exit_code::ExitCode;
use crate::ops::event::Event;
use crate::sys::process::spawn::Stream;
use crate::sys::stderr::StderrWriter;
use std::fmt::Display;
use std::io::{Read, Write};

/// Prints what a run reports while it goes on.
pub(super) struct RunListener<'call> {
    step: &'call str,
    /// Where a detached run tells its caller that it has started; none once it was told.
    pub(super) caller: Option<Stream>,
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

/// Tells the caller of a detached run what came of it: an exit code, and the pid or a sentence.
pub(super) fn tell(caller: Option<Stream>, code: u8, message: impl Display) {
    if let Some(mut caller) = caller {
        // A caller that has gone does not need it.
        let _gone = caller.write_all(format!("{code} {message}").as_bytes());
    }
}

/// What a detached run tells its caller: an exit code, and the pid or a sentence; the reason is printed where it told nothing.
///
/// # Errors
/// The exit code where it ended before it began.
pub(super) fn read_told(mut pipe: Stream) -> Result<(u8, String), u8> {
    let mut text = String::new();
    let message = pipe.read_to_string(&mut text).ok().and_then(|_| text.split_once(' '));
    message.and_then(|(code, rest)| Some((code.parse().ok()?, rest.to_owned()))).ok_or_else(|| {
        print_error("the detached run ended before it began; look at the system's log for why");
        ExitCode::InternalError.code()
    })
}
