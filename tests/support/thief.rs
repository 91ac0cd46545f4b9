//! Takes files of a running step away: removed, moved, replaced by an older copy, cut, or without a permission.
//!
//! Tests of stolen files and the soak call it, each with copies of an earlier run's files.

use super::{Dice, Place};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theft {
    Unlink,
    Rename,
    /// A file of the run before takes its place, by rename, with its old modification time.
    OlderCopy,
    /// As that, written into the file that is there.
    OlderContent,
    NoPermission,
    Truncate,
}

pub const THEFTS: [Theft; 6] =
    [Theft::Unlink, Theft::Rename, Theft::OlderCopy, Theft::OlderContent, Theft::NoPermission, Theft::Truncate];

impl Theft {
    /// Does it to `file`. An older copy of it lies in `old`; `elsewhere` is a folder of the thief's own.
    ///
    /// # Errors
    /// The file has gone meanwhile, or there is no older copy.
    pub fn commit(self, file: &Path, old: &Path, elsewhere: &Path) -> io::Result<()> {
        let spare = elsewhere.join("copy");
        match self {
            Self::Unlink => fs::remove_file(file),
            Self::Rename => fs::rename(file, elsewhere.join("stolen")),
            Self::OlderCopy => copy(old, &spare).and_then(|()| fs::rename(&spare, file)),
            Self::OlderContent => overwrite(old, file, &mut fs::File::options()),
            Self::NoPermission => fs::set_permissions(file, fs::Permissions::from_mode(0o000)),
            Self::Truncate => fs::File::options().write(true).truncate(true).open(file).map(drop),
        }
    }
}

/// The names of a step's files.
pub fn files(place: &Place, step: &str) -> Vec<String> {
    let of_step =
        |name: &String| name.trim_start_matches('.').strip_prefix(step).is_some_and(|rest| rest.starts_with('.'));
    let entries = fs::read_dir(place.path()).expect("the directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(of_step).collect();
    names.sort();
    names
}

/// The name of the record that a file is, or will become: `STEP.status` of a file that is not published yet.
pub fn record_name(name: &str, step: &str) -> String {
    let rest = name.strip_prefix('.').and_then(|rest| rest.strip_prefix(step)?.strip_prefix('.'));
    match rest.and_then(|rest| rest.strip_suffix(".tmp")?.split_once('.')) {
        Some((record, _unique)) => format!("{step}.{record}"),
        None => name.to_owned(),
    }
}

/// Copies a file with its modification time.
///
/// # Errors
/// As open(2) and write(2).
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    overwrite(from, to, fs::File::options().create(true))
}

/// Writes a file's content and modification time into another, which `options` opens once: what becomes of its name
/// meanwhile, the theft is done or is not.
fn overwrite(from: &Path, to: &Path, options: &mut fs::OpenOptions) -> io::Result<()> {
    let (content, modified) = (fs::read(from)?, fs::metadata(from)?.modified()?);
    let mut file = options.write(true).truncate(true).open(to)?;
    file.write_all(&content)?;
    file.set_modified(modified)
}

/// Keeps copies of a step's files in a folder, for a thief to put in the place of a later run's: those that he left readable.
pub fn keep(place: &Place, step: &str, folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    for name in files(place, step) {
        match copy(&place.file(&name), &folder.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            copied => copied.expect("a copy"),
        }
    }
}

/// Lets the owner read each of a step's files again.
pub fn give_back(place: &Place, step: &str) {
    for name in files(place, step) {
        fs::set_permissions(place.file(&name), fs::Permissions::from_mode(0o644)).expect("the owner's permission");
    }
}

/// What was stolen, and how.
#[derive(Debug)]
pub struct Loot(pub Vec<(Theft, String)>);

impl Loot {
    /// Steals so many of a step's files at random. What has gone meanwhile, or has no older copy in `old`, stays.
    pub fn take(place: &Place, step: &str, old: &Path, dice: &mut Dice, count: u64) -> Self {
        let one = |_| {
            let files = Some(files(place, step)).filter(|files| !files.is_empty())?;
            let (theft, name) = (dice.pick(&THEFTS), dice.pick(&files));
            let done = theft.commit(&place.file(&name), &old.join(record_name(&name, step)), old);
            done.ok().map(|()| (theft, name))
        };
        Self((0..count).filter_map(one).collect())
    }

    /// Whether another run's content stands in one of them.
    pub fn forges(&self) -> bool {
        self.0.iter().any(|(theft, _)| matches!(theft, Theft::OlderCopy | Theft::OlderContent))
    }

    /// Whether one of them may not be read any more.
    pub fn denies(&self) -> bool {
        self.0.iter().any(|(theft, _)| *theft == Theft::NoPermission)
    }

    /// Whether the pid or the record is among them, by which others know the wrapper.
    pub fn hides_wrapper(&self) -> bool {
        self.0.iter().any(|(_, name)| name.split('.').any(|part| matches!(part, "pid" | "meta")))
    }

    /// Whether this record is among them, published or not.
    pub fn has(&self, record: &str, step: &str) -> bool {
        self.0.iter().any(|(_, name)| record_name(name, step) == record)
    }
}
