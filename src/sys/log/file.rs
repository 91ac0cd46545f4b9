//! The log file: made fresh for each run, read from its end in bounded pieces, kept within a size.
//!
//! What a run has logged is never rewritten. To keep the size limit, the disk space of the oldest part is given back as
//! a hole, so that offsets stay valid for concurrent readers, and one line says how much was removed.

use crate::record::line_splitter::{notice, without_hole};
use crate::record::sanitize::visible_text;
use crate::record::time::WallTime;
use crate::sys::env;
use crate::sys::fs::at::{FileAt, FileFacts};
use crate::sys::fs::io::{OPEN_FILES, next_data, read_at_most};
use crate::sys::platform::machine;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a log's end that are looked through for its last lines, and for the last one alone.
const TAIL: u64 = 256 << 10;
const LAST: u64 = 8 << 10;
/// Holes are made of whole blocks of this size, which every common filesystem's block size divides.
const BLOCK: u64 = 64 << 10;

/// The log of one run: the file that was made for it, whatever name it has meanwhile. A file that takes its name is
/// neither measured nor written to.
#[derive(Debug)]
pub(crate) struct LogFile {
    append: Arc<File>,
    /// Not `O_APPEND`: pwrite(2) ignores its offset on such a descriptor (BUGS).
    file: File,
}

impl LogFile {
    /// Creates an empty log, appended to by every process that writes it.
    ///
    /// # Errors
    /// `AlreadyExists`; others as open(2).
    pub(crate) fn create(path: &FileAt<'_>) -> io::Result<Self> {
        let append = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL;
        let append = path.open(append, Mode::from_bits_truncate(0o666))?;
        let file = path.open(OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK, Mode::empty())?;
        if FileFacts::of(&append)?.id == FileFacts::of(&file)?.id {
            Ok(Self { append: Arc::new(append), file })
        } else {
            Err(io::Error::other("another process replaced it at once"))
        }
    }

    /// What COMMAND's output is written to.
    pub(crate) fn writer(&self) -> Arc<File> {
        Arc::clone(&self.append)
    }

    /// A descriptor for reading.
    ///
    /// # Errors
    /// No descriptor left.
    pub(crate) fn reader(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Adds all of another file, as COMMAND would have.
    ///
    /// # Errors
    /// As open(2), read(2) and write(2); that it is no regular file.
    pub(crate) fn append_file(&self, path: &FileAt<'_>) -> io::Result<()> {
        let mut from = path.open_to_read()?;
        FileFacts::of_regular(&from)?;
        io::copy(&mut from, &mut &*self.append).map(|_length| ())
    }

    /// Its size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.size())
    }

    /// A path under which its growth can be watched.
    pub(crate) fn watched(&self) -> PathBuf {
        descriptor_path(&self.file)
    }

    /// Whether its filesystem has no block left for this process's user: what COMMAND wrote then may be missing.
    pub(crate) fn is_disk_full(&self) -> bool {
        nix::sys::statvfs::fstatvfs(&self.file).is_ok_and(|found| {
            let is_full = found.blocks_available() == 0 && (found.blocks_free() == 0 || !env::is_root());
            // Some filesystems count no blocks at all.
            is_full && found.blocks() != 0
        })
    }
}

/// The path of an open file of this process, also where its name has gone.
pub(crate) fn descriptor_path(file: &File) -> PathBuf {
    Path::new(OPEN_FILES).join(file.as_raw_fd().to_string())
}

/// When a log was last written; `None` if there is none.
pub(crate) fn modified(path: &Path) -> Option<WallTime> {
    FileAt::by_path(path).facts().ok().filter(FileFacts::is_file).map(|facts| facts.stamp.modified)
}

/// The last `count` lines as a person sees them, each cut after 2,000 bytes; none where there is no log.
pub(crate) fn tail(path: &Path, count: usize) -> Vec<String> {
    if count == 0 { Vec::new() } else { read_tail(path, count).unwrap_or_default() }
}

fn read_tail(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let file = FileAt::by_path(path).open_to_read()?;
    let size = FileFacts::of_regular(&file)?.stamp.size;
    let start = size.saturating_sub(if count == 1 { LAST } else { TAIL });
    let mut bytes = vec![0; usize::try_from(size - start).unwrap_or(0)];
    let length = read_at_most(&file, &mut bytes, start)?;
    Ok(last_lines(&bytes[..length], count, start == 0))
}

/// The last line; `None` if there is no log, or an empty one.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    tail(path, 1).pop()
}

/// Where the last `count` lines of a log begin, however long it is; `None` if there is none.
///
/// # Errors
/// It cannot be read.
pub(crate) fn start_of_last(path: &Path, count: u64) -> io::Result<u64> {
    let file = match FileAt::by_path(path).open_to_read() {
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
        // A hole: what stood there has gone, and so has all before it.
        let is_zero = piece.iter().all(|&byte| byte == 0);
        if is_zero && next_data(&file, start).is_some_and(|data| data >= end) {
            return Ok(end);
        }
        end = start;
    }
    Ok(0)
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

/// How much of a log a size limit lets stay.
#[derive(Debug)]
pub(crate) struct SizeLimit {
    limit: u64,
    /// How many bytes at its beginning have gone.
    gone: u64,
    last_size: u64,
}

impl SizeLimit {
    /// Keeps a log within `limit` bytes of disk.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, gone: 0, last_size: 0 }
    }

    /// Gives the oldest part of the log back where it is over the limit, and says in it how much has gone. The newest
    /// half of the limit always stays.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the filesystem cannot make holes; others as fstat(2), fallocate(2) and pwrite(2).
    pub(crate) fn apply(&mut self, log: &LogFile) -> io::Result<()> {
        let file = &log.file;
        let metadata = file.metadata()?;
        let (size, used) = (metadata.size(), metadata.blocks().saturating_mul(512));
        // It was cut (logrotate's copytruncate). Where it has grown since past where it was, its disk use tells.
        if size < self.last_size {
            self.gone = 0;
        }
        self.last_size = size;
        let is_over = size.saturating_sub(self.gone) > self.limit || used > self.limit.saturating_add(2 * BLOCK);
        // Down to half the limit, so that a fast writer is not punched after at every look.
        let keep_from = size.saturating_sub(self.limit / 2) / BLOCK * BLOCK;
        if !is_over || keep_from == 0 || keep_from == self.gone {
            return Ok(());
        }
        let from = Self::line_start(file, keep_from)?;
        machine::punch(file, keep_from)?;
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
    use std::fs;
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
        assert_eq!(start_of_last(&path, 5).unwrap(), 0, "zeros that were written are a line's");
        let hole = File::options().write(true).truncate(true).open(&path).unwrap();
        hole.set_len(200_000).unwrap();
        hole.write_all_at(b"kept\nlast\n", 200_000).unwrap();
        let start = start_of_last(&path, 5).unwrap();
        assert!(start > 0 && start <= 200_000, "{start}");
    }

    #[test]
    fn a_new_run_never_shares_the_old_runs_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let at = |name: &str| FileAt::by_path(folder.path().join(name));
        let old = LogFile::create(&at("a.log")).unwrap();
        (&*old.append).write_all(b"old\n").unwrap();
        let new = LogFile::create(&at(".new")).unwrap();
        at(".new").rename(&at("a.log")).unwrap();
        (&*old.append).write_all(b"straggler\n").unwrap();
        (&*new.append).write_all(b"new\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_bounded_log_keeps_its_newest_part_says_what_went_and_gives_the_space_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let log = LogFile::create(&FileAt::by_path(path.as_path())).unwrap();
        let limit = 1 << 20;
        let mut bound = SizeLimit::new(limit);
        for index in 0..100_000_u32 {
            writeln!(&*log.append, "line {index:060}").unwrap();
            if index % 1000 == 0 {
                bound.apply(&log).unwrap();
            }
        }
        bound.apply(&log).unwrap();
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
