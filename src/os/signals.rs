//! Which signal came, as a value: through a descriptor for `run`, through a channel for `wait`.
//!
//! Refuses to take over a signal that this process was told to ignore (`nohup`, a shell's `&`): signal-hook would
//! replace that disposition. Refuses to block signals: a mask is inherited by children.

use crossbeam_channel::{Receiver, Sender, bounded, never};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigHandler;
pub(crate) use nix::sys::signal::Signal;
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::backend::{Handle, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Signals that wait to be fetched, and a descriptor that is readable while some do.
pub(crate) struct Pending {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    listening: Option<Listening>,
}

impl Pending {
    /// Catches these signals from now on.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn catch(signals: &[Signal]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let numbers: Vec<i32> = signals.iter().map(|&signal| signal as i32).collect();
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, numbers)?;
        Ok(Self { delivery, listening: Some(Listening::begin()) })
    }

    /// What poll(2) waits for.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }

    /// The signals that came since the last call, each once.
    pub(crate) fn fetch(&mut self) -> Vec<Signal> {
        self.delivery.pending().filter_map(|number| Signal::try_from(number).ok()).collect()
    }
}

/// Signals that come through a channel as long as this lives.
pub(crate) struct Caught {
    /// What came.
    pub(crate) signals: Receiver<Signal>,
    handle: Option<Handle>,
    _listening: Option<Listening>,
}

impl Caught {
    /// None.
    pub(crate) fn none() -> Self {
        Self { signals: never(), handle: None, _listening: None }
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // Its thread ends, and gives its descriptors back.
            handle.close();
        }
    }
}

/// How many listen, and whether none does. A handler stays when its last listener has gone: then it does what the signal
/// did before there was one, or the program that called this library could not be interrupted any more.
struct Listeners {
    count: Mutex<usize>,
    none: Arc<AtomicBool>,
}

impl Listeners {
    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = to(*count);
        self.none.store(*count == 0, Ordering::Release);
    }
}

/// One that listens.
#[derive(Debug)]
struct Listening;

impl Listening {
    fn begin() -> Self {
        listeners().change(|count| count + 1);
        Self
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        listeners().change(|count| count - 1);
    }
}

fn listeners() -> &'static Listeners {
    static LISTENERS: OnceLock<Listeners> = OnceLock::new();
    LISTENERS.get_or_init(|| Listeners { count: Mutex::new(0), none: Arc::new(AtomicBool::new(true)) })
}

/// Signals on their way into a channel: a thread that waits for more than these passes them on, or one of their own.
pub(crate) struct Notices {
    pending: Pending,
    sender: Sender<Signal>,
}

impl Notices {
    /// Catches these signals from now on, as long as what comes beside it lives.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn catch(signals: &[Signal]) -> io::Result<(Self, Caught)> {
        for &signal in signals {
            // Only for what nobody handles yet, this function included.
            if super::spawn::disposition(signal).is_ok_and(|handler| matches!(handler, SigHandler::SigDfl)) {
                register_conditional_default(signal as i32, Arc::clone(&listeners().none))?;
            }
        }
        let mut pending = Pending::catch(signals)?;
        // As long as what is given to the caller lives, not as long as the thread that passes signals on.
        let listening = pending.listening.take();
        let handle = Some(pending.delivery.handle());
        // Nobody presses Ctrl-C sixteen times between two turns of a loop; were it so, the first sixteen are enough.
        let (sender, receiver) = bounded(16);
        Ok((Self { pending, sender }, Caught { signals: receiver, handle, _listening: listening }))
    }

    /// What becomes readable when some have come, or nobody listens any more.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.pending.descriptor()
    }

    /// Passes on those that have come; whether somebody listens.
    pub(crate) fn pass_on(&mut self) -> bool {
        let heard = self.pending.fetch().into_iter().all(|signal| self.sender.send(signal).is_ok());
        heard && !self.pending.delivery.handle().is_closed()
    }

    /// Passes on from a thread of its own.
    ///
    /// # Errors
    /// No thread to be had.
    pub(crate) fn pass_on_for_ever(mut self) -> io::Result<()> {
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            loop {
                let mut waited = [PollFd::new(self.descriptor(), PollFlags::POLLIN)];
                // An interruption is a signal, and those that have come are fetched next.
                let _woken = poll(&mut waited, PollTimeout::NONE);
                if !self.pass_on() {
                    return;
                }
            }
        })?;
        Ok(())
    }
}

/// Sends these signals into a channel from now on, from a thread of its own.
///
/// # Errors
/// No descriptors or no thread to be had.
pub(crate) fn channel(signals: &[Signal]) -> io::Result<Caught> {
    let (notices, caught) = Notices::catch(signals)?;
    notices.pass_on_for_ever()?;
    Ok(caught)
}

/// Whether this process was started with a signal ignored. To be asked before any is caught.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    super::spawn::disposition(signal).is_ok_and(|handler| matches!(handler, SigHandler::SigIgn))
}

/// Lets this process be told how its children end, where it was started with SIGCHLD ignored: the kernel would throw
/// their ends away (waitpid(2), NOTES). The handler stays when nothing listens to it any more, and does nothing then
/// (`signal_hook::low_level::unregister`).
///
/// # Errors
/// No descriptors left.
pub(crate) fn hear_of_children() -> io::Result<()> {
    if is_ignored(Signal::SIGCHLD) {
        Pending::catch(&[Signal::SIGCHLD])?;
    }
    Ok(())
}

/// Those of `wanted` that this process was not told to ignore.
pub(crate) fn not_ignored(wanted: &[Signal]) -> Vec<Signal> {
    wanted.iter().copied().filter(|&signal| !is_ignored(signal)).collect()
}
