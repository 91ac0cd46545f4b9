//! Reads files of `/proc` whole, in as few calls as the kernel allows.
//!
//! They report a size of zero, so std asks for the size first and then reads 32 bytes, 64, 128. Not for files with a
//! real size.

use crate::sys::fs::io::read_once;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than such a file has, but for a list of many mounts.
const ROOM: usize = 4096;

/// The most that is read of one: an environment may be as large as arguments may.
const LONGEST: u64 = 16 << 20;

/// All that such a file holds, up to 16 MiB.
///
/// # Errors
/// As open(2) and read(2).
pub(crate) fn whole(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(ROOM);
    // Bounded, because then nothing asks for a size.
    File::open(path)?.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// The same as text. A process gives itself a name of any bytes, and the rest is to be read all the same.
pub(crate) fn text(path: impl AsRef<Path>) -> Option<String> {
    whole(path).ok().map(|content| String::from_utf8_lossy(&content).into_owned())
}

/// A file that holds one record, such as a process's `stat`: a read that leaves room has given it whole (`single_open` in
/// `fs/seq_file.c`).
///
/// # Errors
/// As [`whole`].
pub(crate) fn record(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut text = vec![0; ROOM];
    let length = read_once(&mut file, &mut text)?;
    text.truncate(length);
    if length == ROOM {
        file.take(LONGEST).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// The same as text.
pub(crate) fn text_record(path: impl AsRef<Path>) -> Option<String> {
    record(path).ok().map(|content| String::from_utf8_lossy(&content).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_std_reads() {
        assert_eq!(whole("/proc/self/mountinfo").unwrap(), std::fs::read("/proc/self/mountinfo").unwrap());
        assert!(whole("/proc/self/status").unwrap().starts_with(b"Name:"));
        for read in [|path: &str| whole(path), |path: &str| record(path)] {
            assert_eq!(read("/proc/self/none").unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        let long = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&long, "line\n".repeat(ROOM)).unwrap();
        assert_eq!(record(long.path()).unwrap(), std::fs::read(long.path()).unwrap(), "more than is read at once");
        let fields = |text: Vec<u8>| text.split(|&byte| byte == b' ').count();
        assert_eq!(fields(record("/proc/1/stat").unwrap()), fields(std::fs::read("/proc/1/stat").unwrap()));
    }
}
