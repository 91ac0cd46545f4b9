//! What this process needs before it does anything: three standard streams, and writes that fail where nobody reads.
//!
//! std's own start does the same; it is left out where it would do much more (`src/main.rs`), and doing it twice changes
//! nothing. Refuses to go on without the streams: a file opened later would get a stream's number, and be written to.

use crate::sys::process::spawn;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, IntoRawFd};

/// Gets this process ready. Call it before any file is opened.
///
/// # Errors
/// A standard stream is closed and nothing can be put in its place.
pub(crate) fn prepare() -> io::Result<()> {
    let (input, output, error) = (io::stdin(), io::stdout(), io::stderr());
    let mut streams =
        [input.as_fd(), output.as_fd(), error.as_fd()].map(|stream| PollFd::new(stream, PollFlags::empty()));
    poll(&mut streams, PollTimeout::ZERO)?;
    let is_closed = |stream: &&PollFd<'_>| stream.revents().is_some_and(|told| told.contains(PollFlags::POLLNVAL));
    for _ in streams.iter().filter(is_closed) {
        // The lowest number that is free is the stream's (open(2)). It stays open, and COMMAND inherits it as any other.
        let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        fcntl(&nothing, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let _stays = nothing.into_raw_fd();
    }
    spawn::ignore_broken_pipes()
}
