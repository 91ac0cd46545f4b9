//! Notices of processes' ends: `EVFILT_PROC` in one kqueue, which is itself a descriptor to sleep on.
//!
//! A notice only says that the process should be checked again (I1): not how it exited, nor that the pid still meant
//! the same process when the watch began. Callers check after they arm a watch (I2). If a debugger holds the process,
//! the notice comes when the debugger releases it (xnu `bsd/kern/kern_event.c`, `filt_procevent`).

use crate::sys::macos::process;
use crate::sys::process::Lookup;
use crate::sys::process::info::start_of;
use crate::sys::watch::WatchResult;
use nix::errno::Errno;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent64, Kevent64Flags, Kqueue};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// How many notices are taken from the kernel at once.
const BATCH: usize = 64;

/// A set of watched processes. Each has the caller's own number, which is what a notice carries.
#[derive(Debug)]
pub(crate) struct ExitWatcher {
    queue: Kqueue,
    /// With the start time, by which a number that was given to another process is known.
    watched: HashMap<u64, (i32, Option<u64>)>,
}

impl ExitWatcher {
    /// With none watched yet. It takes one descriptor, however many processes it watches.
    ///
    /// # Errors
    /// No descriptor to be had.
    pub(crate) fn new(_most: usize) -> io::Result<Self> {
        Ok(Self { queue: Kqueue::new()?, watched: HashMap::new() })
    }

    /// Asks for a notice of the end of the process that has this pid now; replaces the one asked for under `number`.
    ///
    /// # Errors
    /// `EBUSY` where the process is on its way out, which kqueue refuses to watch; `ENOMEM`. The caller has to look by
    /// itself then.
    pub(crate) fn watch(&mut self, pid: i32, number: u64) -> io::Result<WatchResult> {
        self.forget(number);
        let Some(request) = exit_of(pid, number, EvFlags::EV_ADD | EvFlags::EV_ONESHOT) else {
            return Ok(WatchResult::AlreadyExited);
        };
        match self.change(request) {
            Ok(()) => {
                self.watched.insert(number, (pid, start_of(pid)));
                Ok(WatchResult::Watching)
            }
            Err(Errno::ESRCH) if process::look(pid) == Lookup::NotFound => Ok(WatchResult::AlreadyExited),
            Err(Errno::ESRCH) => Err(Errno::EBUSY.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether a process for which a notice was asked has ended, or none was asked for: what a lost notice would have told.
    pub(crate) fn has_ended(&self, number: u64) -> bool {
        self.watched.get(&number).is_none_or(|&(pid, since)| since.is_none() || start_of(pid) != since)
    }

    /// Takes a request back. A notice that is already on its way still comes.
    pub(crate) fn forget(&mut self, number: u64) {
        let request = self.watched.remove(&number).and_then(|(pid, _)| exit_of(pid, number, EvFlags::EV_DELETE));
        if let Some(request) = request {
            // One that was told is taken out by the kernel already: ENOENT.
            let _told = self.change(request);
        }
    }

    /// What is readable when there is a notice.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// The numbers of those that have ended, each once; without waiting for more.
    pub(crate) fn take(&self, ended: &mut Vec<u64>) {
        let nothing = KEvent64::new(0, EventFilter::EVFILT_PROC, EvFlags::empty(), FilterFlag::empty(), 0, 0, [0; 2]);
        let mut events = [nothing; BATCH];
        loop {
            // Notices that cannot be had this time are found by the looks that come anyway.
            let count =
                self.queue.kevent64(&[], &mut events, Kevent64Flags::KEVENT_FLAG_IMMEDIATE, None).unwrap_or_default();
            ended.extend(events[..count].iter().map(KEvent64::udata));
            if count < BATCH {
                return;
            }
        }
    }

    fn change(&self, request: KEvent64) -> Result<(), Errno> {
        // Without room for events an error is the call's own (kqueue(2), RETURN VALUES), and nothing is waited for.
        self.queue.kevent64(&[request], &mut [], Kevent64Flags::empty(), None).map(drop)
    }
}

/// A request about the end of one process; nothing for a number that no process has.
fn exit_of(pid: i32, number: u64, action: EvFlags) -> Option<KEvent64> {
    let pid = u64::try_from(pid).ok().filter(|&pid| pid != 0)?;
    // Without this flag a second request about the same pid would take the first one's place, and its number with it
    // (xnu bsd/kern/kern_event.c, knote_fdfind). nix has no name for it.
    let action = action | EvFlags::from_bits_retain(libc::EV_UDATA_SPECIFIC);
    Some(KEvent64::new(pid, EventFilter::EVFILT_PROC, action, FilterFlag::NOTE_EXIT, 0, number, [0; 2]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::time::Duration;

    fn told(exits: &ExitWatcher) -> Vec<u64> {
        assert_eq!(ready([Some(exits.descriptor())], Duration::from_secs(20)), [true]);
        let mut told = Vec::new();
        exits.take(&mut told);
        told
    }

    #[test]
    fn a_notice_comes_once_for_each_watched_process_that_ends() {
        let mut exits = ExitWatcher::new(2).unwrap();
        let mut first = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut second = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 7).unwrap(), WatchResult::Watching);
        assert_eq!(exits.watch(second.id().cast_signed(), 8).unwrap(), WatchResult::Watching);
        exits.forget(8);
        second.kill().unwrap();
        second.wait().unwrap();
        first.kill().unwrap();
        // Not reaped yet: a zombie's end is already told, and a look because of it sees the end.
        assert_eq!(told(&exits), [7]);
        assert_eq!(process::look(first.id().cast_signed()), Lookup::NotFound);
        first.wait().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 9).unwrap(), WatchResult::AlreadyExited);
        assert_eq!(ready([Some(exits.descriptor())], Duration::ZERO), [false]);
    }

    #[test]
    fn two_requests_about_one_process_are_both_answered() {
        let mut exits = ExitWatcher::new(2).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        for number in [1, u64::MAX] {
            assert_eq!(exits.watch(child.id().cast_signed(), number).unwrap(), WatchResult::Watching);
        }
        child.kill().unwrap();
        let mut all = told(&exits);
        while all.len() < 2 {
            all.extend(told(&exits));
        }
        all.sort_unstable();
        assert_eq!(all, [1, u64::MAX]);
        child.wait().unwrap();
    }
}
