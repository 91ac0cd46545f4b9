//! `dogwatch list`.

use super::tags::TagArgs;
use super::{Args, Context, Error, Subcommand};
use crate::cli::output::columns::fit;
use crate::cli::output::print_error;
use crate::cli::output::table::table;
use crate::exit_code::{ExitCode, of_signal};
use crate::ops::check::CheckOptions;
use crate::ops::list::{Listing, Row, reports, rows, watch};
use crate::ops::report::Report;
use crate::ops::select::{MeantSteps, none};
use crate::record::outcome::Outcome;
use crate::record::sanitize::sanitize_for_terminal;
use crate::sys::terminal::{self, Size, can_erase};
use std::collections::HashMap;
use std::io::{IsTerminal, stdout};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Draw the table again at every change, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    tags: TagArgs,
}

impl Subcommand for ListArgs {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "List the steps: state, exit code, times, heartbeat age, pid, last log line";
    const EXAMPLES: &'static [&'static str] = &["dogwatch list --watch"];
    const NOTES: &'static str = "With --json one object a step, as `check --json` has it but for what its processes \
        do; with --watch one for each step that has changed.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::InternalError, ExitCode::Interrupted];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let out = &context.out;
        let request = self.tags.request(context)?.log_tail(1);
        let mut screen = Screen { request: &request, context, is_watched: self.watch, shown: None, size: None };
        if !self.watch {
            screen.show()?;
            return Ok(ExitCode::Success.code());
        }
        let signal = watch(&request, &mut || screen.show())?;
        if !out.json && stdout().is_terminal() {
            // The terminal has echoed ^C where the prompt will be.
            out.print(b"\n");
        }
        Ok(of_signal(signal as i32))
    }
}

/// A listing that is shown once, or again and again.
struct Screen<'call> {
    request: &'call CheckOptions,
    context: &'call Context,
    is_watched: bool,
    /// What was last shown of each step, ages left out; none before the first time.
    shown: Option<HashMap<String, ShownState>>,
    /// The size of the terminal when it was last drawn on.
    size: Option<Size>,
}

type ShownState = (Outcome, Option<String>, Option<i32>);

fn state(report: &Report) -> (String, ShownState) {
    (report.step.clone(), (report.outcome, report.run_id.clone(), report.pid))
}

impl Screen<'_> {
    fn show(&mut self) -> Result<(), Error> {
        let out = &self.context.out;
        let (now, faults) = if out.json {
            let Listing { steps, faults } = reports(self.request)?;
            let now: HashMap<String, ShownState> = steps.iter().map(state).collect();
            let before = |step: &str| self.shown.as_ref()?.get(step);
            for report in steps.iter().filter(|report| before(&report.step) != now.get(&report.step)) {
                out.print_json(report);
            }
            (now, faults)
        } else {
            let Listing { steps, faults } = rows(self.request)?;
            let now = steps.iter().map(|row| state(&row.report)).collect();
            let size = terminal::size(stdout());
            if let Some(size) = size.filter(|_| self.is_watched && can_erase(&stdout())) {
                self.draw(&steps, size);
            } else if self.shown.as_ref() != Some(&now) && !steps.is_empty() {
                let columns = size.filter(|_| !self.is_watched).map(|size| size.columns);
                // A table a change, an empty line between two.
                let gap = self.is_watched.then(String::new);
                let lines = table(&steps, out.styles, columns).into_iter().chain(gap);
                out.print(lines.flat_map(|line| [line, "\n".to_owned()]).collect::<String>().as_bytes());
            }
            (now, faults)
        };
        if self.shown.as_ref() != Some(&now) {
            for fault in &faults {
                print_error(fault);
            }
        }
        if !self.is_watched && now.is_empty() && faults.is_empty() && !out.quiet {
            print_error(&none(self.request, MeantSteps::All, "no step", 0));
        }
        self.shown = Some(now);
        Ok(())
    }

    /// Draws over what was drawn before: the cursor goes home, and each line is cleared before it is written.
    fn draw(&mut self, rows: &[Row], size: Size) {
        let room = size.rows.saturating_sub(2).max(1);
        let mut lines = if rows.is_empty() {
            let sentence = none(self.request, MeantSteps::All, "no step", 0);
            vec![fit(&sanitize_for_terminal(&sentence), size.columns).into_owned()]
        } else if rows.len() <= room {
            table(rows, self.context.out.styles, Some(size.columns))
        } else {
            // Those that go on are what is watched.
            let (running, over): (Vec<&Row>, Vec<&Row>) =
                rows.iter().partition(|row| row.report.outcome == Outcome::Running);
            let first: Vec<Row> = running.into_iter().chain(over).take(room - 1).cloned().collect();
            table(&first, self.context.out.styles, Some(size.columns))
        };
        if rows.len() > room {
            lines.push(format!("and {} more", rows.len() + 1 - room));
        }
        // A terminal that was resized has moved and wrapped what it showed.
        let home = if self.size == Some(size) { "\u{1b}[H" } else { "\u{1b}[H\u{1b}[2J" };
        let body: String = lines.iter().flat_map(|line| ["\u{1b}[K", line.as_str(), "\n"]).collect();
        self.context.out.print(format!("{home}{body}\u{1b}[J").as_bytes());
        self.size = Some(size);
    }
}
