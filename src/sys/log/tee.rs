//! Copies a log while it is written: to the standard output of `run` by a thread of its own, or to a follower.
//!
//! It reads the log file, not a pipe from COMMAND: a reader that is slow, or gone, holds up this thread alone. `run` waits
//! for it in the end, as long as the reader takes anything.

use crate::error::io_reason;
use crate::sys::clock;
use crate::sys::log::follower::{Chunk, FileIdentity, Follower};
use crate::sys::platform::write_watcher::WriteWatcher;
use crate::sys::signals::{INTERRUPTS, Pending};
use crate::sys::watch::poll::ready;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the thread sleeps between reads if the growth of the log raises no event.
const REST: Duration = Duration::from_millis(50);
/// How long it rests where one is: the bound on the damage of a lost notice.
const LONGEST_REST: Duration = Duration::from_secs(15);
/// How long a reader that takes nothing is waited for in the end.
const STUCK: Duration = Duration::from_secs(5);
/// How often it is looked whether the reader takes anything.
const LOOK: Duration = Duration::from_millis(100);
/// How much is written at once: a write of more than a pipe has room for says nothing until all of it is taken.
const PART: usize = 4096;

/// A log being passed through.
#[derive(Debug)]
pub(crate) struct Tee {
    log: File,
    passed: Arc<AtomicU64>,
    /// Dropped, it tells the thread that nothing more is written.
    stop: UnixStream,
    /// Readable once the thread has ended.
    ended: UnixStream,
    /// Gives the error of a write that failed for another reason than a reader that has gone.
    thread: JoinHandle<Option<io::Error>>,
}

impl Tee {
    /// Passes this log on from its beginning, whatever name it has meanwhile.
    ///
    /// # Errors
    /// No thread or descriptor left.
    pub(crate) fn start(log: File) -> io::Result<Self> {
        let follower = Follower::of_file(log.try_clone()?)?;
        // Not by way of std's handle: its lock would be held while a write blocks, and this process could print no result.
        let mut out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let (stop, stopped) = UnixStream::pair()?;
        let (ended, ends) = UnixStream::pair()?;
        let passed = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&passed);
        let thread = std::thread::Builder::new().name("tee".into()).spawn(move || {
            let passed = pass(follower, &stopped, &mut |bytes| {
                for part in bytes.chunks(PART) {
                    write_all(&mut out, part)?;
                    count.fetch_add(part.len() as u64, Ordering::Relaxed);
                }
                Ok(())
            });
            // A reader that has gone has read enough: nothing is missing then.
            if !matches!(passed, Ok(Ok(()))) {
                count.store(u64::MAX, Ordering::Relaxed);
            }
            drop(ends);
            passed.ok()?.err().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
        })?;
        Ok(Self { log, passed, stop, ended, thread })
    }

    /// Passes on the rest and ends. Gives up where the reader takes nothing for 5 s, or a signal asks for the end; says what
    /// was not passed on.
    pub(crate) fn finish(self, signals: &mut Pending) -> Option<String> {
        let Self { log, passed, stop, ended, thread } = self;
        drop(stop);
        let taken = || passed.load(Ordering::Relaxed);
        let (mut last, mut since) = (taken(), clock::now());
        loop {
            let [has_ended, _signalled] = ready([Some(ended.as_fd()), Some(signals.descriptor())], LOOK);
            if has_ended {
                let failure = thread.join().ok().flatten()?;
                return Some(format!("the output could not be passed on ({})", io_reason(&failure)));
            }
            let now = clock::now();
            if taken() != last {
                (last, since) = (taken(), now);
            }
            if signals.fetch().iter().any(|signal| INTERRUPTS.contains(signal)) || now >= since.plus(STUCK) {
                let size = log.metadata().map_or(0, |metadata| metadata.len());
                let rest = size.saturating_sub(last);
                return (rest != 0).then(|| format!("the last {rest} bytes of the output were not read"));
            }
        }
    }
}

/// Writes all of it, also if another process that shares the descriptor made it non-blocking.
fn write_all(out: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => clock::sleep_until(clock::now().plus(LOOK)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Passes a log on while `work` goes on in a thread of its own, and the rest of it after; what came of the work, or
/// `None` if the log's reader has gone.
///
/// # Errors
/// No thread or descriptor to be had, or a log that cannot be read.
pub(crate) fn pass_during<T: Send + 'static>(
    log: Follower,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (stop, stopped) = UnixStream::pair()?;
    let thread = std::thread::Builder::new().name("work".into()).spawn(move || {
        let done = work();
        drop(stop);
        done
    })?;
    // A reader that has gone has read enough: the work is left to itself.
    if pass(log, &stopped, out)?.is_err() {
        return Ok(None);
    }
    Ok(thread.join().ok())
}

/// Passes a log on until `stopped` ends; the inner error is what `out` says.
///
/// # Errors
/// A log that cannot be read.
fn pass(
    mut log: Follower,
    stopped: &UnixStream,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<io::Result<()>> {
    let mut growths = WriteWatcher::new().ok();
    let mut stopping = false;
    loop {
        // Armed before the read, so that what is written after it raises a notice (I2).
        let armed = log.identity() == FileIdentity::Current
            && growths.as_mut().is_some_and(|growths| {
                growths.take(&mut Vec::new());
                growths.arm(0, log.path())
            });
        loop {
            match log.read()? {
                Chunk::Data(bytes) => {
                    if let Err(error) = out(bytes) {
                        return Ok(Err(error));
                    }
                }
                Chunk::Restarted => {}
                Chunk::Eof => break,
            }
        }
        if stopping {
            return Ok(Ok(()));
        }
        let grown = growths.as_ref().filter(|_| armed).map(WriteWatcher::descriptor);
        let [told, _grown] = ready([Some(stopped.as_fd()), grown], if armed { LONGEST_REST } else { REST });
        // One more round after the word to stop: what was written before it is still passed on.
        stopping = told;
    }
}
