//! Where the simulated files lie, and which lock is found there: copies, other mounts, lost locks, other time namespaces.

use crate::decide::snapshot::{Process, Snapshot};
use crate::monitor::tests::simulated::{State, Step};
use crate::record::file_names::Record;
use crate::record::file_state::{FileId, LockState};
use crate::record::meta::ParsedMeta;
use crate::record::outcome::Reason;
use crate::record::time::WallTime;
use crate::step::terminate::check_reachable;

/// The directory of the reader.
pub(super) const DIRECTORY: FileId = FileId { device: 1, inode: 1 };
/// The time namespace of the reader.
pub(super) const TIME: u64 = 1;
/// Who holds a lock file that is not the run's.
const ASKER: i32 = -1;

/// What the reader's directory is to the one that the run writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// The same.
    #[default]
    Own,
    /// The same by another mount, through which no lock passes.
    Mount,
    /// A copy.
    Copy,
}

impl Step {
    /// The directory that the run records.
    pub(super) fn directory(&self) -> FileId {
        if self.place == Place::Own { DIRECTORY } else { FileId { device: 2, inode: 1 } }
    }

    /// Whether the record is that of the run that stands there.
    pub(super) fn has_own_record(&self) -> bool {
        self.noted.is_some_and(|(run, _)| run == self.run)
    }

    /// Whether start times and clocks that the run recorded are of another time namespace.
    pub(super) fn is_of_other_time(&self) -> bool {
        self.time_ahead != 0 && self.has_own_record()
    }

    /// Whether the lock file is the one that the run recorded.
    pub(super) fn has_own_lock(&self) -> bool {
        self.has_own_record()
            && self.place == Place::Own
            && self.lock_file.is_some()
            && self.lock_file == self.noted_lock
    }

    /// Whether the record that is there tells of an end, be it this run's or another's.
    fn has_recorded_end(&self) -> bool {
        let meta = self.files.get("meta").map(|disk| ParsedMeta::parse(&disk.bytes));
        matches!(meta, Some(ParsedMeta::Known(meta)) if meta.reason.is_some())
    }

    fn seen_lock(&self) -> (LockState, Option<FileId>) {
        let Some(inode) = self.lock_file else { return (LockState::Unknown, None) };
        let held = self.lock.is_some() && self.place != Place::Mount;
        (if held { LockState::Held } else { LockState::Free }, Some(FileId { device: self.directory().device, inode }))
    }
}

impl State {
    /// The run of this process takes the lock under its name.
    pub(super) fn take_lock(&mut self, step: usize, pid: i32) {
        self.inodes += 1;
        let this = &mut self.steps[step];
        this.lock_file = this.lock_file.or(Some(self.inodes));
        this.lock = Some(pid);
    }

    pub(super) fn lose_lock(&mut self, step: usize, replaced: Option<bool>) {
        self.inodes += 1;
        let this = &mut self.steps[step];
        this.lock_file = replaced.map(|_| self.inodes);
        this.lock = replaced.filter(|held| *held).map(|_| ASKER);
    }

    /// Copies what is there of a run to the directory of the step that is waited for. What its looks showed stays known.
    pub(super) fn copy(&mut self, from: usize, to: usize, keeps_times: bool) {
        let (now, wall) = (self.now, self.wall());
        let (original, mut copy) = (self.steps[from].clone(), self.steps[to].clone());
        (copy.run, copy.pid, copy.claimed) = (original.run, original.pid, original.claimed);
        (copy.gone, copy.began, copy.noted) = (original.gone, original.began, original.noted);
        (copy.intent, copy.stamp, copy.time_ahead) = (original.intent, original.stamp, original.time_ahead);
        (copy.place, copy.noted_lock, copy.returned) = (Place::Copy, original.noted_lock, now);
        copy.files = original.files;
        for disk in copy.files.values_mut() {
            self.inodes += 1;
            disk.inode = self.inodes;
            if !keeps_times {
                (disk.modified, disk.written) = (wall, now);
            }
        }
        copy.lock_file = Some(self.inodes + 1);
        self.inodes += 1;
        if !keeps_times {
            // By another time of `.pid` the record speaks of no run that is there.
            (copy.claimed, copy.began, copy.noted, copy.intent) = (copy.claimed.map(|_| now), now, None, None);
        }
        self.steps[to] = copy;
        for record in [Record::Heartbeat, Record::Meta, Record::Pid, Record::Result, Record::Status] {
            self.named(to, record);
        }
    }

    /// Looks at the lock and the process, in the order of the real look.
    pub(super) fn look_for_life(&mut self, index: usize, snapshot: &mut Snapshot) {
        (snapshot.lock, snapshot.lock_file) = self.steps[index].seen_lock();
        let key = snapshot.pid_file_id();
        match key {
            Some(key) => self.steps[index].last_pid = Some(key.pid),
            None => snapshot.followed = self.followed_process(index),
        }
        let meta =
            snapshot.recorded_meta().filter(|meta| meta.locked && (!snapshot.pid.is_there() || meta.speaks_of(key)));
        let by_lock = snapshot.lock == LockState::Held
            && key.is_some()
            && meta.is_some_and(|meta| meta.lock_file.is_none() || meta.lock_file == snapshot.lock_file);
        let claimed = key.map(|key| key.pid).or_else(|| meta.and_then(|meta| meta.pid));
        let claimed = claimed.filter(|_| !by_lock && (key.is_some() || !snapshot.pid.is_there()));
        if let Some(pid) = claimed {
            snapshot.process = self.process(index, pid);
        }
        let step = &mut self.steps[index];
        let seen = by_lock || matches!(snapshot.process, Process::Running { .. }) && !step.is_of_other_time();
        if seen && key.is_some_and(|key| key.pid == step.pid) && step.gone.is_none() {
            step.seen_alive = Some(step.run);
        }
    }

    /// What the kernel says of a process.
    pub(super) fn process(&self, index: usize, pid: i32) -> Process {
        match self.processes.get(&pid) {
            _ if self.steps[index].unseen => Process::Hidden,
            Some((began, None)) => Process::Running {
                started: began.unsigned_abs(),
                started_wall: WallTime::from_nanos(self.wall() - (self.now - began)),
            },
            _ => Process::Gone { borne_elsewhere: false },
        }
    }

    /// Whether the program would signal the run that this look shows.
    pub(super) fn can_kill(&self, index: usize, snapshot: &Snapshot) -> bool {
        check_reachable(snapshot, "").is_ok() && !self.steps[index].unseen
    }

    /// The oracle's rules of what may be done at all, whatever the answer is. First: signals go to the run's own process
    /// alone, and none goes where the files are a copy, or another time namespace's.
    pub(super) fn allow_kill(&self, index: usize) {
        let step = &self.steps[index];
        let began = self.processes.get(&step.pid).map(|(began, _)| *began);
        let own = step.place == Place::Own && !step.is_of_other_time() && began <= step.claimed && began.is_some();
        assert!(own, "a process that is not the run's is killed: {step:?}");
    }

    /// Second: in a copy nothing is recorded of a run that has not recorded its end, and no living process is said to
    /// have died, whatever a lock says.
    pub(super) fn allow_record(&self, index: usize, reason: Option<Reason>) {
        let step = &self.steps[index];
        let own = step.place == Place::Own || step.has_recorded_end();
        assert!(own, "{reason:?} is recorded in a copy: {step:?}");
        let known = step.has_own_record() || !step.unknowable;
        let lives = known && step.claimed.is_some() && step.gone.is_none();
        assert!(reason != Some(Reason::Died) || !lives, "a living run is recorded as dead: {step:?}");
    }
}
