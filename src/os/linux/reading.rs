//! Files of `/proc`, read whole in as few calls as the kernel allows.
//!
//! They say that they are empty, so std asks for their size first and then reads 32 bytes, 64, 128. Refuses to be used
//! for files that have a size.

use std::fs::File;
use std::io::{self, Read};

/// More than such a file has, but for a list of many mounts.
const ROOM: usize = 4096;

/// The most that is read of one: an environment may be as large as arguments may.
const LONGEST: u64 = 16 << 20;

/// All that such a file holds, up to 16 MiB.
///
/// # Errors
/// What the kernel says.
pub(super) fn whole(path: &str) -> io::Result<Vec<u8>> {
    part(path, LONGEST)
}

/// The beginning of it.
///
/// # Errors
/// What the kernel says.
pub(super) fn part(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::with_capacity(ROOM);
    // Bounded, because then nothing asks for a size.
    File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_std_reads() {
        assert_eq!(whole("/proc/self/mountinfo").unwrap(), std::fs::read("/proc/self/mountinfo").unwrap());
        assert!(whole("/proc/self/status").unwrap().starts_with(b"Name:"));
        assert_eq!(whole("/proc/self/none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
