//! Files for people, outside the monitor directory: made whole, in folders that are made where they are missing.

use crate::error::Error;
use crate::sys::env;
use crate::sys::fs::monitor_dir::MonitorDir;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// Writes a file into a folder, in place of what stands there.
///
/// # Errors
/// The folder cannot be made, or the file cannot be written.
pub(crate) fn write_into(folder: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let say = |error| Error::io(format!("cannot write {}", folder.join(name).display()), error);
    fs::create_dir_all(folder).map_err(say)?;
    let temporary = format!(".{name}.{}.tmp", env::unique());
    MonitorDir::at(folder.to_path_buf()).publish(&temporary, name, content, None).map_err(say)
}

/// Appends to a file of another program's, in one write; the file is created where it is missing.
///
/// # Errors
/// It cannot be written.
pub(crate) fn append(path: &Path, content: &[u8]) -> Result<(), Error> {
    let say = |error| Error::io(format!("cannot write {}", path.display()), error);
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(say)?;
    file.write_all(content).map_err(say)
}

/// What stands in a file; `None` if there is none.
///
/// # Errors
/// It is there and cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(format!("cannot read {}", path.display()), error)),
    }
}
