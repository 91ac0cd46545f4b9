//! Directory events: notify with a narrow mask, as hints to look.
//!
//! Refuses to be believed: a hint names a file to look at, or says that anything may have changed; it never says what
//! happened (I1). Refuses to fail a wait: whatever goes wrong here, a panic in the library's thread included, is an
//! error value, and the caller polls.

use super::platform::machine;
use crossbeam_channel::{Sender, TrySendError};
use notify::event::EventKindMask;
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

/// How often a directory may come into being or go while it is being watched.
const ATTEMPTS: usize = 8;

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The file with this name.
    Name(String),
    /// Everything: events were lost, or the directory itself changed.
    Everything,
}

/// Which names are worth a hint.
pub(crate) type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A watched directory.
pub(crate) struct Events {
    /// Held, because dropping it ends the watch.
    _watcher: Watch,
    /// The watch on single files, made when the first is followed.
    follower: Option<(Watch, Arc<AtomicBool>)>,
    /// Set once the thread that reads events has ended.
    deaf: Arc<AtomicBool>,
    /// What is watched: the directory, or its nearest ancestor that is there.
    watched: PathBuf,
    /// Its device and inode when the watch was set.
    identity: Option<(u64, u64)>,
    outlet: Outlet,
}

/// What a watch was set on, which decides what its events can mean.
enum Scope {
    /// The directory itself; with its path, which its own removal or renaming carries.
    Directory(PathBuf),
    /// An ancestor, because the directory is not there yet: any event may be its coming.
    Ancestor,
    /// Single files.
    Files,
}

/// Where hints go. A full channel loses a name and sets the flag instead: the reader then looks at everything.
#[derive(Clone)]
struct Outlet {
    hints: Sender<Hint>,
    missed: Arc<AtomicBool>,
    wanted: Wanted,
}

impl Events {
    /// The name of the system's facility.
    pub(crate) const BACKEND: &'static str = machine::EVENTS;

    /// Watches a directory, or the nearest ancestor that is there. When this returns the watch stands.
    ///
    /// # Errors
    /// A sentence: no instance or watch left, not supported, not permitted.
    pub(crate) fn watch(
        directory: &Path,
        hints: Sender<Hint>,
        missed: Arc<AtomicBool>,
        wanted: Wanted,
    ) -> Result<Self, String> {
        let outlet = Outlet { hints, missed, wanted };
        let mut attempt = Self::watch_once(directory, &outlet)?;
        // Made in between, the directory would have raised its one event before there was a watch.
        for _ in 1..ATTEMPTS {
            if attempt.stands_on(directory) {
                break;
            }
            attempt = Self::watch_once(directory, &outlet)?;
        }
        Ok(attempt)
    }

    fn watch_once(directory: &Path, outlet: &Outlet) -> Result<Self, String> {
        let watched = nearest(directory);
        let identity = identity(&watched);
        // CREATE and MODIFY_NAME together are what lets a rename into place through: the first asks the kernel for it,
        // the second keeps notify from dropping it again. Heartbeats, log writes and reads raise nothing.
        let mask = EventKindMask::CREATE | EventKindMask::REMOVE | EventKindMask::MODIFY_NAME | machine::ENTRIES;
        let scope = if watched == directory { Scope::Directory(watched.clone()) } else { Scope::Ancestor };
        let deaf = Arc::new(AtomicBool::new(false));
        let mut watcher = watcher(mask, Ear { outlet: outlet.clone(), scope, deaf: Arc::clone(&deaf) })?;
        add(&mut watcher, &watched)?;
        Ok(Self { _watcher: watcher, follower: None, deaf, watched, identity, outlet: outlet.clone() })
    }

    /// Whether no event comes any more: the library's thread has ended, by a panic.
    pub(crate) fn is_deaf(&self) -> bool {
        let has_ended = |deaf: &AtomicBool| deaf.load(Ordering::Acquire);
        has_ended(&self.deaf) || self.follower.as_ref().is_some_and(|(_, deaf)| has_ended(deaf))
    }

    /// Whether the watch still stands on the directory that has this path now, or on the nearest ancestor that is there.
    pub(crate) fn stands_on(&self, directory: &Path) -> bool {
        let nearest = nearest(directory);
        self.watched == nearest && self.identity.is_some() && identity(&nearest) == self.identity
    }

    /// Watches one file for being written in place, which the directory's narrow mask does not show. Look at the file
    /// afterwards: a write before is not told.
    ///
    /// # Errors
    /// As [`Events::watch`]; a file that is gone again is no error, since its return is a creation.
    pub(crate) fn follow(&mut self, path: &Path) -> Result<(), String> {
        if self.follower.is_none() {
            // Its own flag until it stands: that it could not be made ends no other thread.
            let deaf = Arc::new(AtomicBool::new(false));
            let ear = Ear { outlet: self.outlet.clone(), scope: Scope::Files, deaf: Arc::clone(&deaf) };
            self.follower = Some((watcher(EventKindMask::MODIFY_DATA, ear)?, deaf));
        }
        let Some((follower, _)) = &mut self.follower else { return Ok(()) };
        // A name that was replaced has a new inode under the old watch: set it anew each time.
        let _not_watched = follower.remove(path);
        match add(follower, path) {
            Err(_) if !path.exists() => Ok(()),
            other => other,
        }
    }
}

/// One of the library's watchers. Held until it is dropped, which panics where its thread has ended (inotify.rs, `Drop`).
struct Watch(Option<RecommendedWatcher>);

impl Watch {
    fn remove(&mut self, path: &Path) -> Result<(), String> {
        let Some(watcher) = &mut self.0 else { return Ok(()) };
        guarded(|| watcher.unwatch(path).map_err(|error| error.to_string()))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let watcher = self.0.take();
        let _panicked = guarded(|| {
            drop(watcher);
            Ok(())
        });
    }
}

/// What the library's thread calls; gone with that thread, which is told too.
struct Ear {
    outlet: Outlet,
    scope: Scope,
    deaf: Arc<AtomicBool>,
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.deaf.store(true, Ordering::Release);
        self.outlet.send(Hint::Everything);
    }
}

impl Outlet {
    fn send(&self, hint: Hint) {
        match self.hints.try_send(hint) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => self.missed.store(true, Ordering::Release),
        }
    }

    fn take(&self, event: notify::Result<Event>, scope: &Scope) {
        let Ok(event) = event else { return self.send(Hint::Everything) };
        // An overflow comes without paths; a loop over the paths alone would miss it.
        if event.need_rescan() || event.paths.is_empty() || matches!(scope, Scope::Ancestor) {
            return self.send(Hint::Everything);
        }
        for path in &event.paths {
            // The directory's own events first: kqueue tells of every change of its entries by the directory alone.
            if matches!(scope, Scope::Directory(watched) if watched == path) {
                self.send(Hint::Everything);
                continue;
            }
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if (self.wanted)(name) => self.send(Hint::Name(name.to_owned())),
                // The directory's own removal or renaming carries the directory's path.
                _ => {}
            }
        }
    }
}

fn watcher(mask: EventKindMask, ear: Ear) -> Result<Watch, String> {
    guarded(|| {
        let config = Config::default().with_event_kinds(mask);
        RecommendedWatcher::new(move |event| ear.outlet.take(event, &ear.scope), config)
            .map(|watcher| Watch(Some(watcher)))
            .map_err(|error| error.to_string())
    })
}

fn add(watch: &mut Watch, path: &Path) -> Result<(), String> {
    let Some(watcher) = &mut watch.0 else { return Ok(()) };
    guarded(|| watcher.watch(path, RecursiveMode::NonRecursive).map_err(|error| error.to_string()))
}

thread_local! {
    /// Whether this thread is in a call whose panic becomes an error value.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Turns a panic into an error: notify unwraps its thread's channel, and that thread may not have started
/// (notify 9.0.0-rc.7, inotify.rs, `watch_inner`).
fn guarded<T>(attempt: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    silence_the_library();
    GUARDED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(attempt));
    GUARDED.set(false);
    outcome.unwrap_or_else(|_| Err("the event thread could not be started".to_owned()))
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

/// The nearest folder from `directory` upwards that is there.
pub(super) fn nearest(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, bounded};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watched(path: &Path) -> (Events, Receiver<Hint>) {
        let (sender, receiver) = bounded(64);
        let wanted: Wanted = Arc::new(|name| name.ends_with(".status"));
        (Events::watch(path, sender, Arc::new(AtomicBool::new(false)), wanted).unwrap(), receiver)
    }

    #[test]
    fn a_rename_into_place_is_told_and_what_nobody_wants_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (events, hints) = watched(folder.path());
        assert!(events.stands_on(folder.path()));
        fs::write(folder.path().join("a.log"), "x").unwrap();
        fs::write(folder.path().join(".tmp"), "SUCCESS").unwrap();
        fs::rename(folder.path().join(".tmp"), folder.path().join("a.status")).unwrap();
        let hint = hints.recv_timeout(PATIENCE).unwrap();
        // kqueue tells of the directory only; the look is the same.
        assert!(hint == Hint::Name("a.status".into()) || (cfg!(target_os = "macos") && hint == Hint::Everything));
    }

    #[test]
    fn a_followed_file_tells_of_writes_in_place_even_after_it_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.status");
        fs::write(&path, "").unwrap();
        let (mut events, hints) = watched(folder.path());
        events.follow(&path).unwrap();
        fs::write(&path, "SUC").unwrap();
        assert_eq!(hints.recv_timeout(PATIENCE), Ok(Hint::Name("a.status".into())));
        fs::write(folder.path().join(".tmp"), "").unwrap();
        fs::rename(folder.path().join(".tmp"), &path).unwrap();
        events.follow(&path).unwrap();
        while hints.try_recv().is_ok() {}
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, b"CESS").unwrap();
        assert_eq!(hints.recv_timeout(PATIENCE), Ok(Hint::Name("a.status".into())));
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_noticed_and_then_watched() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("one/two");
        let (events, hints) = watched(&directory);
        assert!(events.stands_on(&directory), "on what is there of it");
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(hints.recv_timeout(PATIENCE), Ok(Hint::Everything));
        assert!(!events.stands_on(&directory));
        drop(events);
        assert!(watched(&directory).0.stands_on(&directory));
    }

    #[test]
    fn a_full_channel_sets_the_flag_instead_of_blocking() {
        let (sender, _receiver) = bounded(1);
        let missed = Arc::new(AtomicBool::new(false));
        let outlet = Outlet { hints: sender, missed: Arc::clone(&missed), wanted: Arc::new(|_| true) };
        outlet.send(Hint::Everything);
        assert!(!missed.load(Ordering::Acquire));
        outlet.send(Hint::Everything);
        assert!(missed.load(Ordering::Acquire));
    }
}
