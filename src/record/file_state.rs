//! One file as it was found: what `sys` returns and `decide` judges by.
//!
//! The content is of the type that the record's own codec returns.

use crate::record::time::WallTime;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One file under a record's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum FileState<T> {
    /// Nothing stands there.
    #[default]
    Missing,
    /// Something stands there that says nothing.
    Invalid(FileFault),
    /// A regular file.
    Present {
        /// By which a change is noticed.
        stamp: FileStamp,
        /// What it says.
        content: T,
    },
}

/// Why what stands under a record's name says nothing. Shown it is a sentence without its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileFault {
    /// It cannot be what it should be, as the sentence says: "is a FIFO".
    Unfit(String),
    /// This user may not read it.
    Denied,
}

impl fmt::Display for FileFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(fault) => formatter.write_str(fault),
            Self::Denied => formatter.write_str("cannot be read: permission denied"),
        }
    }
}

/// What changes when a file is written, touched or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    /// The file's modification time, by the clock of its filesystem.
    pub(crate) modified: WallTime,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its inode number: a rename into place changes it even where the time does not.
    pub(crate) inode: u64,
    /// Its owner.
    pub(crate) owner: u32,
}

/// Which file or directory an open descriptor leads to, whatever its name is now.
///
/// A renamed file keeps it, and so does a bind mount; a copy and a mount of another kind have another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId {
    /// The device number of its filesystem.
    pub(crate) device: u64,
    /// Its inode number there.
    pub(crate) inode: u64,
}

/// Whether a process holds a lock on a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LockState {
    /// No process does.
    Free,
    /// A process does.
    Held,
    /// The file or its filesystem does not tell, or there is no such file.
    #[default]
    Unknown,
}

impl<T> FileState<T> {
    /// The file's stamp, where it is a file.
    pub(crate) fn stamp(&self) -> Option<FileStamp> {
        match self {
            Self::Present { stamp, .. } => Some(*stamp),
            Self::Missing | Self::Invalid(_) => None,
        }
    }

    /// What the file says, where it is a file.
    pub(crate) fn content(&self) -> Option<&T> {
        match self {
            Self::Present { content, .. } => Some(content),
            Self::Missing | Self::Invalid(_) => None,
        }
    }

    /// Whether anything stands under the name.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(self, Self::Missing)
    }

    /// The same file with its content read as something else.
    pub(crate) fn map<U>(self, read: impl FnOnce(T) -> U) -> FileState<U> {
        match self {
            Self::Missing => FileState::Missing,
            Self::Invalid(fault) => FileState::Invalid(fault),
            Self::Present { stamp, content } => FileState::Present { stamp, content: read(content) },
        }
    }
}
