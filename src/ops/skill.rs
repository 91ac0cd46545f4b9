//! `skill`: the page that teaches this program to coding agents, and the folders it is installed in. Called by `cli`.
//!
//! An edited page is never overwritten: each carries a hash of its own text, so an unedited one of any version is known.

use crate::error::Error;
use crate::ops::project::stable_hash;
use crate::sys::env;
use crate::sys::fs::atomic_write::{read, write_into};
use crate::sys::fs::metadata::is_there;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("skill.md");
const NAME: &str = "SKILL.md";
/// What precedes and follows the hash of the text above it.
const MARK: [&str; 2] = ["\n<!-- dogwatch skill ", " -->\n"];

/// The page, with its mark.
pub(crate) fn text() -> String {
    format!("{PAGE}{}", mark(PAGE))
}

fn mark(page: &str) -> String {
    format!("{}{:016x}{}", MARK[0], stable_hash(page.as_bytes()), MARK[1])
}

/// Whether a page is as some version of this program wrote it.
fn is_unedited(content: &[u8]) -> bool {
    let Ok(content) = std::str::from_utf8(content) else { return false };
    content.rfind(MARK[0]).is_some_and(|at| content[at..] == mark(&content[..at]))
}

/// The folders where this user's coding agents look for the page: those of each agent that has a folder of its own in the
/// home directory, and Claude Code's where none has.
///
/// # Errors
/// `ErrorKind::InvalidOptions`: `$HOME` is not set.
pub(crate) fn agent_folders() -> Result<Vec<PathBuf>, Error> {
    let home = env::variable("HOME")
        .ok_or_else(|| Error::invalid_options("$HOME is not set; name a folder: --install DIR"))?;
    let home = Path::new(&home);
    let claude = env::variable("CLAUDE_CONFIG_DIR").map_or_else(|| home.join(".claude"), PathBuf::from);
    // Codex reads the second folder (developers.openai.com/codex/skills), and so does Gemini
    // (geminicli.com/docs/cli/using-agent-skills), as do other agents that follow agentskills.io.
    let shared = home.join(".agents");
    let has_shared = [".agents", ".codex", ".gemini"].iter().any(|name| is_there(&home.join(name)));
    let used = [(is_there(&claude) || !has_shared, claude), (has_shared, shared)];
    Ok(used.into_iter().filter(|(is_used, _)| *is_used).map(|(_, folder)| folder.join("skills/dogwatch")).collect())
}

/// Writes the page into a folder; returns its path.
///
/// # Errors
/// `ErrorKind::Internal`: it cannot be written, or there is an edited one.
pub(crate) fn install(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(NAME);
    let there = read(&path)?;
    if there.is_some_and(|content| !is_unedited(&content)) {
        return Err(Error::internal(format!(
            "{} was edited and is left as it is; move it away, or name another folder",
            path.display()
        )));
    }
    write_into(folder, NAME, text().as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_any_version_is_known_and_an_edited_one_too() {
        assert!(is_unedited(text().as_bytes()));
        let other = "another version\n";
        assert!(is_unedited(format!("{other}{}", mark(other)).as_bytes()));
        for edited in [text().replacen("dogwatch", "catwatch", 1), text() + "more\n", PAGE.to_owned(), String::new()] {
            assert!(!is_unedited(edited.as_bytes()));
        }
        assert!(!is_unedited(b"\xff"));
    }
}
