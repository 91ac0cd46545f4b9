//! System calls on one file: by its name below an open directory, or by its path where no directory is held open.
//!
//! The monitor directory uses it. A run holds its directory open, so that a directory that is renamed meanwhile, or a
//! symbolic link above it that is changed, does not lead its last writes elsewhere (openat(2), NOTES).

use crate::record::file_state::{FileFault, FileId, FileStamp, FileState};
use crate::record::time::WallTime;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmodat, fstat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// The mode of what is for its owner alone.
pub(crate) const OWNER_ONLY: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// One file's name, and the directory that it is looked up in.
#[derive(Clone, Debug)]
pub(crate) struct FileAt<'a> {
    base: BorrowedFd<'a>,
    path: Cow<'a, Path>,
}

/// What stat(2) says of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileFacts {
    /// What tells this version of the file from another.
    pub(crate) stamp: FileStamp,
    /// Which file it is, whatever its name is.
    pub(crate) id: FileId,
    /// Permission bits.
    pub(crate) mode: u32,
    /// How many names it has.
    pub(crate) links: u64,
    kind: SFlag,
}

impl<'a> FileAt<'a> {
    /// The file of this name in an open directory.
    pub(crate) fn in_directory(directory: BorrowedFd<'a>, name: &'a str) -> Self {
        Self { base: directory, path: Cow::Borrowed(Path::new(name)) }
    }

    /// The file at this path.
    pub(crate) fn by_path(path: impl Into<Cow<'a, Path>>) -> Self {
        Self { base: AT_FDCWD, path: path.into() }
    }

    /// Opens it. The descriptor is closed in every program that is started.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open(&self, flags: OFlag, mode: Mode) -> io::Result<File> {
        loop {
            match openat(self.base, self.path.as_ref(), flags | OFlag::O_CLOEXEC, mode) {
                Err(Errno::EINTR) => {}
                opened => return Ok(File::from(opened?)),
            }
        }
    }

    /// Opens it for reading. A FIFO without a writer is not waited for (fifo(7)), and a terminal does not become this
    /// process's own.
    ///
    /// # Errors
    /// As open(2).
    pub(crate) fn open_to_read(&self) -> io::Result<File> {
        self.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty())
    }

    /// Creates it, readable as the umask allows. (`tempfile` would make it 0600, and a waiter of another user could not
    /// read what was published.)
    ///
    /// # Errors
    /// `AlreadyExists`; others as open(2).
    pub(crate) fn create_new(&self) -> io::Result<File> {
        self.open(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, Mode::from_bits_truncate(0o666))
    }

    /// What stat(2) says of it, symbolic links followed.
    ///
    /// # Errors
    /// As stat(2).
    pub(crate) fn facts(&self) -> io::Result<FileFacts> {
        Ok(FileFacts::from(fstatat(self.base, self.path.as_ref(), AtFlags::empty())?))
    }

    /// Which file it is; `None` if there is none.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.facts().ok().map(|facts| facts.id)
    }

    /// The user who owns the directory that it is in.
    ///
    /// # Errors
    /// As stat(2).
    pub(crate) fn directory_owner(&self) -> io::Result<u32> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(FileFacts::from(fstatat(self.base, folder, AtFlags::empty())?).stamp.owner)
    }

    /// Lets its owner read and write it, where that is this process's user and it is a regular file; whether it did.
    pub(crate) fn give_to_owner(&self) -> bool {
        let found = fstatat(self.base, self.path.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW).map(FileFacts::from);
        let is_own = found.is_ok_and(|facts| facts.is_file() && facts.stamp.owner == nix::unistd::getuid().as_raw());
        is_own && fchmodat(self.base, self.path.as_ref(), OWNER_ONLY, FchmodatFlags::FollowSymlink).is_ok()
    }

    /// Renames it, over what is there; its modification time stays.
    ///
    /// # Errors
    /// As rename(2).
    pub(crate) fn rename(&self, to: &FileAt<'_>) -> io::Result<()> {
        Ok(renameat(self.base, self.path.as_ref(), to.base, to.path.as_ref())?)
    }

    /// Removes it; one that is not there is removed already.
    ///
    /// # Errors
    /// As unlink(2).
    pub(crate) fn remove(&self) -> io::Result<()> {
        match unlinkat(self.base, self.path.as_ref(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sets its times to this moment: one system call, no data, no sync. Creates it where it is missing. Follows no link,
    /// which may lead to another's file.
    ///
    /// # Errors
    /// As utimensat(2) and open(2).
    pub(crate) fn touch(&self) -> io::Result<()> {
        let now = TimeSpec::new(0, libc::UTIME_NOW as _);
        match utimensat(self.base, self.path.as_ref(), &now, &now, UtimensatFlags::NoFollowSymlink) {
            Err(Errno::ENOENT) => {
                let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
                self.open(flags, Mode::from_bits_truncate(0o666)).map(|_created| ())
            }
            touched => Ok(touched?),
        }
    }
}

/// Sets the modification time of an open file.
///
/// # Errors
/// As futimens(3).
pub(super) fn set_modified(file: &File, at: WallTime) -> io::Result<()> {
    let since = Duration::from_nanos(at.as_nanos().unsigned_abs());
    file.set_modified(if at.as_nanos() < 0 { UNIX_EPOCH - since } else { UNIX_EPOCH + since })
}

impl FileFacts {
    /// What fstat(2) says of an open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self::from(fstat(file)?))
    }

    /// The same of a file that has to be a regular one.
    ///
    /// # Errors
    /// As fstat(2); that it is none.
    pub(crate) fn of_regular(file: impl AsFd) -> io::Result<Self> {
        let facts = Self::of(file)?;
        if facts.is_file() { Ok(facts) } else { Err(io::Error::other("it is no regular file")) }
    }

    /// Whether it is a regular file.
    pub(crate) fn is_file(&self) -> bool {
        self.kind == SFlag::S_IFREG
    }

    /// Whether it is a directory.
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == SFlag::S_IFDIR
    }

    /// Why it is no record, where it is no regular file.
    pub(crate) fn unfit<T>(&self) -> Option<FileState<T>> {
        let kind = match self.kind {
            SFlag::S_IFREG => return None,
            SFlag::S_IFDIR => "directory",
            SFlag::S_IFIFO => "FIFO",
            SFlag::S_IFSOCK => "socket",
            _ => "device",
        };
        Some(FileState::Invalid(FileFault::Unfit(format!("is a {kind}, not a regular file"))))
    }
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    clippy::cast_sign_loss,
    reason = "several of these types are narrower on macOS, or signed"
)]
impl From<FileStat> for FileFacts {
    fn from(stat: FileStat) -> Self {
        let stamp = FileStamp {
            modified: WallTime::from_parts(stat.st_mtime, stat.st_mtime_nsec),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            owner: stat.st_uid,
        };
        Self {
            stamp,
            id: FileId { device: stat.st_dev as u64, inode: stat.st_ino },
            mode: u32::from(stat.st_mode) & 0o7777,
            links: u64::from(stat.st_nlink),
            kind: SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_name_is_looked_up_in_the_directory_that_is_open_wherever_that_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("old")).unwrap();
        let directory = File::open(path("old")).unwrap();
        let at = |name| FileAt::in_directory(directory.as_fd(), name);
        std::fs::rename(path("old"), path("new")).unwrap();
        at("a").create_new().unwrap().write_all(b"x").unwrap();
        assert_eq!(at("a").create_new().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(at("a").facts().unwrap().stamp.size, 1);
        at("a").rename(&at("b")).unwrap();
        at("t").touch().unwrap();
        assert!(path("new/b").exists() && path("new/t").exists() && !path("old").exists());
        let open = FileFacts::of(at("b").open_to_read().unwrap()).unwrap();
        assert!(at("b").id() == Some(open.id) && at("t").id() != Some(open.id));
        at("b").remove().unwrap();
        at("b").remove().unwrap();
        std::fs::remove_file(path("new/t")).unwrap();
        std::fs::remove_dir(path("new")).unwrap();
        assert_eq!(at("c").create_new().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
