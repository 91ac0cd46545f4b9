//! `log`: what a step has written, all of it or the end of it, and what it still writes.
//!
//! Refuses to judge the run: following ends when that does, however it does. What a size bound took away is skipped, and
//! the line that says so stays.

use crate::decide::policy::{GRACE, POLL_INTERVAL, SettleTimes, Threshold, ThresholdOptions};
use crate::error::Error;
use crate::monitor::{self, Backend, MonitorOptions, StopReason, StopWhen, WaitEvent};
use crate::ops::history::is_known;
use crate::ops::{absence, open};
use crate::record::file_names::{Record, file_name};
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file::start_of_last;
use crate::sys::log::follower::{Follower, Piece};
use crate::sys::log::tee::pass_during;
use crate::sys::signals::Signal;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Which log, how much of it, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The monitor directory.
    pub(crate) directory: PathBuf,
    /// The step.
    pub(crate) step: StepName,
    /// How many of the last lines; nothing for all.
    pub(crate) lines: Option<u64>,
    /// Whether what is still written is passed on until the step ends.
    pub(crate) follow: bool,
    /// How long a followed step may take to start.
    pub(crate) start_timeout: Duration,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// All of it was passed on, or whoever read it has gone.
    All,
    /// The step has started and keeps no log; a sentence.
    None(String),
    /// No such step has started; a sentence.
    NotStarted(String),
    /// A signal asked to stop; the step goes on.
    Interrupted(Signal),
}

/// Passes the log on; an error of `out` says that nobody takes it any more.
///
/// # Errors
/// `ErrorKind::Internal` where the log cannot be read.
pub(crate) fn log(request: &Log, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<LogEnd, Error> {
    let directory = open(&request.directory)?;
    let path = directory.join(&file_name(&request.step, Record::Log));
    let unreadable = |error: io::Error| Error::io(format!("cannot read {}", path.display()), error);
    let from = match request.lines {
        Some(count) => start_of_last(&path, count).map_err(unreadable)?,
        None => 0,
    };
    let mut follower = Follower::from(path.clone(), from).map_err(unreadable)?;
    if request.follow {
        return follow(request, &directory, follower, out).map_err(unreadable)?;
    }
    // As much as there is now: who writes faster than this is read must not hold it up for ever.
    let mut left = follower.remaining().map_err(unreadable)?;
    if !follower.has_begun() {
        return Ok(missing(&directory, &request.step));
    }
    while left > 0 {
        match follower.read().map_err(unreadable)? {
            Piece::Bytes(bytes) => {
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= length as u64;
                if out(&bytes[..length]).is_err() {
                    break;
                }
            }
            Piece::Anew | Piece::End => break,
        }
    }
    Ok(LogEnd::All)
}

fn missing(directory: &MonitorDir, step: &StepName) -> LogEnd {
    if is_known(directory, step) {
        return LogEnd::None(format!("step {step} keeps no log"));
    }
    LogEnd::NotStarted(absence(directory, step))
}

fn follow(
    request: &Log,
    directory: &MonitorDir,
    follower: Follower,
    out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Result<LogEnd, Error>> {
    let order = MonitorOptions {
        steps: vec![request.step.clone()],
        thresholds: ThresholdOptions {
            stale: Threshold::NEVER,
            max_timeout: Threshold::NEVER,
            start_timeout: request.start_timeout,
            until: None,
            settle: SettleTimes::CONTRACT,
        },
        stop_when: StopWhen::AllDone,
        new: false,
        kill: false,
        kill_command: None,
        grace: GRACE,
        backend: Backend::Auto,
        poll_interval: POLL_INTERVAL,
        progress: false,
        logs: None,
    };
    let place = directory.clone();
    let waited = pass_during(follower, out, move || {
        let mut outcome = None;
        let end = monitor::wait(&place, &order, &mut |event| {
            if let WaitEvent::Result(result) = event {
                outcome = Some(result.outcome);
            }
        })?;
        Ok::<_, Error>((end, outcome))
    })?;
    Ok(match waited {
        Some(Err(failure)) => Err(failure),
        Some(Ok((StopReason::Interrupted(signal), _))) => Ok(LogEnd::Interrupted(signal)),
        Some(Ok((StopReason::Answered, Some(Outcome::NotStarted)))) => Ok(missing(directory, &request.step)),
        None | Some(Ok((StopReason::Answered, _))) => Ok(LogEnd::All),
    })
}
