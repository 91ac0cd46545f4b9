//! Usage errors in one sentence: what is wrong, what was meant, and where help is. Called by `cli::run`.

use super::commands::definition;
use super::output::Output;
use crate::exit_code::ExitCode;
use crate::ops::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Prints what clap answers: help and version were asked for; everything else is a usage error. The exit code.
pub(super) fn print(error: &clap::Error, line: &[OsString]) -> u8 {
    let out = Output::before_parsing(line);
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if out.styles.enabled() { text.ansi().to_string() } else { text.to_string() };
        out.print(text.as_bytes());
        return out.finish(ExitCode::Success.code());
    }
    out.error(&Error::Usage(one_sentence(error)))
}

/// A usage error in one sentence: what clap says in several lines, and where help is.
pub(super) fn one_sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let usage = text.lines().find_map(|line| line.trim_start().strip_prefix("Usage: dogwatch "));
    let command =
        usage.and_then(|usage| usage.split_whitespace().next()).filter(|word| word.starts_with(char::is_alphabetic));
    let help = command.map_or_else(|| "dogwatch --help".to_owned(), |command| format!("dogwatch {command} --help"));
    // What the second kind renders is the whole help: right for nobody who made a mistake in a script.
    if matches!(error.kind(), ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        let mut all = definition();
        all.build();
        let of = command.and_then(|command| all.find_subcommand(command)).unwrap_or(&all);
        let names: Vec<&str> = of.get_subcommands().map(clap::Command::get_name).collect();
        return format!("no command was given; use one of {} (see {help})", names.join(", "));
    }
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if paragraph.starts_with("Usage:") || paragraph.starts_with("For more information") {
            continue;
        }
        said.push(paragraph.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned());
    }
    let is_about_a_flag = matches!(
        error.get(ContextKind::InvalidArg), Some(ContextValue::String(argument)) if argument.starts_with('-')
    );
    // What clap cannot know: what the mistake is as a rule.
    match (command, error.kind()) {
        (Some("run"), ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument) if !is_about_a_flag => {
            said.push("COMMAND comes after --, as in: dogwatch run STEP -- COMMAND".to_owned());
        }
        (Some("clean"), ErrorKind::MissingRequiredArgument) => {
            said.push("or name an age, as in: dogwatch clean --older-than 7d".to_owned());
        }
        _ => {}
    }
    format!("{} (see {help})", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let words = std::iter::once("dogwatch").chain(line.split_whitespace()).map(OsString::from);
        one_sentence(&definition().try_get_matches_from(words).unwrap_err())
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_fault_and_the_help() {
        for (line, fault, help) in [
            ("wiat build", "'wait'", "dogwatch --help"),
            ("--json", "no command", "dogwatch --help"),
            ("", "no command", "dogwatch --help"),
            ("wait", "<STEP>", "dogwatch wait --help"),
            ("wait a/b", "no step name", "--help"),
            ("wait b --stale soon", "is no duration", "--help"),
            ("run build", "<COMMAND>", "dogwatch run --help"),
            ("run build make", "comes after --", "dogwatch run --help"),
            ("clean", "--older-than 7d", "dogwatch clean --help"),
            ("run build --log-max huge -- true", "is no size", "--help"),
        ] {
            let sentence = refused(line);
            assert!(sentence.contains(fault) && sentence.contains(help), "{line}: {sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
