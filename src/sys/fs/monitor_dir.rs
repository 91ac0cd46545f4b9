//! The monitor directory: bounded reads of files that any process may have written, atomic publication of our own.
//!
//! What stands under a record's name may be a FIFO, a device or a socket: no call here blocks on it, and every read is
//! bounded. A half-written record never stands under a name that readers look for (I5). A run holds the directory open, and
//! so does a waiter beside it; no other, because a directory that is removed raises no event while a process holds it open.

use crate::error::{Error, io_reason};
use crate::record::file_state::{FileFault, FileId, FileState};
use crate::record::time::WallTime;
use crate::sys::env;
use crate::sys::fs::at::{self, FileAt, FileFacts};
use crate::sys::fs::io::read_once;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::private_dir::{CHOOSE_ANOTHER, check_private, make_private};
use crate::sys::fs::remote::{self, RemoteFs};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CHOOSE_BY_OPTION: &str = "choose another with --dir";

/// The one directory that holds every step's files.
#[derive(Clone, Debug)]
pub(crate) struct MonitorDir {
    path: PathBuf,
    /// The directory itself, held open: its files are found wherever it is moved to.
    held: Option<Arc<fs::File>>,
    /// The same directory held open, for those who wait for a run in it.
    pinned: Arc<OnceLock<Option<Arc<MonitorDir>>>>,
    far: Arc<RemoteFs>,
}

impl MonitorDir {
    /// The directory at this path, whether it is there or not.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, held: None, pinned: Arc::default(), far: Arc::new(RemoteFs::default()) }
    }

    /// The directory that is at this path now, held open, under a shared flock: systemd-tmpfiles passes over a directory
    /// that is locked, and all below it (tmpfiles.d(5)).
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn hold(path: PathBuf) -> io::Result<Self> {
        let directory = Self::open_dir(path)?;
        directory.keep_from_cleaners();
        Ok(directory)
    }

    fn open_dir(path: PathBuf) -> io::Result<Self> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let held = FileAt::by_path(path.as_path()).open(flags, Mode::empty())?;
        Ok(Self { held: Some(Arc::new(held)), ..Self::at(path) })
    }

    /// The directory that was at this path when this was first asked, held open once for all who ask; `None` if it could
    /// not be opened then.
    pub(crate) fn pinned(&self) -> Option<Arc<Self>> {
        self.pinned.get_or_init(|| Self::open_dir(self.path.clone()).ok().map(Arc::new)).clone()
    }

    /// Takes the shared flock of [`MonitorDir::hold`], unless a cleaner is at work in the directory at this moment: call it
    /// again later then. Taking it twice changes nothing.
    pub(crate) fn keep_from_cleaners(&self) {
        if let Some(held) = &self.held {
            let _locked = held.try_lock_shared();
        }
    }

    /// Whether the directory that is held open was removed: nothing can be written there any more.
    pub(crate) fn is_removed(&self) -> bool {
        self.held.as_ref().is_some_and(|held| FileFacts::of(held).is_ok_and(|facts| facts.links == 0))
    }

    /// A file of it, for system calls.
    pub(crate) fn file<'a>(&'a self, name: &'a str) -> FileAt<'a> {
        match &self.held {
            Some(held) => FileAt::in_directory(held.as_fd(), name),
            None => FileAt::by_path(self.join(name)),
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of it is.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the directory and its parents where they are missing, and the user's base with mode 0700.
    ///
    /// # Errors
    /// A sentence: it cannot be made, is no directory, cannot be written, or lies in a base that is another user's.
    pub(crate) fn create(&self) -> Result<(), Error> {
        if let Some(base) = self.base() {
            make_private(&base)?;
        }
        let shown = self.path.display();
        let say = |error| Error::io(format!("cannot make the monitor directory {shown}"), error).advise(CHOOSE_ANOTHER);
        if !self.exists(say)? {
            fs::create_dir_all(&self.path).map_err(say)?;
        }
        access(&self.path, AccessFlags::W_OK).map_err(|errno| {
            Error::io(format!("cannot write to the monitor directory {shown}"), errno.into()).advise(CHOOSE_ANOTHER)
        })
    }

    /// Whether it is there. An error where something else is, or `fault` where that cannot be told.
    fn exists(&self, fault: impl Fn(io::Error) -> Error) -> Result<bool, Error> {
        match fs::metadata(&self.path) {
            Ok(there) if there.is_dir() => Ok(true),
            Ok(_) => Err(Error::internal(format!("{} is no directory", self.path.display())).advise(CHOOSE_BY_OPTION)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(fault(error)),
        }
    }

    /// The base that this is a default directory of.
    fn base(&self) -> Option<PathBuf> {
        env::base_dirs().into_iter().find(|base| self.path.starts_with(base))
    }

    /// Checks that the directory may be searched, and that the base of a default one is this user's and no symbolic link; a
    /// missing one is no error. Nothing is listed, since it may be large.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub(crate) fn check_readable(&self) -> Result<(), Error> {
        if let Some(base) = self.base() {
            check_private(&base)?;
        }
        let fault =
            |what: &str, error| Error::io(format!("{what} {}", self.path.display()), error).advise(CHOOSE_BY_OPTION);
        if !self.exists(|error| fault("cannot look at", error))? {
            return Ok(());
        }
        access(&self.path, AccessFlags::R_OK | AccessFlags::X_OK).map_err(|errno| fault("cannot read", errno.into()))
    }

    /// Takes the lock of this file, for which `patience` is time.
    ///
    /// # Errors
    /// It cannot be opened, or another process keeps it.
    pub(crate) fn lock(&self, name: &str, patience: Duration) -> Result<Lock, Error> {
        let shown = self.join(name);
        Lock::take(&self.file(name), patience)
            .map_err(|error| Error::io(format!("cannot lock {}", shown.display()), error))?
            .ok_or_else(|| Error::internal(format!("{} stays locked by another process; try again", shown.display())))
    }

    /// Whether it is there.
    pub(crate) fn is_there(&self) -> bool {
        self.path.is_dir()
    }

    /// The names in the directory, none where it is not there.
    ///
    /// # Errors
    /// Where it cannot be listed.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let (base, path) = match &self.held {
            Some(held) => (held.as_fd(), Path::new(".")),
            None => (AT_FDCWD, self.path.as_path()),
        };
        let mut entries = match Dir::openat(base, path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(entries) => entries,
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        };
        let names = entries.iter().map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.filter(|name| !matches!(name.as_deref(), Ok("." | ".."))).collect()
    }

    /// Which directory it is: the one held open, else the one that its path leads to now; `None` if none is there.
    pub(crate) fn id(&self) -> Option<FileId> {
        match &self.held {
            Some(held) => FileFacts::of(held).ok().map(|facts| facts.id),
            None => FileAt::by_path(self.path.as_path()).id(),
        }
    }

    /// Notes whether others write to it behind this kernel's back: whether looks have to get past caches.
    pub(crate) fn note_far(&self, far: bool) {
        self.far.note(far);
    }

    /// Before a look at several files: has a far filesystem forget which of them it took to be missing.
    pub(crate) fn refresh(&self) {
        if self.far.is_far() {
            remote::forget_missing(&self.path);
        }
    }

    /// How far the clock that stamps its files is ahead of this machine's, in nanoseconds: read off a temporary file the
    /// first time, on a far filesystem only. `None` if that cannot be.
    pub(crate) fn clock_ahead(&self) -> Option<i64> {
        self.far.ahead(|| remote::probe(&self.file(&format!(".clock.{}.tmp", env::unique()))))
    }

    /// What the kernel says of a file. A local one is not opened: that would raise an event, and may block.
    ///
    /// # Errors
    /// What the kernel cannot say at all, such as a stale network handle.
    pub(crate) fn stat(&self, name: &str) -> io::Result<FileState<()>> {
        let file = self.file(name);
        let facts = if self.far.is_far() { remote::facts(&file) } else { file.facts() };
        let state = |facts: FileFacts| facts.unfit().unwrap_or(FileState::Present { stamp: facts.stamp, content: () });
        facts.map(state).or_else(absent_or_unfit)
    }

    /// Reads at most `limit` bytes of a file.
    ///
    /// # Errors
    /// What the kernel cannot say at all, such as no descriptor being left.
    pub(crate) fn read(&self, name: &str, limit: usize) -> io::Result<FileState<Vec<u8>>> {
        self.open_and_read(&self.file(name), limit).or_else(absent_or_unfit)
    }

    fn open_and_read(&self, path: &FileAt<'_>, limit: usize) -> io::Result<FileState<Vec<u8>>> {
        // Opening a device can act on it (a tape rewinds), so the kind is looked at before; and again after, on the
        // descriptor, because the name may have been replaced between the two.
        match path.facts() {
            Ok(facts) => {
                if let Some(unfit) = facts.unfit() {
                    return Ok(unfit);
                }
            }
            // A far filesystem's cache may not have it yet: only opening it asks the server.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.far.is_far() => {}
            Err(error) => return Err(error),
        }
        let file = if self.far.is_far() { remote::open(path)? } else { path.open_to_read()? };
        let facts = FileFacts::of(&file)?;
        if let Some(unfit) = facts.unfit() {
            return Ok(unfit);
        }
        let room = usize::try_from(facts.stamp.size).unwrap_or(limit).min(limit);
        let content = self.read_open(file, (room + 1).min(limit), limit)?;
        Ok(FileState::Present { stamp: facts.stamp, content })
    }

    /// Reads `room` bytes at first: one more than there should be, because on a local filesystem less than asked for is the
    /// end of the file (read(2)), with no second call.
    fn read_open(&self, mut file: fs::File, room: usize, limit: usize) -> io::Result<Vec<u8>> {
        let mut content = vec![0; room];
        let length = read_once(&mut file, &mut content)?;
        let is_whole = length < content.len() && !self.far.is_far();
        content.truncate(length);
        if !is_whole {
            file.take((limit - length) as u64).read_to_end(&mut content)?;
        }
        Ok(content)
    }

    /// Publishes a whole file under `name`: written as `temp`, then renamed; with a modification time, where one is
    /// given.
    ///
    /// # Errors
    /// As open(2), write(2) and rename(2); nothing half-written stays behind.
    pub(crate) fn publish(&self, temp: &str, name: &str, content: &[u8], modified: Option<WallTime>) -> io::Result<()> {
        let temp = self.file(temp);
        let written = temp.create_new().and_then(|mut file| {
            file.write_all(content)?;
            modified.map_or(Ok(()), |at| at::set_modified(&file, at))
        });
        let published = written.and_then(|()| temp.rename(&self.file(name)));
        if published.is_err() {
            // The first error is the one to tell; a temporary that was never made has nothing to remove.
            let _ignored = temp.remove();
        }
        published
    }
}

fn absent_or_unfit<T>(error: io::Error) -> io::Result<FileState<T>> {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => Ok(FileState::Missing),
        // These errors stay until a person mends them; every other error may be over at the next read.
        Some(libc::EACCES | libc::EPERM) => Ok(FileState::Invalid(FileFault::Denied)),
        Some(libc::ELOOP | libc::ENXIO) => {
            Ok(FileState::Invalid(FileFault::Unfit(format!("cannot be read: {}", io_reason(&error)))))
        }
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
