//! Files whose room on the disk is taken before it is needed, so that a full disk cannot lose a finished run's status.
//!
//! Refuses to promise more than the filesystem does: where room cannot be reserved, or the content outgrows it, the
//! publication is an ordinary one.

use crate::sys::fs::monitor_dir::{MonitorDir, create_new};
use crate::sys::platform::machine;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A temporary file of the directory with room set aside.
#[derive(Debug)]
pub(crate) struct PreallocatedFile {
    file: File,
    temporary: String,
}

impl PreallocatedFile {
    /// Makes the temporary file and takes `room` bytes for it.
    ///
    /// # Errors
    /// No space, or a directory that cannot be written.
    pub(crate) fn take(directory: &MonitorDir, temporary: String, room: usize) -> io::Result<Self> {
        let mut file = create_new(&directory.join(&temporary))?;
        if machine::reserve(&file, room as u64).is_err() {
            // Where the filesystem cannot set room aside, bytes written now are overwritten in place later.
            file.write_all(&vec![b'\n'; room]).inspect_err(|_| {
                let _gone = fs::remove_file(directory.join(&temporary));
            })?;
        }
        Ok(Self { file, temporary })
    }

    /// Publishes `content` under `name`, in the room set aside.
    ///
    /// # Errors
    /// What the kernel says; nothing half-written is under the name.
    pub(crate) fn publish(self, directory: &MonitorDir, name: &str, content: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(content, 0).and_then(|()| self.file.set_len(content.len() as u64));
        written.and_then(|()| fs::rename(directory.join(&self.temporary), directory.join(name))).inspect_err(|_| {
            let _gone = directory.remove(&self.temporary);
        })
    }

    /// Gives the room back.
    pub(crate) fn release(self, directory: &MonitorDir) {
        // A temporary that somebody cleaned away is released already.
        let _gone = directory.remove(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::file_state::File as Seen;

    #[test]
    fn what_is_published_is_exactly_the_content_whatever_the_room() {
        let folder = tempfile::tempdir().unwrap();
        let directory = MonitorDir::at(folder.path().to_path_buf());
        for (room, content) in [(4096, "short"), (2, "longer than its room"), (64, "")] {
            let reserve = PreallocatedFile::take(&directory, ".r".into(), room).unwrap();
            reserve.publish(&directory, "a.meta", content.as_bytes()).unwrap();
            let Seen::There { content: read, .. } = directory.read("a.meta", 100).unwrap() else { panic!("no file") };
            assert_eq!(read, content.as_bytes());
        }
        PreallocatedFile::take(&directory, ".r".into(), 10).unwrap().release(&directory);
        assert_eq!(directory.names().unwrap(), ["a.meta"]);
    }
}
