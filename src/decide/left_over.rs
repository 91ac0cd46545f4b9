//! Which files of a step an earlier run left: a foreign wrapper starts beside them and does not clear them away.
//!
//! Two files of one filesystem are compared by that filesystem's clock; times of different clocks are compared only if
//! there is no other way.

use crate::decide::snapshot::{LEFT_OVER_SLACK, Liveness, Process, Snapshot};
use crate::record::pid::PidFileId;
use crate::record::time::WallTime;

/// Which files are left over from an earlier run.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftOverCutoff {
    /// Those that were modified before; none where this program cleared the place before the run began, or nothing tells.
    before: Option<WallTime>,
    /// Whether heartbeats count, too: not where their age is measured from `.pid`.
    of_heartbeats: bool,
}

impl LeftOverCutoff {
    /// What tells them at this look.
    pub(super) fn of(snapshot: &Snapshot, liveness: Liveness) -> Self {
        let nothing = Self { before: None, of_heartbeats: false };
        // A run that holds its lock removed the old files itself. Times are not compared then: a clock set back during
        // the run would make its own status look old.
        if snapshot.run_meta().is_some_and(|meta| meta.locked || meta.reason.is_some()) {
            return nothing;
        }
        match (liveness, snapshot.process, snapshot.pid_file_id()) {
            // What was written after the pid file is the run's own even where it seems older than the process: a file's
            // time comes from a clock that is a few milliseconds behind, and both files have theirs from it.
            (Liveness::Alive, Process::Running { started_wall, .. }, Some(PidFileId { written: pid_modified, .. })) => {
                Self { before: Some(started_wall.min(pid_modified)), of_heartbeats: true }
            }
            // Where the process is dead or out of sight the two files are compared, both on their filesystem's clock.
            (Liveness::Dead { .. } | Liveness::Unknown, _, Some(PidFileId { written: pid_modified, .. })) => {
                Self { before: Some(pid_modified.minus(LEFT_OVER_SLACK)), of_heartbeats: false }
            }
            _ => nothing,
        }
    }

    /// Whether a status or result modified then is left over.
    pub(super) fn covers(&self, modified: WallTime) -> bool {
        self.before.is_some_and(|limit| modified < limit)
    }

    /// Whether a heartbeat modified then is left over.
    pub(super) fn covers_heartbeat(&self, modified: WallTime) -> bool {
        self.of_heartbeats && self.covers(modified)
    }
}
