//! `log` from words to bytes.
//!
//! Refuses to send a terminal what the work wrote for one: there it could say anything. Into a pipe every byte goes as
//! it is.

use super::arguments::Global;
use super::exit::Exit;
use super::{complain, resolve};
use crate::command::Error;
use crate::command::log::{Shown, log as show};
use crate::os::signals::Signal;
use crate::os::terminal::stdout_is_terminal;
use crate::protocol::step::StepName;
use crate::protocol::text::Cleaner;
use std::io::{Write, stdout};

/// `log`.
///
/// # Errors
/// The log cannot be read.
pub(super) fn log(step: StepName, follow: bool, lines: Option<u64>, global: &Global) -> Result<u8, Error> {
    let request = resolve::log(step, follow, lines, global)?;
    let mut cleaner = stdout_is_terminal().then(Cleaner::default);
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
        Shown::All => Exit::Success,
        Shown::None(sentence) => {
            complain(&sentence);
            Exit::Success
        }
        Shown::NotStarted(sentence) => {
            complain(&sentence);
            Exit::NotStarted
        }
        Shown::Interrupted(Signal::SIGTERM) => Exit::Terminated,
        Shown::Interrupted(_) => Exit::Interrupted,
    };
    Ok(exit.code())
}
