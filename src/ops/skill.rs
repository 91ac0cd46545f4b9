//! `skill`: the page that teaches this program to coding agents, and where it goes.
//!
//! Refuses to overwrite a page that somebody has edited: each carries a mark of its own text, by which an untouched one
//! of another version is known.

use crate::ops::{Error, stable_hash};
use crate::sys::fs::atomic_write::{read, write_into};
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("skill.md");
const NAME: &str = "SKILL.md";
/// Before and after the hash of all that stands above.
const MARK: [&str; 2] = ["\n<!-- dogwatch skill ", " -->\n"];

/// The page, with its mark.
pub(crate) fn text() -> String {
    format!("{PAGE}{}", mark(PAGE))
}

fn mark(page: &str) -> String {
    format!("{}{:016x}{}", MARK[0], stable_hash(page.as_bytes()), MARK[1])
}

/// Whether a page is as some version of this program wrote it.
fn is_untouched(content: &[u8]) -> bool {
    let Ok(content) = std::str::from_utf8(content) else { return false };
    content.rfind(MARK[0]).is_some_and(|at| content[at..] == mark(&content[..at]))
}

/// Puts the page into a folder; where it stands then.
///
/// # Errors
/// [`Error::Own`]: it cannot be written, or an edited page stands there.
pub(crate) fn install(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(NAME);
    let there = read(&path).map_err(Error::Own)?;
    if there.is_some_and(|content| !is_untouched(&content)) {
        return Err(Error::Own(format!(
            "{} was edited and is left as it is; move it away, or name another folder",
            path.display()
        )));
    }
    write_into(folder, NAME, text().as_bytes()).map_err(Error::Own)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_any_version_is_known_and_an_edited_one_too() {
        assert!(is_untouched(text().as_bytes()));
        let other = "another version\n";
        assert!(is_untouched(format!("{other}{}", mark(other)).as_bytes()));
        for edited in [text().replacen("dogwatch", "catwatch", 1), text() + "more\n", PAGE.to_owned(), String::new()] {
            assert!(!is_untouched(edited.as_bytes()));
        }
        assert!(!is_untouched(b"\xff"));
    }
}
