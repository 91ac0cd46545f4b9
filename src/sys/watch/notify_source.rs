//! Directory events through the notify library: macOS's kqueue, and inotify where `--backend notify` asks for it. Called by the
//! directory watchers.
//!
//! Whatever goes wrong here, a panic in the library's thread included, is an error value, and the caller polls.

use crate::sys::watch::channel::{PollableReceiver, PollableSender};
use crate::sys::watch::{DirEvent, DirWatcher};
use crossbeam_channel::bounded;
use notify::event::EventKindMask;
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

/// Capacity of the channel of events; past it some are lost, and the caller is told so.
const CAPACITY: usize = 1024;

/// How long the library may take to open a folder.
const OPEN_LIMIT: Duration = Duration::from_secs(2);

/// A watch on a folder and on single files.
pub(crate) struct NotifySource {
    folder: Watch,
    /// The watch on single files, made with the first.
    files: Option<Watch>,
    path: PathBuf,
    events: PollableReceiver<PathBuf>,
    sender: PollableSender<PathBuf>,
}

/// What the library's thread reports besides events.
#[derive(Debug, Default)]
struct State {
    /// Events were lost.
    lost: AtomicBool,
    /// The thread has ended.
    ended: AtomicBool,
}

impl NotifySource {
    /// Watches a folder. When this returns the watch stands.
    ///
    /// # Errors
    /// No descriptor or thread left, not supported, not permitted, or the folder could not be opened in time.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let (sender, events) = PollableReceiver::bounded(CAPACITY)?;
        Ok(Self {
            folder: open_within(OPEN_LIMIT, folder, sender.clone())?,
            files: None,
            path: folder.to_path_buf(),
            events,
            sender,
        })
    }

    fn states(&self) -> impl Iterator<Item = &State> {
        std::iter::once(&self.folder).chain(&self.files).map(|watch| &*watch.state)
    }
}

impl DirWatcher for NotifySource {
    /// Not called on macOS, where the library would open the file, and block on a FIFO that took its place.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        let files = match &mut self.files {
            Some(files) => files,
            none => none.insert(watcher(EventKindMask::MODIFY_DATA, &self.sender)?),
        };
        files.set(path)
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }

    fn take(&mut self, tell: &mut dyn FnMut(DirEvent<'_>)) -> io::Result<()> {
        for path in self.events.drain() {
            match path.file_name() {
                Some(name) if path != self.path => tell(DirEvent::Entry(name)),
                // kqueue reports a change of the entries as one of the folder itself.
                _ => tell(if cfg!(target_os = "macos") { DirEvent::Unknown } else { DirEvent::Gone }),
            }
        }
        for state in self.states() {
            if state.lost.swap(false, Ordering::AcqRel) {
                tell(DirEvent::Unknown);
            }
            if state.ended.load(Ordering::Acquire) {
                return Err(io::Error::other("its thread has ended"));
            }
        }
        Ok(())
    }
}

/// Opens the watch on a thread of its own, which is left behind where it does not come back: notify opens the path without
/// `O_NONBLOCK` and `O_DIRECTORY`, so a FIFO in the place of the folder would block the caller for ever.
fn open_within(limit: Duration, folder: &Path, sender: PollableSender<PathBuf>) -> io::Result<Watch> {
    let names = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME;
    // kqueue reports a change of the entries as a write to the folder itself (notify 9.0.0-rc.7, kqueue.rs). Writes into
    // files raise nothing on it there, and with inotify every write to a log would.
    let mask = if cfg!(target_os = "macos") { names | EventKindMask::MODIFY_DATA } else { names };
    let folder = folder.to_path_buf();
    let (answer, opened) = bounded(1);
    std::thread::Builder::new().name("open".into()).spawn(move || {
        let watch = watcher(mask, &sender).and_then(|mut watch| watch.set(&folder).map(|()| watch));
        // A caller that has given up drops the watch with the channel.
        let _given_up = answer.send(watch);
    })?;
    opened.recv_timeout(limit).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// One of the library's watchers. Held until it is dropped, which may panic where its thread has ended.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    state: Arc<State>,
}

impl Watch {
    /// Watches what has this path now, instead of what had it before: a file that replaced another under the name is another
    /// inode than the watched one.
    fn set(&mut self, path: &Path) -> io::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        guarded(|| {
            let _not_watched = watcher.unwatch(path);
            watcher.watch(path, RecursiveMode::NonRecursive)
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watcher = self.watcher.take();
        let _panicked = guarded(|| {
            drop(watcher);
            Ok(())
        });
    }
}

/// What the library's thread calls. It is dropped with that thread, and reports that too.
struct Callback {
    slot: PollableSender<PathBuf>,
    state: Arc<State>,
}

impl Callback {
    fn take(&self, event: notify::Result<Event>) {
        let event = match event {
            // An overflow comes without paths; a loop over the paths alone would miss it.
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => event,
            Ok(_) | Err(_) => return self.lose(),
        };
        for path in event.paths {
            if !self.slot.try_send(path) {
                self.lose();
            }
        }
    }

    fn lose(&self) {
        self.state.lost.store(true, Ordering::Release);
        // The flag is set first, so that the thread that this wakes sees it.
        self.slot.wake();
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        self.slot.wake();
    }
}

fn watcher(mask: EventKindMask, slot: &PollableSender<PathBuf>) -> io::Result<Watch> {
    let config = Config::default().with_event_kinds(mask);
    let state = Arc::new(State::default());
    let callback = Callback { slot: slot.clone(), state: Arc::clone(&state) };
    let watcher = guarded(|| RecommendedWatcher::new(move |event| callback.take(event), config))?;
    Ok(Watch { watcher: Some(watcher), state })
}

thread_local! {
    /// Whether this thread is in a call whose panic becomes an error value.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic into an error: notify unwraps its thread's channel, and that thread may not have started.
fn guarded<T>(attempt: impl FnOnce() -> notify::Result<T>) -> io::Result<T> {
    silence_the_library();
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(attempt));
    GUARDED.set(false);
    match outcome {
        Ok(outcome) => outcome.map_err(|error| io::Error::other(error.to_string())),
        Err(_) => Err(io::Error::other("the event thread could not be started")),
    }
}

/// Keeps the library's panics off standard error, in its own threads too: the caller prints one line about it, and a trace
/// would be noise in a pipeline's output. All other panics are printed as before.
fn silence_the_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let of_library = std::thread::current().name().is_some_and(|name| name.starts_with("notify-rs"));
            if !of_library && !GUARDED.get() {
                before(panic);
            }
        }));
    });
}
