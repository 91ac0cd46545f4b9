//! Keeps two processes from ending the same run at the same time. `step::terminate` calls it; a wrapper ends its own tree
//! without it, and is asked first.

use crate::record::file_names::{kill_command_lock, termination_lock};
use crate::step::kill_command;
use crate::step::snapshot::SnapshotReader;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// A lock that keeps other processes from ending the same run; its file goes with it.
pub(super) struct TerminationLock {
    directory: Arc<MonitorDir>,
    name: String,
    _lock: Lock,
}

impl TerminationLock {
    /// Waits `patience` for it; `None` if it was not to be had.
    fn take(reader: &SnapshotReader, name: String, patience: Duration) -> io::Result<Option<Self>> {
        let directory = Arc::clone(reader.directory());
        let taken = Lock::take(&directory.file(&name), patience)?;
        Ok(taken.map(|lock| Self { directory, name, _lock: lock }))
    }
}

impl Drop for TerminationLock {
    fn drop(&mut self) {
        // While it is held: who waits for it finds another file under the name, or none, and opens it anew.
        let _stays = self.directory.file(&self.name).remove();
    }
}

/// Waits as long as another process ends this run's tree, and keeps others from it then. Two that stop and continue the
/// same processes undo each other's order, which `TreeKiller` needs. How much of the grace is left: none where the other
/// process needed all of it. It may be stopped, or its own grace be longer.
pub(super) fn exclude_others(reader: &SnapshotReader, grace: Duration) -> (Option<TerminationLock>, Duration) {
    match TerminationLock::take(reader, termination_lock(reader.step()), grace) {
        Ok(None) => (None, Duration::ZERO),
        // Where no lock can be had, ending the run is worth more than the order.
        taken => (taken.ok().flatten(), grace),
    }
}

/// Waits as long as another waiter's command ends this run. A second command may do harm: the number of a job that has gone
/// may be another's.
pub(super) fn exclude_other_commands(reader: &SnapshotReader, grace: Duration) -> Option<TerminationLock> {
    TerminationLock::take(reader, kill_command_lock(reader.step()), kill_command::longest(grace)).ok().flatten()
}
