//! Changes of a folder's entries, and writes into single files: kqueue by way of notify, which knows files by name.
//!
//! Refuses to fail a wait: whatever goes wrong here, a panic in the library's thread included, is an error value, and the
//! caller polls.

use crate::sys::watch::channel::{PollableReceiver, PollableSender};
use crate::sys::watch::dir::Word;
use notify::event::EventKindMask;
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

/// How many events may wait; past that some are lost, and that is told.
const ROOM: usize = 1024;

/// A watch on a folder and on single files.
pub(crate) struct Ear {
    folder: Watch,
    /// The watch on single files, made when the first is followed.
    follower: Option<Watch>,
    path: PathBuf,
    events: PollableReceiver<PathBuf>,
    slot: PollableSender<PathBuf>,
}

/// What a thread of the library's leaves word of.
#[derive(Debug, Default)]
struct State {
    /// Events were lost.
    lost: AtomicBool,
    /// The thread has ended.
    deaf: AtomicBool,
}

impl Ear {
    /// What it is called.
    pub(crate) const NAME: &'static str = "kqueue";

    /// Watches a folder. When this returns the watch stands.
    ///
    /// # Errors
    /// No descriptor or thread left, not supported, not permitted.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        // kqueue's word of a change of the entries is reported as a write to the folder itself (notify 9.0.0-rc.7,
        // kqueue.rs). Writes inside files raise nothing on it.
        let mask =
            EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | EventKindMask::MODIFY_DATA;
        let (slot, events) = PollableReceiver::new(ROOM)?;
        let mut watch = watcher(mask, &slot)?;
        watch.add(folder)?;
        Ok(Self { folder: watch, follower: None, path: folder.to_path_buf(), events, slot })
    }

    /// Watches the file that has this path now for writes, instead of the one that had it before.
    ///
    /// # Errors
    /// No descriptor left, or no such file.
    pub(crate) fn follow(&mut self, path: &Path) -> io::Result<()> {
        if self.follower.is_none() {
            self.follower = Some(watcher(EventKindMask::MODIFY_DATA, &self.slot)?);
        }
        let Some(follower) = &mut self.follower else { return Ok(()) };
        // A name that was replaced has a new inode under the old watch: set it anew each time.
        let _not_watched = follower.remove(path);
        follower.add(path)
    }

    /// What is readable when there is something to tell.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }

    /// Tells what has come, without waiting for more.
    ///
    /// # Errors
    /// Nothing comes any more.
    pub(crate) fn take(&mut self, tell: &mut dyn FnMut(Word<'_>)) -> io::Result<()> {
        for path in self.events.take() {
            match path.file_name() {
                Some(name) if path != self.path => tell(Word::Entry(name)),
                _ => tell(Word::Folder),
            }
        }
        for Watch { state, .. } in std::iter::once(&self.folder).chain(&self.follower) {
            if state.lost.swap(false, Ordering::AcqRel) {
                tell(Word::Lost);
            }
            if state.deaf.load(Ordering::Acquire) {
                return Err(io::Error::other("its thread has ended"));
            }
        }
        Ok(())
    }
}

/// One of the library's watchers. Held until it is dropped, which may panic where its thread has ended.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    state: Arc<State>,
}

impl Watch {
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        guarded(|| watcher.watch(path, RecursiveMode::NonRecursive))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        guarded(|| watcher.unwatch(path))
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

/// What the library's thread calls; gone with that thread, which is told too.
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
            if !self.slot.put(path) {
                self.lose();
            }
        }
    }

    fn lose(&self) {
        self.state.lost.store(true, Ordering::Release);
        // The flag stands first: whoever is woken by this finds it.
        self.slot.ring();
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.state.deaf.store(true, Ordering::Release);
        self.slot.ring();
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

/// Keeps the library's panics off standard error, in its own threads too: the caller tells in one line what happened, and
/// a trace would stand between a pipeline's words. Everybody else's panics are told as before.
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
