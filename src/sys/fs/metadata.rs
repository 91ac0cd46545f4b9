//! Any path: what stands there, how it begins, where it leads, whose it is, how much room is left.
//!
//! Files that are not regular are opened without blocking, and reads are bounded. The files of the monitor directory
//! are read by `sys::fs::monitor_dir`.

use crate::sys::fs::at::{FileAt, FileFacts};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What stands under a path, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Nothing; or a link that leads to nothing.
    Absent,
    /// A regular file, and whether any execute bit is set.
    File {
        /// Whether any execute bit is set.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A device, a FIFO, a socket.
    Other,
}

/// What stands under a path.
///
/// # Errors
/// As stat(2), but for a path under which nothing stands.
pub(crate) fn kind(path: &Path) -> io::Result<FileKind> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(FileKind::File { executable: found.permissions().mode() & 0o111 != 0 }),
        Ok(found) if found.is_dir() => Ok(FileKind::Folder),
        Ok(_) => Ok(FileKind::Other),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => Ok(FileKind::Absent),
        Err(error) => Err(error),
    }
}

/// Whether something stands under a path, be it a link that leads to nothing.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Where a link leads, one step; `None` if it is none.
pub(crate) fn leads_to(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

/// The path with every link in it resolved.
///
/// # Errors
/// As realpath(3); so also where nothing stands.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// At most `limit` bytes of a regular file, from its beginning.
///
/// # Errors
/// As open(2) and read(2); that it is no regular file.
pub(crate) fn head(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: a FIFO must not block the open (fifo(7)).
    let file = FileAt::by_path(path).open_to_read()?;
    let room = usize::try_from(FileFacts::of_regular(&file)?.stamp.size).unwrap_or(limit).min(limit);
    let mut content = Vec::with_capacity(room + 1);
    file.take(limit as u64).read_to_end(&mut content)?;
    Ok(content)
}

/// The names of a folder's regular files, links left out, in order.
///
/// # Errors
/// As opendir(3) and readdir(3).
pub(crate) fn files(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether this user may execute a file: by its mode, its access list, and its mount (`noexec`).
pub(crate) fn may_execute(path: &Path) -> bool {
    access(path, AccessFlags::X_OK).is_ok()
}

/// How many bytes an ordinary user may still write on the filesystem of a path.
///
/// # Errors
/// As statvfs(3).
pub(crate) fn room(path: &Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    // Both are narrower than 64 bits on macOS.
    #[expect(clippy::useless_conversion, clippy::allow_attributes_without_reason)]
    let (blocks, size) = (u64::from(found.blocks_available()), u64::from(found.fragment_size()));
    Ok(blocks.saturating_mul(size))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// `AlreadyExists`; others as open(2) and write(2).
pub(crate) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = FileAt::by_path(path).create_new()?;
    let written = file.write_all(content);
    if written.is_err() {
        // Half a file would look complete; the write error is the one to report.
        let _stays = fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_under_a_path_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write_new(&at("f"), b"12345").unwrap();
        assert_eq!(write_new(&at("f"), b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        nix::unistd::mkfifo(&at("p"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("gone", at("l")).unwrap();
        fs::create_dir(at("d")).unwrap();
        for (name, expected) in [
            ("f", FileKind::File { executable: false }),
            ("p", FileKind::Other),
            ("l", FileKind::Absent),
            ("d", FileKind::Folder),
            ("n", FileKind::Absent),
            ("f/n", FileKind::Absent),
        ] {
            assert_eq!(kind(&at(name)).unwrap(), expected, "{name}");
        }
        assert!(is_there(&at("l")) && !is_there(&at("n")));
        assert_eq!(leads_to(&at("l")), Some(PathBuf::from("gone")));
        assert_eq!(head(&at("f"), 3).unwrap(), b"123");
        assert!(head(&at("p"), 3).is_err() && head(&at("d"), 3).is_err());
        assert_eq!(files(folder.path()).unwrap(), ["f"]);
        assert_eq!(crate::sys::watch::dir::nearest(&at("n/m")), folder.path());
        assert!(room(folder.path()).unwrap() > 0);
    }
}
