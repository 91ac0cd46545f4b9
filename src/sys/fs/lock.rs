//! flock on a file: proof by the kernel that its holder lives, and mutual exclusion around read-modify-write.
//!
//! No wait is without a bound. The descriptor is closed in every program that is started: a lock belongs to the open file,
//! and a child that inherited it would keep a dead run alive. Lock files are 0600: a user who may open a file for reading
//! may lock it too (flock(2)), and so keep an end from being recorded.

use crate::record::file_state::{FileId, LockState};
use crate::record::time::MonotonicTime;
use crate::sys::fs::at::{FileAt, FileFacts, OWNER_ONLY};
use crate::sys::{clock, env};
use nix::fcntl::OFlag;
use nix::sys::stat::fchmod;
use nix::unistd::{Uid, fchown};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

/// How often a lock file that was replaced between opening and locking is opened again before the lock counts as taken.
const ATTEMPTS: usize = 8;

/// The most bytes of a note that are read.
const LONGEST_NOTE: usize = 64;

/// A held lock; given back when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Arc<File>,
    id: FileId,
}

impl Lock {
    /// Takes the lock, waiting so long for it at most; `None` if another process keeps it. Creates the file where it is
    /// missing.
    ///
    /// # Errors
    /// As open(2) and flock(2).
    pub(crate) fn take(path: &FileAt<'_>, patience: Duration) -> io::Result<Option<Self>> {
        let deadline = clock::now().plus(patience);
        for _ in 0..ATTEMPTS {
            let (file, facts) = open_or_create(path)?;
            let file = Arc::new(file);
            let is_locked = try_lock(&file)? || !patience.is_zero() && lock_until(&file, deadline)?;
            if !is_locked {
                return Ok(None);
            }
            // A file that was removed or replaced since it was opened excludes no process: the next one locks another
            // file.
            let id = facts.id;
            if path.id() == Some(id) {
                if facts.mode & 0o077 != 0 && facts.stamp.owner == env::user() {
                    // Created by an earlier version. What cannot be changed stays as it was.
                    let _unchanged = fchmod(&file, OWNER_ONLY);
                }
                return Ok(Some(Self { file, id }));
            }
        }
        Ok(None)
    }

    /// What the last holder noted in the file; at most 64 bytes of it.
    pub(crate) fn noted(&self) -> Vec<u8> {
        let mut note = [0; LONGEST_NOTE];
        // What cannot be read says nothing.
        let length = self.file.read_at(&mut note, 0).unwrap_or(0);
        note[..length].to_vec()
    }

    /// Leaves no note to the next holder.
    pub(crate) fn clear_note(&self) {
        // A note that stays costs the next holder some calls.
        let _stays = self.file.set_len(0);
    }

    /// Writes a note into the file, for the next holder of the lock.
    ///
    /// # Errors
    /// No space.
    pub(crate) fn note(&self, word: &[u8]) -> io::Result<()> {
        self.file.write_all_at(word, 0)?;
        self.file.set_len(word.len() as u64)
    }

    /// Which file is locked, by which a replaced lock file is noticed.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// Whether the file under this name is still the locked one, and one that its owner can open.
    pub(crate) fn still_at(&self, path: &FileAt<'_>) -> bool {
        path.facts().is_ok_and(|named| {
            named.id == self.id && (named.mode & 0o600 == 0o600 || fchmod(&self.file, OWNER_ONLY).is_ok())
        })
    }
}

fn try_lock(file: &Arc<File>) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for the lock in a thread, since flock(2) has no time limit. Processes that wait so take no processor time from the
/// one that has the lock; a hundred that tried again and again did.
fn lock_until(file: &Arc<File>, deadline: MonotonicTime) -> io::Result<bool> {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let waited_for = Arc::clone(file);
    // Where it gets the lock too late, the file is closed with the thread, and the lock is free again.
    let thread = std::thread::Builder::new().spawn(move || {
        let _too_late = sender.send(waited_for.lock());
    })?;
    let Ok(locked) = receiver.recv_timeout(deadline.since(clock::now())) else { return Ok(false) };
    // A child that is forked from here on must be of the only thread (fork(2)).
    let _panicked = thread.join();
    locked.map(|()| true)
}

/// Whether a process holds the lock, without waiting; with which file that is.
pub(crate) fn probe(path: &FileAt<'_>) -> (LockState, Option<FileId>) {
    let Ok((file, facts)) = open(path, OFlag::O_RDONLY) else { return (LockState::Unknown, None) };
    // Shared, so that two readers never take each other for a holder; it lasts some microseconds, and a run that meets
    // it tries again.
    let state = match file.try_lock_shared() {
        Ok(()) => LockState::Free,
        Err(TryLockError::WouldBlock) => LockState::Held,
        Err(TryLockError::Error(_)) => LockState::Unknown,
    };
    (state, Some(facts.id))
}

fn open_or_create(path: &FileAt<'_>) -> io::Result<(File, FileFacts)> {
    match open(path, OFlag::O_RDWR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match open(path, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL) {
        Ok((file, facts)) => {
            // `sudo dogwatch kill` in a user's directory must not lock the user out of it. No file but one that was just
            // made here is given away. What cannot be given stays as it is.
            if facts.stamp.owner == 0
                && let Ok(owner @ 1..) = path.directory_owner()
            {
                let _stays = fchown(&file, Some(Uid::from_raw(owner)), None);
            }
            Ok((file, facts))
        }
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(path, OFlag::O_RDWR),
        failed => failed,
    }
}

fn open(path: &FileAt<'_>, flags: OFlag) -> io::Result<(File, FileFacts)> {
    // No link is followed: in a directory that others can write it may lead to any file of this user's, and a note is
    // written into what is opened here. A second name of such a file is the same trap.
    let open = || path.open(flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW, OWNER_ONLY);
    let opened = match open() {
        // The mode of an own lock file was changed by hand: a step must not be locked up by that.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && path.give_to_owner() => open(),
        opened => opened,
    };
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link; remove it"),
        _ => error,
    })?;
    match FileFacts::of_regular(&file)? {
        facts if facts.links > 1 => Err(io::Error::other("it has another name elsewhere (a hard link); remove it")),
        facts => Ok((file, facts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_lock_is_held_until_it_is_dropped_and_a_probe_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.lock");
        let path = FileAt::by_path(file.as_path());
        assert_eq!(probe(&path).0, LockState::Unknown);
        let lock = Lock::take(&path, Duration::ZERO).unwrap().unwrap();
        assert_eq!(probe(&path).0, LockState::Held);
        drop(lock);
        assert_eq!(probe(&path).0, LockState::Free);
        let lock = Lock::take(&path, Duration::ZERO).unwrap().unwrap();
        assert!(Lock::take(&path, Duration::ZERO).unwrap().is_none());
        assert!(Lock::take(&path, Duration::from_millis(3)).unwrap().is_none());
        drop(lock);
        // Who came too late may have it for a moment.
        assert!(Lock::take(&path, Duration::MAX).unwrap().is_some());
    }

    #[test]
    fn a_lock_file_is_its_owners_alone_also_one_that_was_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.lock");
        let mode = || std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        drop(Lock::take(&FileAt::by_path(file.as_path()), Duration::ZERO).unwrap().unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(Lock::take(&FileAt::by_path(file.as_path()), Duration::ZERO).unwrap().unwrap());
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_note_is_read_by_the_next_holder_and_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.lock");
        let path = FileAt::by_path(file.as_path());
        for (before, note) in [("", "a longer one"), ("a longer one", "short"), ("short", "")] {
            let lock = Lock::take(&path, Duration::ZERO).unwrap().unwrap();
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
            let path = FileAt::by_path(folder.path().join(name));
            assert!(Lock::take(&path, Duration::ZERO).is_err(), "{name}");
            assert_eq!(probe(&path).0, LockState::Unknown, "{name}");
        }
        assert!(!folder.path().join("new").exists());
        assert_eq!(probe(&FileAt::by_path(folder.path())).0, LockState::Unknown);
        assert!(Lock::take(&FileAt::by_path(folder.path()), Duration::ZERO).is_err());
    }
}
