//! Watches on folders and files, each under the caller's own key: one inotify instance, read by its poller.
//!
//! There is no thread that forwards events: its wake-up would come before the wake-up of the waiting thread, and double
//! the latency.

use super::deferred_close::DeferredClose;
use rustix::fs::inotify::{self, Reader};
pub(crate) use rustix::fs::inotify::{ReadFlags, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How much is read in one go, so that a storm of events keeps no loop from its work; one with the longest name takes 272
/// bytes (inotify(7)).
const ROOM: usize = 16 << 10;

/// The watches of one instance.
#[derive(Debug)]
pub(crate) struct Watches<K> {
    /// Dropped before the reference below, which then is the last one.
    instance: OwnedFd,
    /// `None` if it cannot be had: then closing the instance blocks until the kernel has freed it.
    _deferred: Option<DeferredClose>,
    /// The watch that stands under each key. Names of one file share one (`rustix::fs::inotify::add_watch`).
    set: BTreeMap<K, i32>,
}

impl<K: Clone + Ord> Watches<K> {
    /// Without any watch yet.
    ///
    /// # Errors
    /// No instance left for this user, or no inotify at all.
    pub(crate) fn new() -> io::Result<Self> {
        let instance = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let deferred = DeferredClose::of(instance.as_fd()).ok();
        Ok(Self { instance, _deferred: deferred, set: BTreeMap::new() })
    }

    /// Watches what has this path now; what was watched under the key before is not any more.
    ///
    /// # Errors
    /// No watch left, or no such file; what was watched before still is.
    pub(crate) fn set(&mut self, key: &K, path: &Path, mask: WatchFlags) -> io::Result<()> {
        let watch = inotify::add_watch(&self.instance, path, mask)?;
        let before = self.set.insert(key.clone(), watch);
        if let Some(before) = before.filter(|before| self.set.values().all(|other| other != before)) {
            // Gone with its file already: EINVAL.
            let _gone = inotify::remove_watch(&self.instance, before);
        }
        Ok(())
    }

    /// What poll(2) waits for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.instance.as_fd()
    }

    /// Tells by the key to what something has happened, and by the name to which entry in it, without waiting for more; the
    /// rest of a storm the next time, which poll(2) says at once. Whether events were lost.
    ///
    /// # Errors
    /// Nothing can be read any more.
    pub(crate) fn take(&mut self, tell: &mut dyn FnMut(&K, ReadFlags, Option<&CStr>)) -> io::Result<bool> {
        let mut lost = false;
        let mut buffer = [MaybeUninit::uninit(); ROOM];
        let mut reader = Reader::new(&self.instance, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(lost),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let (watch, flags) = (event.wd(), event.events());
            lost |= flags.contains(ReadFlags::QUEUE_OVERFLOW);
            for (key, _) in self.set.iter().filter(|(_, set)| **set == watch) {
                tell(key, flags, event.file_name());
            }
            if flags.contains(ReadFlags::IGNORED) {
                // The kernel has taken it out; its number is not given again soon (inotify(7), BUGS).
                self.set.retain(|_, set| *set != watch);
            }
            if reader.is_buffer_empty() {
                return Ok(lost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn told(watches: &mut Watches<u8>) -> Vec<(u8, ReadFlags, String)> {
        let mut all = Vec::new();
        let mut take = |key: &u8, flags, name: Option<&CStr>| {
            all.push((*key, flags, name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()));
        };
        assert!(!watches.take(&mut take).unwrap());
        all
    }

    #[test]
    fn a_key_stands_for_the_file_that_has_the_name_now_and_two_may_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        fs::write(&one, "").unwrap();
        fs::hard_link(&one, &two).unwrap();
        let mut watches = Watches::new().unwrap();
        assert!(watches.set(&0, &folder.path().join("none"), WatchFlags::MODIFY).is_err());
        watches.set(&1, &one, WatchFlags::MODIFY).unwrap();
        watches.set(&2, &two, WatchFlags::MODIFY).unwrap();
        let write =
            |path: &Path| fs::OpenOptions::new().append(true).open(path).map(|mut it| io::Write::write(&mut it, b"x"));
        write(&one).unwrap().unwrap();
        assert_eq!(told(&mut watches).iter().map(|told| told.0).collect::<Vec<_>>(), [1, 2]);
        fs::remove_file(&one).unwrap();
        fs::write(&one, "").unwrap();
        watches.set(&1, &one, WatchFlags::MODIFY).unwrap();
        write(&two).unwrap().unwrap();
        assert_eq!(told(&mut watches), [(2, ReadFlags::MODIFY, String::new())]);
        // The old file has no key left: its watch is removed.
        fs::remove_file(&two).unwrap();
        fs::write(&two, "").unwrap();
        watches.set(&2, &two, WatchFlags::MODIFY).unwrap();
        assert!(told(&mut watches).is_empty());
        assert_eq!(watches.set.len(), 2);
        fs::remove_file(&two).unwrap();
        assert_eq!(told(&mut watches), [(2, ReadFlags::IGNORED, String::new())]);
        assert_eq!(watches.set.len(), 1);
    }

    #[test]
    fn a_storm_is_read_in_pieces_and_nothing_of_it_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut watches = Watches::new().unwrap();
        watches.set(&1, folder.path(), WatchFlags::CREATE).unwrap();
        let many = ROOM / 20;
        for number in 0..many {
            fs::write(folder.path().join(number.to_string()), "").unwrap();
        }
        let mut pieces = Vec::new();
        while pieces.iter().sum::<usize>() < many {
            pieces.push(told(&mut watches).len());
            assert!(*pieces.last().unwrap() > 0, "{pieces:?}");
        }
        assert!(pieces.len() > 1 && told(&mut watches).is_empty(), "{pieces:?}");
    }
}
