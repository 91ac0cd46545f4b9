//! Printing: results to standard output, everything else to standard error. Every command prints through this.

pub(super) mod columns;
pub(super) mod format;
pub(super) mod progress;
pub(super) mod styles;
pub(super) mod table;

use super::{Color, GlobalArgs, JsonForm, exit_code_of};
use crate::error::Error;
use crate::error::io_reason;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::report::Report;
use crate::record::SCHEMA;
use crate::record::sanitize::{sanitize_for_terminal, sanitize_json};
use crate::sys::signals::interruption;
use crate::sys::stdio;
use crate::sys::terminal::can_erase;
use serde::Serialize;
use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal};
use styles::Styles;

/// Standard output, and how much goes to it in which form.
#[derive(Debug)]
pub(super) struct Output {
    /// Whether results are JSON.
    pub(super) json: bool,
    /// Whether every object is printed whole.
    pub(super) full: bool,
    /// Whether only what was asked for is printed.
    pub(super) quiet: bool,
    /// How much is told of how it is done.
    pub(super) verbose: u8,
    /// Colours, where standard output may have them.
    pub(super) styles: Styles,
    /// Why standard output could not be written: a result that got lost must not look like success.
    failure: RefCell<Option<io::Error>>,
}

impl Output {
    pub(super) fn new(global: &GlobalArgs) -> Self {
        Self {
            json: global.json.is_some(),
            full: global.json == Some(JsonForm::Full) || global.verbose > 0,
            quiet: global.quiet,
            verbose: global.verbose,
            styles: Styles::for_stdout(global.color),
            failure: RefCell::new(None),
        }
    }

    /// For a command line that was not parsed.
    pub(super) fn before_parsing(line: &[OsString]) -> Self {
        let json = line.iter().take_while(|word| *word != "--").any(|word| {
            let word = word.as_encoded_bytes();
            word == b"--json" || word.starts_with(b"--json=")
        });
        let styles = Styles::for_stdout(Color::Auto);
        Self { json, full: false, quiet: false, verbose: 0, styles, failure: RefCell::new(None) }
    }

    /// Writes to standard output and flushes it. Returns whether there may still be a reader.
    ///
    /// # Errors
    /// The write failed. A closed pipe is the reader's choice; any other error makes the program end with 125.
    pub(super) fn try_print(&self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_written() {
            // What comes after a gap, or after half a line, would be read as something else.
            return Err(ErrorKind::BrokenPipe.into());
        }
        stdio::write_all(&mut io::stdout().lock(), bytes).inspect_err(|error| {
            self.failure.borrow_mut().get_or_insert_with(|| io::Error::new(error.kind(), io_reason(error)));
        })
    }

    /// Whether all that was printed has been written.
    pub(super) fn is_written(&self) -> bool {
        self.failure.borrow().is_none()
    }

    /// As [`Output::try_print`], for one result of several: `finish` reports the failure.
    pub(super) fn print(&self, bytes: &[u8]) {
        let _kept = self.try_print(bytes);
    }

    pub(super) fn print_line(&self, line: &str) {
        self.print(format!("{line}\n").as_bytes());
    }

    /// One JSON object on a line of its own.
    pub(super) fn print_json(&self, object: &impl Serialize) {
        let _kept = self.print_json_line(object);
    }

    /// One JSON object on a line of its own, as one of a stream. Returns whether there may still be a reader.
    pub(super) fn print_json_line(&self, object: &impl Serialize) -> bool {
        match serde_json::to_string(object).map(|object| sanitize_json(&object)) {
            Ok(line) => self.try_print(format!("{line}\n").as_bytes()).is_ok(),
            Err(error) => {
                print_error(&format!("cannot write JSON: {error}"));
                true
            }
        }
    }

    /// The answer of a wait: in JSON the short form, where there is one and the whole was not asked for.
    pub(super) fn print_answer(&self, report: &Report) {
        match report.brief().filter(|_| self.json && !self.full) {
            Some(brief) => self.print_json(&brief),
            None => self.print_report(report),
        }
    }

    /// One step's answer, with what belongs beside it on standard error.
    pub(super) fn print_report(&self, report: &Report) {
        if self.json {
            return self.print_json(report);
        }
        if self.quiet {
            return;
        }
        // The log's end first: what a person reads last is the answer.
        for line in format::details(report) {
            print_stderr(&line);
        }
        self.print_line(&format::result_line(report, self.styles));
    }

    /// Says why a command has no result; the exit code.
    pub(super) fn error(&self, error: &Error) -> u8 {
        let exit_code = exit_code_of(error).code();
        self.failed(&error.to_string(), exit_code);
        exit_code
    }

    /// One sentence on why a command has no result: on standard error, or as one object where results are JSON.
    pub(super) fn failed(&self, sentence: &str, exit_code: u8) {
        if self.json {
            self.print_json(&ErrorObject { schema: SCHEMA, error: sentence, exit_code });
        } else {
            print_error(sentence);
        }
    }

    /// The exit code of the program: `code`, or 125 where a result could not be written.
    pub(super) fn finish(&self, code: u8) -> u8 {
        match &*self.failure.borrow() {
            None => code,
            // A closed pipe is the reader's choice.
            Some(error) if error.kind() == ErrorKind::BrokenPipe => code,
            // As the signal would have ended a program that does not take it.
            Some(error) if error.kind() == ErrorKind::Interrupted => {
                interruption().map_or(code, |signal| of_signal(signal as i32))
            }
            Some(error) => {
                print_error(&format!("cannot write to standard output: {}", io_reason(error)));
                ExitCode::InternalError.code()
            }
        }
    }
}

/// Why a command has no result. As JSON it is one object with these keys.
#[derive(Debug, Serialize)]
struct ErrorObject<'call> {
    schema: u64,
    /// One sentence: what is wrong and what to do.
    error: &'call str,
    exit_code: u8,
}

/// One sentence on standard error, under the program's name.
pub(super) fn print_error(sentence: &str) {
    print_stderr(&error_line(sentence));
}

/// The line that [`print_error`] prints.
pub(super) fn error_line(sentence: &str) -> String {
    format!("dogwatch: {}", sanitize_for_terminal(sentence))
}

/// One line on standard error.
pub(super) fn print_stderr(line: &str) {
    // There is no other place to report a failure of standard error.
    let _failed = stdio::write_all(&mut io::stderr().lock(), format!("{line}\n").as_bytes());
}

/// Has the terminal on standard error tell of something: by its bell, and, where it knows escape sequences, by a desktop
/// notification (OSC 9, which iTerm2, Windows Terminal, kitty and others show). Elsewhere nothing is written.
pub(super) fn notify(text: &str) {
    if !io::stderr().is_terminal() {
        return;
    }
    let notification =
        if can_erase(&io::stderr()) { format!("\u{1b}]9;{}\u{7}", sanitize_for_terminal(text)) } else { String::new() };
    let _failed = stdio::write_all(&mut io::stderr().lock(), format!("\u{7}{notification}").as_bytes());
}
