//! The exit codes: the one table from meaning to number. `cli` and `runner` use it; a test compares it with the README.

use crate::record::outcome::Outcome;

/// What an exit code of dogwatch means. `run` ends with COMMAND's own code where COMMAND ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitCode {
    /// Success, or the marker was found.
    Success = 0,
    /// The work failed.
    Failed = 1,
    /// Invalid arguments; nothing was touched.
    Usage = 2,
    /// The work was hung.
    Hung = 3,
    /// The work's process died without a status.
    Died = 4,
    /// No such step has started.
    NotStarted = 5,
    /// The circuit breaker refused the run.
    CircuitOpen = 6,
    /// The work still runs: call again.
    Running = 75,
    /// The work ran out of time.
    Timeout = 124,
    /// dogwatch itself failed.
    InternalError = 125,
    /// COMMAND cannot be executed.
    NotExecutable = 126,
    /// There is no such COMMAND.
    NotFound = 127,
    /// Interrupted by INT; the work goes on.
    Interrupted = 130,
    /// Interrupted by TERM; the work goes on.
    Terminated = 143,
}

impl ExitCode {
    /// Every exit code, in the order of the README's table.
    pub(crate) const ALL: [Self; 14] = [
        Self::Success,
        Self::Failed,
        Self::Usage,
        Self::Hung,
        Self::Died,
        Self::NotStarted,
        Self::CircuitOpen,
        Self::Running,
        Self::Timeout,
        Self::InternalError,
        Self::NotExecutable,
        Self::NotFound,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as help, man pages and README say it.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Usage => "usage error; nothing was touched",
            Self::Hung => "hung: no heartbeat for too long; the work was ended",
            Self::Died => "died: its process is gone and left no status",
            Self::NotStarted => "no such step has started",
            Self::CircuitOpen => "circuit breaker open (`run` only)",
            Self::Running => "still running: call again",
            Self::Timeout => "ran out of time; the work was ended",
            Self::InternalError => "dogwatch itself failed",
            Self::NotExecutable => "COMMAND cannot be executed (`run` only)",
            Self::NotFound => "no such COMMAND (`run` only)",
            Self::Interrupted => "interrupted by INT; `wait` leaves the work alone",
            Self::Terminated => "terminated by TERM; `wait` leaves the work alone",
        }
    }

    /// What a code means, in a few words; a code that is not in the table is COMMAND's own.
    pub(crate) fn describe(code: u8) -> String {
        let known = Self::ALL.into_iter().find(|exit| exit.code() == code);
        known.map_or_else(
            || format!("exit code {code}"),
            |exit| exit.meaning().split([':', ';', '(']).next().unwrap_or_default().trim().to_owned(),
        )
    }
}

/// The exit code for several outcomes: the worst one's. `sliced` where the call's own time is limited (`--for`): there a step
/// that still runs outranks every other, since the call has to be repeated whatever the others say.
pub(crate) fn of_all(outcomes: impl IntoIterator<Item = Outcome>, sliced: bool) -> ExitCode {
    let ranked = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Running if sliced => (7, ExitCode::Running),
        Outcome::Timeout => (6, ExitCode::Timeout),
        Outcome::Hung => (5, ExitCode::Hung),
        Outcome::Died => (4, ExitCode::Died),
        Outcome::Failed => (3, ExitCode::Failed),
        Outcome::NotStarted => (2, ExitCode::NotStarted),
        Outcome::Running => (1, ExitCode::Running),
        Outcome::Success | Outcome::Marker => (0, ExitCode::Success),
    });
    ranked.max_by_key(|(rank, _)| *rank).map_or(ExitCode::Success, |(_, code)| code)
}

/// What a shell reports for a command that a signal ended.
pub(crate) fn of_signal(number: i32) -> u8 {
    u8::try_from(128 + number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Died, Failed, Hung, Marker, NotStarted, Running, Success, Timeout};

    #[test]
    fn no_two_meanings_share_a_code() {
        for (index, one) in ExitCode::ALL.iter().enumerate() {
            assert!(ExitCode::ALL[index + 1..].iter().all(|other| other.code() != one.code()));
        }
    }

    #[test]
    fn each_outcome_outranks_all_that_the_contract_names_after_it() {
        let order = [Timeout, Hung, Died, Failed, NotStarted, Running, Success];
        for (index, &worse) in order.iter().enumerate() {
            for &better in &order[index..] {
                assert_eq!(of_all([better, worse], false), of_all([worse], false));
            }
        }
        assert_eq!(of_all([], false), ExitCode::Success);
        assert_eq!(of_all([Success, Marker], false), ExitCode::Success);
    }

    #[test]
    fn in_a_slice_a_running_step_outranks_every_end() {
        for other in [Timeout, Hung, Died, Failed, NotStarted, Success, Marker] {
            assert_eq!(of_all([Running, other], true), ExitCode::Running);
        }
    }
}
