//! One step under the loop's eye: its looks, its memory, and what is armed for it.
//!
//! Refuses to act: it says what it sees and what should be armed, and the loop does it.

use crate::decide::log_match::LogMatch;
use crate::decide::policy::{Policy, ThresholdOptions, reason_to_end, reason_while_running};
use crate::decide::snapshot::{Liveness, Observation, Snapshot, Status};
use crate::decide::tracker::{PidFileId, RunTracker, meta_for, pid_file_id};
use crate::decide::verdict::{Verdict, judge};
use crate::decide::warning::{Warning, remarks};
use crate::monitor::log_scan::LogScanner;
use crate::monitor::progress::StepProgress;
use crate::monitor::{Failure, Told};
use crate::record::evidence::TreeProcess;
use crate::record::file_names::Record;
use crate::record::file_state::FileStamp;
use crate::record::outcome::{Intent, Outcome};
use crate::record::step_name::StepName;
use crate::record::time::{MonotonicTime, WallTime};
use crate::step::snapshot::refuse_newer;
use crate::timer_wheel::Timer;
use std::time::Duration;

/// The shortest and the longest pause between two looks at a file that is being written.
const SOON: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How many close looks are given to a lock that outlives its wrapper: ten seconds at the longest pause.
const LINGERING: u32 = 200;

/// How far a step has come in this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is looked at.
    Open,
    /// Its run is being ended, for this outcome.
    Ending(Outcome),
    /// Its answer is out.
    Told,
}

/// One step.
#[derive(Debug)]
pub(super) struct StepState {
    step: StepName,
    history: RunTracker,
    last: Option<(Snapshot, Observation, Policy)>,
    ignoring: bool,
    close_looks: u32,
    pub(super) state: State,
    pub(super) timer: Option<Timer>,
    /// The run whose end is noticed.
    pub(super) exit: Option<PidFileId>,
    /// Whether the noticed end came. A look may still find the lock held: a child that the wrapper had forked and not
    /// yet let go on to its exec holds a copy of the descriptor until it has ended too.
    pub(super) gone: bool,
    /// Whether the run's end cannot be noticed: then it is looked for.
    pub(super) deaf: bool,
    /// The files that are followed for being written in place, each as it was when that was armed.
    pub(super) followed: Vec<(Record, FileStamp)>,
    /// An answer that is told at the close, if at all.
    pub(super) kept: Option<Told>,
    /// The run's tree as it was when it was found hung or overdue.
    pub(super) evidence: Option<Vec<TreeProcess>>,
    /// Its log, where that is looked through.
    pub(super) scan: Option<LogScanner>,
    /// Since when no look succeeds, and why.
    pub(super) vain: Option<Vain>,
    /// The line of it that ended the wait, and how the run had ended, where it had.
    pub(super) sign: Option<(LogMatch, Option<Outcome>)>,
}

/// Looks that the kernel does not answer.
#[derive(Clone, Debug)]
pub(super) struct Vain {
    pub(super) since: MonotonicTime,
    pub(super) why: String,
}

impl StepState {
    pub(super) fn new(step: StepName) -> Self {
        Self {
            step,
            history: RunTracker::default(),
            last: None,
            ignoring: false,
            close_looks: 0,
            state: State::Open,
            timer: None,
            exit: None,
            gone: false,
            deaf: false,
            followed: Vec::new(),
            kept: None,
            evidence: None,
            scan: None,
            vain: None,
            sign: None,
        }
    }

    /// Whether the log that has the step's name is this run's: not before it has started, since an earlier run may have
    /// left one.
    pub(super) fn owns_its_log(&self) -> bool {
        self.last.as_ref().is_some_and(|(_, seen, _)| {
            seen.absent_since.is_none() && !matches!(seen.liveness, Liveness::Starting { .. })
        })
    }

    /// Judges by what a look shows.
    pub(super) fn note(&mut self, look: Snapshot, wishes: &ThresholdOptions, new: bool) -> Result<Verdict, Failure> {
        self.vain = None;
        refuse_newer(&look, &self.step)?;
        if new && !self.ignoring {
            self.ignoring = true;
            self.history.ignore(&look);
        }
        let observation = self.history.note(&look);
        let meta = meta_for(&look, pid_file_id(&look));
        let policy = Policy::resolve(wishes, meta)?;
        let verdict = judge(&observation, &policy, look.at);
        if !matches!(verdict, Verdict::Pending { closely: true, .. }) && !self.gone {
            self.close_looks = 0;
        }
        self.last = Some((look, observation, policy));
        Ok(verdict)
    }

    /// Keeps that a look was not answered, and why.
    pub(super) fn note_vain(&mut self, at: MonotonicTime, why: String) {
        let since = self.vain.take().map_or(at, |vain| vain.since);
        self.vain = Some(Vain { since, why });
    }

    /// Its last look, where another would show the same as long as no file that decides has changed: it runs, and its end
    /// would be noticed. Whatever is not that plain is looked at.
    pub(super) fn plainly_runs(&self) -> Option<&Snapshot> {
        let plain = !self.gone && !self.deaf && self.exit.is_some() && self.scan.is_none() && self.followed.is_empty();
        let (look, seen, _) = self.last.as_ref().filter(|_| plain)?;
        (seen.liveness == Liveness::Alive && matches!(seen.status, Status::Absent)).then_some(look)
    }

    pub(super) fn last_look(&self) -> Option<Snapshot> {
        self.last.as_ref().map(|(look, _, _)| look.clone())
    }

    /// The run whose end should be noticed and is not yet.
    pub(super) fn exit_to_arm(&self) -> Option<PidFileId> {
        let (look, observation, _) = self.last.as_ref()?;
        let run = pid_file_id(look)?;
        let lives_here = observation.liveness == Liveness::Alive
            && !remarks(look, observation.liveness).contains(&Warning::OtherNamespace);
        (lives_here && self.exit != Some(run)).then_some(run)
    }

    /// Whether a look shows the run alive although the notice of its end has come: look soon.
    pub(super) fn lingers(&self) -> bool {
        // Bounded: a late notice about the run before must not keep the next one under close watch for ever.
        self.gone
            && self.close_looks < LINGERING
            && self.last.as_ref().is_some_and(|(_, seen, _)| seen.liveness == Liveness::Alive)
    }

    /// The files that are there, decide, and may be written in place: a pid, a status or a result that is not whole yet,
    /// or one left over. The directory's events do not show that.
    pub(super) fn files_to_follow(&self) -> Vec<(Record, FileStamp)> {
        let Some((look, observation, _)) = &self.last else { return Vec::new() };
        let last = match observation.status {
            Status::Complete { .. } => (Record::Result, look.result.stamp()),
            Status::Absent | Status::Unfinished { .. } | Status::Odd { .. } => (Record::Status, look.status.stamp()),
        };
        let pid = (Record::Pid, look.pid.stamp().filter(|_| pid_file_id(look).is_none()));
        [pid, last].into_iter().filter_map(|(record, stamp)| Some((record, stamp?))).collect()
    }

    /// Whether no file of it was looked at closely before.
    pub(super) fn is_new_to_close_looks(&self) -> bool {
        self.close_looks == 0
    }

    /// How soon to look again at a file that is being written: at once, and less and less often.
    pub(super) fn soon(&mut self) -> Duration {
        let (shortest, longest) = SOON;
        let pause = shortest.saturating_mul(1 << (self.close_looks / 2).min(6)).min(longest);
        self.close_looks = self.close_looks.saturating_add(1);
        pause
    }

    /// Why a run is ended, for its record.
    pub(super) fn why(&self, intent: Intent) -> String {
        self.sentence(intent, reason_to_end)
    }

    /// Why a run could be ended that is only reported on.
    pub(super) fn why_overdue(&self, intent: Intent) -> String {
        self.sentence(intent, reason_while_running)
    }

    fn sentence(&self, intent: Intent, about: fn(Intent, &Observation, &Policy, MonotonicTime) -> String) -> String {
        let last = self.last.as_ref();
        last.map_or_else(String::new, |(look, seen, policy)| about(intent, seen, policy, look.at))
    }

    /// When what stands there was recorded, by the status file's time.
    pub(super) fn ended_at(&self) -> WallTime {
        let stamp = self.last.as_ref().and_then(|(look, _, _)| look.status.stamp());
        stamp.map_or(WallTime::from_nanos(i64::MAX), |stamp| stamp.modified)
    }

    /// What is said of a step whose wait ends before its own.
    pub(super) fn outcome_so_far(&self) -> Outcome {
        match &self.last {
            Some((_, observation, _)) if observation.absent_since.is_none() => Outcome::Running,
            _ => Outcome::NotStarted,
        }
    }

    /// How it stands at this moment, by its last look.
    pub(super) fn glimpse(&self, index: usize, now: MonotonicTime) -> StepProgress {
        let started = self.last.as_ref().map(|(_, seen, _)| seen).filter(|seen| seen.absent_since.is_none());
        StepProgress {
            index,
            elapsed: started.map(|seen| now.since(seen.began)),
            heartbeat: started.and_then(|seen| seen.heartbeat).map(|beat| now.since(beat.fresh)),
            ending: matches!(self.state, State::Ending(_)),
        }
    }

    /// Puts the answer together.
    pub(super) fn told(
        &self,
        index: usize,
        outcome: Outcome,
        detail: Option<String>,
        killed: bool,
        backend: &'static str,
    ) -> Told {
        let mut sentences: Vec<String> = detail.into_iter().collect();
        if self.history.replaced() {
            sentences.push(Warning::Replaced.to_string());
        }
        let mut told = Told {
            index,
            outcome,
            detail: None,
            killed,
            look: None,
            backend,
            fresh: None,
            began: None,
            evidence: self.evidence.clone(),
            sign: self.sign.clone(),
        };
        if let Some((look, observation, _)) = &self.last {
            if outcome != Outcome::NotStarted {
                // Of a run that the caller's command has ended it need not be said that no signal reaches it.
                let of_use = |remark: &Warning| outcome != Outcome::Success && !(killed && remark.forbids_signals());
                let remarks = remarks(look, observation.liveness).into_iter().filter(of_use);
                sentences.extend(remarks.map(|remark| remark.to_string()));
            }
            told.look = Some(look.clone().without_left_over(observation));
            told.fresh = observation.heartbeat.map(|beat| beat.fresh);
            told.began = observation.absent_since.is_none().then_some(observation.began);
        }
        sentences.dedup();
        told.detail = (!sentences.is_empty()).then(|| sentences.join("; "));
        told
    }
}
