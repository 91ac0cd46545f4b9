//! `run` from words to exit code: in the foreground, detached, or attached to a run that is there already.
//!
//! Refuses to let a detached run's caller go before it is known whether COMMAND could be started.

use crate::cli::arguments::{Global, RunArguments};
use crate::cli::exit_code::ExitCode;
use crate::cli::wait::{ExitPolicy, wait_for};
use crate::cli::{complain, format, note, print_json, print_line, resolve};
use crate::ops::run::{Listener, Run, listen};
use crate::ops::{Error, check};
use crate::record::evidence::TreeProcess;
use crate::runner::NotStarted;
use crate::sys::env;
use crate::sys::process::daemonize::{Daemonized, detach};
use std::fs::File;
use std::io::{Read, Write};

struct RunListener<'call> {
    step: &'call str,
    /// Where a detached run tells its caller that it stands.
    caller: Option<File>,
    /// Whether people read along.
    for_people: bool,
}

impl Listener for RunListener<'_> {
    fn started(&mut self, pid: i32, fault: Option<&NotStarted>) {
        let Some(mut caller) = self.caller.take() else { return };
        let word = match fault {
            None => format!("0 {pid}"),
            Some(NotStarted { missing: true, sentence }) => format!("{} {sentence}", ExitCode::NotFound.code()),
            Some(NotStarted { missing: false, sentence }) => format!("{} {sentence}", ExitCode::NotExecutable.code()),
        };
        // A caller that has gone does not need it.
        let _gone = caller.write_all(word.as_bytes());
    }

    fn trouble(&mut self, sentence: &str) {
        complain(&format!("{}: {sentence}", self.step));
    }

    fn evidence(&mut self, tree: &[TreeProcess]) {
        for line in format::tree(tree).iter().filter(|_| self.for_people) {
            note(line);
        }
    }
}

/// `run`.
///
/// # Errors
/// Where no run could be begun.
pub(super) fn run(arguments: &RunArguments, global: &Global) -> Result<u8, Error> {
    let mut request = resolve::run(arguments, global)?;
    let mut listener =
        RunListener { step: arguments.step.as_str(), caller: None, for_people: !global.quiet && !global.json };
    if arguments.detach {
        // A detached run keeps its folder and needs the directory's whole name.
        request.directory = env::absolute(&request.directory);
        match detach().map_err(|error| Error::Own(format!("cannot detach: {error}")))? {
            Daemonized::Caller(word) => return Ok(hear(word, &request, arguments, global)),
            Daemonized::Worker(caller) => listener.caller = Some(caller),
        }
    }
    match (listen(&request, &mut listener), listener.caller.take()) {
        (Ok(ran), _) => {
            if let Some(fault) = &ran.fault {
                complain(fault);
            }
            if global.json && !arguments.detach {
                print_end(&request, arguments)?;
            }
            Ok(ran.exit_code)
        }
        (Err(Error::Running(_)), None) if arguments.attach => {
            let manner = ExitPolicy { result_only: false, propagate: true };
            wait_for(&resolve::attached(arguments, global)?, &manner, global)
        }
        (Err(Error::Running(sentence)), Some(mut caller)) if arguments.attach => {
            // It runs detached from this caller as well: its pid is all that was asked for.
            let word = running_pid(&request, arguments).map_or_else(
                || format!("{} {sentence}", ExitCode::Own.code()),
                |pid| format!("{} {pid}", ExitCode::Success.code()),
            );
            let _gone = caller.write_all(word.as_bytes());
            Ok(ExitCode::Success.code())
        }
        (Err(error), Some(mut caller)) => {
            let code = ExitCode::from(&error).code();
            let _gone = caller.write_all(format!("{code} {error}").as_bytes());
            Ok(code)
        }
        (Err(error), None) => Err(error),
    }
}

fn running_pid(request: &Run, arguments: &RunArguments) -> Option<i32> {
    let check = check::Check::new(request.directory.clone(), vec![arguments.step.clone()]);
    check::check(&check).ok()?.into_iter().next()?.pid
}

/// What a detached run tells its caller: an exit code, a blank, and the pid or a sentence.
fn hear(mut word: File, request: &Run, arguments: &RunArguments, global: &Global) -> u8 {
    let mut text = String::new();
    let heard = word.read_to_string(&mut text).ok().and_then(|_| text.split_once(' '));
    let Some((code, rest)) = heard.and_then(|(code, rest)| Some((code.parse::<u8>().ok()?, rest))) else {
        complain("the detached run ended before it began; look at the system's log for why");
        return ExitCode::Own.code();
    };
    if code != 0 {
        complain(rest);
        return code;
    }
    if global.json {
        if let Err(error) = print_end(request, arguments) {
            complain(&error.to_string());
            return ExitCode::from(&error).code();
        }
    } else if !global.quiet {
        print_line(rest);
    }
    code
}

fn print_end(request: &Run, arguments: &RunArguments) -> Result<(), Error> {
    let reports = check::check(&check::Check::new(request.directory.clone(), vec![arguments.step.clone()]))?;
    for report in &reports {
        print_json(report);
    }
    Ok(())
}
