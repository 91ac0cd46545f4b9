//! The decision tree: one observation, one policy, one moment, one verdict.
//!
//! Total: every observation has a verdict, and none makes it panic (I11). A pending verdict names a later moment, until
//! which nothing changes by time alone and at which it has to be judged again.

use crate::decide::policy::{Policy, STOPPED, ThresholdOptions, ran_for, shown, silent_for};
use crate::decide::snapshot::{Liveness, Observation, ResultState, Snapshot, Status};
use crate::decide::tracker::RunTracker;
use crate::error::Error;
use crate::record::file_names::Record;
use crate::record::outcome::{Intent, Outcome, Reason};
use crate::record::status::StatusWord;
use crate::record::step_name::StepName;
use crate::record::time::MonotonicTime;
use std::time::Duration;

/// How long a half-written status may stand unchanged.
pub(crate) const SETTLE_STATUS: Duration = Duration::from_secs(2);
/// How long a held lock without a pid counts as a run that is starting.
const SETTLE_START: Duration = Duration::from_secs(5);

/// Whether a run is just starting, as far as a held lock without a pid is believed to say that.
pub(crate) fn is_starting(liveness: Liveness, now: MonotonicTime) -> bool {
    matches!(liveness, Liveness::Starting { since } if now < since.plus(SETTLE_START))
}

/// What follows from an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not known yet.
    Pending {
        /// Until when time alone changes nothing; later than the moment of judgement.
        recheck_at: MonotonicTime,
        /// Whether a write is in progress that raises no event: look often until then.
        poll_fast: bool,
    },
    /// The files say how it stands, or it is an answer about the call alone: with a sentence for people.
    Report(Outcome, Option<String>),
    /// The run is over and its end is not recorded: with a sentence for people.
    Record(Reason, Option<String>),
    /// The run has to be ended first.
    Terminate {
        /// For what.
        intent: Intent,
        /// Why, for its record and for people.
        why: String,
        /// The same of a run that nothing was done to.
        while_running: String,
    },
}

impl Verdict {
    /// How the run stands as long as nothing is done about it, and a sentence for people.
    pub(crate) fn answer(&self) -> (Outcome, Option<String>) {
        match self {
            Self::Pending { .. } => (Outcome::Running, None),
            Self::Report(outcome, detail) => (*outcome, detail.clone()),
            Self::Record(reason, detail) => (reason.outcome(), detail.clone()),
            Self::Terminate { intent, while_running, .. } => (intent.reason().outcome(), Some(while_running.clone())),
        }
    }

    /// The same, judged again then at the latest, where it is not known yet.
    fn no_later_than(self, at: MonotonicTime, fast: bool) -> Self {
        let Self::Pending { recheck_at, poll_fast } = self else { return self };
        Self::Pending { recheck_at: recheck_at.min(at), poll_fast: poll_fast || fast }
    }
}

/// A snapshot and its meaning.
#[derive(Clone, Debug)]
pub(crate) struct Assessment {
    /// What was read.
    pub(crate) snapshot: Snapshot,
    /// What it means, with what earlier snapshots showed.
    pub(crate) observation: Observation,
    /// The thresholds of this run.
    pub(crate) policy: Policy,
    /// What follows.
    pub(crate) verdict: Verdict,
}

impl Assessment {
    /// Judges what was observed.
    pub(crate) fn of(snapshot: Snapshot, observation: Observation, policy: Policy) -> Self {
        let verdict = evaluate(&observation, &policy, snapshot.at);
        Self { snapshot, observation, policy, verdict }
    }
}

/// Judges a step by a snapshot and the caller's thresholds; `tracker` remembers the earlier snapshots.
///
/// # Errors
/// A newer program wrote its record, or the caller's staleness does not fit the run; nothing was touched.
pub(crate) fn assess(
    tracker: &mut RunTracker,
    step: &StepName,
    snapshot: Snapshot,
    thresholds: &ThresholdOptions,
) -> Result<Assessment, Error> {
    snapshot.refuse_unreadable(step)?;
    let observation = tracker.observe(&snapshot);
    let policy = Policy::resolve(thresholds, snapshot.run_meta())?;
    Ok(Assessment::of(snapshot, observation, policy))
}

/// Decides by the rules in their order, which the README shows: the first that applies counts.
pub(crate) fn evaluate(seen: &Observation, policy: &Policy, now: MonotonicTime) -> Verdict {
    if let Some(since) = seen.absent_since {
        return judge_absent(since, policy, now);
    }
    // Where the record has the end, neither other words in the status nor a file that cannot be read change it (I6).
    let is_broken = match seen.status {
        Status::Unfinished { .. } => true,
        Status::Absent => seen.invalid.is_some(),
        Status::Complete { .. } => false,
    };
    if let Some(reason) = seen.recorded.filter(|_| is_broken) {
        return Verdict::Report(reason.outcome(), recorded_detail(seen, reason));
    }
    let by_status = judge_status(seen, policy, now);
    match by_status {
        // It has ended and is about to say how: that takes a bounded time, which no threshold cuts short.
        Some(verdict) if seen.succeeded() && !matches!(seen.liveness, Liveness::Starting { .. }) => return verdict,
        Some(Verdict::Pending { .. }) | None => {}
        Some(verdict) => return verdict,
    }
    // A complete status that still waits for its result has decided; another broken sentinel changes nothing then.
    if let (Some((_, fault)), false) = (&seen.invalid, matches!(seen.status, Status::Complete { .. })) {
        return Verdict::Report(Outcome::Failed, Some(fault.clone()));
    }
    let by_death = judge_death(seen, policy, now);
    // A status that is being written, a death that may still be explained, a run that is just starting: each is settled in a
    // moment, and until then nothing may be terminated. Only the caller's own patience ends sooner, and not where the process
    // is dead, or callers in short slices would never learn of a death, or learn of one that was none.
    let settling = match (by_death, by_status) {
        (Some(verdict), Some(Verdict::Pending { recheck_at, poll_fast })) => {
            Some(verdict.no_later_than(recheck_at, poll_fast))
        }
        (by_death, by_status) => by_death.or(by_status),
    };
    if let Some(settling) = settling {
        let is_dead = matches!(seen.liveness, Liveness::Dead { .. });
        return if is_dead { settling } else { patience(policy, now, settling) };
    }
    let beaten = seen.heartbeat.zip(policy.stale);
    let stale_at = beaten.map_or(MonotonicTime::NEVER, |(beat, stale)| {
        let due = beat.fresh.plus(stale);
        // At the look that shows it change a beat is alive, whatever a clock that was set in between makes of its age.
        let due = if due <= beat.seen { beat.seen.plus(stale) } else { due };
        beat.unconfirmed.map_or(due, |since| due.max(since.plus(policy.heartbeat_interval)))
    });
    let over_at = policy.max_timeout.map_or(MonotonicTime::NEVER, |limit| seen.began.plus(limit));
    if let Some((beat, stale)) = beaten.filter(|_| stale_at.is_reached(now)) {
        let why = silent_for(now.since(beat.fresh), stale);
        let while_running = format!("{why} and still running");
        return Verdict::Terminate { intent: Intent::Hung, why, while_running };
    }
    if let Some(limit) = policy.max_timeout.filter(|_| over_at.is_reached(now)) {
        let why = ran_for(now.since(seen.began), limit);
        let while_running = format!("over its limit of {} and still running", shown(limit));
        return Verdict::Terminate { intent: Intent::Timeout, why, while_running };
    }
    patience(policy, now, Verdict::Pending { recheck_at: stale_at.min(over_at), poll_fast: false })
}

fn judge_absent(since: MonotonicTime, policy: &Policy, now: MonotonicTime) -> Verdict {
    let given_up = since.plus(policy.start_timeout).min(policy.until);
    if given_up.is_reached(now) {
        return Verdict::Report(Outcome::NotStarted, None);
    }
    Verdict::Pending { recheck_at: given_up, poll_fast: false }
}

/// The first rule: a status decides, once it and on success its result are whole. `None` if there is none.
fn judge_status(seen: &Observation, policy: &Policy, now: MonotonicTime) -> Option<Verdict> {
    let (settled_at, word) = match &seen.status {
        Status::Absent => return None,
        // It may be the old run's.
        Status::Complete { .. } if is_starting(seen.liveness, now) => return None,
        Status::Complete { since, word } => return Some(judge_complete(seen, policy, *since, *word, now)),
        Status::Unfinished { since, word } => (since.plus(SETTLE_STATUS), word),
    };
    if settled_at.is_reached(now) {
        return Some(Verdict::Report(Outcome::Failed, Some(wrong_word(word))));
    }
    Some(Verdict::Pending { recheck_at: settled_at, poll_fast: true })
}

fn wrong_word(word: &str) -> String {
    format!("the status file holds {word}, which is neither SUCCESS nor FAILED")
}

fn judge_complete(
    seen: &Observation,
    policy: &Policy,
    since: MonotonicTime,
    word: StatusWord,
    now: MonotonicTime,
) -> Verdict {
    // Who recorded first wins (I6); a bare FAILED after a terminator's announcement is that terminator's.
    if let Some(reason) = seen.recorded
        && reason != Reason::Success
    {
        return Verdict::Report(reason.outcome(), recorded_detail(seen, reason));
    }
    match (word, seen.intent) {
        (StatusWord::Failed, Some(intent)) => {
            Verdict::Report(intent.reason().outcome(), recorded_detail(seen, intent.reason()))
        }
        (StatusWord::Failed, None) => Verdict::Report(Outcome::Failed, seen.recorded_detail.clone()),
        (StatusWord::Success, _) => {
            if let (Some((Record::Result, fault)), None) = (&seen.invalid, seen.recorded) {
                return Verdict::Report(Outcome::Failed, Some(fault.clone()));
            }
            // Our own writers publish the result first; a dead writer brings none; a foreign one may be second.
            let may_come = seen.recorded.is_none() && !matches!(seen.liveness, Liveness::Dead { .. });
            let limit = since.plus(policy.settle.result);
            if seen.result != ResultState::Whole && may_come && limit != MonotonicTime::NEVER && now < limit {
                return Verdict::Pending { recheck_at: limit, poll_fast: true };
            }
            Verdict::Report(Outcome::Success, seen.recorded_detail.clone().filter(|_| seen.recorded.is_some()))
        }
    }
}

fn recorded_detail(seen: &Observation, reason: Reason) -> Option<String> {
    seen.recorded_detail.clone().or_else(|| (reason == Reason::Killed).then(|| STOPPED.to_owned()))
}

/// The second rule: a process that is known to be dead, with no status within the settling time. `None` if it lives.
fn judge_death(seen: &Observation, policy: &Policy, now: MonotonicTime) -> Option<Verdict> {
    let since = match seen.liveness {
        Liveness::Dead { since } => since,
        Liveness::Starting { since } => {
            // Bounded, so that a lock that somebody else holds for ever cannot hide the step's own limits.
            let believed = since.plus(SETTLE_START);
            // Closely: with no pid known, no notice would tell of its wrapper's end.
            return (now < believed).then_some(Verdict::Pending { recheck_at: believed, poll_fast: true });
        }
        Liveness::Alive | Liveness::Unknown => return None,
    };
    let settled_at = since.plus(policy.settle.death);
    if settled_at.is_reached(now) {
        return Some(match (&seen.status, seen.recorded) {
            (Status::Unfinished { word, .. }, None) => Verdict::Report(Outcome::Failed, Some(wrong_word(word))),
            // Recorded and not published: its writer died between the two, and what it recorded is the truth.
            (_, Some(reason)) => Verdict::Record(reason, recorded_detail(seen, reason)),
            (_, None) => Verdict::Record(Reason::settled(None, seen.intent, Reason::Died), None),
        });
    }
    Some(Verdict::Pending { recheck_at: settled_at, poll_fast: false })
}

/// The last two rules: the caller's patience ends, or the wait goes on.
fn patience(policy: &Policy, now: MonotonicTime, pending: Verdict) -> Verdict {
    if policy.until.is_reached(now) {
        return Verdict::Report(Outcome::Running, None);
    }
    pending.no_later_than(policy.until, false)
}
