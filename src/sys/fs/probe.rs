//! Trying a folder out: one file made, locked, heard of and removed again, and what the kernel has left for events.
//!
//! Refuses to leave the file behind, whatever comes between, and to touch any other.

use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::create_new;
use crate::sys::watch::dir::{Events, Wanted};
use crate::sys::watch::poll::ready;
use crate::sys::{clock, env};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is used of a kernel's supply, and how much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supply {
    /// What this user's processes use, as far as they can be seen.
    pub(crate) used: u64,
    /// The most that this user may use.
    pub(crate) limit: u64,
}

/// The kernel's supplies for directory events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Supplies {
    /// Event queues: every waiter needs one.
    pub(crate) instances: Supply,
    /// Watches: every waiter needs at least one.
    pub(crate) watches: Supply,
}

/// A watch on a folder, set before the file is made.
pub(crate) struct Ear {
    events: Events,
}

impl Ear {
    /// Watches a folder.
    ///
    /// # Errors
    /// A sentence: no instance or watch left, not supported, not permitted.
    pub(crate) fn open(folder: &Path, name: &str) -> Result<Self, String> {
        let expected = name.to_owned();
        let wanted: Wanted = Arc::new(move |found| found == expected);
        Ok(Self { events: Events::watch(folder, &wanted)? })
    }

    /// Whether the file's coming was told before the deadline.
    pub(crate) fn hears(&mut self, deadline: MonotonicTime) -> bool {
        let mut hints = Vec::new();
        while hints.is_empty() && clock::now() < deadline {
            let _told = ready([self.events.descriptor()], deadline.since(clock::now()));
            self.events.take(&mut hints);
        }
        !hints.is_empty() && !self.events.is_deaf()
    }
}

/// A file made for the trial, gone with this value.
#[derive(Debug)]
pub(crate) struct ProbeFile {
    path: PathBuf,
}

/// A name for the trial's file that no reader of the folder takes for a record.
pub(crate) fn name() -> String {
    format!(".preflight.{}.tmp", env::unique())
}

impl ProbeFile {
    /// Makes the file.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn make(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        create_new(&path)?;
        Ok(Self { path })
    }

    /// When the filesystem says that the file was made, and this machine's clock right before and after the asking.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn clocks(&self) -> io::Result<(WallTime, WallTime, WallTime)> {
        let before = clock::wall();
        crate::sys::fs::touch::touch(&self.path)?;
        let found = fs::metadata(&self.path)?;
        Ok((before, WallTime::from_parts(found.mtime(), found.mtime_nsec()), clock::wall()))
    }

    /// Locks it; nothing where somebody else was faster, which nobody can be.
    ///
    /// # Errors
    /// What the kernel says, such as that the filesystem has no locks.
    pub(crate) fn lock(&self) -> io::Result<Option<Lock>> {
        Lock::try_take(&self.path)
    }
}

impl Drop for ProbeFile {
    fn drop(&mut self) {
        // Whoever removed it first did no harm; what may be made may be removed.
        let _gone = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_trial_is_heard_of_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let name = name();
        let mut ear = Ear::open(folder.path(), &name).unwrap();
        let trial = ProbeFile::make(folder.path(), &name).unwrap();
        assert!(ear.hears(clock::now().plus(Duration::from_secs(20))));
        let (before, made, after) = trial.clocks().unwrap();
        // The kernel stamps files by its last tick (current_time(9)).
        assert!(before.minus(Duration::from_millis(20)) <= made && made <= after);
        assert!(trial.lock().unwrap().is_some());
        drop(trial);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
