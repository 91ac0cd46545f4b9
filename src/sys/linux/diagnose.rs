//! What a process is doing and what it waits for, by procfs.
//!
//! `/proc/PID/syscall` says it exactly, but only to a user who may trace the process (proc(5); with Yama only to its
//! ancestors). `/proc/PID/wchan` says less to the same user. No process is stopped or traced to learn more.

use crate::record::evidence::{BlockedOn, ProcessState, TreeProcess, bracketed, command_line};
use crate::record::time::millis;
use crate::sys::linux::fd_table::Descriptors;
use crate::sys::linux::procfs_read::{record, text, whole};
use crate::sys::linux::wait_reason::{self, SyscallWait};
use crate::sys::linux::{process, procfs};
use crate::sys::process::ProcessInfo;

/// The most threads of one program that are looked at.
const THREADS: usize = 64;

/// A process as its one line of `stat` shows it, under its name. That read never blocks.
pub(crate) fn glimpse(entry: &ProcessInfo) -> Option<TreeProcess> {
    let line = record(format!("/proc/{}/stat", entry.pid)).ok()?;
    let stat =
        procfs::stat(&line).filter(|stat| stat.process.started == entry.started && !matches!(stat.state, 'X' | 'x'))?;
    let name = bracketed(procfs::name(&line)?);
    let used = millis(process::of_ticks(stat.used));
    Some(TreeProcess::new(entry.pid, entry.parent, name, wait_reason::state(stat.state), used))
}

/// Adds the command line and what it waits for. Reading a command line can wait for a lock on the process's memory that
/// another thread of it holds while it is stuck itself, so that comes last, and the caller bounds the time.
pub(crate) fn detail(seen: &mut TreeProcess, has_children: bool) {
    let folder = format!("/proc/{}", seen.pid);
    let descriptors = Descriptors::of(seen.pid);
    if let Some((state, wait)) = thread(&folder) {
        seen.state = state;
        seen.blocked_on = wait.and_then(|wait| descriptors.tell(wait, has_children));
        if wait == Some(SyscallWait::Futex) {
            let others = threads(&folder, seen.pid, &descriptors, has_children);
            (seen.state, seen.blocked_on) = wait_reason::by_threads(&others);
        }
    }
    if let Some(line) = whole(format!("{folder}/cmdline")).ok().and_then(|arguments| command_line(&arguments)) {
        seen.command = line;
    }
}

/// The state of one thread, and what it asked for where it sleeps.
fn thread(folder: &str) -> Option<(ProcessState, Option<SyscallWait>)> {
    let state = wait_reason::state(procfs::stat(&record(format!("{folder}/stat")).ok()?)?.state);
    let sleeps = matches!(state, ProcessState::Sleeping | ProcessState::Disk);
    // A thread that moves on in between shows no call, and sleeps nowhere.
    let exact = || text(format!("{folder}/syscall")).map(|text| wait_reason::by_call(&text));
    let vague = || text(format!("{folder}/wchan")).map(|text| wait_reason::by_place(&text));
    let known = |wait: &SyscallWait| *wait != SyscallWait::Unknown;
    let wait = if sleeps { exact().filter(known).or_else(vague) } else { None };
    // Whatever it asked for, it is the disk that keeps it; but a parent waits for its child's exec in this state too.
    let held = state == ProcessState::Disk && wait != Some(SyscallWait::For(BlockedOn::Child));
    Some((state, if held { Some(SyscallWait::For(BlockedOn::Disk)) } else { wait }))
}

fn threads(
    folder: &str,
    first: i32,
    descriptors: &Descriptors,
    has_children: bool,
) -> Vec<(ProcessState, Option<BlockedOn>)> {
    let Ok(entries) = std::fs::read_dir(format!("{folder}/task")) else { return Vec::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|&number| number != first)
        .take(THREADS)
        .filter_map(|number| {
            let (state, wait) = thread(&format!("{folder}/task/{number}"))?;
            Some((state, wait.and_then(|wait| descriptors.tell(wait, has_children))))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::info::current_pid;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::select::{FdSet, select};
    use rustix::event::epoll;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    /// What is found to sleep there waits for, once it does so in its own call: before that it may wait for memory.
    fn settled(folder: &str) -> SyscallWait {
        let began = Instant::now();
        let mut last = None;
        loop {
            assert!(began.elapsed() < Duration::from_secs(60), "it never slept: {last:?}");
            let now = thread(folder).filter(|(state, _)| *state == ProcessState::Sleeping).and_then(|(_, wait)| wait);
            if let (Some(wait), true) = (now, now == last) {
                return wait;
            }
            last = now;
            // Nothing tells when a thread has settled in its call: two readings that agree, some time apart, have to do.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a thread is found to wait for that does this work, which `release` ends.
    fn blocked_in(work: impl FnOnce() + Send + 'static, release: impl FnOnce()) -> (SyscallWait, Option<BlockedOn>) {
        let (sender, receiver) = crossbeam_channel::bounded(1);
        let worker = std::thread::spawn(move || {
            sender.send(nix::unistd::gettid()).unwrap();
            work();
        });
        let wait = settled(&format!("/proc/self/task/{}", receiver.recv().unwrap()));
        let told = Descriptors::of(current_pid()).tell(wait, false);
        release();
        worker.join().unwrap();
        (wait, told)
    }

    fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    #[test]
    fn reads_and_writes_say_what_is_at_the_other_end() {
        let (mut one, mut other) = connected();
        let read = move || one.read_exact(&mut [0]).unwrap();
        assert_eq!(blocked_in(read, move || other.write_all(b"x").unwrap()).1, Some(BlockedOn::Network));
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let read = move || one.read_exact(&mut [0]).unwrap();
        assert_eq!(blocked_in(read, move || other.write_all(b"x").unwrap()).1, Some(BlockedOn::Pipe));
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let read = move || reader.read_exact(&mut [0]).unwrap();
        assert_eq!(blocked_in(read, move || writer.write_all(b"x").unwrap()).1, Some(BlockedOn::Pipe));
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let write = move || writer.write_all(&vec![0; 1 << 20]).unwrap();
        let drain = move || assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 1 << 20);
        assert_eq!(blocked_in(write, drain).1, Some(BlockedOn::Pipe));
    }

    #[test]
    fn a_wait_for_several_says_what_it_is_for_and_a_pipe_to_itself_says_nothing() {
        let (one, mut other) = connected();
        let (own, writer) = std::io::pipe().unwrap();
        let keep = writer.try_clone().unwrap();
        let both = move || {
            let asked = [own.as_fd(), one.as_fd()].map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
            poll(&mut { asked }, PollTimeout::NONE).unwrap();
        };
        assert_eq!(blocked_in(both, move || other.write_all(b"x").unwrap()).1, Some(BlockedOn::Network));
        drop(keep);
        let (own, mut writer) = std::io::pipe().unwrap();
        let alone = move || {
            poll(&mut [PollFd::new(own.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        };
        assert_eq!(blocked_in(alone, move || writer.write_all(b"x").unwrap()).1, None);
    }

    #[test]
    fn select_and_epoll_are_told_by_their_sets() {
        let (one, mut other) = connected();
        let selected = move || {
            let mut set = FdSet::new();
            set.insert(one.as_fd());
            select(None, &mut set, None, None, None).unwrap();
        };
        assert_eq!(blocked_in(selected, move || other.write_all(b"x").unwrap()).1, Some(BlockedOn::Network));
        let (one, mut other) = connected();
        let waited = move || {
            let set = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            epoll::add(&set, &one, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
            let mut events = Vec::with_capacity(1);
            epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None).unwrap();
        };
        assert_eq!(blocked_in(waited, move || other.write_all(b"x").unwrap()).1, Some(BlockedOn::Network));
    }

    #[test]
    fn locks_and_children_are_told_by_the_call_alone() {
        let lock = std::sync::Arc::new(std::sync::Mutex::new(()));
        let (held, wanted) = (lock.lock().unwrap(), std::sync::Arc::clone(&lock));
        let take = move || drop(wanted.lock().unwrap());
        assert_eq!(blocked_in(take, move || drop(held)), (SyscallWait::Futex, Some(BlockedOn::Lock)));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        let wait = move || assert!(child.wait().unwrap().success());
        assert_eq!(blocked_in(wait, move || drop(input)).1, Some(BlockedOn::Child));
    }

    #[test]
    fn where_the_call_may_not_be_read_the_place_in_the_kernel_says_the_same() {
        for (program, expected) in [("sleep", BlockedOn::Sleep), ("cat", BlockedOn::Stdin)] {
            let argument = if program == "sleep" { "300" } else { "-" };
            let mut child = Command::new(program).arg(argument).stdin(Stdio::piped()).spawn().unwrap();
            let (pid, folder) = (child.id().cast_signed(), format!("/proc/{}", child.id()));
            let descriptors = Descriptors::of(pid);
            assert_eq!(descriptors.tell(settled(&folder), false), Some(expected));
            let place = wait_reason::by_place(&text(format!("{folder}/wchan")).unwrap_or_default());
            // A kernel that does not name its functions tells nothing.
            assert!(place == SyscallWait::Unknown || descriptors.tell(place, false) == Some(expected), "{place:?}");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}
