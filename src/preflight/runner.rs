//! Runs checks in parallel and fixes one after the other. Called by `ops::preflight` through [`run`].
//!
//! A check that is stuck in the kernel is given up and reported after its timeout. Each fix runs once, however many checks
//! share it.

use crate::error::io_reason;
use crate::preflight::checks::command::variables;
use crate::preflight::report::{CheckReport, CheckStatus};
use crate::preflight::{Check, Failure, KILL_LEEWAY, run_check, shown};
use crate::sys::clock;
use crate::sys::process::shell::{ShellCommand, ShellExit, ShellMode, ShellRunner};
use crate::sys::process::spawn::ExitStatus;
use crate::sys::signals::{Pending, Signal};
use crate::sys::watch::channel::{PollableReceiver, PollableSender};
use crate::sys::watch::poll::ready;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How long a fix may take: it may have to download and build a whole environment.
const FIX_TIMEOUT: Duration = Duration::from_secs(600);
/// From TERM to KILL for a fix that is over its time: it may have a half-done change to undo.
const FIX_GRACE: Duration = Duration::from_secs(5);

/// What is reported while checks and fixes run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PreflightEvent<'run> {
    /// A fix starts: its shell command.
    FixStarted(&'run str),
    /// Something could not be done: a sentence.
    Warning(&'run str),
}

/// Runs all checks at once; with `fix`, then the fixes of those that failed, and then all checks again.
///
/// # Errors
/// INT, TERM or HUP, which came first. Everything that was started is terminated.
pub(crate) fn run(
    checks: &[Check],
    fix: bool,
    on_event: &mut dyn FnMut(PreflightEvent<'_>),
) -> Result<Vec<CheckReport>, Signal> {
    let pending = Pending::borrow(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    if let Err(error) = &pending {
        on_event(PreflightEvent::Warning(&format!("signals cannot be received: {}", io_reason(error))));
    }
    let mut runner = CheckRunner { shells: Arc::default(), signals: pending.ok() };
    let reports = runner.run_checks(checks)?;
    if !fix {
        return Ok(reports);
    }
    let failed = checks.iter().zip(&reports).filter(|(_, report)| report.verdict == CheckStatus::Failed);
    let fixes = runner.run_fixes(failed.map(|(check, _)| check), on_event)?;
    if fixes.is_empty() {
        return Ok(reports);
    }
    // Every check, since what a fix touches is unknown: it may repair what another check was waiting for, and it may break
    // what passed, as a rebuilt environment does that lacks a package.
    let again = runner.run_checks(checks)?;
    let repeated = checks.iter().zip(again).zip(&reports).map(|((check, report), before)| {
        let own = check.fix.as_deref().and_then(|fix| fixes.get(fix));
        report.after_fixes(before.verdict, own.map(String::as_str))
    });
    Ok(repeated.collect())
}

/// Fixes that were run, by their commands, each with how it ended: a clause about a check that still fails. All come from
/// one file, and run in its folder.
type Fixes<'check> = BTreeMap<&'check str, String>;

/// What all checks share.
struct CheckRunner {
    shells: Arc<ShellRunner>,
    signals: Option<Pending>,
}

impl CheckRunner {
    /// Runs the checks at once, each for its timeout at most.
    fn run_checks(&mut self, checks: &[Check]) -> Result<Vec<CheckReport>, Signal> {
        let began = clock::now();
        let (sender, receiver) = match PollableReceiver::bounded(checks.len()) {
            Ok(made) => made,
            Err(error) => return Ok(checks.iter().map(|check| could_not_start(check, &error)).collect()),
        };
        let mut reports: Vec<Option<CheckReport>> = Vec::new();
        for (index, check) in checks.iter().enumerate() {
            reports.push(self.start(index, check, &sender).err().map(|error| could_not_start(check, &error)));
        }
        loop {
            let now = clock::now();
            let deadline = |index: &usize| began.plus(checks[*index].timeout).plus(checks[*index].kind.leeway());
            let waiting: Vec<usize> = (0..checks.len()).filter(|&index| reports[index].is_none()).collect();
            for &index in waiting.iter().filter(|index| deadline(index) <= now) {
                let failure = Failure::new(format!("no answer within {}", shown(checks[index].timeout)))
                    .with_cause("it is stuck in the kernel, perhaps on a filesystem that does not answer");
                reports[index] = Some(CheckReport::new(&checks[index], Err(failure), now.since(began)));
            }
            let Some(next) = waiting.iter().map(deadline).filter(|deadline| *deadline > now).min() else {
                return Ok(reports.into_iter().flatten().collect());
            };
            self.wait(&receiver, next.since(now))?;
            for (index, report) in receiver.drain() {
                // A check that was given up stays so, even if it answers while others are waited for.
                reports[index].get_or_insert(report);
            }
        }
    }

    /// Waits for messages, at most so long.
    fn wait<T>(&mut self, receiver: &PollableReceiver<T>, longest: Duration) -> Result<(), Signal> {
        ready([Some(receiver.descriptor()), self.signals.as_ref().map(Pending::descriptor)], longest);
        if let Some(signal) = self.signals.as_mut().and_then(|signals| signals.fetch().first().copied()) {
            self.shells.stop();
            return Err(signal);
        }
        Ok(())
    }

    /// Starts one check in a thread of its own.
    fn start(&self, index: usize, check: &Check, sender: &PollableSender<(usize, CheckReport)>) -> io::Result<()> {
        let (check, shells, sender) = (check.clone(), Arc::clone(&self.shells), sender.clone());
        let began = clock::now();
        let work = move || {
            let result = run_check(&check, &shells);
            // The receiver is gone where this check was given up and all others are done.
            let _received = sender.try_send((index, CheckReport::new(&check, result, clock::now().since(began))));
        };
        std::thread::Builder::new().name("check".into()).spawn(work).map(|_detached| ())
    }

    /// Runs the fixes of these checks, each once, one after the other: two at once might disturb each other.
    fn run_fixes<'check>(
        &mut self,
        checks: impl Iterator<Item = &'check Check>,
        on_event: &mut dyn FnMut(PreflightEvent<'_>),
    ) -> Result<Fixes<'check>, Signal> {
        let mut fixes = Fixes::new();
        for check in checks {
            let Some(text) = &check.fix else { continue };
            if !fixes.contains_key(text.as_str()) {
                on_event(PreflightEvent::FixStarted(text));
                fixes.insert(text, self.run_fix(check, text)?);
            }
        }
        Ok(fixes)
    }

    /// Runs one fix; how it ended.
    fn run_fix(&mut self, check: &Check, text: &str) -> Result<String, Signal> {
        let not_run = |error: &io::Error| format!(", and it could not be run: {}", io_reason(error));
        let not_done = || format!(", and it was not done within {}", shown(FIX_TIMEOUT));
        let (sender, receiver) = match PollableReceiver::bounded(1) {
            Ok(made) => made,
            Err(error) => return Ok(not_run(&error)),
        };
        let (shells, text, folder) = (Arc::clone(&self.shells), text.to_owned(), check.folder.clone());
        let work = move || {
            let command = ShellCommand {
                text: OsStr::new(&text),
                folder: Some(&folder),
                variables: &variables(),
                deadline: clock::now().plus(FIX_TIMEOUT),
                grace: FIX_GRACE,
                purpose: ShellMode::Inherit,
            };
            let _received = sender.try_send(match shells.run(&command).map(|output| output.end) {
                Err(error) => not_run(&error),
                Ok(ShellExit::Known(ExitStatus::Code(0))) => " and did not help".to_owned(),
                Ok(ShellExit::Known(ExitStatus::Code(code))) => format!(", and it ended with exit code {code}"),
                Ok(ShellExit::Known(ExitStatus::Signal(number))) => format!(", and it was ended by signal {number}"),
                Ok(ShellExit::Unknown) => ", and the kernel did not tell how it ended".to_owned(),
                Ok(ShellExit::OutOfTime) => not_done(),
            });
        };
        if let Err(error) = std::thread::Builder::new().name("fix".into()).spawn(work) {
            return Ok(not_run(&error));
        }
        let give_up = clock::now().plus(FIX_TIMEOUT).plus(FIX_GRACE).plus(KILL_LEEWAY);
        while clock::now() < give_up {
            self.wait(&receiver, give_up.since(clock::now()))?;
            if let Some(end) = receiver.drain().pop() {
                return Ok(end);
            }
        }
        Ok(not_done())
    }
}

fn could_not_start(check: &Check, error: &io::Error) -> CheckReport {
    let failure = Failure::new(format!("the check could not start: {}", io_reason(error)));
    CheckReport::new(check, Err(failure), Duration::ZERO)
}
