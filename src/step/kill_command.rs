//! The caller's own command that ends a run: for work that no signal from here reaches, a cluster's job or another
//! host's. It replaces the signals, wherever the run lives.
//!
//! It is not run for a run that has ended or was replaced, and it is not given a pid that may have been reused. After
//! it, the step is read once more: work that finished meanwhile has finished.

use crate::decide::policy::SettleTimes;
use crate::decide::snapshot::{Liveness, Snapshot};
use crate::decide::tracker::RunTracker;
use crate::env_vars;
use crate::error::{Error, io_reason};
use crate::record::pid::PidFileId;
use crate::record::status::{ParsedStatus, StatusWord};
use crate::step::outcome::{RunStatus, run_status};
use crate::step::snapshot::SnapshotReader;
use crate::sys::process::shell::{ShellCommand, ShellExit, ShellMode, ShellRunner};
use crate::sys::process::spawn::ExitStatus;
use crate::sys::{clock, env};
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// How long the command may take beyond the grace.
const LIMIT: Duration = Duration::from_secs(10);
/// The shortest and the longest pause between two looks for the run's end.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// How a run stands after the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandEffect {
    /// Its end stands in the files, or another run has the step; whether it has finished by itself.
    Recorded { succeeded: bool },
    /// Its process is dead and left no status.
    Gone,
    /// Its process lives.
    Alive,
    /// Nothing of it is to be seen from here.
    Unseen,
}

/// How long the command and the wait for the run's end may take together.
pub(super) fn longest(grace: Duration) -> Duration {
    grace.saturating_mul(2).saturating_add(LIMIT)
}

/// Runs the command for this run.
///
/// # Errors
/// What went wrong, as a sentence.
pub(super) fn run(reader: &SnapshotReader, run: Option<PidFileId>, text: &OsStr, grace: Duration) -> Result<(), Error> {
    let limit = grace.saturating_add(LIMIT);
    let variables = [
        (env_vars::STEP, OsString::from(reader.step().as_str())),
        (env_vars::PID, run.map_or_else(OsString::new, |run| run.pid.to_string().into())),
        (env_vars::DIR, env::absolute(reader.directory().path()).into_os_string()),
    ];
    let command = ShellCommand {
        text,
        folder: None,
        variables: &variables,
        deadline: clock::now().plus(limit),
        grace: Duration::ZERO,
        // Whatever it leaves in the background is its own affair.
        purpose: ShellMode::Inherit,
    };
    let fault = match ShellRunner::default().run(&command).map(|outcome| outcome.end) {
        Ok(ShellExit::Known(ExitStatus::Code(0))) => return Ok(()),
        Ok(ShellExit::Known(ExitStatus::Code(code))) => format!("the kill command ended with exit code {code}"),
        Ok(ShellExit::Known(ExitStatus::Signal(number))) => format!("the kill command was ended by signal {number}"),
        Ok(ShellExit::Unknown) => "the kernel did not say how the kill command ended".to_owned(),
        Ok(ShellExit::OutOfTime) => {
            format!("the kill command did not end within {} and was killed", humantime::format_duration(limit))
        }
        Err(error) => format!("the kill command could not be run ({})", io_reason(&error)),
    };
    Err(Error::internal(fault))
}

/// The same for a run whose process is dead: its pid may have been reused. Returns whether the command was run.
///
/// # Errors
/// As [`run`].
pub(super) fn run_after_death(
    reader: &mut SnapshotReader,
    snapshot: &Snapshot,
    command: &OsStr,
    grace: Duration,
) -> Result<bool, Error> {
    match reader.read() {
        Ok(again) if run_status(&again, snapshot.pid_file_id()) == RunStatus::Running => {
            run(reader, None, command, grace).map(|()| true)
        }
        // Another process has recorded the end, or the step is a new run's, which the command must not signal.
        Ok(_) => Ok(false),
        Err(error) => Err(Error::internal(format!(
            "cannot look at {} again ({}), so the kill command was not run",
            reader.step(),
            io_reason(&error)
        ))),
    }
}

/// Looks for the end of the run that `snapshot` shows until it is there or `grace` is over.
pub(super) fn wait_for_end(reader: &mut SnapshotReader, snapshot: &Snapshot, grace: Duration) -> CommandEffect {
    let deadline = clock::now().plus(grace);
    let (mut pause, longest) = PAUSE;
    let mut tracker = RunTracker::default();
    tracker.observe(snapshot);
    let (mut end, mut until) = (CommandEffect::Unseen, deadline);
    loop {
        let now = clock::now();
        // What the kernel could not say this time the next look may say.
        if let Ok(again) = reader.read() {
            let status = run_status(&again, snapshot.pid_file_id());
            (end, until) = match status {
                RunStatus::Ended | RunStatus::Replaced => {
                    let word = again.status.content().and_then(ParsedStatus::word);
                    let succeeded = status == RunStatus::Ended && word == Some(StatusWord::Success);
                    return CommandEffect::Recorded { succeeded };
                }
                RunStatus::Running => match tracker.observe(&again).liveness {
                    // Its status may still follow in a moment.
                    Liveness::Dead { since } => (CommandEffect::Gone, since.plus(SettleTimes::CONTRACT.death)),
                    // A process that holds the lock without a pid lives as well.
                    Liveness::Alive | Liveness::Starting { .. } => (CommandEffect::Alive, deadline),
                    Liveness::Unknown => (CommandEffect::Unseen, deadline),
                },
            };
        }
        if now >= until {
            return end;
        }
        clock::sleep_until(now.plus(pause));
        pause = pause.saturating_mul(2).min(longest);
    }
}
