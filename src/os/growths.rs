//! Notices that logs have grown, for a loop that waits on channels: one thread for all of them.
//!
//! Refuses to tell of a log that was not asked for since its last notice: a log that is written thousands of times a
//! second wakes nobody more often than it is looked at.

use super::platform::growth::Growth;
use crossbeam_channel::{Sender, TrySendError};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The logs that can be asked about.
#[derive(Debug)]
pub(crate) struct Growths {
    growths: Arc<Vec<Growth>>,
    /// Held, because dropping it ends the thread.
    _stop: UnixStream,
}

impl Growths {
    /// Prepares notices for as many logs; the number of each that has grown goes into the channel. Where that is full
    /// the flag is set instead.
    ///
    /// # Errors
    /// No thread or descriptor to be had, or fewer than that: the caller looks by a timer instead.
    pub(crate) fn start(count: usize, grown: Sender<usize>, missed: Arc<AtomicBool>) -> io::Result<Self> {
        let growths: Vec<Growth> = (0..count).map(|_| Growth::new()).collect::<io::Result<_>>()?;
        let growths = Arc::new(growths);
        let (stop, stopped) = UnixStream::pair()?;
        let watched = Arc::clone(&growths);
        std::thread::Builder::new().name("growth".into()).spawn(move || tell(&watched, &stopped, &grown, &missed))?;
        Ok(Self { growths, _stop: stop })
    }

    /// Asks for one notice of the next write to the file that has this name, or of its loss of the name; whether it will come. Look afterwards: a
    /// write before is not told.
    pub(crate) fn arm(&self, number: usize, path: &Path) -> bool {
        self.growths.get(number).is_some_and(|growth| growth.arm(path).is_ok())
    }
}

fn tell(growths: &[Growth], stopped: &UnixStream, grown: &Sender<usize>, missed: &AtomicBool) {
    loop {
        let mut waited = vec![PollFd::new(stopped.as_fd(), PollFlags::POLLIN)];
        waited.extend(growths.iter().map(|growth| PollFd::new(growth.descriptor(), PollFlags::POLLIN)));
        // An interruption only makes it look earlier.
        let _woken = poll(&mut waited, PollTimeout::NONE);
        if waited[0].any().unwrap_or(true) {
            return;
        }
        let readable = waited[1..].iter().enumerate().filter(|(_, waited)| waited.any().unwrap_or(false));
        for (number, _) in readable {
            growths[number].drain();
            match grown.try_send(number) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => missed.store(true, Ordering::Release),
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn each_log_is_told_by_its_number_once_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (sender, grown) = bounded(8);
        let growths = Growths::start(2, sender, Arc::new(AtomicBool::new(false))).unwrap();
        let mut logs = ["a", "b"].map(|name| std::fs::File::create(folder.path().join(name)).unwrap());
        assert!(!growths.arm(0, &folder.path().join("none")) && !growths.arm(2, &folder.path().join("a")));
        for round in 0..3 {
            for (number, name) in ["a", "b"].into_iter().enumerate() {
                assert!(growths.arm(number, &folder.path().join(name)));
                logs[number].write_all(b"x\ny\n").unwrap();
                assert_eq!(grown.recv_timeout(Duration::from_secs(20)), Ok(number), "round {round}");
            }
        }
        drop(growths);
        assert!(grown.recv_timeout(Duration::from_secs(20)).is_err(), "the thread has gone, and its sender with it");
    }
}
