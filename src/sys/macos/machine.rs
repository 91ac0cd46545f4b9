//! This boot of this kernel: its clocks, its id, and what it does not do for a wrapper's children.

pub(crate) use crate::sys::absent::{
    adopt_orphans, clock_offset, die_with_parent, pid_namespace, signal_dispositions, time_namespace,
};
use crate::sys::macos::ffi;
use nix::fcntl::{FcntlArg, fcntl};
use nix::time::ClockId;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

/// The size whose multiples are whole blocks on APFS and HFS+. Holes begin and end at blocks (fcntl(2), `F_PUNCHHOLE`).
const BLOCK: u64 = 4096;

/// The unit of `st_blocks` (stat(2)).
const STAT_BLOCK: u64 = 512;

/// The monotonic clock that stops in sleep (`clock_gettime(3)`: `CLOCK_UPTIME_RAW` does not increment then).
pub(crate) const AWAKE: ClockId = ClockId::from_raw(libc::CLOCK_UPTIME_RAW);

/// The monotonic clock that goes on in sleep.
///
/// The raw one: it and [`AWAKE`] count the same ticks, so that they differ by the sleep and by nothing else.
/// `CLOCK_MONOTONIC` is made from the wall clock (Libc `gen/clock_gettime.c`), which is speeded up and slowed down to
/// keep the time: after weeks that would look like sleep.
pub(crate) const WITH_SLEEP: ClockId = ClockId::from_raw(libc::CLOCK_MONOTONIC_RAW);

/// The id that the kernel drew at this boot (`kern.bootsessionuuid`, xnu `bsd/kern/kern_sysctl.c`).
pub(crate) fn boot_id() -> Option<String> {
    let mut text = [0; 64];
    ffi::sysctl_by_name(c"kern.bootsessionuuid", &mut text).ok()?;
    CStr::from_bytes_until_nul(&text).ok()?.to_str().ok().map(str::to_owned)
}

/// Gives the disk space of a file's first `length` bytes back, as far as they are whole blocks; its size stays.
///
/// # Errors
/// `ENOTTY` or `ENOTSUP` where the filesystem cannot.
pub(crate) fn punch(file: &File, length: u64) -> io::Result<()> {
    let whole = length / BLOCK * BLOCK;
    if whole == 0 {
        return Ok(());
    }
    Ok(ffi::punch_hole(file, i64::try_from(whole).map_err(io::Error::other)?)?)
}

/// Reserves disk space for a file's first `length` bytes, without changing what it reads as beyond its end. It is kept
/// for as long as the file stays open.
///
/// # Errors
/// `ENOSPC` where there is none, `ENOTSUP` where the filesystem cannot.
pub(crate) fn reserve(file: &File, length: u64) -> io::Result<()> {
    // What the call adds, it adds behind the space that the file has (fcntl(2), F_PEOFPOSMODE).
    let missing = length.saturating_sub(file.metadata()?.blocks().saturating_mul(STAT_BLOCK));
    if missing == 0 {
        return Ok(());
    }
    let mut wish = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: i64::try_from(missing).map_err(io::Error::other)?,
        fst_bytesalloc: 0,
    };
    fcntl(file, FcntlArg::F_PREALLOCATE(&mut wish))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn the_boot_has_one_id() {
        let id = boot_id().unwrap();
        assert_eq!(id.len(), 36, "{id}");
        assert_eq!(boot_id(), Some(id));
    }

    #[test]
    fn a_hole_gives_whole_blocks_back_and_room_leaves_the_size_alone() {
        let file = tempfile::tempfile().unwrap();
        reserve(&file, 100_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        file.write_all_at(&vec![b'x'; 1 << 20], 0).unwrap();
        file.sync_all().unwrap();
        let before = file.metadata().unwrap().blocks();
        punch(&file, (1 << 19) + 1).unwrap();
        let after = file.metadata().unwrap();
        assert_eq!(after.len(), 1 << 20);
        assert!(after.blocks() < before, "{} {before}", after.blocks());
        let mut byte = [0; 1];
        for (at, expected) in [(0, 0), ((1 << 19) - 1, 0), (1 << 19, b'x')] {
            file.read_exact_at(&mut byte, at).unwrap();
            assert_eq!(byte[0], expected, "{at}");
        }
        punch(&file, BLOCK - 1).unwrap();
    }
}
