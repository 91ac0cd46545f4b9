//! The table of `list`: a row a step. On a terminal a row is cut to its width; into a pipe rows go whole.

use super::columns::{cut, fit, width};
use super::progress::bar;
use super::styles::Styles;
use crate::ops::list::Row;
use crate::record::sanitize::sanitize_for_terminal;
use crate::record::time::millis;
use crate::record::units::shown;
use std::borrow::Cow;
use std::time::Duration;

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
    let mut widths: Vec<Option<usize>> = (0..HEADS.len())
        .map(|column| Some(rows.iter().map(|row| width(&row[column])).max().unwrap_or(0).max(HEADS[column].len())))
        .collect();
    if steps.iter().all(|step| step.expected.is_none()) {
        widths[PROGRESS] = None;
    }
    if steps.iter().all(|step| step.ended_ago_ms.is_none()) {
        widths[ENDED] = None;
    }
    for column in DISPENSABLE {
        let before_last: usize = widths[..HEADS.len() - 1].iter().flatten().map(|width| width + GAP).sum();
        if columns.is_none_or(|columns| before_last + LAST_LINE <= columns) {
            break;
        }
        widths[column] = None;
    }
    let head = line(&HEADS.map(Cow::Borrowed), &widths, columns, None);
    let body = rows.iter().zip(steps).map(|(row, step)| {
        let color = styles.enabled.then(|| (step.state, styles.state(step.outcome, step.state)));
        line(row, &widths, columns, color.as_ref().map(|(word, painted)| (*word, painted.as_str())))
    });
    std::iter::once(head).chain(body).collect()
}

/// The cells of a row: of ten thousand rows most have nothing to copy.
type Cells<'row> = [Cow<'row, str>; HEADS.len()];

fn cells(row: &Row, longest: usize) -> Cells<'_> {
    let span = |millis: Option<u64>| millis.map_or(Cow::Borrowed("-"), |millis| Cow::Owned(shown(millis)));
    let last = |line| match sanitize_for_terminal(line) {
        line if line.contains('\t') => Cow::Owned(line.replace('\t', " ")),
        line => line,
    };
    let progress =
        row.elapsed_ms.zip(row.expected).map(|(elapsed, expected)| bar(Duration::from_millis(elapsed), expected));
    let state = match &row.failure {
        Some(failure) => Cow::Owned(format!("{} ({})", row.state, sanitize_for_terminal(failure))),
        None => Cow::Borrowed(row.state),
    };
    [
        fit(&row.step, longest),
        state,
        span(row.elapsed_ms),
        row.ended_ago_ms.map_or(Cow::Borrowed("-"), |age| Cow::Owned(format!("{} ago", shown(age)))),
        progress.map_or(Cow::Borrowed("-"), Cow::Owned),
        span(row.heartbeat_age_ms),
        span(row.output_age_ms),
        span(row.cpu_time.map(millis)),
        row.pid.map_or(Cow::Borrowed("-"), |pid| Cow::Owned(pid.to_string())),
        row.last_line.as_deref().map_or(Cow::Borrowed(""), last),
    ]
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
    use crate::record::outcome::Outcome;

    fn row(step: &str, last_line: &str) -> Row {
        Row {
            step: step.to_owned(),
            outcome: Outcome::Running,
            state: "running",
            failure: None,
            ended_ago_ms: None,
            elapsed_ms: Some(12_300),
            expected: None,
            heartbeat_age_ms: Some(400),
            output_age_ms: Some(1200),
            cpu_time: Some(Duration::from_millis(700)),
            pid: Some(1_234_567),
            run_id: None,
            last_line: Some(last_line.to_owned()),
        }
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
        let rows = [Row { expected: Some(Duration::from_secs(40)), ..row(&"n".repeat(100), "compiling everything") }];
        for columns in [40, 60, 80, 100, 200] {
            let lines = table(&rows, Styles::PLAIN, Some(columns));
            let room = columns - lines[0].find("LAST").expect("the last line's head");
            assert!(room >= if columns == 40 { 5 } else { LAST_LINE }, "{columns}: {lines:#?}");
        }
    }

    #[test]
    fn how_a_step_failed_and_when_it_ended_is_shown_as_far_as_there_is_room() {
        let failed = Row {
            outcome: Outcome::Failed,
            state: "failed",
            failure: Some("137".to_owned()),
            ended_ago_ms: Some(185_000),
            ..row("b", "\u{6f22}\u{5b57} no memory")
        };
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
        let rows = [Row { expected: Some(Duration::from_secs(40)), ..row("a", "x") }, row("b", "y")];
        let lines = table(&rows, Styles::PLAIN, Some(80));
        assert!(lines[0].contains("PROGRESS") && lines[1].contains("[===>      ] of 40.0s"), "{lines:?}");
        assert!(!table(&rows, Styles::PLAIN, Some(50))[0].contains("PROGRESS"));
        assert!(!table(&rows[1..], Styles::PLAIN, Some(200))[0].contains("PROGRESS"));
    }
}
