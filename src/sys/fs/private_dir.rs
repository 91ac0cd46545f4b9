//! The folder of this user's own below which default monitor directories stand.
//!
//! A base that another user created, or a symbolic link in its place, is an error: its owner could replace what lies in
//! it.

use crate::error::Error;
use crate::sys::env;
use nix::unistd::{AccessFlags, access};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// What to do where a directory cannot be made or written. A sandbox may have the whole of /tmp read-only.
pub(crate) const CHOOSE_ANOTHER: &str = "choose a directory that you can write to with DOGWATCH_DIR or --dir";

/// Makes the base where it is missing, for this user alone.
///
/// # Errors
/// A sentence: it cannot be made, or is not this user's own folder.
pub(crate) fn make_private(base: &Path) -> Result<(), Error> {
    if check_private(base)? {
        return Ok(());
    }
    match fs::DirBuilder::new().mode(0o700).create(base) {
        Ok(()) => Ok(()),
        // Another process, of this user or of another, was faster: check again.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(base).map(|_there| ()),
        Err(error) => Err(Error::io(format!("cannot make {}", base.display()), error).advise(CHOOSE_ANOTHER)),
    }
}

/// Whether default directories can be made below the base: it is this user's own and writable, or can be made.
pub(crate) fn can_be_used(base: &Path) -> bool {
    let is_writable = |folder: &Path| access(folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    match check_private(base) {
        Ok(true) => is_writable(base),
        Ok(false) => base.parent().is_some_and(is_writable),
        Err(_) => false,
    }
}

/// Whether the base is there; refused where it is not this user's own folder.
///
/// # Errors
/// A sentence that says whose it is.
pub(crate) fn check_private(base: &Path) -> Result<bool, Error> {
    let shown = base.display();
    let metadata = match fs::symlink_metadata(base) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io(format!("cannot look at {shown}"), error)),
    };
    let refuse = |fault: &str, advice| Err(Error::internal(format!("{shown} {fault}")).advise(advice));
    if metadata.file_type().is_symlink() {
        let fault = "is a symbolic link and could lead anywhere";
        return refuse(fault, "remove it or choose a directory with --dir");
    }
    if !metadata.is_dir() {
        return refuse("is no directory", "remove it or choose a directory with --dir");
    }
    if metadata.uid() != env::user() {
        let fault = format!("belongs to user {}, not to you", metadata.uid());
        return refuse(&fault, "choose a directory of your own with --dir");
    }
    Ok(true)
}
