//! Whether a stream is a terminal.

use std::io::IsTerminal;

/// Whether standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
