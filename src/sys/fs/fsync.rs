//! Having the disk keep what was published, without anybody's waiting for it.
//!
//! A rename is seen by everybody at once and survives the end of every process, but not a power cut before the disk has
//! been told: that takes milliseconds on a good disk and seconds on a busy one. So it is told when the outcome is out, and
//! by a child where this process is about to end: its caller gets control as soon as without. Refuses to be of
//! importance: where the disk cannot be told, the outcome stands all the same.
//!
//! One of the files with unsafe code: fork, and what may be called after it.

use crate::sys::platform::machine;
use nix::unistd::{ForkResult, fork};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What lists of processes call the child.
const NAME: &CStr = c"dogwatch-sync";
/// What they call this program.
const OWN_NAME: &CStr = c"dogwatch";

/// Tells the disk to keep these files and then the directory's list of names; in a child where this process is leaving.
pub(crate) fn keep(directory: &Path, files: &[PathBuf], leaving: bool) {
    // Everything that allocates comes before the fork. A name with a NUL cannot have been opened either.
    let paths: Vec<CString> = files
        .iter()
        .map(PathBuf::as_path)
        .chain([directory])
        .filter_map(|path| CString::new(path.as_os_str().as_bytes()).ok())
        .collect();
    if !leaving {
        return sync(&paths);
    }
    let open = crate::sys::process::daemonize::open_descriptors();
    // Inherited, so that the child never goes by this process's name.
    machine::name_myself(NAME);
    // SAFETY: the child makes only async-signal-safe calls and never returns.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    let forked = unsafe { fork() };
    match forked {
        Ok(ForkResult::Child) => {
            // A reader of this process's output must see its end now.
            for number in open {
                close(number);
            }
            sync(&paths);
            // SAFETY: _exit(2) is async-signal-safe and runs no destructors or handlers of the parent's.
            #[expect(unsafe_code, reason = "a forked child must not unwind into the parent's frames")]
            unsafe {
                libc::_exit(0)
            }
        }
        Ok(ForkResult::Parent { .. }) => machine::name_myself(OWN_NAME),
        // No process to be had: it takes a little longer.
        Err(_) => sync(&paths),
    }
}

/// Has all that is written of these put on the disk, in this order. Only system calls: it runs after a fork.
fn sync(paths: &[CString]) {
    for path in paths {
        sync_one(path);
    }
}

fn sync_one(path: &CString) {
    // SAFETY: the path is a C string that outlives the call, and the descriptor is this function's own.
    #[expect(unsafe_code, reason = "std's forms may allocate")]
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        // There fsync(2) leaves it in the drive's cache.
        #[cfg(target_os = "macos")]
        libc::fcntl(file, libc::F_FULLFSYNC);
        libc::fsync(file);
        libc::close(file);
    }
}

fn close(number: i32) {
    // SAFETY: the child uses none of them any more.
    #[expect(unsafe_code, reason = "descriptors that belong to values of the parent's")]
    unsafe {
        libc::close(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_synced_and_what_is_not_is_no_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.status");
        std::fs::write(&file, "SUCCESS\n").unwrap();
        keep(folder.path(), &[file.clone(), folder.path().join("none")], false);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "SUCCESS\n");
        keep(&folder.path().join("gone"), &[], false);
    }
}
