//! The table of `list`: a row a step. On a terminal a row is cut to its width; into a pipe rows go whole.

use super::columns::{cut, fit, width};
use super::progress::bar;
use super::styles::Styles;
use crate::ops::list::Row;
use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::time::{WallTime, millis};
use crate::record::units::shown;
use crate::sys::clock;
use std::borrow::Cow;

/// Between two columns.
const GAP: usize = 2;
/// The heads of the columns.
const HEADS: [&str; 10] =
    ["STEP", "STATE", "ELAPSED", "ENDED", "PROGRESS", "HEARTBEAT", "OUTPUT", "CPU", "PID", "LAST LINE"];
const STATE: usize = 1;
const ENDED: usize = 3;
const PROGRESS: usize = 4;
/// What a terminal that is too narrow does without, in this order, until the last line has room.
const DISPENSABLE: [usize; 6] = [6, 7, 8, 5, PROGRESS, ENDED];
/// What a cell shows of a fact that is not known.
const NOTHING: &str = "-";
/// The room that the last line should have, in columns.
const LAST_LINE: usize = 16;

/// A row a step under the columns' heads, each row cut to `columns` columns where those are given; `None` if there is
/// no step.
pub(in crate::cli) fn table(steps: &[Row], styles: Styles, columns: Option<usize>) -> Vec<String> {
    if steps.is_empty() {
        return Vec::new();
    }
    // However long a name is, the state stays visible.
    let longest = columns.map_or(usize::MAX, |columns| (columns / 3).max(8));
    let rows: Vec<Cells<'_>> = steps.iter().map(|step| cells(step, longest)).collect();
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0).max(HEADS[column].len());
    let is_shown = |at: usize| ![PROGRESS, ENDED].contains(&at) || rows.iter().any(|row| row[at] != NOTHING);
    let mut widths: Vec<_> = (0..HEADS.len()).map(|column| is_shown(column).then(|| widest(column))).collect();
    for column in DISPENSABLE {
        let before_last: usize = widths[..HEADS.len() - 1].iter().flatten().map(|width| width + GAP).sum();
        if columns.is_none_or(|columns| before_last + LAST_LINE <= columns) {
            break;
        }
        widths[column] = None;
    }
    let head = line(&HEADS.map(Cow::Borrowed), &widths, columns, None);
    let body = rows.iter().zip(steps).map(|(row, step)| {
        let state = step.report.state_word();
        let color = styles.enabled.then(|| (state, styles.state(step.report.outcome, state)));
        line(row, &widths, columns, color.as_ref().map(|(word, painted)| (*word, painted.as_str())))
    });
    std::iter::once(head).chain(body).collect()
}

/// The cells of a row: of ten thousand rows most have nothing to copy.
type Cells<'row> = [Cow<'row, str>; HEADS.len()];

fn cells(row: &Row, longest: usize) -> Cells<'_> {
    let Row { report, cpu_time, last_line } = row;
    let or_nothing = |text: Option<String>| text.map_or(Cow::Borrowed(NOTHING), Cow::Owned);
    let span = |millis: Option<u64>| or_nothing(millis.map(shown));
    let last = |line| match sanitize_for_terminal(line) {
        line if line.contains('\t') => Cow::Owned(line.replace('\t', " ")),
        line => line,
    };
    let state = match failure(report) {
        Some(failure) => Cow::Owned(format!("{} ({})", report.state_word(), sanitize_for_terminal(&failure))),
        None => Cow::Borrowed(report.state_word()),
    };
    let ended = report.ended_at.as_deref().and_then(WallTime::parse);
    let while_running = |age: Option<u64>| age.filter(|_| report.outcome == Outcome::Running);
    let progress = report.elapsed_ms.zip(while_running(report.expected_ms));
    [
        fit(&report.step, longest),
        state,
        span(report.elapsed_ms),
        or_nothing(ended.map(|at| format!("{} ago", shown(millis(clock::wall().since(at)))))),
        or_nothing(progress.map(|(elapsed, expected)| bar(elapsed, expected))),
        span(while_running(report.heartbeat_age_ms)),
        span(while_running(report.output_age_ms)),
        span(cpu_time.map(millis)),
        or_nothing(report.pid.map(|pid| pid.to_string())),
        last_line.as_deref().map_or(Cow::Borrowed(""), last),
    ]
}

/// What COMMAND failed with, where it did: its exit code, or the signal that ended it.
fn failure(report: &Report) -> Option<String> {
    let code = report.exit_code.filter(|code| *code != 0).map(|code| code.to_string());
    report.signal.clone().or(code).filter(|_| report.outcome == Outcome::Failed)
}

/// One row, without the columns that are not shown: cut first, coloured after, so that no colour is cut in two.
fn line(cells: &Cells<'_>, widths: &[Option<usize>], columns: Option<usize>, color: Option<(&str, &str)>) -> String {
    let mut line = String::new();
    let mut left = columns.unwrap_or(usize::MAX);
    let mut blanks = 0;
    for (column, (cell, shown)) in cells.iter().zip(widths).enumerate() {
        let Some(wide) = shown else { continue };
        let kept = cut(cell, left.saturating_sub(blanks));
        if kept.is_empty() && !cell.is_empty() {
            break;
        }
        let used = width(kept);
        line.extend(std::iter::repeat_n(' ', blanks));
        match color.filter(|_| column == STATE) {
            Some((word, painted)) => line.push_str(&kept.replace(word, painted)),
            None => line.push_str(kept),
        }
        left -= blanks + used;
        blanks = wide - used.min(*wide) + GAP;
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    fn row(step: &str, last_line: &str) -> Row {
        let mut report = Report::unseen(step, Path::new("/d"), String::new());
        report.elapsed_ms = Some(12_300);
        report.heartbeat_age_ms = Some(400);
        report.output_age_ms = Some(1200);
        report.pid = Some(1_234_567);
        let cpu_time = Some(Duration::from_millis(700));
        Row { report, cpu_time, last_line: Some(last_line.to_owned()) }
    }

    fn with_expected(mut row: Row) -> Row {
        row.report.expected_ms = Some(40_000);
        row
    }

    #[test]
    fn a_row_fits_any_terminal_with_any_script_and_columns_stay_aligned() {
        let wide = "\u{6f22}\u{5b57}\u{1f980} ".repeat(40);
        let rows = [row("a", &wide), row(&"n".repeat(100), &wide), row("c", "plain")];
        for columns in [1, 8, 20, 40, 59, 60, 80, 100, 200] {
            for line in table(&rows, Styles::PLAIN, Some(columns)) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
        for columns in [40, 60, 80, 200] {
            let lines = table(&rows, Styles::PLAIN, Some(columns));
            let at = |line: &String| line.find("running").map(|at| width(&line[..at]));
            let places: Vec<_> = lines[1..].iter().map(at).collect();
            assert!(places.iter().all(|place| place.is_some() && *place == places[0]), "{columns}: {lines:?}");
        }
    }

    #[test]
    fn the_last_line_has_room_on_a_narrow_terminal() {
        let rows = [with_expected(row(&"n".repeat(100), "compiling everything"))];
        for columns in [40, 60, 80, 100, 200] {
            let lines = table(&rows, Styles::PLAIN, Some(columns));
            let room = columns - lines[0].find("LAST").expect("the last line's head");
            assert!(room >= if columns == 40 { 5 } else { LAST_LINE }, "{columns}: {lines:#?}");
        }
    }

    #[test]
    fn how_a_step_failed_and_when_it_ended_is_shown_as_far_as_there_is_room() {
        let mut failed = row("b", "\u{6f22}\u{5b57} no memory");
        failed.report.outcome = Outcome::Failed;
        failed.report.exit_code = Some(137);
        failed.report.ended_at = Some(clock::wall().minus(Duration::from_millis(185_200)).rfc3339());
        let lines = table(&[row("a", "x"), failed.clone()], Styles::PLAIN, Some(80));
        assert!(
            lines[0].contains("  ENDED") && lines[2].contains("failed (137)") && lines[2].contains("3m 5s ago"),
            "{lines:?}"
        );
        let narrow = table(&[failed], Styles::PLAIN, Some(40));
        assert!(narrow[1].contains("failed (137)") && !narrow[0].contains("ENDED"), "{narrow:?}");
        for line in lines.iter().map(|line| (line, 80)).chain(narrow.iter().map(|line| (line, 40))) {
            assert!(width(line.0) <= line.1, "{line:?}");
        }
        assert!(!table(&[row("a", "x")], Styles::PLAIN, Some(200))[0].contains("ENDED"));
    }

    #[test]
    fn a_bar_is_shown_where_a_step_has_an_expected_time_and_there_is_room() {
        let rows = [with_expected(row("a", "x")), row("b", "y")];
        let lines = table(&rows, Styles::PLAIN, Some(80));
        assert!(lines[0].contains("PROGRESS") && lines[1].contains("[===>      ] of 40.0s"), "{lines:?}");
        assert!(!table(&rows, Styles::PLAIN, Some(50))[0].contains("PROGRESS"));
        assert!(!table(&rows[1..], Styles::PLAIN, Some(200))[0].contains("PROGRESS"));
    }
}
