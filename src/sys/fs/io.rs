//! Reading open files in whole calls, and finding them. Called by every part of `sys` that reads files.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;

/// Where each open file of this process is found by its descriptor (`proc_pid_fd(5)`).
pub(crate) const OPEN_FILES: &str = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };

/// Reads once, also where a signal interrupts it.
///
/// # Errors
/// As read(2).
pub(crate) fn read_once(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Reads as much as there is from `start` on, up to the buffer's length; how many bytes that were.
///
/// # Errors
/// As pread(2).
pub(crate) fn read_at_most(file: &File, bytes: &mut [u8], start: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match file.read_at(&mut bytes[done..], start + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Where a file's data goes on from `offset`, past a hole; `None` if there is none, or the filesystem does not tell.
pub(crate) fn next_data(file: &File, offset: u64) -> Option<u64> {
    let offset = i64::try_from(offset).ok()?;
    let next = nix::unistd::lseek(file, offset, nix::unistd::Whence::SeekData).ok()?;
    u64::try_from(next).ok()
}
