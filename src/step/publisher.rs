//! Publishes the records of a step: whole, in the order that readers rely on, in disk space that was reserved for them.
//!
//! Called with the record lock held, where that was to be had: a run records its own end without it rather than not at all.

use crate::error::Error;
use crate::record::file_names::{Record, file_name, temporary_name};
use crate::record::history::HistoryEntry;
use crate::record::meta::{LONGEST, Meta};
use crate::record::outcome::{Reason, detail_of};
use crate::record::status::StatusWord;
use crate::record::step_name::StepName;
use crate::record::time::WallTime;
use crate::step::{breaker_file, history};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::fs::preallocate::PreallocatedFile;
use crate::sys::{clock, env};
use std::collections::BTreeMap;

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// Why.
    pub(crate) reason: Reason,
    /// A sentence for people.
    pub(crate) detail: Option<String>,
    /// COMMAND's exit code.
    pub(crate) exit_code: Option<i32>,
    /// The signal that ended COMMAND.
    pub(crate) signal: Option<String>,
    /// What to publish as the result.
    pub(crate) result: Option<Vec<u8>>,
    /// Which of the run's processes are still there, as text.
    pub(crate) survivors: Option<String>,
    /// Why there is no result although there should be one.
    pub(crate) result_error: Option<String>,
}

impl Ending {
    /// An end of which only the reason is known.
    pub(crate) fn of(reason: Reason) -> Self {
        Self { reason, detail: None, exit_code: None, signal: None, result: None, result_error: None, survivors: None }
    }
}

/// Room set aside for the last writes.
pub(crate) type PreallocatedFiles = BTreeMap<Record, PreallocatedFile>;

/// Publishes the end of a run whose record this is: result, record, status, in this order. A SUCCESS still wins after an
/// announcement; any other end is the announcer's. The breaker counts first, so that the record can say that it did.
/// Returns the reason that stands now, and what could not be written; what could be written after it was: a status
/// without its record is better than none.
pub(super) fn publish_end(publisher: &mut Publisher<'_>, mut meta: Meta, ending: &Ending) -> (Reason, Vec<Error>) {
    let reason = Reason::settled(meta.reason, meta.intent, ending.reason);
    meta.reason = Some(reason);
    meta.ended_at.get_or_insert_with(|| clock::wall().rfc3339());
    // COMMAND may answer TERM with exit code 0 (`trap 'exit 0' TERM`). The record then says why dogwatch asked it to end, and
    // that it succeeded.
    let announced = meta
        .detail
        .map(|detail| if reason == Reason::Success { format!("{detail}; asked to end, it succeeded") } else { detail });
    meta.survivors.clone_from(&ending.survivors);
    let left = ending.survivors.as_deref().map(still_there);
    meta.detail = detail_of(announced.or_else(|| ending.detail.clone()).into_iter().chain(left));
    meta.result_error.clone_from(&ending.result_error);
    meta.exit_code = meta.exit_code.or(ending.exit_code);
    meta.signal = meta.signal.or_else(|| ending.signal.clone());

    let word = if reason == Reason::Success { StatusWord::Success } else { StatusWord::Failed };
    let mut faults = Vec::new();
    match &ending.result {
        Some(result) => faults.extend(publisher.publish(Record::Result, result).err()),
        None => drop(publisher.files.remove(&Record::Result)),
    }
    meta.counted = breaker_file::count_end(publisher.directory, &meta, reason).is_ok();
    faults.extend(publisher.publish_meta(&meta).err());
    if !meta.counted {
        // On a full disk the record that was replaced has just made room. Not being able to say that it was counted
        // does no harm as long as the breaker remembers the run.
        let counted = breaker_file::count_end(publisher.directory, &meta, reason);
        meta.counted = counted.is_ok();
        let _unsaid = meta.counted && publisher.publish_meta(&meta).is_ok();
        faults.extend(counted.err());
    }
    faults.extend(publisher.publish(Record::Status, word.line().as_bytes()).err());
    // After the status, which other processes wait for. No run fails for its history.
    let entry = HistoryEntry::of(&meta, reason.outcome(), meta.took());
    let _unwritten = history::append(publisher.directory, publisher.step, entry);
    (reason, faults)
}

/// Which processes outlived the end of their run, as a sentence.
pub(crate) fn still_there(survivors: &str) -> String {
    format!("these processes are still there: {survivors}")
}

/// Where the records of one step are published.
pub(super) struct Publisher<'place> {
    pub(super) directory: &'place MonitorDir,
    pub(super) step: &'place StepName,
    /// The room that is left.
    pub(super) files: PreallocatedFiles,
}

impl<'place> Publisher<'place> {
    /// With no room set aside.
    pub(super) fn new(directory: &'place MonitorDir, step: &'place StepName) -> Self {
        Self { directory, step, files: PreallocatedFiles::default() }
    }

    /// Publishes the meta record. Evidence is the one part of it that is large and that the run can do without: where
    /// the disk is full, or the record would grow beyond what is read, the rest is published without it. The space
    /// reserved is not for it.
    pub(super) fn publish_meta(&mut self, meta: &Meta) -> Result<(), Error> {
        if meta.evidence.is_some() {
            let whole = meta.encode();
            if whole.len() <= LONGEST && self.publish_at(Record::Meta, &whole, None).is_ok() {
                self.files.remove(&Record::Meta);
                return Ok(());
            }
        }
        self.publish(Record::Meta, &Meta { evidence: None, ..meta.clone() }.encode())
    }

    /// Publishes a record, in the space reserved where that is still there.
    fn publish(&mut self, record: Record, content: &[u8]) -> Result<(), Error> {
        let file = self.files.remove(&record);
        if file.is_some_and(|file| file.publish(&file_name(self.step, record), content).is_ok()) {
            return Ok(());
        }
        self.publish_at(record, content, None)
    }

    /// Publishes a record with this modification time, where one is given.
    pub(super) fn publish_at(&self, record: Record, content: &[u8], at: Option<WallTime>) -> Result<(), Error> {
        let name = file_name(self.step, record);
        let temporary = temporary_name(self.step, record, &env::unique());
        let published = self.directory.publish(&temporary, &name, content, at);
        published.map_err(|error| Error::io(format!("cannot write {}", self.directory.join(&name).display()), error))
    }
}
