//! What the kernel writes, and what it must be taken for.

use super::*;
use proptest::prelude::*;

const CAT: &str = "0 0x3 0x7f989ee0b000 0x20000 0x7f989ee9eb60 0xffffffff 0x0 0x7ffc1369a088 0x7f989ef872ad\n";

fn line(number: i64, arguments: &[u64]) -> String {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    let words: Vec<String> =
        six.iter().chain(&[0x7ffc_1369_a088, 0x7f98_9ef8_72ad]).map(|n| format!("{n:#x}")).collect();
    format!("{number} {}\n", words.join(" "))
}

#[test]
fn a_call_says_what_its_thread_waits_for() {
    let set_lock_wait = u64::try_from(libc::F_SETLKW).unwrap();
    let try_lock = u64::try_from(libc::F_SETLK).unwrap();
    for (number, arguments, wait) in [
        (libc::SYS_read, &[3][..], SyscallWait::Input(3)),
        (libc::SYS_write, &[1], SyscallWait::Output(1)),
        (libc::SYS_recvfrom, &[0], SyscallWait::Input(0)),
        (libc::SYS_connect, &[5], SyscallWait::Output(5)),
        (libc::SYS_splice, &[4, 0, 5], SyscallWait::Between(4, 5)),
        (libc::SYS_sendfile, &[4, 5], SyscallWait::Between(5, 4)),
        (libc::SYS_futex, &[0x5000], SyscallWait::Futex),
        (libc::SYS_flock, &[9, 2], SyscallWait::For(BlockedOn::Lock)),
        (libc::SYS_fcntl, &[9, set_lock_wait], SyscallWait::For(BlockedOn::Lock)),
        (libc::SYS_fcntl, &[9, try_lock], SyscallWait::Unknown),
        (libc::SYS_wait4, &[u64::MAX], SyscallWait::For(BlockedOn::Child)),
        (libc::SYS_clock_nanosleep, &[], SyscallWait::For(BlockedOn::Sleep)),
        (libc::SYS_fsync, &[3], SyscallWait::For(BlockedOn::Disk)),
        (libc::SYS_ppoll, &[0x7000, 2], SyscallWait::Poll { at: 0x7000, count: 2 }),
        (libc::SYS_pselect6, &[4, 0, 0x7000], SyscallWait::Select { below: 4, read: 0, write: 0x7000 }),
        (libc::SYS_epoll_pwait, &[6], SyscallWait::Epoll(6)),
        (libc::SYS_rt_sigsuspend, &[], SyscallWait::Signal),
        (libc::SYS_ioctl, &[3], SyscallWait::Unknown),
    ] {
        assert_eq!(by_call(&line(number, arguments)), wait, "{number} {arguments:?}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_the_kernel_wrote_is_read_and_what_says_nothing_is_not_known() {
    assert_eq!(by_call(CAT), SyscallWait::Input(3));
    // On its way, stopped outside a call, cut short, and a 32-bit program with its stack below 4 GiB.
    let compat = "0 0x3 0x0 0x0 0x0 0x0 0x0 0xffd2a088 0xf7f872ad";
    for text in ["running\n", "-1 0x7ffc1369a088 0x7f989ef872ad\n", "0 0x3 0x7f98", "", "x", compat] {
        assert_eq!(by_call(text), SyscallWait::Unknown, "{text}");
    }
}

#[test]
fn the_place_in_the_kernel_says_it_too() {
    for (name, wait) in [
        ("do_wait", SyscallWait::For(BlockedOn::Child)),
        ("sigsuspend.isra.0", SyscallWait::Signal),
        ("anon_pipe_read", SyscallWait::SomePipe),
        ("pipe_wait_readable", SyscallWait::SomePipe),
        ("pipe_wait_writable", SyscallWait::For(BlockedOn::Pipe)),
        ("wait_woken", SyscallWait::SomePeer),
        ("n_tty_read", SyscallWait::For(BlockedOn::Stdin)),
        ("pipe_write", SyscallWait::For(BlockedOn::Pipe)),
        ("wait_for_partner", SyscallWait::For(BlockedOn::Pipe)),
        ("unix_stream_read_generic", SyscallWait::For(BlockedOn::Pipe)),
        ("futex_wait_queue", SyscallWait::Futex),
        ("futex_do_wait", SyscallWait::Futex),
        ("locks_lock_inode_wait", SyscallWait::For(BlockedOn::Lock)),
        ("inet_csk_accept", SyscallWait::For(BlockedOn::Network)),
        ("sk_wait_data", SyscallWait::For(BlockedOn::Network)),
        ("hrtimer_nanosleep", SyscallWait::For(BlockedOn::Sleep)),
        ("poll_schedule_timeout.constprop.0", SyscallWait::Some),
        ("ep_poll", SyscallWait::Some),
        ("request_wait_answer", SyscallWait::For(BlockedOn::Disk)),
        ("0", SyscallWait::Unknown),
        ("", SyscallWait::Unknown),
        ("do_exit", SyscallWait::Unknown),
    ] {
        assert_eq!(by_place(name), wait, "{name}");
    }
}

#[test]
fn input_from_descriptor_zero_is_stdin_whatever_it_is_unless_a_disk_is_waited_for() {
    for kind in [FdKind::Pipe(1), FdKind::Socket, FdKind::Terminal] {
        assert_eq!(by_descriptor(0, true, kind), Some(BlockedOn::Stdin));
    }
    assert_eq!(by_descriptor(0, true, FdKind::File), Some(BlockedOn::Disk));
    assert_eq!(by_descriptor(0, false, FdKind::Socket), Some(BlockedOn::Network));
    // A question for a password is put to the terminal itself.
    assert_eq!(by_descriptor(4, true, FdKind::Terminal), Some(BlockedOn::Stdin));
    assert_eq!(by_descriptor(1, false, FdKind::Terminal), None);
}

#[test]
fn of_several_descriptors_the_most_telling_counts() {
    let (stdin, pipe, socket) = ((0, true, FdKind::Terminal), (4, true, FdKind::Pipe(1)), (5, true, FdKind::Socket));
    assert_eq!(by_set(&[stdin, pipe, socket]), Some(BlockedOn::Network));
    assert_eq!(by_set(&[stdin, pipe]), Some(BlockedOn::Pipe));
    assert_eq!(by_set(&[stdin]), Some(BlockedOn::Stdin));
    assert_eq!(by_set(&[]), Some(BlockedOn::Sleep));
    assert_eq!(by_set(&[(3, true, FdKind::LocalSocket), (4, true, FdKind::Other), (5, true, FdKind::File)]), None);
}

#[test]
fn where_the_descriptor_is_not_known_only_what_none_contradicts_is_said() {
    let (stdin, pipe) = ((0, FdKind::Pipe(1)), (4, FdKind::Pipe(2)));
    let (terminal, socket) = ((0, FdKind::Terminal), (5, FdKind::Socket));
    assert_eq!(by_candidates(SyscallWait::SomePipe, &[stdin, socket]), Some(BlockedOn::Stdin));
    assert_eq!(by_candidates(SyscallWait::SomePipe, &[stdin, pipe]), Some(BlockedOn::Pipe));
    assert_eq!(by_candidates(SyscallWait::SomePeer, &[terminal]), Some(BlockedOn::Stdin));
    assert_eq!(by_candidates(SyscallWait::SomePeer, &[terminal, socket]), Some(BlockedOn::Network));
    assert_eq!(by_candidates(SyscallWait::Some, &[stdin, socket]), Some(BlockedOn::Network));
    assert_eq!(by_candidates(SyscallWait::Some, &[stdin, pipe, terminal]), None);
}

#[test]
fn threads_speak_for_the_one_that_only_waits_for_them() {
    use ProcessState::{Running, Sleeping};
    let on = |word| (Sleeping, Some(word));
    let (lock, sleep, network) = (on(BlockedOn::Lock), on(BlockedOn::Sleep), on(BlockedOn::Network));
    assert_eq!(by_threads(&[lock, (Running, None), network]), (Running, None));
    assert_eq!(by_threads(&[lock, network, sleep]), network);
    assert_eq!(by_threads(&[sleep, lock]), lock);
    assert_eq!(by_threads(&[sleep, sleep]), sleep);
    assert_eq!(by_threads(&[]), lock);
}

#[test]
fn sets_are_read_from_memory_and_from_fdinfo() {
    let entry =
        |descriptor: i32, events: i16| [&descriptor.to_ne_bytes()[..], &events.to_ne_bytes()[..], &[0, 0][..]].concat();
    let array = [entry(7, libc::POLLIN), entry(-1, libc::POLLIN), entry(1, 0), entry(8, libc::POLLOUT)].concat();
    assert_eq!(poll_set(&array), [(7, true), (8, false)]);
    let mut bits = [0_u8; 16];
    bits[..8].copy_from_slice(&0b1001_u64.to_ne_bytes());
    bits[8..].copy_from_slice(&1_u64.to_ne_bytes());
    assert_eq!(select_set(&bits).collect::<Vec<_>>(), [0, 3, 64]);
    let info = "pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 5  pos:0 ino:61 sdev:8\ntfd: x\n";
    assert_eq!(epoll_set(info).collect::<Vec<_>>(), [5]);
    let text = "Num RefCount Protocol Flags Type St Inode Path\n0: 00000002 00000000 00010000 0001 01 4711 /run/x\n";
    assert_eq!(local_sockets(text).collect::<Vec<_>>(), [4711]);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(
        text in ".{0,200}",
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        cut in 0usize..100,
        numbers in any::<[u64; 8]>(),
    ) {
        let _any = (by_call(&text), by_call(&CAT[..cut.min(CAT.len())]), by_place(&text));
        let _call = by_call(&line(numbers[0].cast_signed() % 500, &numbers[1..7]));
        let _sets = (poll_set(&bytes), select_set(&bytes).count(), epoll_set(&text).count(), local_sockets(&text).count());
    }
}
