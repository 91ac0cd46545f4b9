//! Whether a run's process lives, as far as that can be known from here. The tracker asks for each snapshot; warnings and
//! terminations ask where the run belongs.
//!
//! The facts, in this order: the recorded identity (pid, raw start time, boot, PID and time namespace) against the kernel;
//! where the kernel cannot be asked, the lock; where neither tells, heartbeat and time decide elsewhere.

use crate::decide::snapshot::{Liveness, Process, Snapshot};
use crate::record::file_state::LockState;
use crate::record::meta::Meta;
use crate::record::status::ParsedStatus;
use std::time::Duration;

/// How much later than its `.pid` a process may seem to have started and still be the one it names. Start times are
/// granular by 10 ms, file times by a jiffy (4 ms) or, on old filesystems, 2 s.
pub(super) const RECYCLED_SLACK: Duration = Duration::from_secs(2);

/// Assesses the process of the run that pid file and record name, by this snapshot alone. `seen_started` is the raw start
/// time of the process that earlier snapshots showed alive.
pub(super) fn assess_pid(snapshot: &Snapshot, seen_started: Option<u64>, seen_alive: bool) -> Liveness {
    let dead_if = |is_proven| if is_proven { Liveness::Dead { since: snapshot.at } } else { Liveness::Unknown };
    let (pid_file, meta) = (snapshot.pid_file_id(), snapshot.run_meta());
    let locked = meta.is_some_and(|meta| meta.locked);
    // Without a pid file only the record of a run of this program still says which process it was.
    if pid_file.is_none() && !locked {
        return Liveness::Unknown;
    }
    if let Some(meta) = meta {
        if has_published_its_end(snapshot, meta) || has_rebooted_since(snapshot, meta) {
            return dead_if(true);
        }
        if is_of_other_machine(snapshot, meta) {
            return Liveness::Unknown;
        }
    }
    // The kernel gives a lock back with the process, however that dies, so a held one says that the run lives, also across
    // namespaces. A free one only says the opposite where the kernel cannot be asked for the process itself: the file may
    // have been removed and made anew, or be another mount's or a copy's. On a network filesystem another client's lock
    // may not show.
    let own_lock = meta.is_some_and(|meta| meta.locked && meta.is_lock(snapshot.lock_file));
    if own_lock && snapshot.lock == LockState::Held {
        return Liveness::Alive;
    }
    let by_lock = dead_if(own_lock && snapshot.lock == LockState::Free && snapshot.here.local_filesystem);
    if meta.is_some_and(|meta| is_of_other_namespace(snapshot, meta)) {
        return by_lock;
    }
    // Whether a number that is missing or means another process proves a death: not where the pid file may be another
    // machine's. A run of this program has recorded that it is of this one.
    let proves = seen_alive || snapshot.here.local_filesystem || locked;
    match snapshot.process {
        Process::NotAsked | Process::Hidden => by_lock,
        Process::Running { started, started_wall } => {
            let recycled = match meta.and_then(|meta| meta.pid_started_at) {
                Some(_) if meta.is_some_and(|meta| is_of_other_time(snapshot, meta)) => return by_lock,
                Some(recorded) => recorded != started,
                // Known already: a wall clock that was set since moves its start on that clock, and not its start.
                None if seen_started == Some(started) => false,
                None => pid_file.is_none_or(|file| started_wall > file.written.plus(RECYCLED_SLACK)),
            };
            if recycled { dead_if(proves) } else { Liveness::Alive }
        }
        Process::Gone { borne_elsewhere } => dead_if(seen_alive || (proves && !borne_elsewhere)),
    }
}

/// Whether the run has recorded its end and published its status: it is over, and the kernel need not be asked.
pub(crate) fn has_published_its_end(snapshot: &Snapshot, meta: &Meta) -> bool {
    meta.locked && meta.reason.is_some() && snapshot.status.content().and_then(ParsedStatus::word).is_some()
}

/// Whether the run belongs to another machine or to another boot of this one. Where both boots have an id, that decides: a
/// machine's name may change while it runs.
pub(crate) fn is_of_other_machine(snapshot: &Snapshot, meta: &Meta) -> bool {
    let known = |id: &str| !id.is_empty();
    let here = snapshot.here.as_ref();
    match meta.boot_id.as_deref().filter(|id| known(id)) {
        Some(recorded) if known(&here.boot_id) => recorded != here.boot_id,
        _ => meta.host.as_deref().is_some_and(|host| host != here.host),
    }
}

/// Whether the run is of an earlier boot of this machine: its name is the same, and no other kernel holds the lock on this disk.
/// A filesystem may have another device number after each boot.
fn has_rebooted_since(snapshot: &Snapshot, meta: &Meta) -> bool {
    let here = snapshot.here.as_ref();
    let is_own_lock = meta.lock_file.zip(snapshot.lock_file).is_some_and(|(own, there)| own.inode == there.inode);
    let is_free = meta.locked && is_own_lock && snapshot.lock == LockState::Free;
    let is_own_machine = meta.host.as_ref() == Some(&here.host) && here.local_filesystem;
    is_of_other_machine(snapshot, meta) && is_own_machine && is_free
}

/// Whether its pid belongs to another PID namespace than the reader's.
pub(crate) fn is_of_other_namespace(snapshot: &Snapshot, meta: &Meta) -> bool {
    meta.pid_namespace.is_some() && meta.pid_namespace != snapshot.here.pid_namespace
}

/// Whether its clocks and start times are those of another time namespace than the reader's.
pub(crate) fn is_of_other_time(snapshot: &Snapshot, meta: &Meta) -> bool {
    meta.time_namespace.is_some() && meta.time_namespace != snapshot.here.time_namespace
}

/// Whether the run that the files name writes to another directory: these are a copy of its files, or are seen through a
/// mount of another kind. A renamed directory keeps its identity, and so does a bind mount.
///
/// The record counts also where `.pid` has another time than it recorded: a copy does not always keep the times.
pub(crate) fn is_copy(snapshot: &Snapshot) -> bool {
    let Some(meta) = snapshot.recorded_meta().filter(|meta| meta.reason.is_none()) else { return false };
    let (Some(recorded), Some(here)) = (meta.directory, snapshot.here.directory) else { return false };
    let same_pid = match snapshot.pid_file_id() {
        Some(file) => meta.pid == Some(file.pid),
        None => !snapshot.has_pid(),
    };
    // Some stacked filesystems number a directory anew once the kernel has forgotten it; the locked file is the same then.
    let same_lock = meta.lock_file.is_some() && meta.lock_file == snapshot.lock_file;
    same_pid && recorded != here && !same_lock && !is_of_other_machine(snapshot, meta)
}
