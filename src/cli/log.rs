//! `log` from words to bytes.
//!
//! Refuses to send a terminal what the work wrote for one: there it could say anything. Into a pipe every byte goes as
//! it is.

use crate::cli::arguments::Global;
use crate::cli::exit_code::ExitCode;
use crate::cli::{complain, resolve};
use crate::ops::Error;
use crate::ops::log::{Shown, log as show};
use crate::record::sanitize::StreamSanitizer;
use crate::record::step_name::StepName;
use crate::sys::signals::Signal;
use crate::sys::terminal::stdout_is_terminal;
use std::io::{Write, stdout};

/// `log`.
///
/// # Errors
/// The log cannot be read.
pub(super) fn log(step: StepName, follow: bool, lines: Option<u64>, global: &Global) -> Result<u8, Error> {
    let request = resolve::log(step, follow, lines, global)?;
    let mut cleaner = stdout_is_terminal().then(StreamSanitizer::default);
    let write = |bytes: &[u8]| {
        let mut out = stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    };
    let shown = show(&request, &mut |bytes| match &mut cleaner {
        Some(cleaner) => write(cleaner.feed(bytes).as_bytes()),
        None => write(bytes),
    })?;
    if let Some(mut cleaner) = cleaner {
        // Whoever has gone has read enough.
        let _gone = write(cleaner.finish().as_bytes());
    }
    let exit = match shown {
        Shown::All => ExitCode::Success,
        Shown::None(sentence) => {
            complain(&sentence);
            ExitCode::Success
        }
        Shown::NotStarted(sentence) => {
            complain(&sentence);
            ExitCode::NotStarted
        }
        Shown::Interrupted(Signal::SIGTERM) => ExitCode::Terminated,
        Shown::Interrupted(_) => ExitCode::Interrupted,
    };
    Ok(exit.code())
}
