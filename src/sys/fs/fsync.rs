//! Writes published files to the disk; called by a detached run when its outcome is out.
//!
//! A rename is seen by everyone at once and survives the end of every process, but not a power cut before the disk was
//! told. That takes milliseconds on a good disk and seconds on a busy one, so no caller waits for it.

use crate::sys::fs::at::FileAt;
use std::path::{Path, PathBuf};

/// Has the disk keep these files and then the directory's entries. What is missing or cannot be written is left out: the
/// outcome stands all the same.
pub(crate) fn sync(directory: &Path, files: &[PathBuf]) {
    for path in files.iter().map(PathBuf::as_path).chain([directory]) {
        // On macOS `sync_all` is F_FULLFSYNC: fsync(2) leaves the data in the drive's cache there.
        let _synced = FileAt::by_path(path).open_to_read().and_then(|file| file.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_synced_and_what_is_missing_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.status");
        std::fs::write(&file, "SUCCESS\n").unwrap();
        sync(folder.path(), &[file.clone(), folder.path().join("none")]);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "SUCCESS\n");
        sync(&folder.path().join("gone"), &[]);
    }
}
