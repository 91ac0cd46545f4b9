//! Words to requests, reports to words and exit codes.
//!
//! Results go to standard output, everything else to standard error. It refuses to know how anything is done.

mod arguments;
mod deadline;
mod documents;
mod exit_code;
mod format;
mod list;
mod log;
mod own;
mod preflight;
mod progress;
mod resolve;
mod run;
mod skill;
mod wait;

use crate::decide::severity::worst;
use crate::ops::report::Report;
use crate::ops::{Error, beat, breaker, check, clean, kill};
use crate::record::outcome::Outcome;
use crate::record::sanitize::{sanitize_for_terminal, sanitize_json};
use crate::record::step_name::StepName;
use crate::sys::fs::monitor_dir::why;
use crate::sys::platform::deferred_close;
use crate::sys::process::stdio;
use crate::sys::{env, terminal};
use arguments::{Arguments, BreakerCommand, Color, Command, Counted, Global};
use clap::ColorChoice;
use clap::error::ErrorKind;
use deadline::CallDeadline;
use exit_code::ExitCode;
use format::Styles;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;

/// The program: reads the command line, does what it says, ends with the contract's exit code.
pub fn main() -> ! {
    let code = answered(|| match stdio::prepare() {
        Ok(()) => obey(),
        Err(error) => {
            complain(&format!("cannot open /dev/null for a standard stream that is closed: {}", why(&error)));
            ExitCode::Own.code()
        }
    });
    // Everything is said and flushed: a wait that still has its watches ends here.
    deferred_close::end(code);
    std::process::exit(i32::from(code))
}

/// A fault of ours is 125 as any other failure of ours is: no script knows what 101 means. The panic has said where.
fn answered(work: fn() -> u8) -> u8 {
    catch_unwind(work).unwrap_or_else(|_| {
        complain("that was a fault in dogwatch itself; please report it");
        ExitCode::Own.code()
    })
}

fn obey() -> u8 {
    let color = if env::variable("NO_COLOR").is_some() { ColorChoice::Never } else { ColorChoice::Auto };
    let arguments = match arguments::parse(std::env::args_os(), color) {
        Ok(arguments) => arguments,
        Err(error) => return answer_clap(&error),
    };
    let Arguments { global, command } = arguments;
    let code = match command {
        Command::Run(arguments) => run::run(&arguments, &global),
        Command::Wait(arguments) => wait::wait(&arguments, &global),
        Command::Check(arguments) => {
            let request = resolve::check(&arguments, &global);
            request.and_then(|request| {
                CallDeadline::of_check(&request).hold(&global, |global| check_command(&request, global))
            })
        }
        Command::Recover(arguments) => wait::recover(&arguments, &global),
        Command::Kill { steps, grace } => kill_command(&steps, grace, &global),
        Command::List { watch } => list::list(watch, &global),
        Command::Log { step, follow, lines } => log::log(step, follow, lines, &global),
        Command::Beat { step } => beat_command(step, &global),
        Command::Clean { steps, older_than, dry_run } => clean_command(steps, older_than, dry_run, &global),
        Command::Start(arguments) => own::start(&arguments, &global),
        Command::Succeed(arguments) => own::succeed(&arguments, &global),
        Command::Fail(arguments) => own::fail(&arguments, &global),
        Command::Breaker { what } => breaker_command(&what, &global),
        Command::Preflight(arguments) => preflight::command(&arguments, &global),
        Command::Skill { install } => skill::skill(install.as_deref().map(Path::new)),
        Command::Completions { shell } => {
            documents::completions(shell);
            Ok(ExitCode::Success.code())
        }
        Command::Man { out } => documents::man(out.as_deref()).map(|()| ExitCode::Success.code()),
        Command::Dir => resolve::directory(&global).map(|directory| {
            let path = env::absolute(&directory);
            let mut line = path.as_os_str().as_bytes().to_vec();
            line.push(b'\n');
            print(&line);
            0
        }),
    };
    code.unwrap_or_else(|error| {
        complain(&error.to_string());
        ExitCode::from(&error).code()
    })
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
    if help_wanted { ExitCode::Success.code() } else { ExitCode::Usage.code() }
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
    note(&format!("dogwatch: {}", sanitize_for_terminal(sentence)));
}

fn note(line: &str) {
    let mut out = std::io::stderr().lock();
    let _closed = out.write_all(format!("{line}\n").as_bytes());
}

fn code_of(outcomes: impl Iterator<Item = Outcome>, sliced: bool) -> u8 {
    worst(outcomes, sliced).map_or(ExitCode::Success, ExitCode::from).code()
}

fn paint(global: &Global) -> Styles {
    Styles(match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal::stdout_is_terminal() && colors_by_environment() == Color::Always,
    })
}

/// Whether a terminal gets colours.
fn colors_by_environment() -> Color {
    if env::variable("NO_COLOR").is_some() { Color::Never } else { Color::Always }
}

fn print_report(report: &Report, global: &Global, quiet: bool) {
    if global.json {
        return print_json(report);
    }
    if quiet {
        return;
    }
    // The log's end first: what a person reads last is the answer.
    for line in format::aside(report) {
        note(&line);
    }
    print_line(&format::line(report, paint(global)));
}

fn print_json(report: &impl serde::Serialize) {
    match serde_json::to_string(report) {
        Ok(text) => print_line(&sanitize_json(&text)),
        Err(error) => complain(&format!("cannot write JSON: {error}")),
    }
}

fn check_command(request: &check::Check, global: &Global) -> Result<u8, Error> {
    let reports = check::check(request)?;
    for report in &reports {
        print_report(report, global, global.quiet);
    }
    Ok(code_of(reports.iter().map(|report| report.outcome), false))
}

/// Nothing that was asked for may run any more: which way it ended is no fault of the call's.
fn kill_command(steps: &[StepName], grace: Option<Duration>, global: &Global) -> Result<u8, Error> {
    let reports = kill::kill(&resolve::kill(steps, grace, global)?)?;
    for report in &reports {
        print_report(report, global, global.quiet);
    }
    let has = |outcome| reports.iter().any(|report| report.outcome == outcome);
    let exit = match (has(Outcome::Running), has(Outcome::NotStarted)) {
        (true, _) => ExitCode::Own,
        (false, true) => ExitCode::NotStarted,
        (false, false) => ExitCode::Success,
    };
    Ok(exit.code())
}

fn clean_command(
    steps: Vec<StepName>,
    older_than: Option<Duration>,
    dry_run: bool,
    global: &Global,
) -> Result<u8, Error> {
    let which = older_than.map_or(clean::Which::Named(steps), clean::Which::OlderThan);
    let request = clean::Clean { directory: resolve::directory(global)?, which, dry_run };
    let done = clean::clean(&request, &mut |line| complain(line))?;
    for one in done.iter().filter(|one| global.json || one.detail.is_some() || dry_run) {
        match &one.detail {
            _ if global.json => print_json(one),
            Some(detail) => complain(detail),
            None => print_line(&one.step),
        }
    }
    let count = done.iter().filter(|one| one.gone).count();
    if !global.json && !global.quiet {
        let would = if dry_run { "would be " } else { "" };
        print_line(&format!("{count} {} {would}cleaned", if count == 1 { "step" } else { "steps" }));
    }
    let refused = |absent| done.iter().any(|one| !one.gone && one.absent == absent);
    let exit = match (refused(false), refused(true)) {
        (true, _) => ExitCode::Own,
        (false, true) => ExitCode::NotStarted,
        (false, false) => ExitCode::Success,
    };
    Ok(exit.code())
}

fn beat_command(step: Option<StepName>, global: &Global) -> Result<u8, Error> {
    let inside = env::variable("DOGWATCH_HEARTBEAT").filter(|_| step.is_none() && global.dir.is_none());
    if let Some(path) = inside {
        beat::beat_at(Path::new(&path))?;
        return Ok(ExitCode::Success.code());
    }
    let step = match step {
        Some(step) => step,
        None => {
            let name = env::variable("DOGWATCH_STEP").ok_or_else(|| {
                Error::Usage("no step was named, and this is not inside a run; name it: dogwatch beat STEP".to_owned())
            })?;
            StepName::parse(&name.to_string_lossy())
                .map_err(|error| Error::Usage(format!("$DOGWATCH_STEP: {error}")))?
        }
    };
    beat::beat(resolve::directory(global)?, &step)?;
    Ok(ExitCode::Success.code())
}

fn breaker_command(what: &BreakerCommand, global: &Global) -> Result<u8, Error> {
    let directory = resolve::directory(global)?;
    let place = directory.display().to_string();
    let limit = resolve::max_consecutive()?;
    let circuits = match what {
        BreakerCommand::Show { name } => breaker::show(directory, name.as_ref(), limit)?,
        BreakerCommand::Reset { name } => breaker::reset(directory, name.as_ref())?,
        BreakerCommand::Record { name, outcome } => {
            vec![breaker::record(directory, name, *outcome == Counted::Success, limit)?]
        }
    };
    if circuits.is_empty() && !global.quiet {
        complain(&format!("no circuit breaker stands in {place}: no run has failed there"));
    }
    for circuit in &circuits {
        if global.json {
            print_json(circuit);
        } else if !global.quiet {
            print_line(&format::circuit(circuit));
        }
    }
    Ok(ExitCode::Success.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_is_125() {
        assert_eq!((answered(|| panic!("a fault")), answered(|| 3)), (125, 3));
    }
}
