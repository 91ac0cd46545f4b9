//! Sleeping until a process ends. Called wherever a process is being ended, and for shell commands.

use crate::sys::clock;
use crate::sys::platform::exit_watcher::ExitWatcher;
use crate::sys::process::info::start_of;
use crate::sys::watch::WatchResult;
use crate::sys::watch::poll::ready;
use std::time::Duration;

/// How soon the caller looks again where no notice comes.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Sleeps until one of these processes ends, each a number with its raw start time, and so long at most; not at all where one
/// has ended already. An own child's number means no other process, and needs no start time.
pub(crate) fn wait_for_exit(processes: &[(i32, Option<u64>)], mut longest: Duration) {
    let Ok(mut exits) = ExitWatcher::new(processes.len()) else {
        return clock::sleep_until(clock::now().plus(longest.min(LOOK_AGAIN)));
    };
    for (number, &(pid, started)) in (0..).zip(processes) {
        match exits.watch(pid, number) {
            // After the watch: had the number come to mean another process before, the start time shows it.
            Ok(WatchResult::Watching) if started.is_none() || start_of(pid) == started => {}
            Ok(WatchResult::Watching | WatchResult::AlreadyExited) => return,
            Err(_) => longest = longest.min(LOOK_AGAIN),
        }
    }
    ready([Some(exits.descriptor())], longest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::platform::process::{look, signal};
    use crate::sys::process::Lookup;
    use crate::sys::signals::Signal;

    #[test]
    fn it_sleeps_until_the_first_end_and_not_where_one_has_ended() {
        let began = clock::now();
        let mut children = [0, 1].map(|_| std::process::Command::new("sleep").arg("60").spawn().unwrap());
        let entries = children.each_ref().map(|child| {
            let pid = child.id().cast_signed();
            (pid, start_of(pid))
        });
        wait_for_exit(&entries, Duration::from_millis(2));
        assert!(clock::now() >= began.plus(Duration::from_millis(2)));
        children[1].kill().unwrap();
        wait_for_exit(&entries, Duration::from_secs(60));
        children[1].wait().unwrap();
        wait_for_exit(&entries, Duration::from_secs(60));
        let another = (entries[0].0, entries[0].1.map(|started| started + 1));
        wait_for_exit(&[another], Duration::from_secs(60));
        assert!(clock::now().since(began) < Duration::from_secs(30));
        children[0].kill().unwrap();
        children[0].wait().unwrap();
    }

    #[test]
    fn a_signal_reaches_its_process_and_afterwards_nobody() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id().cast_signed();
        let started = start_of(pid).unwrap();
        assert!(!signal(pid, started + 1, Signal::SIGKILL).unwrap());
        assert!(signal(pid, started, Signal::SIGKILL).unwrap());
        while start_of(pid).is_some() {
            wait_for_exit(&[(pid, Some(started))], Duration::from_secs(20));
        }
        assert!(!signal(pid, started, Signal::SIGKILL).unwrap());
        child.wait().unwrap();
        assert_eq!(look(pid), Lookup::NotFound);
    }
}
