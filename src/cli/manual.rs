//! `completions`, `man` and `skill`: how the program is learned, by shells, people and agents.
//!
//! Refuses to say anything of the command line by hand where it can be made of its own definition.

use super::arguments::definition;
use super::exit::Exit;
use super::{print, print_line};
use crate::command::{Error, skill};
use crate::os::environment;
use crate::os::publish::write_into;
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// `completions`.
pub(super) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "dogwatch", &mut script);
    print(&script);
    Exit::Success.code()
}

/// `man`: the main page to standard output, or a page a command into a folder.
///
/// # Errors
/// The folder cannot be written.
pub(super) fn man(folder: Option<&Path>) -> Result<u8, Error> {
    let mut main = definition();
    // Hands the flags that every command takes down to each.
    main.build();
    let Some(folder) = folder else {
        print(&page(main)?);
        return Ok(Exit::Success.code());
    };
    let mut pages = vec![("dogwatch.1".to_owned(), page(main.clone())?)];
    for command in main.get_subcommands() {
        let name = format!("dogwatch-{}", command.get_name());
        // The page's own name, as `man` finds it.
        let command = command.clone().display_name(name.clone()).bin_name(format!("dogwatch {}", command.get_name()));
        pages.push((format!("{name}.1"), page(command)?));
    }
    for (name, content) in pages {
        write_into(folder, &name, &content).map_err(Error::Own)?;
    }
    Ok(Exit::Success.code())
}

/// `skill`: printed, or put into the folder that is named, or, where its name is empty, into the customary one.
///
/// # Errors
/// The folder cannot be written, or an edited page stands there.
pub(super) fn skill(install: Option<&Path>) -> Result<u8, Error> {
    let Some(folder) = install else {
        print(skill::text().as_bytes());
        return Ok(Exit::Success.code());
    };
    let folder = if folder.as_os_str().is_empty() {
        let home = environment::variable("HOME").ok_or_else(|| {
            Error::Usage("$HOME is not set, so there is no customary place; name one: --install DIR".to_owned())
        })?;
        Path::new(&home).join(".claude/skills/dogwatch")
    } else {
        folder.to_path_buf()
    };
    print_line(&skill::install(&folder)?.display().to_string());
    Ok(Exit::Success.code())
}

fn page(command: Command) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text).map_err(|error| Error::Own(format!("cannot make the page: {error}")))?;
    Ok(text)
}
