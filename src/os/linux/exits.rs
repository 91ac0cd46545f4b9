//! Notices of processes' ends: one thread asleep in epoll over pidfds, and over the signals that this process gets.
//!
//! Refuses to say how a process ended, or that the number still meant the same process when the watch began: a notice
//! means *look* (I1), and whoever arms one looks afterwards (I2).

use crate::os::signals::Notices;
use crossbeam_channel::Sender;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The number by which the thread is told to end; no step has it.
const STOPPED: u64 = u64::MAX;
/// What marks a signal among the notices.
const SIGNALS: u64 = u64::MAX - 1;

/// A set of watched processes. Each has the caller's own number, which is what a notice carries.
#[derive(Debug)]
pub(crate) struct Exits {
    epoll: Arc<OwnedFd>,
    /// Held, because dropping it ends the thread.
    _stop: UnixStream,
    watched: HashMap<u64, OwnedFd>,
    most: usize,
}

/// What came of asking for a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Armed {
    /// The notice will come.
    Watching,
    /// The process is gone already: no notice comes.
    Gone,
}

impl Exits {
    /// Starts the thread that sends notices, and passes signals on beside: a process ends when its last thread has. Of
    /// descriptors it takes `most`, one for each process: what would take the last ones could not be looked at any more.
    ///
    /// # Errors
    /// No descriptor or no thread to be had.
    pub(crate) fn start(notices: Sender<u64>, most: usize, mut signals: Notices) -> io::Result<Self> {
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        epoll::add(&epoll, signals.descriptor(), epoll::EventData::new_u64(SIGNALS), epoll::EventFlags::IN)?;
        let (stop, stopped) = UnixStream::pair()?;
        // The end of this one is told as any other's.
        epoll::add(&epoll, &stopped, epoll::EventData::new_u64(STOPPED), epoll::EventFlags::IN)?;
        let watched = Arc::clone(&epoll);
        let run = move || forward(&watched, &stopped, &notices, &mut signals);
        std::thread::Builder::new().name("exits".into()).spawn(run)?;
        Ok(Self { epoll, _stop: stop, watched: HashMap::new(), most })
    }

    /// Asks for a notice of the end of the process that has this pid now; replaces the one asked for under `number`.
    ///
    /// # Errors
    /// No descriptor left for it, or a kernel without pidfd: the caller has to look by itself.
    pub(crate) fn watch(&mut self, pid: i32, number: u64) -> io::Result<Armed> {
        self.forget(number);
        let Some(pid) = Pid::from_raw(pid) else { return Ok(Armed::Gone) };
        if self.watched.len() >= self.most {
            return Err(rustix::io::Errno::MFILE.into());
        }
        // A pidfd becomes readable when the process ends, also as a zombie, whoever its parent is (pidfd_open(2)).
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(Armed::Gone),
            Err(errno) => return Err(errno.into()),
        };
        // One notice is enough, and a readable pidfd stays readable: without ONESHOT the thread would spin.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        epoll::add(&self.epoll, &descriptor, epoll::EventData::new_u64(number), flags)?;
        self.watched.insert(number, descriptor);
        Ok(Armed::Watching)
    }

    /// Whether a process for which a notice was asked has ended, or none was asked for: what a lost notice would have told.
    pub(crate) fn has_ended(&self, number: u64) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        self.watched.get(&number).is_none_or(|descriptor| {
            // Where it cannot be told a look tells.
            poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&now)) != Ok(0)
        })
    }

    /// Takes a request back. A notice that is already on its way still comes.
    pub(crate) fn forget(&mut self, number: u64) {
        // Closing the last descriptor of a pidfd takes it out of every epoll (epoll(7), Questions and answers).
        self.watched.remove(&number);
    }
}

/// `_stopped` is held, because closing it would take it out of the epoll.
fn forward(epoll: &OwnedFd, _stopped: &UnixStream, notices: &Sender<u64>, signals: &mut Notices) {
    let mut events = Vec::with_capacity(64);
    loop {
        events.clear();
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        for event in &events {
            let goes_on = match event.data.u64() {
                STOPPED => false,
                SIGNALS => signals.pass_on(),
                number => notices.send(number).is_ok(),
            };
            if !goes_on {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::signals::Signal;
    use std::time::Duration;

    #[test]
    fn a_notice_comes_once_for_each_watched_process_that_ends() {
        let (sender, receiver) = crossbeam_channel::bounded(8);
        let (signals, interrupts) = Notices::catch(&[Signal::SIGWINCH]).unwrap();
        let mut exits = Exits::start(sender, 2, signals).unwrap();
        let mut first = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut second = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 7).unwrap(), Armed::Watching);
        assert_eq!(exits.watch(second.id().cast_signed(), 8).unwrap(), Armed::Watching);
        assert!(exits.watch(first.id().cast_signed(), 9).is_err(), "it took more than it was given");
        exits.forget(8);
        second.kill().unwrap();
        second.wait().unwrap();
        assert!(!exits.has_ended(7) && exits.has_ended(8));
        first.kill().unwrap();
        // Not reaped yet: a zombie's end is already told.
        assert_eq!(receiver.recv_timeout(Duration::from_secs(20)), Ok(7));
        assert!(exits.has_ended(7));
        first.wait().unwrap();
        assert_eq!(exits.watch(first.id().cast_signed(), 9).unwrap(), Armed::Gone);
        assert!(receiver.try_recv().is_err());
        nix::sys::signal::raise(Signal::SIGWINCH).unwrap();
        assert_eq!(interrupts.signals.recv_timeout(Duration::from_secs(20)), Ok(Signal::SIGWINCH));
    }
}
