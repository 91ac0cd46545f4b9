//! Temporary files whose disk space is taken before it is needed, so that a full disk cannot lose a finished run's status.
//!
//! `step::outcome` publishes them. Where space cannot be reserved, or the content outgrows it, the publication is an
//! ordinary one.

use crate::sys::fs::at::{FileFacts, OWNER_ONLY};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::platform::machine;
use nix::sys::stat::fchmod;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A temporary file of the directory with disk space reserved. Dropped without being published, it gives the space back.
#[derive(Debug)]
pub(crate) struct PreallocatedFile {
    directory: MonitorDir,
    file: File,
    /// Its name; empty once it is published.
    temporary: String,
}

impl PreallocatedFile {
    /// Creates the temporary file and reserves `room` bytes for it.
    ///
    /// # Errors
    /// No space, or a directory that cannot be written.
    pub(crate) fn take(directory: &MonitorDir, temporary: String, room: usize) -> io::Result<Self> {
        let file = directory.file(&temporary).create_new()?;
        let mut taken = Self { directory: directory.clone(), file, temporary };
        if machine::reserve(&taken.file, room as u64).is_err() {
            // Where the filesystem cannot reserve space, bytes written now are overwritten in place later.
            taken.file.write_all(&vec![b'\n'; room])?;
        }
        Ok(taken)
    }

    /// Publishes `content` under `name`, in the space reserved.
    ///
    /// # Errors
    /// `NotFound` where another file, or none, has the temporary name by now; others as write(2) and rename(2). Nothing
    /// half-written stands under the name.
    pub(crate) fn publish(mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.file.write_all_at(content, 0)?;
        let own = FileFacts::of(&self.file)?;
        // The bytes that were written to reserve the space, or what another process wrote into the file meanwhile.
        if own.stamp.size > content.len() as u64 {
            self.file.set_len(content.len() as u64)?;
        }
        // What another process put in its place is never published: then this file has lost its only name.
        if own.links == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        if own.mode & 0o600 != 0o600 {
            fchmod(&self.file, OWNER_ONLY)?;
        }
        self.directory.file(&self.temporary).rename(&self.directory.file(name))?;
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for PreallocatedFile {
    fn drop(&mut self) {
        if !self.temporary.is_empty() {
            // A temporary that was removed already is released.
            let _gone = self.directory.file(&self.temporary).remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::file_state::FileState;

    #[test]
    fn what_is_published_is_exactly_the_content_whatever_the_room() {
        let folder = tempfile::tempdir().unwrap();
        let directory = MonitorDir::at(folder.path().to_path_buf());
        for (room, content) in [(4096, "short"), (2, "longer than its room"), (64, "")] {
            let reserve = PreallocatedFile::take(&directory, ".r".into(), room).unwrap();
            reserve.publish("a.meta", content.as_bytes()).unwrap();
            let FileState::Present { content: read, .. } = directory.read("a.meta", 100).unwrap() else {
                panic!("no file")
            };
            assert_eq!(read, content.as_bytes());
        }
        let reserve = PreallocatedFile::take(&directory, ".r".into(), 64).unwrap();
        std::fs::write(directory.join(".r"), "an older and longer record").unwrap();
        reserve.publish("a.meta", b"short").unwrap();
        assert_eq!(std::fs::read(directory.join("a.meta")).unwrap(), b"short");
        drop(PreallocatedFile::take(&directory, ".r".into(), 10).unwrap());
        for swap in ["", "another"] {
            let reserve = PreallocatedFile::take(&directory, ".r".into(), 10).unwrap();
            std::fs::remove_file(directory.join(".r")).unwrap();
            if !swap.is_empty() {
                std::fs::write(directory.join(".r"), swap).unwrap();
            }
            let refused = reserve.publish("b.meta", b"x").unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::NotFound, "{swap:?}");
        }
        assert_eq!(directory.names().unwrap(), ["a.meta"]);
    }
}
