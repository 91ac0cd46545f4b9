//! How much a process has done so far, by procfs, as a number of which only a change says something.
//!
//! Counters that also grow while a process only waits are not used.

use crate::sys::linux::procfs;
use crate::sys::linux::procfs_read::{record, text};

/// The sum of its ticks of CPU time, with those of the children that it has reaped, and the bytes that it has moved by read(2),
/// write(2) and their kin, whatever they came from or went to: neither ever becomes less. `None` if it is gone or does not
/// tell.
pub(crate) fn of(pid: i32) -> Option<u64> {
    let stat = record(format!("/proc/{pid}/stat")).ok()?;
    // The bytes of another user's process cannot be read (proc_pid_io(5)), its CPU time can.
    let io = text(format!("/proc/{pid}/io")).unwrap_or_default();
    Some(ticks(&stat)?.saturating_add(bytes(&io)))
}

/// The fields 14 to 17 of `/proc/PID/stat` (`proc_pid_stat(5)`): user and system time, its own and its children's.
fn ticks(stat: &[u8]) -> Option<u64> {
    let mut fields = procfs::fields(stat)?.skip(11);
    (0..4).try_fold(0_u64, |sum, _| Some(sum.saturating_add(fields.next()?.parse().ok()?)))
}

fn bytes(io: &str) -> u64 {
    let counts = io.lines().filter_map(|line| line.strip_prefix("rchar: ").or(line.strip_prefix("wchar: ")));
    counts.filter_map(|count| count.trim().parse::<u64>().ok()).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &str = "4242 (a) b (c) S 17 4242 4200 0 -1 4194560 96 0 0 0 3 1 20 10 20 0 1 0 987654 2703360 229 1 1";

    #[test]
    fn times_and_bytes_are_summed() {
        assert_eq!(ticks(LINE.as_bytes()), Some(34));
        assert_eq!(bytes("rchar: 10\nwchar: 5\nsyscr: 7\nsyscw: 1\nread_bytes: 4096\n"), 15);
        assert_eq!((ticks(b"1 (x) S 1"), bytes("")), (None, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(stat in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
            let _any = ticks(&stat);
            let _cut = ticks(&LINE.as_bytes()[..cut.min(LINE.len())]);
            let _io = bytes(&String::from_utf8_lossy(&stat));
        }
    }
}
