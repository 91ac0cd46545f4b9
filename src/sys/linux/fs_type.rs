//! Which filesystem a directory lies on, and whether its events tell all.
//!
//! Adding an inotify watch succeeds on network and FUSE filesystems too, and what the far side does raises nothing
//! (inotify(7), Limitations). So the type decides, and an unknown type counts as remote.

use crate::sys::fs::FsType;
use rustix::fs::{AtFlags, StatxFlags, statx};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Filesystems by their `f_type` of statfs(2): whether every change on them raises an event here, and a name for people. Of
/// the others only the commonest are here, so that `-v` can say more than a number.
const KNOWN: [(u32, bool, &str); 29] = [
    (0x0000_EF53, true, "ext4"),
    (0x5846_5342, true, "xfs"),
    (0x9123_683E, true, "btrfs"),
    (0x0102_1994, true, "tmpfs"),
    (0x8584_58F6, true, "ramfs"),
    (0x2FC1_2FC1, true, "zfs"),
    (0xF2F5_2010, true, "f2fs"),
    (0xCA45_1A4E, true, "bcachefs"),
    (0x794C_7630, true, "overlayfs"),
    (0x0000_F15F, true, "ecryptfs"),
    (0x3153_464A, true, "jfs"),
    (0x5265_4973, true, "reiserfs"),
    (0x5346_544E, true, "ntfs"),
    (0x7366_746E, true, "ntfs3"),
    (0x2011_BAB0, true, "exfat"),
    (0x0000_4D44, true, "fat"),
    (0x4244_5355, true, "ubifs"),
    (0x4CF5_AD4E, true, "nilfs"),
    (0x0000_6969, false, "nfs"),
    (0x0000_517B, false, "smb"),
    (0xFE53_4D42, false, "smb2"),
    (0xFF53_4D42, false, "cifs"),
    (0x6573_5546, false, "fuse"),
    (0x0102_1997, false, "9p"),
    (0x00C3_6400, false, "ceph"),
    (0x5346_414F, false, "afs"),
    (0x0BD0_0BD0, false, "lustre"),
    (0x4750_4653, false, "gpfs"),
    (0x786F_4256, false, "vboxsf"),
];

/// Filesystems for which this kernel answers alone, by their names in `/proc/self/mountinfo`: a call on them never waits
/// for another machine or process.
const PROMPT: [&str; 45] = [
    "bcachefs", "binfmt_misc", "bpf", "btrfs", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
    "ecryptfs", "efivarfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "fusectl", "hugetlbfs", "iso9660", "jfs",
    "mqueue", "msdos", "nilfs2", "nsfs", "ntfs", "ntfs3", "overlay", "proc", "pstore", "ramfs", "reiserfs", "rootfs",
    "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs", "ubifs", "udf", "vfat", "xfs", "zfs",
];

/// Looks at the filesystem of a directory.
///
/// # Errors
/// Where the directory is not there or its filesystem does not answer.
pub(crate) fn look(path: &Path) -> io::Result<FsType> {
    let found = rustix::fs::statfs(path)?;
    // Signed on some architectures, and sign-extended there; the numbers have 32 bits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::allow_attributes_without_reason)]
    let number = found.f_type as u32;
    Ok(by_number(number))
}

/// Whether two different names are never one entry. A folder that ignores case (`casefold` of ext4) is the exception, and the
/// list holds each mount point as its name was given to mount(2).
pub(crate) const NAMES_ARE_EXACT: bool = true;

/// Where filesystems are mounted that another machine or process serves (`proc_pid_mountinfo(5)`). No server is asked.
pub(crate) fn remote_mount_points() -> Vec<PathBuf> {
    let mounts = crate::sys::linux::procfs_read::whole("/proc/self/mountinfo").unwrap_or_default();
    mounts.split(|&byte| byte == b'\n').filter_map(remote_mount_point).collect()
}

pub(crate) fn remote_mount_point(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|&byte| byte == b' ');
    let point = fields.nth(4)?;
    // Optional fields follow the options, up to a lone dash; the type comes after it.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let prompt = std::str::from_utf8(kind).is_ok_and(|kind| PROMPT.contains(&kind));
    (!prompt).then(|| unescaped(point))
}

/// A path with its `\040` and the like read as the bytes they stand for.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut parts = text.split(|&byte| byte == b'\\');
    let mut bytes = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let octal = part
            .split_at_checked(3)
            .and_then(|(digits, rest)| Some((u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?, rest)));
        let (first, rest) = octal.unwrap_or((b'\\', part));
        bytes.push(first);
        bytes.extend(rest);
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Has the filesystem of an open file asked for its size and times, whatever this kernel remembers of them
/// (`AT_STATX_FORCE_SYNC`, statx(2)): what fstat(2) says next is true.
pub(crate) fn refresh(file: &File) {
    // A filesystem that does not answer leaves what was known.
    let _asked = statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
}

/// What a filesystem's type says, as statfs(2) numbers them.
fn by_number(number: u32) -> FsType {
    match KNOWN.into_iter().find(|(known, ..)| *known == number) {
        Some((_, local, name)) => FsType { local, name: name.to_owned() },
        None => FsType { local: false, name: format!("filesystem type {number:#x}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_unknown_filesystems_are_remote() {
        assert!(!by_number(0x6969).local && !by_number(0x6573_5546).local);
        assert_eq!(by_number(0x1234), FsType { local: false, name: "filesystem type 0x1234".into() });
        assert!(by_number(0xEF53).local && by_number(0x0102_1994).local);
    }

    #[test]
    fn no_number_is_there_twice() {
        let mut numbers: Vec<u32> = KNOWN.iter().map(|(number, ..)| *number).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
    }

    #[test]
    fn a_mount_is_far_unless_this_kernel_answers_for_it() {
        let remote = |line: &str| remote_mount_point(line.as_bytes());
        let sshfs = r"36 35 0:49 / /mnt/a\040b rw,nosuid shared:1 master:2 - fuse.sshfs x:/srv rw,user_id=0";
        assert_eq!(remote(sshfs), Some(PathBuf::from("/mnt/a b")));
        assert_eq!(remote("36 35 8:1 / /srv rw - ext4 /dev/sda1 rw"), None);
        assert_eq!(remote("36 35 0:5 / /n rw - nfs4 server:/ rw"), Some(PathBuf::from("/n")));
        for broken in ["", "36 35", "36 35 0:5 / /n rw", "36 35 0:5 / /n rw -"] {
            assert_eq!(remote(broken), None, "{broken}");
        }
    }

    #[test]
    fn procfs_is_not_local_in_this_sense() {
        assert!(!look(Path::new("/proc")).unwrap().local);
    }
}
