//! `dogwatch completions`, and the answers to a shell that completes a command line.
//!
//! The script that a shell loads calls the program for every completion, so that names of steps are completed too.

use super::{Args, Context, Error, ExitCode, Subcommand, defaults, definition};
use crate::cli::output::print_error;
use crate::env_vars;
use crate::ops::check::CheckOptions;
use crate::ops::directory::default_directory;
use crate::ops::list::reports;
use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use crate::record::shell_word::first_shell_word;
use crate::record::units::shown;
use crate::sys::env;
use clap_complete::Shell;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

impl Subcommand for CompletionsArgs {
    const NAME: &'static str = "completions";
    const ABOUT: &'static str = "Print the script that completes commands, flags and step names in a shell";
    const EXAMPLES: &'static [&'static str] = &[
        "echo 'source <(dogwatch completions bash)' >> ~/.bashrc",
        "echo 'source <(dogwatch completions zsh)' >> ~/.zshrc    # after compinit",
        "echo 'dogwatch completions fish | source' > ~/.config/fish/completions/dogwatch.fish",
    ];
    const NOTES: &'static str = "Load the script when the shell starts, as above, rather than from a copy: it calls \
        dogwatch to complete, and the two belong to one version.";

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let mut script = Vec::new();
        let shells = Shells::builtins();
        let completer = shells.completer(&self.shell.to_string());
        let completer =
            completer.ok_or_else(|| Error::internal(format!("there are no completions for {}", self.shell)))?;
        let (name, variable) = ("dogwatch", env_vars::COMPLETE);
        let written = completer.write_registration(variable, name, name, name, &mut script);
        written.map_err(|error| Error::internal(format!("cannot make the script: {error}")))?;
        context.out.print(&script);
        Ok(ExitCode::Success.code())
    }
}

/// Answers a shell that asks for completions; the exit code, or none where no shell asks.
pub(in crate::cli) fn answer(line: &[OsString]) -> Option<u8> {
    env::variable(env_vars::COMPLETE)?;
    let current = env::current_folder().ok();
    let engine = CompleteEnv::with_factory(definition).var(env_vars::COMPLETE).shells(Shells::builtins());
    match engine.bin("dogwatch").completer("dogwatch").try_complete(line.iter().cloned(), current.as_deref()) {
        Ok(true) => Some(ExitCode::Success.code()),
        Ok(false) => None,
        Err(error) => {
            print_error(&format!("cannot complete: {error}"));
            Some(ExitCode::InternalError.code())
        }
    }
}

/// Completes the name of any step.
pub(super) fn steps() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(|_| true))
}

/// Completes the name of a step that runs.
pub(super) fn running_steps() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(|report| report.outcome == Outcome::Running))
}

/// Completes the name of a step that has ended.
pub(super) fn ended_steps() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(|report| report.outcome != Outcome::Running))
}

#[cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, reason = "the line that a shell completes is in the arguments")
)]
fn candidates(is_wanted: fn(&Report) -> bool) -> Vec<CompletionCandidate> {
    let directory = named_directory(std::env::args_os().skip_while(|word| word != "--").skip(1));
    let Ok(directory) = defaults::directory_or(directory.as_deref(), default_directory) else { return Vec::new() };
    // A shell that completes has no place for an error.
    let Ok(listing) = reports(&CheckOptions::new(directory).log_tail(0)) else { return Vec::new() };
    let wanted = listing.steps.iter().filter(|report| is_wanted(report));
    wanted.map(|report| CompletionCandidate::new(&report.step).help(Some(state(report).into()))).collect()
}

fn state(report: &Report) -> String {
    let elapsed = report.elapsed_ms.map_or_else(String::new, |elapsed| format!(", {}", shown(elapsed)));
    format!("{}{elapsed}", report.outcome.as_str())
}

/// The value of `--dir` in a command line that is still being written, word by word as the shell has them.
fn named_directory(line: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let words: Vec<String> = line.map(|word| word.to_string_lossy().into_owned()).collect();
    let options = words.split(|word| word == "--").next()?;
    let at = options.iter().position(|word| word == "--dir" || word.starts_with("--dir="))?;
    let value = match options[at].strip_prefix("--dir=") {
        Some(value) => value,
        // bash makes three words of `--dir=DIR`.
        None => options[at + 1..].iter().find(|word| *word != "=")?,
    };
    let value = unquoted(value);
    match (value.strip_prefix("~/"), env::variable("HOME")) {
        (Some(below), Some(home)) => Some(Path::new(&home).join(below)),
        _ => Some(PathBuf::from(value)),
    }
}

/// A word without the shell's quotes and backslashes: bash passes words on as they were typed.
fn unquoted(word: &str) -> String {
    let typed = first_shell_word(word.as_bytes()).filter(|_| word.contains(['\'', '"', '\\']));
    typed.and_then(|word| String::from_utf8(word).ok()).unwrap_or_else(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_found_in_a_line_as_shells_have_it() {
        let found = |words: &[&str]| named_directory(words.iter().map(OsString::from));
        assert_eq!(found(&["dogwatch", "--dir", "/a b", "wait", ""]), Some("/a b".into()));
        assert_eq!(found(&["dogwatch", "wait", "--dir", "=", "'/a b'", ""]), Some("/a b".into()));
        assert_eq!(found(&["dogwatch", "wait", "--dir=/a\\ b", ""]), Some("/a b".into()));
        assert_eq!(found(&["dogwatch", "wait", "--dir=\"/it's\"", ""]), Some("/it's".into()));
        assert_eq!(found(&["dogwatch", "run", "s", "--", "tool", "--dir", "/x"]), None);
        assert_eq!(found(&["dogwatch", "wait", "--dir"]), None);
    }
}
