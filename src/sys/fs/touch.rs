//! The sign of life: a file's time, set by one system call.
//!
//! Refuses to write data, to sync, and to follow a link.

use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Sets a file's times to this moment; makes it where it is missing. Follows no link, which may lead to another's file.
///
/// # Errors
/// What the kernel says.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let now = TimeSpec::new(0, libc::UTIME_NOW as _);
    match utimensat(nix::fcntl::AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink) {
        Err(nix::errno::Errno::ENOENT) => {
            let mut options = OpenOptions::new();
            let made = options.create(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
            made.map(|_made| ())
        }
        other => other.map_err(io::Error::from),
    }
}
