//! What goes in and out of the state machine: a [`MonitorEvent`] says what happened, a [`MonitorAction`] what is to be
//! done. Steps are named by their position in the options.

use crate::decide::snapshot::{Process, Snapshot};
use crate::error::Error;
use crate::monitor::log_scan::LogWatch;
use crate::monitor::options::{StepProgress, StepResult, WaitEnd};
use crate::record::evidence::TreeProcess;
use crate::record::file_names::Record;
use crate::record::outcome::{Intent, Reason};
use crate::step::terminate::Termination;
use crate::sys::log::follower::Chunk;
use crate::sys::signals::Signal;
use crate::sys::watch::WatchResult;

/// What the monitor asks to have done.
#[derive(Debug)]
pub(super) enum MonitorAction {
    /// Set all watches; answered by `Armed`.
    Arm,
    /// Set the watches anew where they do not stand on the directory any more; answered by `Rewatched`.
    Rewatch,
    /// Read the step's files and its process; answered by `Snapshot`.
    ReadSnapshot(usize),
    /// Compare the files that decide with the last snapshot; answered by `Unchanged`.
    CheckUnchanged(usize),
    /// Compare them again and again for the time that a shell takes to fill a file; answered by `Spun`.
    SpinUntilChanged(usize),
    /// Watch for the end of a process; answered by `ExitWatch`.
    WatchExit(usize, i32),
    /// Watch for that no more.
    ForgetExit(usize),
    /// Watch a file for writes in place; answered by `WritesWatched`.
    WatchWrites(usize, Record),
    /// Watch the step's log for the next write, where it is not `watching` already and `may_watch`; answered by `LogWatched`.
    WatchLog { step: usize, watching: bool, may_watch: bool },
    /// Read the log's next chunk, and before that measure what was not read, if asked to; answered by `LogChunk`.
    ReadLog(usize, bool),
    /// List the processes of the run that is reported and not terminated; answered by `Diagnosed`.
    Diagnose(usize),
    /// Terminate the run, or record its death, beside the loop; `Terminated` comes later.
    Terminate(usize, Task),
    /// Report an answer.
    Report(Box<StepResult>),
    /// Show how these steps stand, and how many more there are.
    ShowProgress(Vec<StepProgress>, usize),
    /// End the wait: nothing follows.
    End(Result<WaitEnd, Error>),
}

/// What has to be done to a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Terminate a living one, for this reason and with these words.
    Terminate(Intent, String),
    /// Record a dead one's end, and terminate what it left.
    RecordDeath(Reason),
}

/// What tells of changes at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceStatus {
    /// Its name, as JSON has it.
    pub(super) backend: &'static str,
    /// Whether changes of files are polled for.
    pub(super) polls: bool,
}

/// What happened.
#[derive(Debug)]
pub(super) enum MonitorEvent<'event> {
    /// The watches stand, or polling begins.
    Armed(SourceStatus),
    /// The watches stand; whether they had to be set anew.
    Rewatched(SourceStatus, bool),
    /// A file of this name appeared, changed or went away.
    FileChanged(&'event str),
    /// Events about the directory or logs were lost, or the directory itself changed.
    EventsLost,
    /// What a step's files and process showed.
    Snapshot(usize, Box<Snapshot>),
    /// They could not be read: why, and what is known of the process that was seen last.
    SnapshotFailed(usize, String, Process),
    /// Whether the files that decide are as they were, and the watched process has not ended.
    Unchanged(usize, bool),
    /// Whether a file that decides changed.
    Spun(usize, bool),
    /// Whether the end of the process will be reported; `None` if it cannot be.
    ExitWatch(usize, Option<WatchResult>),
    /// A watched process ended.
    Exited(usize),
    /// Whether writes in place will be reported.
    WritesWatched(usize, Record, bool),
    /// What came of watching a log.
    LogWatched(usize, LogWatch),
    /// How many bytes of the log had not been read, where that was measured, and a chunk of it.
    LogChunk(usize, Option<u64>, Chunk<'event>),
    /// The log cannot be read: a sentence.
    LogFailed(String),
    /// A watched log was written, renamed or removed.
    LogGrew(usize),
    /// A log outside of the directory appeared or went away.
    LogFolderChanged,
    /// The processes of a run that is only reported.
    Diagnosed(usize, Vec<TreeProcess>),
    /// What came of a termination.
    Terminated(usize, Termination),
    /// A signal asked this process to end.
    Signal(Signal),
}
