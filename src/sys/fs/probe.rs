//! Probes a folder with one file: create, receive its event, lock, read its time, delete; and the limits of the event
//! facility. Called by `preflight::checks::directory`.

use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::fs::at::FileAt;
use crate::sys::fs::lock::Lock;
use crate::sys::watch::dir::{Events, Facility, Wanted};
use crate::sys::watch::poll::ready;
use crate::sys::{clock, env};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// One kernel limit and what is used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supply {
    /// What this user's processes use, as far as they can be seen.
    pub(crate) used: u64,
    /// The most that this user may use.
    pub(crate) limit: u64,
}

/// The kernel's limits for directory events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supplies {
    /// Event queues: every waiter needs one.
    pub(crate) instances: Supply,
    /// Watches: every waiter needs at least one.
    pub(crate) watches: Supply,
}

/// Watches a folder for a file of this name; before the file is created.
///
/// # Errors
/// No instance or watch left, not supported, not permitted.
pub(crate) fn watch_for(folder: &Path, name: &str) -> io::Result<Events> {
    let expected = name.to_owned();
    let wanted: Wanted = Arc::new(move |found| found == expected);
    Events::watch(folder, &wanted, Facility::Native)
}

/// Waits for the event of the file's creation; whether it came before the deadline.
pub(crate) fn has_event(events: &mut Events, deadline: MonotonicTime) -> bool {
    let mut hints = Vec::new();
    while hints.is_empty() && clock::now() < deadline {
        let _told = ready([events.descriptor()], deadline.since(clock::now()));
        events.take(&mut hints);
    }
    !hints.is_empty() && !events.has_failed()
}

/// The probe's file, deleted when this value is dropped.
#[derive(Debug)]
pub(crate) struct ProbeFile {
    file: FileAt<'static>,
}

/// A unique name that no reader of the folder takes for a record.
pub(crate) fn probe_name() -> String {
    format!(".preflight.{}.tmp", env::unique())
}

impl ProbeFile {
    /// Creates the file.
    ///
    /// # Errors
    /// open(2): no permission, read-only, no space or inode left.
    pub(crate) fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let file = FileAt::by_path(folder.join(name));
        file.create_new()?;
        Ok(Self { file })
    }

    /// The file's time by the filesystem's clock, between this machine's clock right before and right after.
    ///
    /// # Errors
    /// utimensat(2) or stat(2).
    pub(crate) fn clocks(&self) -> io::Result<(WallTime, WallTime, WallTime)> {
        let before = clock::wall();
        self.file.touch()?;
        Ok((before, self.file.facts()?.stamp.modified, clock::wall()))
    }

    /// Locks the file; `None` if another process holds the lock, which means that locks do not work here.
    ///
    /// # Errors
    /// flock(2), for example a filesystem without locks.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
        Lock::take(&self.file, Duration::ZERO)
    }
}

impl Drop for ProbeFile {
    fn drop(&mut self) {
        // A file that is gone already needs no deletion; who may create may delete.
        let _gone = self.file.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_gets_its_event_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let name = probe_name();
        let mut events = watch_for(folder.path(), &name).unwrap();
        let probe = ProbeFile::create(folder.path(), &name).unwrap();
        assert!(has_event(&mut events, clock::now().plus(Duration::from_secs(20))));
        let (before, made, after) = probe.clocks().unwrap();
        // The kernel stamps files by its last tick (current_time(9)).
        assert!(before.minus(Duration::from_millis(20)) <= made && made <= after);
        assert!(probe.lock().unwrap().is_some());
        drop(probe);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
