//! What the descriptors of another process are, and which of them it waits for.
//!
//! A file server is never asked, because a dead mount would block this process too: of what is open only the type and the
//! number are read, with `AT_STATX_DONT_SYNC`.

use crate::record::evidence::BlockedOn;
use crate::sys::linux::process;
use crate::sys::linux::procfs_read::text;
use crate::sys::linux::wait_reason::{self, FdKind, SyscallWait};
use crate::sys::process::ProcessInfo;
use crate::sys::process::pipes::PipeEnds;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, openat, statx};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

/// The most descriptors that are looked at in one process.
const MOST: usize = 256;
/// How little processor time, in clock ticks, a process has used that may still be between its fork and its program.
const HARDLY_ANY: u64 = 2;

/// The pipes and FIFOs that a process has open; an empty set where its descriptors may not be seen.
///
/// `None` if they cannot be told at this moment: a child has not yet closed the ends that it was forked with, or an exiting
/// process has closed its own. Both may happen while the descriptors are read one by one, so the process is looked at
/// before and after.
pub(crate) fn pipe_ends(entry: &ProcessInfo) -> Option<PipeEnds> {
    let at_rest = || {
        let stat = process::stat(entry.pid)?;
        let is_new = matches!(stat.state, 'R' | 'D') && stat.used < HARDLY_ANY;
        (stat.process.started == entry.started && !stat.exiting && !is_new).then_some(())
    };
    at_rest()?;
    let ends = open_pipes(entry.pid);
    at_rest()?;
    Some(ends)
}

fn open_pipes(pid: i32) -> PipeEnds {
    let descriptors = Descriptors::of(pid);
    let mut ends = PipeEnds::default();
    for (number, (reads, writes)) in descriptors.open() {
        let path = descriptors.path(number);
        let asked = statx(CWD, &path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE | StatxFlags::INO);
        let Ok(found) = asked else { continue };
        if FileType::from_raw_mode(found.stx_mode.into()) != FileType::Fifo {
            continue;
        }
        let pipe = (u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor), found.stx_ino);
        if writes {
            ends.writes.insert(pipe);
        }
        if reads {
            ends.reads.insert(pipe);
            if !descriptors.link(number).is_some_and(|link| link.starts_with("pipe:[")) || has_no_writer(&path) {
                ends.at_end.insert(pipe);
            }
        }
    }
    ends
}

/// Whether nothing writes to a pipe any more: a reader of it, which this opens, is told of a hang-up then (poll(2)).
fn has_no_writer(path: &str) -> bool {
    let options = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(reader) = openat(CWD, path, options, Mode::empty()) else { return false };
    let mut polled = [PollFd::new(&reader, PollFlags::IN)];
    poll(&mut polled, Some(&Timespec::default())).is_ok() && polled[0].revents().contains(PollFlags::HUP)
}

/// The descriptors of one process.
pub(crate) struct Descriptors {
    folder: String,
    local_sockets: OnceCell<BTreeSet<u64>>,
}

impl Descriptors {
    pub(crate) fn of(pid: i32) -> Self {
        Self { folder: format!("/proc/{pid}"), local_sockets: OnceCell::new() }
    }

    /// What a wait is for, as far as the descriptors tell.
    pub(crate) fn tell(&self, wait: SyscallWait, has_children: bool) -> Option<BlockedOn> {
        match wait {
            SyscallWait::For(word) => Some(word),
            SyscallWait::Futex => Some(BlockedOn::Lock),
            SyscallWait::Input(number) => wait_reason::by_descriptor(number, true, self.kind(number)),
            SyscallWait::Output(number) => wait_reason::by_descriptor(number, false, self.kind(number)),
            SyscallWait::Between(from, to) => self.between(from, to),
            SyscallWait::Poll { count: 0, .. } | SyscallWait::Select { below: 0, .. } => Some(BlockedOn::Sleep),
            SyscallWait::Poll { at, count } => {
                let count = usize::try_from(count).ok().filter(|&count| count <= MOST)?;
                let set = wait_reason::poll_set(&self.memory(at, count * 8)?);
                // One that is only to be told of an end says nothing, and is no mere wait for time either.
                if set.is_empty() { None } else { self.by_set(set) }
            }
            SyscallWait::Select { below, read, write } => {
                // The kernel's sets are whole longs; no select(2) of libc goes beyond 1024 descriptors.
                let length = usize::try_from(below).ok().filter(|&below| below <= 1024)?.div_ceil(64) * 8;
                let set = |at: u64| if at == 0 { Some(Vec::new()) } else { self.memory(at, length) };
                let (read, write) = (set(read)?, set(write)?);
                let input = wait_reason::select_set(&read).map(|number| (number, true));
                self.by_set(input.chain(wait_reason::select_set(&write).map(|number| (number, false))).collect())
            }
            SyscallWait::Epoll(number) => self.by_epoll(number),
            SyscallWait::SomePipe | SyscallWait::SomePeer | SyscallWait::Some => self.by_all(wait),
            // A shell that waits, and any other program that takes its children's ends by signal.
            SyscallWait::Signal => has_children.then_some(BlockedOn::Child),
            SyscallWait::Unknown => None,
        }
    }

    /// A pipe is what splice(2) is for; where both are, the data are not there yet or the room is not, and either way
    /// it is a pipe.
    fn between(&self, from: i32, to: i32) -> Option<BlockedOn> {
        let input = wait_reason::by_descriptor(from, true, self.kind(from));
        let output = wait_reason::by_descriptor(to, false, self.kind(to));
        match (input, output) {
            (Some(BlockedOn::Disk), other) | (other, Some(BlockedOn::Disk) | None) => other,
            (Some(input), Some(output)) if input == output => Some(input),
            _ => None,
        }
    }

    fn by_set(&self, set: Vec<(i32, bool)>) -> Option<BlockedOn> {
        let own = self.pipes_to_itself();
        // Where the other end is this process's too, it wakes itself up by it.
        let wakes = |kind: FdKind| matches!(kind, FdKind::Pipe(inode) if own.contains(&inode));
        let kind = |number| Some(self.kind(number)).filter(|kind| !wakes(*kind)).unwrap_or(FdKind::Other);
        let set: Vec<(i32, bool, FdKind)> =
            set.into_iter().take(MOST).map(|(number, input)| (number, input, kind(number))).collect();
        wait_reason::by_set(&set)
    }

    fn by_epoll(&self, number: i32) -> Option<BlockedOn> {
        let info = text(format!("{}/fdinfo/{number}", self.folder))?;
        self.by_set(wait_reason::epoll_set(&info).map(|number| (number, true)).collect())
    }

    /// By all that it could wait for data from. What it writes to as a rule, descriptors 1 and 2, is left out.
    fn by_all(&self, wait: SyscallWait) -> Option<BlockedOn> {
        let open = self.open();
        let readable = open.into_iter().filter(|(number, (read, _))| *read && !matches!(number, 1 | 2));
        let readable: Vec<(i32, FdKind)> = readable.map(|(number, _)| (number, self.kind(number))).collect();
        // Of another user's process no descriptor is shown at all, and then none says anything.
        if readable.is_empty() { None } else { wait_reason::by_candidates(wait, &readable) }
    }

    /// Each open descriptor with whether it is open for reading and for writing.
    fn open(&self) -> BTreeMap<i32, (bool, bool)> {
        let Ok(entries) = fs::read_dir(format!("{}/fd", self.folder)) else { return BTreeMap::new() };
        let entry = |entry: fs::DirEntry| {
            // The link's own permissions are how it was opened (`proc_pid_fd(5)`).
            let mode = fs::symlink_metadata(entry.path()).ok()?.permissions().mode();
            Some((entry.file_name().to_str()?.parse().ok()?, (mode & 0o400 != 0, mode & 0o200 != 0)))
        };
        entries.take(MOST).filter_map(|found| entry(found.ok()?)).collect()
    }

    /// The pipes of which this process has both ends.
    fn pipes_to_itself(&self) -> BTreeSet<u64> {
        let mut ends: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
        for (number, (read, write)) in self.open() {
            if let FdKind::Pipe(inode) = self.kind(number) {
                let (reads, writes) = ends.entry(inode).or_default();
                (*reads, *writes) = (*reads || read, *writes || write);
            }
        }
        ends.into_iter().filter(|(_, (read, write))| *read && *write).map(|(inode, _)| inode).collect()
    }

    fn link(&self, number: i32) -> Option<String> {
        Some(fs::read_link(self.path(number)).ok()?.to_string_lossy().into_owned())
    }

    fn path(&self, number: i32) -> String {
        format!("{}/fd/{number}", self.folder)
    }

    fn kind(&self, number: i32) -> FdKind {
        let asked = statx(CWD, self.path(number), AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE | StatxFlags::INO);
        let Ok(found) = asked else { return FdKind::Other };
        match FileType::from_raw_mode(found.stx_mode.into()) {
            FileType::Fifo => FdKind::Pipe(found.stx_ino),
            FileType::Socket if self.is_local(found.stx_ino) => FdKind::LocalSocket,
            FileType::Socket => FdKind::Socket,
            FileType::RegularFile | FileType::Directory | FileType::BlockDevice => FdKind::File,
            // The numbers are those of Linux's devices.txt: consoles and serial lines, /dev/tty and /dev/console (but not
            // /dev/ptmx, the other side of a terminal), pseudo-terminals.
            FileType::CharacterDevice => match (found.stx_rdev_major, found.stx_rdev_minor) {
                (4 | 136..=143, _) | (5, 0 | 1) => FdKind::Terminal,
                _ => FdKind::Other,
            },
            // What is no file at all is named by its link alone.
            FileType::Symlink | FileType::Unknown => match self.link(number).as_deref() {
                Some("anon_inode:[timerfd]") => FdKind::Timer,
                Some("anon_inode:[pidfd]") => FdKind::Process,
                _ => FdKind::Other,
            },
        }
    }

    fn is_local(&self, inode: u64) -> bool {
        let read = || {
            let sockets = text(format!("{}/net/unix", self.folder)).unwrap_or_default();
            wait_reason::local_sockets(&sockets).collect()
        };
        self.local_sockets.get_or_init(read).contains(&inode)
    }

    /// So many bytes of the process's memory.
    fn memory(&self, at: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(format!("{}/mem", self.folder)).ok()?.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::linux::process::look;
    use crate::sys::process::Lookup;
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    use nix::unistd::Pid;
    use std::process::{Command, Stdio};

    #[test]
    fn a_descriptor_is_known_by_its_type_and_what_has_none_by_its_name() {
        use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
        use std::os::fd::{AsFd, AsRawFd};
        let folder = tempfile::tempdir().unwrap();
        let own = Descriptors::of(std::process::id().cast_signed());
        let kind = |descriptor: &dyn AsFd| own.kind(descriptor.as_fd().as_raw_fd());
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(kind(&reader), kind(&writer));
        assert!(matches!(kind(&reader), FdKind::Pipe(inode) if inode != 0));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(kind(&one), FdKind::LocalSocket);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(kind(&listener), FdKind::Socket);
        let path = folder.path().join("pipe:[4711]");
        assert_eq!(kind(&File::create(&path).unwrap()), FdKind::File);
        assert_eq!(kind(&File::open("/dev/null").unwrap()), FdKind::Other);
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).unwrap();
        assert_eq!(kind(&timer), FdKind::Timer);
        let me = rustix::process::getpid();
        let process = rustix::process::pidfd_open(me, rustix::process::PidfdFlags::empty()).unwrap();
        assert_eq!(kind(&process), FdKind::Process);
        assert_eq!(own.kind(i32::MAX), FdKind::Other);
    }

    #[test]
    fn a_pipe_is_at_its_end_once_its_last_writer_has_gone() {
        let mut child = Command::new("sleep").arg("300").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let Lookup::Found(entry) = look(child.id().cast_signed()) else { panic!("it runs") };
        let settled = || loop {
            if let Some(ends) = pipe_ends(&entry) {
                return ends;
            }
            std::thread::yield_now();
        };
        // Beside its own two it may have inherited others, of whatever runs these tests.
        let ends = settled();
        assert!(!ends.reads.is_empty() && !ends.writes.is_empty() && ends.at_end.is_empty(), "{ends:?}");
        drop(child.stdin.take());
        // A process that another test has forked holds a copy of this end until its exec.
        let ends = loop {
            let ends = settled();
            if !ends.at_end.is_empty() {
                break ends;
            }
            std::thread::yield_now();
        };
        assert_eq!(ends.at_end.len(), 1, "{ends:?}");
        assert!(ends.at_end.is_subset(&ends.reads), "{ends:?}");
        child.kill().unwrap();
        let zombie = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        waitid(Id::Pid(Pid::from_raw(entry.pid)), zombie).unwrap();
        assert_eq!(pipe_ends(&entry), None, "a zombie's descriptors are closed, which says nothing of what it read");
        child.wait().unwrap();
        assert_eq!(pipe_ends(&entry), None);
    }
}
