//! The mounts that lead to one path, asked of the kernel one by one.
//!
//! The list of all mounts says the same, but the kernel writes it anew for every reader: a twentieth of a short wait
//! with twenty mounts, and there are machines with a thousand. Refuses to ask a filesystem anything, and to guess: where the
//! kernel is too old, or the way is not plain, nothing is known.

use crate::sys::linux::fs_type;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use std::ffi::CStr;
use std::os::fd::AsFd;
use std::path::{Component, Path};

/// `STATX_MNT_ID_UNIQUE` (statx(2), Linux 6.8): the number by which a mount is known to statmount(2).
const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
/// `STATMOUNT_SB_BASIC` and `STATMOUNT_MNT_BASIC` (statmount(2)).
const WANTED: u64 = 0x1 | 0x2;
/// statmount(2). System calls since Linux 5.1 have the same numbers everywhere, behind each architecture's own offset
/// (`arch/*/tools/syscall*.tbl`); libc does not name this one everywhere.
const STATMOUNT: libc::c_long = libc::SYS_openat2 - 437 + 457;
/// How many mounts may be mounted on each other; more is not plain.
const DEPTH: usize = 32;

/// Whether it is certain that nobody but this kernel is asked on the way to a file, and by none of the calls that are made
/// about it later: every mount on which it stands is of a local filesystem.
pub(crate) fn leads_nowhere_far(path: &Path) -> bool {
    // Upwards, a path may leave a mount that it is not seen to have been on.
    let plain = !path.components().any(|part| part == Component::ParentDir);
    plain && all_local(path).unwrap_or(false)
}

fn all_local(path: &Path) -> Option<bool> {
    // RESOLVE_CACHED (openat2(2)): what would have to be asked for, of a server too, is an error. Over links a path may
    // pass through other mounts than those on which its end stands.
    let resolve = ResolveFlags::CACHED | ResolveFlags::NO_SYMLINKS;
    let file = openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve).ok()?;
    let top = number(CWD, c"/", AtFlags::empty())?;
    let mut mount = number(&file, c"", AtFlags::EMPTY_PATH)?;
    for _ in 0..DEPTH {
        let (kind, parent) = about(mount)?;
        if !fs_type::by_number(kind).local {
            return Some(false);
        }
        if mount == top {
            return Some(true);
        }
        mount = parent;
    }
    None
}

/// The number of the mount on which a file stands. Its filesystem is not asked (`AT_STATX_DONT_SYNC`).
fn number(folder: impl AsFd, path: &CStr, flags: AtFlags) -> Option<u64> {
    let known = statx(folder, path, flags | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT, UNIQUE).ok()?;
    (known.stx_mask & UNIQUE.bits() != 0).then_some(known.stx_mnt_id)
}

/// `struct mnt_id_req`, its first version (`include/uapi/linux/mount.h`).
#[repr(C)]
struct Request {
    size: u32,
    spare: u32,
    mount: u64,
    wanted: u64,
}

/// How many words the fixed part of `struct statmount` has (ibid.), whatever else becomes of it; and in which of them stand
/// what is told, the filesystem's type, and the mount below.
const WORDS: usize = 64;
const TOLD: usize = 1;
const KIND: usize = 3;
const PARENT: usize = 6;

/// What type of filesystem a mount is of, as statfs(2) numbers them, and the mount on which it is mounted; nothing where
/// the kernel does not say.
fn about(mount: u64) -> Option<(u32, u64)> {
    let request = Request { size: 24, spare: 0, mount, wanted: WANTED };
    let mut answer = [0_u64; WORDS];
    // SAFETY: both live through the call, and the request is the kernel's structure; it writes no more than the size that
    // is passed, and whatever bytes it writes are integers.
    #[expect(unsafe_code, reason = "no library has statmount(2)")]
    let status =
        unsafe { libc::syscall(STATMOUNT, std::ptr::from_ref(&request), answer.as_mut_ptr(), size_of_val(&answer), 0) };
    let told = status == 0 && answer[TOLD] & WANTED == WANTED;
    told.then(|| Some((u32::try_from(answer[KIND]).ok()?, answer[PARENT])))?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this kernel tells of single mounts.
    fn tells() -> bool {
        let told = number(CWD, c"/", AtFlags::empty()).and_then(about).is_some();
        if !told {
            eprintln!("left out: this kernel has no statmount(2)");
        }
        told
    }

    #[test]
    fn a_local_folder_is_certain_and_what_is_not_plain_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let local = fs_type::look(&root).is_ok_and(|found| found.local) && fs_type::far_mounts().is_empty();
        assert_eq!(leads_nowhere_far(&root), tells() && local);
        std::os::unix::fs::symlink(&root, root.join("link")).unwrap();
        for doubtful in [root.join("link"), root.join("none"), root.join(".."), "/proc".into(), "".into()] {
            assert!(!leads_nowhere_far(&doubtful), "{}", doubtful.display());
        }
    }

    #[test]
    fn a_mount_says_what_statfs_says_of_its_filesystem() {
        for path in [c"/", c"/proc", c"/dev", c"/sys"] {
            let Some(number) = number(CWD, path, AtFlags::empty()).filter(|_| tells()) else { continue };
            let (kind, _) = about(number).expect("a mount that is there");
            let found = rustix::fs::statfs(path).unwrap().f_type;
            assert_eq!(u64::from(kind), found.cast_unsigned() & 0xFFFF_FFFF, "{path:?}");
        }
        assert_eq!(about(1), None, "no mount has this number");
    }
}
