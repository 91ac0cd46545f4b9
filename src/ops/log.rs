//! `log`: what a step has written, all of it or the end of it, and what it still writes.
//!
//! Following ends when the run ends, however it ends. A part that the size limit removed is skipped; the line that
//! reports the removal is printed.

use crate::error::Error;
use crate::monitor::{self, WaitEnd, WaitEvent};
use crate::ops::history::is_known;
use crate::ops::wait::{WaitOptions, monitor_options};
use crate::ops::{absence, each_once, open, warn_of_missing};
use crate::record::file_names::{Record, file_name};
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::log::file::start_of_last;
use crate::sys::log::follower::{Chunk, Follower};
use crate::sys::log::tee::pass_during;
use crate::sys::signals::Signal;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How many pieces of output wait to be printed while several logs are followed.
const WAITING_PIECES: usize = 16;

/// Which logs, how much of each, and how long.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// The monitor directory.
    pub(crate) directory: PathBuf,
    /// The steps; one named twice counts once.
    pub(crate) steps: Vec<StepName>,
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
    /// All of it was passed on, or the reader has gone.
    All,
    /// The step has started and keeps no log; a sentence.
    None(String),
    /// No such step has started; a sentence.
    NotStarted(String),
    /// A signal asked to stop; the step goes on.
    Interrupted(Signal),
}

/// Takes the next bytes of a log; an error says that no one reads them any more.
type Out<'call> = dyn FnMut(&[u8]) -> io::Result<()> + 'call;

/// Passes the logs on, those of several steps each under a heading; how each ended, fewer where the call was cut short.
///
/// # Errors
/// `ErrorKind::Internal` where a log cannot be read.
pub(crate) fn log(request: &Log, out: &mut Out<'_>, warn: &mut dyn FnMut(&str)) -> Result<Vec<LogEnd>, Error> {
    let directory = open(&request.directory)?;
    let steps = each_once(&request.steps);
    if request.follow && !request.start_timeout.is_zero() {
        warn_of_missing(&directory, &steps, warn);
    }
    if let [step] = &steps[..] {
        return Ok(vec![log_one(request, &directory, step, out)?]);
    }
    let mut blocks = Blocks::default();
    if request.follow {
        return follow_all(request, &directory, &steps, &mut |step, bytes| blocks.pass(step, bytes, out));
    }
    steps.iter().map(|step| log_one(request, &directory, step, &mut |bytes| blocks.pass(step, bytes, out))).collect()
}

/// The output of several steps, with a heading wherever another step's begins, as tail(1) has it for several files.
#[derive(Debug, Default)]
struct Blocks {
    /// Whose output came last, and whether its line was ended.
    last: Option<(StepName, bool)>,
}

impl Blocks {
    fn pass(&mut self, step: &StepName, bytes: &[u8], out: &mut Out<'_>) -> io::Result<()> {
        let before = match &self.last {
            Some((last, _)) if last == step => None,
            Some((_, true)) => Some("\n"),
            Some((_, false)) => Some("\n\n"),
            None => Some(""),
        };
        if let Some(before) = before {
            out(format!("{before}==> {step} <==\n").as_bytes())?;
        }
        self.last = Some((step.clone(), bytes.ends_with(b"\n")));
        out(bytes)
    }
}

/// What a thread that follows one of several logs tells.
enum Followed {
    Bytes(StepName, Vec<u8>),
    End(Result<LogEnd, Error>),
}

/// Follows each log in a thread of its own and passes on what they write, as it comes. The threads end with the call or with
/// the program: one whose step is silent does not notice that the reader has gone.
fn follow_all(
    request: &Log,
    directory: &Arc<MonitorDir>,
    steps: &[StepName],
    pass: &mut dyn FnMut(&StepName, &[u8]) -> io::Result<()>,
) -> Result<Vec<LogEnd>, Error> {
    let (sender, receiver) = crossbeam_channel::bounded(WAITING_PIECES);
    for step in steps {
        let (request, directory, step, sender) = (request.clone(), Arc::clone(directory), step.clone(), sender.clone());
        let follow = move || {
            let mut out = |bytes: &[u8]| {
                let piece = Followed::Bytes(step.clone(), bytes.to_vec());
                sender.send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
            };
            let end = log_one(&request, &directory, &step, &mut out);
            // Without a receiver the call is over.
            let _over = sender.send(Followed::End(end));
        };
        let thread = std::thread::Builder::new().name("log".into()).spawn(follow);
        thread.map_err(|error| Error::io("cannot start a thread to follow a log", error))?;
    }
    drop(sender);
    let mut ends = Vec::with_capacity(steps.len());
    for piece in receiver {
        match piece {
            Followed::Bytes(step, bytes) if pass(&step, &bytes).is_err() => break,
            Followed::Bytes(..) => {}
            Followed::End(end) => ends.push(end?),
        }
        // The signal was meant for all of them.
        if matches!(ends.last(), Some(LogEnd::Interrupted(_))) {
            break;
        }
    }
    Ok(ends)
}

fn log_one(request: &Log, directory: &MonitorDir, step: &StepName, out: &mut Out<'_>) -> Result<LogEnd, Error> {
    let path = directory.join(&file_name(step, Record::Log));
    let unreadable = |error: io::Error| Error::io(format!("cannot read {}", path.display()), error);
    let from = match request.lines {
        Some(count) => start_of_last(&path, count).map_err(unreadable)?,
        None => 0,
    };
    let mut follower = Follower::from(path.clone(), from).map_err(unreadable)?;
    if request.follow {
        return follow(request, directory, step, follower, out).map_err(unreadable)?;
    }
    // As much as there is now: who writes faster than this is read must not hold it up for ever.
    let mut left = follower.remaining().map_err(unreadable)?;
    if !follower.has_begun() {
        return Ok(missing(directory, step));
    }
    while left > 0 {
        let Chunk::Data(bytes) = follower.read().map_err(unreadable)? else { break };
        let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        left -= length as u64;
        if out(&bytes[..length]).is_err() {
            break;
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
    step: &StepName,
    follower: Follower,
    out: &mut Out<'_>,
) -> io::Result<Result<LogEnd, Error>> {
    let no_limit = Duration::ZERO;
    let wait = WaitOptions::new(&request.directory).step(step.clone()).stale(no_limit).max_timeout(no_limit);
    let options = monitor_options(&wait.start_timeout(request.start_timeout).kill(false));
    let place = directory.clone();
    let waited = pass_during(follower, out, move || {
        let mut outcome = None;
        let end = monitor::wait(&place, &options, &mut |event| {
            if let WaitEvent::Result(result) = event {
                outcome = Some(result.outcome);
            }
        })?;
        Ok::<_, Error>((end, outcome))
    })?;
    Ok(match waited {
        Some(Err(failure)) => Err(failure),
        Some(Ok((WaitEnd::Interrupted(signal), _))) => Ok(LogEnd::Interrupted(signal)),
        Some(Ok((WaitEnd::Answered, Some(Outcome::NotStarted)))) => Ok(missing(directory, step)),
        None | Some(Ok((WaitEnd::Answered, _))) => Ok(LogEnd::All),
    })
}
