//! `list`: every step of a directory, once or at every change.
//!
//! The directory and all processes are listed once for all steps, so that ten thousand steps take a moment.

use crate::decide::snapshot::Here;
use crate::monitor::{Changes, Woken};
use crate::ops::check::{Check, Checked, Depth, check_one};
use crate::ops::parallel::meanwhile;
use crate::ops::report::Report;
use crate::ops::{Error, readable};
use crate::record::file_names::{ListedFiles, Record, file_name, split_file_name};
use crate::record::meta;
use crate::record::meta::FinishedMeta;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::time::millis;
use crate::step::snapshot::{SnapshotReader, here as here_at};
use crate::sys::clock;
use crate::sys::fs::monitor_dir::{MonitorDir, why};
use crate::sys::process::table::LazyProcessTable;
use crate::sys::signals::Signal;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How many steps are looked at before somebody else may.
const SOME: usize = 64;
/// How long a run must have gone on for a list made meanwhile to have all of its files.
const SETTLED_MS: u64 = 1_000;
/// How often ages are looked at anew; never so often that looking takes more than a tenth of the time.
const PACE: Duration = Duration::from_secs(1);

/// One row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) step: String,
    /// How it stands or ended.
    pub(crate) outcome: Outcome,
    /// The word for that: `overdue` for a run that is over its limit and still runs.
    pub(crate) state: &'static str,
    /// How long it took, or has taken so far, in milliseconds.
    pub(crate) elapsed_ms: Option<u64>,
    /// How long a run of it usually takes, where it goes on and enough runs of it are known.
    pub(crate) expected: Option<Duration>,
    /// How old the heartbeat of a run that goes on is, in milliseconds.
    pub(crate) heartbeat_age_ms: Option<u64>,
    /// How long ago the log of a run that goes on grew, in milliseconds.
    pub(crate) output_age_ms: Option<u64>,
    /// How much CPU time the processes of a run that goes on have used.
    pub(crate) cpu_time: Option<Duration>,
    /// The wrapper's process id.
    pub(crate) pid: Option<i32>,
    /// The run's unique id.
    pub(crate) run_id: Option<String>,
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
/// [`Error::Own`] where the directory cannot be read.
pub(crate) fn reports(request: &Check) -> Result<Listing<Report>, Error> {
    let crowd = Arc::default();
    each(request, &crowd, &|named| looked_at(request, named, &crowd).map(|checked| checked.report))
}

/// What `check` says of one step. Of one that runs the list says what it has not; whoever has just started or come to any
/// end meanwhile is looked at without it.
fn looked_at(request: &Check, named: &Named<'_>, crowd: &LazyProcessTable) -> Result<Checked, Error> {
    let mut looker = named.looker();
    if !named.listed.there.hold(Record::Status)
        && let Some(mut glancing) = looker.as_listed(named.listed)
    {
        let checked = check_one(request, 0, &mut glancing, Depth::Glance(crowd))?;
        let goes_on = checked.report.outcome == Outcome::Running;
        if goes_on && checked.report.elapsed_ms.is_some_and(|elapsed| elapsed > SETTLED_MS) {
            return Ok(checked);
        }
    }
    check_one(request, 0, &mut looker, Depth::Glance(crowd))
}

/// A row for every step of the directory.
///
/// # Errors
/// As [`reports`].
pub(crate) fn rows(request: &Check) -> Result<Listing<Row>, Error> {
    let crowd = Arc::default();
    // A row has room for one line.
    let request = &Check { log_tail: 0, ..request.clone() };
    each(request, &crowd, &|named| {
        if let Some(row) = recorded(named) {
            return Ok(row);
        }
        let Checked { report, cpu_time, .. } = looked_at(request, named, &crowd)?;
        let goes_on = report.outcome == Outcome::Running;
        Ok(Row {
            state: report.state_word(),
            step: report.step,
            outcome: report.outcome,
            elapsed_ms: report.elapsed_ms,
            expected: None,
            heartbeat_age_ms: report.heartbeat_age_ms.filter(|_| goes_on),
            output_age_ms: report.output_age_ms.filter(|_| goes_on),
            cpu_time,
            pid: report.pid,
            run_id: report.run_id,
            last_line: report.log.and_then(|_there| named.last_line()),
        })
    })
}

/// The row of a run whose end stands in its meta: with a status beside it that is the outcome for everybody, and nothing
/// else has to be read.
fn recorded(named: &Named<'_>) -> Option<Row> {
    let Named { step, listed, directory, .. } = *named;
    if !listed.shows_end() {
        return None;
    }
    let meta = FinishedMeta::parse(&directory.read_listed(&file_name(step, Record::Meta), meta::LONGEST).ok()?)?;
    // To the nanosecond the pid file's time says whose it is; the number in it can be taken for granted then.
    let pid = directory.stat(&file_name(step, Record::Pid)).ok()?.stamp()?;
    if meta.pid_mtime_ns != pid.modified.as_nanos() {
        return None;
    }
    Some(Row {
        step: step.as_str().to_owned(),
        outcome: meta.reason.outcome(),
        state: meta.reason.outcome().as_str(),
        elapsed_ms: meta.took().map(millis),
        expected: None,
        heartbeat_age_ms: None,
        output_age_ms: None,
        cpu_time: None,
        pid: Some(meta.pid),
        run_id: Some(meta.run_id),
        last_line: named.last_line(),
    })
}

/// A step that the list of the directory names.
struct Named<'list> {
    step: &'list StepName,
    listed: ListedFiles,
    directory: &'list Arc<MonitorDir>,
    here: &'list Arc<Here>,
    crowd: &'list Arc<LazyProcessTable>,
}

impl Named<'_> {
    fn looker(&self) -> SnapshotReader {
        let mut looker = SnapshotReader::new(Arc::clone(self.directory), self.step.clone(), Arc::clone(self.here));
        looker.share(Arc::clone(self.crowd));
        looker
    }

    /// The last line of its log; nothing where there is none.
    fn last_line(&self) -> Option<String> {
        self.directory.last_line(&file_name(self.step, Record::Log), self.listed.regular.hold(Record::Log))
    }
}

/// Looks at each step, on as many threads as there are processors. A step that has a status is looked at while the list is
/// still read; what another one lacks is known only at the list's end.
fn each<T: Send>(
    request: &Check,
    crowd: &Arc<LazyProcessTable>,
    look: &(dyn Fn(&Named<'_>) -> Result<T, Error> + Sync),
) -> Result<Listing<T>, Error> {
    let directory = Arc::new(MonitorDir::at(request.directory.clone()));
    readable(&directory)?;
    let (here, said) = (OnceLock::new(), Mutex::new(Vec::new()));
    let look_at_some = |some: Vec<(StepName, ListedFiles)>| {
        let here = here.get_or_init(|| Arc::new(here_at(&directory)));
        let looked = some.into_iter().map(|(step, listed)| {
            let said = look(&Named { step: &step, listed, directory: &directory, here, crowd });
            (step, said)
        });
        let looked: Vec<(StepName, Result<T, Error>)> = looked.collect();
        said.lock().unwrap_or_else(PoisonError::into_inner).extend(looked);
    };
    let others = || std::thread::available_parallelism().map_or(0, |processors| usize::from(processors) - 1);
    let (listed, faults) = meanwhile(&others, |give| name_each(&directory, give), &look_at_some);
    listed.map_err(|error| Error::Own(format!("cannot list {}: {}", directory.path().display(), why(&error))))?;
    let mut said = said.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut listing = Listing { steps: Vec::with_capacity(said.len()), faults: Vec::new() };
    if faults > 0 {
        listing.faults.push("some of the steps are missing for a fault in dogwatch".to_owned());
    }
    said.sort_unstable_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    for (_, said) in said {
        match said {
            Ok(said) => listing.steps.push(said),
            Err(error) => listing.faults.push(error.to_string()),
        }
    }
    Ok(listing)
}

/// Gives out the steps that the directory's list names, some at a time, each as soon as enough is known of it.
fn name_each(directory: &MonitorDir, give: &mut dyn FnMut(Vec<(StepName, ListedFiles)>)) -> io::Result<()> {
    let mut some = Vec::with_capacity(SOME);
    let mut ready = |name: &str, listed: ListedFiles| {
        let Ok(step) = StepName::parse(name) else { return };
        some.push((step, listed));
        if some.len() == SOME {
            give(std::mem::replace(&mut some, Vec::with_capacity(SOME)));
        }
    };
    let mut found: HashMap<Box<str>, ListedFiles> = HashMap::new();
    directory.each_name(&mut |name, is_regular| {
        let Some((step, record)) = split_file_name(name) else { return };
        let listed = match found.get_mut(step) {
            Some(known) => known,
            None => found.entry(step.into()).or_default(),
        };
        let given = listed.shows_end();
        listed.there = listed.there.and(record);
        if is_regular {
            listed.regular = listed.regular.and(record);
        }
        // Nothing more is believed of the list for one that has ended.
        if !given && listed.shows_end() {
            ready(step, *listed);
        }
    })?;
    for (name, listed) in found.iter().filter(|(_, listed)| !listed.shows_end() && listed.there.show_start()) {
        ready(name, *listed);
    }
    if !some.is_empty() {
        give(some);
    }
    Ok(())
}

/// Has the directory shown at every change and once a second, until a signal asks to stop: which one.
///
/// # Errors
/// What `show` says.
pub(crate) fn watch(request: &Check, show: &mut dyn FnMut() -> Result<(), Error>) -> Result<Signal, Error> {
    let mut changes = Changes::watch(&MonitorDir::at(request.directory.clone()))?;
    loop {
        let began = clock::now();
        show()?;
        let rest = PACE.max(clock::now().since(began).saturating_mul(9));
        if let Woken::Interrupted(signal) = changes.rest(rest) {
            return Ok(signal);
        }
    }
}
