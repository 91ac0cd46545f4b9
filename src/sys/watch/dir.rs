//! Directory events, as hints to look.
//!
//! An event names a file to read again, or says that any file may have changed; it is never proof of what happened
//! (I1). A failure here is returned as a value, and the caller polls instead.

use crate::record::file_state::FileId;
use crate::sys::fs::at::FileAt;
use crate::sys::platform::dir_watcher::PlatformWatcher;
use crate::sys::watch::notify_source::NotifySource;
use crate::sys::watch::{DirEvent, DirWatcher};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a directory may come into being or go while it is being watched.
const ATTEMPTS: usize = 8;

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirHint {
    /// The file with this name.
    Name(String),
    /// Everything: events were lost, or the directory itself changed.
    Everything,
}

/// Which names are worth a hint.
pub(crate) type Wanted = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Which facility reports the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facility {
    /// The system's own.
    Native,
    /// The notify library, which macOS's own facility uses in any case.
    Notify,
}

/// A watched directory.
pub(crate) struct Events {
    watcher: Box<dyn DirWatcher + Send>,
    wanted: Wanted,
    /// Whether events can no longer be read.
    failed: bool,
    /// What is watched: the directory, or its nearest ancestor that is there.
    watched: PathBuf,
    /// Its device and inode when the watch was set; `None` once it was moved or removed, since another that takes its place
    /// may be given the same inode number.
    identity: Option<FileId>,
    /// Whether it is an ancestor, because the directory is not there yet: any event may be its coming.
    is_ancestor: bool,
}

impl Events {
    /// The name of the system's facility.
    pub(crate) const BACKEND: &'static str = PlatformWatcher::NAME;

    /// Watches a directory, or the nearest ancestor that is there. When this returns the watch stands.
    ///
    /// # Errors
    /// No instance or watch left, not supported, not permitted.
    pub(crate) fn watch(directory: &Path, wanted: &Wanted, facility: Facility) -> io::Result<Self> {
        let mut attempt = Self::watch_once(directory, wanted, facility)?;
        // Made in between, the directory would have raised its one event before there was a watch.
        for _ in 1..ATTEMPTS {
            if attempt.is_watching(directory) {
                break;
            }
            attempt = Self::watch_once(directory, wanted, facility)?;
        }
        Ok(attempt)
    }

    fn watch_once(directory: &Path, wanted: &Wanted, facility: Facility) -> io::Result<Self> {
        let watched = nearest(directory);
        let identity = FileAt::by_path(watched.as_path()).id();
        let watcher: Box<dyn DirWatcher + Send> = match facility {
            Facility::Notify if cfg!(target_os = "linux") => Box::new(NotifySource::open(&watched)?),
            Facility::Native | Facility::Notify => Box::new(PlatformWatcher::open(&watched)?),
        };
        let is_ancestor = watched != directory;
        Ok(Self { watcher, wanted: Arc::clone(wanted), failed: false, watched, identity, is_ancestor })
    }

    /// What is readable when there are hints.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (!self.failed).then(|| self.watcher.descriptor())
    }

    /// The hints that have come; without waiting for more.
    pub(crate) fn take(&mut self, hints: &mut Vec<DirHint>) {
        let (wanted, is_ancestor, identity) = (&self.wanted, self.is_ancestor, &mut self.identity);
        let read = self.watcher.take(&mut |event| match event {
            DirEvent::Entry(name) if !is_ancestor => {
                hints.extend(name.to_str().filter(|name| wanted(name)).map(|name| DirHint::Name(name.to_owned())));
            }
            DirEvent::Gone => {
                *identity = None;
                hints.push(DirHint::Everything);
            }
            DirEvent::Entry(_) | DirEvent::Unknown => hints.push(DirHint::Everything),
        });
        if read.is_err() {
            self.failed = true;
            hints.push(DirHint::Everything);
        }
    }

    /// Whether no event comes any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether the watch still stands on the directory that has this path now, or on the nearest ancestor that is there.
    pub(crate) fn is_watching(&self, directory: &Path) -> bool {
        let nearest = nearest(directory);
        self.watched == nearest && self.identity.is_some() && FileAt::by_path(nearest).id() == self.identity
    }

    /// Watches one file for being written in place, which the directory's narrow mask does not show. Look at the file
    /// afterwards: a write before is not told.
    ///
    /// # Errors
    /// As [`Events::watch`]; a file that is gone again is no error, since its return is a creation.
    pub(crate) fn follow(&mut self, path: &Path) -> io::Result<()> {
        match self.watcher.follow(path) {
            Err(_) if !path.exists() => Ok(()),
            other => other,
        }
    }
}

/// The nearest folder from `directory` upwards that is there.
pub(crate) fn nearest(directory: &Path) -> PathBuf {
    let found = directory.ancestors().find(|folder| folder.is_dir());
    found.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::watch::poll::ready;
    use std::fs;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watched_by(facility: Facility, path: &Path) -> Events {
        let wanted: Wanted = Arc::new(|name| name.ends_with(".status"));
        Events::watch(path, &wanted, facility).unwrap()
    }

    /// The next hints there are.
    fn told(events: &mut Events) -> Vec<DirHint> {
        let mut hints = Vec::new();
        while hints.is_empty() {
            assert_eq!(ready([events.descriptor()], PATIENCE), [true], "nothing is told");
            events.take(&mut hints);
        }
        hints
    }

    #[test]
    fn a_rename_into_place_is_told_and_what_nobody_wants_is_not() {
        for facility in [Facility::Native, Facility::Notify] {
            let watched = |path: &Path| watched_by(facility, path);
            let folder = tempfile::tempdir().unwrap();
            let mut events = watched(folder.path());
            assert!(events.is_watching(folder.path()));
            fs::write(folder.path().join("a.log"), "x").unwrap();
            fs::write(folder.path().join(".tmp"), "SUCCESS").unwrap();
            fs::rename(folder.path().join(".tmp"), folder.path().join("a.status")).unwrap();
            let hints = told(&mut events);
            // kqueue tells of the directory only; the look is the same.
            let expected =
                if cfg!(target_os = "macos") { DirHint::Everything } else { DirHint::Name("a.status".into()) };
            assert_eq!(hints[0], expected);
            // The library tells of both names of a rename, and of the pair.
            let may_repeat = cfg!(target_os = "macos") || facility == Facility::Notify;
            assert!(hints.iter().all(|hint| *hint == expected) && (may_repeat || hints.len() == 1), "{hints:?}");
        }
    }

    #[test]
    fn a_followed_file_tells_of_writes_in_place_even_after_it_was_replaced() {
        for facility in [Facility::Native, Facility::Notify] {
            let watched = |path: &Path| watched_by(facility, path);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.status");
            fs::write(&path, "").unwrap();
            let mut events = watched(folder.path());
            events.follow(&path).unwrap();
            fs::write(&path, "SUC").unwrap();
            assert_eq!(told(&mut events)[0], DirHint::Name("a.status".into()));
            fs::write(folder.path().join(".tmp"), "").unwrap();
            fs::rename(folder.path().join(".tmp"), &path).unwrap();
            events.follow(&path).unwrap();
            while ready([events.descriptor()], Duration::ZERO) == [true] {
                events.take(&mut Vec::new());
            }
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            std::io::Write::write_all(&mut file, b"CESS").unwrap();
            assert_eq!(told(&mut events)[0], DirHint::Name("a.status".into()));
            fs::remove_file(&path).unwrap();
            assert!(events.follow(&path).is_ok(), "its return is a creation");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_noticed_and_then_watched() {
        for facility in [Facility::Native, Facility::Notify] {
            let watched = |path: &Path| watched_by(facility, path);
            let folder = tempfile::tempdir().unwrap();
            let directory = folder.path().join("one/two");
            let mut events = watched(&directory);
            assert!(events.is_watching(&directory), "on what is there of it");
            fs::create_dir_all(&directory).unwrap();
            assert_eq!(told(&mut events)[0], DirHint::Everything);
            assert!(!events.is_watching(&directory));
            drop(events);
            let mut events = watched(&directory);
            assert!(events.is_watching(&directory));
            fs::remove_dir(&directory).unwrap();
            assert_eq!(told(&mut events)[0], DirHint::Everything);
        }
    }

    #[test]
    fn a_directory_that_was_removed_and_made_again_is_not_watched_though_it_may_have_the_same_inode_number() {
        for facility in [Facility::Native, Facility::Notify] {
            let folder = tempfile::tempdir().unwrap();
            let directory = folder.path().join("one");
            // Whether a filesystem gives a freed number out again at once is its own affair: ext4 often does.
            for _ in 0..20 {
                fs::create_dir(&directory).unwrap();
                let mut events = watched_by(facility, &directory);
                fs::remove_dir(&directory).unwrap();
                fs::create_dir(&directory).unwrap();
                assert_eq!(told(&mut events)[0], DirHint::Everything);
                assert!(!events.is_watching(&directory), "{facility:?}");
                fs::remove_dir(&directory).unwrap();
            }
        }
    }
}
