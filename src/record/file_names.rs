//! Where a step's records stand: file names in the monitor directory, and the way back from a name to its step.
//!
//! These are bare file names; `sys::fs::monitor_dir` joins them to the directory.

use crate::record::step_name::StepName;

/// The records a step can have; each is the file `STEP.<suffix>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Record {
    /// The wrapper's process id.
    Pid,
    /// Its modification time is the sign of life.
    Heartbeat,
    /// `SUCCESS` or `FAILED`.
    Status,
    /// One JSON value.
    Result,
    /// The work's output.
    Log,
    /// What `run`, or the process that recorded the outcome, knows of the run.
    Meta,
    /// Held with flock while a run lives; never deleted.
    Lock,
    /// The circuit breaker's state.
    Breaker,
    /// The ended runs.
    History,
}

impl Record {
    /// Every record, each once.
    pub(crate) const ALL: [Self; 9] = [
        Self::Pid,
        Self::Heartbeat,
        Self::Status,
        Self::Result,
        Self::Log,
        Self::Meta,
        Self::Lock,
        Self::Breaker,
        Self::History,
    ];

    /// What follows the last dot of the file name.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Heartbeat => "heartbeat",
            Self::Status => "status",
            Self::Result => "result",
            Self::Log => "log",
            Self::Meta => "meta",
            Self::Lock => "lock",
            Self::Breaker => "breaker",
            Self::History => "history",
        }
    }

    /// Whether this file's being there means that the step has started.
    pub(crate) const fn shows_start(self) -> bool {
        match self {
            Self::Pid | Self::Heartbeat | Self::Status | Self::Meta => true,
            Self::Result | Self::Log | Self::Lock | Self::Breaker | Self::History => false,
        }
    }
}

/// The file name of a step's record.
pub(crate) fn file_name(step: &StepName, record: Record) -> String {
    format!("{step}.{}", record.suffix())
}

/// The file that is locked (flock) while an outcome of this step is recorded.
pub(crate) fn record_lock(step: &StepName) -> String {
    format!(".{step}.record")
}

/// The file that is locked (flock) while a process other than the wrapper ends the tree of this step's run. It goes with the
/// lock; of a process that was killed meanwhile it is tidied up like any temporary file.
pub(crate) fn termination_lock(step: &StepName) -> String {
    temporary_name(step, Record::Pid, "termination")
}

/// The same while a waiter's `--kill-command` ends the run: another file, since the command may be `dogwatch kill`.
pub(crate) fn kill_command_lock(step: &StepName) -> String {
    temporary_name(step, Record::Pid, "kill-command")
}

/// The file that is locked (flock) while this breaker is changed.
pub(crate) fn breaker_lock(name: &StepName) -> String {
    format!(".{name}.breaker.lock")
}

/// A name for a file that is not published yet: it begins with a dot, so that no reader takes it for a record, and
/// carries `unique`, so that two writers never share one.
pub(crate) fn temporary_name(step: &StepName, record: Record, unique: &str) -> String {
    format!(".{step}.{}.{unique}.tmp", record.suffix())
}

/// Which file of a run is not published yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TempFile {
    /// A record of its start, or the history with it added.
    Start(Record),
    /// A record of its end, whose room is taken at the start.
    End(Record),
}

impl TempFile {
    /// The result as COMMAND writes it.
    pub(crate) const GIVEN: Self = Self::Start(Record::Result);

    /// Every file of a run that can be left over by one that was killed, each once.
    const ALL: [Self; 9] = [
        Self::Start(Record::Pid),
        Self::Start(Record::Meta),
        Self::Start(Record::Heartbeat),
        Self::Start(Record::Log),
        Self::Start(Record::History),
        Self::End(Record::Meta),
        Self::End(Record::Status),
        Self::End(Record::Result),
        Self::GIVEN,
    ];

    /// Its name.
    pub(crate) fn of(self, step: &StepName, run: &str) -> String {
        match self {
            Self::Start(record) => temporary_name(step, record, run),
            Self::End(record) => temporary_name(step, record, &format!("{run}-end")),
        }
    }
}

/// The names of all that a run may have left unpublished.
pub(crate) fn unpublished(step: &StepName, run: &str) -> impl Iterator<Item = String> {
    TempFile::ALL.into_iter().map(move |file| file.of(step, run))
}

/// The step and record a file name stands for, or `None` if it is no record's name.
pub(crate) fn parse_file_name(name: &str) -> Option<(&str, Record)> {
    // The suffix is what follows the last dot: a step name may hold dots itself.
    let (step, suffix) = name.rsplit_once('.')?;
    let record = Record::ALL.into_iter().find(|record| record.suffix() == suffix)?;
    StepName::parse(step).is_ok().then_some((step, record))
}

/// The step for which a file of this name was being written, or `None` if it is no such name.
pub(crate) fn parse_temporary_name(name: &str) -> Option<&str> {
    // What tells two writers apart holds no dot.
    let (record, _) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    parse_file_name(record).map(|(step, _)| step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_records_go_there_and_back_even_with_dots_in_the_step() {
        for step in ["build", "a.b.c", "x.pid", "v1.2:test@host"] {
            let step = StepName::parse(step).unwrap();
            for record in Record::ALL {
                assert_eq!(parse_file_name(&file_name(&step, record)), Some((step.as_str(), record)));
            }
        }
    }

    #[test]
    fn no_two_unpublished_files_of_a_run_share_a_name() {
        let step = StepName::parse("build").unwrap();
        let names: std::collections::BTreeSet<String> = unpublished(&step, "7-1").collect();
        assert_eq!(names.len(), TempFile::ALL.len());
        assert!(names.iter().all(|name| name.starts_with(".build.") && parse_file_name(name).is_none()));
        assert!(names.iter().all(|name| parse_temporary_name(name) == Some("build")));
        for other in
            ["build.status", ".build.record", ".build.breaker.lock", ".build.tmp", "build.status.1.tmp", ".tmp"]
        {
            assert_eq!(parse_temporary_name(other), None, "{other}");
        }
    }

    #[test]
    fn temporary_and_lock_names_are_no_records() {
        let step = StepName::parse("build").unwrap();
        for hidden in [
            temporary_name(&step, Record::Status, "7-1"),
            record_lock(&step),
            termination_lock(&step),
            kill_command_lock(&step),
            breaker_lock(&step),
        ] {
            assert!(hidden.starts_with('.'));
            assert_eq!(parse_file_name(&hidden), None, "{hidden}");
        }
        for other in ["build", "build.txt", "status", "a b.status", "build.status.old"] {
            assert_eq!(parse_file_name(other), None, "{other}");
        }
    }
}
