//! Finds the first process of this process's PID namespace. Called by `ops::sandbox`.

use crate::sys::linux::process::of_ticks;
use crate::sys::linux::{machine, procfs, procfs_read};
use crate::sys::process::namespace::{Member, NamespaceOrigin};

/// The inode of the PID namespace that the system booted with (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL: u64 = 0xEFFF_FFFC;

/// How many ancestors are looked at.
const MOST: usize = 64;

/// Where this process comes from; `None` in the system's own namespace, and where the ancestors cannot be seen.
///
/// /proc may show an outer namespace, with its pids: a sandbox need not mount its own. So the walk begins at `self`, goes on
/// by the pids that /proc shows, and knows the first process by the pid that it has in its own namespace.
pub(crate) fn origin() -> Option<NamespaceOrigin> {
    if machine::pid_namespace()? == INITIAL {
        return None;
    }
    let (mut command, mut parent) = member("self")?;
    if command.pid == 1 {
        return Some(NamespaceOrigin { init: command.clone(), command });
    }
    for _ in 0..MOST {
        let (next, next_parent) = member(&parent.to_string())?;
        if next.pid == 1 {
            return Some(NamespaceOrigin { init: next, command });
        }
        (command, parent) = (next, next_parent);
    }
    None
}

/// A process and its parent's pid as /proc shows it.
fn member(shown: &str) -> Option<(Member, i32)> {
    let line = procfs_read::record(format!("/proc/{shown}/stat")).ok()?;
    let status = String::from_utf8_lossy(&procfs_read::record(format!("/proc/{shown}/status")).ok()?).into_owned();
    let stat = procfs::stat(&line)?;
    let name = String::from_utf8_lossy(procfs::name(&line)?).into_owned();
    // In the namespace that /proc shows, a process has only one pid.
    let pid = procfs::inner_pid(&status).unwrap_or(stat.pid);
    Some((Member { pid, name, started: of_ticks(stat.started) }, stat.parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_namespace_has_no_origin_and_another_ends_at_its_first_process() {
        let own = machine::pid_namespace() == Some(INITIAL);
        // In a container the tests have ancestors up to its first process, unless they were started into it from outside.
        assert!(origin().is_none_or(|origin| !own && origin.init.pid == 1), "{:?}", origin());
    }
}
