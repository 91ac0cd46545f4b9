//! One consistent look at a step's files and process.
//!
//! The order closes three races, and refuses every shorter one: the clock is read first (I3); liveness comes before the
//! status, so that "dead" and *then* no status means died (I4); and the pid file is looked at first and last, because a
//! new run withdraws it before it touches anything else and publishes it after everything else: where it is the same at
//! both ends, all that was read between is of one run.

use crate::decide::liveness::has_published_its_end;
use crate::decide::policy::{HEARTBEAT_INTERVAL, Policy, SettleTimes};
use crate::decide::snapshot::{LocalContext, Process, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Assessment, Verdict, is_starting};
use crate::decide::warning::out_of_reach;
use crate::error::Error;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::{FileId, FileStamp, FileState, LockState};
use crate::record::meta;
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::Reason;
use crate::record::pid::{self, ParsedPid};
use crate::record::result::{self, ParsedResult};
use crate::record::status::{self, ParsedStatus, StatusWord};
use crate::record::step_name::StepName;
use crate::record::time::WallTime;
use crate::sys::fs::lock::{self, Lock};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::platform::{fs_type, machine, process};
use crate::sys::process::table::LazyProcessTable;
use crate::sys::process::{Lookup, ProcessInfo};
use crate::sys::{clock, env};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often a step is looked at until it stands still.
const SETTLING: Duration = Duration::from_millis(5);

/// How often a look that was overtaken by a new run is taken again before it has to do.
const ATTEMPTS: usize = 8;

/// Where this process stands, for the looks at one directory.
pub(crate) fn local_context(directory: &MonitorDir) -> LocalContext {
    // Of a directory that is not there yet the nearest ancestor tells: it will come into being there.
    let found = directory.path().ancestors().find_map(|folder| fs_type::look(folder).ok());
    let local_filesystem = found.is_some_and(|found| found.local);
    directory.note_far(!local_filesystem);
    LocalContext {
        host: env::host(),
        boot_id: env::boot_id().unwrap_or_default(),
        pid_namespace: machine::pid_namespace(),
        time_namespace: machine::time_namespace(),
        directory: directory.id(),
        local_filesystem,
    }
}

/// Looks at one step again and again.
#[derive(Debug)]
pub(crate) struct SnapshotReader {
    directory: Arc<MonitorDir>,
    /// The directory that its run works in, held open, and which it is.
    pinned: Option<(Arc<MonitorDir>, FileId)>,
    step: StepName,
    here: Arc<LocalContext>,
    /// The meta record as last read: it is long, and changes twice in a run.
    meta: Option<(FileStamp, Arc<ParsedMeta>)>,
    /// Whether every look tells of the result that stands there.
    keeps_result: bool,
    /// The step's lock file, where this process holds it: whichever process held the same one before is gone.
    holding: Option<FileId>,
    /// The pid that the last snapshot with one had.
    named: Option<i32>,
    /// Whether the pid of this stamp was found in another namespace: a scan of all processes, done once.
    elsewhere: Option<(FileStamp, bool)>,
    /// All processes, where one look at them does for many steps.
    process_table: Option<Arc<LazyProcessTable>>,
}

impl SnapshotReader {
    /// Prepares to look at a step.
    pub(crate) fn new(directory: Arc<MonitorDir>, step: StepName, here: Arc<LocalContext>) -> Self {
        Self {
            directory,
            pinned: None,
            step,
            here,
            meta: None,
            keeps_result: false,
            holding: None,
            named: None,
            elsewhere: None,
            process_table: None,
        }
    }

    fn name(&self, record: Record) -> String {
        file_name(&self.step, record)
    }

    /// The step's name.
    pub(crate) fn step(&self) -> &StepName {
        &self.step
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Arc<MonitorDir> {
        &self.directory
    }

    /// From now on looks from here: the directory came into being, or its filesystem changed.
    pub(crate) fn set_context(&mut self, here: Arc<LocalContext>) {
        self.here = here;
        self.follow_directory();
    }

    /// From now on reads the directory that is at its path now, also where another is there later, or none: a living run of
    /// `run` writes its end into the directory that it holds open.
    pub(crate) fn pin_directory(&mut self) {
        if self.pinned.is_none() && self.here.local_filesystem {
            let pinned = self.directory.pinned().zip(self.here.directory);
            self.pinned = pinned.filter(|(pinned, id)| pinned.id() == Some(*id));
        }
    }

    /// Goes on with the pinned directory where its path does not lead there any more. One that was removed gets no end.
    fn follow_directory(&mut self) {
        let Some((pinned, id)) = &self.pinned else { return };
        let leads_there = self.here.directory == Some(*id) && self.directory.id() == Some(*id);
        if !leads_there && !pinned.is_removed() {
            self.directory = Arc::clone(pinned);
            self.here = Arc::new(LocalContext { directory: Some(*id), ..(*self.here).clone() });
        }
    }

    /// From now on shares one look at all processes with other readers, for one look at each of many steps.
    pub(crate) fn use_process_table(&mut self, process_table: Arc<LazyProcessTable>) {
        self.process_table = Some(process_table);
    }

    /// From now on tells of the result that stands there whatever the status says.
    pub(crate) fn always_stat_result(&mut self) {
        self.keeps_result = true;
    }

    /// From now on takes the step's lock for free: this process holds it, so a run that recorded the same file does not.
    pub(crate) fn assume_lock_held(&mut self, lock: &Lock) {
        self.holding = Some(lock.id());
    }

    /// Reads the step once.
    ///
    /// # Errors
    /// What the kernel could not say this time; the next read may be able to.
    pub(crate) fn read(&mut self) -> io::Result<Snapshot> {
        for _ in 1..ATTEMPTS {
            if let (snapshot, false) = self.attempt()? {
                return Ok(snapshot);
            }
        }
        self.attempt().map(|(snapshot, _)| snapshot)
    }

    /// Reads the step once more.
    ///
    /// # Errors
    /// As [`read`](Self::read), with the step's name.
    pub(crate) fn read_again(&mut self) -> Result<Snapshot, Error> {
        self.read().map_err(|error| Error::io(format!("cannot look at {} again", self.step), error))
    }

    /// Judges a step, once it stands still, by its files and process alone: no threshold applies. A run that is just starting
    /// has started by then, and one whose process is gone has had its time to say how it ended.
    ///
    /// # Errors
    /// A sentence: it cannot be read, or a newer program wrote its record.
    pub(crate) fn assess_settled(&mut self) -> Result<Assessment, Error> {
        let mut tracker = RunTracker::default();
        loop {
            let snapshot = self.read().map_err(|error| {
                Error::io(format!("cannot look at {} in {}", self.step, self.directory.path().display()), error)
            })?;
            snapshot.refuse_unreadable(&self.step)?;
            let observation = tracker.observe(&snapshot);
            let mut policy = Policy::without_limits(snapshot.at);
            // A run that held the lock says how it ended before it lets go of it; a plain shell does so after its process's end.
            if !snapshot.run_meta().is_some_and(|meta| meta.locked) {
                policy.settle.death = SettleTimes::CONTRACT.death;
            }
            let at = snapshot.at;
            let is_starting = is_starting(observation.liveness, at);
            let assessment = Assessment::of(snapshot, observation, policy);
            if !is_starting && !matches!(assessment.verdict, Verdict::Pending { .. }) {
                return Ok(assessment);
            }
            clock::sleep_until(at.plus(SETTLING));
        }
    }

    /// Whether the files stand as a look has shown them, as far as cheap questions tell: the pid, the record and the status
    /// were not replaced or written since, and no first heartbeat came. Of a far filesystem that is never certain.
    pub(crate) fn is_unchanged(&self, snapshot: &Snapshot) -> bool {
        let same = |record, known: Option<FileStamp>| {
            self.directory.stat(&self.name(record)).is_ok_and(|file| match file {
                FileState::Present { stamp, .. } => known == Some(stamp),
                FileState::Missing => known.is_none(),
                FileState::Invalid(_) => false,
            })
        };
        self.here.local_filesystem
            && same(Record::Status, snapshot.status.stamp())
            && same(Record::Pid, snapshot.pid.stamp())
            && same(Record::Meta, snapshot.meta.stamp())
            // One that was there is read when its age is due.
            && (snapshot.heartbeat.is_there() || same(Record::Heartbeat, None))
    }

    /// One pass over the files; with whether the pid file changed meanwhile.
    fn attempt(&mut self) -> io::Result<(Snapshot, bool)> {
        let at = clock::now();
        let wall = clock::wall();
        self.follow_directory();
        self.directory.refresh();
        let pid = self.directory.read(&self.name(Record::Pid), pid::LONGEST)?.map(|bytes| ParsedPid::parse(&bytes));
        let meta = self.read_meta()?;
        let mut snapshot = Snapshot { pid, meta, ..Snapshot::empty(at, wall, clock::slept(), Arc::clone(&self.here)) };
        if snapshot.pid.is_there() {
            self.read_file_clock(&mut snapshot);
        }
        // A run that has recorded its end publishes its status last: with that there too, no process need be looked for.
        let has_recorded = snapshot.run_meta().is_some_and(|meta| meta.reason.is_some());
        if has_recorded {
            snapshot.status = self.read_status()?;
        }
        if !snapshot.run_meta().is_some_and(|meta| has_published_its_end(&snapshot, meta)) {
            self.look_for_life(&mut snapshot);
            snapshot.status = self.read_status()?;
        }
        let word = snapshot.status.content().and_then(ParsedStatus::word);
        if word.is_some() {
            // The reason was published before the status: read again, it is there.
            snapshot.meta = self.read_meta()?;
        }
        // Where the status says neither word, or cannot be read, the record tells. A run of `run` has removed the result of the
        // run before it, so what stands there is its own also where it failed.
        let recorded = |meta: &Meta| meta.reason == Some(Reason::Success) || meta.locked && meta.reason.is_some();
        let has_ended = snapshot.status.is_there() && snapshot.run_meta().is_some_and(recorded);
        if word == Some(StatusWord::Success) || has_ended {
            let read = self.directory.read(&self.name(Record::Result), result::LONGEST)?;
            snapshot.result = read.map(|bytes| ParsedResult::parse(&bytes));
            reject_oversize(&mut snapshot.result);
        }
        if self.keeps_result {
            snapshot.standing_result = self.directory.stat(&self.name(Record::Result))?.stamp();
        }
        snapshot.heartbeat = self.directory.stat(&self.name(Record::Heartbeat))?;
        if snapshot.heartbeat.is_there() {
            self.read_file_clock(&mut snapshot);
            snapshot.is_stopped = has_stopped_wrapper(&snapshot);
        }
        let again = self.directory.stat(&self.name(Record::Pid))?;
        let overtaken = again.stamp() != snapshot.pid.stamp();
        Ok((snapshot, overtaken))
    }

    fn read_status(&self) -> io::Result<FileState<ParsedStatus>> {
        Ok(self.directory.read(&self.name(Record::Status), status::LONGEST)?.map(|bytes| ParsedStatus::parse(&bytes)))
    }

    /// What the files' own clock reads at this look. Asked only where their age may decide something.
    fn read_file_clock(&self, snapshot: &mut Snapshot) {
        // Where it cannot be read it is taken to be this machine's.
        snapshot.file_wall = snapshot.wall.shifted(self.directory.clock_ahead().unwrap_or(0));
    }

    fn look_for_life(&mut self, snapshot: &mut Snapshot) {
        let key = snapshot.pid_file_id();
        let locked = snapshot.run_meta().is_some_and(|meta| meta.locked);
        // With no pid a held lock says that a run is starting; with one it counts only for the run that took it.
        (snapshot.lock, snapshot.lock_file) = if self.holding.is_some() {
            (LockState::Free, self.holding)
        } else if locked || key.is_none() {
            lock::probe(&self.directory.file(&self.name(Record::Lock)))
        } else {
            (LockState::Unknown, None)
        };
        match key {
            Some(key) => self.named = Some(key.pid),
            None => snapshot.followed = self.followed_process(snapshot.file_wall),
        }
        let meta = snapshot.possible_meta().filter(|meta| meta.locked);
        let own_lock = meta.is_some_and(|meta| meta.is_lock(snapshot.lock_file));
        if key.is_some() && own_lock && snapshot.lock == LockState::Held {
            return;
        }
        // Where the pid file was removed the record still says which process the run's is.
        let claimed = key.map(|key| key.pid).or_else(|| meta.and_then(|meta| meta.pid));
        let Some(pid) = claimed.filter(|_| key.is_some() || !snapshot.has_pid()) else { return };
        // A run that recorded this namespace bears its number here and nowhere else.
        let in_this_namespace =
            meta.is_some_and(|meta| meta.pid_namespace.is_some() && meta.pid_namespace == self.here.pid_namespace);
        snapshot.process = present_process(process::look(pid), snapshot.file_wall).unwrap_or_else(|| {
            let stamp = snapshot.pid.stamp().filter(|_| !in_this_namespace);
            Process::Gone { borne_elsewhere: stamp.is_some_and(|stamp| self.borne_elsewhere(pid, stamp)) }
        });
    }

    /// The process that the last pid file named, for a run whose files, or whose whole directory, went away.
    pub(crate) fn followed_process(&self, file_wall: WallTime) -> Process {
        let Some(pid) = self.named else { return Process::NotAsked };
        // Seen here before, so its absence here means that it has ended.
        present_process(process::look(pid), file_wall).unwrap_or(Process::Gone { borne_elsewhere: false })
    }

    fn borne_elsewhere(&mut self, pid: i32, stamp: FileStamp) -> bool {
        match self.elsewhere {
            Some((known, answer)) if known == stamp => answer,
            _ => {
                let answer = match &self.process_table {
                    Some(process_table) => process_table.bears_elsewhere(pid),
                    None => process::borne_elsewhere().contains(&pid),
                };
                self.elsewhere = Some((stamp, answer));
                answer
            }
        }
    }

    fn read_meta(&mut self) -> io::Result<FileState<Arc<ParsedMeta>>> {
        if let Some((known, text)) = &self.meta
            && let FileState::Present { stamp, .. } = self.directory.stat(&self.name(Record::Meta))?
            && stamp == *known
        {
            return Ok(FileState::Present { stamp, content: Arc::clone(text) });
        }
        let read = self.directory.read(&self.name(Record::Meta), meta::LONGEST)?;
        let read = read.map(|bytes| Arc::new(ParsedMeta::parse(&bytes)));
        if let FileState::Present { stamp, content } = &read {
            self.meta = Some((*stamp, Arc::clone(content)));
        }
        Ok(read)
    }
}

/// A process that is not gone; its start on the files' clock, because it is compared with their times.
fn present_process(found: Lookup, file_wall: WallTime) -> Option<Process> {
    match found {
        Lookup::Found(ProcessInfo { started, .. }) => {
            let started_wall = process::started_wall(started, file_wall, clock::with_sleep());
            Some(Process::Running { started, started_wall })
        }
        Lookup::NotFound => None,
        Lookup::Hidden => Some(Process::Hidden),
    }
}

/// Whether the wrapper of the run is stopped. Asked only where its heartbeat is late: most looks find it fresh, and the
/// kernel need not be asked about each of ten thousand processes.
fn has_stopped_wrapper(snapshot: &Snapshot) -> bool {
    let (Some(beat), Some(meta)) = (snapshot.heartbeat.stamp(), snapshot.run_meta()) else {
        return false;
    };
    let late = meta.heartbeat_interval().unwrap_or(HEARTBEAT_INTERVAL);
    let is_here = meta.locked && meta.reason.is_none() && out_of_reach(snapshot).is_none();
    is_here
        && snapshot.file_wall.since(beat.modified) > late
        && meta.pid.is_some_and(|pid| match process::look(pid) {
            Lookup::Found(entry) => entry.stopped && meta.pid_started_at == Some(entry.started),
            Lookup::NotFound | Lookup::Hidden => false,
        })
}

fn reject_oversize(file: &mut FileState<ParsedResult>) {
    if let FileState::Present { stamp, content } = file
        && stamp.size > result::LONGEST as u64
    {
        *content = ParsedResult::Unfinished(format!(
            "the result is longer than {} MiB and was not read",
            result::LONGEST >> 20
        ));
    }
}
