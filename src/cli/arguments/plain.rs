//! The plainest lines, read without the whole definition: steps to wait for or to look at, and little else.
//!
//! Putting clap's definition of twenty commands together takes longer than looking at a step, which is what a caller of
//! ended work waits for. Refuses whatever is not as it should be, help included: then the definition has the word, and
//! what is read here is read there alike (the tests hold one against the other).

use crate::cli::arguments::wait::LOG_TAIL;
use crate::cli::arguments::{
    Arguments, CheckArguments, Color, Command, Global, RecoverArguments, RunArguments, WaitArguments, step,
};
use crate::record::units;
use clap::{Args, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;

/// Reads `wait` and `check` of steps with `--dir`, `--json`, `--quiet`, `--all` or `--for` and nothing else.
pub(super) fn parse(line: &[OsString]) -> Option<Arguments> {
    let mut global = Global { dir: None, json: false, quiet: false, verbose: 0, color: Color::Auto };
    let mut wait = WaitArguments { log_tail: LOG_TAIL, ..WaitArguments::default() };
    let mut command = None;
    let mut words = line.iter().skip(1).map(|word| word.to_str());
    while let Some(word) = words.next() {
        // A flag given twice is a mistake that clap has a sentence for.
        match (word?, command) {
            ("--json", _) if !global.json => global.json = true,
            ("-q" | "--quiet", _) if !global.quiet => global.quiet = true,
            ("--dir", _) if global.dir.is_none() => {
                global.dir = words.next()?.filter(|value| is_value(value)).map(PathBuf::from);
                global.dir.as_ref()?;
            }
            ("--all", Some("wait")) if !wait.all => wait.all = true,
            ("--for", Some("wait")) if wait.at_most.is_none() => {
                wait.at_most = Some(units::duration(words.next()??).ok()?);
            }
            (flag, _) if flag.starts_with('-') => return None,
            (name, None) => command = Some(name),
            (name, Some(_)) => wait.steps.push(step(name).ok()?),
        }
    }
    let command = match command.filter(|_| !wait.steps.is_empty())? {
        "wait" => Command::Wait(Box::new(wait)),
        "check" => {
            let WaitArguments { steps, stale, max_timeout, log_tail, .. } = wait;
            Command::Check(CheckArguments { steps, stale, max_timeout, log_tail })
        }
        _ => return None,
    };
    Some(Arguments { global, command })
}

/// Whether a word can only be a value.
fn is_value(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-')
}

/// Reads the line by the definition of its one command alone, for those that are called often and wait for nobody.
pub(super) fn parse_by_one(line: &[OsString]) -> Option<Arguments> {
    let command = match command_of(line)? {
        "run" => RunArguments::augment_args(clap::Command::new("run")),
        "wait" => WaitArguments::augment_args(clap::Command::new("wait")),
        "check" => CheckArguments::augment_args(clap::Command::new("check")),
        "recover" => RecoverArguments::augment_args(clap::Command::new("recover")),
        _ => return None,
    };
    let all = Global::augment_args(clap::Command::new("dogwatch")).subcommand_required(true);
    let matches = all.disable_help_subcommand(true).subcommand(command).try_get_matches_from(line).ok()?;
    Arguments::from_arg_matches(&matches).ok()
}

/// The first word that is neither a flag of every command nor its value.
fn command_of(line: &[OsString]) -> Option<&str> {
    let mut words = line.iter().skip(1);
    loop {
        match words.next()?.to_str()? {
            "--dir" | "--color" => drop(words.next()?),
            flag if flag.starts_with('-') => {}
            name => return Some(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words(line: &str) -> Vec<OsString> {
        std::iter::once("dogwatch").chain(line.split(' ')).map(OsString::from).collect()
    }

    fn by_all(line: &str) -> Option<String> {
        let matches = Arguments::command().try_get_matches_from(words(line)).ok()?;
        Some(format!("{:?}", Arguments::from_arg_matches(&matches).ok()?))
    }

    #[test]
    fn each_way_reads_a_line_as_the_whole_definition_does() {
        for line in [
            "wait a b --stale 5s --json -vv --dir d",
            "--dir d --color never -q wait a --any",
            "--dir=wait --json check a --log-tail 3",
            "recover a --dry-run --no-kill",
            "run a --heartbeat-interval 1s -d -- wait --help",
            "run --dir x a -- --json",
            "wait --log f --marker x",
        ] {
            assert_eq!(parse_by_one(&words(line)).map(|one| format!("{one:?}")), by_all(line), "{line}");
            assert!(parse(&words(line)).is_none(), "{line}");
        }
        for line in
            ["wait a", "--dir d wait a b --for 9m --json", "wait --all a", "check a b -q", "--json --dir d check a"]
        {
            let one = parse(&words(line)).map(|one| format!("{one:?}"));
            assert!(one.is_some() && one == by_all(line), "{line}: {one:?}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_definition() {
        for line in
            ["", "--help", "wait --help", "wait", "run a", "check --bad a", "list", "wait a/b", "help wait", "-V"]
        {
            assert!(parse(&words(line)).is_none() && parse_by_one(&words(line)).is_none(), "{line}");
        }
        for line in [
            "wait a --json --json",
            "--dir a --dir b wait c",
            "wait a --for 1s --for 2s",
            "wait --for soon a",
            "wait a --dir",
            "--dir -x wait a",
            "--all wait a",
            "check a --all",
            "wait a --for",
            "wait -- a",
        ] {
            assert!(parse(&words(line)).is_none(), "{line}");
        }
    }
}
