//! The table of `list`: a row a step. On a terminal a row is cut to its width; into a pipe rows go whole.

use super::styles::Styles;
use crate::ops::list::Row;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::time::millis;
use crate::record::units::shown;
use std::borrow::Cow;

/// Between two columns.
const GAP: &str = "  ";
/// To fill columns from.
const BLANKS: &str = "                                ";
/// The heads of the columns.
const HEADS: [&str; 8] = ["STEP", "STATE", "ELAPSED", "HEARTBEAT", "OUTPUT", "CPU", "PID", "LAST LINE"];
/// The columns that a narrow terminal does without, to keep the last line readable; and how wide is not narrow.
const EXTRA: [usize; 2] = [4, 5];
const WIDE: usize = 100;

/// A row a step under the columns' heads, each row cut to `columns` characters where those are given; nothing where
/// there is no step.
pub(in crate::cli) fn table(steps: &[Row], styles: Styles, columns: Option<usize>) -> Vec<String> {
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
        let color = styles.enabled().then(|| (step.outcome.as_str(), styles.outcome(step.outcome)));
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
