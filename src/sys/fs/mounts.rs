//! Finds out whether a path crosses a remote mount, without a call on that mount. Called by `cli::deadline`.
//!
//! A dead server blocks every call on its mount, statfs(2) included, and a process with one thread in such a call cannot
//! exit. So the path is walked by name: each part is compared with the list of mounts before any call names it.

use crate::sys::env;
use crate::sys::platform::fs_type;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many links a path may lead through, as the kernel has it (`path_resolution(7)`).
const LINKS: usize = 40;

/// Whether the path leads to a filesystem that another machine or process answers for.
pub(crate) fn crosses_remote_mount(path: &Path) -> bool {
    let remote = fs_type::remote_mount_points();
    !remote.is_empty() && walk(&env::absolute(path), &remote, fs_type::NAMES_ARE_EXACT)
}

/// Walks `path` by name. `exact` says whether a name leads to an entry of exactly this name only.
fn walk(path: &Path, remote: &[PathBuf], exact: bool) -> bool {
    let is_remote = |at: &Path| remote.iter().any(|mount| may_be_same(mount, at, exact));
    let mut at = PathBuf::from("/");
    if is_remote(&at) {
        return true;
    }
    let mut ahead = components_rev(path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        if is_remote(&at) {
            return true;
        }
        let Ok(target) = fs::read_link(&at) else { continue };
        links += 1;
        if links > LINKS {
            return false;
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        ahead.extend(components_rev(&target));
    }
    false
}

/// Whether two absolute paths may lead to the same place.
fn may_be_same(one: &Path, other: &Path, exact: bool) -> bool {
    if exact {
        return one == other;
    }
    let (one, other) = (one.components(), other.components());
    let may_be_same =
        |(one, other): (Component<'_>, Component<'_>)| may_be_same_name(one.as_os_str(), other.as_os_str());
    one.clone().count() == other.clone().count() && one.zip(other).all(may_be_same)
}

/// Whether a filesystem that ignores case and Unicode normalization may take these names for one.
///
/// ASCII letters are compared without case. Of names with other characters, only what precedes the first of them is compared: how
/// they are composed and which have a case is the filesystem's own table. A letter before a combining mark is ASCII in one form
/// and part of another character in the other, so the shorter of the two beginnings decides. Two different names may be taken
/// for one; the caller then only takes more care than it has to.
fn may_be_same_name(one: &OsStr, other: &OsStr) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.is_ascii() || other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    let ascii = |name: &[u8]| name.iter().take_while(|byte| byte.is_ascii()).count();
    let compared = ascii(one).min(ascii(other));
    one[..compared].eq_ignore_ascii_case(&other[..compared])
}

/// The names on a path, the first one last.
fn components_rev(path: &Path) -> Vec<OsString> {
    let named = |part: Component<'_>| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_path_is_followed_by_name_and_over_links_and_no_further_than_a_far_mount() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("near/deep")).unwrap();
        symlink("../mount", root.join("near/link")).unwrap();
        symlink(root.join("near/link/in"), root.join("absolute")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let remote = [root.join("mount")];
        for (path, leads) in [
            ("mount", true),
            ("mount/below/and/below", true),
            ("near/link", true),
            ("near/link/x", true),
            ("absolute/x", true),
            ("near/deep/../../mount", true),
            ("near", false),
            ("near/deep", false),
            ("mounted", false),
            ("near/link/../near", true),
            ("none/at/all", false),
            ("round/x", false),
        ] {
            assert_eq!(walk(&root.join(path), &remote, true), leads, "{path}");
        }
        assert!(walk(&root, &[PathBuf::from("/")], true));
        assert!(!crosses_remote_mount(Path::new("/proc")), "a filesystem of the kernel's own answers");
    }

    #[test]
    fn a_mount_is_met_under_every_spelling_that_the_filesystem_may_take_for_its_name() {
        let remote = [PathBuf::from("/Volumes/Daten"), PathBuf::from("/Volumes/Caf\u{e9} 1")];
        for (path, exact, folded) in [
            ("/Volumes/Daten/steps", true, true),
            ("/volumes/DATEN/steps", false, true),
            ("/Volumes/Daten 1", false, false),
            ("/Volumes", false, false),
            ("/Volumes/Cafe\u{301} 1/x", false, true),
            ("/Volumes/CAFE\u{301} 1/x", false, true),
            ("/Volumes/Cafe 1", false, false),
            ("/Volumes/Th\u{e9}", false, false),
        ] {
            let path = Path::new(path);
            assert_eq!((walk(path, &remote, true), walk(path, &remote, false)), (exact, folded), "{path:?}");
        }
    }
}
