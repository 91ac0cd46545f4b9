//! Whether a stream is a terminal, and how large that is.

use std::io::{IsTerminal, stderr, stdout};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many characters fit into a line.
    pub(crate) columns: usize,
    /// How many lines fit.
    pub(crate) rows: usize,
}

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    stdout().is_terminal()
}

/// The size of the terminal on standard output, or of a usual one where it does not tell; nothing where it is none.
pub(crate) fn stdout_size() -> Option<Size> {
    stdout().is_terminal().then(|| size(terminal_size::terminal_size_of(stdout())))
}

/// As [`stdout_size`], of standard error.
pub(crate) fn stderr_size() -> Option<Size> {
    stderr().is_terminal().then(|| size(terminal_size::terminal_size_of(stderr())))
}

fn size(told: Option<(terminal_size::Width, terminal_size::Height)>) -> Size {
    told.map_or(Size { columns: 80, rows: 24 }, |(width, height)| Size {
        columns: width.0.into(),
        rows: height.0.into(),
    })
}
