//! What the claim in `.pid` comes to: whether the process that it names lives, as far as it can be known from here.
//!
//! Refuses to take a missing number for a death wherever the pid file may be another machine's or namespace's.

use super::history::RunKey;
use super::observation::{Look, Process};
use crate::protocol::file::Hold;
use crate::protocol::meta::Meta;
use std::time::Duration;

/// How much later than its `.pid` a process may seem to have started and still be the one it names. Start times are
/// granular by 10 ms, file times by a jiffy (4 ms) or, on old filesystems, 2 s.
const RECYCLED_SLACK: Duration = Duration::from_secs(2);

/// What the claim in `.pid` comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    Alive,
    Dead,
    Elsewhere,
    Nobody,
}

pub(super) fn claimed(
    look: &Look,
    key: Option<RunKey>,
    meta: Option<&Meta>,
    seen_started: Option<u64>,
    seen_alive: bool,
) -> Claimed {
    let Some((_, pid_modified)) = key else {
        let here = |meta: &Meta| look.here.local_filesystem && !is_of_other_machine(look, meta);
        return if meta.is_some_and(|meta| meta.locked && here(meta)) { Claimed::Dead } else { Claimed::Nobody };
    };
    if let Some(meta) = meta {
        if is_of_other_machine(look, meta) {
            return Claimed::Elsewhere;
        }
        // The kernel's own word: the lock goes with the process, however that dies, and is seen across namespaces. On a
        // network filesystem another client's lock may not show, so only a held one says something there.
        if meta.locked {
            match look.lock {
                Hold::Held => return Claimed::Alive,
                Hold::Free if look.here.local_filesystem => return Claimed::Dead,
                Hold::Free | Hold::Absent | Hold::Unknown => {}
            }
        }
        if is_of_other_namespace(look, meta) {
            return Claimed::Elsewhere;
        }
    }
    // Whether a number that is missing or means another process proves a death: not where the pid file may be another
    // machine's. A run of this program has said that it is of this one.
    let proves = seen_alive || look.here.local_filesystem || meta.is_some_and(|meta| meta.locked);
    match look.process {
        Process::Unclaimed => Claimed::Nobody,
        Process::Hidden => Claimed::Elsewhere,
        Process::Running { started, started_wall } => {
            let recycled = match meta.and_then(|meta| meta.pid_started_at) {
                Some(recorded) => recorded != started,
                // Known already: a wall clock that was set since moves its start on that clock, and not its start.
                None if seen_started == Some(started) => false,
                None => started_wall > pid_modified.plus(RECYCLED_SLACK),
            };
            match (recycled, proves) {
                (false, _) => Claimed::Alive,
                (true, true) => Claimed::Dead,
                (true, false) => Claimed::Elsewhere,
            }
        }
        Process::Gone { borne_elsewhere } => {
            if seen_alive || (proves && !borne_elsewhere) {
                Claimed::Dead
            } else {
                Claimed::Elsewhere
            }
        }
    }
}

pub(super) fn is_of_other_machine(look: &Look, meta: &Meta) -> bool {
    let differs = |recorded: &Option<String>, here: &str| recorded.as_deref().is_some_and(|recorded| recorded != here);
    differs(&meta.host, &look.here.host) || differs(&meta.boot_id, &look.here.boot_id)
}

pub(super) fn is_of_other_namespace(look: &Look, meta: &Meta) -> bool {
    meta.pid_namespace.is_some() && meta.pid_namespace != look.here.pid_namespace
}
