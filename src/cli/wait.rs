//! `wait` and `recover` from words to exit code: answers are printed as they come.
//!
//! Refuses to hold an answer back until the others are there.

use crate::cli::arguments::{Global, RecoverArguments, WaitArguments};
use crate::cli::deadline::CallDeadline;
use crate::cli::exit_code::ExitCode;
use crate::cli::progress::ProgressDisplay;
use crate::cli::{code_of, complain, format, note, print_line, print_report, resolve};
use crate::monitor::End;
use crate::ops::report::Report;
use crate::ops::wait::{Listener, Progress, Wait, listen};
use crate::ops::{Error, check};
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::sys::process::isolated_worker;
use crate::sys::signals::Signal;
use format::Styles;

struct WaitListener<'call> {
    global: &'call Global,
    result_only: bool,
    live: ProgressDisplay,
    reports: Vec<(Outcome, Option<i32>, Option<String>)>,
}

impl Listener for WaitListener<'_> {
    fn answer(&mut self, report: Report) {
        self.live.erase();
        let name = report.step.clone();
        self.print(&report);
        isolated_worker::answered(&name);
        self.reports.push((report.outcome, report.exit_code, report.signal));
    }

    fn verbose(&mut self, line: &str) {
        if self.global.verbose > 0 {
            self.live.erase();
            complain(line);
        }
    }

    fn trouble(&mut self, line: &str) {
        self.live.erase();
        complain(line);
    }

    fn looks_on(&self) -> bool {
        self.live.is_wanted()
    }

    fn progress(&mut self, steps: &[Progress], more: usize) {
        self.live.draw(steps, more);
    }
}

impl WaitListener<'_> {
    fn print(&self, report: &Report) {
        if self.result_only {
            match &report.result {
                Some(result) => print_line(result.get()),
                None => {
                    for line in format::aside(report) {
                        note(&line);
                    }
                    complain(&format::line(report, Styles(false)));
                }
            }
        } else {
            print_report(report, self.global, self.global.quiet);
        }
    }
}

/// Which exit code a wait ends with.
pub(super) struct ExitPolicy {
    /// Whether only the result is printed.
    pub(super) result_only: bool,
    /// Whether COMMAND's own code is passed on, where it is known.
    pub(super) propagate: bool,
}

/// `wait`.
///
/// # Errors
/// Where there can be no answer.
pub(super) fn wait(arguments: &WaitArguments, global: &Global) -> Result<u8, Error> {
    let manner = ExitPolicy { result_only: arguments.result, propagate: arguments.propagate };
    let request = resolve::wait(arguments, global)?;
    CallDeadline::of_wait(&request).hold(global, |global| wait_for(&request, &manner, global))
}

/// `recover`.
///
/// # Errors
/// Where there can be no answer.
pub(super) fn recover(arguments: &RecoverArguments, global: &Global) -> Result<u8, Error> {
    if arguments.dry_run {
        let request = resolve::recover_dry(arguments, global)?;
        return CallDeadline::of_check(&request).hold(global, |global| {
            let plans = check::plans(&request)?;
            for (report, plan) in &plans {
                print_report(report, global, global.quiet);
                if !global.json && !global.quiet {
                    print_line(&format!("{}: recover {}", report.step, plan.as_str()));
                }
            }
            Ok(code_of(plans.iter().map(|(report, _)| report.outcome), false))
        });
    }
    let manner = ExitPolicy { result_only: arguments.wait.result, propagate: arguments.wait.propagate };
    let request = resolve::recover(arguments, global)?;
    CallDeadline::of_wait(&request).hold(global, |global| wait_for(&request, &manner, global))
}

/// Waits, prints, and says what to exit with.
///
/// # Errors
/// Where there can be no answer.
pub(super) fn wait_for(request: &Wait, manner: &ExitPolicy, global: &Global) -> Result<u8, Error> {
    let live = ProgressDisplay::new(global);
    let mut listener = WaitListener { global, result_only: manner.result_only, live, reports: Vec::new() };
    let end = listen(request, &mut listener);
    listener.live.erase();
    match end? {
        End::Answered => {}
        End::Interrupted(signal) => return Ok(interrupted(signal, &request.steps, global)),
    }
    let outcomes = listener.reports.iter().map(|(outcome, _, _)| *outcome);
    let code = code_of(outcomes, request.at_most.is_some());
    if manner.propagate
        && let [(Outcome::Success | Outcome::Failed, exit_code, signal)] = listener.reports.as_slice()
    {
        return Ok(own_code(*exit_code, signal.as_deref()).unwrap_or(code));
    }
    Ok(code)
}

/// Says how to go on after a signal, and what to exit with.
pub(super) fn interrupted(signal: Signal, steps: &[StepName], global: &Global) -> u8 {
    if !global.quiet && steps.is_empty() {
        complain("interrupted; the log is looked through from its beginning by the same call again");
    } else if !global.quiet {
        complain(&format!("interrupted; the work goes on, wait again with: {}", again(steps, global)));
    }
    let exit = if signal == Signal::SIGTERM { ExitCode::Terminated } else { ExitCode::Interrupted };
    exit.code()
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
fn again(steps: &[StepName], global: &Global) -> String {
    let mut words = vec!["dogwatch wait".to_owned()];
    words.extend(steps.iter().map(StepName::to_string));
    if let Some(directory) = &global.dir {
        words.push(format!("--dir {}", directory.display()));
    }
    words.join(" ")
}
