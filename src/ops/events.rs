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
    event: EventKind,
    step: String,
    run_id: Option<String>,
    time: Option<String>,
    outcome: Option<Outcome>,
    exit_code: Option<i32>,
    signal: Option<String>,
    elapsed_ms: Option<u64>,
    tags: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum EventKind {
    #[default]
    Start,
    End,
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
}

impl KnownRuns {
    /// Reads all steps; the events since the last call. The first call takes whatever stands there for known.
    fn read(&mut self, request: &CheckOptions, directory: &MonitorDir, first: bool) -> Result<Vec<RunEvent>, Error> {
        let mut events = Vec::new();
        for report in reports(request)?.steps {
            if !request.steps.is_empty() && request.steps.iter().all(|step| step.as_str() != report.step) {
                continue;
            }
            let Ok(step) = StepName::parse(&report.step) else { continue };
            for entry in history::read(directory, &step) {
                // A plain shell's run is known by what stands there; its line in the history came later.
                if report.run_id.is_some() || first {
                    self.add_ended_run(&report, &entry, &mut events);
                }
            }
            self.add_present_run(&report, &mut events);
        }
        Ok(if first { Vec::new() } else { events })
    }

    fn add_ended_run(&mut self, report: &Report, entry: &HistoryEntry, events: &mut Vec<RunEvent>) {
        let is_present = report.run_id.as_ref() == Some(&entry.run_id);
        let event = |kind| RunEvent {
            run_id: Some(entry.run_id.clone()),
            time: entry.started_at.clone(),
            tags: if is_present { report.tags.clone() } else { Vec::new() },
            ..RunEvent::new(kind, &report.step)
        };
        let run = (report.step.clone(), entry.run_id.clone());
        if self.started.insert(run.clone()) {
            events.push(event(EventKind::Start));
        }
        if self.ended.insert(run) {
            events.push(RunEvent {
                // The report may be of a later run, or be older than the entry.
                time: report.ended_at.clone().filter(|_| is_present).or_else(|| entry.ended_at()),
                outcome: Some(entry.outcome),
                exit_code: entry.exit_code,
                signal: entry.signal.clone(),
                elapsed_ms: entry.elapsed_ms,
                ..event(EventKind::End)
            });
        }
    }

    fn add_present_run(&mut self, report: &Report, events: &mut Vec<RunEvent>) {
        let is_over = report.outcome.is_end() && !report.still_runs;
        if report.run_id.is_none() && report.pid.is_none() && !is_over {
            // `run` has taken the step's lock and has not published its pid: the next look knows which run it is.
            return;
        }
        // A plain shell's run has no id: its pid and when that was written, or when it said how it ended.
        let plain = || match report.pid {
            Some(pid) => format!("{pid} {:?}", report.started_at),
            None => format!("{:?}", report.ended_at),
        };
        let run = (report.step.clone(), report.run_id.clone().unwrap_or_else(plain));
        let event = |kind| RunEvent {
            run_id: report.run_id.clone(),
            time: report.started_at.clone(),
            tags: report.tags.clone(),
            ..RunEvent::new(kind, &report.step)
        };
        if self.started.insert(run.clone()) {
            events.push(event(EventKind::Start));
        }
        if is_over && self.ended.insert(run) {
            events.push(RunEvent {
                time: report.ended_at.clone(),
                outcome: Some(report.outcome),
                exit_code: report.exit_code,
                signal: report.signal.clone(),
                elapsed_ms: report.elapsed_ms,
                ..event(EventKind::End)
            });
        }
    }
}

impl RunEvent {
    fn new(event: EventKind, step: &str) -> Self {
        Self { schema: SCHEMA, event, step: step.to_owned(), ..Self::default() }
    }
}
