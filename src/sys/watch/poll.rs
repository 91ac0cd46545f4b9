//! Sleeping until one of some descriptors has something to say: the one wait of every loop that this process's own thread
//! makes, so that what wakes it is the kernel and no other thread.
//!
//! It only reports which descriptors are readable; their owners read them. If poll(2) fails it sleeps instead of
//! spinning.

use crate::record::time::MonotonicTime;
use crate::sys::clock;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// How long is slept where the kernel cannot wait (poll(2): `ENOMEM`, `EINVAL`).
const BLIND: Duration = Duration::from_millis(100);

/// Sleeps until one of these has something to say, and so long at most; which of them have. After an interruption none
/// has, and where the kernel could not wait each may: reading it does not block.
pub(crate) fn ready<const N: usize>(sources: [Option<BorrowedFd<'_>>; N], longest: Duration) -> [bool; N] {
    let mut waited: Vec<PollFd<'_>> =
        sources.iter().flatten().map(|&source| PollFd::new(source, PollFlags::POLLIN)).collect();
    match poll(&mut waited, longest) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(_) => {
            clock::sleep_until(clock::now().plus(longest.min(BLIND)));
            return sources.map(|source| source.is_some());
        }
    }
    let mut told = waited.iter().map(|source| source.any().unwrap_or(true));
    // A hang-up counts: its reader finds out what it means.
    sources.map(|source| source.is_some() && told.next() == Some(true))
}

/// Sleeps until this can be written to without blocking, or `until`; whether it can.
pub(crate) fn is_writable(stream: BorrowedFd<'_>, until: MonotonicTime) -> bool {
    loop {
        let left = until.since(clock::now());
        match poll(&mut [PollFd::new(stream, PollFlags::POLLOUT)], left) {
            Ok(0) | Err(Errno::EINTR) if left.is_zero() => return false,
            Ok(0) | Err(Errno::EINTR) => {}
            // An error, or a reader that has gone: the write says which.
            Ok(_) | Err(_) => return true,
        }
    }
}

/// poll(2), which counts milliseconds: up, so that no wait ends early.
fn poll(waited: &mut [PollFd<'_>], longest: Duration) -> Result<i32, Errno> {
    let millis = longest.as_nanos().div_ceil(1_000_000);
    nix::poll::poll(waited, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_says_which_one_and_sleeps_no_longer_than_asked() {
        let (quiet, mut other) = UnixStream::pair().unwrap();
        let (loud, mut written) = UnixStream::pair().unwrap();
        let sources = || [None, Some(quiet.as_fd()), Some(loud.as_fd()), None];
        let began = clock::now();
        assert_eq!(ready(sources(), Duration::from_millis(3)), [false; 4]);
        assert!(clock::now().since(began) >= Duration::from_millis(3));
        written.write_all(b"x").unwrap();
        assert_eq!(ready(sources(), Duration::from_secs(20)), [false, false, true, false]);
        other.write_all(b"x").unwrap();
        assert_eq!(ready(sources(), Duration::from_secs(20)), [false, true, true, false]);
    }
}
