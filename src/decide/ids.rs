//! Which run a step's files are about: what names it, and which record counts for it. Used by every other rule.

use crate::decide::snapshot::{Process, Snapshot};
use crate::record::file_state::{FileStamp, FileState, LockState};
use crate::record::meta::{Meta, ParsedMeta};
use crate::record::pid::ParsedPid;
use crate::record::time::WallTime;
use std::time::Duration;

/// The user who may write what everybody believes.
const ROOT: u32 = 0;

/// How much older than `.pid` a dead run's own status may be: `work & echo $! > s.pid` may write the pid second.
pub(super) const LEFT_OVER_SLACK: Duration = Duration::from_secs(2);

/// Which run a `.pid` file names: its pid and the file's modification time.
pub(crate) type PidFileId = (i32, WallTime);

/// The run that the pid file names.
pub(crate) fn pid_file_id(snapshot: &Snapshot) -> Option<PidFileId> {
    match &snapshot.pid {
        FileState::Present { stamp, content: ParsedPid::Pid(pid) } => Some((*pid, stamp.modified)),
        FileState::Present { content: ParsedPid::Unfinished | ParsedPid::Bad(_), .. }
        | FileState::Missing
        | FileState::Invalid(_) => None,
    }
}

/// The meta record, where it speaks of the run that this pid file names.
///
/// With no pid file it may also be the record of a run whose wrapper was killed between publishing it and its pid, of one
/// whose pid a next starter withdrew before it was killed itself, or of one whose pid file was removed while it lives. Nobody
/// holds its lock then, or the lock file is gone too. A heartbeat that goes on after it is another run's, unless the process
/// that it names lives.
pub(crate) fn meta_for(snapshot: &Snapshot, key: Option<PidFileId>) -> Option<&Meta> {
    let (meta, stamp) = (recorded_meta(snapshot)?, snapshot.meta.stamp()?);
    let orphaned = || {
        let lives =
            matches!(snapshot.process, Process::Running { started, .. } if meta.pid_started_at == Some(started));
        let beaten =
            || snapshot.heartbeat.stamp().is_none_or(|beat| beat.modified <= stamp.modified.plus(LEFT_OVER_SLACK));
        !snapshot.has_pid() && meta.locked && snapshot.lock != LockState::Held && (lives || beaten())
    };
    // A record without a pid tells a run from the next one only by time: it was made for what stood there then.
    let current = || {
        let younger = |file: FileStamp| file.modified > stamp.modified.plus(LEFT_OVER_SLACK);
        match (key, meta.reason) {
            (Some(_), _) => true,
            (None, Some(_)) => snapshot.status.stamp().is_some_and(|status| !younger(status)),
            (None, None) => !snapshot.heartbeat.stamp().is_some_and(younger),
        }
    };
    (meta.speaks_of(key) && current() || orphaned()).then_some(meta)
}

/// The run that the record speaks of, be it the present one or not.
///
/// In a world-writable directory any user can put a record beside another user's pid file. It counts only
/// where it is that user's or root's.
pub(crate) fn recorded_meta(snapshot: &Snapshot) -> Option<&Meta> {
    let FileState::Present { stamp, content } = &snapshot.meta else { return None };
    let ParsedMeta::Known(meta) = content.as_ref() else { return None };
    let trusted = snapshot.pid.stamp().is_none_or(|pid| stamp.owner == pid.owner || stamp.owner == ROOT);
    trusted.then_some(meta)
}
