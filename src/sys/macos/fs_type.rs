//! Which filesystem a directory lies on, and whether its events tell all.
//!
//! kqueue accepts watches on network and user-space filesystems too, where changes by the other side may raise no event. So the
//! type decides, and an unknown type counts as remote. Called by `sys::fs`.

pub(crate) use crate::sys::absent::refresh;
use crate::sys::fs::FsType;
use crate::sys::macos::ffi;
use nix::mount::MntFlags;
use nix::sys::statfs::statfs;
use std::io;
use std::path::{Path, PathBuf};

/// Filesystems on which every change raises an event here: `f_fstypename` of statfs(2). `MNT_LOCAL` alone does not
/// do: a user-space filesystem's mount may claim it (macFUSE, option `local`), and so may a folder shared by a host.
const LOCAL: [&str; 7] = ["apfs", "hfs", "tmpfs", "exfat", "msdos", "ntfs", "udf"];

/// Looks at the filesystem of a directory.
///
/// # Errors
/// Where the directory is not there or its filesystem does not answer.
pub(crate) fn look(path: &Path) -> io::Result<FsType> {
    let found = statfs(path)?;
    Ok(by_name(found.filesystem_type_name(), found.flags().contains(MntFlags::MNT_LOCAL)))
}

/// Whether two different names are never one entry: APFS and HFS+ ignore case, as a rule, and Unicode normalization.
pub(crate) const NAMES_ARE_EXACT: bool = false;

/// Where filesystems are mounted that another machine or process serves. The kernel has the list; no server is asked.
pub(crate) fn remote_mount_points() -> Vec<PathBuf> {
    ffi::mounts().into_iter().filter(|(_, local)| !local).map(|(point, _)| point).collect()
}

fn by_name(name: &str, on_this_machine: bool) -> FsType {
    FsType { local: on_this_machine && LOCAL.contains(&name), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_and_unknown_filesystems_are_remote() {
        for name in ["nfs", "smbfs", "webdav", "macfuse", "devfs", ""] {
            assert!(!by_name(name, true).local, "{name}");
        }
        assert!(!by_name("hfs", false).local);
        assert_eq!(by_name("apfs", true), FsType { local: true, name: "apfs".into() });
    }

    #[test]
    fn the_root_is_local_and_devfs_is_not_in_this_sense() {
        assert!(look(Path::new("/")).unwrap().local);
        assert!(!look(Path::new("/dev")).unwrap().local);
        assert!(look(Path::new("/no/such/folder")).is_err());
    }
}
