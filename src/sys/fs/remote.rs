//! Reads of a directory that other machines or processes modify without local events: they bypass attribute caches, and
//! measure the offset of the clock that stamps its files.
//!
//! Network and user-space filesystems answer stat(2) from a cache: sshfs for 20 s, NFS for up to a minute, negative
//! entries included (nfs(5), "Directory entry caching"). Opening a file makes them ask the server (close-to-open), so
//! each file is opened first. On a local filesystem stat is exact, and an open would only raise events, so none of this
//! is done there.

use crate::sys::clock;
use crate::sys::fs::at::{FileAt, FileFacts};
use crate::sys::platform::fs_type;
use std::cell::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether a directory's filesystem is far, with by how many nanoseconds the clock that stamps its files is ahead of this
/// machine's, once that was asked; `None` if it cannot be asked. Shared by all who look at the directory.
#[derive(Debug, Default)]
pub(crate) struct RemoteFs(Mutex<(bool, OnceCell<Option<i64>>)>);

impl RemoteFs {
    fn lock(&self) -> MutexGuard<'_, (bool, OnceCell<Option<i64>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the directory is far; what its clock said belongs to the filesystem that was there before.
    pub(crate) fn note(&self, far: bool) {
        *self.lock() = (far, OnceCell::new());
    }

    pub(crate) fn is_far(&self) -> bool {
        self.lock().0
    }

    /// How far the filesystem's clock is ahead, probed once.
    pub(crate) fn ahead(&self, probe: impl FnOnce() -> io::Result<i64>) -> Option<i64> {
        // Held while the probe goes on: one is enough.
        let known = self.lock();
        let (far, ahead) = &*known;
        if *far { *ahead.get_or_init(|| probe().ok()) } else { Some(0) }
    }
}

/// Opens a file for reading without waiting for a writer (fifo(7)), and has its filesystem asked for its size and
/// times anew.
///
/// # Errors
/// As open(2).
pub(crate) fn open(path: &FileAt<'_>) -> io::Result<File> {
    let file = path.open_to_read()?;
    fs_type::refresh(&file);
    Ok(file)
}

/// What stat(2) says of a file once its filesystem was asked.
///
/// # Errors
/// As stat(2) and open(2).
pub(crate) fn facts(path: &FileAt<'_>) -> io::Result<FileFacts> {
    match path.facts() {
        // Opening what is no file may act on it, or wait.
        Ok(facts) if !facts.is_file() => return Ok(facts),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match open(path) {
        Ok(file) => FileFacts::of(&file),
        // Not ours to read; what was known of it has to do.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => path.facts(),
        Err(error) => Err(error),
    }
}

/// Has the filesystem forget which names it took to be missing: the directory is opened, asked for its times, and its
/// list begun.
pub(crate) fn forget_missing(directory: &Path) {
    if let Ok(opened) = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(directory) {
        fs_type::refresh(&opened);
    }
    // What cannot be listed is looked at all the same.
    let _first = fs::read_dir(directory).ok().and_then(|mut entries| entries.next());
}

/// Reads the filesystem's clock off a file that is touched now: how far it is ahead of this machine's, in nanoseconds.
///
/// # Errors
/// Where nothing can be written; nothing is left behind.
pub(crate) fn probe(temporary: &FileAt<'_>) -> io::Result<i64> {
    let made = temporary.create_new().and_then(|mut file| {
        // A byte, because some filesystems stamp an empty file by the client's clock.
        io::Write::write_all(&mut file, b"\n")
    });
    let before = clock::wall();
    let stamped = made.and_then(|()| facts(temporary));
    let _gone = temporary.remove();
    Ok(stamped?.stamp.modified.as_nanos().saturating_sub(before.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_directory_is_never_probed_and_a_far_one_once() {
        let far = RemoteFs::default();
        assert_eq!(far.ahead(|| panic!("probed")), Some(0));
        far.note(true);
        assert_eq!(far.ahead(|| Ok(5)), Some(5));
        assert_eq!(far.ahead(|| panic!("probed again")), Some(5));
        far.note(true);
        assert_eq!(far.ahead(|| Err(io::Error::other("read-only"))), None);
        assert_eq!(far.ahead(|| panic!("probed again")), None);
    }

    #[test]
    fn a_probe_reads_the_clock_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = probe(&FileAt::by_path(folder.path().join(".probe"))).unwrap();
        assert!(ahead.abs() < 1_000_000_000, "{ahead}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(probe(&FileAt::by_path(folder.path().join("missing/.probe"))).is_err());
    }
}
