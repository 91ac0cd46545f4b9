//! `dogwatch man`: man pages made from the definition that parses the command line.

use super::{ALL, Args, Context, Error, ExitCode, Help, MAIN_HELP, Subcommand, definition};
use crate::sys::fs::atomic_write::write_into;
use clap_mangen::Man;
use std::io::{self, Write};
use std::iter;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder; it is created where it is missing
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

impl Subcommand for ManArgs {
    const NAME: &'static str = "man";
    const ABOUT: &'static str = "Print the man page, or write one for each command into a folder";
    const EXAMPLES: &'static [&'static str] = &["dogwatch man --out ~/.local/share/man/man1"];

    /// # Errors
    /// `ErrorKind::Internal` where a page cannot be written; those before it are there.
    fn exec(self, context: &Context) -> Result<u8, Error> {
        let mut program = definition();
        // Only a built definition knows the usage lines of its commands.
        program.build();
        let Some(folder) = self.out else {
            context.out.print(&page(&program, &MAIN_HELP)?);
            return Ok(ExitCode::Success.code());
        };
        let commands = ALL.iter().filter_map(|entry| Some((program.find_subcommand(entry.name)?, &entry.help)));
        for (command, help) in iter::once((&program, &MAIN_HELP)).chain(commands) {
            let name = command.get_display_name().unwrap_or(command.get_name());
            write_into(&folder, &format!("{name}.1"), &page(command, help)?)?;
        }
        Ok(ExitCode::Success.code())
    }
}

/// One page, in the sections and the order of man-pages(7).
fn page(command: &clap::Command, help: &Help) -> Result<Vec<u8>, Error> {
    render(command, help).map_err(|error| Error::internal(format!("cannot make the man page: {error}")))
}

fn render(command: &clap::Command, help: &Help) -> io::Result<Vec<u8>> {
    let usage = command.clone().render_usage().to_string();
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    writeln!(page, ".SH \"SYNOPSIS\"")?;
    for line in usage.trim_start_matches("Usage:").lines() {
        writeln!(page, "{}\n.br", roff(line.trim()))?;
    }
    man.render_description_section(&mut page)?;
    for paragraph in help.notes.split("\n\n").filter(|text| !text.is_empty()) {
        writeln!(page, ".PP\n{}", roff(paragraph))?;
    }
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if !help.exit_codes.is_empty() {
        writeln!(page, ".SH \"EXIT STATUS\"")?;
        for (code, meaning) in help.exit_codes() {
            writeln!(page, ".TP\n\\fB{}\\fR\n{}", code.code(), roff(meaning))?;
        }
    }
    writeln!(page, ".SH \"EXAMPLES\"")?;
    for example in help.examples {
        writeln!(page, ".PP\n.nf\n{}\n.fi", roff(example))?;
    }
    if command.get_version().is_some() {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// Text as roff prints it: no character of it is a request or an escape (`groff_char(7)`: `-` alone is a hyphen).
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let lines =
        escaped.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}
