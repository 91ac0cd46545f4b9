//! What a process is doing, by libproc and sysctl. Called by `sys::process::diagnose`.
//!
//! What it waits for is unknown here: macOS tells that only to a debugger, which has the process's task port.

use crate::record::evidence::{TreeProcess, bracketed, command_line};
use crate::record::time::millis;
use crate::sys::macos::parse::proc_args;
use crate::sys::macos::{ffi, process};
use crate::sys::process::ProcessInfo;

/// A process with its name; `None` where it is gone or its pid was reused.
///
/// libproc tells no processor time and no state of another user's process, nor of one that is exiting: zero and unknown.
pub(crate) fn glimpse(entry: &ProcessInfo) -> Option<TreeProcess> {
    let found = process::find(entry.pid).ok()?;
    if found.process.started != entry.started {
        return None;
    }
    let task = ffi::task(entry.pid).ok();
    let state = found.state(task.map(|task| task.pti_numrunning));
    Some(TreeProcess::new(
        entry.pid,
        entry.parent,
        bracketed(found.name()),
        state,
        millis(process::used(task.as_ref())),
    ))
}

/// Adds the command line, where it may be read.
pub(crate) fn detail(seen: &mut TreeProcess, _has_children: bool) {
    if let Some(line) = process::arguments(seen.pid).and_then(|block| command_line(proc_args::arguments(&block))) {
        seen.command = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::evidence::ProcessState;
    use crate::sys::process::Lookup;
    use crate::sys::process::info::current_pid;

    #[test]
    fn this_process_is_told_of_with_its_command_line_and_time() {
        let Lookup::Found(entry) = process::look(current_pid()) else { panic!("not seen") };
        let mut seen = glimpse(&entry).unwrap();
        detail(&mut seen, false);
        assert_eq!((seen.pid, seen.ppid, seen.state), (current_pid(), entry.parent, ProcessState::Running));
        assert!(!seen.command.starts_with('['), "{seen:?}");
        assert!(glimpse(&ProcessInfo { started: entry.started + 1, ..entry }).is_none());
    }

    #[test]
    fn a_process_of_another_user_is_told_of_with_its_name() {
        let Lookup::Found(launchd) = process::look(1) else { panic!("not seen") };
        assert_eq!(glimpse(&launchd).unwrap().command, "[launchd]");
    }
}
