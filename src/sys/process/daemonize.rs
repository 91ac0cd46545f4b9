//! Going on in the background: a process of its own session that holds nothing of its caller's.
//!
//! All inherited descriptors are closed: a caller's pipe that stayed open here would keep its reader waiting for as
//! long as the work goes on.
//!
//! One of the files with unsafe code: fork has no safe form.

use crate::sys::fs::io::OPEN_FILES;
use crate::sys::process::spawn::{null_input, null_output};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, close, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsRawFd;

/// Does `work` in a process of its own session, which ends with the exit code that comes of it.
///
/// The caller's process gets the reading end of a pipe. The new process gets the writing end, has no terminal, no
/// inherited descriptors and `/dev/null` for its three standard ones; the standard input stays where `keep_stdin` says so.
/// It is no child of the caller's process, which need not reap it. Call it before any thread is started.
///
/// # Errors
/// No process or descriptor to be had.
pub(crate) fn detach(keep_stdin: bool, work: impl FnOnce(PipeWriter) -> u8) -> io::Result<PipeReader> {
    let (word, tell) = io::pipe()?;
    // SAFETY: this process has one thread, so the child may go on as if nothing had happened.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    if let ForkResult::Parent { child } = unsafe { fork() }? {
        // The process in between ends at once; its exit says nothing.
        let _ended = waitpid(child, None);
        return Ok(word);
    }
    drop(word);
    setsid()?;
    // A session leader could get a terminal by opening one; its child cannot (setsid(2)).
    // SAFETY: as above.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        // SAFETY: ends the process in between without flushing what the caller's process will flush.
        #[expect(unsafe_code, reason = "a forked child must not run the parent's exit handlers")]
        unsafe {
            libc::_exit(0)
        }
    }
    close_inherited(&tell)?;
    if !keep_stdin {
        dup2_stdin(null_input()?)?;
    }
    dup2_stdout(null_output()?)?;
    dup2_stderr(null_output()?)?;
    std::process::exit(i32::from(work(tell)))
}

/// Closes every descriptor beyond the three standard ones and `keep`: a caller's pipe that stays open here would keep
/// its reader waiting for as long as the work goes on.
pub(crate) fn close_inherited(keep: &PipeWriter) -> io::Result<()> {
    let entries = std::fs::read_dir(OPEN_FILES)?;
    let numbers: Vec<i32> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|&number| number > 2 && number != keep.as_raw_fd()) {
        // These were inherited or belong to values that this process no longer uses. The one that listed the folder is closed
        // already: EBADF says so.
        let _closed = close(number);
    }
    Ok(())
}
