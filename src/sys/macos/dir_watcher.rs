//! Changes of a folder's entries by kqueue, through notify; and writes into single files by a kqueue of its own. Called by
//! `sys::watch::dir`.

use crate::sys::macos::write_watcher::WriteWatcher;
use crate::sys::watch::notify_source::NotifySource;
use crate::sys::watch::{DirEvent, DirWatcher};
use nix::sys::event::EvFlags;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// A watch on a folder and on single files.
pub(crate) struct PlatformWatcher {
    folder: NotifySource,
    /// Writes into the files of `followed`, by index. Its descriptor is readable for the folder's events too.
    writes: WriteWatcher,
    followed: Vec<PathBuf>,
}

impl PlatformWatcher {
    /// What it is called.
    pub(crate) const NAME: &'static str = "kqueue";

    /// Watches a folder. When this returns the watch stands.
    ///
    /// # Errors
    /// No descriptor or thread left, not supported, not permitted, or the folder could not be opened in time.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let folder = NotifySource::open(folder)?;
        let mut writes = WriteWatcher::new()?;
        writes.include(folder.descriptor())?;
        Ok(Self { folder, writes, followed: Vec::new() })
    }
}

impl DirWatcher for PlatformWatcher {
    /// Not through notify: its thread opens the path without `O_NONBLOCK` (kqueue 1.2.1, `Watcher::add_filename`). Where a FIFO
    /// took the place of a file that was just looked at, that open blocks, and this call with it.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        let number = self.followed.iter().position(|followed| followed == path).unwrap_or_else(|| {
            self.followed.push(path.to_path_buf());
            self.followed.len() - 1
        });
        self.writes.follow(number, path, EvFlags::EV_CLEAR)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.writes.descriptor()
    }

    fn take(&mut self, tell: &mut dyn FnMut(DirEvent<'_>)) -> io::Result<()> {
        let mut written = Vec::new();
        self.writes.take(&mut written);
        for path in written.into_iter().filter_map(|number| self.followed.get(number)) {
            path.file_name().into_iter().for_each(|name| tell(DirEvent::Entry(name)));
        }
        self.folder.take(tell)
    }
}
