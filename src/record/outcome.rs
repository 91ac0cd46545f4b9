//! The closed sets of words that a run can end with, and what a caller should do next.
//!
//! Used everywhere; `exit_code` has the exit codes.

use serde::{Deserialize, Serialize};

/// What a command says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The work ended well.
    Success,
    /// The work ended badly, or was stopped on request.
    Failed,
    /// The work lived without a sign of life and was terminated.
    Hung,
    /// The work's process went away without leaving a status.
    Died,
    /// The work took longer than allowed and was terminated.
    Timeout,
    /// No file of the step is there.
    NotStarted,
    /// The work goes on; nothing was touched.
    Running,
    /// A line of the log matched the marker.
    Marker,
}

impl Outcome {
    /// The word as it stands in JSON and in text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Hung => "hung",
            Self::Died => "died",
            Self::Timeout => "timeout",
            Self::NotStarted => "not_started",
            Self::Running => "running",
            Self::Marker => "marker",
        }
    }

    /// Whether the run is over.
    #[must_use]
    pub const fn is_end(self) -> bool {
        match self {
            Self::Success | Self::Failed | Self::Hung | Self::Died | Self::Timeout => true,
            Self::NotStarted | Self::Running | Self::Marker => false,
        }
    }

    /// Whether the run is over and has not succeeded.
    pub(crate) const fn is_bad_end(self) -> bool {
        self.is_end() && !matches!(self, Self::Success)
    }
}

/// Why a run ended, as recorded in `.meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// COMMAND exited with zero.
    Success,
    /// COMMAND exited otherwise, or could not be started.
    Failed,
    /// Terminated: no sign of life.
    Hung,
    /// Terminated: over its time.
    Timeout,
    /// Gone without a status.
    Died,
    /// Terminated on request.
    Killed,
}

impl Reason {
    /// Why a run ended whose end says `ended` by itself: the reason that was recorded first stays. A success wins over what a
    /// terminator has announced; any other end is the terminator's.
    pub(crate) fn settled(recorded: Option<Self>, announced: Option<Intent>, ended: Self) -> Self {
        let announced = announced.filter(|_| ended != Self::Success).map(Intent::reason);
        recorded.or(announced).unwrap_or(ended)
    }

    /// The outcome that a reader of this record reports; `killed` reports as failed.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::Success => Outcome::Success,
            Self::Failed | Self::Killed => Outcome::Failed,
            Self::Hung => Outcome::Hung,
            Self::Timeout => Outcome::Timeout,
            Self::Died => Outcome::Died,
        }
    }
}

/// What a terminator is about to record, published before its first signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Intent {
    /// Its heartbeat is stale.
    Hung,
    /// It is over its time.
    Timeout,
    /// On request, or interrupted.
    Killed,
}

impl Intent {
    /// The reason that a FAILED written from then on carries.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Hung => Reason::Hung,
            Self::Timeout => Reason::Timeout,
            Self::Killed => Reason::Killed,
        }
    }
}

/// Sentences as the one `detail` that a record or a report has; `None` if there are none.
pub(crate) fn detail_of(sentences: impl IntoIterator<Item = String>) -> Option<String> {
    sentences.into_iter().reduce(|one, other| format!("{one}; {other}"))
}

/// What the caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Go on with what depends on the step.
    Continue,
    /// Start the step again.
    Retry,
    /// Mend the command or the work first: started again as it is, it would end the same way.
    Fix,
    /// Do not start it again: the circuit breaker is open, or a person stopped it.
    Stop,
    /// Wait (again): it still runs.
    Wait,
    /// Terminate it: it is hung or overdue and still runs.
    Kill,
}

/// What says, besides its outcome, what to do about a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// Whether its circuit breaker is open.
    pub(crate) circuit_open: bool,
    /// Whether it was stopped on request or interrupted.
    pub(crate) stopped: bool,
    /// Whether it still runs, although the outcome is no `running`.
    pub(crate) still_running: bool,
    /// COMMAND's exit code.
    pub(crate) exit_code: Option<i32>,
}

impl Action {
    /// What to do about a run with this outcome.
    pub(crate) const fn advise(outcome: Outcome, about: Circumstances) -> Self {
        match outcome {
            Outcome::Success | Outcome::Marker => Self::Continue,
            Outcome::Running => Self::Wait,
            Outcome::Hung | Outcome::Timeout if about.still_running => Self::Kill,
            // A line of the log said so; started again, it would meet itself.
            Outcome::Failed | Outcome::Died if about.still_running => Self::Wait,
            _ if about.circuit_open || about.stopped => Self::Stop,
            Outcome::Hung => Self::Fix,
            // Not executable, not found.
            Outcome::Failed if matches!(about.exit_code, Some(126 | 127)) => Self::Fix,
            Outcome::Failed | Outcome::Died | Outcome::Timeout | Outcome::NotStarted => Self::Retry,
        }
    }

    /// The word as it stands in JSON and in text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Retry => "retry",
            Self::Fix => "fix",
            Self::Stop => "stop",
            Self::Wait => "wait",
            Self::Kill => "kill",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOMES: [Outcome; 8] = [
        Outcome::Success,
        Outcome::Failed,
        Outcome::Hung,
        Outcome::Died,
        Outcome::Timeout,
        Outcome::NotStarted,
        Outcome::Running,
        Outcome::Marker,
    ];

    #[test]
    fn json_and_text_use_the_same_words() {
        for outcome in OUTCOMES {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.as_str()));
        }
        for action in [Action::Continue, Action::Retry, Action::Fix, Action::Stop, Action::Wait, Action::Kill] {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.as_str()));
        }
    }

    #[test]
    fn the_action_fits_the_outcome_and_its_circumstances() {
        let none = Circumstances::default();
        let [stopped, open, runs] = [
            Circumstances { stopped: true, ..none },
            Circumstances { circuit_open: true, ..none },
            Circumstances { still_running: true, ..none },
        ];
        let coded = |code| Circumstances { exit_code: Some(code), ..none };
        for (outcome, about, action) in [
            (Outcome::Success, none, Action::Continue),
            (Outcome::Success, open, Action::Continue),
            (Outcome::Marker, runs, Action::Continue),
            (Outcome::Running, open, Action::Wait),
            (Outcome::Failed, runs, Action::Wait),
            (Outcome::Hung, none, Action::Fix),
            (Outcome::Hung, open, Action::Stop),
            (Outcome::Hung, runs, Action::Kill),
            (Outcome::Timeout, runs, Action::Kill),
            (Outcome::Timeout, none, Action::Retry),
            (Outcome::Failed, stopped, Action::Stop),
            (Outcome::Failed, open, Action::Stop),
            (Outcome::Failed, coded(126), Action::Fix),
            (Outcome::Failed, coded(127), Action::Fix),
            (Outcome::Failed, coded(125), Action::Retry),
            (Outcome::Failed, Circumstances { circuit_open: true, ..coded(127) }, Action::Stop),
            (Outcome::Died, none, Action::Retry),
            (Outcome::NotStarted, none, Action::Retry),
        ] {
            assert_eq!(Action::advise(outcome, about), action, "{outcome:?} {about:?}");
        }
    }

    #[test]
    fn an_intent_and_a_reason_of_one_name_are_one_word() {
        for intent in [Intent::Hung, Intent::Timeout, Intent::Killed] {
            assert_eq!(serde_json::to_string(&intent).unwrap(), serde_json::to_string(&intent.reason()).unwrap());
        }
    }
}
