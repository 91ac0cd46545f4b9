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
pub(crate) const SETTLE_START: Duration = Duration::from_secs(5);

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
    /// Known.
    Final(Finding),
}

/// An answer, and what has to be done before it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The answer.
    pub(crate) outcome: Outcome,
    /// What has to be done.
    pub(crate) next: RequiredAction,
    /// A sentence for people.
    pub(crate) detail: Option<String>,
}

/// What has to be done before an answer is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredAction {
    /// Nothing: the files say it, or it is an answer about the call alone.
    Report,
    /// The run is over and its end is not recorded.
    Record(Reason),
    /// The run has to be ended first.
    Terminate(Intent),
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

    /// Why a hung or overdue run is ended, for its record and for people.
    pub(crate) fn reason_to_end(&self, intent: Intent) -> String {
        match intent {
            Intent::Hung => self.silence(),
            Intent::Timeout => ran_for(self.snapshot.at.since(self.observation.began), self.limit()),
            Intent::Killed => STOPPED.to_owned(),
        }
    }

    /// The same of a run that nothing was done to: it may be ended, and is not.
    pub(crate) fn reason_while_running(&self, intent: Intent) -> String {
        match intent {
            Intent::Hung => format!("{} and still running", self.silence()),
            Intent::Timeout => format!("over its limit of {} and still running", shown(self.limit())),
            Intent::Killed => STOPPED.to_owned(),
        }
    }

    fn silence(&self) -> String {
        let age = self.observation.heartbeat.map_or(Duration::ZERO, |beat| self.snapshot.at.since(beat.fresh));
        silent_for(age, self.policy.stale.unwrap_or_default())
    }

    fn limit(&self) -> Duration {
        self.policy.max_timeout.unwrap_or_default()
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
        return report(reason.outcome(), recorded_detail(seen, reason));
    }
    let by_status = judge_status(seen, policy, now);
    match by_status {
        Some(verdict @ Verdict::Final(_)) => return verdict,
        // It has ended and is about to say how: that takes a bounded time, which no threshold cuts short.
        Some(verdict) if seen.succeeded() && !matches!(seen.liveness, Liveness::Starting { .. }) => return verdict,
        _ => {}
    }
    // A complete status that still waits for its result has decided; another broken sentinel changes nothing then.
    if let (Some((_, fault)), false) = (&seen.invalid, matches!(seen.status, Status::Complete { .. })) {
        return report(Outcome::Failed, Some(fault.clone()));
    }
    let by_death = judge_death(seen, policy, now);
    // A status that is being written, a death that may still be explained, a run that is just starting: each is settled in a
    // moment, and until then nothing may be terminated. Only the caller's own patience ends sooner, and not where the process
    // is dead, or callers in short slices would never learn of a death, or learn of one that was none.
    if let Some(settling) = by_status.into_iter().chain(by_death).reduce(earlier) {
        let is_dead = matches!(seen.liveness, Liveness::Dead { .. });
        return if is_dead { settling } else { patience(policy, now, settling) };
    }
    let stale_at = seen.heartbeat.and_then(|beat| {
        let stale = policy.stale?;
        let due = beat.fresh.plus(stale);
        // At the look that shows it change a beat is alive, whatever a clock that was set in between makes of its age.
        let due = if due <= beat.seen { beat.seen.plus(stale) } else { due };
        Some(beat.unconfirmed.map_or(due, |since| due.max(since.plus(policy.heartbeat_interval))))
    });
    let over_at = policy.max_timeout.map(|limit| seen.began.plus(limit));
    if stale_at.is_some_and(|at| at.is_reached(now)) {
        return terminate(Intent::Hung);
    }
    if over_at.is_some_and(|at| at.is_reached(now)) {
        return terminate(Intent::Timeout);
    }
    let recheck_at = [stale_at, over_at].into_iter().flatten().fold(MonotonicTime::NEVER, MonotonicTime::min);
    patience(policy, now, Verdict::Pending { recheck_at, poll_fast: false })
}

fn judge_absent(since: MonotonicTime, policy: &Policy, now: MonotonicTime) -> Verdict {
    let given_up = since.plus(policy.start_timeout);
    let over = policy.until.is_some_and(|until| now >= until);
    if over || given_up.is_reached(now) {
        return report(Outcome::NotStarted, None);
    }
    let recheck_at = policy.until.map_or(given_up, |until| until.min(given_up));
    Verdict::Pending { recheck_at, poll_fast: false }
}

/// The first rule: a status decides, once it and on success its result are whole. `None` if there is none.
fn judge_status(seen: &Observation, policy: &Policy, now: MonotonicTime) -> Option<Verdict> {
    let (settled_at, word) = match &seen.status {
        Status::Absent => return None,
        Status::Complete { since, word } => return Some(judge_complete(seen, policy, *since, *word, now)),
        Status::Unfinished { since, word } => (since.plus(SETTLE_STATUS), word),
    };
    if settled_at.is_reached(now) {
        return Some(report(Outcome::Failed, Some(wrong_word(word))));
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
    if let Liveness::Starting { since } = seen.liveness {
        let believed = since.plus(SETTLE_START);
        if !believed.is_reached(now) {
            return Verdict::Pending { recheck_at: believed, poll_fast: true };
        }
    }
    // Who recorded first wins (I6); a bare FAILED after a terminator's announcement is that terminator's.
    if let Some(reason) = seen.recorded
        && reason != Reason::Success
    {
        return report(reason.outcome(), recorded_detail(seen, reason));
    }
    match (word, seen.intent) {
        (StatusWord::Failed, Some(intent)) => report(intent.reason().outcome(), recorded_detail(seen, intent.reason())),
        (StatusWord::Failed, None) => report(Outcome::Failed, seen.recorded_detail.clone()),
        (StatusWord::Success, _) => {
            if let (Some((Record::Result, fault)), None) = (&seen.invalid, seen.recorded) {
                return report(Outcome::Failed, Some(fault.clone()));
            }
            // Our own writers publish the result first; a dead writer brings none; a foreign one may be second.
            let may_come = seen.recorded.is_none() && !matches!(seen.liveness, Liveness::Dead { .. });
            let limit = since.plus(policy.settle.result);
            if seen.result != ResultState::Whole && may_come && limit != MonotonicTime::NEVER && now < limit {
                return Verdict::Pending { recheck_at: limit, poll_fast: true };
            }
            report(Outcome::Success, seen.recorded_detail.clone().filter(|_| seen.recorded.is_some()))
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
            (Status::Unfinished { word, .. }, None) => report(Outcome::Failed, Some(wrong_word(word))),
            // Recorded and not published: its writer died between the two, and what it recorded is the truth.
            (_, Some(reason)) => record(reason, recorded_detail(seen, reason)),
            (_, None) => record(Reason::settled(None, seen.intent, Reason::Died), None),
        });
    }
    Some(Verdict::Pending { recheck_at: settled_at, poll_fast: false })
}

/// The last two rules: the caller's patience ends, or the wait goes on.
fn patience(policy: &Policy, now: MonotonicTime, pending: Verdict) -> Verdict {
    let (Some(until), Verdict::Pending { recheck_at, poll_fast }) = (policy.until, &pending) else { return pending };
    if now >= until {
        return report(Outcome::Running, None);
    }
    Verdict::Pending { recheck_at: until.min(*recheck_at), poll_fast: *poll_fast }
}

fn earlier(one: Verdict, other: Verdict) -> Verdict {
    match (&one, &other) {
        (
            Verdict::Pending { recheck_at: first, poll_fast },
            Verdict::Pending { recheck_at: second, poll_fast: other_poll_fast },
        ) => Verdict::Pending { recheck_at: *first.min(second), poll_fast: *poll_fast || *other_poll_fast },
        (Verdict::Final(_), _) => one,
        (_, Verdict::Final(_)) => other,
    }
}

fn report(outcome: Outcome, detail: Option<String>) -> Verdict {
    Verdict::Final(Finding { outcome, next: RequiredAction::Report, detail })
}

fn record(reason: Reason, detail: Option<String>) -> Verdict {
    Verdict::Final(Finding { outcome: reason.outcome(), next: RequiredAction::Record(reason), detail })
}

fn terminate(intent: Intent) -> Verdict {
    let outcome = intent.reason().outcome();
    Verdict::Final(Finding { outcome, next: RequiredAction::Terminate(intent), detail: None })
}
