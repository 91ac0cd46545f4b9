//! Parses `kinfo_proc`, which sysctl returns for every user's processes. Called by `macos::process`.
//!
//! The offsets are those of a 64-bit process (xnu `bsd/sys/sysctl.h`, `bsd/sys/proc.h`; the same in `KinfoProc` of Go's
//! `x/sys/unix/ztypes_darwin_arm64.go`, which is generated from the headers).

use crate::record::evidence::ProcessState;
use crate::sys::process::ProcessInfo;

/// `P_SYSTEM`.
const P_SYSTEM: i32 = 0x200;
/// `P_WEXIT`.
const P_EXITING: i32 = 0x2000;
/// The values of `p_stat`.
const SIDL: u32 = 1;
const SRUN: u32 = 2;
const SSLEEP: u32 = 3;
const SSTOP: u32 = 4;
const SZOMB: u32 = 5;

/// The length of the structure; of any other length its fields are not where they are expected.
pub(crate) const LENGTH: usize = 648;
/// Room for a name in libproc's structure, with a final NUL (`2 * MAXCOMLEN`); the one of `kinfo_proc` is half as long.
pub(crate) const NAME: usize = 32;

/// What the kernel says of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// Who it is. Its session is not told here, and its group stands in the place of that.
    pub(crate) process: ProcessInfo,
    /// Its real user.
    pub(crate) user: u32,
    /// `p_stat`.
    pub(crate) status: u32,
    pub(crate) stage: Stage,
    /// Its name, filled up with NULs.
    pub(crate) name: [u8; NAME],
}

/// How far a process is from being gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Living,
    Stopped,
    /// It has begun to exit: kill(2) does not find it, but threads of it may still run.
    Exiting,
    /// Nothing of it runs any more.
    Zombie,
}

impl Info {
    /// From sysctl's structure; `None` where that has another length.
    pub(crate) fn from_kinfo(block: &[u8]) -> Option<Self> {
        if block.len() != LENGTH {
            return None;
        }
        let number = |at: usize| block.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes);
        let seconds = i64::from_ne_bytes(*block.first_chunk()?);
        let (flags, status) = (number(32)?, u32::from(*block.get(36)?));
        let stage = stage(status, flags & P_EXITING != 0);
        let group = number(564)?;
        let mut name = [0; NAME];
        name[..17].copy_from_slice(block.get(243..260)?);
        let process = ProcessInfo {
            pid: number(40)?,
            parent: number(560)?,
            group,
            session: group,
            started: micros(u64::try_from(seconds).ok()?, u64::try_from(number(8)?).ok()?),
            kernel_thread: flags & P_SYSTEM != 0,
            stopped: stage == Stage::Stopped,
        };
        Some(Self { process, user: number(392)?.cast_unsigned(), status, stage, name })
    }

    /// Its name without the NULs.
    pub(crate) fn name(&self) -> &[u8] {
        self.name.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// What it does; `running` is how many of its threads run, `None` where the kernel does not say.
    ///
    /// The kernel keeps a process that waits at `SRUN` as well, since it is threads that sleep. So without their number it is
    /// unknown whether the process runs.
    pub(crate) fn state(&self, running: Option<i32>) -> ProcessState {
        match (self.status, running) {
            (SIDL, _) => ProcessState::Idle,
            (SRUN | SSLEEP, Some(1..)) => ProcessState::Running,
            (SRUN | SSLEEP, Some(_)) => ProcessState::Sleeping,
            (SSTOP, _) => ProcessState::Stopped,
            (SZOMB, _) => ProcessState::Zombie,
            _ => ProcessState::Unknown,
        }
    }
}

/// How far a process with this `p_stat` is; `exiting` is its flag.
pub(crate) fn stage(status: u32, exiting: bool) -> Stage {
    if status == SZOMB {
        Stage::Zombie
    } else if exiting {
        Stage::Exiting
    } else if status == SSTOP {
        Stage::Stopped
    } else {
        Stage::Living
    }
}

/// A time of the kernel's in microseconds.
pub(crate) fn micros(seconds: u64, micros: u64) -> u64 {
    seconds.saturating_mul(1_000_000).saturating_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut block = vec![0; LENGTH];
        for (at, bytes) in fields {
            block[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        block
    }

    #[test]
    fn the_structure_is_read_at_its_offsets_and_only_in_its_length() {
        let block = block(&[
            (0, &1_700_000_000_i64.to_ne_bytes()),
            (8, &123_456_i32.to_ne_bytes()),
            (32, &0x4004_i32.to_ne_bytes()),
            (36, &[2]),
            (40, &4242_i32.to_ne_bytes()),
            (243, b"launchd"),
            (392, &501_u32.to_ne_bytes()),
            (560, &17_i32.to_ne_bytes()),
            (564, &4200_i32.to_ne_bytes()),
        ]);
        let found = Info::from_kinfo(&block).unwrap();
        let process = found.process;
        assert_eq!((process.pid, process.parent, process.group, found.user), (4242, 17, 4200, 501));
        let started = 1_700_000_000_123_456;
        assert_eq!((process.started, process.kernel_thread, found.stage), (started, false, Stage::Living));
        assert_eq!(found.name(), b"launchd");
        assert_eq!(Info::from_kinfo(&block[1..]), None);
        assert_eq!(Info::from_kinfo(&[]), None);
    }

    #[test]
    fn a_name_of_the_greatest_length_ends_at_its_field() {
        let found = Info::from_kinfo(&block(&[(243, b"sixteen-letters-"), (260, b"more")])).unwrap();
        assert_eq!(found.name(), b"sixteen-letters-");
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
    fn what_another_users_process_does_is_unknown_unless_its_status_says_it() {
        let state = |status: u8, running| Info::from_kinfo(&block(&[(36, &[status])])).unwrap().state(running);
        assert_eq!(state(2, Some(0)), ProcessState::Sleeping);
        assert_eq!(state(2, Some(1)), ProcessState::Running);
        assert_eq!(state(2, None), ProcessState::Unknown);
        assert_eq!(state(4, None), ProcessState::Stopped);
        assert_eq!(state(5, None), ProcessState::Zombie);
        assert_eq!(state(1, None), ProcessState::Idle);
    }

    #[test]
    fn a_time_that_no_kernel_would_give_does_not_overflow() {
        assert_eq!(micros(u64::MAX, u64::MAX), u64::MAX);
    }
}
