//! The subcommands: one file each, with its arguments, their conversion into options, and its execution.
//!
//! To add one: write a file with a type that is [`Subcommand`], and a line in [`ALL`]. What most of these files need they take
//! from here.

mod beat;
mod breaker;
mod check;
mod clean;
pub(super) mod completions;
mod dir;
mod events;
mod history;
mod hook;
mod kill;
mod list;
mod log;
mod man;
mod one_call;
mod preflight;
mod recover;
mod run;
mod run_listener;
mod schema;
mod self_managed;
mod skill;
mod tags;
mod thresholds;
mod wait;

use super::{Context, GlobalArgs, defaults};
use crate::error::{Error, UnknownWord, Word};
use crate::exit_code::ExitCode;
use crate::record::step_name::StepName;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, Command};
use std::ffi::OsString;

/// What a subcommand's file provides.
pub(super) trait Subcommand: Args {
    /// Its word on the command line.
    const NAME: &'static str;
    /// One line for the list of commands.
    const ABOUT: &'static str;
    /// Command lines that work as they are.
    const EXAMPLES: &'static [&'static str];
    /// Paragraphs of text.
    const NOTES: &'static str = "";
    /// The exit codes that are worth naming.
    const EXIT_CODES: &'static [ExitCode] = &[];
    /// What exit codes mean here where that differs from the table.
    const MEANINGS: Meanings = &[];
    /// These four.
    const HELP: Help =
        Help { examples: Self::EXAMPLES, notes: Self::NOTES, exit_codes: Self::EXIT_CODES, meanings: Self::MEANINGS };

    /// Does it, and returns the exit code.
    ///
    /// # Errors
    /// No result could be had.
    fn exec(self, context: &Context) -> Result<u8, Error>;
}

/// What `--help` and the man page say beside the arguments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Help {
    examples: &'static [&'static str],
    notes: &'static str,
    exit_codes: &'static [ExitCode],
    meanings: Meanings,
}

/// Exit codes with a meaning of their own.
type Meanings = &'static [(ExitCode, &'static str)];

impl Help {
    /// The text below the arguments in `--help`.
    fn text(&self) -> String {
        let title = if self.examples.len() == 1 { "Example" } else { "Examples" };
        let examples: Vec<String> = self.examples.iter().map(|line| format!("  {line}")).collect();
        let mut parts = vec![format!("{title}:\n{}", examples.join("\n"))];
        if !self.notes.is_empty() {
            parts.push(self.notes.to_owned());
        }
        let codes: Vec<String> =
            self.exit_codes().map(|(code, meaning)| format!("  {:>3}  {meaning}", code.code())).collect();
        if !codes.is_empty() {
            parts.push(format!("Exit codes:\n{}", codes.join("\n")));
        }
        parts.join("\n\n")
    }

    /// Each exit code with its meaning.
    fn exit_codes(&self) -> impl Iterator<Item = (ExitCode, &'static str)> {
        let own = |code| self.meanings.iter().find(|(known, _)| *known == code).map(|(_, meaning)| *meaning);
        self.exit_codes.iter().map(move |&code| (code, own(code).unwrap_or(code.meaning())))
    }
}

/// A subcommand as the table below holds it.
pub(super) struct SubcommandEntry {
    pub(super) name: &'static str,
    about: &'static str,
    help: Help,
    define: fn(Command) -> Command,
    exec: fn(&ArgMatches, &Context) -> Result<u8, Error>,
}

const fn entry<S: Subcommand>() -> SubcommandEntry {
    SubcommandEntry {
        name: S::NAME,
        about: S::ABOUT,
        help: S::HELP,
        define: |command| S::augment_args(command).mut_args(allow_hyphen).about(S::ABOUT).after_help(S::HELP.text()),
        exec: |matches, context| {
            // clap has matched them against the same definition.
            let arguments = S::from_arg_matches(matches).map_err(|error| Error::invalid_options(error.to_string()))?;
            arguments.exec(context)
        },
    }
}

/// Lets a value begin with a hyphen: text and patterns may (`--marker '--- FAIL'`), and a negative duration is answered with
/// how one is written.
fn allow_hyphen(argument: Arg) -> Arg {
    const NAMES: [&str; 7] = ["D", "N", "SIZE", "PID", "REGEX", "TEXT", "JSON"];
    let may = argument.get_value_names().is_some_and(|names| names.iter().any(|name| NAMES.contains(&name.as_str())));
    argument.allow_hyphen_values(may)
}

/// All subcommands, in the order of `--help`.
pub(super) static ALL: [SubcommandEntry; 22] = [
    entry::<run::RunArgs>(),
    entry::<wait::WaitArgs>(),
    entry::<check::CheckArgs>(),
    entry::<recover::RecoverArgs>(),
    entry::<kill::KillArgs>(),
    entry::<list::ListArgs>(),
    entry::<log::LogArgs>(),
    entry::<history::HistoryArgs>(),
    entry::<events::EventsArgs>(),
    entry::<beat::BeatArgs>(),
    entry::<self_managed::StartArgs>(),
    entry::<self_managed::SucceedArgs>(),
    entry::<self_managed::FailArgs>(),
    entry::<clean::CleanArgs>(),
    entry::<breaker::BreakerArgs>(),
    entry::<preflight::PreflightArgs>(),
    entry::<skill::SkillArgs>(),
    entry::<hook::HookArgs>(),
    entry::<schema::SchemaArgs>(),
    entry::<completions::CompletionsArgs>(),
    entry::<man::ManArgs>(),
    entry::<dir::DirArgs>(),
];

/// The help of the program itself.
pub(super) const MAIN_HELP: Help = Help {
    examples: &["dogwatch run -d build -- cargo build", "dogwatch wait build && echo go"],
    notes: "The files of all steps are in one directory; `dogwatch dir` prints it.",
    exit_codes: &ExitCode::ALL,
    meanings: &[],
};

/// The whole definition of the command line.
pub(super) fn definition() -> Command {
    definition_with(ALL.iter())
}

/// The matches of a command line. Only the subcommands that its words name are defined at first: clap copies the global
/// arguments into each, which takes longer than a `wait` for a step that has ended.
///
/// # Errors
/// What clap makes of it by the whole definition.
pub(super) fn parse(line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let named = ALL.iter().filter(|entry| line.iter().any(|word| word == entry.name));
    definition_with(named).try_get_matches_from(line).or_else(|_| definition().try_get_matches_from(line))
}

fn definition_with<'entries>(entries: impl Iterator<Item = &'entries SubcommandEntry>) -> Command {
    let program = GlobalArgs::augment_args(Command::new("dogwatch"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Runs background work and tells you the moment it succeeded, failed, hung, died or ran out of time.")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(MAIN_HELP.text());
    program.subcommands(entries.map(|entry| Command::new(entry.name).about(entry.about).defer(entry.define)))
}

/// Does what the command line says.
///
/// # Errors
/// As the subcommand.
pub(super) fn exec(matches: &ArgMatches, context: &Context) -> Result<u8, Error> {
    let entry = |(name, matches)| Some((ALL.iter().find(|entry| entry.name == name)?, matches));
    let found = matches.subcommand().and_then(entry);
    let Some((entry, matches)) = found else { return Err(Error::invalid_options("no command was given")) };
    (entry.exec)(matches, context)
}

/// An error of the call where `fault` holds.
fn refuse_if(fault: bool, sentence: &str) -> Result<(), Error> {
    if fault { Err(Error::invalid_options(sentence)) } else { Ok(()) }
}

/// The exit code of a call that does something to each step: whether that failed for any, and whether any is not there.
fn exit_of_all(any_failed: bool, any_absent: bool) -> u8 {
    let exit = match (any_failed, any_absent) {
        (true, _) => ExitCode::InternalError,
        (false, true) => ExitCode::NotStarted,
        (false, false) => ExitCode::Success,
    };
    exit.code()
}

/// Parses one of these words, each with its help.
fn one_of<T: Copy + Send + Sync + 'static>(words: &'static [Word<T>]) -> impl TypedValueParser<Value = T> {
    let values = words.iter().map(|&(word, _, help)| PossibleValue::new(word).help(help));
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|word| UnknownWord::find(&word, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        definition().debug_assert();
    }
}
