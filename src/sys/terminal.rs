//! Whether a stream is a terminal, how large that is, and what may be drawn on it.

use crate::sys::env;
use nix::unistd::{getpgrp, tcgetpgrp};
use std::ffi::OsStr;
use std::io::{IsTerminal, stderr, stdin, stdout};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many characters fit into a line.
    pub(crate) columns: usize,
    /// How many lines fit.
    pub(crate) rows: usize,
}

/// Whether standard input is a terminal.
pub(crate) fn stdin_is_terminal() -> bool {
    stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    stdout().is_terminal()
}

/// The size of the terminal on standard output, or of a usual one where it does not tell; `None` if it is none.
pub(crate) fn stdout_size() -> Option<Size> {
    stdout().is_terminal().then(|| size(terminal_size::terminal_size_of(stdout())))
}

/// As [`stdout_size`], of standard error.
pub(crate) fn stderr_size() -> Option<Size> {
    stderr().is_terminal().then(|| size(terminal_size::terminal_size_of(stderr())))
}

/// Whether standard output is a terminal whose cursor can be moved.
pub(crate) fn stdout_can_erase() -> bool {
    stdout().is_terminal() && has_cursor_control()
}

/// As [`stdout_can_erase`], of standard error.
pub(crate) fn stderr_can_erase() -> bool {
    stderr().is_terminal() && has_cursor_control()
}

/// `TERM=dumb` says that escape sequences are shown as text, and no `TERM` that nothing is known.
fn has_cursor_control() -> bool {
    env::variable("TERM").is_some_and(|term| term != "dumb")
}

/// Whether standard output may have colours: `NO_COLOR` takes them away, else `CLICOLOR_FORCE` gives them to any stream, else
/// a terminal has them unless `CLICOLOR` is 0. `$CI` is not asked: where the terminal is a dumb one, escapes are shown as text.
pub(crate) fn stdout_has_colors() -> bool {
    let is = |name: &str, fits: fn(&OsStr) -> bool| env::variable(name).is_some_and(|value| fits(&value));
    let is_forced = is("CLICOLOR_FORCE", |value| value != "0");
    !is("NO_COLOR", |_| true) && (is_forced || (stdout_can_erase() && !is("CLICOLOR", |value| value == "0")))
}

/// Whether the terminal that standard error is belongs to this process's job at the moment. A background job that draws
/// overwrites what is typed, and is stopped where `stty tostop` is set (termios(3)). A terminal that is not the controlling
/// one knows no jobs (`ENOTTY`).
pub(crate) fn stderr_is_in_foreground() -> bool {
    tcgetpgrp(stderr()).map_or(true, |group| group == getpgrp())
}

fn size(told: Option<(terminal_size::Width, terminal_size::Height)>) -> Size {
    told.map_or(Size { columns: 80, rows: 24 }, |(width, height)| Size {
        columns: width.0.into(),
        rows: height.0.into(),
    })
}
