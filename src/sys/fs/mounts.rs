//! Whether looking at a path may wait for another machine, found out without looking at it.
//!
//! A dead server leaves every call on its mount waiting, statfs(2) included, and a process with one thread in there can
//! never end. So the path is walked by name: each part is held against the list of mounts before anything is asked
//! about it. Called before a directory is looked at.

use crate::sys::env;
use crate::sys::platform::fs_type;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many links a path may lead through, as the kernel has it (`path_resolution(7)`).
const LINKS: usize = 40;

/// Whether the path leads to a filesystem that another machine or process answers for.
pub(crate) fn may_block(path: &Path) -> bool {
    let far = fs_type::far_mounts();
    !far.is_empty() && leads_to(&env::absolute(path), &far)
}

fn leads_to(path: &Path, far: &[PathBuf]) -> bool {
    let mut at = PathBuf::from("/");
    if far.contains(&at) {
        return true;
    }
    let mut ahead = parts(path);
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        if far.contains(&at) {
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
        ahead.extend(parts(&target));
    }
    false
}

/// The names on a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
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
        let far = [root.join("mount")];
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
            assert_eq!(leads_to(&root.join(path), &far), leads, "{path}");
        }
        assert!(leads_to(&root, &[PathBuf::from("/")]));
        assert!(!may_block(Path::new("/proc")), "a filesystem of the kernel's own answers");
    }
}
