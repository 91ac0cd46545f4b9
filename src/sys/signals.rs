//! Which signal came, as a value, and a descriptor to sleep on until one does.
//!
//! A signal that this process inherited as ignored (`nohup`, a shell's `&`) stays ignored; signal-hook would replace
//! that disposition. Signals are blocked only while the handlers are installed, because children inherit the mask.

use crate::error::Error;
use crate::sys::process::spawn::{Dispositions, ignore};
pub(crate) use nix::sys::signal::Signal;
use nix::sys::signal::{SigSet, SigmaskHow};
use signal_hook::flag::{register_conditional_default, register_usize};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The signals that ask a program to end and let it do so in its own time.
pub(crate) const INTERRUPTS: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// Signals that wait to be fetched, and a descriptor that is readable while some do.
pub(crate) struct Pending {
    delivery: SignalDelivery<Arc<UnixStream>, SignalOnly>,
    /// Goes after the handler that writes to its other end: such a write would raise SIGPIPE, which not every
    /// program that uses this library ignores.
    _read: Arc<UnixStream>,
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Before the handlers go, so that no signal is swallowed in between: it does what it did before.
        LISTENERS.change(|count| count - 1);
    }
}

impl Pending {
    /// Catches these signals from now on.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn catch(signals: &[Signal]) -> io::Result<Self> {
        let mut held = SignalMaskGuard::begin(signals)?;
        // A mask is inherited through exec (execve(2)): a parent that takes its own signals by sigwait(3) or signalfd(2)
        // has them blocked here too, and COMMAND's end would never be seen.
        for &signal in signals {
            held.0.remove(signal);
        }
        Self::listen(signals)
    }

    /// Catches those of these signals that this process was not told to ignore, as long as this lives: after it they do what
    /// they did before.
    ///
    /// # Errors
    /// No descriptors left.
    pub(crate) fn borrow(signals: &[Signal]) -> io::Result<Self> {
        let dispositions = Dispositions::now();
        let mut wanted = signals.to_vec();
        wanted.retain(|&signal| !dispositions.ignores(signal));
        let _held = SignalMaskGuard::begin(&wanted)?;
        let listening = Self::listen(&wanted)?;
        // Unblocked only now that the handlers are installed: earlier, a signal would end this process.
        // Of one that is caught already a handler stands, perhaps by this function.
        for &signal in wanted.iter().filter(|&&signal| !dispositions.catches(signal)) {
            register_conditional_default(signal as i32, Arc::clone(&LISTENERS.none))?;
            let number = usize::try_from(signal as i32).unwrap_or_default();
            register_usize(signal as i32, Arc::clone(&LISTENERS.borrowed), number)?;
        }
        Ok(listening)
    }

    fn listen(signals: &[Signal]) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let read = Arc::new(read);
        let numbers: Vec<i32> = signals.iter().map(|&signal| signal as i32).collect();
        let delivery = SignalDelivery::with_pipe(Arc::clone(&read), write, SignalOnly, numbers)?;
        LISTENERS.change(|count| count + 1);
        Ok(Self { delivery, _read: read })
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

/// Keeps signals from this thread while handlers are installed, and lets them come when it goes. signal-hook's handler stands
/// before it knows what to do, and a signal that came in between would be lost (`signal_hook_registry::register`).
struct SignalMaskGuard(SigSet);

impl SignalMaskGuard {
    fn begin(signals: &[Signal]) -> io::Result<Self> {
        let held: SigSet = signals.iter().copied().collect();
        Ok(Self(held.thread_swap_mask(SigmaskHow::SIG_BLOCK)?))
    }
}

impl Drop for SignalMaskGuard {
    fn drop(&mut self) {
        // Fails for a wrong `how` alone (pthread_sigmask(3)).
        let _set = self.0.thread_set_mask();
    }
}

/// How many listen, and whether none does. A handler stays when its last listener has gone: then it does what the signal
/// did before there was one, or the program that called this library could not be interrupted any more.
struct Listeners {
    count: Mutex<usize>,
    none: Arc<AtomicBool>,
    /// The last signal that came while it was borrowed, also once it was fetched; zero for none.
    borrowed: Arc<AtomicUsize>,
}

impl Listeners {
    fn change(&self, to: impl FnOnce(usize) -> usize) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = to(*count);
        self.none.store(*count == 0, Ordering::Release);
    }
}

static LISTENERS: LazyLock<Listeners> = LazyLock::new(|| Listeners {
    count: Mutex::new(0),
    none: Arc::new(AtomicBool::new(true)),
    borrowed: Arc::default(),
});

/// The signal that has asked this process to end while it took signals itself, also where another thread has fetched it.
pub(crate) fn interruption() -> Option<Signal> {
    let number = i32::try_from(LISTENERS.borrowed.load(Ordering::Acquire)).ok()?;
    Signal::try_from(number).ok()
}

/// Whether signals are taken by this process, which do not end it then.
pub(crate) fn are_borrowed() -> bool {
    !LISTENERS.none.load(Ordering::Acquire)
}

/// Whether this process was continued (CONT) since the last call, by a shell's `fg` as a rule; the first call begins to listen.
pub(crate) fn was_continued() -> bool {
    static CONTINUED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
        let flag = Arc::default();
        // Fails for an unknown signal alone.
        let _listening = signal_hook::flag::register(Signal::SIGCONT as i32, Arc::clone(&flag));
        flag
    });
    CONTINUED.swap(false, Ordering::AcqRel)
}

/// Stops this process as Ctrl-Z does; returns once it goes on.
pub(crate) fn stop_this_process() {
    // Fails for an unknown signal alone.
    let _stopped = signal_hook::low_level::emulate_default_handler(Signal::SIGTSTP as i32);
}

/// Has a write beyond the limit on file sizes fail (`EFBIG`), where its signal would end this process (setrlimit(2)). What
/// is started from here gets the default back.
pub(crate) fn survive_file_size_limit() {
    ignore(Signal::SIGXFSZ);
}

/// Lets this process write to a terminal in the background also where that would stop it (`stty tostop`, termios(3)).
pub(crate) fn survive_terminal_output() {
    ignore(Signal::SIGTTOU);
}

/// Reads a signal as kill(1) takes it: a name with or without SIG, in either case, or a number from 1 to 31.
///
/// # Errors
/// A sentence: there is no such signal.
pub(crate) fn parse(text: &str) -> Result<Signal, Error> {
    let name = text.to_ascii_uppercase();
    let named = format!("SIG{}", name.strip_prefix("SIG").unwrap_or(&name)).parse();
    // nix knows the numbers that have a name, which does not include real-time signals.
    let numbered = text.parse::<i32>().map(Signal::try_from);
    numbered.unwrap_or(named).map_err(|_| {
        Error::invalid_options(format!(
            "{text:?} is no signal; write a name like TERM or SIGINT, or a number from 1 to 31"
        ))
    })
}

/// Lets this process be told how its children end, where it was started with SIGCHLD ignored: the kernel would throw
/// their ends away (waitpid(2), NOTES). The handler stays when nothing listens to it any more, and does nothing then
/// (`signal_hook::low_level::unregister`).
///
/// # Errors
/// No descriptors left.
pub(crate) fn hear_of_children() -> io::Result<()> {
    if Dispositions::now().ignores(Signal::SIGCHLD) {
        Pending::catch(&[Signal::SIGCHLD])?;
    }
    Ok(())
}

/// Those of `wanted` that this process was not told to ignore.
pub(crate) fn not_ignored(wanted: &[Signal]) -> Vec<Signal> {
    let dispositions = Dispositions::now();
    wanted.iter().copied().filter(|&signal| !dispositions.ignores(signal)).collect()
}
