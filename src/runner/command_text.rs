//! COMMAND as text: what its run's record says of it, and why it could not be started. `runner::start` uses it.

use crate::error::io_reason;
use crate::exit_code::ExitCode;
use crate::record::shell_word::shell_word;
use crate::runner::{ExecError, Job};
use crate::sys::process::exec::missing_interpreter;
use std::ffi::OsString;

/// The most bytes of a record that COMMAND and its arguments take.
const LONGEST_COMMAND: usize = 128 << 10;

/// Why COMMAND could not be started, as a sentence that says what to do.
pub(super) fn not_started(job: &Job, error: &std::io::Error) -> ExecError {
    let program = job.command.first().map(OsString::as_os_str).unwrap_or_default();
    let name = program.to_string_lossy();
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let why = match missing.then(|| missing_interpreter(program, &job.env)) {
        Some(Some(interpreter)) => {
            let advice = if interpreter.ends_with('\r') { "; give the file Unix line ends" } else { "" };
            format!("its first line names {}, which is not there{advice}", interpreter.escape_debug())
        }
        Some(None) if name.contains(char::is_whitespace) => {
            format!("there is no such program; a whole line takes a shell: sh -c {}", shell_word(&name))
        }
        Some(None) => "there is no such program".to_owned(),
        None => io_reason(error),
    };
    let exit_code = if missing { ExitCode::NotFound } else { ExitCode::NotExecutable };
    ExecError { exit_code, sentence: format!("cannot run {}: {why}", shell_word(&name)) }
}

/// What the record says of COMMAND, bounded: a command line may have megabytes, and JSON makes six bytes of a control
/// character, while no reader takes more than one MiB of a record.
pub(super) fn recorded_command(command: &[OsString]) -> Vec<String> {
    let mut left = LONGEST_COMMAND;
    let mut recorded = Vec::new();
    for argument in command {
        let text = argument.to_string_lossy();
        let fits = |one: &char| {
            let size = if one.is_control() { 6 } else { one.len_utf8() + 1 };
            let fits = size <= left;
            left -= size.min(left);
            fits
        };
        let kept: String = text.chars().take_while(fits).collect();
        let is_whole = kept.len() == text.len();
        recorded.push(if is_whole { kept } else { kept + "…" });
        if !is_whole {
            break;
        }
        left = left.saturating_sub(3);
    }
    recorded
}
