//! What a wait or a run reports while it goes on: one type for the callbacks of the library, which `cli` uses too.

use crate::ops::report::Report;
use crate::record::evidence::TreeProcess;
use std::time::Duration;

/// What happens while a wait or a run goes on. Of a wait come answers, progress, warnings and diagnostics; of a run its start,
/// warnings and evidence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'call> {
    /// A step that is waited for has an answer.
    Answer(Box<Report>),
    /// How some steps stand, once a second, and how many more there are; where progress was asked for.
    Progress(&'call [Progress], usize),
    /// The wait goes on, and will be silent for so long at most.
    Idle(Duration),
    /// A line on how the waiting is done.
    Diagnostic(&'call str),
    /// Something could not be done, and no outcome changes by that; a sentence.
    Warning(&'call str),
    /// COMMAND runs, and its wrapper has this process id.
    Started(i32),
    /// COMMAND is ended for a limit; this is its process tree before the first signal.
    Evidence(&'call [TreeProcess]),
}

/// How a step stands that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Its name.
    pub step: String,
    /// How long it has run; `None` if it has not started.
    pub elapsed: Option<Duration>,
    /// How long it usually takes, where enough runs of it are known.
    pub expected: Option<Duration>,
    /// How old its heartbeat is.
    pub heartbeat_age: Option<Duration>,
    /// Whether it is being ended.
    pub ending: bool,
    /// Its log's last line.
    pub last_line: Option<String>,
}
