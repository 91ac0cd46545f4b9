//! `list`: every step of a directory, once or at every change. Called by `cli::commands::list`.
//!
//! All processes are read once for all steps, and the steps are looked at on as many threads as there are processors.

use crate::error::Error;
use crate::monitor::ChangeWaiter;
use crate::ops::check::{CheckOptions, Checked, check_one};
use crate::ops::parallel::map_parallel;
use crate::ops::report::Report;
use crate::ops::{open, readers, steps_with};
use crate::record::file_names::Record;
use crate::record::step_name::StepName;
use crate::sys::clock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file;
use crate::sys::process::table::LazyProcessTable;
use crate::sys::signals::Signal;
use std::sync::Arc;
use std::time::Duration;

/// How many steps are worth a thread.
const STEPS_PER_THREAD: usize = 64;
/// How often ages are looked at anew; never so often that looking takes more than a tenth of the time.
const PACE: Duration = Duration::from_secs(1);

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What `check` says of the step.
    pub(crate) report: Report,
    /// How much CPU time the processes of a run that goes on have used.
    pub(crate) cpu_time: Option<Duration>,
    /// The log's last line.
    pub(crate) last_line: Option<String>,
}

/// The steps of a directory, by name, and a sentence for each that cannot be told of.
#[derive(Debug)]
pub(crate) struct Listing<T> {
    /// What is said of each.
    pub(crate) steps: Vec<T>,
    /// What could not be read.
    pub(crate) faults: Vec<String>,
}

/// What `check` says of every step of the directory, but for the trees of those that hang.
///
/// # Errors
/// `ErrorKind::Internal` where the directory cannot be read.
pub(crate) fn reports(request: &CheckOptions) -> Result<Listing<Report>, Error> {
    for_each_step(request, &|checked| checked.report)
}

/// A row for every step of the directory.
///
/// # Errors
/// As [`reports`].
pub(crate) fn rows(request: &CheckOptions) -> Result<Listing<Row>, Error> {
    // A row has room for one line.
    let request = &CheckOptions { log_tail: 0, ..request.clone() };
    for_each_step(request, &|Checked { report, cpu_time, .. }| {
        let last_line = report.log.as_deref().and_then(|log| file::last_line(log.as_ref()));
        Row { report, cpu_time, last_line }
    })
}

/// Checks every step that a file of the directory shows to have started.
fn for_each_step<T: Send>(request: &CheckOptions, told: &(dyn Fn(Checked) -> T + Sync)) -> Result<Listing<T>, Error> {
    let directory = open(&request.directory)?;
    let steps: Vec<StepName> = steps_with(&directory, Record::shows_start)?.into_iter().collect();

    let (reader, processes) = (readers(&directory), Arc::<LazyProcessTable>::default());
    let check = |step: &StepName| {
        let mut reader = reader(step);
        reader.use_process_table(Arc::clone(&processes));
        let checked = check_one(request, &mut reader, Some(&processes))?;
        let is_meant = request.tags.iter().all(|tag| checked.report.tags.contains(tag));
        Ok(is_meant.then(|| told(checked)))
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = steps.len().div_ceil(threads).max(STEPS_PER_THREAD);
    let checked = map_parallel(steps.chunks(share).collect(), &|part: &[StepName]| part.iter().map(check).collect());

    let mut listing = Listing { steps: Vec::with_capacity(steps.len()), faults: Vec::new() };
    let missing = || vec![Err(Error::internal("some of the steps are missing because of a bug in dogwatch"))];
    for step in checked.into_iter().flat_map(|part: Option<Vec<_>>| part.unwrap_or_else(missing)) {
        match step {
            Ok(told) => listing.steps.extend(told),
            Err(error) => listing.faults.push(error.to_string()),
        }
    }
    Ok(listing)
}

/// Has the directory shown at every change and once a second, until a signal asks to stop: which one.
///
/// # Errors
/// What `show` says.
pub(crate) fn watch(request: &CheckOptions, show: &mut dyn FnMut() -> Result<(), Error>) -> Result<Signal, Error> {
    let mut changes = ChangeWaiter::watch(&MonitorDir::at(request.directory.clone()))?;
    loop {
        let began = clock::now();
        show()?;
        let rest = PACE.max(clock::now().since(began).saturating_mul(9));
        if let Some(signal) = changes.wait(rest) {
            return Ok(signal);
        }
    }
}
