//! The live lines of a wait: how each step is doing, drawn over themselves on the terminal that standard error is.
//!
//! They are erased before anything else is printed, and at the end. There are none where standard error is no terminal that
//! can erase, or `--json` or `--quiet` is given; none are drawn while another job has the terminal's foreground.

use super::Output;
use super::columns::{cut, fit, width};
use crate::ops::event::Progress;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::time::millis;
use crate::record::units::shown;
use crate::sys::signals::was_continued;
use crate::sys::stdio;
use crate::sys::terminal::{self, Size, can_erase, stderr_is_in_foreground};
use std::io::stderr;

/// Below this many columns a line does without the bar and the heartbeat's age, to keep the last line of the log readable.
const NARROW: usize = 70;
/// How many cells the bar has.
const BAR: usize = 10;

/// What was drawn on the terminal.
#[derive(Debug)]
pub(in crate::cli) struct ProgressDisplay {
    /// Whether anything is to be drawn.
    pub(in crate::cli) wanted: bool,
    /// The widths of the lines that were drawn and not yet erased.
    drawn: Vec<usize>,
}

impl ProgressDisplay {
    pub(in crate::cli) fn new(out: &Output) -> Self {
        let wanted = !out.json && !out.quiet && can_erase(&stderr());
        if wanted {
            was_continued();
        }
        Self { wanted, drawn: Vec::new() }
    }

    /// Draws the lines in place of those before.
    pub(in crate::cli) fn draw(&mut self, steps: &[Progress], more: usize) {
        // Asked each time: a terminal is resized, and a job moves between foreground and background.
        let Some(size) = terminal::size(stderr()).filter(|_| self.wanted) else { return };
        self.forget_after_stop();
        if !stderr_is_in_foreground() {
            // The shell draws its prompt over what was there.
            self.drawn.clear();
            return;
        }
        let lines = lines(steps, more, size);
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        write(&format!("{}{body}", clear_sequence(&self.drawn, size.columns)));
        self.drawn = lines.iter().map(|line| width(line)).collect();
    }

    /// After Ctrl-Z and `fg` the shell's own lines stand below what was drawn, and moving up would erase those.
    fn forget_after_stop(&mut self) {
        if self.wanted && was_continued() {
            self.drawn.clear();
        }
    }

    /// Erases them.
    pub(in crate::cli) fn erase(&mut self) {
        self.forget_after_stop();
        let drawn = std::mem::take(&mut self.drawn);
        let size = terminal::size(stderr()).filter(|_| !drawn.is_empty() && stderr_is_in_foreground());
        if let Some(size) = size {
            write(&clear_sequence(&drawn, size.columns));
        }
    }
}

/// Moves up to the first of the lines and clears all that follows, a Ctrl-C that the terminal echoed included. A terminal
/// that was made narrower since has wrapped them.
fn clear_sequence(drawn: &[usize], columns: usize) -> String {
    let rows: usize = drawn.iter().map(|width| width.div_ceil(columns.max(1)).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\r\u{1b}[{rows}A\u{1b}[J") }
}

fn write(text: &str) {
    // A terminal that has gone shows nothing more.
    let _gone = stdio::write_all(&mut stderr().lock(), text.as_bytes());
}

/// No line wraps, and all fit: a terminal could not be drawn over otherwise.
fn lines(steps: &[Progress], more: usize, size: Size) -> Vec<String> {
    let room = size.rows.saturating_sub(1).max(1);
    let columns = size.columns.saturating_sub(1);
    let mut lines: Vec<String> = steps.iter().map(|step| line(step, columns)).collect();
    if more > 0 || lines.len() > room {
        lines.truncate(room - 1);
        lines.push(format!("and {} more", steps.len() + more - lines.len()));
    }
    lines.into_iter().map(|line| cut(&line, columns).to_owned()).collect()
}

fn line(step: &Progress, columns: usize) -> String {
    // However long a name is, how the step is doing stays visible.
    let name = fit(&step.step, (columns / 3).max(8));
    let Some(elapsed) = step.elapsed else { return format!("{name}: not started") };
    let state = if step.ending { "being ended after" } else { "running for" };
    let expected = step.expected.map_or_else(String::new, |expected| match columns {
        NARROW.. => format!(" {}", bar(millis(elapsed), millis(expected))),
        _ => format!(" of {}", shown(millis(expected))),
    });
    let heartbeat = step.heartbeat_age.filter(|_| columns >= NARROW);
    let heartbeat = heartbeat.map_or(String::new(), |age| format!(" (heartbeat {} ago)", shown(millis(age))));
    let last = step.last_line.as_ref();
    let last = last.map_or(String::new(), |line| format!(" {}", sanitize_for_terminal(line).replace('\t', " ")));
    format!("{name}: {state} {}{expected}{heartbeat}{last}", shown(millis(elapsed)))
}

/// How much of the expected time is over, and how long that is: `[===>      ] of 40.0s`.
pub(in crate::cli) fn bar(elapsed_ms: u64, expected_ms: u64) -> String {
    let share = elapsed_ms.saturating_mul(BAR as u64) / expected_ms.max(1);
    let full = usize::try_from(share).unwrap_or(BAR).min(BAR);
    let head = if full < BAR { ">" } else { "" };
    let blank = BAR - full - head.len();
    format!("[{}{head}{:blank$}] of {}", "=".repeat(full), "", shown(expected_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn step(name: &str) -> Progress {
        Progress {
            step: name.to_owned(),
            elapsed: Some(Duration::from_millis(12_300)),
            expected: None,
            heartbeat_age: Some(Duration::from_millis(400)),
            ending: false,
            last_line: Some("Compiling\tx \u{1b}[2J".to_owned()),
        }
    }

    #[test]
    fn a_line_says_how_a_step_is_doing_and_is_safe() {
        let size = Size { columns: 200, rows: 24 };
        let waiting = Progress { elapsed: None, ..step("b") };
        let ending = Progress { ending: true, heartbeat_age: None, last_line: None, ..step("c") };
        let expected = Progress { expected: Some(Duration::from_secs(40)), ..step("d") };
        let lines = lines(&[step("a"), waiting, ending, expected], 0, size);
        let right = [
            "a: running for 12.3s (heartbeat 0.4s ago) Compiling x \\u{1b}[2J",
            "b: not started",
            "c: being ended after 12.3s",
            "d: running for 12.3s [===>      ] of 40.0s (heartbeat 0.4s ago) Compiling x \\u{1b}[2J",
        ];
        assert_eq!(lines, right);
    }

    #[test]
    fn a_bar_is_full_when_the_time_is_over() {
        let bar = |elapsed: u64, expected: u64| bar(elapsed * 1000, expected * 1000);
        assert_eq!(bar(0, 40), "[>         ] of 40.0s");
        assert_eq!(bar(39, 40), "[=========>] of 40.0s");
        assert_eq!(bar(40, 40), "[==========] of 40.0s");
        assert_eq!(bar(4000, 40), "[==========] of 40.0s");
        assert_eq!(bar(1, 0), "[==========] of 0.0s");
    }

    #[test]
    fn lines_fit_any_terminal() {
        let many: Vec<Progress> = (0..8).map(|number| step(&format!("step{number}"))).collect();
        for (rows, columns, more) in [(24, 80, 0), (24, 20, 5), (5, 80, 5), (4, 1, 0), (1, 1, 3), (0, 0, 9)] {
            let drawn = lines(&many, more, Size { columns, rows });
            assert!(drawn.len() <= rows.saturating_sub(1).max(1), "{rows}: {drawn:?}");
            assert!(drawn.iter().all(|line| width(line) <= columns), "{columns}: {drawn:?}");
        }
        let cut = lines(&many, 5, Size { columns: 80, rows: 5 });
        assert_eq!((cut.len(), cut[3].as_str()), (4, "and 10 more"));
        assert_eq!(lines(&many, 2, Size { columns: 80, rows: 24 })[8], "and 2 more");
    }

    #[test]
    fn a_long_name_leaves_room_for_the_state() {
        let long = step(&"n".repeat(100));
        for columns in [40, 60, 80] {
            let drawn = lines(std::slice::from_ref(&long), 0, Size { columns, rows: 24 });
            assert!(drawn[0].contains("running for 12.3s"), "{columns}: {drawn:?}");
        }
    }

    #[test]
    fn lines_that_a_narrower_terminal_has_wrapped_are_all_cleared() {
        assert_eq!(clear_sequence(&[79, 10], 80), "\r\u{1b}[2A\u{1b}[J");
        assert_eq!(clear_sequence(&[79, 10, 0], 40), "\r\u{1b}[4A\u{1b}[J");
        assert_eq!(clear_sequence(&[], 40), "");
    }

    proptest! {
        #[test]
        fn no_text_of_any_script_makes_a_line_wrap(last in "\\PC{0,120}", columns in 1_usize..120) {
            let wide = Progress { last_line: Some(last), ..step("s") };
            for line in lines(&[wide], 0, Size { columns, rows: 24 }) {
                prop_assert!(width(&line) < columns.max(1));
            }
        }
    }
}
