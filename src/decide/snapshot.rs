//! What one look shows (`Snapshot`), and what it means together with what was seen before (`Observation`).
//!
//! Plain data. A look holds raw facts, the unreadable included; an observation holds only what judgement needs, with
//! left-overs of earlier runs already taken out. Neither says what follows: that is `evaluate`.

use crate::error::Error;
use crate::record::SCHEMA;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::{FileFault, FileId, FileStamp, FileState, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Reason};
use crate::record::pid::{ParsedPid, PidFileId};
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::step_name::StepName;
use crate::record::time::{MonotonicTime, WallTime};
use std::sync::Arc;
use std::time::Duration;

/// The user whose records every user believes.
const ROOT: u32 = 0;

/// How much older than `.pid` a dead run's own status may be: `work & echo $! > s.pid` may write the pid second.
pub(super) const LEFT_OVER_SLACK: Duration = Duration::from_secs(2);

/// What the kernel says of the process that `.pid` names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Process {
    /// The kernel was not asked: there is no pid, or the files and the lock tell enough.
    #[default]
    NotAsked,
    /// It is there and no zombie.
    Running {
        /// The kernel's raw start time, as `.meta` has it.
        started: u64,
        /// The same on the clock that stamps the files; granular by about 10 ms.
        started_wall: WallTime,
    },
    /// There is no such process here, or only its zombie.
    Gone {
        /// Some visible process bears that number in a PID namespace of its own.
        borne_elsewhere: bool,
    },
    /// The kernel does not tell.
    Hidden,
}

impl Process {
    /// The kernel's raw start time of one that is there.
    pub(crate) fn started(self) -> Option<u64> {
        match self {
            Self::Running { started, .. } => Some(started),
            Self::NotAsked | Self::Gone { .. } | Self::Hidden => None,
        }
    }
}

/// Where the reader stands; a pid means something only here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalContext {
    /// This machine's name.
    pub(crate) host: String,
    /// The kernel's id of this boot; empty where it does not tell.
    pub(crate) boot_id: String,
    /// The reader's PID namespace (Linux).
    pub(crate) pid_namespace: Option<u64>,
    /// The reader's time namespace (Linux).
    pub(crate) time_namespace: Option<u64>,
    /// Which directory the monitor directory's path leads to; `None` if none is there.
    pub(crate) directory: Option<FileId>,
    /// Whether the monitor directory lies on a filesystem of this machine alone.
    pub(crate) local_filesystem: bool,
}

/// All that one look shows. Where a process was asked about, that came before the status (I4).
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// The awake clock, read before anything else (I3).
    pub(crate) at: MonotonicTime,
    /// The wall clock, read at the same time.
    pub(crate) wall: WallTime,
    /// The same on the clock that stamps the files: a file server has its own.
    pub(crate) file_wall: WallTime,
    /// How long this machine has slept since boot.
    pub(crate) slept: Duration,
    /// Where the reader stands.
    pub(crate) here: Arc<LocalContext>,
    /// `STEP.pid`.
    pub(crate) pid: FileState<ParsedPid>,
    /// `STEP.meta`, whatever run it speaks of.
    pub(crate) meta: FileState<Arc<ParsedMeta>>,
    /// `STEP.lock`.
    pub(crate) lock: LockState,
    /// Which file `STEP.lock` is, where that was looked at.
    pub(crate) lock_file: Option<FileId>,
    /// The process that `.pid` names.
    pub(crate) process: Process,
    /// The process that `.pid` named at an earlier snapshot, where there is no such file now.
    pub(crate) followed: Process,
    /// Whether the heartbeat is late because the run's wrapper is stopped, as by Ctrl-Z: it beats again once it goes on.
    pub(crate) is_stopped: bool,
    /// `STEP.status`.
    pub(crate) status: FileState<ParsedStatus>,
    /// `STEP.result`; absent as long as neither the status nor the record says success.
    pub(crate) result: FileState<ParsedResult>,
    /// The result's stamp whatever the status says, where a reader was asked to keep that in view.
    pub(crate) standing_result: Option<FileStamp>,
    /// `STEP.heartbeat`.
    pub(crate) heartbeat: FileState<()>,
}

impl Snapshot {
    /// A look that has begun and seen nothing yet, on a filesystem whose clock is taken to be this machine's.
    pub(crate) fn empty(at: MonotonicTime, wall: WallTime, slept: Duration, here: Arc<LocalContext>) -> Self {
        Self { at, wall, file_wall: wall, slept, here, ..Self::default() }
    }

    /// Whether a file is there that shows that the step has started.
    pub(crate) fn shows_start(&self) -> bool {
        self.pid.is_there() || self.heartbeat.is_there() || self.status.is_there() || self.meta.is_there()
    }

    /// Whether a pid file says anything. An empty one is about to be written, or was truncated by another process; that and
    /// one that cannot be read name no run, and take none from the record.
    pub(crate) fn has_pid(&self) -> bool {
        matches!(self.pid.content(), Some(ParsedPid::Pid(_) | ParsedPid::Bad(_)))
    }

    /// The run that the pid file names.
    pub(crate) fn pid_file_id(&self) -> Option<PidFileId> {
        let FileState::Present { stamp, content: ParsedPid::Pid(pid) } = self.pid else { return None };
        Some(PidFileId { pid, written: stamp.modified })
    }

    /// The meta record, where it speaks of the run that the pid file names.
    ///
    /// With no pid file it may also be the record of a run whose wrapper was killed between publishing it and its pid, of one
    /// whose pid a next starter withdrew before it was killed itself, or of one whose pid file was removed while it lives.
    /// No process holds its lock then, or the lock file is gone too. A heartbeat that was written later than the record is
    /// another run's, unless the process that the record names lives.
    pub(crate) fn run_meta(&self) -> Option<&Meta> {
        let (meta, stamp) = (self.recorded_meta()?, self.meta.stamp()?);
        let orphaned = || {
            let lives = self.process.started().is_some_and(|started| meta.pid_started_at == Some(started));
            let beaten =
                || self.heartbeat.stamp().is_none_or(|beat| beat.modified <= stamp.modified.plus(LEFT_OVER_SLACK));
            !self.has_pid() && meta.locked && self.lock != LockState::Held && (lives || beaten())
        };
        // A record without a pid tells a run from the next one only by time: it was made for what stood there then.
        let run = self.pid_file_id();
        let current = || {
            let younger = |file: FileStamp| file.modified > stamp.modified.plus(LEFT_OVER_SLACK);
            match (run, meta.reason) {
                (Some(_), _) => true,
                (None, Some(_)) => self.status.stamp().is_some_and(|status| !younger(status)),
                (None, None) => !self.heartbeat.stamp().is_some_and(younger),
            }
        };
        (meta.speaks_of(run) && current() || orphaned()).then_some(meta)
    }

    /// The meta record that stands there, be it of the present run or not.
    ///
    /// In a world-writable directory any user can put a record beside another user's pid file. It counts only
    /// where it is that user's or root's.
    pub(crate) fn recorded_meta(&self) -> Option<&Meta> {
        let FileState::Present { stamp, content } = &self.meta else { return None };
        let ParsedMeta::Known(meta) = content.as_ref() else { return None };
        let trusted = self.pid.stamp().is_none_or(|pid| stamp.owner == pid.owner || stamp.owner == ROOT);
        trusted.then_some(meta)
    }

    /// The meta record that stands there, unless the pid file names another run.
    pub(crate) fn possible_meta(&self) -> Option<&Meta> {
        self.recorded_meta().filter(|meta| !self.has_pid() || meta.speaks_of(self.pid_file_id()))
    }

    /// Checks that this program can tell how the step stands: it knows the schema of the record, and may read the files, as
    /// far as none that it may read says how the run ended.
    ///
    /// # Errors
    /// [`Error`], with what to do.
    pub(crate) fn refuse_unreadable(&self, step: &StepName) -> Result<(), Error> {
        if let Some(ParsedMeta::Newer(schema)) = self.meta.content().map(AsRef::as_ref) {
            return Err(Error::internal(format!(
                "{step}.meta has schema {schema}, and this dogwatch reads up to {SCHEMA}; update dogwatch"
            )));
        }
        let is_told = self.status.content().and_then(ParsedStatus::word).is_some()
            || self.run_meta().is_some_and(|meta| meta.reason.is_some());
        match self.faults().find(|(_, fault)| **fault == FileFault::Denied) {
            Some((record, fault)) if !is_told => {
                let file = file_name(step, record);
                Err(Error::internal(format!("{file} {fault}; call as the user who owns it, or chmod +r it")))
            }
            _ => Ok(()),
        }
    }

    /// The first of the step's files that is no regular file, with what is wrong with it.
    pub(crate) fn unfit_file(&self) -> Option<(Record, String)> {
        let (record, fault) = self.faults().find(|(_, fault)| **fault != FileFault::Denied)?;
        Some((record, format!("the {} file {fault}", record.suffix())))
    }

    /// What is wrong with files that tell how the step stands. Nothing while a run of this program lives, which writes its
    /// files again; and pid and record stand in for each other.
    fn faults(&self) -> impl Iterator<Item = (Record, &FileFault)> {
        let pid = fault(&self.pid).filter(|_| self.run_meta().is_none());
        let meta = fault(&self.meta).filter(|_| !self.has_pid());
        let faults = [
            (Record::Status, fault(&self.status)),
            (Record::Pid, pid),
            (Record::Heartbeat, fault(&self.heartbeat)),
            (Record::Result, fault(&self.result)),
            (Record::Meta, meta),
        ];
        let is_mended = self.lock == LockState::Held;
        faults.into_iter().filter_map(move |(record, fault)| Some((record, fault.filter(|_| !is_mended)?)))
    }

    /// The same look without a result that is an earlier run's: it is told of, not only judged.
    pub(crate) fn without_left_over(mut self, seen: &Observation) -> Self {
        if seen.result == ResultState::Absent && matches!(self.result, FileState::Present { .. }) {
            self.result = FileState::Missing;
        }
        self
    }
}

fn fault<T>(file: &FileState<T>) -> Option<&FileFault> {
    match file {
        FileState::Invalid(fault) => Some(fault),
        FileState::Missing | FileState::Present { .. } => None,
    }
}

/// Whether the run's process lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It does.
    Alive,
    /// It is known not to.
    Dead {
        /// When a look first showed it.
        since: MonotonicTime,
    },
    /// It cannot be told from here: the process may be where this reader cannot see, or no usable pid says which it is.
    /// Heartbeat and time decide.
    #[default]
    Unknown,
    /// A new run holds the lock and has not published its pid: what stands there may be the old run's.
    Starting {
        /// When a look first showed it.
        since: MonotonicTime,
    },
}

/// The status, with left-overs taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Status {
    /// None of this run.
    #[default]
    Absent,
    /// Neither SUCCESS nor FAILED: empty, the beginning of a word, or another one.
    Unfinished {
        /// Since when it has not changed.
        since: MonotonicTime,
        /// What is there, quoted.
        word: String,
    },
    /// The run has ended.
    Complete {
        /// When it was written, as far as can be told.
        since: MonotonicTime,
        /// How.
        word: StatusWord,
    },
}

/// How far the result has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ResultState {
    /// None of this run.
    #[default]
    Absent,
    /// There, and no JSON yet.
    Unfinished,
    /// One whole JSON value.
    Whole,
}

/// The heartbeat, by observed change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// When it last beat, as far as can be told.
    pub(crate) fresh: MonotonicTime,
    /// When a look first showed that beat; a beat is never stale at the look that shows it change.
    pub(crate) seen: MonotonicTime,
    /// Set while only one age was ever seen of it and that age proves little, on a machine that has slept or by another
    /// machine's clock: since when it is under observation.
    pub(crate) unconfirmed: Option<MonotonicTime>,
}

/// What judgement needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observation {
    /// Since when no file of the step is there; `None` if one is.
    pub(crate) absent_since: Option<MonotonicTime>,
    /// Whether the process lives.
    pub(crate) liveness: Liveness,
    /// The status of this run.
    pub(crate) status: Status,
    /// The outcome that was recorded for this run.
    pub(crate) recorded: Option<Reason>,
    /// The sentence recorded with it.
    pub(crate) recorded_detail: Option<String>,
    /// What a terminator has announced for this run.
    pub(crate) intent: Option<Intent>,
    /// How far the result has come.
    pub(crate) result: ResultState,
    /// The heartbeat of this run.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// When the run began; judged from then.
    pub(crate) began: MonotonicTime,
    /// The first file that fails the step by not being a regular one, or by not being readable, and what is wrong with it.
    pub(crate) invalid: Option<(Record, String)>,
}

impl Observation {
    /// The step whose files have not been there since this moment.
    pub(crate) fn absent(since: MonotonicTime) -> Self {
        Self { absent_since: Some(since), began: since, ..Self::default() }
    }

    /// Whether this run's status says SUCCESS.
    pub(crate) fn succeeded(&self) -> bool {
        matches!(self.status, Status::Complete { word: StatusWord::Success, .. })
    }
}
