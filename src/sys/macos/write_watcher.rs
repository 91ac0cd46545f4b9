//! Notices writes into single files, and that they lose their names: kqueue on the files themselves. Called by
//! `sys::log::follower` and `macos::dir_watcher`.
//!
//! A log is written thousands of times a second or not for an hour. With `EV_ONESHOT` one event wakes the reader, which reads
//! and asks again when it likes: no wake-up while nothing is written, and no more than the reader asked for.
//!
//! A watch stays on the file that had the name when the watch was set, whatever the name means later.

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How many notices are taken from the kernel at once.
const BATCH: usize = 64;

/// The watched files, each under a number that the caller chose.
#[derive(Debug)]
pub(crate) struct WriteWatcher {
    queue: Kqueue,
    /// What is watched: kqueue knows files by descriptor, and closing it takes the watch away (kqueue(2)).
    files: HashMap<usize, File>,
}

impl WriteWatcher {
    /// Watches no file yet.
    ///
    /// # Errors
    /// No descriptor left: the caller reads by a timer instead.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { queue: Kqueue::new()?, files: HashMap::new() })
    }

    /// Asks for one notice of the next write to this file, or of its renaming or removal; returns whether it will come. Read the
    /// file afterwards: a write before this call raises no notice.
    pub(crate) fn arm(&mut self, number: usize, path: &Path) -> bool {
        self.follow(number, path, EvFlags::EV_ONESHOT).is_ok()
    }

    /// Asks for notices of writes to this file from now on, and of its renaming or removal: of the next one by `EV_ONESHOT`,
    /// of each by `EV_CLEAR`.
    ///
    /// # Errors
    /// No descriptor left, or no such file.
    pub(crate) fn follow(&mut self, number: usize, path: &Path, how: EvFlags) -> io::Result<()> {
        // Opened anew each time, since the name may have come to mean another file. O_EVTONLY does not keep the volume
        // from being unmounted (open(2)); O_NONBLOCK does not wait for a pipe's other end.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_EVTONLY | libc::O_NONBLOCK).open(path)?;
        let descriptor = usize::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
        let request = KEvent::new(
            descriptor,
            EventFilter::EVFILT_VNODE,
            EvFlags::EV_ADD | how,
            FilterFlag::NOTE_WRITE | FilterFlag::NOTE_EXTEND | FilterFlag::NOTE_RENAME | FilterFlag::NOTE_DELETE,
            0,
            isize::try_from(number).map_err(io::Error::other)?,
        );
        self.queue.kevent(&[request], &mut [], None)?;
        // The new watch stands before the old one goes.
        self.files.insert(number, file);
        Ok(())
    }

    /// Makes [`WriteWatcher::descriptor`] readable as well while `other` is, which must stay open.
    ///
    /// # Errors
    /// What kevent(2) says.
    pub(crate) fn include(&mut self, other: BorrowedFd<'_>) -> io::Result<()> {
        let descriptor = usize::try_from(other.as_raw_fd()).map_err(io::Error::other)?;
        let request = KEvent::new(descriptor, EventFilter::EVFILT_READ, EvFlags::EV_ADD, FilterFlag::empty(), 0, 0);
        self.queue.kevent(&[request], &mut [], None)?;
        Ok(())
    }

    /// What is readable when there is something to tell.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// The numbers of those that have grown; that is all of them, since a kqueue loses none.
    pub(crate) fn take(&mut self, grown: &mut Vec<usize>) -> bool {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let nothing = KEvent::new(0, EventFilter::EVFILT_VNODE, EvFlags::empty(), FilterFlag::empty(), 0, 0);
        let mut events = [nothing; BATCH];
        loop {
            let count = self.queue.kevent(&[], &mut events, Some(at_once)).unwrap_or_default();
            let of_files = events[..count].iter().filter(|event| event.filter() == Ok(EventFilter::EVFILT_VNODE));
            grown.extend(of_files.filter_map(|event| usize::try_from(event.udata()).ok()));
            if count < BATCH {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::io::Write;
    use std::time::Duration;

    #[test]
    fn a_write_is_told_once_and_only_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = File::create(&path).unwrap();
        let mut growths = WriteWatcher::new().unwrap();
        let told = |growths: &WriteWatcher, limit| ready([Some(growths.descriptor())], limit) == [true];
        log.write_all(b"before\n").unwrap();
        assert!(growths.arm(3, &path));
        assert!(!told(&growths, Duration::ZERO));
        log.write_all(b"after\n").unwrap();
        assert!(told(&growths, Duration::from_secs(20)));
        let mut grown = Vec::new();
        assert!(growths.take(&mut grown) && grown == [3]);
        log.write_all(b"unasked\n").unwrap();
        assert!(!told(&growths, Duration::ZERO));
        assert!(!growths.arm(3, &folder.path().join("none")));
    }

    #[test]
    fn a_followed_file_tells_of_every_write_and_a_pipe_in_its_place_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.status");
        let mut status = File::create(&path).unwrap();
        let mut writes = WriteWatcher::new().unwrap();
        writes.follow(0, &path, EvFlags::EV_CLEAR).unwrap();
        for _ in 0..2 {
            status.write_all(b"SUC").unwrap();
            assert_eq!(ready([Some(writes.descriptor())], Duration::from_secs(20)), [true]);
            let mut written = Vec::new();
            assert!(writes.take(&mut written) && written == [0]);
        }
        std::fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _refused_or_watched = writes.follow(0, &path, EvFlags::EV_CLEAR);
    }

    #[test]
    fn another_descriptor_makes_it_readable_and_is_no_file() {
        let (read, write) = nix::unistd::pipe().unwrap();
        let mut writes = WriteWatcher::new().unwrap();
        writes.include(read.as_fd()).unwrap();
        assert_eq!(ready([Some(writes.descriptor())], Duration::ZERO), [false]);
        nix::unistd::write(&write, b"x").unwrap();
        assert_eq!(ready([Some(writes.descriptor())], Duration::from_secs(20)), [true]);
        let mut written = Vec::new();
        assert!(writes.take(&mut written) && written.is_empty());
    }
}
