//! Whether a run's processes do anything: what each has done so far, to be held against a later look.
//!
//! Any change counts as activity: CPU time, bytes moved, a process that started or exited. A process that is stopped,
//! blocked or waits for a lock changes none of these.

use crate::sys::platform::process as machine;
use crate::sys::platform::usage;
use crate::sys::process::ProcessInfo;
use crate::sys::process::info::{current_pid, trees};
use std::collections::BTreeMap;

/// How much every process below this one has done, by number and start time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activity(BTreeMap<(i32, u64), Option<u64>>);

/// Reads what the run's processes have done: those of COMMAND's group and session, and with `own_children` every child of
/// this process; with all that descends from these.
pub(crate) fn below_myself(group: Option<i32>, own_children: bool) -> Activity {
    let there = machine::pids().into_iter().filter_map(|pid| Some((pid, machine::look(pid).found()?)));
    let all: BTreeMap<i32, ProcessInfo> = there.collect();
    let is_root = |entry: &ProcessInfo| own_children && entry.parent == current_pid() || entry.is_in(group);
    let below = trees(&all, is_root, |_| true);
    Activity(below.into_values().map(|entry| ((entry.pid, entry.started), usage::of(entry.pid))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_waits_changes_nothing_and_one_that_reads_does() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let of_child = || {
            let Activity(all) = below_myself(None, true);
            all.into_iter().find(|((pid, _), _)| *pid == child.id().cast_signed()).unwrap()
        };
        let echo = |input: &mut std::process::ChildStdin, output: &mut std::process::ChildStdout| {
            input.write_all(b"x").unwrap();
            output.read_exact(&mut [0]).unwrap();
        };
        // Once it has answered it is on its way back to the next read, and then it stands still.
        echo(&mut input, &mut output);
        let mut still = of_child();
        while of_child() != still {
            still = of_child();
        }
        echo(&mut input, &mut output);
        while of_child() == still {
            std::thread::yield_now();
        }
        drop(input);
        child.wait().unwrap();
    }
}
