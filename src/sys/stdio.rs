//! Writes to the standard streams. A stream that is a full pipe which is not read, or a stopped terminal, holds up no call
//! that may take only so long (`--for`), and none that a signal asks to end. Called by `cli::output`.

use crate::record::time::MonotonicTime;
use crate::sys::watch::poll::is_writable;
use crate::sys::{clock, signals};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a write may take once the call's time is over: its answer comes only then.
const LAST_WRITE: Duration = Duration::from_millis(500);
/// How soon a signal is noticed that came while a stream was waited for.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// When this call's time is over.
static DEADLINE: OnceLock<MonotonicTime> = OnceLock::new();
/// By descriptor, whether a write has run out of time: the stream is not waited for again.
static STALLED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Bounds all writes of this process from now on. The first call counts.
pub(crate) fn set_deadline(at: MonotonicTime) {
    let _kept = DEADLINE.set(at);
}

/// Writes all of it and flushes.
///
/// # Errors
/// As the write; `TimedOut` where the stream took nothing until the deadline, and for half a second at least; `Interrupted`
/// where it took nothing until a signal came.
pub(crate) fn write_all(out: &mut (impl Write + AsFd), bytes: &[u8]) -> io::Result<()> {
    let deadline = DEADLINE.get().copied();
    if deadline.is_none() && !signals::are_borrowed() {
        return out.write_all(bytes).and_then(|()| out.flush());
    }
    let number = usize::try_from(out.as_fd().as_raw_fd()).unwrap_or_default();
    let stalled = STALLED.get(number);
    let now = clock::now();
    let has_stalled = stalled.is_some_and(|stalled| stalled.load(Ordering::Relaxed));
    let until = if has_stalled { now } else { deadline.unwrap_or(MonotonicTime::NEVER).max(now.plus(LAST_WRITE)) };
    // A pipe that poll(2) calls writable takes so much without blocking (pipe(7)).
    for part in bytes.chunks(nix::libc::PIPE_BUF) {
        while !is_writable(out.as_fd(), until.min(clock::now().plus(SIGNAL_CHECK))) {
            if signals::interruption().is_some() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if clock::now() < until {
                continue;
            }
            if let Some(stalled) = stalled {
                stalled.store(true, Ordering::Relaxed);
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it was not read in time"));
        }
        out.write_all(part)?;
        out.flush()?;
    }
    Ok(())
}
