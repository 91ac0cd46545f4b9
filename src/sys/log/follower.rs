//! Reads a log by name while it is written: across rotation, truncation, replacement and holes.
//!
//! When another file takes the name, the old one is read to its end first; the new one is read once it holds data,
//! since its writer has left the old one then. Holes are skipped. One case cannot be detected: a file that was
//! truncated between two reads, and grew past the last offset with the same bytes at that place.

use crate::error::io_reason;
use crate::record::file_state::FileId;
use crate::sys::fs::at::{FileAt, FileFacts};
use crate::sys::fs::io::{next_data, read_at_most};
use crate::sys::fs::remote;
use crate::sys::log::file::descriptor_path;
use crate::sys::platform::fs_type;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How much is read at once.
const PIECE: usize = 64 << 10;
/// How many bytes before the place read to tell whether the file is still what it was.
const REMEMBERED: usize = 256;

/// What a log holds beyond what was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk<'buffer> {
    /// These bytes.
    Data(&'buffer [u8]),
    /// Another file, or the same one from its beginning: what was read last has ended, its last line too.
    Restarted,
    /// Nothing at the moment.
    Eof,
}

/// How a name and the file that is read under it stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileIdentity {
    /// No file was ever there.
    Missing,
    /// The file has the name.
    Current,
    /// Another file has it, or none: no notice about the name tells of the growth of what is read.
    Replaced,
}

/// A log being read.
#[derive(Debug)]
pub(crate) struct Follower {
    path: PathBuf,
    opened: Option<Opened>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: FileId,
    offset: u64,
    /// What stood right before `offset` when it was read.
    before: Vec<u8>,
    /// Whether nothing but zeros was read since the last hole began.
    in_hole: bool,
    /// Whether `before` was compared since the last end.
    compared: bool,
    /// The successor, once one was seen: the next end is the last one then. It is held open, since it may be rotated away in
    /// its turn before that end is met.
    next: Option<Box<Opened>>,
    /// Whether its filesystem answers from what it once knew unless it is asked.
    far: bool,
}

impl Follower {
    /// Begins at the log's beginning; nothing is opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, opened: None, buffer: Vec::new() }
    }

    /// Begins at this offset of the file that has the name now.
    ///
    /// # Errors
    /// As [`Follower::read`].
    pub(crate) fn from(path: PathBuf, offset: u64) -> io::Result<Self> {
        let mut opened = open(&path)?;
        if let Some(opened) = &mut opened {
            opened.offset = offset;
        }
        Ok(Self { path, opened, buffer: Vec::new() })
    }

    /// Reads one file from its beginning, whatever name it has meanwhile: the log of the run that this process is. No other
    /// file takes over the name that it has as an open file of this process.
    ///
    /// # Errors
    /// As fstat(2).
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let path = descriptor_path(&file);
        Ok(Self { path, opened: Some(Opened::new(file, false)?), buffer: Vec::new() })
    }

    /// The name that is followed.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a file was ever there.
    pub(crate) fn has_begun(&self) -> bool {
        self.opened.is_some()
    }

    /// How the name and the file that is read stand to each other.
    pub(crate) fn identity(&self) -> FileIdentity {
        let there = FileAt::by_path(&self.path).id();
        match &self.opened {
            Some(opened) if there != Some(opened.identity) => FileIdentity::Replaced,
            None if there.is_none() => FileIdentity::Missing,
            Some(_) | None => FileIdentity::Current,
        }
    }

    /// How many bytes there are beyond what was read, holes among them.
    ///
    /// # Errors
    /// As [`Follower::read`].
    pub(crate) fn remaining(&mut self) -> io::Result<u64> {
        if self.opened.is_none() {
            self.opened = open(&self.path)?;
        }
        let Some(opened) = &self.opened else { return Ok(0) };
        opened.ask(&self.path);
        Ok(opened.file.metadata()?.size().saturating_sub(opened.offset))
    }

    /// Reads on.
    ///
    /// # Errors
    /// A log that cannot be read, or is no regular file.
    pub(crate) fn read(&mut self) -> io::Result<Chunk<'_>> {
        if self.opened.is_none() {
            self.opened = open(&self.path)?;
        }
        let Some(opened) = &mut self.opened else { return Ok(Chunk::Eof) };
        self.buffer.resize(PIECE, 0);
        if !opened.compared {
            opened.compared = true;
            // It was compared last at an end; more is to be known now than then.
            opened.ask(&self.path);
            if opened.was_rewritten()? {
                opened.restart();
                return Ok(Chunk::Restarted);
            }
        }
        loop {
            let length = read_at_most(&opened.file, &mut self.buffer, opened.offset)?;
            if length == 0 {
                if opened.file.metadata()?.size() < opened.offset {
                    opened.restart();
                    return Ok(Chunk::Restarted);
                }
                opened.compared = false;
                // It was seen before this end was met, so this end is the old file's last.
                if let Some(next) = opened.next.take() {
                    self.opened = Some(*next);
                    return Ok(Chunk::Restarted);
                }
                opened.next = successor(&self.path, opened.identity)?.map(Box::new);
                if opened.next.is_none() {
                    return Ok(Chunk::Eof);
                }
                continue;
            }
            let from = opened.take(&self.buffer[..length]);
            if from < length {
                return Ok(Chunk::Data(&self.buffer[from..length]));
            }
        }
    }
}

impl Opened {
    fn new(file: File, far: bool) -> io::Result<Self> {
        let (identity, before) = (FileFacts::of_regular(&file)?.id, Vec::new());
        Ok(Self { file, identity, offset: 0, before, in_hole: false, compared: true, next: None, far })
    }

    /// Moves past what was read; where in it the log goes on after a hole.
    fn take(&mut self, bytes: &[u8]) -> usize {
        self.offset += bytes.len() as u64;
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        // Zeros may be COMMAND's own; what a bound took away is a hole, and the filesystem says where that ends.
        let began = self.offset - bytes.len() as u64;
        let data = if zeros == 0 { None } else { next_data(&self.file, began) };
        if let Some(data) = data.filter(|&data| data > began) {
            self.in_hole = true;
            self.before.clear();
            if zeros == bytes.len() {
                self.offset = self.offset.max(data);
                return zeros;
            }
        }
        let from = if self.in_hole { zeros } else { 0 };
        self.in_hole &= from == bytes.len();
        self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(REMEMBERED)..]);
        self.before.drain(..self.before.len().saturating_sub(REMEMBERED));
        from
    }

    /// Has a far filesystem asked how long the file is by now: opening it by name is what makes every one of them ask.
    fn ask(&self, path: &Path) {
        if self.far {
            let _asked = remote::open(&FileAt::by_path(path));
            fs_type::refresh(&self.file);
        }
    }

    /// Whether other bytes stand where was read. In a log whose beginning has gone that is the bound's doing.
    fn was_rewritten(&self) -> io::Result<bool> {
        let mut there = [0; REMEMBERED];
        let there = &mut there[..self.before.len()];
        let length = read_at_most(&self.file, there, self.offset - self.before.len() as u64)?;
        if there[..length] == self.before[..] {
            return Ok(false);
        }
        let mut head = [1; 16];
        let length = read_at_most(&self.file, &mut head, 0)?;
        Ok(length == 0 || head[..length].iter().any(|&byte| byte != 0))
    }

    fn restart(&mut self) {
        (self.offset, self.in_hole, self.compared) = (0, false, true);
        self.before.clear();
    }
}

fn open(path: &Path) -> io::Result<Option<Opened>> {
    let file = match FileAt::by_path(path).open_to_read() {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), io_reason(&error))),
    };
    let far = !fs_type::look(path).is_ok_and(|found| found.local);
    Ok(Some(Opened::new(file, far)?))
}

/// The file that has taken the name over and holds something.
fn successor(path: &Path, current: FileId) -> io::Result<Option<Opened>> {
    let has_taken = |there: FileFacts| there.is_file() && there.stamp.size > 0 && there.id != current;
    if !FileAt::by_path(path).facts().is_ok_and(has_taken) {
        return Ok(None);
    }
    Ok(open(path)?.filter(|next| next.identity != current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    /// All that is there now: what it says, with `|` where it began anew.
    fn rest(follower: &mut Follower) -> String {
        let mut text = String::new();
        loop {
            match follower.read().unwrap() {
                Chunk::Data(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
                Chunk::Restarted => text.push('|'),
                Chunk::Eof => return text,
            }
        }
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        (folder, path)
    }

    fn append(path: &Path, text: &str) -> File {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_log_is_read_once_as_it_grows_and_before_it_is_there() {
        let (_folder, path) = place();
        let mut follower = Follower::new(path.clone());
        assert_eq!((rest(&mut follower).as_str(), follower.has_begun()), ("", false));
        append(&path, "a\nb");
        assert_eq!(rest(&mut follower), "a\nb");
        assert_eq!(rest(&mut follower), "");
        append(&path, "c\n");
        assert_eq!(rest(&mut follower), "c\n");
        assert_eq!(follower.identity(), FileIdentity::Current);
        let mut later = Follower::from(path, 2).unwrap();
        assert_eq!(rest(&mut later), "bc\n");
    }

    #[test]
    fn a_rotated_log_is_read_to_its_end_and_the_new_one_from_its_beginning() {
        let (folder, path) = place();
        let mut old = append(&path, "1\n");
        let mut follower = Follower::new(path.clone());
        assert_eq!(rest(&mut follower), "1\n");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        old.write_all(b"2\n").unwrap();
        assert_eq!(rest(&mut follower), "2\n");
        assert_eq!(follower.identity(), FileIdentity::Replaced);
        // Made and not yet written: its writer has still the old one.
        File::create(&path).unwrap();
        old.write_all(b"3\n").unwrap();
        assert_eq!(rest(&mut follower), "3\n");
        old.write_all(b"4\n").unwrap();
        append(&path, "5\n");
        assert_eq!(rest(&mut follower), "4\n|5\n");
        assert_eq!(follower.identity(), FileIdentity::Current);
    }

    #[test]
    fn a_successor_that_is_rotated_away_before_it_is_read_is_read_all_the_same() {
        let (folder, path) = place();
        append(&path, "1\n");
        let mut follower = Follower::new(path.clone());
        assert_eq!(rest(&mut follower), "1\n");
        fs::rename(&path, folder.path().join("a.log.1")).unwrap();
        append(&path, "2\n");
        // As between two reads of one call.
        let opened = follower.opened.as_mut().unwrap();
        opened.next = successor(&path, opened.identity).unwrap().map(Box::new);
        fs::rename(&path, folder.path().join("a.log.2")).unwrap();
        append(&path, "3\n");
        assert_eq!(rest(&mut follower), "|2\n|3\n");
    }

    #[test]
    fn a_log_cut_or_replaced_is_read_anew_also_where_it_has_grown_past_the_place() {
        let (folder, path) = place();
        append(&path, "one\ntwo\n");
        let mut follower = Follower::new(path.clone());
        assert_eq!(rest(&mut follower), "one\ntwo\n");
        fs::write(&path, "x\n").unwrap();
        assert_eq!(rest(&mut follower), "|x\n");
        fs::write(&path, "y, which is longer\n").unwrap();
        assert_eq!(rest(&mut follower), "|y, which is longer\n");
        fs::write(&path, "").unwrap();
        assert_eq!(rest(&mut follower), "|");
        append(&path, "z\n");
        assert_eq!(rest(&mut follower), "z\n");
        fs::write(folder.path().join("new"), "w\n").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert_eq!(rest(&mut follower), "|w\n");
    }

    #[test]
    fn holes_are_skipped_and_a_bounded_log_is_not_taken_for_a_rewritten_one() {
        let (_folder, path) = place();
        let kept = crate::sys::log::file::LogFile::create(&FileAt::by_path(path.as_path())).unwrap();
        let mut log = append(&path, "first\n");
        let mut follower = Follower::new(path.clone());
        assert_eq!(rest(&mut follower), "first\n");
        let mut bound = crate::sys::log::file::SizeLimit::new(1 << 20);
        for index in 0..40_000_u32 {
            writeln!(log, "line {index:060}").unwrap();
        }
        bound.apply(&kept).unwrap();
        let text = rest(&mut follower);
        let begins = text.trim_start();
        assert!(begins.starts_with("[dogwatch: ") && !text.contains('|') && !text.contains('\0'), "{text:.80}");
        assert!(text.ends_with(&format!("line {:060}\n", 39_999)));
        writeln!(log, "more").unwrap();
        assert_eq!(rest(&mut follower), "more\n");
        log.write_all(b"a\0b\n").unwrap();
        assert_eq!(rest(&mut follower), "a\0b\n", "COMMAND's own zeros stay");
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let (folder, path) = place();
        assert!(Follower::new(folder.path().to_path_buf()).read().is_err());
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Follower::new(path).read().is_err());
    }
}
