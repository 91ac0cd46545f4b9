//! What the signals to `run` come to so far: whether they end the run, and whether its end is theirs. No clock is read.
//!
//! Called by `runner::supervise`, which passes each signal on to COMMAND.

use crate::record::time::MonotonicTime;
use crate::sys::process::spawn::ExitStatus;
use crate::sys::signals::Signal;
use std::time::Duration;

/// A second signal counts only this long after the first: shells and parents that pass a Ctrl-C on send it twice at once.
const SAME_KEYSTROKE: Duration = Duration::from_millis(100);

/// The signals so far by which a person or another program interrupted the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interruptions {
    /// The first INT, TERM or QUIT, and when the last of them came.
    asked: Option<(Signal, MonotonicTime)>,
    hung_up: bool,
    /// When COMMAND's processes are ended, if it has not ended by then.
    pub(super) end_at: MonotonicTime,
}

impl Interruptions {
    pub(super) const NONE: Self = Self { asked: None, hung_up: false, end_at: MonotonicTime::NEVER };

    /// The signal that COMMAND's end came from; `None` if it ended by itself. A signal that COMMAND took, and went on
    /// after for longer than the grace, ended nothing; HUP, by which servers read their configuration again, only where
    /// COMMAND's end names it.
    pub(super) fn cause(&self, ended: Option<ExitStatus>, at: MonotonicTime, grace: Duration) -> Option<Signal> {
        let names = |signal: Signal| match ended {
            Some(ExitStatus::Signal(number)) => number == signal as i32,
            Some(ExitStatus::Code(code)) => code == 128 + signal as i32,
            None => true,
        };
        match self.asked {
            Some((signal, asked)) if names(signal) || at <= asked.plus(grace) || at >= self.end_at => Some(signal),
            _ if self.hung_up && names(Signal::SIGHUP) => Some(Signal::SIGHUP),
            _ => None,
        }
    }

    /// The first INT, TERM or QUIT.
    pub(super) fn asked(&self) -> Option<Signal> {
        self.asked.map(|(signal, _)| signal)
    }

    /// Notes a signal; what to tell about it.
    pub(super) fn note(&mut self, signal: Signal, now: MonotonicTime, grace: Duration) -> Option<String> {
        self.hung_up |= signal == Signal::SIGHUP;
        if signal == Signal::SIGQUIT {
            self.asked.get_or_insert((signal, now));
        }
        if !matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
            return None;
        }
        let name = signal.as_str();
        match self.asked {
            Some((_, asked)) if now < asked.plus(SAME_KEYSTROKE) => None,
            Some((first, _)) => {
                (self.asked, self.end_at) = (Some((first, now)), now);
                Some(format!("{name} again: ending the run"))
            }
            None => {
                self.asked = Some((signal, now));
                let limit = if signal == Signal::SIGTERM {
                    self.end_at = now.plus(grace);
                    format!(", which has {} to end", humantime::format_duration(grace))
                } else {
                    String::new()
                };
                Some(format!("{name} was passed on to COMMAND{limit}; send it again to end the run at once"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn at(millis: i64) -> MonotonicTime {
        MonotonicTime::from_millis(millis)
    }

    #[test]
    fn the_second_signal_ends_the_run_and_one_that_came_twice_at_once_does_not() {
        let mut seen = Interruptions::NONE;
        assert!(seen.note(Signal::SIGINT, at(0), GRACE).is_some_and(|text| text.contains("again")));
        assert_eq!(seen.end_at, MonotonicTime::NEVER, "INT alone sets no limit");
        assert_eq!(seen.note(Signal::SIGINT, at(50), GRACE), None);
        assert_eq!(seen.end_at, MonotonicTime::NEVER);
        assert!(seen.note(Signal::SIGTERM, at(500), GRACE).is_some());
        assert_eq!(seen.end_at, at(500));
        let mut seen = Interruptions::NONE;
        assert!(seen.note(Signal::SIGTERM, at(0), GRACE).is_some_and(|text| text.contains("5s")));
        assert_eq!(seen.end_at, at(5000));
    }

    #[test]
    fn an_end_is_an_interruptions_only_where_it_names_it_or_comes_within_the_grace() {
        let asked = |signal| {
            let mut seen = Interruptions::NONE;
            seen.note(signal, at(0), GRACE);
            seen
        };
        let (int, hup) = (asked(Signal::SIGINT), Interruptions { hung_up: true, ..Interruptions::NONE });
        let code = |code| Some(ExitStatus::Code(code));
        for (seen, ended, when, cause) in [
            (Interruptions::NONE, code(130), 0, None),
            (int, code(1), 4000, Some(Signal::SIGINT)),
            (int, code(1), 6000, None),
            (int, code(130), 600_000, Some(Signal::SIGINT)),
            (int, Some(ExitStatus::Signal(2)), 600_000, Some(Signal::SIGINT)),
            (hup, code(5), 1, None),
            (hup, code(129), 600_000, Some(Signal::SIGHUP)),
            (hup, Some(ExitStatus::Signal(1)), 1, Some(Signal::SIGHUP)),
            (asked(Signal::SIGTERM), Some(ExitStatus::Signal(9)), 5000, Some(Signal::SIGTERM)),
        ] {
            assert_eq!(seen.cause(ended, at(when), GRACE), cause, "{seen:?} {ended:?} {when}");
        }
    }
}
