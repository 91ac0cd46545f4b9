//! What "project" means: the folder whose work has one monitor directory, and why it is this one.

use crate::sys::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder that a directory of steps is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    /// The folder, with links resolved.
    pub(crate) folder: PathBuf,
    /// Whether it holds `.git`; else it is the very folder in which the program was called.
    pub(crate) has_repository: bool,
}

impl Project {
    /// The project that a folder belongs to: the nearest folder upwards that holds `.git`, else the folder itself.
    pub(crate) fn of(folder: &Path) -> Self {
        let (folder, has_repository) = env::project(folder);
        Self { folder, has_repository }
    }

    /// The name of its monitor directory: its own, and a hash of its whole path, so that two projects of one name are kept
    /// apart.
    pub(crate) fn directory_name(&self) -> OsString {
        let mut name = self.folder.file_name().map_or_else(|| "root".into(), std::ffi::OsStr::to_os_string);
        name.push(format!("-{:08x}", stable_hash(self.folder.as_os_str().as_bytes()) >> 32));
        name
    }

    /// Why it is this folder, for people.
    pub(crate) fn reason(&self) -> String {
        let folder = self.folder.display();
        if self.has_repository {
            format!("the project is {folder}: the nearest folder upwards that holds .git")
        } else {
            format!(
                "the project is {folder} alone: no folder upwards holds .git, so every other folder has other steps"
            )
        }
    }

    /// What a caller should know who finds no step in this directory.
    pub(crate) fn hint(directory: &Path) -> Option<String> {
        let project = Self::of(&env::current_folder().ok()?);
        let is_its_own = directory.file_name() == Some(project.directory_name().as_os_str());
        (is_its_own && !project.has_repository).then(|| {
            format!(
                "{} is in no git repository, so every other folder has other steps: go to the folder where the step was \
                 started, or name its directory with --dir",
                project.folder.display()
            )
        })
    }
}

/// FNV-1a, 64 bits. std's hashers may change between releases, and with them the names of all directories.
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_fnv_1a() {
        // Test vectors of the algorithm's authors.
        assert_eq!(stable_hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(stable_hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(stable_hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_project_is_one_from_anywhere_inside_it_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("my project");
        let inside = project.join("src/deep");
        std::fs::create_dir_all(&inside).unwrap();
        let alone = Project::of(&inside);
        assert!(!alone.has_repository && alone.reason().contains("alone"), "{alone:?}");
        std::fs::create_dir(project.join(".git")).unwrap();
        let whole = Project::of(&inside);
        assert!(whole.has_repository && whole.reason().ends_with("holds .git"), "{whole:?}");
        assert_eq!(whole, Project::of(&project));
        assert_ne!(alone.directory_name(), whole.directory_name());
        let name = whole.directory_name();
        let (project, hash) = name.to_str().unwrap().rsplit_once('-').unwrap();
        assert_eq!((project, hash.len()), ("my project", 8));
        assert!(hash.chars().all(|digit| digit.is_ascii_hexdigit()));
    }
}
