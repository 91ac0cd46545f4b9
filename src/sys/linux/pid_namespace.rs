//! Finds the first process of this process's PID namespace. Called by `ops::sandbox`.

use crate::sys::linux::process::of_ticks;
use crate::sys::linux::{machine, procfs, procfs_read};
use crate::sys::process::namespace::{Member, NamespaceOrigin};

/// The inode of the PID namespace that the system booted with (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`).
const INITIAL: u64 = 0xEFFF_FFFC;

/// How many processes are looked at, from this one upwards.
const MOST: usize = 65;

/// Where this process comes from; `None` in the system's own namespace, and where the ancestors cannot be seen.
///
/// /proc may show an outer namespace, with its pids: a sandbox need not mount its own. So the walk begins at `self`, goes on
/// by the pids that /proc shows, and knows the first process by the pid that it has in its own namespace.
pub(crate) fn origin() -> Option<NamespaceOrigin> {
    if machine::pid_namespace()? == INITIAL {
        return None;
    }
    let (mut command, mut shown) = (None, "self".to_owned());
    for _ in 0..MOST {
        let (process, parent) = member(&shown)?;
        if process.pid == 1 {
            return Some(NamespaceOrigin { command: command.unwrap_or_else(|| process.clone()), init: process });
        }
        (command, shown) = (Some(process), parent.to_string());
    }
    None
}

/// A process and its parent's pid as /proc shows it.
fn member(shown: &str) -> Option<(Member, i32)> {
    let line = procfs_read::record(format!("/proc/{shown}/stat")).ok()?;
    let status = procfs_read::text_record(format!("/proc/{shown}/status"))?;
    let stat = procfs::stat(&line)?;
    let name = String::from_utf8_lossy(procfs::name(&line)?).into_owned();
    // In the namespace that /proc shows, a process has only one pid.
    let pid = procfs::inner_pid(&status).unwrap_or(stat.process.pid);
    Some((Member { pid, name, started: of_ticks(stat.process.started) }, stat.process.parent))
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
