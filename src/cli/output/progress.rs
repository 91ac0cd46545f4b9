//! The live lines of a wait: how each step stands, drawn over themselves on the terminal that standard error is.
//!
//! They are erased before anything else is printed, and at the end. There are none where standard error is no terminal, or
//! `--json` or `--quiet` is given.

use super::Output;
use crate::ops::wait::Progress;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::units::shown;
use crate::sys::terminal::{Size, stderr_size};
use std::io::{Write, stderr};

/// What stands on the terminal.
#[derive(Debug)]
pub(in crate::cli) struct ProgressDisplay {
    wanted: bool,
    /// How many lines were drawn and stand there still.
    drawn: usize,
}

impl ProgressDisplay {
    pub(in crate::cli) fn new(out: &Output) -> Self {
        Self { wanted: !out.json && !out.quiet && stderr_size().is_some(), drawn: 0 }
    }

    pub(in crate::cli) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Draws the lines in place of those before.
    pub(in crate::cli) fn draw(&mut self, steps: &[Progress], more: usize) {
        // Asked anew each time: a terminal changes its size.
        let Some(size) = stderr_size().filter(|_| self.wanted) else { return };
        let lines = lines(steps, more, size);
        let erased = self.clear_sequence();
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        self.drawn = lines.len();
        write(&format!("{erased}{body}"));
    }

    /// Takes them away.
    pub(in crate::cli) fn erase(&mut self) {
        let erased = self.clear_sequence();
        if !erased.is_empty() {
            write(&erased);
        }
        self.drawn = 0;
    }

    /// Up to the first of them and clear all that follows, a Ctrl-C that the terminal echoed included.
    fn clear_sequence(&self) -> String {
        if self.drawn == 0 { String::new() } else { format!("\r\u{1b}[{}A\u{1b}[J", self.drawn) }
    }
}

fn write(text: &str) {
    let mut out = stderr().lock();
    // A terminal that has gone shows nothing more.
    let _gone = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// No line wraps, and all fit: a terminal could not be drawn over otherwise.
fn lines(steps: &[Progress], more: usize, size: Size) -> Vec<String> {
    let room = size.rows.saturating_sub(1).max(1);
    let mut lines: Vec<String> = steps.iter().map(line).collect();
    let more = more + lines.len().saturating_sub(room);
    lines.truncate(room);
    if more > 0 && lines.len() == room {
        lines.pop();
        lines.push(format!("and {} more", more + 1));
    } else if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.into_iter().map(|line| line.chars().take(size.columns.saturating_sub(1)).collect()).collect()
}

fn line(step: &Progress) -> String {
    let Some(elapsed) = step.elapsed_ms else { return format!("{}: not started", step.step) };
    let state = if step.ending { "being ended after" } else { "running for" };
    let beat = step.heartbeat_age_ms.map_or(String::new(), |age| format!(" (heartbeat {} ago)", shown(age)));
    let last = step
        .last_line
        .as_ref()
        .map_or(String::new(), |line| format!(" {}", sanitize_for_terminal(line).replace('\t', " ")));
    format!("{}: {state} {}{beat}{last}", step.step, shown(elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str) -> Progress {
        Progress {
            step: name.to_owned(),
            elapsed_ms: Some(12_300),
            heartbeat_age_ms: Some(400),
            ending: false,
            last_line: Some("Compiling\tx \u{1b}[2J".to_owned()),
        }
    }

    #[test]
    fn a_line_says_how_a_step_stands_and_is_sanitize_for_terminal() {
        let size = Size { columns: 200, rows: 24 };
        let waiting = Progress { elapsed_ms: None, ..step("b") };
        let ending = Progress { ending: true, heartbeat_age_ms: None, last_line: None, ..step("c") };
        let expected = [
            "a: running for 12.3s (heartbeat 0.4s ago) Compiling x \\u{1b}[2J",
            "b: not started",
            "c: being ended after 12.3s",
        ];
        assert_eq!(lines(&[step("a"), waiting, ending], 0, size), expected);
    }

    #[test]
    fn lines_fit_any_terminal() {
        let many: Vec<Progress> = (0..8).map(|number| step(&format!("step{number}"))).collect();
        for (rows, columns, more) in [(24, 80, 0), (24, 20, 5), (5, 80, 5), (4, 1, 0), (1, 1, 3), (0, 0, 9)] {
            let drawn = lines(&many, more, Size { columns, rows });
            assert!(drawn.len() <= rows.saturating_sub(1).max(1), "{rows}: {drawn:?}");
            assert!(drawn.iter().all(|line| line.chars().count() <= columns), "{columns}: {drawn:?}");
        }
        let cut = lines(&many, 5, Size { columns: 80, rows: 5 });
        assert_eq!((cut.len(), cut[3].as_str()), (4, "and 10 more"));
        assert_eq!(lines(&many, 2, Size { columns: 80, rows: 24 })[8], "and 2 more");
    }
}
