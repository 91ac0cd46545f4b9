//! What a process is doing, by libproc and sysctl.
//!
//! Refuses to say what it waits for: macOS tells that only to whoever may have the process's task port, a debugger.

use super::{calls, info, process};
use crate::os::process::Entry;
use crate::protocol::evidence::{TreeProcess, bracketed, command_line};
use crate::protocol::time::millis;

/// A process under its name. Of another user's process, and of one that is on its way out, libproc tells no processor
/// time; it counts as zero.
pub(crate) fn glimpse(entry: &Entry) -> Option<TreeProcess> {
    let found = calls::process(entry.pid).ok()?;
    if info::Info::from_libproc(&found).started != entry.started {
        return None;
    }
    let task = calls::task(entry.pid).ok();
    let state = info::state(found.pbi_status, task.map_or(0, |task| task.pti_numrunning));
    let name = bracketed(&info::name(&found));
    Some(TreeProcess::new(entry.pid, entry.parent, name, state, millis(process::used(task.as_ref()))))
}

/// Adds the command line, where it may be read.
pub(crate) fn detail(seen: &mut TreeProcess, _has_children: bool) {
    if let Some(line) = process::arguments(seen.pid).and_then(|block| command_line(info::arguments(&block))) {
        seen.command = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process::{Lookup, myself};
    use crate::protocol::evidence::ProcessState;

    #[test]
    fn this_process_is_told_of_with_its_command_line_and_time() {
        let Lookup::There(entry) = process::look(myself()) else { panic!("not seen") };
        let mut seen = glimpse(&entry).unwrap();
        detail(&mut seen, false);
        assert_eq!((seen.pid, seen.ppid, seen.state), (myself(), entry.parent, ProcessState::Running));
        assert!(!seen.command.starts_with('['), "{seen:?}");
        assert!(glimpse(&Entry { started: entry.started + 1, ..entry }).is_none());
    }
}
