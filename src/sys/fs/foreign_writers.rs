//! Who else can replace the files of a directory. Called by `ops::run` and `preflight::checks::directory`.

use crate::sys::env;
use crate::sys::fs::at::{FileAt, FileFacts};
use crate::sys::fs::metadata;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why another user can replace files in a directory, and so forge any run there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ForeignWriters {
    /// Another user owns the folder.
    Owner {
        /// The folder, links resolved.
        folder: PathBuf,
        /// Its owner's user id.
        owner: u32,
    },
    /// The folder's mode lets its group or all users write.
    Mode {
        /// The folder, links resolved.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl fmt::Display for ForeignWriters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner { folder, owner } => {
                write!(formatter, "{} belongs to user {owner}, not to you", folder.display())
            }
            Self::Mode { folder, mode } => {
                write!(formatter, "{} can be written by others (mode {mode:o})", folder.display())
            }
        }
    }
}

/// Who else can replace files in a folder; `is_monitor_dir` is false for an ancestor in which it is yet to be created.
/// `None` where no other user can, or where the modes cannot be read.
pub(crate) fn foreign_writers(folder: &Path, is_monitor_dir: bool) -> Option<ForeignWriters> {
    let resolved = metadata::resolved(folder).unwrap_or_else(|_| folder.to_path_buf());
    let upwards = resolved.ancestors().map_while(|folder| {
        let facts = FileAt::by_path(folder).facts().ok().filter(FileFacts::is_folder)?;
        Some((folder.to_path_buf(), facts.stamp.owner, facts.mode))
    });
    among(&upwards.collect::<Vec<_>>(), env::user(), is_monitor_dir)
}

/// The same for a folder and its ancestors, that folder first; each with its owner, and its permission bits with the sticky
/// bit.
fn among(upwards: &[(PathBuf, u32, u32)], me: u32, is_monitor_dir: bool) -> Option<ForeignWriters> {
    const ROOT: u32 = 0;
    let &(ref folder, owner, mode) = upwards.first()?;
    // Root's folders above the directory are for all users; the directory itself is for one.
    if owner != me && (is_monitor_dir || owner != ROOT) {
        return Some(ForeignWriters::Owner { folder: folder.clone(), owner });
    }
    // A private folder of this user above keeps all others out, whatever the modes inside.
    let closed = upwards.iter().any(|(_, owner, mode)| *owner == me && (mode & 0o777) | 0o700 == 0o700);
    let shared = mode & 0o022 != 0 && mode & 0o1000 == 0;
    (shared && !closed).then(|| ForeignWriters::Mode { folder: folder.clone(), mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_where_no_other_user_can_rename_in_it() {
        let folder = |owner: u32, mode: u32| (PathBuf::from("/x"), owner, mode);
        for (folders, is_monitor_dir, expected) in [
            (vec![folder(7, 0o700)], true, None),
            (vec![folder(7, 0o755)], true, None),
            (vec![folder(7, 0o775)], true, Some("/x can be written by others (mode 775)")),
            (vec![folder(7, 0o757)], true, Some("/x can be written by others (mode 757)")),
            // A umask of 002 inside a folder that is closed.
            (vec![folder(7, 0o775), folder(7, 0o700), folder(0, 0o1777)], true, None),
            (vec![folder(7, 0o775), folder(8, 0o700)], true, Some("/x can be written by others (mode 775)")),
            (vec![folder(7, 0o1777)], true, None),
            (vec![folder(0, 0o1777)], true, Some("/x belongs to user 0, not to you")),
            (vec![folder(0, 0o1777)], false, None),
            (vec![folder(0, 0o777)], false, Some("/x can be written by others (mode 777)")),
            (vec![folder(8, 0o755)], false, Some("/x belongs to user 8, not to you")),
            (vec![], true, None),
        ] {
            let found = among(&folders, 7, is_monitor_dir).map(|found| found.to_string());
            assert_eq!(found.as_deref(), expected, "{folders:?} {is_monitor_dir}");
        }
    }
}
