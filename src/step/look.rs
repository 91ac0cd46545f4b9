//! One consistent look at a step's files and process.
//!
//! The order closes three races, and refuses every shorter one: the clock is read first (I3); liveness comes before the
//! status, so that "dead" and *then* no status means died (I4); and the pid file is looked at first and last, because a
//! new run withdraws it before it touches anything else and publishes it after everything else: where it is the same at
//! both ends, all that was read between is of one run.

use crate::decide::history::{History, meta_of, run_key};
use crate::decide::judge::SETTLE_START;
use crate::decide::observation::{Here, Liveness, Look, Observation, Process, Status};
use crate::decide::policy::Settle;
use crate::os::census::Crowd;
use crate::os::directory::{Directory, why};
use crate::os::platform::{locality, machine, process};
use crate::os::process::Lookup;
use crate::os::{clock, environment, lock};
use crate::protocol::file::{File, Hold, Stamp};
use crate::protocol::layout::{Listed, Record, file_name};
use crate::protocol::meta::MetaText;
use crate::protocol::pid::{self, PidText};
use crate::protocol::result::{self, ResultText};
use crate::protocol::status::{self, StatusText, Word};
use crate::protocol::step::StepName;
use crate::protocol::{SCHEMA, meta};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often a look that was overtaken by a new run is taken again before it has to do.
const ATTEMPTS: usize = 8;

/// How often a step is looked at until it stands still.
const SETTLING: Duration = Duration::from_millis(5);

/// Where this process stands, for the looks at one directory.
pub(crate) fn here(directory: &Directory) -> Here {
    // Of a directory that is not there yet the nearest ancestor tells: it will come into being there.
    let found = directory.path().ancestors().find_map(|folder| locality::look(folder).ok());
    let local_filesystem = found.is_some_and(|found| found.local);
    directory.note_far(!local_filesystem);
    Here {
        host: environment::host(),
        boot_id: environment::boot_id(),
        pid_namespace: machine::pid_namespace(),
        local_filesystem,
    }
}

/// Looks at one step again and again.
#[derive(Debug)]
pub(crate) struct Looker {
    directory: Arc<Directory>,
    step: StepName,
    names: Names,
    here: Arc<Here>,
    /// The meta record as last read: it is long, and changes twice in a run.
    meta: Option<(Stamp, Arc<MetaText>)>,
    /// Whether every look tells of the result that stands there.
    keeps_result: bool,
    /// Whether this process holds the step's lock itself: whoever held it before is gone.
    holding: bool,
    /// Whether the pid of this stamp was found in another namespace: a scan of all processes, done once.
    elsewhere: Option<(Stamp, bool)>,
    /// All processes, where one look at them does for many steps.
    crowd: Option<Arc<Crowd>>,
    /// Whether who lived when all processes were looked at is taken to live.
    glances: bool,
}

#[derive(Debug)]
struct Names {
    pid: String,
    heartbeat: String,
    status: String,
    result: String,
    meta: String,
    lock: String,
}

/// A record of a schema that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooNew(pub(crate) String);

impl Looker {
    /// Prepares to look at a step.
    pub(crate) fn new(directory: Arc<Directory>, step: StepName, here: Arc<Here>) -> Self {
        let name = |record| file_name(&step, record);
        let names = Names {
            pid: name(Record::Pid),
            heartbeat: name(Record::Heartbeat),
            status: name(Record::Status),
            result: name(Record::Result),
            meta: name(Record::Meta),
            lock: name(Record::Lock),
        };
        Self {
            directory,
            step,
            names,
            here,
            meta: None,
            keeps_result: false,
            holding: false,
            elsewhere: None,
            crowd: None,
            glances: false,
        }
    }

    /// The step's name.
    pub(crate) fn step(&self) -> &StepName {
        &self.step
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// From now on looks from here: the directory came into being, or its filesystem changed.
    pub(crate) fn stand(&mut self, here: Arc<Here>) {
        self.here = here;
    }

    /// From now on shares one look at all processes with other lookers, for one look at each of many steps.
    pub(crate) fn share(&mut self, crowd: Arc<Crowd>) {
        self.crowd = Some(crowd);
    }

    /// From now on tells of the result that stands there whatever the status says.
    pub(crate) fn keep_result(&mut self) {
        self.keeps_result = true;
    }

    /// One that believes a list of what is there and what is not, and the shared look at all processes of who lives; none
    /// where others may write behind this kernel's back. Who lives may be older than such a look's clock (I3), by as much as
    /// the whole list takes: so the one thing that it may be believed in is that a step goes on.
    pub(crate) fn as_listed(&self, listed: Listed) -> Option<Self> {
        let local = self.here.local_filesystem;
        let directory = Arc::new(local.then(|| self.directory.as_listed(&self.step, listed))?);
        let looker = Self::new(directory, self.step.clone(), Arc::clone(&self.here));
        Some(Self { crowd: self.crowd.clone(), glances: true, ..looker })
    }

    /// From now on takes the step's lock for free: this process holds it, so the run that recorded it does not.
    pub(crate) fn hold(&mut self) {
        self.holding = true;
    }

    /// Looks once.
    ///
    /// # Errors
    /// What the kernel could not say this time; the next look may be able to.
    pub(crate) fn look(&mut self) -> io::Result<Look> {
        let mut attempt = 1;
        loop {
            let (look, overtaken) = self.attempt()?;
            if !overtaken || attempt == ATTEMPTS {
                return Ok(look);
            }
            attempt += 1;
        }
    }

    /// Whether the files stand as a look has shown them, as far as cheap questions tell: the pid, the record and the status
    /// were not replaced or written since. Of a far filesystem that is never certain.
    pub(crate) fn is_unchanged(&self, look: &Look) -> bool {
        let same = |name: &str, known: Option<Stamp>| {
            self.directory.stat(name).is_ok_and(|file| match file {
                File::There { stamp, .. } => known == Some(stamp),
                File::Absent => known.is_none(),
                File::Unfit(_) => false,
            })
        };
        self.here.local_filesystem
            && same(&self.names.status, look.status.stamp())
            && same(&self.names.pid, look.pid.stamp())
            && same(&self.names.meta, look.meta.stamp())
    }

    /// One pass over the files; with whether the pid file changed meanwhile.
    fn attempt(&mut self) -> io::Result<(Look, bool)> {
        let at = clock::now();
        let wall = clock::wall();
        self.directory.refresh();
        let pid = self.directory.read(&self.names.pid, pid::LONGEST)?.map(|bytes| PidText::parse(&bytes));
        let meta = self.read_meta()?;
        let mut look = Look { pid, meta, ..Look::begun(at, wall, clock::slept(), Arc::clone(&self.here)) };
        if look.pid.is_there() {
            self.read_file_clock(&mut look);
        }
        self.look_for_life(&mut look);
        look.status = self.directory.read(&self.names.status, status::LONGEST)?.map(|bytes| StatusText::parse(&bytes));
        match look.status.content() {
            Some(StatusText::Complete(word)) => {
                // The reason was published before the status: read again, it is there.
                look.meta = self.read_meta()?;
                if *word == Word::Success {
                    look.result = self
                        .directory
                        .read(&self.names.result, result::LONGEST)?
                        .map(|bytes| ResultText::parse(&bytes));
                    reject_oversize(&mut look.result);
                }
            }
            Some(StatusText::Unfinished(_) | StatusText::Odd(_)) | None => {}
        }
        if self.keeps_result {
            look.standing_result = self.directory.stat(&self.names.result)?.stamp();
        }
        look.heartbeat = self.directory.stat(&self.names.heartbeat)?;
        if look.heartbeat.is_there() {
            self.read_file_clock(&mut look);
        }
        let again = self.directory.stat(&self.names.pid)?;
        let overtaken = again.stamp() != look.pid.stamp();
        Ok((look, overtaken))
    }

    /// What the files' own clock reads at this look. Asked only where their age may decide something.
    fn read_file_clock(&self, look: &mut Look) {
        // Where it cannot be read it is taken to be this machine's.
        look.file_wall = look.wall.shifted(self.directory.clock_ahead().unwrap_or(0));
    }

    fn look_for_life(&mut self, look: &mut Look) {
        let key = run_key(look);
        let locked = meta_of(look, key).is_some_and(|meta| meta.locked);
        // With no pid a held lock says that a run is starting; with one it counts only for the run that took it.
        look.lock = if self.holding {
            Hold::Free
        } else if locked || key.is_none() {
            lock::probe(&self.directory.join(&self.names.lock))
        } else {
            Hold::Unknown
        };
        let (Some((pid, _)), Some(stamp)) = (key, look.pid.stamp()) else { return };
        if locked && (look.lock == Hold::Held || look.lock == Hold::Free && self.here.local_filesystem) {
            return;
        }
        let counted = self.crowd.as_ref().filter(|_| self.glances).and_then(|crowd| crowd.census().process(pid));
        // Who was not there then may have started since.
        look.process = match counted.map_or_else(|| process::look(pid), Lookup::There) {
            Lookup::There(entry) => Process::Running {
                started: entry.started,
                // On the files' clock, because it is compared with their times.
                started_wall: process::started_wall(entry.started, look.file_wall, machine::with_sleep()),
            },
            Lookup::Gone => Process::Gone { borne_elsewhere: self.borne_elsewhere(pid, stamp) },
            Lookup::Hidden => Process::Hidden,
        };
    }

    fn borne_elsewhere(&mut self, pid: i32, stamp: Stamp) -> bool {
        match self.elsewhere {
            Some((known, answer)) if known == stamp => answer,
            _ => {
                let answer = match &self.crowd {
                    Some(crowd) => crowd.bears_elsewhere(pid),
                    None => process::borne_elsewhere().contains(&pid),
                };
                self.elsewhere = Some((stamp, answer));
                answer
            }
        }
    }

    fn read_meta(&mut self) -> io::Result<File<Arc<MetaText>>> {
        if let Some((known, text)) = &self.meta
            && let File::There { stamp, .. } = self.directory.stat(&self.names.meta)?
            && stamp == *known
        {
            return Ok(File::There { stamp, content: Arc::clone(text) });
        }
        let read = self.directory.read(&self.names.meta, meta::LONGEST)?;
        let read = read.map(|bytes| Arc::new(MetaText::parse(&bytes)));
        if let File::There { stamp, content } = &read {
            self.meta = Some((*stamp, Arc::clone(content)));
        }
        Ok(read)
    }
}

/// Refuses a step whose record was written by a newer program: what it means is not known here.
///
/// # Errors
/// [`TooNew`], a sentence.
pub(crate) fn refuse_newer(look: &Look, step: &StepName) -> Result<(), TooNew> {
    match look.meta.content().map(AsRef::as_ref) {
        Some(MetaText::Newer(schema)) => Err(TooNew(format!(
            "{step}.meta has schema {schema}, and this dogwatch reads up to {SCHEMA}; update dogwatch"
        ))),
        _ => Ok(()),
    }
}

/// Looks until the step stands still: a run that is just starting has started, and one whose process is gone has had its
/// time to say how it ended, since a plain shell notes that some milliseconds later.
///
/// # Errors
/// A sentence: it cannot be looked at, or a newer program wrote its record.
pub(crate) fn settled(looker: &mut Looker) -> Result<(Look, Observation), String> {
    let mut history = History::default();
    loop {
        let look = looker.look().map_err(|error| {
            format!("cannot look at {} in {}: {}", looker.step, looker.directory.path().display(), why(&error))
        })?;
        refuse_newer(&look, &looker.step).map_err(|error| error.0)?;
        let seen = history.note(&look);
        // A run that held the lock says how it ended before it lets go of it.
        let locked = meta_of(&look, run_key(&look)).is_some_and(|meta| meta.locked);
        let until = match (&seen.status, seen.liveness) {
            (_, Liveness::Starting { since }) => since.plus(SETTLE_START),
            (Status::Absent | Status::Unfinished { .. } | Status::Odd { .. }, Liveness::Dead { since }) if !locked => {
                since.plus(Settle::CONTRACT.death)
            }
            _ => look.at,
        };
        if look.at >= until {
            return Ok((look, seen));
        }
        clock::sleep_until(look.at.plus(SETTLING));
    }
}

fn reject_oversize(file: &mut File<ResultText>) {
    if let File::There { stamp, content } = file
        && stamp.size > result::LONGEST as u64
    {
        *content =
            ResultText::Unfinished(format!("the result is longer than {} MiB and was not read", result::LONGEST >> 20));
    }
}
