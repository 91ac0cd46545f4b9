//! `/proc/PID/stat` and its kin as values: parsers only, fed with bytes.
//!
//! Fields are split only after the last parenthesis, because a command's name may contain spaces and parentheses
//! (`proc_pid_stat(5)`).

use crate::sys::process::ProcessInfo;

/// The flag of a kernel thread in `stat`'s ninth field (`PF_KTHREAD`, include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;
/// The flag of a process that is exiting, from before its descriptors are closed until it is reaped (`PF_EXITING`).
const EXITING: u64 = 0x4;

/// What one line of `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Who it is; started in clock ticks after boot.
    pub(crate) process: ProcessInfo,
    /// Its state as one letter.
    pub(crate) state: char,
    /// Whether it is exiting or has exited.
    pub(crate) exiting: bool,
    /// Whether the number is that of a thread that is not its process's first: such a thread tells no parent of its end
    /// (`copy_process` in kernel/fork.c, `exit_signal`).
    pub(crate) is_thread: bool,
    /// The processor time it has used, its own and the kernel's for it, in clock ticks.
    pub(crate) used: u64,
}

/// Reads `/proc/PID/stat`.
pub(crate) fn stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let pid = std::str::from_utf8(bytes.get(..open)?).ok()?.trim().parse().ok()?;
    let mut fields = fields(bytes)?;
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(2)?.parse().ok()?;
    let own: u64 = fields.nth(4)?.parse().ok()?;
    let kernels: u64 = fields.next()?.parse().ok()?;
    let started = fields.nth(6)?.parse().ok()?;
    let (kernel_thread, exiting) = (flags & KERNEL_THREAD != 0, flags & EXITING != 0);
    let stopped = matches!(state, 'T' | 't');
    let process = ProcessInfo { pid, parent, group, session, started, kernel_thread, stopped };
    // The 38th field, after the 22nd.
    let is_thread = fields.nth(15) == Some("-1");
    let used = own.saturating_add(kernels);
    Some(Stat { process, state, exiting, is_thread, used })
}

/// The fields of `/proc/PID/stat` after the name; the first of them is the third of the line.
pub(crate) fn fields(bytes: &[u8]) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    Some(std::str::from_utf8(bytes.get(close + 1..)?).ok()?.split_ascii_whitespace())
}

/// The name in `/proc/PID/stat`: of the program, or what the process made of it.
pub(crate) fn name(bytes: &[u8]) -> Option<&[u8]> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    bytes.get(open + 1..close)
}

/// Where the stack begins, by `/proc/PID/stat`: the 28th field. Zero in the middle of an exec.
pub(crate) fn stack(bytes: &[u8]) -> Option<u64> {
    fields(bytes)?.nth(25)?.parse().ok()
}

/// The process that a thread's number belongs to, of `/proc/PID/status`.
pub(crate) fn thread_group(text: &str) -> Option<i32> {
    field(text, "Tgid:")?.trim().parse().ok()
}

/// By how many nanoseconds `/proc/self/timens_offsets` sets the clock `boottime` further ahead than `monotonic`.
pub(crate) fn clock_offset(text: &str) -> i64 {
    let nanos = |clock: &str| -> Option<i64> {
        let mut numbers = field(text, clock)?.split_ascii_whitespace().map(str::parse::<i64>);
        let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
    };
    nanos("boottime").zip(nanos("monotonic")).and_then(|(boot, awake)| boot.checked_sub(awake)).unwrap_or(0)
}

/// The real user of `/proc/PID/status`.
pub(crate) fn user(text: &str) -> Option<u32> {
    field(text, "Uid:")?.split_ascii_whitespace().next()?.parse().ok()
}

/// The number that was given last, from `/proc/loadavg`.
pub(crate) fn newest_pid(text: &str) -> Option<i32> {
    text.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// The youngest last. Numbers are given in order, and from the smallest again after the greatest (`alloc_pid` in
/// `kernel/pid.c`): those above the one given last are from before the turn. Where that one is unknown, the order of
/// the numbers has to do.
pub(crate) fn in_order_of_birth(mut pids: Vec<i32>, newest: Option<i32>) -> Vec<i32> {
    pids.sort_unstable();
    if let Some(newest) = newest {
        let turn = pids.partition_point(|&pid| pid <= newest);
        pids.rotate_left(turn);
    }
    pids
}

/// The pid in the innermost namespace, from `/proc/PID/status`; `None` if it lives in only one.
pub(crate) fn inner_pid(text: &str) -> Option<i32> {
    let pids = field(text, "NSpid:")?.split_ascii_whitespace().skip(1);
    pids.last()?.parse().ok()
}

/// The ignored and the caught signals of `/proc/PID/status`: a bit each, from signal 1 on.
pub(crate) fn signal_dispositions(text: &str) -> Option<(u64, u64)> {
    let mask = |name| u64::from_str_radix(field(text, name)?.trim(), 16).ok();
    Some((mask("SigIgn:")?, mask("SigCgt:")?))
}

fn field<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether an environment block (`NAME=value`, NUL after each) holds exactly this variable.
pub(crate) fn environment_holds(block: &[u8], variable: &str) -> bool {
    block.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "4242 (a) b (c) S 17 4242 4200 0 -1 4194560 96 0 0 0 3 1 0 0 20 0 1 0 987654 2703360 229 1 1";

    #[test]
    fn the_name_may_hold_spaces_and_parentheses() {
        let read = stat(LINE.as_bytes()).unwrap();
        let process = ProcessInfo {
            pid: 4242,
            parent: 17,
            group: 4242,
            session: 4200,
            started: 987_654,
            kernel_thread: false,
            stopped: false,
        };
        assert_eq!(read, Stat { process, state: 'S', exiting: false, is_thread: false, used: 4 });
        assert_eq!(name(LINE.as_bytes()), Some(&b"a) b (c"[..]));
        assert_eq!(name(b")("), None);
    }

    #[test]
    fn the_stacks_address_is_the_28th_field() {
        let line = format!("{LINE} 5 7028");
        assert_eq!(stack(line.as_bytes()), Some(7028));
        assert_eq!(stack(LINE.as_bytes()), None);
        assert_ne!(stack(&std::fs::read("/proc/self/stat").unwrap()), Some(0));
    }

    #[test]
    fn kernel_threads_show_by_their_flag() {
        let line = "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0";
        assert!(stat(line.as_bytes()).unwrap().process.kernel_thread);
    }

    #[test]
    fn a_thread_is_told_from_its_process() {
        let rest = "0 0 0 0 0 0 0 0 0 0 0";
        let line = |signal: &str| format!("{LINE} {rest} {signal} 3 0 0");
        let is_thread = |text: &str| stat(text.as_bytes()).unwrap().is_thread;
        assert!(is_thread(&line("-1")) && !is_thread(&line("17")) && !is_thread(LINE));
        assert_eq!(thread_group("Name:\tx\nTgid:\t41\nPid:\t42\n"), Some(41));
        let me = std::fs::read_to_string(format!("/proc/{}/stat", std::process::id())).unwrap();
        assert!(!is_thread(&me));
        let task = format!("/proc/{}/stat", nix::unistd::gettid());
        let this = std::fs::read_to_string(task).unwrap();
        assert_eq!(is_thread(&this), nix::unistd::gettid() != nix::unistd::Pid::this());
    }

    #[test]
    fn the_offsets_of_a_time_namespace_are_told_apart() {
        assert_eq!(clock_offset("monotonic           5         1\nboottime            7         0\n"), 1_999_999_999);
        assert_eq!(clock_offset("monotonic           0         0\nboottime            0         0\n"), 0);
        assert_eq!(clock_offset("monotonic x"), 0);
    }

    #[test]
    fn user_and_inner_pid_are_read_from_status() {
        let text = "Name:\tx\nUid:\t1000\t0\t0\t0\nNSpid:\t300\t20\t1\n";
        assert_eq!((user(text), inner_pid(text)), (Some(1000), Some(1)));
        assert_eq!(inner_pid("NSpid:\t300\n"), None);
    }

    #[test]
    fn the_youngest_is_the_one_that_was_numbered_last() {
        assert_eq!(newest_pid("1.03 1.97 4.19 1/79 15897\n"), Some(15897));
        assert_eq!(newest_pid("1.03 1.97 4.19"), None);
        assert_eq!(in_order_of_birth(vec![300, 1, 32_000, 31_000], Some(310)), [31_000, 32_000, 1, 300]);
        assert_eq!(in_order_of_birth(vec![300, 1, 32_000], Some(32_000)), [1, 300, 32_000]);
        assert_eq!(in_order_of_birth(vec![300, 1], None), [1, 300]);
        let me = i32::try_from(std::process::id()).unwrap();
        let newest = newest_pid(&std::fs::read_to_string("/proc/loadavg").unwrap()).unwrap();
        assert!(newest > 0 && in_order_of_birth(vec![me, newest], Some(newest)).last() == Some(&newest));
    }

    #[test]
    fn an_environment_entry_must_match_whole() {
        let block = b"A=1\0DOGWATCH_RUN_ID=ab\0";
        assert!(environment_holds(block, "DOGWATCH_RUN_ID=ab"));
        assert!(!environment_holds(block, "DOGWATCH_RUN_ID=a"));
        assert!(!environment_holds(block, "OG"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
            let _any = (stat(&bytes), name(&bytes), stack(&bytes));
            let _cut = stat(&LINE.as_bytes()[..cut.min(LINE.len())]);
        }
    }
}
