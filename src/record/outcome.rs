//! The closed sets of words that a run can end with, and what a caller should do next.
//!
//! Refuses to carry exit codes: the shell's view of these words is `cli::exit`'s.

use serde::{Deserialize, Serialize};

/// What a command says of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The work ended well.
    Success,
    /// The work ended badly, or was killed on request.
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
    /// Somebody asked for it, or interrupted it.
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

/// What the caller should do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Go on with what depends on the step.
    Continue,
    /// Start the step again.
    Retry,
    /// Give up: the circuit breaker is open.
    Stop,
    /// Wait (again).
    Wait,
    /// Terminate it: only `check` says so.
    Kill,
}

impl Action {
    /// What an outcome asks for; an open circuit turns a retry into a stop.
    #[must_use]
    pub const fn after(outcome: Outcome, circuit_open: bool) -> Self {
        match outcome {
            Outcome::Success | Outcome::Marker => Self::Continue,
            Outcome::Running => Self::Wait,
            Outcome::Failed | Outcome::Hung | Outcome::Died | Outcome::Timeout | Outcome::NotStarted => {
                if circuit_open { Self::Stop } else { Self::Retry }
            }
        }
    }

    /// The word as it stands in JSON and in text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Retry => "retry",
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
        for action in [Action::Continue, Action::Retry, Action::Stop, Action::Wait, Action::Kill] {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{}\"", action.as_str()));
        }
    }

    #[test]
    fn an_open_circuit_stops_only_what_would_be_retried() {
        for outcome in OUTCOMES {
            let closed = Action::after(outcome, false);
            let open = Action::after(outcome, true);
            assert_eq!(open, if closed == Action::Retry { Action::Stop } else { closed });
        }
    }

    #[test]
    fn an_intent_and_a_reason_of_one_name_are_one_word() {
        for intent in [Intent::Hung, Intent::Timeout, Intent::Killed] {
            assert_eq!(serde_json::to_string(&intent).unwrap(), serde_json::to_string(&intent.reason()).unwrap());
        }
    }
}
