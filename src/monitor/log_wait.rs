//! A log waited for by itself: no step, no process, only a file and what its lines say.
//!
//! Refuses to wait without a bound, as every wait: for the file to come, and for the line.

use crate::decide::log_match::LogMatch;
use crate::decide::policy::Policy;
use crate::monitor::event_sources::EventSources;
use crate::monitor::log_scan::{LogScanner, Slice};
use crate::monitor::{End, Failure, LogOrder, Order, SAFETY_RESCAN, Told};
use crate::record::outcome::Outcome;
use crate::record::time::MonotonicTime;
use crate::sys::clock;
use crate::sys::process::isolated_worker;
use crate::sys::signals::Signal;
use std::path::Path;
use std::time::Duration;

/// Waits until a line of the file decides, or the time is over.
///
/// # Errors
/// [`Failure`]: the file cannot be read.
pub(crate) fn wait_for_line(
    order: &Order,
    logs: &LogOrder,
    file: &Path,
    tell: &mut dyn FnMut(Told),
    verbose: &mut dyn FnMut(&str),
) -> Result<End, Failure> {
    let policy = Policy::resolve(&order.wishes, None)?;
    let mut alone = Alone {
        scan: LogScanner::new(file.to_path_buf(), logs, 0),
        senses: EventSources::none(),
        order,
        policy,
        began: clock::now(),
    };
    loop {
        let next = match alone.look()? {
            Seen::Answer(told) => {
                tell(*told);
                return Ok(End::Answered);
            }
            Seen::Pending(next) => next,
        };
        if !alone.senses.are_armed() {
            // Armed, then looked at once more, then slept (I2).
            alone.senses.arm_alone(order, logs, verbose)?;
        } else if let Some(signal) = alone.rest(next) {
            return Ok(End::Interrupted(signal));
        }
    }
}

struct Alone<'call> {
    scan: LogScanner,
    senses: EventSources,
    order: &'call Order,
    policy: Policy,
    began: MonotonicTime,
}

enum Seen {
    Answer(Box<Told>),
    Pending(MonotonicTime),
}

impl Alone<'_> {
    fn look(&mut self) -> Result<Seen, Failure> {
        let now = clock::now();
        let again = match self.scan.slice(false, &mut self.senses, self.order.poll_interval)? {
            Slice::Found(sign) => {
                let (outcome, detail) = sign.answer();
                return Ok(Seen::Answer(self.told(outcome, detail, Some(sign))));
            }
            Slice::More => return Ok(Seen::Pending(now)),
            Slice::Nothing(again) => again,
        };
        let limit = |span: Option<Duration>| span.map_or(MonotonicTime::NEVER, |span| self.began.plus(span));
        let (until, given_up) =
            (self.policy.until.unwrap_or(MonotonicTime::NEVER), limit(Some(self.policy.start_timeout)));
        let over = limit(self.policy.max_timeout);
        let due = |at: MonotonicTime| at != MonotonicTime::NEVER && now >= at;
        let begun = self.scan.has_begun();
        if !begun && (due(given_up) || due(until)) {
            let detail = format!("there is no file {}", self.scan.path().display());
            return Ok(Seen::Answer(self.told(Outcome::NotStarted, Some(detail), None)));
        }
        if due(over) {
            let limit = humantime::format_duration(self.policy.max_timeout.unwrap_or_default());
            let detail = format!("no line matched for {limit}; nothing was ended");
            return Ok(Seen::Answer(self.told(Outcome::Timeout, Some(detail), None)));
        }
        if due(until) {
            return Ok(Seen::Answer(self.told(Outcome::Running, None, None)));
        }
        let next = again.min(until).min(over);
        Ok(Seen::Pending(if begun { next } else { next.min(given_up) }))
    }

    /// Sleeps until something says *look*.
    fn rest(&mut self, next: MonotonicTime) -> Option<Signal> {
        let rest = next.since(clock::now()).min(SAFETY_RESCAN);
        isolated_worker::rest(rest);
        let woken = self.senses.rest(None, rest);
        if woken.missed || !woken.grown.is_empty() {
            self.scan.armed = false;
        }
        woken.interrupted
    }

    fn told(&self, outcome: Outcome, detail: Option<String>, sign: Option<LogMatch>) -> Box<Told> {
        Box::new(Told {
            index: 0,
            outcome,
            detail,
            killed: false,
            look: None,
            backend: self.senses.log_name(),
            fresh: None,
            began: Some(self.began),
            evidence: None,
            sign: sign.map(|sign| (sign, None)),
        })
    }
}
