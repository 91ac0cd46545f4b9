//! A world of one's own: files, processes and clocks that change by a script, events that come late, twice or never.
//!
//! It holds the true state, for the snapshots that the loop reads and for the oracle.

use crate::decide::liveness::is_copy;
use crate::decide::snapshot::{LocalContext, Process, Snapshot};
use crate::monitor::event::Task;
use crate::monitor::tests::log::Log;
use crate::monitor::tests::places::{DIRECTORY, Place, TIME};
use crate::monitor::tests::script::{Change, Limits, MILLISECOND, Random, SECOND, Weather};
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::{FileId, FileStamp, FileState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::outcome::{Intent, Outcome, Reason};
use crate::record::pid::ParsedPid;
use crate::record::result::ParsedResult;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::record::step_name::StepName;
use crate::record::time::{MonotonicTime, WallTime};
use crate::step::terminate::Termination;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The wall clock where the awake clock reads none; no whole second, which would be a coarse filesystem's.
const EPOCH: i64 = 1_700_000_000_000_000_007;
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) bytes: Vec<u8>,
    pub(super) modified: i64,
    /// When that was, whatever the clock said.
    pub(super) written: i64,
    pub(super) run: u32,
    pub(super) inode: u64,
}

impl fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, modified, written, run, inode } = self;
        let text = String::from_utf8_lossy(bytes);
        write!(formatter, "run {run}, inode {inode}, written {written} by the clock's {modified}: {text:?}")
    }
}

/// One step, as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) files: BTreeMap<&'static str, Disk>,
    /// The run that the pid file named last.
    pub(super) run: u32,
    pub(super) pid: i32,
    /// When that pid was written.
    pub(super) claimed: Option<i64>,
    /// When its process ended.
    pub(super) gone: Option<i64>,
    /// Whether that pid was written over another in place, which only the rescan finds.
    pub(super) unnoticed: bool,
    /// Who holds the lock.
    pub(super) lock: Option<i32>,
    /// Which file has the lock's name, and which the run recorded.
    pub(super) lock_file: Option<u64>,
    pub(super) noted_lock: Option<u64>,
    /// Where its files lie.
    pub(super) place: Place,
    /// By how much the clocks of its time namespace are ahead of the reader's; zero where it is the reader's own.
    pub(super) time_ahead: i64,
    /// Whether its processes are to be seen from here.
    pub(super) unseen: bool,
    /// When the run began that stands there.
    pub(super) began: i64,
    /// When a run began by its own record, which has whole milliseconds.
    pub(super) noted: Option<(u32, i64)>,
    /// Since when nothing is there.
    pub(super) absent: i64,
    /// Since when any file is there again.
    pub(super) returned: i64,
    /// The intent that a terminator has recorded.
    pub(super) intent: Option<Outcome>,
    /// What the oracle keeps of the last look: what was true in the course of it.
    pub(super) course: Vec<Option<(Outcome, i64)>>,
    pub(super) looked: i64,
    pub(super) known: BTreeSet<(u32, bool)>,
    /// What a verdict was that the wait acts upon.
    pub(super) acted: Option<Outcome>,
    /// Until when the loop was busy with ending its run, and looked at nothing; first, until the wait began.
    pub(super) busy: i64,
    /// Its log.
    pub(super) log: Log,
    /// The pid that a look has read last.
    pub(super) last_pid: Option<i32>,
    /// Whether a look showed any file of it.
    pub(super) ever_seen: bool,
    /// The run that a look showed alive.
    pub(super) seen_alive: Option<u32>,
    /// Whether the loop has ended its run.
    ended: bool,
    /// What the loop has announced for it.
    announced: Option<Intent>,
    /// The time that the pid file will have, and when that was, whatever the clock said.
    pub(super) stamp: Option<(i64, i64)>,
    /// Whether even a careful observer could be wrong: only a first look across a set clock can make it so.
    pub(super) unknowable: bool,
}

/// Everything that is true.
pub(super) struct State {
    pub(super) now: i64,
    /// By how much the wall clock was set, and how long the machine has slept.
    set: i64,
    slept: i64,
    /// Those that are waited for, and after each of them all, in the same order, the originals of copies.
    pub(super) steps: Vec<Step>,
    pub(super) waited_for: usize,
    /// When each process began (and on which start tick), and when it ended.
    pub(super) processes: BTreeMap<i32, (i64, Option<i64>)>,
    pub(super) script: Vec<(i64, usize, Change)>,
    pub(super) done: usize,
    pub(super) limits: Limits,
    pub(super) weather: Weather,
    pub(super) random: Random,
    pub(super) notices: Vec<(i64, Notice)>,
    pub(super) exits: BTreeMap<i32, usize>,
    pub(super) followed: BTreeSet<(usize, &'static str, u64)>,
    pub(super) endings: Vec<(i64, usize, Task, Snapshot)>,
    pub(super) inodes: u64,
    /// When the wall clock was set or the machine slept.
    pub(super) upheavals: Vec<i64>,
    pub(super) over: bool,
    here: Arc<LocalContext>,
    pub(super) armed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Notice {
    Name(String),
    Exit(usize),
    LogGrew(usize),
    Missed,
}

impl State {
    pub(super) fn new(steps: usize, limits: Limits, weather: Weather, random: Random) -> Self {
        let here = LocalContext {
            host: "here".into(),
            boot_id: "boot".into(),
            pid_namespace: Some(1),
            time_namespace: Some(TIME),
            directory: Some(DIRECTORY),
            local_filesystem: true,
        };
        Self {
            now: -3600 * SECOND,
            set: 0,
            slept: 0,
            steps: vec![Step { absent: -3600 * SECOND, ..Step::default() }; 2 * steps],
            waited_for: steps,
            processes: BTreeMap::new(),
            script: Vec::new(),
            done: 0,
            limits,
            weather,
            random,
            notices: Vec::new(),
            exits: BTreeMap::new(),
            followed: BTreeSet::new(),
            endings: Vec::new(),
            inodes: 0,
            upheavals: Vec::new(),
            over: false,
            here: Arc::new(here),
            armed: false,
        }
    }

    pub(super) fn wall(&self) -> i64 {
        EPOCH + self.now + self.slept + self.set
    }

    pub(super) fn notify(&mut self, notice: &Notice) {
        let Weather { lost, doubled, late, .. } = self.weather;
        let copies = if self.random.happens(lost) { 0 } else { 1 + i32::from(self.random.happens(doubled)) };
        for _ in 0..copies {
            let at = self.now + if late > 0 { self.random.between(0, late) } else { 0 };
            self.notices.push((at, notice.clone()));
        }
        // A queue that ran over says so, often enough.
        if copies == 0 && self.random.happens(30) {
            self.notices.push((self.now + SECOND, Notice::Missed));
        }
    }

    pub(super) fn named(&mut self, step: usize, record: Record) {
        let wakes = record.shows_start() || record == Record::Result || record == Record::Log && self.limits.marker;
        if self.armed && !self.weather.polls && wakes {
            let name = file_name(&StepName::parse(&format!("step{step}")).unwrap(), record);
            self.notify(&Notice::Name(name));
        }
    }

    /// Moves on, and lets happen what the script has for that time.
    pub(super) fn advance(&mut self, to: i64, looking: Option<usize>) {
        while let Some((at, step, change)) = self.script.get(self.done).cloned().filter(|(at, ..)| *at <= to) {
            self.done += 1;
            self.now = self.now.max(at);
            self.apply(step, change);
            if let Some(index) = looking {
                self.observe(index);
            }
        }
        self.now = self.now.max(to);
    }

    fn apply(&mut self, step: usize, change: Change) {
        // Of a run that the loop has ended nothing more comes.
        let ended = self.steps[step].ended;
        match change {
            Change::Write { .. } | Change::Meta { .. } | Change::Remove(_) | Change::Take(_) if ended => {}
            Change::Meta { pid, run, began, reason } => self.write_meta(step, (pid, run), began, reason),
            Change::Write { record, bytes, run, whole } => self.write(step, record, bytes, run, whole),
            Change::Remove(record) => {
                if self.steps[step].files.remove(record.suffix()).is_some() {
                    let now = self.now;
                    let this = &mut self.steps[step];
                    // Of a run whose pid file goes before any snapshot showed it, nothing is known for certain.
                    let unseen = this.gone.is_none() && (this.unseen || this.seen_alive != Some(this.run));
                    this.unknowable |= record == Record::Pid && unseen;
                    // What was recorded of its end is gone with the record.
                    this.intent = this.intent.filter(|_| record != Record::Meta);
                    if !self.steps[step].is_there() {
                        self.steps[step].absent = now;
                    }
                    self.named(step, record);
                }
            }
            Change::Start(pid) => {
                self.processes.insert(pid, (self.now, None));
            }
            Change::Exit(pid) => self.exit(pid),
            Change::Take(pid) => self.take_lock(step, pid),
            Change::LoseLock { replaced } => self.lose_lock(step, replaced),
            Change::Copy { to, keeps_times } => self.copy(step, to, keeps_times),
            Change::Log(text) => self.log(step, text),
            Change::LogCut => self.cut_log(step),
            Change::SetClock(further) => {
                self.set += further;
                self.upheavals.push(self.now);
            }
            Change::Sleep(span) => {
                self.slept += span;
                self.upheavals.push(self.now);
            }
        }
    }

    pub(super) fn write(&mut self, step: usize, record: Record, bytes: Vec<u8>, run: u32, whole: bool) {
        let (now, stamp) = (self.now, self.steps[step].stamp);
        let (modified, made) = stamp.filter(|_| whole && record == Record::Pid).unwrap_or_else(|| (self.wall(), now));
        let old = self.steps[step].files.get(record.suffix()).map(|disk| disk.inode);
        self.inodes += 1;
        let inode = old.filter(|_| !whole).unwrap_or(self.inodes);
        let named = match (record == Record::Pid).then(|| ParsedPid::parse(&bytes)) {
            Some(ParsedPid::Pid(pid)) => Some(pid),
            _ => None,
        };
        let gone = named.and_then(|pid| self.processes.get(&pid)?.1.map(|ended| ended.max(now)));
        if !self.steps[step].is_there() && !self.follows(step) {
            self.steps[step].returned = now;
        }
        let this = &mut self.steps[step];
        // With no pid a run is known by the first file that it writes, unless the end of the one before stands there.
        let open = !this.files.contains_key("pid") && this.status_word().is_none();
        if run != this.run && (named.is_some() || open) {
            (this.run, this.began, this.claimed, this.intent, this.gone) = (run, now, None, None, None);
        }
        if let Some(pid) = named {
            (this.pid, this.claimed, this.gone) = (pid, Some(made), gone);
            this.unnoticed = old == Some(inode) && !self.followed.contains(&(step, "pid", inode));
        }
        self.steps[step].files.insert(record.suffix(), Disk { bytes, modified, written: now, run, inode });
        if old != Some(inode) || self.followed.contains(&(step, record.suffix(), inode)) {
            self.named(step, record);
        }
    }

    fn write_meta(&mut self, step: usize, (pid, run): (i32, u32), began: i64, reason: Option<Reason>) {
        let this = &self.steps[step];
        let known = this.stamp.filter(|_| this.noted.is_some_and(|(noted, _)| noted == run));
        let made = known.unwrap_or_else(|| (self.wall(), self.now));
        let started = self.processes.get(&pid).map_or(0, |(began, _)| *began);
        let own_lock = this.lock_file.filter(|_| this.lock == Some(pid)).or(this.noted_lock);
        let interval = self.limits.stale.unwrap_or(30 * SECOND) / 3 / MILLISECOND;
        let meta = Meta {
            run_id: format!("run-{run}"),
            host: Some("here".into()),
            boot_id: Some("boot".into()),
            pid_namespace: Some(1),
            time_namespace: Some(if this.time_ahead == 0 { TIME } else { TIME + 1 }),
            directory: Some(this.directory()),
            lock_file: own_lock.map(|inode| FileId { device: 1, inode }),
            pid: Some(pid),
            pid_mtime_ns: Some(made.0),
            pid_started_at: Some((started + this.time_ahead).unsigned_abs()),
            locked: true,
            started_awake_ms: Some((began + this.time_ahead).div_euclid(MILLISECOND)),
            heartbeat_interval_ms: Some(interval.unsigned_abs()),
            intent: self.steps[step].announced,
            reason,
            ..Meta::default()
        };
        (self.steps[step].stamp, self.steps[step].noted_lock) = (Some(made), own_lock);
        self.steps[step].noted = Some((run, began.div_euclid(MILLISECOND) * MILLISECOND));
        self.write(step, Record::Meta, meta.encode(), run, true);
        if run == self.steps[step].run {
            self.steps[step].intent = reason.map(Reason::outcome);
        }
    }

    pub(super) fn exit(&mut self, pid: i32) {
        let now = self.now;
        if let Some((_, ended @ None)) = self.processes.get_mut(&pid) {
            *ended = Some(now);
            for step in &mut self.steps {
                step.lock = step.lock.filter(|holder| *holder != pid);
                if step.pid == pid && step.claimed.is_some() {
                    step.gone = step.gone.or(Some(now));
                }
            }
            if let Some(index) = self.exits.remove(&pid) {
                self.notify(&Notice::Exit(index));
            }
        }
    }

    fn pass(&mut self, index: usize) {
        let span = self.random.between(0, 40_000);
        self.advance(self.now + span, Some(index));
    }

    pub(super) fn read<T>(&self, step: usize, record: Record, parse: impl Fn(&[u8]) -> T) -> FileState<T> {
        self.steps[step].files.get(record.suffix()).map_or(FileState::Missing, |disk| {
            let modified = WallTime::from_nanos(disk.modified);
            let stamp = FileStamp { modified, size: disk.bytes.len() as u64, inode: disk.inode, owner: 0 };
            FileState::Present { stamp, content: parse(&disk.bytes) }
        })
    }

    /// The process that the last pid file named.
    pub(super) fn followed_process(&self, index: usize) -> Process {
        let named = self.steps[index].last_pid.filter(|_| !self.steps[index].unseen);
        named.map_or(Process::NotAsked, |pid| self.process(index, pid))
    }

    /// A look in the order of the real one, while the world goes on.
    pub(super) fn look(&mut self, index: usize) -> (Snapshot, bool) {
        self.begin_course(index);
        let wall = WallTime::from_nanos(self.wall());
        let slept = Duration::from_nanos(self.slept.unsigned_abs());
        let mut snapshot = Snapshot::empty(MonotonicTime::from_nanos(self.now), wall, slept, Arc::clone(&self.here));
        snapshot.pid = self.read(index, Record::Pid, ParsedPid::parse);
        self.pass(index);
        snapshot.meta = self.read(index, Record::Meta, |bytes| Arc::new(ParsedMeta::parse(bytes)));
        self.pass(index);
        self.look_for_life(index, &mut snapshot);
        self.pass(index);
        snapshot.status = self.read(index, Record::Status, ParsedStatus::parse);
        self.pass(index);
        if let Some(ParsedStatus::Complete(word)) = snapshot.status.content() {
            snapshot.meta = self.read(index, Record::Meta, |bytes| Arc::new(ParsedMeta::parse(bytes)));
            self.pass(index);
            if *word == StatusWord::Success {
                snapshot.result = self.read(index, Record::Result, ParsedResult::parse);
            }
        }
        self.pass(index);
        snapshot.heartbeat = self.read(index, Record::Heartbeat, |_| ());
        self.pass(index);
        let again = self.read(index, Record::Pid, ParsedPid::parse);
        self.observe(index);
        (snapshot.clone(), again.stamp() == snapshot.pid.stamp())
    }

    /// As cheap questions tell it.
    pub(super) fn is_unchanged(&self, index: usize, snapshot: &Snapshot) -> bool {
        let stamp = |record| self.read(index, record, |_| ()).stamp();
        stamp(Record::Status) == snapshot.status.stamp()
            && stamp(Record::Pid) == snapshot.pid.stamp()
            && stamp(Record::Meta) == snapshot.meta.stamp()
            && (snapshot.heartbeat.is_there() || stamp(Record::Heartbeat).is_none())
    }

    /// What becomes of a run that is to be ended: unless it ended by itself in between.
    pub(super) fn carry_out(&mut self, index: usize, task: &Task, snapshot: &Snapshot) -> Termination {
        let (killed, reason) = match task {
            Task::Terminate(intent, _) => (true, intent.reason()),
            Task::RecordDeath(reason) => (false, *reason),
        };
        let now: FileState<ParsedPid> = self.read(index, Record::Pid, ParsedPid::parse);
        self.steps[index].busy = self.now;
        let nothing = Termination { recorded: true, ..Termination::default() };
        if now.stamp() != snapshot.pid.stamp() {
            // Where only the pid file has gone it is the same run, of which nothing is recorded: it may be told as announced.
            let acted = self.steps[index].acted;
            self.steps[index].acted = acted.filter(|_| !now.is_there());
            return nothing;
        }
        if self.steps[index].status_word().is_some() {
            return nothing;
        }
        let refused = if killed { !self.can_kill(index, snapshot) } else { is_copy(snapshot) };
        if refused {
            return Termination { recorded: false, ..nothing };
        }
        if killed {
            self.allow_kill(index);
            self.exit(self.steps[index].pid);
        }
        self.steps[index].ended = true;
        self.record(index, Some(reason), None);
        let (run, word) = (self.steps[index].run, if reason == Reason::Success { "SUCCESS\n" } else { "FAILED\n" });
        self.write(index, Record::Status, word.into(), run, true);
        Termination { killed, ..nothing }
    }

    /// Writes what somebody has to say of a run into its record, as an ender does.
    pub(super) fn record(&mut self, index: usize, reason: Option<Reason>, intent: Option<Intent>) {
        self.allow_record(index, reason);
        let key = self.steps[index].files.get("pid").map(|disk| disk.modified);
        let bytes = self.steps[index].files.get("meta").map(|disk| disk.bytes.clone()).unwrap_or_default();
        let (pid, run) = (self.steps[index].pid, self.steps[index].run);
        let mut meta = match ParsedMeta::parse(&bytes) {
            ParsedMeta::Known(meta) if meta.pid_mtime_ns == key => *meta,
            ParsedMeta::Known(_) | ParsedMeta::Newer(_) | ParsedMeta::Broken(_) => {
                Meta { run_id: format!("made-{run}"), pid: key.map(|_| pid), pid_mtime_ns: key, ..Meta::default() }
            }
        };
        self.steps[index].announced = meta.intent.or(intent);
        (meta.reason, meta.intent) = (meta.reason.or(reason), meta.intent.or(intent));
        self.steps[index].intent = meta.reason.or(meta.intent.map(Intent::reason)).map(Reason::outcome);
        self.write(index, Record::Meta, meta.encode(), run, true);
    }
}
