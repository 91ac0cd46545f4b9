//! Ends this process's own children where no list of processes shows them: without procfs, or where it hides them.
//! `runner::end_tree` calls it when the kernel still knows of a child and scans show none.
//!
//! A child keeps its number until this process waits for it, so it is signalled by that number: no descriptor and no start
//! time is needed. Its own children become this process's when it exits, and are found then.

use crate::sys::clock;
use crate::sys::platform::process::for_each_own_child;
use crate::sys::process::tree::{Escalation, KILL_LIMIT};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use std::collections::BTreeSet;
use std::time::Duration;

/// How often the children are asked for anew.
const PAUSE: Duration = Duration::from_millis(10);

/// Ends all children but `others`: the first signal, KILL after the grace. `group` is the one that COMMAND was given. Which are left.
pub(crate) fn end_unlisted(
    others: &[i32],
    group: i32,
    escalation: Escalation,
    may_go_on: &mut dyn FnMut() -> bool,
) -> Vec<i32> {
    let kill_at = clock::now().plus(escalation.grace);
    let (mut told, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let mut passes_with_kill = 0;
    loop {
        if !may_go_on() {
            return Vec::new();
        }
        // Asking for all may take long, so each is signalled as soon as it is found.
        let may_kill = clock::now() >= kill_at;
        let mut left = Vec::new();
        let mut on_child = |pid| {
            if !others.contains(&pid) {
                left.push(pid);
                let first = told.insert(pid).then_some(escalation.signal);
                let sent = send(pid, group, if may_kill { Some(Signal::SIGKILL) } else { first });
                if sent == Err(Errno::EPERM) {
                    refused.insert(pid);
                }
            }
        };
        for_each_own_child(group, &mut on_child, &mut || !may_go_on());
        passes_with_kill += u32::from(may_kill);
        let is_hopeless = left.iter().all(|pid| refused.contains(pid)) && (left.is_empty() || may_kill);
        if is_hopeless || passes_with_kill > 1 && clock::now() >= kill_at.plus(KILL_LIMIT) {
            return left;
        }
        clock::sleep_until(clock::now().plus(PAUSE));
    }
}

/// Signals it, and all of COMMAND's group where it is in that one: the group's number is its own as long as a child of this
/// process is in it.
fn send(pid: i32, group: i32, signal: Option<Signal>) -> nix::Result<()> {
    let (number, group) = (Pid::from_raw(pid), Pid::from_raw(group));
    let in_group = getpgid(Some(number)) == Ok(group);
    match signal {
        Some(Signal::SIGKILL) if in_group => killpg(group, Signal::SIGKILL).and(kill(number, Signal::SIGKILL)),
        Some(first) if in_group => killpg(group, first).and_then(|()| killpg(group, Signal::SIGCONT)),
        Some(first) => kill(number, first).and_then(|()| kill(number, Signal::SIGCONT)),
        None => Ok(()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn own_children() -> Vec<i32> {
        let mut found = Vec::new();
        for_each_own_child(2, &mut |pid| found.push(pid), &mut || false);
        found
    }

    #[test]
    fn children_are_found_without_a_list_and_others_live_on() {
        // In a process of its own: children that another test starts meanwhile would be ended with these.
        if std::env::var_os("HAS_OWN_PROCESS").is_none() {
            let name = "sys::process::tree::unlisted::tests::children_are_found_without_a_list_and_others_live_on";
            let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
            let output = alone.args(["--exact", name]).env("HAS_OWN_PROCESS", "1").output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            return assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
        }
        let mut sleepers: Vec<_> =
            (0..2).map(|_| std::process::Command::new("sleep").arg("300").spawn().unwrap()).collect();
        let pids: Vec<i32> = sleepers.iter().map(|child| child.id().cast_signed()).collect();
        assert!(pids.iter().all(|pid| own_children().contains(pid)), "{pids:?}");
        let escalation = Escalation::term(Duration::from_secs(5));
        let left = end_unlisted(&pids[1..], pids[0], escalation, &mut || sleepers[0].try_wait().unwrap().is_none());
        assert!(left.is_empty(), "{left:?}");
        assert!(sleepers[1].try_wait().unwrap().is_none());
        sleepers[1].kill().unwrap();
        sleepers[1].wait().unwrap();
        assert!(!own_children().contains(&pids[0]));
    }
}
