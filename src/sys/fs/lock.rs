//! flock on a file: the kernel's own word that its holder lives, and a short hold around read-modify-write.
//!
//! Refuses to wait without a bound, and to pass a lock on: the descriptor is close-on-exec, because a lock belongs to
//! the open file and a child that inherited it would keep a dead run alive.

use crate::record::file_state::LockState;
use crate::record::time::MonotonicTime;
use crate::sys::clock;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How often a taken lock is tried again. Holders of short locks are done in well under a millisecond.
const RETRY: Duration = Duration::from_millis(1);

/// The most bytes of a note that are read.
const LONGEST_NOTE: usize = 64;

/// A held lock; given back when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Tries once to take the lock; nothing where somebody else has it. Makes the file where it is missing.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(OpenOptions::new().read(true).write(true).create(true), path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Takes the lock, waiting for it until `deadline`; nothing where it was not to be had.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn take(path: &Path, deadline: MonotonicTime) -> io::Result<Option<Self>> {
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(Some(lock));
            }
            let now = clock::now();
            if now >= deadline {
                return Ok(None);
            }
            clock::sleep_until(now.plus(RETRY).min(deadline));
        }
    }

    /// Gives the lock back before the value goes out of scope.
    pub(crate) fn release(self) {
        drop(self);
    }

    /// What the last holder noted in the file; at most 64 bytes of it.
    pub(crate) fn noted(&self) -> Vec<u8> {
        let mut note = [0; LONGEST_NOTE];
        // What cannot be read says nothing.
        let length = self.file.read_at(&mut note, 0).unwrap_or(0);
        note[..length].to_vec()
    }

    /// Notes a word in the file, for whoever holds the lock next.
    ///
    /// # Errors
    /// No space.
    pub(crate) fn note(&self, word: &[u8]) -> io::Result<()> {
        self.file.write_all_at(word, 0)?;
        self.file.set_len(word.len() as u64)
    }

    /// The locked file's device and inode, by which a replaced lock file is noticed.
    fn identity(&self) -> io::Result<(u64, u64)> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Whether the file under this name is still the locked one.
    pub(crate) fn still_at(&self, path: &Path) -> bool {
        let there = std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((self.identity(), there), (Ok(mine), Ok(there)) if mine == there)
    }
}

/// Looks whether somebody holds the lock, without waiting.
pub(crate) fn probe(path: &Path) -> LockState {
    let file = match open(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return LockState::Absent,
        Err(_) => return LockState::Unknown,
    };
    // Shared, so that two lookers never take each other for a holder; it lasts some microseconds, and a run that meets
    // it tries again.
    match file.try_lock_shared() {
        Ok(()) => LockState::Free,
        Err(TryLockError::WouldBlock) => LockState::Held,
        Err(TryLockError::Error(_)) => LockState::Unknown,
    }
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // No link is followed: in a directory that others can write it may lead to any file of this user's, and a note is
    // written into what is opened here. A second name of such a file is the same trap.
    let opened = options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link; remove it"),
        _ => error,
    })?;
    match file.metadata()? {
        found if !found.is_file() => Err(io::Error::other(format!("{} is no regular file", path.display()))),
        found if found.nlink() > 1 => Err(io::Error::other("it has another name elsewhere (a hard link); remove it")),
        _ => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_until_it_is_dropped_and_a_probe_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        assert_eq!(probe(&path), LockState::Absent);
        let lock = Lock::try_take(&path).unwrap().unwrap();
        assert_eq!(probe(&path), LockState::Held);
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert!(Lock::take(&path, clock::now().plus(Duration::from_millis(3))).unwrap().is_none());
        assert!(lock.still_at(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!lock.still_at(&path));
        lock.release();
        std::fs::write(&path, "").unwrap();
        assert_eq!(probe(&path), LockState::Free);
    }

    #[test]
    fn a_note_is_read_by_the_next_holder_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        for (before, note) in [("", "a longer one"), ("a longer one", "short"), ("short", "")] {
            let lock = Lock::try_take(&path).unwrap().unwrap();
            assert_eq!(lock.noted(), before.as_bytes());
            lock.note(note.as_bytes()).unwrap();
        }
    }

    #[test]
    fn what_is_no_regular_file_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("a.lock")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("new"), folder.path().join("b.lock")).unwrap();
        std::fs::hard_link(&victim, folder.path().join("c.lock")).unwrap();
        for name in ["a.lock", "b.lock", "c.lock"] {
            let path = folder.path().join(name);
            assert!(Lock::try_take(&path).is_err(), "{name}");
            assert_eq!(probe(&path), LockState::Unknown, "{name}");
        }
        assert!(!folder.path().join("new").exists());
        assert_eq!(probe(folder.path()), LockState::Unknown);
        assert!(Lock::try_take(folder.path()).is_err());
    }
}
