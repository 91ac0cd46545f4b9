//! The log file: made fresh for each run, read from its end in bounded pieces, kept within a size.
//!
//! Refuses to rewrite what a run has logged. Where the oldest part has to go its disk space is given back (a hole), so
//! that offsets stay true for whoever reads along, and one line says how much went.

use crate::record::line_splitter::{notice, without_hole};
use crate::record::sanitize::visible_text;
use crate::record::time::WallTime;
use crate::sys::platform::machine;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The most bytes of a log's end that are looked through for its last lines, and for the last one alone.
const TAIL: u64 = 256 << 10;
const LAST: u64 = 8 << 10;
/// Holes are made of whole blocks of this size, which every common filesystem's block size divides.
const BLOCK: u64 = 64 << 10;

/// Makes an empty log for a new run, appended to by everybody who writes it. The old run's log goes with its inode, so
/// that a straggler that still has it open cannot write into the new one.
///
/// # Errors
/// What the kernel says.
pub(crate) fn start(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().append(true).create_new(true).open(path)
}

/// A log's size in bytes and what tells it from another file of the name; nothing where there is none.
pub(crate) fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|metadata| metadata.size())
}

/// When a log was last written; nothing where there is none.
pub(crate) fn modified(path: &Path) -> Option<WallTime> {
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some(WallTime::from_parts(metadata.mtime(), metadata.mtime_nsec()))
}

/// The last `count` lines as a person sees them, each cut after 2,000 bytes; none where there is no log.
pub(crate) fn tail(path: &Path, count: usize) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let Ok(file) = open_at_once(path) else { return Vec::new() };
    tail_of(&file, count)
}

fn tail_of(file: &File, count: usize) -> Vec<String> {
    let Ok(metadata) = file.metadata() else { return Vec::new() };
    if !metadata.is_file() {
        return Vec::new();
    }
    let start = metadata.size().saturating_sub(if count == 1 { LAST } else { TAIL });
    let mut bytes = vec![0; usize::try_from(metadata.size() - start).unwrap_or(0)];
    let Ok(length) = read_at_most(file, &mut bytes, start) else { return Vec::new() };
    bytes.truncate(length);
    last_lines(&bytes, count, start == 0)
}

/// The last line; nothing where there is no log, or an empty one.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    tail(path, 1).pop()
}

/// Where the last `count` lines of a log begin, however long it is; nothing where there is none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn start_of_last(path: &Path, count: u64) -> io::Result<u64> {
    let file = match open_at_once(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.size();
    if count == 0 {
        return Ok(size);
    }
    let mut bytes = vec![0; usize::try_from(BLOCK).unwrap_or(0)];
    // The last byte ends the last line, or is in it: in neither case does it begin one.
    let (mut end, mut left) = (size.saturating_sub(1), count);
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let piece = &mut bytes[..usize::try_from(end - start).unwrap_or(0)];
        let length = read_at_most(&file, piece, start)?;
        for (at, _) in piece[..length].iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            left -= 1;
            if left == 0 {
                return Ok(start + at as u64 + 1);
            }
        }
        // Nothing but zeros: what stood there has gone, and so has all before it.
        if piece.iter().all(|&byte| byte == 0) {
            return Ok(end);
        }
        end = start;
    }
    Ok(0)
}

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

/// Opens a file for reading. Not even a FIFO without a writer is waited for (fifo(7)), and a terminal does not become this
/// process's own.
///
/// # Errors
/// What the kernel says.
pub(in crate::sys) fn open_at_once(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Reads once, also where a signal interrupts it.
///
/// # Errors
/// What the kernel says.
pub(in crate::sys) fn read_once(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(bytes) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The last lines of what was read; a first line that began before is dropped unless it is all there is.
fn last_lines(bytes: &[u8], count: usize, from_start: bool) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<&[u8]> = bytes.rsplit(|&byte| byte == b'\n').take(count + 1).collect();
    let reaches_start = lines.len() <= count;
    if reaches_start && !from_start && lines.len() > 1 {
        lines.pop();
    }
    lines.truncate(count);
    lines.reverse();
    lines.into_iter().map(|line| visible_text(without_hole(line))).collect()
}

/// How many bytes of a log a size limit lets stay, and how many have gone.
#[derive(Debug)]
pub(crate) struct Bound {
    limit: u64,
    gone: u64,
}

impl Bound {
    /// Keeps a log within `limit` bytes of disk.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, gone: 0 }
    }

    /// Gives the oldest part of the log back where it is over the limit, and says in it how much has gone. The newest
    /// half of the limit always stays.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the filesystem cannot make holes; others as the kernel says.
    pub(crate) fn apply(&mut self, path: &Path) -> io::Result<()> {
        let Some(size) = size(path) else { return Ok(()) };
        if size.saturating_sub(self.gone) <= self.limit {
            return Ok(());
        }
        // Down to half the limit, so that a fast writer is not punched after at every look.
        let keep_from = (size - self.limit / 2) / BLOCK * BLOCK;
        if keep_from <= self.gone {
            return Ok(());
        }
        // Not O_APPEND: pwrite(2) ignores its offset on such a descriptor (BUGS).
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let from = Self::line_start(&file, keep_from)?;
        machine::punch(&file, keep_from)?;
        self.gone = keep_from;
        // The notice stands right before the first line that stays whole, over bytes that have gone.
        let notice = notice(from);
        let at = from.saturating_sub(notice.len() as u64);
        let blank = vec![0; usize::try_from(from - keep_from.min(from)).unwrap_or(0)];
        file.write_all_at(&blank, keep_from)?;
        file.write_all_at(notice.as_bytes(), at)?;
        Ok(())
    }

    /// The start of the first whole line from `offset` on, looked for within a block; `offset` where there is none.
    fn line_start(file: &File, offset: u64) -> io::Result<u64> {
        let mut bytes = vec![0; usize::try_from(BLOCK).unwrap_or(0)];
        let length = read_at_most(file, &mut bytes, offset)?;
        let end = bytes[..length].iter().position(|&byte| byte == b'\n');
        Ok(end.map_or(offset, |end| offset + end as u64 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_tail_is_the_last_lines_with_or_without_a_final_newline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert!(tail(&path, 3).is_empty());
        for (text, expected) in [
            ("", vec![]),
            ("a\nb\nc\nd\n", vec!["b", "c", "d"]),
            ("a\nb", vec!["a", "b"]),
            ("\n\nx\r\n", vec!["", "", "x"]),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(tail(&path, 3), expected, "{text:?}");
        }
        assert!(tail(&path, 0).is_empty());
    }

    #[test]
    fn a_line_longer_than_what_is_read_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, format!("first\n{}\nlast\n", "x".repeat(400_000))).unwrap();
        let lines = tail(&path, 5);
        assert_eq!(lines.last().unwrap(), "last");
        assert_eq!(lines.len(), 1, "the line that began before the part read is dropped");
        fs::write(&path, "y".repeat(400_000)).unwrap();
        let lines = tail(&path, 5);
        assert_eq!((lines.len(), lines[0].chars().count()), (1, 2001));
    }

    #[test]
    fn the_last_lines_begin_where_tail_has_them_also_far_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        assert_eq!(start_of_last(&path, 1).unwrap(), 0);
        for (text, count, start) in [
            ("", 1, 0),
            ("a\nb\nc\n", 1, 4),
            ("a\nb\nc", 1, 4),
            ("a\nb\nc\n", 3, 0),
            ("a\nb\nc\n", 9, 0),
            ("a\n\n", 1, 2),
            ("a\n", 0, 2),
            ("\n", 1, 0),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(start_of_last(&path, count).unwrap(), start, "{text:?} {count}");
        }
        fs::write(&path, format!("a\n{}\nlast\n", "x".repeat(300_000))).unwrap();
        assert_eq!(start_of_last(&path, 2).unwrap(), 2);
        fs::write(&path, [&vec![0; 200_000][..], b"kept\nlast\n"].concat()).unwrap();
        let start = start_of_last(&path, 5).unwrap();
        assert!(start > 0 && start <= 200_000, "{start}");
    }

    #[test]
    fn a_new_run_never_shares_the_old_runs_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut old = start(&path).unwrap();
        old.write_all(b"old\n").unwrap();
        let mut new = start(&path).unwrap();
        old.write_all(b"straggler\n").unwrap();
        new.write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_bounded_log_keeps_its_newest_part_says_what_went_and_gives_the_space_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = start(&path).unwrap();
        let limit = 1 << 20;
        let mut bound = Bound::new(limit);
        for index in 0..100_000_u32 {
            writeln!(log, "line {index:060}").unwrap();
            if index % 1000 == 0 {
                bound.apply(&path).unwrap();
            }
        }
        bound.apply(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.size() > 6 << 20);
        assert!(metadata.blocks() * 512 <= limit + 2 * BLOCK, "{} blocks", metadata.blocks());
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap();
        let kept: Vec<&str> = text.trim_start_matches('\0').trim_start().lines().collect();
        assert!(kept[0].starts_with("[dogwatch: "), "{}", kept[0]);
        assert!(kept[0].ends_with(" bytes of older output were dropped here]"));
        assert!(kept[1..].iter().all(|line| line.starts_with("line ") && line.len() == 65));
        assert_eq!(*kept.last().unwrap(), format!("line {:060}", 99_999));
        assert_eq!(text.matches("dogwatch").count(), 1, "one notice at a time");
    }
}
