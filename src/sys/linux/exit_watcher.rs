//! Notices of processes' ends: pidfds in one epoll, which is itself a descriptor to sleep on.
//!
//! A notice only says that the process should be checked again (I1): not how it exited, nor that the pid still meant
//! the same process when the watch began. Callers check after they arm a watch (I2).

use crate::sys::watch::WatchResult;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How many notices are taken from the kernel at once.
const BATCH: usize = 64;

/// A set of watched processes. Each has the caller's own number, which is what a notice carries.
#[derive(Debug)]
pub(crate) struct ExitWatcher {
    epoll: OwnedFd,
    watched: HashMap<u64, OwnedFd>,
    most: usize,
}

impl ExitWatcher {
    /// With none watched yet. Of descriptors it takes `most`, one for each process: what would take the last ones could not
    /// be looked at any more.
    ///
    /// # Errors
    /// No descriptor to be had.
    pub(crate) fn new(most: usize) -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, watched: HashMap::new(), most })
    }

    /// Asks for a notice of the end of the process that has this pid now; replaces the one asked for under `number`.
    ///
    /// # Errors
    /// No descriptor left for it, or a kernel without pidfd: the caller has to look by itself.
    pub(crate) fn watch(&mut self, pid: i32, number: u64) -> io::Result<WatchResult> {
        self.forget(number);
        let Some(pid) = Pid::from_raw(pid) else { return Ok(WatchResult::AlreadyExited) };
        if self.watched.len() >= self.most {
            return Err(rustix::io::Errno::MFILE.into());
        }
        // A pidfd becomes readable when the process ends, also as a zombie, and of any parent's child (pidfd_open(2)).
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(WatchResult::AlreadyExited),
            Err(errno) => return Err(errno.into()),
        };
        // One notice is enough, and a readable pidfd stays readable: without ONESHOT the loop would spin.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(&self.epoll, &descriptor, epoll::EventData::new_u64(number), flags)?;
        self.watched.insert(number, descriptor);
        Ok(WatchResult::Watching)
    }

    /// Whether a process for which a notice was asked has ended, or none was asked for: what a lost notice would have told.
    pub(crate) fn has_ended(&self, number: u64) -> bool {
        self.watched.get(&number).is_none_or(|descriptor| {
            // Where it cannot be told a look tells.
            poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&Timespec::default())) != Ok(0)
        })
    }

    /// Takes a request back. A notice that is already on its way still comes.
    pub(crate) fn forget(&mut self, number: u64) {
        // Closing the last descriptor of a pidfd takes it out of every epoll (epoll(7), Questions and answers).
        self.watched.remove(&number);
    }

    /// What is readable when there is a notice.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The numbers of those that have ended, each once; without waiting for more.
    pub(crate) fn take(&self, ended: &mut Vec<u64>) {
        let mut events = Vec::with_capacity(BATCH);
        loop {
            events.clear();
            // Notices that cannot be had this time are found by the looks that come anyway.
            let _count =
                epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec::default()));
            ended.extend(events.iter().map(|event: &epoll::Event| event.data.u64()));
            if events.len() < BATCH {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::time::Duration;

    #[test]
    fn a_notice_comes_once_for_each_watched_process_that_ends() {
        let mut exits = ExitWatcher::new(2).unwrap();
        let mut first = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut second = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 7).unwrap(), WatchResult::Watching);
        assert_eq!(exits.watch(second.id().cast_signed(), 8).unwrap(), WatchResult::Watching);
        assert!(exits.watch(first.id().cast_signed(), 9).is_err(), "it took more than it was given");
        exits.forget(8);
        second.kill().unwrap();
        second.wait().unwrap();
        assert!(!exits.has_ended(7) && exits.has_ended(8));
        first.kill().unwrap();
        // Not reaped yet: a zombie's end is already told.
        assert_eq!(ready([Some(exits.descriptor())], Duration::from_secs(20)), [true]);
        let mut told = Vec::new();
        exits.take(&mut told);
        exits.take(&mut told);
        assert_eq!(told, [7]);
        assert!(exits.has_ended(7));
        first.wait().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 9).unwrap(), WatchResult::AlreadyExited);
        assert_eq!(ready([Some(exits.descriptor())], Duration::ZERO), [false]);
    }

    #[test]
    fn more_ends_than_one_batch_holds_are_all_told() {
        let mut exits = ExitWatcher::new(usize::MAX).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let numbers: Vec<u64> = (0..BATCH as u64 * 2 + 5).collect();
        for &number in &numbers {
            assert_eq!(exits.watch(child.id().cast_signed(), number).unwrap(), WatchResult::Watching);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let mut told = Vec::new();
        exits.take(&mut told);
        told.sort_unstable();
        assert_eq!(told, numbers);
    }
}
