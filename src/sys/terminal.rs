//! Whether a stream is a terminal, how large that is, and what may be drawn on it.

use crate::sys::env;
use nix::unistd::{getpgrp, tcgetpgrp};
use std::ffi::OsStr;
use std::io::{IsTerminal, stderr, stdout};
use std::os::fd::AsFd;
use terminal_size::terminal_size_of;

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many characters fit into a line.
    pub(crate) columns: usize,
    /// How many lines fit.
    pub(crate) rows: usize,
}

/// The size of the terminal that a stream is, or of a usual one where it does not tell; `None` if it is none.
pub(crate) fn size(stream: impl IsTerminal + AsFd) -> Option<Size> {
    let told = stream.is_terminal().then(|| terminal_size_of(stream))?;
    let (columns, rows) = told.map_or((80, 24), |(width, height)| (width.0, height.0));
    Some(Size { columns: columns.into(), rows: rows.into() })
}

/// Whether a stream is a terminal whose cursor can be moved. `TERM=dumb` says that escape sequences are shown as text, and no
/// `TERM` that nothing is known.
pub(crate) fn can_erase(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::variable("TERM").is_some_and(|term| term != "dumb")
}

/// Whether standard output may have colours: `NO_COLOR` takes them away, else `CLICOLOR_FORCE` gives them to any stream, else
/// a terminal has them unless `CLICOLOR` is 0. `$CI` is not asked: where the terminal is a dumb one, escapes are shown as text.
pub(crate) fn stdout_has_colors() -> bool {
    let is = |name: &str, fits: fn(&OsStr) -> bool| env::variable(name).is_some_and(|value| fits(&value));
    let is_forced = is("CLICOLOR_FORCE", |value| value != "0");
    !is("NO_COLOR", |_| true) && (is_forced || (can_erase(&stdout()) && !is("CLICOLOR", |value| value == "0")))
}

/// Whether the terminal that standard error is belongs to this process's job at the moment. A background job that draws
/// overwrites what is typed, and is stopped where `stty tostop` is set (termios(3)). A terminal that is not the controlling
/// one knows no jobs (`ENOTTY`).
pub(crate) fn stderr_is_in_foreground() -> bool {
    tcgetpgrp(stderr()).map_or(true, |group| group == getpgrp())
}
