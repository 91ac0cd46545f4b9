//! Changes of a folder's entries, and writes into single files: inotify with the narrowest mask that tells them.
//!
//! Heartbeats, log writes and reads raise no event here.

use crate::sys::linux::inotify::{WatchFlags, Watches};
use crate::sys::watch::{DirEvent, DirWatcher};
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A watch on a folder and on single files.
#[derive(Debug)]
pub(crate) struct PlatformWatcher {
    /// By the file's path; the folder without one.
    watches: Watches<Option<Box<Path>>>,
}

impl PlatformWatcher {
    /// What it is called.
    pub(crate) const NAME: &'static str = "inotify";

    /// Watches a folder. When this returns the watch stands.
    ///
    /// # Errors
    /// No instance or watch left, not supported, not permitted.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mask = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::MOVED_FROM;
        let own = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        let mut watches = Watches::new()?;
        watches.set(&None, folder, mask | own)?;
        Ok(Self { watches })
    }
}

impl DirWatcher for PlatformWatcher {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.watches.descriptor()
    }

    fn follow(&mut self, path: &Path) -> io::Result<()> {
        self.watches.set(&Some(path.into()), path, WatchFlags::MODIFY)
    }

    fn take(&mut self, tell: &mut dyn FnMut(DirEvent<'_>)) -> io::Result<()> {
        let lost = self.watches.take(&mut |file, _, entry| match (file, entry) {
            (Some(file), _) => file.file_name().into_iter().for_each(|name| tell(DirEvent::Entry(name))),
            (None, Some(name)) => tell(DirEvent::Entry(OsStr::from_bytes(name.to_bytes()))),
            // Its own removal, renaming, or the end of its filesystem.
            (None, None) => tell(DirEvent::Gone),
        })?;
        if lost {
            tell(DirEvent::Unknown);
        }
        Ok(())
    }
}
