//! `/proc/PID/stat` and its kin as values: parsers only, fed with bytes.
//!
//! Refuses to trust spaces before the last parenthesis: a command's name may hold anything (`proc_pid_stat(5)`).

/// The flag of a kernel thread in `stat`'s ninth field (`PF_KTHREAD`, include/linux/sched.h).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What one line of `/proc/PID/stat` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The process.
    pub(crate) pid: i32,
    /// Its state as one letter.
    pub(crate) state: char,
    /// Its parent.
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// Its session.
    pub(crate) session: i32,
    /// Whether it is a thread of the kernel.
    pub(crate) kernel_thread: bool,
    /// When it started, in clock ticks after boot.
    pub(crate) started: u64,
    /// The processor time it has used, its own and the kernel's for it, in clock ticks.
    pub(crate) used: u64,
}

/// Reads `/proc/PID/stat`.
pub(crate) fn stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    let pid = std::str::from_utf8(bytes.get(..open)?).ok()?.trim().parse().ok()?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    // The first field after the name is the third of the line.
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let flags: u64 = fields.nth(2)?.parse().ok()?;
    let own: u64 = fields.nth(4)?.parse().ok()?;
    let kernels: u64 = fields.next()?.parse().ok()?;
    let started = fields.nth(6)?.parse().ok()?;
    let kernel_thread = flags & KERNEL_THREAD != 0;
    Some(Stat { pid, state, parent, group, session, kernel_thread, started, used: own.saturating_add(kernels) })
}

/// The name in `/proc/PID/stat`: of the program, or what the process made of it.
pub(crate) fn name(bytes: &[u8]) -> Option<&[u8]> {
    let open = bytes.iter().position(|&byte| byte == b'(')?;
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    bytes.get(open + 1..close)
}

/// Where the stack begins, by `/proc/PID/stat`: the 28th field. Zero in the middle of an exec.
pub(crate) fn stack(bytes: &[u8]) -> Option<u64> {
    let close = bytes.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(25)?.parse().ok()
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

/// The pid in the innermost namespace, from `/proc/PID/status`; nothing where it lives in only one.
pub(crate) fn inner_pid(text: &str) -> Option<i32> {
    let pids = field(text, "NSpid:")?.split_ascii_whitespace().skip(1);
    pids.last()?.parse().ok()
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
        let expected = Stat {
            pid: 4242,
            state: 'S',
            parent: 17,
            group: 4242,
            session: 4200,
            kernel_thread: false,
            started: 987_654,
            used: 4,
        };
        assert_eq!(read, expected);
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
        assert!(stat(line.as_bytes()).unwrap().kernel_thread);
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
