//! Completions and man pages, made from the definition that parses the command line.
//!
//! Refuses to hold a second list of commands and flags: what these say is what is parsed.

use crate::cli::arguments::definition;
use crate::cli::print;
use crate::ops::Error;
use crate::sys::env;
use crate::sys::fs::monitor_dir::{MonitorDir, why};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "dogwatch", &mut script);
    print(&script);
}

/// Writes a man page for the program and for each of its commands into a folder, or prints the program's where none is
/// named.
///
/// # Errors
/// [`Error::Own`] where a page cannot be written; those before it are there.
pub(super) fn man(folder: Option<&Path>) -> Result<(), Error> {
    let mut all = definition();
    // Only a built definition knows the usage lines of its commands.
    all.build();
    let Some(folder) = folder else {
        print(&page(all, "dogwatch")?);
        return Ok(());
    };
    let folder = MonitorDir::at(env::absolute(folder));
    folder.create().map_err(Error::Own)?;
    let commands: Vec<clap::Command> =
        all.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    write(&folder, "dogwatch", all)?;
    for command in commands {
        let name = format!("dogwatch-{}", command.get_name());
        write(&folder, &name, command)?;
    }
    Ok(())
}

fn write(folder: &MonitorDir, name: &str, command: clap::Command) -> Result<(), Error> {
    let file = format!("{name}.1");
    let content = page(command, name)?;
    folder
        .publish(&format!(".{file}.{}.tmp", env::unique()), &file, &content)
        .map_err(|error| Error::Own(format!("cannot write {}: {}", folder.join(&file).display(), why(&error))))
}

fn page(command: clap::Command, title: &str) -> Result<Vec<u8>, Error> {
    let mut page = Vec::new();
    let rendered = Man::new(command).title(title).render(&mut page);
    rendered.map_err(|error| Error::Own(format!("cannot make the man page: {error}")))?;
    Ok(page)
}
