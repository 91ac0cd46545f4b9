//! `skill`: the page that teaches coding agents, printed or put where they look.
//!
//! Refuses to write a page of its own: what it says is `ops::skill`'s.

use crate::cli::exit_code::ExitCode;
use crate::cli::{print, print_line};
use crate::ops::{Error, skill as page};
use crate::sys::env;
use std::path::Path;

/// `skill`: printed, or put into the folder that is named, or, where its name is empty, into the customary one.
///
/// # Errors
/// The folder cannot be written, or an edited page stands there.
pub(super) fn skill(install: Option<&Path>) -> Result<u8, Error> {
    let Some(folder) = install else {
        print(page::text().as_bytes());
        return Ok(ExitCode::Success.code());
    };
    let folder = if folder.as_os_str().is_empty() {
        let home = env::variable("HOME").ok_or_else(|| {
            Error::Usage("$HOME is not set, so there is no customary place; name one: --install DIR".to_owned())
        })?;
        Path::new(&home).join(".claude/skills/dogwatch")
    } else {
        folder.to_path_buf()
    };
    print_line(&page::install(&folder)?.display().to_string());
    Ok(ExitCode::Success.code())
}
