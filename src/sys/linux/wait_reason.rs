//! What a sleeping thread waits for, from what procfs says of it: parsers and rules only, fed with text and bytes.
//!
//! If the reason is not certain it is reported as unknown, because a wrong one sends the reader to the wrong place.

use crate::record::evidence::{BlockedOn, ProcessState};

/// What a thread asked the kernel for before it fell asleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyscallWait {
    /// The call itself says what it is for.
    For(BlockedOn),
    /// A word in memory that another thread changes: a lock, or the end of that thread.
    Futex,
    /// Data from this descriptor.
    Input(i32),
    /// Room in this descriptor.
    Output(i32),
    /// Either of two descriptors, data from the first or room in the second.
    Between(i32, i32),
    /// poll(2) over so many entries at this address.
    Poll { at: u64, count: u64 },
    /// select(2) over the descriptors below a number, in sets at these addresses; zero for none.
    Select { below: u64, read: u64, write: u64 },
    /// epoll(7) over the set of this descriptor.
    Epoll(i32),
    /// Data from a pipe; which one is not known.
    SomePipe,
    /// Data from a socket or a terminal; which one is not known.
    SomePeer,
    /// One or several descriptors; which ones is not known.
    Some,
    /// A signal.
    Signal,
    /// Not known.
    Unknown,
}

/// What a descriptor is open on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FdKind {
    /// A pipe or FIFO, by its inode.
    Pipe(u64),
    /// A socket to a peer that may be anywhere.
    Socket,
    /// A socket to a process of this machine.
    LocalSocket,
    /// A terminal.
    Terminal,
    /// A regular file, a directory or a block device.
    File,
    /// A timer.
    Timer,
    /// A process (pidfd).
    Process,
    /// Anything else: what it waits for does not follow from what it is.
    Other,
}

/// The word for a state's letter (`proc_pid_stat(5)`).
pub(crate) fn state(letter: char) -> ProcessState {
    match letter {
        'R' => ProcessState::Running,
        'S' => ProcessState::Sleeping,
        'D' => ProcessState::Disk,
        'T' => ProcessState::Stopped,
        't' => ProcessState::Traced,
        'Z' => ProcessState::Zombie,
        'I' => ProcessState::Idle,
        _ => ProcessState::Unknown,
    }
}

/// Reads `/proc/PID/syscall`: the call's number, six arguments, the stack pointer, the program counter.
pub(crate) fn by_call(text: &str) -> SyscallWait {
    let mut fields = text.split_ascii_whitespace();
    let Some(number) = fields.next().and_then(|number| number.parse().ok()) else { return SyscallWait::Unknown };
    let numbers: Vec<u64> =
        fields.map_while(|field| u64::from_str_radix(field.strip_prefix("0x")?, 16).ok()).take(7).collect();
    let [first, second, third, _, _, _, stack] = numbers[..] else { return SyscallWait::Unknown };
    // A 32-bit program's calls have numbers of their own. Its stack is below 4 GiB; no 64-bit thread's is, as the
    // kernel maps those at the top.
    if u32::try_from(stack).is_ok() { SyscallWait::Unknown } else { call(number, [first, second, third]) }
}

#[cfg(not(target_pointer_width = "64"))]
fn call(_number: i64, _arguments: [u64; 3]) -> SyscallWait {
    SyscallWait::Unknown
}

#[cfg(target_pointer_width = "64")]
fn call(number: i64, [first, second, third]: [u64; 3]) -> SyscallWait {
    // The kernel itself takes a descriptor's lower half.
    let descriptor = |argument: u64| u32::try_from(argument & u64::from(u32::MAX)).map_or(-1, u32::cast_signed);
    match number {
        libc::SYS_read | libc::SYS_readv | libc::SYS_pread64 | libc::SYS_preadv | libc::SYS_preadv2 => {
            SyscallWait::Input(descriptor(first))
        }
        libc::SYS_recvfrom | libc::SYS_recvmsg | libc::SYS_recvmmsg | libc::SYS_accept | libc::SYS_accept4 => {
            SyscallWait::Input(descriptor(first))
        }
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 | libc::SYS_pwritev | libc::SYS_pwritev2 => {
            SyscallWait::Output(descriptor(first))
        }
        libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg | libc::SYS_connect | libc::SYS_vmsplice => {
            SyscallWait::Output(descriptor(first))
        }
        libc::SYS_tee => SyscallWait::Between(descriptor(first), descriptor(second)),
        libc::SYS_splice | libc::SYS_copy_file_range => SyscallWait::Between(descriptor(first), descriptor(third)),
        libc::SYS_sendfile => SyscallWait::Between(descriptor(second), descriptor(first)),
        libc::SYS_futex | libc::SYS_futex_waitv => SyscallWait::Futex,
        libc::SYS_flock | libc::SYS_semop | libc::SYS_semtimedop => SyscallWait::For(BlockedOn::Lock),
        libc::SYS_fcntl if [libc::F_SETLKW, libc::F_OFD_SETLKW].contains(&descriptor(second)) => {
            SyscallWait::For(BlockedOn::Lock)
        }
        // A parent sleeps in these until the child that has its memory has exec'd or ended (vfork(2)).
        libc::SYS_wait4 | libc::SYS_waitid | libc::SYS_clone | libc::SYS_clone3 => SyscallWait::For(BlockedOn::Child),
        libc::SYS_nanosleep | libc::SYS_clock_nanosleep => SyscallWait::For(BlockedOn::Sleep),
        libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync | libc::SYS_syncfs | libc::SYS_msync => {
            SyscallWait::For(BlockedOn::Disk)
        }
        libc::SYS_ppoll => SyscallWait::Poll { at: first, count: second },
        libc::SYS_pselect6 => SyscallWait::Select { below: first, read: second, write: third },
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => SyscallWait::Epoll(descriptor(first)),
        libc::SYS_rt_sigsuspend | libc::SYS_rt_sigtimedwait => SyscallWait::Signal,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_vfork => SyscallWait::For(BlockedOn::Child),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_pause => SyscallWait::For(BlockedOn::Sleep),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => SyscallWait::Poll { at: first, count: second },
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => SyscallWait::Select { below: first, read: second, write: third },
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => SyscallWait::Epoll(descriptor(first)),
        _ => SyscallWait::Unknown,
    }
}

/// Functions of the kernel in which a thread sleeps, by their whole names. Where a kernel named a function otherwise in some
/// version, both names are here.
const FUNCTIONS: [(&[&str], SyscallWait); 3] = [
    (&["wait_woken"], SyscallWait::SomePeer),
    (
        &["do_poll", "do_sys_poll", "poll_schedule_timeout", "do_select", "core_sys_select", "ep_poll"],
        SyscallWait::Some,
    ),
    (&["do_wait"], SyscallWait::For(BlockedOn::Child)),
];
/// The same by a part of the name; the first that fits counts.
const FUNCTION_PARTS: [(&[&str], SyscallWait); 10] = [
    (
        &["unix_", "pipe_write", "pipe_wait_writable", "wait_for_partner", "fifo_open"],
        SyscallWait::For(BlockedOn::Pipe),
    ),
    (&["pipe_read", "pipe_wait"], SyscallWait::SomePipe),
    (&["n_tty_read"], SyscallWait::For(BlockedOn::Stdin)),
    (&["lock_inode_wait", "fcntl_setlk", "do_lock_file_wait", "semtimedop"], SyscallWait::For(BlockedOn::Lock)),
    (&["futex"], SyscallWait::Futex),
    (&["inet_", "sk_wait", "sk_stream_wait", "tcp_", "udp_", "skb_wait"], SyscallWait::For(BlockedOn::Network)),
    (&["nanosleep", "do_pause", "sys_pause"], SyscallWait::For(BlockedOn::Sleep)),
    (&["sigsuspend", "sigtimedwait"], SyscallWait::Signal),
    (&["request_wait_answer", "io_schedule", "folio_wait", "wait_on_page"], SyscallWait::For(BlockedOn::Disk)),
    (&["wait_for_vfork_done", "kernel_clone", "_do_fork"], SyscallWait::For(BlockedOn::Child)),
];

/// Reads `/proc/PID/wchan`, the kernel function in which it sleeps: less exact, but told of more processes.
pub(crate) fn by_place(text: &str) -> SyscallWait {
    // The compiler makes `name.isra.0` and `name.constprop.0` of one that it changed.
    let name = text.trim_end().split('.').next().unwrap_or_default();
    let whole = FUNCTIONS.iter().find(|(names, _)| names.contains(&name));
    let part = || FUNCTION_PARTS.iter().find(|(parts, _)| parts.iter().any(|part| name.contains(part)));
    whole.or_else(part).map_or(SyscallWait::Unknown, |(_, wait)| *wait)
}

/// What a read from, or a write to, this descriptor waits for.
pub(crate) fn by_descriptor(number: i32, input: bool, kind: FdKind) -> Option<BlockedOn> {
    match kind {
        FdKind::File => Some(BlockedOn::Disk),
        _ if input && number == 0 => Some(BlockedOn::Stdin),
        FdKind::Pipe(_) | FdKind::LocalSocket => Some(BlockedOn::Pipe),
        FdKind::Socket => Some(BlockedOn::Network),
        FdKind::Terminal if input => Some(BlockedOn::Stdin),
        FdKind::Timer => Some(BlockedOn::Sleep),
        FdKind::Process => Some(BlockedOn::Child),
        FdKind::Terminal | FdKind::Other => None,
    }
}

/// What a wait for any of these is for: the most telling of them.
///
/// Local sockets do not count here: nearly every event loop has one to wake itself up by, and such a socket looks the same as
/// one to another process. Nor do files, for which such a wait never sleeps.
pub(crate) fn by_set(set: &[(i32, bool, FdKind)]) -> Option<BlockedOn> {
    if set.is_empty() {
        return Some(BlockedOn::Sleep);
    }
    let counts = |kind: FdKind| !matches!(kind, FdKind::LocalSocket | FdKind::File | FdKind::Other);
    let words: Vec<BlockedOn> = set
        .iter()
        .filter(|(_, _, kind)| counts(*kind))
        .filter_map(|(number, input, kind)| by_descriptor(*number, *input, *kind))
        .collect();
    most_telling(&words)
}

/// The likeliest to be why a program hangs.
fn most_telling(words: &[BlockedOn]) -> Option<BlockedOn> {
    use BlockedOn::{Child, Disk, Lock, Network, Pipe, Sleep, Stdin};
    [Disk, Network, Pipe, Stdin, Child, Lock, Sleep].into_iter().find(|word| words.contains(word))
}

/// What a program is doing whose first thread waits for another: what the others do.
///
/// One that runs shows that nothing is blocked. Else the most telling of what holds one up; time only where none waits
/// for a lock, since a thread that sleeps between two chores is in many a program that hangs.
pub(crate) fn by_threads(others: &[(ProcessState, Option<BlockedOn>)]) -> (ProcessState, Option<BlockedOn>) {
    if others.iter().any(|(state, _)| *state == ProcessState::Running) {
        return (ProcessState::Running, None);
    }
    let words: Vec<BlockedOn> = others.iter().filter_map(|(_, blocked_on)| *blocked_on).collect();
    (ProcessState::Sleeping, Some(most_telling(&words).unwrap_or(BlockedOn::Lock)))
}

/// What a process waits for that reads one of these descriptors or waits for some of them, which ones is not known.
pub(crate) fn by_candidates(wait: SyscallWait, readable: &[(i32, FdKind)]) -> Option<BlockedOn> {
    let pipe = |kind: FdKind| matches!(kind, FdKind::Pipe(_));
    let has = |wanted: FdKind| readable.iter().any(|(_, kind)| *kind == wanted);
    if wait == SyscallWait::SomePipe {
        let only_stdin = readable.iter().filter(|(_, kind)| pipe(*kind)).all(|(number, _)| *number == 0);
        Some(if only_stdin { BlockedOn::Stdin } else { BlockedOn::Pipe })
    } else if has(FdKind::Socket) {
        Some(BlockedOn::Network)
    } else {
        (wait == SyscallWait::SomePeer && has(FdKind::Terminal)).then_some(BlockedOn::Stdin)
    }
}

/// The inodes of local sockets in `/proc/PID/net/unix`, whose seventh column they are.
pub(crate) fn local_sockets(text: &str) -> impl Iterator<Item = u64> {
    text.lines().filter_map(|line| line.split_ascii_whitespace().nth(6)?.parse().ok())
}

/// The descriptors of a set, from an epoll descriptor's `fdinfo`.
pub(crate) fn epoll_set(text: &str) -> impl Iterator<Item = i32> {
    text.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok())
}

/// What is asked of each descriptor in an array of `struct pollfd` (poll(2)): whether data is waited for.
pub(crate) fn poll_set(bytes: &[u8]) -> Vec<(i32, bool)> {
    let entry = |entry: &[u8]| {
        let descriptor = i32::from_ne_bytes(*entry.first_chunk()?);
        let events = i16::from_ne_bytes(*entry.get(4..)?.first_chunk()?);
        // A negative one is passed over, and one without events is there for its end only (poll(2)).
        (descriptor >= 0 && events != 0).then_some((descriptor, events & libc::POLLIN != 0))
    };
    bytes.chunks_exact(8).filter_map(entry).collect()
}

/// The descriptors of a `fd_set` (select(2)), which the kernel takes as an array of longs.
pub(crate) fn select_set(bytes: &[u8]) -> impl Iterator<Item = i32> {
    const WORD: usize = size_of::<usize>();
    let words = bytes.chunks_exact(WORD).enumerate();
    words.flat_map(|(index, chunk)| {
        let word = chunk.first_chunk().map_or(0, |chunk| usize::from_ne_bytes(*chunk));
        (0..WORD * 8)
            .filter(move |bit| word & (1 << bit) != 0)
            .filter_map(move |bit| i32::try_from(index * WORD * 8 + bit).ok())
    })
}

#[cfg(test)]
mod tests;
