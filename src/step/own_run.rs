//! The files of the run that this process is: the runner keeps them whole and records its end in them.
//!
//! What the run is stands in memory, so that no missing file keeps its end from being told: what was removed, replaced or
//! overwritten by another process is written again, and said in `detail`. Only another run that holds the step's lock and
//! has published its pid makes this one give way.

use crate::error::Error;
use crate::record::evidence::TreeProcess;
use crate::record::file_names::{Record, TempFile, file_name, record_lock};
use crate::record::file_state::{FileStamp, FileState};
use crate::record::meta::Meta;
use crate::record::outcome::{Intent, Reason, detail_of};
use crate::record::pid::{self, ParsedPid, PidFileId};
use crate::record::status::{self, ParsedStatus};
use crate::record::step_name::StepName;
use crate::step::outcome::{RunStatus, standing_meta};
use crate::step::publisher::{Ending, PreallocatedFiles, Publisher, publish_end};
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::process::tree::Escalation;
use crate::sys::signals::Signal;
use std::sync::Arc;
use std::time::Duration;

/// How long the record lock is waited for. It is held for some reads and renames; a process that is stopped while it
/// holds the lock does not keep a run from recording its own end.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a run knows of itself.
#[derive(Debug)]
pub(crate) struct OwnRun {
    directory: Arc<MonitorDir>,
    step: StepName,
    /// Its record as published last, with what other processes announced in it since.
    meta: Meta,
    /// The record's file as it was when that was read in it, with its permission bits.
    meta_file: Option<(FileStamp, u32)>,
    /// The pid file likewise.
    pid_file: Option<(FileStamp, u32)>,
    key: PidFileId,
    lock: Lock,
    /// Names of files that were written again.
    restored: Vec<String>,
}

/// What came of recording the own end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedEnd {
    /// How the run stood before: recorded was the end of one that had no outcome yet.
    pub(crate) before: RunStatus,
    /// The reason that stands in the record now.
    pub(crate) reason: Reason,
    /// What was written again beside it, and what could not be written: sentences for people.
    pub(crate) troubles: Vec<String>,
}

impl OwnRun {
    /// The run whose start files have just been published. Another process may have written into them before they had
    /// their names, so they are read once. Call it with the record lock still held, where it was to be had.
    pub(crate) fn new(directory: Arc<MonitorDir>, step: StepName, meta: Meta, key: PidFileId, lock: Lock) -> Self {
        let mut run = Self { directory, step, meta, meta_file: None, pid_file: None, key, lock, restored: Vec::new() };
        // Where another run has the step already, the end says so.
        let _is_own = run.restore_files();
        run
    }

    /// A file as it stands there, with its permission bits.
    fn facts(&self, record: Record) -> Option<(FileStamp, u32)> {
        let facts = self.directory.file(&file_name(&self.step, record)).facts().ok()?;
        Some((facts.stamp, facts.mode))
    }

    /// What a terminator has announced in the record, and only then signalled; `None` if none has.
    pub(crate) fn announced(&mut self) -> Option<Intent> {
        self.read_meta();
        self.meta.intent
    }

    /// What a terminator asks this process for: to end its own tree in this way.
    pub(crate) fn requested(&mut self) -> Option<Escalation> {
        self.read_meta();
        let open = self.meta.reason.is_none() && self.meta.intent.is_some();
        let grace = self.meta.end_within_ms.filter(|_| open).map(Duration::from_millis)?;
        // Earlier versions name none.
        let named = self.meta.end_signal.as_deref().and_then(|name| name.parse().ok());
        Some(Escalation { signal: named.unwrap_or(Signal::SIGTERM), grace })
    }

    /// Takes a request back that could not be carried out: the run goes on. The record names the processes that are still
    /// there.
    ///
    /// # Errors
    /// A sentence: the record could not be written.
    pub(crate) fn refuse(&mut self, survivors: Option<String>) -> Result<(), Error> {
        let _held = self.lock_record();
        self.read_meta();
        self.meta.withdraw(survivors);
        self.publish_meta()
    }

    /// Writes again what is missing while the run goes on, unless another process is recording at this moment.
    pub(crate) fn restore(&mut self) {
        if let Ok(Some(_held)) = Lock::take(&self.directory.file(&record_lock(&self.step)), Duration::ZERO) {
            self.restore_files();
        }
    }

    /// Announces, before the first signal, that this process ends the run and why, with the tree as it then was. The
    /// first announcement counts.
    ///
    /// # Errors
    /// A sentence; the end will be recorded with this reason all the same.
    pub(crate) fn announce(
        &mut self,
        intent: Intent,
        detail: &str,
        evidence: Option<Vec<TreeProcess>>,
    ) -> Result<(), Error> {
        let _held = self.lock_record();
        self.read_meta();
        self.meta.announce(intent, detail, evidence);
        self.publish_meta()
    }

    /// Records the end, unless another process has recorded one already, and gives the step's lock back: with the status
    /// out the run is over, and the next run may be waiting.
    pub(crate) fn record_end(mut self, ending: Ending, files: PreallocatedFiles) -> RecordedEnd {
        let held = self.lock_record();
        let is_own = self.restore_files();
        let told = self.told_reason().filter(|_| is_own);
        let mut publisher = Publisher { files, ..self.publisher() };
        let (before, reason, faults) = if !is_own {
            (RunStatus::Replaced, ending.reason, Vec::new())
        } else if let Some(reason) = told {
            (RunStatus::Ended, reason, Vec::new())
        } else {
            let detail = detail_of(ending.detail.into_iter().chain(self.restored_sentence()));
            let ending = Ending { detail, ..ending };
            let (reason, faults) = publish_end(&mut publisher, self.meta.clone(), &ending);
            (RunStatus::Running, reason, faults)
        };
        drop(publisher);
        // COMMAND's own copy of its result: it has been published, or was never there. With it everything that this run had
        // unpublished is published or removed.
        let _stays = self.directory.file(&TempFile::GIVEN.of(&self.step, &self.meta.run_id)).remove();
        self.lock.clear_note();
        drop(held);
        let troubles = self.restored_sentence().into_iter().chain(faults.iter().map(Error::to_string)).collect();
        drop(self.lock);
        RecordedEnd { before, reason, troubles }
    }

    fn publisher(&self) -> Publisher<'_> {
        Publisher::new(&self.directory, &self.step)
    }

    /// `None` if another process keeps the lock, or the directory has none to give.
    fn lock_record(&self) -> Option<Lock> {
        Lock::take(&self.directory.file(&record_lock(&self.step)), PATIENCE).ok().flatten()
    }

    fn restored_sentence(&self) -> Option<String> {
        let (last, others) = self.restored.split_last()?;
        let names = if others.is_empty() { last.clone() } else { format!("{} and {last}", others.join(", ")) };
        Some(format!(
            "{names} had been changed or removed by another process and {} written again",
            if others.is_empty() { "was" } else { "were" }
        ))
    }

    /// Reads the record where it has changed, and takes over what is said of this run in it; whether it is this run's.
    fn read_meta(&mut self) -> bool {
        let file = self.facts(Record::Meta);
        if self.meta_file.is_some() && file == self.meta_file {
            return true;
        }
        let standing = standing_meta(&self.directory, &self.step).filter(|meta| meta.run_id == self.meta.run_id);
        let Some(meta) = standing else { return false };
        let before = std::mem::replace(&mut self.meta, *meta);
        // An older copy of the record lacks what was announced since.
        if self.meta.announcements < before.announcements {
            self.meta = Meta {
                intent: before.intent,
                announcements: before.announcements,
                end_within_ms: before.end_within_ms,
                end_signal: before.end_signal,
                detail: before.detail,
                evidence: before.evidence,
                ..self.meta.clone()
            };
        }
        // Asked before it was read: what changed in between is read again.
        self.meta_file = file;
        true
    }

    /// Sees to it that lock, pid, heartbeat and record are this run's, and that no end of an earlier run stands beside them.
    /// Call it with the record lock held. Returns whether they are: not where another run has the step.
    fn restore_files(&mut self) -> bool {
        let has_meta = self.read_meta();
        // The record may be an earlier run's, with its end: a process that met an older pid file in place of this run's, while
        // this process was stopped, may have recorded that end, whose status would stand as this run's. So would a status
        // that is older than this run's pid. Asked before the lock is restored, which publishes this run's record over the
        // other one.
        let is_ended = |other: Box<Meta>| other.reason.is_some();
        let has_others_end = !has_meta && standing_meta(&self.directory, &self.step).is_some_and(is_ended)
            || self.facts(Record::Status).is_some_and(|(stamp, _)| stamp.modified < self.key.written);
        let lock = self.meta.lock_file;
        if !self.restore_lock() {
            return false;
        }
        if has_others_end {
            for record in [Record::Status, Record::Result] {
                // One that stays is reported by the end of this run.
                let _stays = self.directory.file(&file_name(&self.step, record)).remove();
            }
        }
        self.restore_pid();
        let heartbeat = file_name(&self.step, Record::Heartbeat);
        if matches!(self.directory.stat(&heartbeat), Ok(FileState::Missing))
            && self.directory.file(&heartbeat).touch().is_ok()
        {
            self.note_restored(Record::Heartbeat);
        }
        if !has_meta {
            self.note_restored(Record::Meta);
        }
        if !has_meta || self.meta.lock_file != lock {
            // The end writes it once more; what cannot be written now is said then.
            let _published = self.publish_meta();
        }
        true
    }

    /// Holds the step's lock under its name again, where the file was removed or replaced; false where another run has it.
    fn restore_lock(&mut self) -> bool {
        let name = file_name(&self.step, Record::Lock);
        let file = self.directory.file(&name);
        if self.lock.still_at(&file) {
            return true;
        }
        match Lock::take(&file, Duration::ZERO) {
            Ok(Some(lock)) => {
                // The id by which the next run finds what this one left unpublished.
                let _unnoted = lock.note(self.meta.run_id.as_bytes());
                self.read_meta();
                self.meta.lock_file = Some(lock.id());
                self.lock = lock;
                self.note_restored(Record::Lock);
                // The lock of another file says nothing of this run to other processes.
                let _unsaid = self.publish_meta();
                true
            }
            Ok(None) => !self.is_followed(),
            // No lock file can be made there; that names no other run.
            Err(_) => true,
        }
    }

    /// Whether another run has published its pid.
    fn is_followed(&self) -> bool {
        let name = file_name(&self.step, Record::Pid);
        let read = self.directory.read(&name, pid::LONGEST);
        matches!(read, Ok(FileState::Present { content, .. })
            if matches!(ParsedPid::parse(&content), ParsedPid::Pid(pid) if pid != self.key.pid))
    }

    /// Writes the pid again where it is not what this run published, with the time that its record names it by.
    fn restore_pid(&mut self) {
        if self.pid_file.is_some() && self.facts(Record::Pid) == self.pid_file {
            return;
        }
        let name = file_name(&self.step, Record::Pid);
        if let Ok(FileState::Present { stamp, content }) = self.directory.read(&name, pid::LONGEST)
            && ParsedPid::parse(&content) == ParsedPid::Pid(self.key.pid)
            && self.meta.pid_mtime_ns == Some(stamp.modified.as_nanos())
            && (self.pid_file.is_none() || stamp.modified != self.key.written)
        {
            // Just published; or pid and record were changed together, and still name one run.
            (self.key.written, self.pid_file) = (stamp.modified, self.facts(Record::Pid));
            return;
        }
        let content = format!("{}\n", self.key.pid);
        let written = self.publisher().publish_at(Record::Pid, content.as_bytes(), Some(self.key.written));
        if written.is_ok() {
            // One that was touched since, before it was looked at, is not what was published: it is written again.
            self.pid_file = self.facts(Record::Pid).filter(|(stamp, _)| stamp.modified == self.key.written);
            self.note_restored(Record::Pid);
        }
    }

    fn publish_meta(&mut self) -> Result<(), Error> {
        self.publisher().publish_meta(&self.meta)?;
        self.meta_file = self.facts(Record::Meta);
        Ok(())
    }

    fn note_restored(&mut self, record: Record) {
        let name = file_name(&self.step, record);
        if !self.restored.contains(&name) {
            self.restored.push(name);
        }
    }

    /// The reason of an end that another process has told already: in the record, or by a status alone as a plain shell
    /// writes it. A status that is older than the run's pid is an earlier run's.
    fn told_reason(&self) -> Option<Reason> {
        let name = file_name(&self.step, Record::Status);
        let Ok(FileState::Present { stamp, content }) = self.directory.read(&name, status::LONGEST) else {
            return None;
        };
        let ParsedStatus::Complete(word) = ParsedStatus::parse(&content) else { return None };
        if stamp.modified < self.key.written {
            return None;
        }
        Some(Reason::settled(self.meta.reason, self.meta.intent, word.reason()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::meta::ParsedMeta;
    use crate::record::time::WallTime;

    #[test]
    fn a_pid_or_record_that_was_overwritten_before_it_had_its_name_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Arc::new(MonitorDir::hold(folder.path().to_path_buf()).unwrap());
        let older = Meta { run_id: "older".into(), pid: Some(1), ..Meta::default() };
        let meta = Meta { run_id: "own".into(), pid: Some(7), pid_mtime_ns: Some(9), ..Meta::default() };
        let at = WallTime::from_nanos(9);
        for (pid, record, restored) in [
            ("7\n", &meta, vec![]),
            ("1\n", &meta, vec!["s.pid"]),
            ("7\n", &older, vec!["s.meta"]),
            ("", &older, vec!["s.pid", "s.meta"]),
        ] {
            directory.publish(".t", "s.pid", pid.as_bytes(), Some(at)).unwrap();
            directory.publish(".t", "s.meta", &record.encode(), None).unwrap();
            directory.file("s.heartbeat").touch().unwrap();
            let lock = Lock::take(&directory.file("s.lock"), Duration::ZERO).unwrap().unwrap();
            let step = StepName::parse("s").unwrap();
            let run = OwnRun::new(Arc::clone(&directory), step, meta.clone(), PidFileId { pid: 7, written: at }, lock);
            assert_eq!(std::fs::read(folder.path().join("s.pid")).unwrap(), b"7\n");
            let ParsedMeta::Known(stands) = ParsedMeta::parse(&std::fs::read(folder.path().join("s.meta")).unwrap())
            else {
                panic!("no record: {restored:?}")
            };
            assert_eq!(
                (stands.run_id.as_str(), &run.restored),
                ("own", &restored.iter().map(|&name| name.into()).collect())
            );
            drop(run.lock);
        }
    }
}
