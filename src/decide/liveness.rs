//! What the claim in `.pid` comes to: whether the process that it names lives, as far as it can be known from here.
//!
//! Refuses to take a missing number for a death wherever the pid file may be another machine's or namespace's.

use crate::decide::snapshot::{Process, Snapshot};
use crate::decide::tracker::PidFileId;
use crate::record::file_state::LockState;
use crate::record::meta::Meta;
use std::time::Duration;

/// How much later than its `.pid` a process may seem to have started and still be the one it names. Start times are
/// granular by 10 ms, file times by a jiffy (4 ms) or, on old filesystems, 2 s.
const RECYCLED_SLACK: Duration = Duration::from_secs(2);

/// What the claim in `.pid` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PidState {
    Alive,
    Dead,
    Elsewhere,
    Nobody,
}

pub(super) fn claimed(
    look: &Snapshot,
    key: Option<PidFileId>,
    meta: Option<&Meta>,
    seen_started: Option<u64>,
    seen_alive: bool,
) -> PidState {
    let Some((_, pid_modified)) = key else {
        let here = |meta: &Meta| look.here.local_filesystem && !is_of_other_machine(look, meta);
        return if meta.is_some_and(|meta| meta.locked && here(meta)) { PidState::Dead } else { PidState::Nobody };
    };
    if let Some(meta) = meta {
        if is_of_other_machine(look, meta) {
            return PidState::Elsewhere;
        }
        // The kernel's own word: the lock goes with the process, however that dies, and is seen across namespaces. On a
        // network filesystem another client's lock may not show, so only a held one says something there.
        if meta.locked {
            match look.lock {
                LockState::Held => return PidState::Alive,
                LockState::Free if look.here.local_filesystem => return PidState::Dead,
                LockState::Free | LockState::Absent | LockState::Unknown => {}
            }
        }
        if is_of_other_namespace(look, meta) {
            return PidState::Elsewhere;
        }
    }
    // Whether a number that is missing or means another process proves a death: not where the pid file may be another
    // machine's. A run of this program has said that it is of this one.
    let proves = seen_alive || look.here.local_filesystem || meta.is_some_and(|meta| meta.locked);
    match look.process {
        Process::Unclaimed => PidState::Nobody,
        Process::Hidden => PidState::Elsewhere,
        Process::Running { started, started_wall } => {
            let recycled = match meta.and_then(|meta| meta.pid_started_at) {
                Some(recorded) => recorded != started,
                // Known already: a wall clock that was set since moves its start on that clock, and not its start.
                None if seen_started == Some(started) => false,
                None => started_wall > pid_modified.plus(RECYCLED_SLACK),
            };
            match (recycled, proves) {
                (false, _) => PidState::Alive,
                (true, true) => PidState::Dead,
                (true, false) => PidState::Elsewhere,
            }
        }
        Process::Gone { borne_elsewhere } => {
            if seen_alive || (proves && !borne_elsewhere) {
                PidState::Dead
            } else {
                PidState::Elsewhere
            }
        }
    }
}

pub(super) fn is_of_other_machine(look: &Snapshot, meta: &Meta) -> bool {
    let differs = |recorded: &Option<String>, here: &str| recorded.as_deref().is_some_and(|recorded| recorded != here);
    differs(&meta.host, &look.here.host) || differs(&meta.boot_id, &look.here.boot_id)
}

pub(super) fn is_of_other_namespace(look: &Snapshot, meta: &Meta) -> bool {
    meta.pid_namespace.is_some() && meta.pid_namespace != look.here.pid_namespace
}
