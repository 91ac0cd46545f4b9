//! Usage errors in one sentence: what is wrong, what was meant, and where help is. Called by `cli::run`.

use super::commands::definition;
use super::output::Output;
use crate::error::Error;
use crate::exit_code::ExitCode;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::OsString;

/// Prints what clap answers: help and version were asked for; everything else is a usage error. The exit code.
pub(super) fn print(error: &clap::Error, line: &[OsString]) -> u8 {
    let out = Output::before_parsing(line);
    let unknown = without_help(error, line);
    let error = unknown.as_ref().unwrap_or(error);
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if out.styles.enabled { text.ansi().to_string() } else { text.to_string() };
        out.print(text.as_bytes());
        return out.finish(ExitCode::Success.code());
    }
    out.error(&Error::invalid_options(one_sentence(error, line)))
}

/// The error about an unknown command itself, where its help was asked for: `dogwatch help wiat`. Only there does clap name
/// the similar command.
fn without_help(error: &clap::Error, line: &[OsString]) -> Option<clap::Error> {
    let help = line.iter().position(|word| word == "help").filter(|_| error.kind() == ErrorKind::InvalidSubcommand)?;
    definition().try_get_matches_from([&line[..help], &line[help + 1..]].concat()).err()
}

/// A usage error in one sentence: what clap says in several lines, and where help is.
fn one_sentence(error: &clap::Error, line: &[OsString]) -> String {
    let text = error.render().to_string();
    let usage = text.lines().find_map(|line| line.trim_start().strip_prefix("Usage: dogwatch "));
    let command =
        usage.and_then(|usage| usage.split_whitespace().next()).filter(|word| word.starts_with(char::is_alphabetic));
    // Of a value that does not fit clap tells no usage.
    let is_about_a_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    let command = command.or_else(|| command_of(line).filter(|_| is_about_a_value));
    let help = command.map_or_else(|| "dogwatch --help".to_owned(), |command| format!("dogwatch {command} --help"));
    // The second kind renders the whole help, which buries the mistake.
    if matches!(error.kind(), ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        let mut all = definition();
        all.build();
        let of = command.and_then(|command| all.find_subcommand(command)).unwrap_or(&all);
        let names: Vec<&str> = of.get_subcommands().map(Command::get_name).collect();
        return format!("no command was given; use one of {} (see {help})", names.join(", "));
    }
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    if let Some(typed) = word(ContextKind::InvalidSubcommand)
        && let Some((_, hint)) = COMMAND_HINTS.iter().find(|(words, _)| words.contains(&typed))
    {
        return format!("there is no command {typed}; {hint} (see {help})");
    }
    if let (Some(typed), Some(command)) = (word(ContextKind::InvalidArg), command)
        && let Some((_, _, hint)) =
            FLAG_HINTS.iter().find(|(of, flags, _)| of.contains(&command) && flags.contains(&typed))
    {
        return format!("unexpected argument {typed}; {hint} (see {help})");
    }
    let mut said: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        // It would be wrong: no STEP begins with a hyphen.
        let lines = paragraph.lines().filter(|line| !line.trim_start().starts_with("tip: to pass "));
        let paragraph = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        if paragraph.is_empty() || ["Usage:", "For more information"].iter().any(|begin| paragraph.starts_with(begin)) {
            continue;
        }
        said.push(paragraph.trim_start_matches("error: ").trim_start_matches("tip: ").to_owned());
    }
    let is_about_a_flag = word(ContextKind::InvalidArg).is_some_and(|argument| argument.starts_with('-'));
    // What clap cannot know: what the mistake usually is.
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

/// The command that a line names.
fn command_of(line: &[OsString]) -> Option<&str> {
    let all = definition();
    let words = line.iter().skip(1).take_while(|word| *word != "--").filter_map(|word| word.to_str());
    words.into_iter().find(|word| all.find_subcommand(word).is_some())
}

/// What users of docker, pueue, gh, systemctl and the shell type, and what does that here.
const COMMAND_HINTS: &[(&[&str], &str)] = &[
    (&["status", "show", "inspect", "poll"], "use dogwatch check STEP, or dogwatch list for all steps"),
    (&["ps", "ls", "jobs", "top"], "use dogwatch list"),
    (&["watch"], "use dogwatch list --watch, or dogwatch wait STEP"),
    (&["stop", "cancel", "terminate", "abort", "end"], "use dogwatch kill STEP"),
    (&["rm", "remove", "delete", "prune"], "use dogwatch clean STEP"),
    (&["logs", "tail", "follow", "cat", "output"], "use dogwatch log STEP, with -f to follow it"),
    (&["exec", "add", "submit", "spawn", "restart"], "use dogwatch run STEP -- COMMAND"),
    (&["attach", "join"], "use dogwatch wait STEP, or dogwatch log STEP -f"),
    (&["heartbeat", "ping", "touch"], "use dogwatch beat STEP"),
    (&["resume", "reattach"], "use dogwatch recover STEP"),
    (&["doctor"], "use dogwatch preflight"),
    (&["version"], "use dogwatch --version"),
];

/// The same for flags: the commands, what is typed, and what does that here.
const FLAG_HINTS: &[(&[&str], &[&str], &str)] = &[
    (&["wait", "recover"], &["--timeout", "-t", "--wait-timeout"], "use --for D, or --max-timeout D to end the work"),
    (&["run"], &["--timeout", "-t"], "use --max-timeout D to end work that takes longer"),
    (&["run"], &["--background", "--bg", "-b"], "use -d to leave the work running and return"),
    (&["run"], &["--name", "-n"], "the name comes first, as in: dogwatch run STEP -- COMMAND"),
    (&["run"], &["-i", "-it", "-ti"], "use --stdin inherit to let COMMAND read this terminal"),
    (&["log"], &["--tail", "-t", "-l"], "use -n N for the last N lines"),
    (&["log"], &["-F"], "use -f to follow the log"),
    (&["log"], &["--timestamps", "--since", "--until"], "a log has no times of its own: have COMMAND print them"),
    (&["check", "wait"], &["-n", "--tail", "--lines"], "use --log-tail N for the last N lines of the log"),
    (&["kill"], &["-9", "-KILL", "-SIGKILL", "-f", "--force"], "use --signal KILL to send KILL at once"),
    (&["kill"], &["-t", "--timeout"], "use --grace D for the time from TERM to KILL"),
    (&["list"], &["-a", "--all"], "list shows all steps"),
    (&["clean"], &["-f", "--force"], "end a running step first, with dogwatch kill STEP"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        let words: Vec<_> = std::iter::once("dogwatch").chain(line.split_whitespace()).map(OsString::from).collect();
        one_sentence(&definition().try_get_matches_from(&words).unwrap_err(), &words)
    }

    #[test]
    fn no_hint_is_about_what_there_is() {
        let mut all = definition();
        all.build();
        for (words, _) in COMMAND_HINTS {
            assert!(words.iter().all(|word| all.find_subcommand(word).is_none()), "{words:?}");
        }
        for (commands, flags, _) in FLAG_HINTS {
            let commands = commands.iter().map(|command| all.find_subcommand(command).expect("a command"));
            for argument in commands.flat_map(Command::get_arguments) {
                let long = argument.get_long().map(|long| format!("--{long}"));
                let short = argument.get_short().map(|short| format!("-{short}"));
                let taken = |flag: &&str| [&long, &short].iter().any(|own| own.as_deref() == Some(*flag));
                assert!(!flags.iter().any(taken), "{flags:?}");
            }
        }
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_the_fault_and_the_help() {
        for (line, fault, help) in [
            ("wiat build", "'wait'", "dogwatch --help"),
            ("--json", "no command", "dogwatch --help"),
            ("", "no command", "dogwatch --help"),
            ("log", "<STEP>", "dogwatch log --help"),
            ("wait a/b", "no step name", "dogwatch wait --help"),
            ("wait b --stale soon", "is no duration", "dogwatch wait --help"),
            ("run b --color blue -- wait", "possible values", "dogwatch run --help"),
            ("--dir", "a value is required", "dogwatch --help"),
            ("run b --halp", "'--help' (see", "dogwatch run --help"),
            ("log b -n some", "is no whole number", "dogwatch log --help"),
            ("run b --max-consecutive -1 -- true", "is no whole number", "dogwatch run --help"),
            ("start b --pid x", "is no whole number", "dogwatch start --help"),
            ("wait b --log-tail 1.5", "is no whole number", "dogwatch wait --help"),
            ("run build", "<COMMAND>", "dogwatch run --help"),
            ("run build make", "comes after --", "dogwatch run --help"),
            ("clean", "--older-than 7d", "dogwatch clean --help"),
            ("stop build", "dogwatch kill STEP", "dogwatch --help"),
            ("ps", "dogwatch list", "dogwatch --help"),
            ("status build", "dogwatch check STEP", "dogwatch --help"),
            ("rm build", "dogwatch clean STEP", "dogwatch --help"),
            ("logs build", "dogwatch log STEP", "dogwatch --help"),
            ("wait build --timeout 5m", "--for D", "dogwatch wait --help"),
            ("wait build --timeout=5m", "--for D", "dogwatch wait --help"),
            ("run -t 5m build -- make", "--max-timeout D", "dogwatch run --help"),
            ("run build --timeout 5m -- make", "--max-timeout D", "dogwatch run --help"),
            ("log build --tail 5", "-n N", "dogwatch log --help"),
            ("log build --timestamps", "COMMAND print them", "dogwatch log --help"),
            ("kill -9 build", "--signal KILL", "dogwatch kill --help"),
            ("kill build -9", "--signal KILL", "dogwatch kill --help"),
            ("kill -s FOO build", "is no signal", "dogwatch kill --help"),
            ("help nosuch", "nosuch", "dogwatch --help"),
            ("run build --log-max huge -- true", "is no size", "dogwatch run --help"),
        ] {
            let sentence = refused(line);
            assert!(sentence.contains(fault) && sentence.contains(help), "{line}: {sentence}");
            assert!(!sentence.contains('\n'), "{sentence}");
        }
    }
}
