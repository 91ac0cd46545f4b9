//! Notices that files have grown, or have lost their names: inotify on the files themselves, one event at a time.
//!
//! A log is written thousands of times a second or not for an hour. One event (`IN_ONESHOT`) wakes the reader, who looks
//! and asks again when it likes: no wake-up while nothing is written, and never more than the reader asked for.

use crate::sys::linux::inotify::{ReadFlags, WatchFlags, Watches};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// The files that are asked about, each by the caller's number.
#[derive(Debug)]
pub(crate) struct WriteWatcher {
    watches: Watches<usize>,
}

impl WriteWatcher {
    /// Prepares notices; none is asked for yet.
    ///
    /// # Errors
    /// No inotify instance left, or none on this system: the caller looks by a timer instead.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { watches: Watches::new()? })
    }

    /// Asks for one notice of the next write to this file, or of its renaming or removal; whether it will come. Look
    /// afterwards: a write before is not told.
    pub(crate) fn arm(&mut self, number: usize, path: &Path) -> bool {
        // A rename, and a removal, which changes the number of links (inotify(7), IN_ATTRIB): the name is another file's then.
        let mask = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::ATTRIB | WatchFlags::ONESHOT;
        self.watches.set(&number, path, mask).is_ok()
    }

    /// What is readable when there is something to tell.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.watches.descriptor()
    }

    /// The numbers of those that have grown; whether that is all of them, because no notice was lost.
    pub(crate) fn take(&mut self, grown: &mut Vec<usize>) -> bool {
        let lost = self.watches.take(&mut |&number, flags, _| {
            // The end of the watch comes after its one event, and says nothing new.
            if !flags.contains(ReadFlags::IGNORED) {
                grown.push(number);
            }
        });
        matches!(lost, Ok(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn each_log_is_told_by_its_number_once_it_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut growths = WriteWatcher::new().unwrap();
        let mut logs = ["a", "b"].map(|name| std::fs::File::create(folder.path().join(name)).unwrap());
        assert!(!growths.arm(0, &folder.path().join("none")));
        for round in 0..3 {
            for (number, name) in ["a", "b"].into_iter().enumerate() {
                assert!(growths.arm(number, &folder.path().join(name)));
                logs[number].write_all(b"x").unwrap();
                logs[number].write_all(b"y").unwrap();
                assert_eq!(ready([Some(growths.descriptor())], Duration::from_secs(20)), [true]);
                let mut grown = Vec::new();
                assert!(growths.take(&mut grown));
                assert_eq!(grown, [number], "round {round}");
            }
        }
        std::fs::remove_file(folder.path().join("a")).unwrap();
        assert_eq!(ready([Some(growths.descriptor())], Duration::ZERO), [false], "nobody has asked");
    }
}
