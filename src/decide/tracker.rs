//! What earlier looks left in memory: which run is followed, when its heartbeat was last seen to change, since when its
//! status stands still, whether its process was ever seen alive.
//!
//! An observed change is preferred to a comparison of a file's time with this machine's clock: clocks of file servers
//! are skewed, wall clocks are set, machines sleep. The age of a file decides alone only at its first snapshot.

use crate::decide::left_over::LeftOverCutoff;
use crate::decide::liveness::{RECYCLED_SLACK, assess_pid, is_of_other_machine, is_of_other_time};
use crate::decide::snapshot::{
    Heartbeat, LEFT_OVER_SLACK, Liveness, Observation, Process, ResultState, Snapshot, Status,
};
use crate::record::file_state::{FileStamp, FileState, LockState};
use crate::record::pid::PidFileId;
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::time::{MonotonicTime, WallTime};
use std::time::Duration;

/// A machine counts as having slept from this on: the two clocks are not read at one instant.
const SLEPT: Duration = Duration::from_secs(1);

/// By how much later a beat may be seen on a network filesystem than it was: a poll, and a time of whole seconds.
const SEEN_LATE: Duration = Duration::from_secs(2);

/// The memory of one step's looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunTracker {
    /// The run being followed, from the first look that shows any file of the step.
    run: Option<TrackedRun>,
    /// Since when no file of the step is there.
    absent_since: Option<MonotonicTime>,
    /// The outcome that stood there before the call and is not to be reported.
    old: OldOutcome,
    /// Whether nothing newer than that outcome was seen yet.
    ignores_old: bool,
    /// Whether the run followed first was replaced by another.
    replaced: bool,
}

/// An outcome of before the call: its status and the result beside it, which a plain shell leaves there until its next run
/// ends, and the run whose record stands beside them.
#[derive(Clone, Debug, Default)]
struct OldOutcome {
    status: Option<FileStamp>,
    result: Option<FileStamp>,
    run: Option<String>,
}

impl OldOutcome {
    /// Whether the snapshot shows nothing else. A `run` that was killed while it started may have taken the status away
    /// already. The next process that finds the record alone publishes the same end again, as a new status of the same run.
    fn is_all(&self, snapshot: &Snapshot) -> bool {
        let of_same_run = self.run.is_some() && snapshot.possible_meta().map(|meta| &meta.run_id) == self.run.as_ref();
        snapshot.status.stamp() == self.status || of_same_run
    }
}

/// What is remembered of one run.
#[derive(Clone, Debug, Default)]
struct TrackedRun {
    key: Option<PidFileId>,
    /// The id that `run` gave it.
    id: Option<String>,
    began: MonotonicTime,
    /// When its pid file was written.
    claimed: Option<MonotonicTime>,
    seen_alive: bool,
    /// The raw start time of the process that was alive: one with another has taken its number over.
    started: Option<u64>,
    dead_since: Option<MonotonicTime>,
    starting_since: Option<MonotonicTime>,
    status: Option<(FileStamp, MonotonicTime)>,
    heartbeat: Option<HeartbeatState>,
    /// The last moment at which its wrapper may have been stopped, or the work paused together with this process.
    stopped: Option<MonotonicTime>,
    /// Whether the last look showed its wrapper stopped.
    was_stopped: bool,
    /// Which files were left over at the last look that showed its pid.
    left_over: Option<LeftOverCutoff>,
    old_status: Provenance,
    old_heartbeat: Provenance,
    last_look: MonotonicTime,
    /// How long this machine had slept since boot by then.
    slept: Duration,
}

/// Whose a file is: this pid's, or an earlier one's. Its age says so, but only of what stood there at the first look: what
/// changes afterwards is this pid's, whatever a clock that was set makes of its time.
#[derive(Clone, Copy, Debug, Default)]
struct Provenance {
    /// Whether it was looked at.
    seen: bool,
    /// What stood there at the first look.
    first: Option<FileStamp>,
    /// Whether that is an earlier one's, once it was held against the living process; a death takes nothing back.
    left_over: Option<bool>,
}

impl Provenance {
    /// Takes in what stands there now; whether that is an earlier one's.
    fn note(&mut self, stamp: Option<FileStamp>, liveness: Liveness, by_age: impl FnOnce(WallTime) -> bool) -> bool {
        if !std::mem::replace(&mut self.seen, true) {
            self.first = stamp;
        }
        let Some(present) = stamp.filter(|_| stamp == self.first) else { return false };
        let left_over = self.left_over.unwrap_or_else(|| by_age(present.modified));
        if liveness == Liveness::Alive {
            self.left_over = Some(left_over);
        }
        left_over
    }
}

/// The heartbeat as last seen.
#[derive(Clone, Copy, Debug)]
struct HeartbeatState {
    stamp: FileStamp,
    /// When it was written, as far as can be told; its age may count from later.
    written: MonotonicTime,
    beat: Heartbeat,
}

/// What a snapshot means by itself.
pub(crate) fn observe(snapshot: &Snapshot) -> Observation {
    RunTracker::default().observe(snapshot)
}

impl RunTracker {
    /// From now on takes the status that this look shows for one of before the call.
    pub(crate) fn skip_existing(&mut self, snapshot: &Snapshot) {
        let Some(status) = snapshot.status.stamp() else { return };
        // Only `run` writes a new record for each run; beside a plain shell's next outcome the old one stays.
        let run = snapshot.recorded_meta().filter(|meta| meta.locked && meta.reason.is_some());
        // One that came long after that outcome is the next run's, which says so in a moment.
        let is_old = |result: &FileStamp| result.modified <= status.modified.plus(LEFT_OVER_SLACK);
        self.old = OldOutcome {
            status: Some(status),
            result: snapshot.standing_result.filter(is_old),
            run: run.map(|meta| meta.run_id.clone()),
        };
        self.ignores_old = true;
    }

    /// Whether the process of the run that was seen alive has ended, where its files cannot be read.
    pub(crate) fn shows_end(&self, process: Process) -> bool {
        let run = self.run.as_ref().filter(|run| run.seen_alive);
        run.is_some_and(|run| matches!(process, Process::Gone { .. }) || run.is_taken_over(process))
    }

    /// Whether another run took the place of the one followed first.
    pub(crate) fn replaced(&self) -> bool {
        self.replaced
    }

    /// Takes in that this process goes on at `now` after a pause ([`crate::decide::policy::PauseDetector`]): a heartbeat and a
    /// start have the whole of their time again. What settles within seconds does not: on a machine so busy that each look is
    /// late nothing would ever settle.
    pub(crate) fn note_pause(&mut self, now: MonotonicTime) {
        self.absent_since = self.absent_since.map(|_| now);
        if let Some(run) = &mut self.run {
            run.stopped = run.stopped.max(Some(now));
        }
    }

    /// Folds one look into the memory and says what it means.
    pub(crate) fn observe(&mut self, snapshot: &Snapshot) -> Observation {
        let ignored = self.ignores_old && self.old.is_all(snapshot) && !shows_newer_run(snapshot);
        let there = snapshot.shows_start();
        // A run that was seen alive is followed by its process: its files, or their filesystem, may go away before it.
        let followed = !there && self.run.as_ref().is_some_and(|run| run.followed(snapshot).is_some());
        if ignored || !there && !followed {
            let since = *self.absent_since.get_or_insert(snapshot.at);
            return Observation::absent(since);
        }
        self.ignores_old = false;
        self.absent_since = None;
        let key = snapshot.pid_file_id();
        let run = match self.run.take() {
            // Whatever wrote its pid file again, a copy of it or its wrapper.
            Some(run) if run.is_rewritten(snapshot) => TrackedRun { key, ..run },
            // Not the same pid file: another run, of which nothing is known yet.
            Some(run) if run.key.is_some() && key.is_some() && run.key != key => {
                self.replaced = true;
                TrackedRun::begin(snapshot)
            }
            // The pid came late: the same run, whose beginning is better known now.
            Some(run) if run.key.is_none() && key.is_some() => {
                let begun = TrackedRun::begin(snapshot);
                let TrackedRun { status, heartbeat, stopped, was_stopped, last_look, slept, .. } = run;
                TrackedRun { status, heartbeat, stopped, was_stopped, last_look, slept, ..begun }
            }
            // A pid file that goes away takes nothing back: many a wrapper removes it in its last line.
            Some(run) => run,
            None => TrackedRun::begin(snapshot),
        };
        self.run.insert(run).update(snapshot, &self.old)
    }
}

impl TrackedRun {
    fn begin(snapshot: &Snapshot) -> Self {
        let key = snapshot.pid_file_id();
        Self {
            key,
            id: recorded_id(snapshot).map(str::to_owned),
            began: began(snapshot),
            claimed: key.map(|PidFileId { written, .. }| {
                snapshot.at.minus(snapshot.file_wall.since(written)).plus(coarseness(written))
            }),
            // No look came before: any age is possible.
            last_look: MonotonicTime::from_nanos(i64::MIN),
            slept: snapshot.slept,
            ..Self::default()
        }
    }

    fn update(&mut self, snapshot: &Snapshot, before: &OldOutcome) -> Observation {
        let (key, meta) = (snapshot.pid_file_id(), snapshot.run_meta());
        let liveness = self.liveness(snapshot);
        let old = match self.left_over {
            // A wrapper that removes its pid in its last line leaves what was left over by then.
            Some(known) if key.is_none() => known,
            _ => LeftOverCutoff::of(snapshot, liveness),
        };
        self.left_over = key.map(|_| old).or(self.left_over);
        let by_age = self.old_status.note(snapshot.status.stamp(), liveness, |modified| old.covers(modified));
        let left_over = by_age || before.status.is_some() && snapshot.status.stamp() == before.status;
        let status = self.status(snapshot, left_over);
        // A wrapper that has been continued since the last look may not have beaten yet.
        self.stopped = self.stopped.max((snapshot.is_stopped || self.was_stopped).then_some(snapshot.at));
        self.was_stopped = snapshot.is_stopped;
        let beat = snapshot.heartbeat.stamp();
        let old_beat = self.old_heartbeat.note(beat, liveness, |modified| old.covers_heartbeat(modified));
        let heartbeat = beat.filter(|_| !old_beat).map(|stamp| self.heartbeat(snapshot, stamp));
        // Where this run's own status looks left over the clock was set back, and then its result is known by being of
        // the status's time.
        let set_back = snapshot.status.stamp().map(|stamp| stamp.modified).filter(|&at| !left_over && old.covers(at));
        let is_own = |at: WallTime| match set_back {
            Some(status) => at >= status.minus(LEFT_OVER_SLACK),
            None => !old.covers(at),
        };
        let stamp = snapshot.result.stamp().filter(|stamp| is_own(stamp.modified) && Some(*stamp) != before.result);
        let result = match snapshot.result.content().filter(|_| stamp.is_some()) {
            Some(ParsedResult::Json(_)) => ResultState::Whole,
            Some(ParsedResult::Unfinished(_)) => ResultState::Unfinished,
            None => ResultState::Absent,
        };
        let written_detail = match (&status, snapshot.status.content()) {
            (Status::Complete { .. }, Some(ParsedStatus::FailedWith(said))) => Some(said.clone()),
            _ => None,
        };
        (self.last_look, self.slept) = (snapshot.at, snapshot.slept);
        Observation {
            absent_since: None,
            liveness,
            status,
            recorded: meta.and_then(|meta| meta.reason),
            recorded_detail: meta.and_then(|meta| meta.detail.clone()).or(written_detail),
            intent: meta.and_then(|meta| meta.intent),
            result,
            heartbeat,
            began: self.began,
            invalid: snapshot.unfit_file(),
        }
    }

    /// Whether the pid file is another now and names the same process, whose run of `run` still stands in the record.
    /// A new run has a record of its own before it writes its pid.
    fn is_rewritten(&self, snapshot: &Snapshot) -> bool {
        self.key.is_some() && self.id.is_some() && recorded_id(snapshot) == self.id.as_deref()
    }

    /// Whether another process than the one seen alive has its number.
    fn is_taken_over(&self, process: Process) -> bool {
        self.started.zip(process.started()).is_some_and(|(known, started)| known != started)
    }

    /// Whether the process lives that was seen alive, where no pid file names it any more; `None` if that is not known.
    fn followed(&self, snapshot: &Snapshot) -> Option<bool> {
        let PidFileId { written: pid_modified, .. } = self.key.filter(|_| self.seen_alive && !snapshot.has_pid())?;
        match snapshot.followed {
            Process::Running { started, started_wall } => Some(match self.started {
                Some(known) => known == started,
                None => started_wall <= pid_modified.plus(RECYCLED_SLACK),
            }),
            Process::Gone { .. } => Some(false),
            Process::Hidden | Process::NotAsked => None,
        }
    }

    fn liveness(&mut self, snapshot: &Snapshot) -> Liveness {
        let followed = self.followed(snapshot);
        if snapshot.pid_file_id().is_none() && snapshot.lock == LockState::Held && followed != Some(true) {
            // `run` takes the lock, withdraws the old pid first and publishes the new one last, so with no pid under a
            // held lock every other file may be the old run's.
            let since = *self.starting_since.get_or_insert(snapshot.at);
            self.dead_since = None;
            return Liveness::Starting { since };
        }
        self.starting_since = None;
        let seen = match followed {
            Some(true) => Liveness::Alive,
            None if !self.is_taken_over(snapshot.process) => assess_pid(snapshot, self.started, self.seen_alive),
            Some(false) | None => Liveness::Dead { since: snapshot.at },
        };
        if seen == Liveness::Alive {
            self.seen_alive = true;
            // A start by another time namespace's clock is never compared with one that is read here.
            let of_this_time = snapshot.run_meta().filter(|meta| !is_of_other_time(snapshot, meta));
            let shown = if followed.is_some() { snapshot.followed } else { snapshot.process };
            self.started = of_this_time.and_then(|meta| meta.pid_started_at).or(shown.started()).or(self.started);
        }
        if let Liveness::Dead { since } = seen {
            return Liveness::Dead { since: *self.dead_since.get_or_insert(since) };
        }
        self.dead_since = None;
        seen
    }

    fn status(&mut self, snapshot: &Snapshot, left_over: bool) -> Status {
        let (FileState::Present { stamp, content }, false) = (&snapshot.status, left_over) else {
            self.status = None;
            return Status::Absent;
        };
        let first_look = self.last_look == MonotonicTime::from_nanos(i64::MIN);
        let since = match self.status {
            Some((known, since)) if known == *stamp => since,
            // Never seen before and there at the first look: only its age can tell how long it has stood.
            None if first_look => snapshot.at.minus(snapshot.file_wall.since(stamp.modified)),
            Some(_) | None => snapshot.at,
        };
        self.status = Some((*stamp, since));
        match content {
            ParsedStatus::Unfinished(word) => Status::Unfinished { since, word: word.clone() },
            ParsedStatus::Complete(word) => Status::Complete { since, word: *word },
            ParsedStatus::FailedWith(_) => Status::Complete { since, word: StatusWord::Failed },
        }
    }

    fn heartbeat(&mut self, snapshot: &Snapshot, stamp: FileStamp) -> Heartbeat {
        let by_age = snapshot.at.minus(snapshot.file_wall.since(stamp.modified)).plus(coarseness(stamp.modified));
        let (written, mut beat) = match self.heartbeat {
            Some(known) if known.stamp == stamp => (known.written, known.beat),
            Some(known) => {
                // It has changed, so it beat between the last look and this one. When exactly: as much after the beat
                // before as their two file times differ, or as long ago as its own time says, less what the machine has
                // slept between the looks, whichever is later. A clock set back between the beats belies the one, a
                // clock set forward after them the other; too late is no harm, and the two looks bound it.
                let gap = stamp.modified.since(known.stamp.modified);
                let gap = if gap.is_zero() { snapshot.at.since(known.written) } else { gap };
                let latest = snapshot.at.plus(coarseness(stamp.modified));
                let by_age = by_age.plus(snapshot.slept.saturating_sub(self.slept));
                let written = known.written.plus(gap).max(by_age).clamp(self.last_look.min(snapshot.at), latest);
                (written, Heartbeat { fresh: written, seen: snapshot.at, unconfirmed: None })
            }
            None => {
                // On a network filesystem some writers stamp a file by their own clock and some by the server's (sshfs
                // does both), so one age alone calls no run hung there, whatever the server's clock reads.
                let unconfirmed = if snapshot.here.local_filesystem {
                    (snapshot.slept > SLEPT).then_some(snapshot.at)
                } else {
                    Some(snapshot.at.plus(SEEN_LATE))
                };
                (by_age, Heartbeat { fresh: by_age, seen: by_age, unconfirmed })
            }
        };
        // Age counts from the later of heartbeat and pid: a left-over heartbeat must not condemn a run that has just begun.
        // While its wrapper is stopped no run beats, and afterwards it has the whole of its time again.
        beat.fresh = [self.claimed, self.stopped].into_iter().flatten().fold(beat.fresh, MonotonicTime::max);
        self.heartbeat = Some(HeartbeatState { stamp, written, beat });
        beat
    }
}

/// The id of the run of `run` that the record gives this pid, whenever the pid file was written.
fn recorded_id(snapshot: &Snapshot) -> Option<&str> {
    let pid = snapshot.pid_file_id()?.pid;
    let recorded = snapshot.recorded_meta().filter(|meta| meta.locked && meta.pid == Some(pid));
    recorded.map(|meta| meta.run_id.as_str())
}

/// Whether the status that is there is an earlier run's, and a later run's signs of life are there beside it: a plain shell
/// starts without taking the old files away.
fn shows_newer_run(snapshot: &Snapshot) -> bool {
    let Some(status) = snapshot.status.stamp() else { return false };
    let seen = TrackedRun::begin(snapshot).update(snapshot, &OldOutcome::default());
    let beats = snapshot.heartbeat.stamp().is_some_and(|beat| beat.modified > status.modified.plus(LEFT_OVER_SLACK));
    seen.status == Status::Absent || snapshot.pid_file_id().is_none() && beats
}

/// By how much a beat may be later than its file time says. Where times have whole seconds, every beat of that second
/// leaves the same one: only its end proves that none came after.
fn coarseness(modified: WallTime) -> Duration {
    if modified.is_whole_second() { Duration::from_secs(1) } else { Duration::ZERO }
}

/// When the run began: by its own record on this boot, else by the age of its oldest file less all sleep since boot.
fn began(snapshot: &Snapshot) -> MonotonicTime {
    if let Some(meta) = snapshot.run_meta()
        && !is_of_other_machine(snapshot, meta)
        && !is_of_other_time(snapshot, meta)
        && let Some(began) = meta.began()
    {
        return began.min(snapshot.at);
    }
    let pid = snapshot.pid.stamp().map(|stamp| stamp.modified);
    let first = pid.or_else(|| {
        let others = [snapshot.heartbeat.stamp(), snapshot.status.stamp(), snapshot.meta.stamp()];
        others.into_iter().flatten().map(|stamp| stamp.modified).min()
    });
    first.map_or(snapshot.at, |first| snapshot.at.minus(snapshot.file_wall.since(first).saturating_sub(snapshot.slept)))
}
