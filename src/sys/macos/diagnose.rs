//! What a process is doing, by libproc and sysctl.
//!
//! Refuses to say what it waits for: macOS tells that only to whoever may have the process's task port, a debugger.

use crate::record::evidence::{TreeProcess, bracketed, command_line};
use crate::record::time::millis;
use crate::sys::macos::{bsdinfo, ffi, process};
use crate::sys::process::info::Entry;

/// A process under its name. Of another user's process, and of one that is on its way out, libproc tells no processor
/// time; it counts as zero.
pub(crate) fn glimpse(entry: &Entry) -> Option<TreeProcess> {
    let found = ffi::process(entry.pid).ok()?;
    if bsdinfo::Info::from_libproc(&found).started != entry.started {
        return None;
    }
    let task = ffi::task(entry.pid).ok();
    let state = bsdinfo::state(found.pbi_status, task.map_or(0, |task| task.pti_numrunning));
    let name = bracketed(&bsdinfo::name(&found));
    Some(TreeProcess::new(entry.pid, entry.parent, name, state, millis(process::used(task.as_ref()))))
}

/// Adds the command line, where it may be read.
pub(crate) fn detail(seen: &mut TreeProcess, _has_children: bool) {
    if let Some(line) = process::arguments(seen.pid).and_then(|block| command_line(bsdinfo::arguments(&block))) {
        seen.command = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::evidence::ProcessState;
    use crate::sys::process::info::{Lookup, current_pid};

    #[test]
    fn this_process_is_told_of_with_its_command_line_and_time() {
        let Lookup::There(entry) = process::look(current_pid()) else { panic!("not seen") };
        let mut seen = glimpse(&entry).unwrap();
        detail(&mut seen, false);
        assert_eq!((seen.pid, seen.ppid, seen.state), (current_pid(), entry.parent, ProcessState::Running));
        assert!(!seen.command.starts_with('['), "{seen:?}");
        assert!(glimpse(&Entry { started: entry.started + 1, ..entry }).is_none());
    }
}
