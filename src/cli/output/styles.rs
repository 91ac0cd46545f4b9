//! Colours: which word has which, and whether standard output may have any.

use crate::cli::Color;
use crate::preflight::report::CheckStatus;
use crate::record::outcome::Outcome;
use crate::sys::terminal::stdout_has_colors;
use anstyle::{AnsiColor, Style};

/// Colours for text, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Styles {
    pub(in crate::cli) enabled: bool,
}

impl Styles {
    /// No colours.
    pub(in crate::cli) const PLAIN: Self = Self { enabled: false };
    /// What `--color` asks for; with `auto` what `NO_COLOR`, `CLICOLOR_FORCE`, `CLICOLOR`, `TERM` and the stream ask for.
    pub(in crate::cli) fn for_stdout(color: Color) -> Self {
        let enabled = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stdout_has_colors(),
        };
        Self { enabled }
    }

    /// The word for how a step stands, in its outcome's colour.
    pub(in crate::cli) fn state(self, outcome: Outcome, word: &str) -> String {
        let color = match outcome {
            Outcome::Success | Outcome::Marker => AnsiColor::Green,
            Outcome::Running | Outcome::NotStarted => AnsiColor::Yellow,
            Outcome::Failed | Outcome::Hung | Outcome::Died | Outcome::Timeout => AnsiColor::Red,
        };
        self.paint(color, word)
    }

    /// How a preflight check came out.
    pub(in crate::cli) fn check_status(self, status: CheckStatus) -> String {
        let (color, word) = match status {
            CheckStatus::Passed => (AnsiColor::Green, "passed"),
            CheckStatus::Fixed => (AnsiColor::Yellow, "fixed"),
            CheckStatus::Failed => (AnsiColor::Red, "failed"),
        };
        self.paint(color, word)
    }

    fn paint(self, color: AnsiColor, word: &str) -> String {
        let style = if self.enabled { color.on_default() } else { Style::new() };
        format!("{style}{word}{style:#}")
    }
}
