//! `events`: each start and each end of a run, as it comes. Directory events and a look once a second say when to read the
//! steps; runs that came and went between two looks are in the steps' histories.

use crate::error::Error;
use crate::monitor::ChangeWaiter;
use crate::ops::check::CheckOptions;
use crate::ops::list::reports;
use crate::ops::report::Report;
use crate::record::SCHEMA;
use crate::record::history::HistoryEntry;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use crate::step::history;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::signals::Signal;
use serde::Serialize;
use std::collections::HashSet;
use std::time::Duration;

/// How often the steps are read where no event comes: a death writes no file.
const INTERVAL: Duration = Duration::from_secs(1);

/// A start or an end. As JSON it is one object with these keys; absent facts are null.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct RunEvent {
    schema: u64,
    /// `start` or `end`.
    event: &'static str,
    step: String,
    run_id: Option<String>,
    time: Option<String>,
    outcome: Option<Outcome>,
    exit_code: Option<i32>,
    signal: Option<String>,
    elapsed_ms: Option<u64>,
    tags: Vec<String>,
}

/// Reports each start and end until `until`, a signal, or a reader that is gone: then `tell` returns false. The signal.
///
/// # Errors
/// An internal error where the directory cannot be watched or read.
pub(crate) fn events(
    request: &CheckOptions,
    until: Option<MonotonicTime>,
    tell: &mut dyn FnMut(&RunEvent) -> bool,
) -> Result<Option<Signal>, Error> {
    let directory = MonitorDir::at(request.directory.clone());
    let mut changes = ChangeWaiter::watch(&directory)?;
    let mut known = KnownRuns::default();
    // What stands there before the call is no event.
    known.read(request, &directory, true)?;
    loop {
        for event in known.read(request, &directory, false)? {
            if !tell(&event) {
                return Ok(None);
            }
        }
        let now = clock::now();
        let left = until.map_or(INTERVAL, |until| until.since(now));
        if left.is_zero() {
            return Ok(None);
        }
        if let Some(signal) = changes.wait(left.min(INTERVAL)) {
            return Ok(Some(signal));
        }
    }
}

/// The runs whose start and end were seen, each by its step and its id.
#[derive(Debug, Default)]
struct KnownRuns {
    started: HashSet<(String, String)>,
    ended: HashSet<(String, String)>,
    /// The events since the last call.
    new: Vec<RunEvent>,
}

impl KnownRuns {
    /// Reads all steps; the events since the last call. The first call knows of no earlier one.
    fn read(&mut self, request: &CheckOptions, directory: &MonitorDir, first: bool) -> Result<Vec<RunEvent>, Error> {
        for report in reports(request)?.steps {
            if !request.steps.is_empty() && request.steps.iter().all(|step| step.as_str() != report.step) {
                continue;
            }
            let Ok(step) = StepName::parse(&report.step) else { continue };
            for entry in history::read(directory, &step) {
                // A plain shell's run is known by what stands there; its line in the history came later.
                if report.run_id.is_some() || first {
                    self.add(ended_run(&report, entry));
                }
            }
            self.add(report);
        }
        Ok(std::mem::take(&mut self.new))
    }

    /// Adds the start of a run, and its end where it is over, each the first time that it is seen.
    fn add(&mut self, report: Report) {
        let is_over = report.outcome.is_end() && !report.still_runs;
        // A plain shell's run has no id: its pid and when that was written, or when it said how it ended.
        let id = match (&report.run_id, report.pid) {
            (Some(id), _) => id.clone(),
            (None, Some(pid)) => format!("{pid} {:?}", report.started_at),
            (None, None) if is_over => format!("{:?}", report.ended_at),
            // `run` has taken the step's lock and has not published its pid: the next look knows which run it is.
            (None, None) => return,
        };
        let event = |event, time| RunEvent {
            schema: SCHEMA,
            event,
            step: report.step.clone(),
            run_id: report.run_id.clone(),
            time,
            tags: report.tags.clone(),
            ..RunEvent::default()
        };
        let run = (report.step.clone(), id);
        if self.started.insert(run.clone()) {
            self.new.push(event("start", report.started_at));
        }
        if is_over && self.ended.insert(run) {
            self.new.push(RunEvent {
                outcome: Some(report.outcome),
                exit_code: report.exit_code,
                signal: report.signal,
                elapsed_ms: report.elapsed_ms,
                ..event("end", report.ended_at)
            });
        }
    }
}

/// What the report of a run was that its step's history tells of; `report` says what the step's files say now.
fn ended_run(report: &Report, entry: HistoryEntry) -> Report {
    let is_present = report.run_id.as_ref() == Some(&entry.run_id);
    Report {
        // The report may be of a later run, or be older than the entry.
        ended_at: report.ended_at.clone().filter(|_| is_present).or_else(|| entry.ended_at()),
        tags: if is_present { report.tags.clone() } else { Vec::new() },
        run_id: Some(entry.run_id),
        started_at: entry.started_at,
        outcome: entry.outcome,
        exit_code: entry.exit_code,
        signal: entry.signal,
        elapsed_ms: entry.elapsed_ms,
        still_runs: false,
        ..report.clone()
    }
}
