//! Words to requests, reports to words and exit codes.
//!
//! Results go to standard output, everything else to standard error. It refuses to know how anything is done.

mod arguments;
mod exit;
mod preflight;
mod resolve;
mod words;

use crate::command::report::Report;
use crate::command::run::Run;
use crate::command::{Error, beat, breaker, check, run, wait};
use crate::decide::severity::worst;
use crate::monitor::End;
use crate::os::detach::{Detached, detach};
use crate::os::signals::Signal;
use crate::os::{environment, terminal};
use crate::protocol::outcome::Outcome;
use crate::protocol::step::StepName;
use crate::protocol::text::harmless;
use crate::wrapper::NotStarted;
use arguments::{Arguments, BreakerCommand, Color, Command, Counted, Global, RunArguments, WaitArguments};
use clap::ColorChoice;
use clap::error::ErrorKind;
use exit::Exit;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use words::Paint;

/// The program: reads the command line, does what it says, ends with the contract's exit code.
#[must_use]
pub fn main() -> ExitCode {
    let color = if environment::variable("NO_COLOR").is_some() { ColorChoice::Never } else { ColorChoice::Auto };
    let arguments = match arguments::parse(std::env::args_os(), color) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(answer_clap(&error)),
    };
    let Arguments { global, command } = arguments;
    let code = match command {
        Command::Run(arguments) => run_command(&arguments, &global),
        Command::Wait(arguments) => wait_command(&arguments, &global),
        Command::Check(arguments) => {
            let reports = resolve::check(&arguments, &global).and_then(|request| check::check(&request));
            reports.map(|reports| {
                for report in &reports {
                    print_report(report, &global, global.quiet);
                }
                code_of(reports.iter().map(|report| report.outcome), false)
            })
        }
        Command::Beat { step } => beat_command(step, &global),
        Command::Breaker { what } => breaker_command(&what, &global),
        Command::Preflight(arguments) => preflight::command(&arguments, &global),
        Command::Dir => resolve::directory(&global).map(|directory| {
            let path = environment::absolute(&directory);
            let mut line = path.as_os_str().as_bytes().to_vec();
            line.push(b'\n');
            print(&line);
            0
        }),
    };
    ExitCode::from(code.unwrap_or_else(|error| {
        complain(&error.to_string());
        Exit::from(&error).code()
    }))
}

/// Help and version are asked for; everything else is a usage error in one sentence.
fn answer_clap(error: &clap::Error) -> u8 {
    let kind = error.kind();
    let help_wanted = matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if help_wanted {
        // Whoever closed the pipe has read enough.
        let _closed = error.print();
    } else {
        complain(&arguments::one_sentence(error));
    }
    if help_wanted { Exit::Success.code() } else { Exit::Usage.code() }
}

/// Writes to standard output; a reader that has gone has read enough.
fn print(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _closed = out.write_all(bytes).and_then(|()| out.flush());
}

fn print_line(line: &str) {
    print(format!("{line}\n").as_bytes());
}

/// One line on standard error, under the program's name.
fn complain(sentence: &str) {
    note(&format!("dogwatch: {}", harmless(sentence)));
}

fn note(line: &str) {
    let mut out = std::io::stderr().lock();
    let _closed = out.write_all(format!("{line}\n").as_bytes());
}

fn code_of(outcomes: impl Iterator<Item = Outcome>, sliced: bool) -> u8 {
    worst(outcomes, sliced).map_or(Exit::Success, Exit::from).code()
}

fn paint(global: &Global) -> Paint {
    Paint(match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => environment::variable("NO_COLOR").is_none() && terminal::stdout_is_terminal(),
    })
}

fn print_report(report: &Report, global: &Global, quiet: bool) {
    if global.json {
        return print_json(report);
    }
    if quiet {
        return;
    }
    // The log's end first: what a person reads last is the answer.
    for line in words::aside(report) {
        note(&line);
    }
    print_line(&words::line(report, paint(global)));
}

fn print_json(report: &impl serde::Serialize) {
    match serde_json::to_string(report) {
        Ok(text) => print_line(&text),
        Err(error) => complain(&format!("cannot write JSON: {error}")),
    }
}

struct WaitListener<'call> {
    global: &'call Global,
    result_only: bool,
    reports: Vec<(Outcome, Option<i32>, Option<String>)>,
}

impl wait::Listener for WaitListener<'_> {
    fn answer(&mut self, report: Report) {
        if self.result_only {
            match &report.result {
                Some(result) => print_line(result.get()),
                None => {
                    for line in words::aside(&report) {
                        note(&line);
                    }
                    complain(&words::line(&report, Paint(false)));
                }
            }
        } else {
            print_report(&report, self.global, self.global.quiet);
        }
        self.reports.push((report.outcome, report.exit_code, report.signal));
    }

    fn verbose(&mut self, line: &str) {
        if self.global.verbose > 0 {
            complain(line);
        }
    }

    fn trouble(&mut self, line: &str) {
        complain(line);
    }
}

fn wait_command(arguments: &WaitArguments, global: &Global) -> Result<u8, Error> {
    let request = resolve::wait(arguments, global)?;
    let mut listener = WaitListener { global, result_only: arguments.result, reports: Vec::new() };
    match wait::listen(&request, &mut listener)? {
        End::Answered => {}
        End::Interrupted(signal) => {
            if !global.quiet {
                complain(&format!("interrupted; the work goes on, wait again with: {}", again(arguments, global)));
            }
            let exit = if signal == Signal::SIGTERM { Exit::Terminated } else { Exit::Interrupted };
            return Ok(exit.code());
        }
    }
    let outcomes = listener.reports.iter().map(|(outcome, _, _)| *outcome);
    let code = code_of(outcomes, arguments.at_most.is_some());
    if arguments.propagate
        && let [(Outcome::Success | Outcome::Failed, exit_code, signal)] = listener.reports.as_slice()
    {
        return Ok(own_code(*exit_code, signal.as_deref()).unwrap_or(code));
    }
    Ok(code)
}

/// COMMAND's own code as a shell would give it.
fn own_code(exit_code: Option<i32>, signal: Option<&str>) -> Option<u8> {
    if let Some(code) = exit_code {
        return u8::try_from(code).ok();
    }
    let signal = signal?;
    let number = match signal.parse::<Signal>() {
        Ok(signal) => signal as i32,
        // Real-time signals are recorded as SIG and their number.
        Err(_) => signal.strip_prefix("SIG")?.parse().ok()?,
    };
    u8::try_from(128 + number).ok()
}

/// The command line that goes on where this one was interrupted.
fn again(arguments: &WaitArguments, global: &Global) -> String {
    let mut words = vec!["dogwatch wait".to_owned()];
    words.extend(arguments.steps.iter().map(StepName::to_string));
    if let Some(directory) = &global.dir {
        words.push(format!("--dir {}", directory.display()));
    }
    words.join(" ")
}

struct RunListener<'call> {
    step: &'call str,
    /// Where a detached run tells its caller that it stands.
    caller: Option<File>,
}

impl run::Listener for RunListener<'_> {
    fn started(&mut self, pid: i32, fault: Option<&NotStarted>) {
        let Some(mut caller) = self.caller.take() else { return };
        let word = match fault {
            None => format!("0 {pid}"),
            Some(NotStarted { missing: true, sentence }) => format!("{} {sentence}", Exit::NotFound.code()),
            Some(NotStarted { missing: false, sentence }) => format!("{} {sentence}", Exit::NotExecutable.code()),
        };
        // A caller that has gone does not need it.
        let _gone = caller.write_all(word.as_bytes());
    }

    fn trouble(&mut self, sentence: &str) {
        complain(&format!("{}: {sentence}", self.step));
    }
}

fn run_command(arguments: &RunArguments, global: &Global) -> Result<u8, Error> {
    let mut request = resolve::run(arguments, global)?;
    let mut listener = RunListener { step: arguments.step.as_str(), caller: None };
    if arguments.detach {
        // A detached run keeps its folder and needs the directory's whole name.
        request.directory = environment::absolute(&request.directory);
        match detach().map_err(|error| Error::Own(format!("cannot detach: {error}")))? {
            Detached::Caller(word) => return Ok(hear(word, &request, arguments, global)),
            Detached::Worker(caller) => listener.caller = Some(caller),
        }
    }
    match run::listen(&request, &mut listener) {
        Ok(ran) => {
            if let Some(fault) = &ran.fault {
                complain(fault);
            }
            if global.json && !arguments.detach {
                print_end(&request, arguments)?;
            }
            Ok(ran.exit_code)
        }
        Err(error) => match listener.caller.take() {
            Some(mut caller) => {
                let code = Exit::from(&error).code();
                let _gone = caller.write_all(format!("{code} {error}").as_bytes());
                Ok(code)
            }
            None => Err(error),
        },
    }
}

/// What a detached run tells its caller: an exit code, a blank, and the pid or a sentence.
fn hear(mut word: File, request: &Run, arguments: &RunArguments, global: &Global) -> u8 {
    let mut text = String::new();
    let heard = word.read_to_string(&mut text).ok().and_then(|_| text.split_once(' '));
    let Some((code, rest)) = heard.and_then(|(code, rest)| Some((code.parse::<u8>().ok()?, rest))) else {
        complain("the detached run ended before it began; look at the system's log for why");
        return Exit::Own.code();
    };
    if code != 0 {
        complain(rest);
        return code;
    }
    if global.json {
        if let Err(error) = print_end(request, arguments) {
            complain(&error.to_string());
            return Exit::from(&error).code();
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

fn beat_command(step: Option<StepName>, global: &Global) -> Result<u8, Error> {
    let inside = environment::variable("DOGWATCH_HEARTBEAT").filter(|_| step.is_none() && global.dir.is_none());
    if let Some(path) = inside {
        beat::beat_at(std::path::Path::new(&path))?;
        return Ok(Exit::Success.code());
    }
    let step = match step {
        Some(step) => step,
        None => {
            let name = environment::variable("DOGWATCH_STEP").ok_or_else(|| {
                Error::Usage("no step was named, and this is not inside a run; name it: dogwatch beat STEP".to_owned())
            })?;
            StepName::parse(&name.to_string_lossy())
                .map_err(|error| Error::Usage(format!("$DOGWATCH_STEP: {error}")))?
        }
    };
    beat::beat(resolve::directory(global)?, &step)?;
    Ok(Exit::Success.code())
}

fn breaker_command(what: &BreakerCommand, global: &Global) -> Result<u8, Error> {
    let directory = resolve::directory(global)?;
    let limit = resolve::max_consecutive()?;
    let circuits = match what {
        BreakerCommand::Show { name } => breaker::show(directory, name.as_ref(), limit)?,
        BreakerCommand::Reset { name } => breaker::reset(directory, name.as_ref())?,
        BreakerCommand::Record { name, outcome } => {
            vec![breaker::record(directory, name, *outcome == Counted::Success, limit)?]
        }
    };
    for circuit in &circuits {
        if global.json {
            print_json(circuit);
        } else if !global.quiet {
            print_line(&words::circuit(circuit));
        }
    }
    Ok(Exit::Success.code())
}
