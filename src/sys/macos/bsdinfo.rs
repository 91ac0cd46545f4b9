//! What the kernel says of a process as values: parsers only, fed with its structures.
//!
//! Two sources say the same: libproc's `proc_bsdinfo` of the caller's own processes, and sysctl's `kinfo_proc` of
//! everybody's. Refuses a `kinfo_proc` of any other length than the one whose layout is written down here.

use crate::record::evidence::ProcessState;

/// `PROC_FLAG_SYSTEM` (xnu `bsd/sys/proc_info.h`).
const FLAG_SYSTEM: u32 = 1;
/// `PROC_FLAG_INEXIT` (same place).
const FLAG_EXITING: u32 = 4;
/// `P_SYSTEM` (xnu `bsd/sys/proc.h`).
const P_SYSTEM: i32 = 0x200;
/// `P_WEXIT` (same place).
const P_EXITING: i32 = 0x2000;
/// The length of a `kinfo_proc` of a 64-bit process (xnu `bsd/sys/sysctl.h`; `SizeofKinfoProc` in Go's
/// `x/sys/unix/ztypes_darwin_arm64.go`, made from the headers, as are the places of the fields below).
pub(crate) const KINFO: usize = 648;

/// What is known of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// The process.
    pub(crate) pid: i32,
    /// Its parent.
    pub(crate) parent: i32,
    /// Its process group.
    pub(crate) group: i32,
    /// Its real user.
    pub(crate) user: u32,
    /// When it started, in microseconds since 1970.
    pub(crate) started: u64,
    /// Whether it belongs to the kernel.
    pub(crate) system: bool,
    /// How far it is.
    pub(crate) stage: Stage,
}

/// How far a process is from being gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It lives.
    Living,
    /// It lives, and is stopped.
    Stopped,
    /// It has begun to exit: no call finds it, but threads of it may still be on their way out.
    Exiting,
    /// Nothing of it runs any more.
    Zombie,
}

impl Info {
    /// From libproc's structure.
    pub(crate) fn from_libproc(found: &libc::proc_bsdinfo) -> Self {
        Self {
            pid: found.pbi_pid.cast_signed(),
            parent: found.pbi_ppid.cast_signed(),
            group: found.pbi_pgid.cast_signed(),
            user: found.pbi_ruid,
            started: micros(found.pbi_start_tvsec, found.pbi_start_tvusec),
            system: found.pbi_flags & FLAG_SYSTEM != 0,
            stage: stage(found.pbi_status, found.pbi_flags & FLAG_EXITING != 0),
        }
    }

    /// From sysctl's structure.
    pub(crate) fn from_kinfo(block: &[u8]) -> Option<Self> {
        if block.len() != KINFO {
            return None;
        }
        let number = |at: usize| block.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
        let seconds = i64::from_ne_bytes(*block.first_chunk()?);
        let flags = number(32)?;
        Some(Self {
            pid: number(40)?,
            parent: number(560)?,
            group: number(564)?,
            user: number(392)?.cast_unsigned(),
            started: micros(u64::try_from(seconds).ok()?, u64::try_from(number(8)?).ok()?),
            system: flags & P_SYSTEM != 0,
            stage: stage(u32::from(*block.get(36)?), flags & P_EXITING != 0),
        })
    }
}

fn stage(status: u32, exiting: bool) -> Stage {
    if status == libc::SZOMB {
        Stage::Zombie
    } else if exiting {
        Stage::Exiting
    } else if status == libc::SSTOP {
        Stage::Stopped
    } else {
        Stage::Living
    }
}

fn micros(seconds: u64, micros: u64) -> u64 {
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

/// Whether a block of `KERN_PROCARGS2` holds exactly this variable: the count of arguments, the program's path, NULs up
/// to a word's end, the arguments, the environment (xnu `bsd/kern/kern_sysctl.c`, `sysctl_procargsx`). An argument that
/// looks like the variable does not count.
pub(crate) fn environment_holds(block: &[u8], variable: &str) -> bool {
    let Some((count, strings)) = strings(block) else { return false };
    strings.split(|&byte| byte == 0).skip(count).any(|entry| entry == variable.as_bytes())
}

/// The arguments in the same block, a NUL after each.
pub(crate) fn arguments(block: &[u8]) -> &[u8] {
    let Some((count, strings)) = strings(block) else { return &[] };
    let mut ends = strings.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at);
    let end = count.checked_sub(1).map_or(Some(0), |last| ends.nth(last));
    &strings[..end.unwrap_or(strings.len())]
}

/// The count of arguments, and what stands after the program's path and its padding.
fn strings(block: &[u8]) -> Option<(usize, &[u8])> {
    let (count, strings) = block.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let after_path = &strings[strings.iter().position(|&byte| byte == 0)?..];
    let padding = after_path.iter().take_while(|&&byte| byte == 0).count();
    Some((count, &after_path[padding..]))
}

/// The word for a process's status (xnu `bsd/sys/proc.h`). The kernel keeps one that waits at `SRUN` as well, since it
/// is threads that sleep: whether it runs is told by how many of them do.
pub(crate) fn state(status: u32, running: i32) -> ProcessState {
    match status {
        libc::SIDL => ProcessState::Idle,
        libc::SRUN | libc::SSLEEP if running > 0 => ProcessState::Running,
        libc::SRUN | libc::SSLEEP => ProcessState::Sleeping,
        libc::SSTOP => ProcessState::Stopped,
        libc::SZOMB => ProcessState::Zombie,
        _ => ProcessState::Unknown,
    }
}

/// The name in libproc's structure: the long one where there is one.
pub(crate) fn name(found: &libc::proc_bsdinfo) -> Vec<u8> {
    let text = |name: &[libc::c_char]| -> Vec<u8> {
        name.iter().take_while(|&&one| one != 0).map(|one| one.to_ne_bytes()[0]).collect()
    };
    let long = text(&found.pbi_name);
    if long.is_empty() { text(&found.pbi_comm) } else { long }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut block = vec![0; KINFO];
        for (at, bytes) in fields {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block
    }

    #[test]
    fn sysctls_structure_is_read_at_its_places_and_only_in_its_length() {
        let block = block(&[
            (0, &1_700_000_000_i64.to_ne_bytes()),
            (8, &123_456_i32.to_ne_bytes()),
            (32, &0x4004_i32.to_ne_bytes()),
            (36, &[2]),
            (40, &4242_i32.to_ne_bytes()),
            (392, &501_u32.to_ne_bytes()),
            (560, &17_i32.to_ne_bytes()),
            (564, &4200_i32.to_ne_bytes()),
        ]);
        let expected = Info {
            pid: 4242,
            parent: 17,
            group: 4200,
            user: 501,
            started: 1_700_000_000_123_456,
            system: false,
            stage: Stage::Living,
        };
        assert_eq!(Info::from_kinfo(&block), Some(expected));
        assert_eq!(Info::from_kinfo(&block[1..]), None);
        assert_eq!(Info::from_kinfo(&[]), None);
    }

    #[test]
    fn the_exiting_and_the_zombies_are_told_apart() {
        let stage_of = |flags: i32, status: u8| {
            Info::from_kinfo(&block(&[(32, &flags.to_ne_bytes()), (36, &[status])])).map(|info| info.stage)
        };
        assert_eq!(stage_of(0, 2), Some(Stage::Living));
        assert_eq!(stage_of(0, 4), Some(Stage::Stopped));
        assert_eq!(stage_of(0x2000, 2), Some(Stage::Exiting));
        assert_eq!(stage_of(0x2000, 5), Some(Stage::Zombie));
    }

    #[test]
    fn only_the_environment_counts_and_an_entry_must_match_whole() {
        let mut block = 2_i32.to_ne_bytes().to_vec();
        block.extend(b"/bin/x\0\0\0x\0DOGWATCH_RUN_ID=no\0A=1\0DOGWATCH_RUN_ID=ab\0");
        assert!(environment_holds(&block, "DOGWATCH_RUN_ID=ab"));
        assert!(environment_holds(&block, "A=1"));
        for absent in ["DOGWATCH_RUN_ID=no", "DOGWATCH_RUN_ID=a", "x", "/bin/x"] {
            assert!(!environment_holds(&block, absent), "{absent}");
        }
    }

    #[test]
    fn the_arguments_end_where_the_environment_begins() {
        for (count, expected) in [(0_i32, ""), (1, "x"), (2, "x\0-y"), (9, "x\0-y\0A=1\0")] {
            let block = [&count.to_ne_bytes()[..], b"/bin/x\0\0\0x\0-y\0A=1\0"].concat();
            assert_eq!(arguments(&block), expected.as_bytes(), "{count}");
        }
    }

    #[test]
    fn a_state_has_the_same_word_as_elsewhere() {
        assert_eq!(state(libc::SRUN, 0), ProcessState::Sleeping);
        assert_eq!(state(libc::SRUN, 1), ProcessState::Running);
        assert_eq!(state(libc::SSTOP, 1), ProcessState::Stopped);
        assert_eq!(state(libc::SZOMB, 0), ProcessState::Zombie);
    }

    #[test]
    fn no_cut_block_makes_parsing_panic() {
        let mut block = i32::MAX.to_ne_bytes().to_vec();
        block.extend(b"/bin/x\0\0A=1\0");
        for length in 0..block.len() {
            assert!(!environment_holds(&block[..length], "A=1"));
            let _any = arguments(&block[..length]);
        }
    }
}
