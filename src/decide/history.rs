//! What earlier looks left in memory: which run is followed, when its heartbeat was last seen to change, since when its
//! status stands still, whether its process was ever seen alive.
//!
//! Refuses to compare a file's time with this machine's clock wherever a change can be observed instead: clocks of file
//! servers are skewed, wall clocks are set, machines sleep. Only the first look at a file uses its age.

use super::left_over::{LEFT_OVER_SLACK, LeftOver};
use super::observation::{Beat, Liveness, Look, Observation, Process, ResultState, Status};
use crate::protocol::file::{File, Hold, Stamp};
use crate::protocol::meta::{Meta, MetaText};
use crate::protocol::pid::PidText;
use crate::protocol::result::ResultText;
use crate::protocol::status::StatusText;
use crate::protocol::time::{Moment, Wall};
use std::time::Duration;

/// How much later than its `.pid` a process may seem to have started and still be the one it names. Start times are
/// granular by 10 ms, file times by a jiffy (4 ms) or, on old filesystems, 2 s.
const RECYCLED_SLACK: Duration = Duration::from_secs(2);

/// A machine counts as having slept from this on: the two clocks are not read at one instant.
const SLEPT: Duration = Duration::from_secs(1);

/// By how much later a beat may be seen on a network filesystem than it was: a poll, and a time of whole seconds.
const SEEN_LATE: Duration = Duration::from_secs(2);

/// Which run a `.pid` file names: its pid and the file's modification time.
pub(crate) type RunKey = (i32, Wall);

/// The memory of one step's looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The run being followed, from the first look that shows any file of the step.
    run: Option<Run>,
    /// Since when no file of the step is there.
    absent_since: Option<Moment>,
    /// The status that stood there before the call and is not to be reported.
    ignored: Option<Stamp>,
    /// Whether the run followed first was replaced by another.
    replaced: bool,
}

/// What is remembered of one run.
#[derive(Clone, Debug)]
struct Run {
    key: Option<RunKey>,
    began: Moment,
    seen_alive: bool,
    /// The raw start time of the process that was alive: one with another has taken its number over.
    started: Option<u64>,
    dead_since: Option<Moment>,
    starting_since: Option<Moment>,
    status: Option<(Stamp, Moment)>,
    heartbeat: Option<Pulse>,
    last_look: Moment,
}

/// The heartbeat as last seen.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    stamp: Stamp,
    beat: Beat,
}

impl History {
    /// From now on takes the status that this look shows for one of before the call.
    pub(crate) fn ignore(&mut self, look: &Look) {
        self.ignored = look.status.stamp();
    }

    /// Whether another run took the place of the one followed first.
    pub(crate) fn replaced(&self) -> bool {
        self.replaced
    }

    /// Folds one look into the memory and says what it means.
    pub(crate) fn note(&mut self, look: &Look) -> Observation {
        let ignored = self.ignored.is_some() && self.ignored == look.status.stamp();
        let there = look.pid.is_there() || look.heartbeat.is_there() || look.status.is_there() || look.meta.is_there();
        if ignored || !there {
            let since = *self.absent_since.get_or_insert(look.at);
            return Observation::absent(since);
        }
        self.ignored = None;
        self.absent_since = None;
        let key = run_key(look);
        let meta = meta_of(look, key);
        let run = match self.run.take() {
            // Not the same pid file: another run, of which nothing is known yet.
            Some(run) if run.key.is_some() && key.is_some() && run.key != key => {
                self.replaced = true;
                Run::begin(look, key, meta)
            }
            // The pid came late: the same run, whose beginning is better known now.
            Some(run) if run.key.is_none() && key.is_some() => {
                Run { key, began: began(look, meta), dead_since: None, started: None, ..run }
            }
            // A pid file that goes away takes nothing back: many a wrapper removes it in its last line.
            Some(run) => run,
            None => Run::begin(look, key, meta),
        };
        self.run.insert(run).note(look, key, meta)
    }
}

impl Run {
    fn begin(look: &Look, key: Option<RunKey>, meta: Option<&Meta>) -> Self {
        Self {
            key,
            began: began(look, meta),
            seen_alive: false,
            started: None,
            dead_since: None,
            starting_since: None,
            status: None,
            heartbeat: None,
            // No look came before: any age is possible.
            last_look: Moment::from_nanos(i64::MIN),
        }
    }

    fn note(&mut self, look: &Look, key: Option<RunKey>, meta: Option<&Meta>) -> Observation {
        let liveness = self.liveness(look, key, meta);
        let old = LeftOver::of(look, key, meta, liveness);
        let status = self.status(look, &old);
        let heartbeat = self.heartbeat(look, key, &old);
        let result = match &look.result {
            File::There { stamp, content } if !old.holds(stamp.modified) => match content {
                ResultText::Json(_) => ResultState::Whole,
                ResultText::Unfinished(_) => ResultState::Unfinished,
            },
            File::There { .. } | File::Absent | File::Unfit(_) => ResultState::Absent,
        };
        self.last_look = look.at;
        Observation {
            absent_since: None,
            liveness,
            status,
            recorded: meta.and_then(|meta| meta.reason),
            recorded_detail: meta.and_then(|meta| meta.detail.clone()),
            intent: meta.and_then(|meta| meta.intent),
            result,
            heartbeat,
            began: self.began,
            unfit: unfit(look),
        }
    }

    fn liveness(&mut self, look: &Look, key: Option<RunKey>, meta: Option<&Meta>) -> Liveness {
        if key.is_none() && look.lock == Hold::Held {
            // `run` takes the lock, withdraws the old pid first and publishes the new one last, so with no pid under a
            // held lock every other file may be the old run's.
            let since = *self.starting_since.get_or_insert(look.at);
            self.dead_since = None;
            return Liveness::Starting { since };
        }
        self.starting_since = None;
        let taken_over = matches!((self.started, look.process),
            (Some(known), Process::Running { started, .. }) if known != started);
        let seen = if taken_over { Claimed::Dead } else { claimed(look, key, meta, self.seen_alive) };
        self.seen_alive |= seen == Claimed::Alive;
        if let (Claimed::Alive, Process::Running { started, .. }) = (seen, look.process) {
            self.started = Some(started);
        }
        if seen != Claimed::Dead {
            self.dead_since = None;
        }
        match seen {
            Claimed::Alive => Liveness::Alive,
            Claimed::Dead => Liveness::Dead { since: *self.dead_since.get_or_insert(look.at) },
            Claimed::Elsewhere => Liveness::Elsewhere,
            Claimed::Nobody => Liveness::Unclaimed,
        }
    }

    fn status(&mut self, look: &Look, old: &LeftOver) -> Status {
        let File::There { stamp, content } = &look.status else {
            self.status = None;
            return Status::Absent;
        };
        if old.holds(stamp.modified) {
            self.status = None;
            return Status::Absent;
        }
        let first_look = self.last_look == Moment::from_nanos(i64::MIN);
        let since = match self.status {
            Some((known, since)) if known == *stamp => since,
            // Never seen before and there at the first look: only its age can tell how long it has stood.
            None if first_look => look.at.minus(look.file_wall.since(stamp.modified)),
            Some(_) | None => look.at,
        };
        self.status = Some((*stamp, since));
        match content {
            StatusText::Unfinished(word) => Status::Unfinished { since, word: word.clone() },
            StatusText::Odd(word) => Status::Odd { since, word: word.clone() },
            StatusText::Complete(word) => Status::Complete { since, word: *word },
        }
    }

    fn heartbeat(&mut self, look: &Look, key: Option<RunKey>, old: &LeftOver) -> Option<Beat> {
        let stamp = look.heartbeat.stamp().filter(|stamp| !old.beats(stamp.modified))?;
        let beat = match self.heartbeat {
            Some(pulse) if pulse.stamp == stamp => pulse.beat,
            Some(pulse) => {
                // It has changed, so it beat between the last look and this one. When exactly: as much after the beat
                // before as their two file times differ. Both are of one clock, so its skew falls out; where that
                // clock was set in between, the two looks bound the error.
                let gap = stamp.modified.since(pulse.stamp.modified);
                let gap = if gap.is_zero() { look.at.since(pulse.beat.fresh) } else { gap };
                let latest = look.at.plus(coarseness(stamp.modified));
                let fresh = pulse.beat.fresh.plus(gap).clamp(self.last_look.min(look.at), latest);
                Beat { fresh, seen: look.at, unconfirmed: None }
            }
            None => {
                // Age counts from the later of heartbeat and pid: a left-over heartbeat must not condemn a run that
                // has just begun.
                let from = key.map_or(stamp.modified, |(_, pid)| pid.max(stamp.modified));
                let fresh = look.at.minus(look.file_wall.since(from)).plus(coarseness(from));
                // On a network filesystem some writers stamp a file by their own clock and some by the server's (sshfs
                // does both), so one age alone condemns nobody there, whatever the server's clock reads.
                let unconfirmed = if look.here.local_filesystem {
                    (look.slept > SLEPT).then_some(look.at)
                } else {
                    Some(look.at.plus(SEEN_LATE))
                };
                Beat { fresh, seen: fresh, unconfirmed }
            }
        };
        self.heartbeat = Some(Pulse { stamp, beat });
        Some(beat)
    }
}

/// By how much a beat may be later than its file time says. Where times have whole seconds, every beat of that second
/// leaves the same one: only its end proves that none came after.
fn coarseness(modified: Wall) -> Duration {
    if modified.is_whole_second() { Duration::from_secs(1) } else { Duration::ZERO }
}

/// What the claim in `.pid` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claimed {
    Alive,
    Dead,
    Elsewhere,
    Nobody,
}

fn claimed(look: &Look, key: Option<RunKey>, meta: Option<&Meta>, seen_alive: bool) -> Claimed {
    let Some((_, pid_modified)) = key else {
        let here = |meta: &Meta| look.here.local_filesystem && !is_of_other_machine(look, meta);
        return if meta.is_some_and(|meta| meta.locked && here(meta)) { Claimed::Dead } else { Claimed::Nobody };
    };
    if let Some(meta) = meta {
        if is_of_other_machine(look, meta) {
            return Claimed::Elsewhere;
        }
        // The kernel's own word: the lock goes with the process, however that dies, and is seen across namespaces. On a
        // network filesystem another client's lock may not show, so only a held one says something there.
        if meta.locked {
            match look.lock {
                Hold::Held => return Claimed::Alive,
                Hold::Free if look.here.local_filesystem => return Claimed::Dead,
                Hold::Free | Hold::Absent | Hold::Unknown => {}
            }
        }
        if is_of_other_namespace(look, meta) {
            return Claimed::Elsewhere;
        }
    }
    // Whether a number that is missing or means another process proves a death: not where the pid file may be another
    // machine's. A run of this program has said that it is of this one.
    let proves = seen_alive || look.here.local_filesystem || meta.is_some_and(|meta| meta.locked);
    match look.process {
        Process::Unclaimed => Claimed::Nobody,
        Process::Hidden => Claimed::Elsewhere,
        Process::Running { started, started_wall } => {
            let recycled = match meta.and_then(|meta| meta.pid_started_at) {
                Some(recorded) => recorded != started,
                None => started_wall > pid_modified.plus(RECYCLED_SLACK),
            };
            match (recycled, proves) {
                (false, _) => Claimed::Alive,
                (true, true) => Claimed::Dead,
                (true, false) => Claimed::Elsewhere,
            }
        }
        Process::Gone { borne_elsewhere } => {
            if seen_alive || (proves && !borne_elsewhere) {
                Claimed::Dead
            } else {
                Claimed::Elsewhere
            }
        }
    }
}

pub(super) fn is_of_other_machine(look: &Look, meta: &Meta) -> bool {
    let differs = |recorded: &Option<String>, here: &str| recorded.as_deref().is_some_and(|recorded| recorded != here);
    differs(&meta.host, &look.here.host) || differs(&meta.boot_id, &look.here.boot_id)
}

pub(super) fn is_of_other_namespace(look: &Look, meta: &Meta) -> bool {
    meta.pid_namespace.is_some() && meta.pid_namespace != look.here.pid_namespace
}

/// The run that the pid file names.
pub(crate) fn run_key(look: &Look) -> Option<RunKey> {
    match &look.pid {
        File::There { stamp, content: PidText::Pid(pid) } => Some((*pid, stamp.modified)),
        File::There { content: PidText::Unfinished | PidText::Bad(_), .. } | File::Absent | File::Unfit(_) => None,
    }
}

/// The meta record, where it speaks of the run that this pid file names.
///
/// With no pid file it may also be the record of a run whose wrapper was killed between publishing it and its pid, or
/// of one whose pid a next starter withdrew before it was killed itself: its lock is free then. A heartbeat that goes on
/// after it is somebody else's.
pub(crate) fn meta_of(look: &Look, key: Option<RunKey>) -> Option<&Meta> {
    let File::There { stamp, content } = &look.meta else { return None };
    let MetaText::Known(meta) = content.as_ref() else { return None };
    let orphaned = || {
        let beaten = look.heartbeat.stamp().is_none_or(|beat| beat.modified <= stamp.modified.plus(LEFT_OVER_SLACK));
        key.is_none() && !look.pid.is_there() && meta.locked && look.lock == Hold::Free && beaten
    };
    // A record without a pid tells a run from the next one only by time: it was made for what stood there then.
    let current = || {
        let younger = |file: Stamp| file.modified > stamp.modified.plus(LEFT_OVER_SLACK);
        match (key, meta.reason) {
            (Some(_), _) => true,
            (None, Some(_)) => look.status.stamp().is_some_and(|status| !younger(status)),
            (None, None) => !look.heartbeat.stamp().is_some_and(younger),
        }
    };
    (meta.speaks_of(key) && current() || orphaned()).then_some(meta)
}

/// When the run began: by its own record on this boot, else by the age of its oldest file less all sleep since boot.
fn began(look: &Look, meta: Option<&Meta>) -> Moment {
    if let Some(meta) = meta
        && !is_of_other_machine(look, meta)
        && let Some(began) = meta.began()
    {
        return began.min(look.at);
    }
    let pid = look.pid.stamp().map(|stamp| stamp.modified);
    let first = pid.or_else(|| {
        let others = [look.heartbeat.stamp(), look.status.stamp(), look.meta.stamp()];
        others.into_iter().flatten().map(|stamp| stamp.modified).min()
    });
    first.map_or(look.at, |first| look.at.minus(look.file_wall.since(first).saturating_sub(look.slept)))
}

/// The first sentinel that is no regular file, with what it is.
fn unfit(look: &Look) -> Option<String> {
    let faults = [
        ("status", fault(&look.status)),
        ("pid", fault(&look.pid)),
        ("heartbeat", fault(&look.heartbeat)),
        ("result", fault(&look.result)),
        ("meta", fault(&look.meta)),
    ];
    faults.into_iter().find_map(|(name, fault)| Some(format!("the {name} file {}", fault?)))
}

fn fault<T>(file: &File<T>) -> Option<&str> {
    match file {
        File::Unfit(fault) => Some(fault),
        File::Absent | File::There { .. } => None,
    }
}
