//! `list` from words to a table, or to one object a step.
//!
//! Refuses to wrap: on a terminal a row is cut to its width, and a table to its height. Into a pipe rows go whole.

use crate::cli::arguments::Global;
use crate::cli::exit_code::ExitCode;
use crate::cli::format::Styles;
use crate::cli::{complain, paint, print, print_json, resolve};
use crate::ops::Error;
use crate::ops::check::Check;
use crate::ops::list::{Listing, Row, reports, rows, watch as look_again};
use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::time::millis;
use crate::record::units::shown;
use crate::sys::signals::Signal;
use crate::sys::terminal::{Size, stdout_size};
use std::borrow::Cow;
use std::collections::HashMap;

/// Between two columns.
const GAP: &str = "  ";
/// To fill columns from.
const BLANKS: &str = "                                ";
/// The heads of the columns.
const HEADS: [&str; 8] = ["STEP", "STATE", "ELAPSED", "HEARTBEAT", "OUTPUT", "CPU", "PID", "LAST LINE"];
/// The columns that a narrow terminal does without, to keep the last line readable; and how wide is not narrow.
const EXTRA: [usize; 2] = [4, 5];
const WIDE: usize = 100;

/// `list`.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn list(watch: bool, global: &Global) -> Result<u8, Error> {
    let request = resolve::list(global)?;
    if watch {
        let mut watching = Watching { request: &request, global, shown: HashMap::new(), drawn: false };
        let signal = look_again(&request, &mut || watching.show())?;
        if !global.json && stdout_size().is_some() {
            // The terminal has echoed ^C where the prompt will stand.
            print(b"\n");
        }
        let exit = if signal == Signal::SIGTERM { ExitCode::Terminated } else { ExitCode::Interrupted };
        return Ok(exit.code());
    }
    let (count, faults) = if global.json {
        let Listing { steps, faults } = reports(&request)?;
        steps.iter().for_each(print_json);
        (steps.len(), faults)
    } else {
        let Listing { steps, faults } = rows(&request)?;
        let columns = stdout_size().map(|size| size.columns);
        print(text(&table(&steps, paint(global), columns)).as_bytes());
        (steps.len(), faults)
    };
    for fault in &faults {
        complain(fault);
    }
    if count == 0 && faults.is_empty() && !global.quiet {
        complain(&empty(&request));
    }
    Ok(ExitCode::Success.code())
}

fn empty(request: &Check) -> String {
    format!("no step has started in {}; start one with: dogwatch run STEP -- COMMAND", request.directory.display())
}

fn text(lines: &[String]) -> String {
    let mut text = String::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
    text.extend(lines.iter().flat_map(|line| [line.as_str(), "\n"]));
    text
}

/// A listing that is shown again and again.
struct Watching<'call> {
    request: &'call Check,
    global: &'call Global,
    /// What was last shown of each step, ages left out.
    shown: HashMap<String, Shown>,
    drawn: bool,
}

type Shown = (Outcome, Option<String>, Option<i32>);

impl Watching<'_> {
    fn show(&mut self) -> Result<(), Error> {
        let (now, faults): (HashMap<String, Shown>, _) = if self.global.json {
            let Listing { steps, faults } = reports(self.request)?;
            let mark = |report: &Report| (report.outcome, report.run_id.clone(), report.pid);
            let is_new = |report: &&Report| self.shown.get(&report.step) != Some(&mark(report));
            steps.iter().filter(is_new).for_each(print_json);
            (steps.iter().map(|report| (report.step.clone(), mark(report))).collect(), faults)
        } else {
            let Listing { steps, faults } = rows(self.request)?;
            let mark = |row: &Row| (row.step.clone(), (row.outcome, row.run_id.clone(), row.pid));
            let now = steps.iter().map(mark).collect();
            match stdout_size() {
                Some(size) => self.draw(&steps, size),
                None if now != self.shown && !steps.is_empty() => {
                    let mut lines = table(&steps, paint(self.global), None);
                    // A table a change, an empty line between two.
                    lines.push(String::new());
                    print(text(&lines).as_bytes());
                }
                None => {}
            }
            (now, faults)
        };
        if !self.drawn || now != self.shown {
            for fault in &faults {
                complain(fault);
            }
        }
        (self.shown, self.drawn) = (now, true);
        Ok(())
    }

    /// Over what was drawn before: the cursor goes home, and each line clears what it does not cover.
    fn draw(&self, rows: &[Row], size: Size) {
        let room = size.rows.saturating_sub(2).max(1);
        let mut lines = if rows.is_empty() {
            vec![sanitize_for_terminal(&empty(self.request)).chars().take(size.columns).collect()]
        } else if rows.len() <= room {
            table(rows, paint(self.global), Some(size.columns))
        } else {
            // Those that go on are what is watched.
            let (running, over): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.outcome == Outcome::Running);
            let first: Vec<Row> = running.into_iter().chain(over).take(room - 1).cloned().collect();
            table(&first, paint(self.global), Some(size.columns))
        };
        if rows.len() > room {
            lines.push(format!("and {} more", rows.len() + 1 - room));
        }
        let home = if self.drawn { "\u{1b}[H" } else { "\u{1b}[H\u{1b}[2J" };
        let body: String = lines.iter().flat_map(|line| [line.as_str(), "\u{1b}[K\n"]).collect();
        print(format!("{home}{body}\u{1b}[J").as_bytes());
    }
}

/// A row a step under the columns' heads, each row cut to `columns` characters where those are given; nothing where
/// there is no step.
fn table(steps: &[Row], paint: Styles, columns: Option<usize>) -> Vec<String> {
    if steps.is_empty() {
        return Vec::new();
    }
    let rows: Vec<Cells<'_>> = steps.iter().map(cells).collect();
    let width = |column: usize| rows.iter().map(|row| characters(&row[column])).max().unwrap_or(0);
    let is_wide = columns.is_none_or(|columns| columns >= WIDE);
    let widths: Vec<usize> = (0..HEADS.len())
        .map(|column| if is_wide || !EXTRA.contains(&column) { width(column).max(HEADS[column].len()) } else { 0 })
        .collect();
    let head = line(&HEADS.map(Cow::Borrowed), &widths, columns, None);
    let body = rows.iter().zip(steps).map(|(row, step)| {
        let color = paint.0.then(|| (step.outcome.as_str(), paint.outcome(step.outcome)));
        line(row, &widths, columns, color.as_ref().map(|(word, painted)| (*word, painted.as_str())))
    });
    std::iter::once(head).chain(body).collect()
}

/// The cells of a row: of ten thousand rows most have nothing to copy.
type Cells<'row> = [Cow<'row, str>; HEADS.len()];

fn cells(row: &Row) -> Cells<'_> {
    let span = |millis: Option<u64>| millis.map_or(Cow::Borrowed("-"), |millis| Cow::Owned(shown(millis)));
    let last = |line| match sanitize_for_terminal(line) {
        line if line.contains('\t') => Cow::Owned(line.replace('\t', " ")),
        line => line,
    };
    [
        Cow::Borrowed(row.step.as_str()),
        Cow::Borrowed(row.outcome.as_str()),
        span(row.elapsed_ms),
        span(row.heartbeat_age_ms),
        span(row.output_age_ms),
        span(row.cpu_time.map(millis)),
        row.pid.map_or(Cow::Borrowed("-"), |pid| Cow::Owned(pid.to_string())),
        row.last_line.as_deref().map_or(Cow::Borrowed(""), last),
    ]
}

/// One row, without the columns of no width: cut first, coloured after, so that no colour is cut in two. The state is
/// the one cell with a colour: a word, and what is written for it.
fn line(cells: &Cells<'_>, widths: &[usize], columns: Option<usize>, color: Option<(&str, &str)>) -> String {
    let mut line = String::with_capacity(cells.iter().map(|cell| cell.len()).chain(widths.iter().copied()).sum());
    let mut left = columns.unwrap_or(usize::MAX);
    let blank = |line: &mut String, left: &mut usize, count: usize| {
        let mut count = count.min(*left);
        *left -= count;
        while count > 0 {
            let piece = &BLANKS[..count.min(BLANKS.len())];
            line.push_str(piece);
            count -= piece.len();
        }
    };
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        if column > 0 {
            blank(&mut line, &mut left, GAP.len());
        }
        let length = characters(cell);
        let count = length.min(left);
        let end = if count < length { cell.char_indices().nth(count).map(|(end, _)| end) } else { None };
        let cut = &cell[..end.unwrap_or(cell.len())];
        left -= count;
        match color.filter(|_| column == 1) {
            Some((word, painted)) => line.push_str(&cut.replace(word, painted)),
            None => line.push_str(cut),
        }
        if column + 1 < cells.len() {
            blank(&mut line, &mut left, width.saturating_sub(count));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// How many characters a cell has; of ten thousand rows nearly all are plain.
fn characters(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}
