//! What the state machine remembers of one step: its tracker, its last assessment, and what is watched for it.

use crate::decide::policy::ThresholdOptions;
use crate::decide::snapshot::{Liveness, Process, Snapshot, Status};
use crate::decide::tracker::RunTracker;
use crate::decide::verdict::{Assessment, Verdict, assess};
use crate::decide::warning::{Warning, remarks};
use crate::error::Error;
use crate::monitor::log_scan::LogScanner;
use crate::monitor::options::{StepProgress, StepResult};
use crate::record::evidence::TreeProcess;
use crate::record::file_names::Record;
use crate::record::file_state::FileStamp;
use crate::record::outcome::{Outcome, detail_of};
use crate::record::pid::PidFileId;
use crate::record::step_name::StepName;
use crate::record::time::{MonotonicTime, WallTime};
use crate::step::terminate::Termination;
use crate::timer_wheel::Timer;
use std::time::Duration;

/// The shortest and the longest pause between two reads of a file that is being written.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How often a run is read soon again whose lock outlives its wrapper: ten seconds at the longest pause.
const LINGERING_READS: u32 = 200;

/// How far a step has come in this call.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is read and judged.
    #[default]
    Watching,
    /// This run is being terminated, for this outcome.
    Terminating(Option<PidFileId>, Outcome),
    /// Its answer is out.
    Reported,
}

/// One step, or one log for which no step is named.
#[derive(Debug, Default)]
pub(super) struct StepState {
    /// Its name; `None` if only a log is waited for.
    name: Option<StepName>,
    pub(super) tracker: RunTracker,
    pub(super) assessment: Option<Assessment>,
    /// The last snapshot that named a run, where the present one names none.
    named: Option<Box<Snapshot>>,
    /// How often it was read soon again, since a file is being written.
    soon: u32,
    pub(super) phase: Phase,
    pub(super) timer: Option<Timer>,
    /// When that timer is due.
    pub(super) deadline: MonotonicTime,
    /// The run whose end is watched.
    pub(super) exit: Option<PidFileId>,
    /// Whether the end came that is watched. A snapshot may still find the lock held: a child that the wrapper has forked and
    /// that is not yet at its exec holds a copy of the descriptor.
    pub(super) exit_notified: bool,
    /// Whether the run's end cannot be watched: then it is polled for.
    pub(super) polls_for_exit: bool,
    /// The files that are watched for writes in place, each as it was when that watch was set.
    pub(super) followed: Vec<(Record, FileStamp)>,
    /// A result that is reported at the end of the wait, if at all.
    pub(super) pending_result: Option<StepResult>,
    /// The run's tree as it was when it was found hung or overdue.
    pub(super) evidence: Option<Vec<TreeProcess>>,
    /// Its log, where that is searched.
    pub(super) scanner: Option<LogScanner>,
    /// Since when no snapshot can be read, and why.
    pub(super) read_failure: Option<ReadFailure>,
    /// What came of the termination, until the answer.
    pub(super) termination: Option<PastTermination>,
}

/// What came of a termination.
#[derive(Debug)]
pub(super) struct PastTermination {
    /// The run that it was begun for.
    pub(super) run: Option<PidFileId>,
    /// The outcome that it was begun for.
    pub(super) outcome: Outcome,
    pub(super) termination: Termination,
}

/// Snapshots that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct ReadFailure {
    pub(super) since: MonotonicTime,
    pub(super) reason: String,
    /// Since when the run's process is known to have ended; never where it is not.
    pub(super) dead_since: MonotonicTime,
}

impl StepState {
    pub(super) fn new(name: Option<StepName>, scanner: Option<LogScanner>) -> Self {
        Self { name, scanner, deadline: MonotonicTime::NEVER, ..Self::default() }
    }

    /// Whether no step is named: only a log is waited for.
    pub(super) fn is_log_only(&self) -> bool {
        self.name.is_none()
    }

    /// What a message calls it.
    pub(super) fn label(&self) -> &str {
        self.name.as_ref().map_or("the log", StepName::as_str)
    }

    /// Judges by a new snapshot.
    ///
    /// # Errors
    /// The snapshot cannot be judged.
    pub(super) fn assess(&mut self, snapshot: Snapshot, thresholds: &ThresholdOptions, new: bool) -> Result<(), Error> {
        let Some(name) = &self.name else { return Ok(()) };
        self.read_failure = None;
        if new && self.assessment.is_none() {
            self.tracker.skip_existing(&snapshot);
        }
        let last = self.assessment.take().map(|last| last.snapshot);
        if snapshot.pid_file_id().is_some() {
            self.named = None;
        } else if let Some(last) = last.filter(|last| last.pid_file_id().is_some()) {
            self.named = Some(Box::new(last));
        }
        let assessment = assess(&mut self.tracker, name, snapshot, thresholds)?;
        if !matches!(assessment.verdict, Verdict::Pending { poll_fast: true, .. }) && !self.exit_notified {
            self.soon = 0;
        }
        self.assessment = Some(assessment);
        Ok(())
    }

    /// Keeps that no snapshot could be read, why, and what is known of the run's process.
    pub(super) fn note_failure(&mut self, now: MonotonicTime, reason: String, process: Process) -> ReadFailure {
        let ended = self.exit_notified || self.tracker.shows_end(process);
        let first = ReadFailure { since: now, dead_since: MonotonicTime::NEVER, reason: String::new() };
        let failure = self.read_failure.get_or_insert(first);
        failure.dead_since = failure.dead_since.min(if ended { now } else { MonotonicTime::NEVER });
        failure.reason = reason;
        failure.clone()
    }

    pub(super) fn verdict(&self) -> Option<&Verdict> {
        self.assessment.as_ref().map(|assessment| &assessment.verdict)
    }

    /// The outcome of an end that stands in the files.
    pub(super) fn recorded_end(&self) -> Option<Outcome> {
        match self.verdict() {
            Some(Verdict::Report(outcome, _)) if outcome.is_end() => Some(*outcome),
            _ => None,
        }
    }

    pub(super) fn snapshot(&self) -> Option<&Snapshot> {
        self.assessment.as_ref().map(|assessment| &assessment.snapshot)
    }

    /// The snapshot by which the run is terminated or its death recorded: the last that named it.
    pub(super) fn snapshot_of_run(&self) -> Option<&Snapshot> {
        self.named.as_deref().or(self.snapshot())
    }

    /// Whether the snapshot names another run than this one.
    pub(super) fn shows_other_run(&self, run: Option<PidFileId>) -> bool {
        self.snapshot().and_then(Snapshot::pid_file_id).is_some_and(|shown| Some(shown) != run)
    }

    /// Whether the run is followed only by its process, because no file of it is there any more.
    pub(super) fn files_are_gone(&self) -> bool {
        self.named.is_some() && self.snapshot().is_some_and(|last| !last.shows_start())
    }

    /// Whether the log that has the step's name is this run's: not before it has started, since an earlier run may have
    /// left one.
    pub(super) fn owns_its_log(&self) -> bool {
        self.assessment.as_ref().is_some_and(|Assessment { observation, .. }| {
            observation.absent_since.is_none() && !matches!(observation.liveness, Liveness::Starting { .. })
        })
    }

    /// Whether another snapshot would show the same as long as no file that decides has changed: it runs, and its end is
    /// watched. Every other step is read again at a rescan.
    pub(super) fn runs_steadily(&self) -> bool {
        let watched = !self.exit_notified && !self.polls_for_exit && self.exit.is_some();
        let plain = watched && self.scanner.is_none() && self.followed.is_empty() && self.read_failure.is_none();
        plain
            && self.assessment.as_ref().is_some_and(|Assessment { observation, .. }| {
                observation.liveness == Liveness::Alive && matches!(observation.status, Status::Absent)
            })
    }

    /// The run whose end should be watched and is not yet.
    pub(super) fn exit_to_watch(&self) -> Option<PidFileId> {
        let Assessment { snapshot, observation, .. } = self.assessment.as_ref()?;
        let run = snapshot.pid_file_id()?;
        let lives_here = observation.liveness == Liveness::Alive
            && !remarks(snapshot, observation.liveness).contains(&Warning::OtherNamespace);
        (lives_here && self.exit != Some(run)).then_some(run)
    }

    /// Whether a snapshot shows the run alive although the notice of its end has come: read soon again.
    pub(super) fn lock_outlives_process(&self) -> bool {
        // Bounded: a late notice about the run before must not keep the next one read again and again for ever.
        self.exit_notified
            && self.soon < LINGERING_READS
            && self.assessment.as_ref().is_some_and(|last| last.observation.liveness == Liveness::Alive)
    }

    /// The files that are there, decide, and may be written in place: a pid, a status or a result that is not whole yet,
    /// or one left over. The directory's events do not report such writes.
    pub(super) fn files_to_follow(&self) -> Vec<(Record, FileStamp)> {
        let Some(Assessment { snapshot, observation, .. }) = &self.assessment else { return Vec::new() };
        let last = match observation.status {
            Status::Complete { .. } => (Record::Result, snapshot.result.stamp()),
            Status::Absent | Status::Unfinished { .. } => (Record::Status, snapshot.status.stamp()),
        };
        let pid = (Record::Pid, snapshot.pid.stamp().filter(|_| snapshot.pid_file_id().is_none()));
        [pid, last].into_iter().filter_map(|(record, stamp)| Some((record, stamp?))).collect()
    }

    /// Whether no file of it was read soon again before.
    pub(super) fn may_spin(&self) -> bool {
        self.soon == 0
    }

    /// How soon to read a file again that is being written: at once, and less and less often.
    pub(super) fn next_backoff(&mut self) -> Duration {
        let (shortest, longest) = BACKOFF;
        let pause = shortest.saturating_mul(1 << (self.soon / 2).min(6)).min(longest);
        self.soon = self.soon.saturating_add(1);
        pause
    }

    /// When the outcome that is there was recorded, by the status file's time.
    pub(super) fn ended_at(&self) -> WallTime {
        let stamp = self.snapshot().and_then(|snapshot| snapshot.status.stamp());
        stamp.map_or(WallTime::from_nanos(i64::MAX), |stamp| stamp.modified)
    }

    /// What is said of a step whose wait ends before its own.
    pub(super) fn outcome_so_far(&self) -> Outcome {
        match &self.assessment {
            Some(last) if last.observation.absent_since.is_none() => Outcome::Running,
            _ => Outcome::NotStarted,
        }
    }

    /// How it stands at this moment, by its last snapshot.
    pub(super) fn progress(&self, index: usize, now: MonotonicTime) -> StepProgress {
        let seen = self.assessment.as_ref().map(|last| &last.observation).filter(|seen| seen.absent_since.is_none());
        StepProgress {
            index,
            elapsed: seen.map(|seen| now.since(seen.began)),
            heartbeat: seen.and_then(|seen| seen.heartbeat).map(|beat| now.since(beat.fresh)),
            terminating: matches!(self.phase, Phase::Terminating(..)),
        }
    }

    /// The sentences that belong to an answer: why, and what a person should know besides.
    pub(super) fn sentences(&self, outcome: Outcome, detail: Option<String>, killed: bool) -> Option<String> {
        let mut sentences: Vec<String> = detail.into_iter().collect();
        if self.tracker.replaced() {
            sentences.push(Warning::Replaced.to_string());
        }
        if let Some(Assessment { snapshot, observation, .. }) = &self.assessment
            && outcome != Outcome::NotStarted
        {
            // Of a run that the caller's command has ended it need not be said that no signal reaches it.
            let of_use = |warning: &Warning| outcome != Outcome::Success && !(killed && warning.forbids_signals());
            let warnings = remarks(snapshot, observation.liveness).into_iter().filter(of_use);
            sentences.extend(warnings.map(|warning| warning.to_string()));
        }
        sentences.dedup();
        detail_of(sentences)
    }
}
