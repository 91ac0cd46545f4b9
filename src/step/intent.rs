//! How a terminator has a run ended: it publishes in the run's record what it is about to do, before its first signal; asks the
//! wrapper, where one lives that can be asked, to end its own tree; and takes the intent back where nothing came of it.
//! `step::terminate` calls it; the runner has `own_run`.
//!
//! Only the wrapper can prove that nothing of the run is left, because it adopts orphans. The request stands in the record;
//! the signal only has it read there. CHLD is the one signal that a wrapper always handles and never forwards. A stopped
//! wrapper is made to go on: were its tree ended from outside, it would go on in the middle of that, ended by the same
//! signals, and begin to end the tree itself. Two that stop and continue the same processes undo each other's order, which
//! `TreeKiller` needs.

use crate::decide::snapshot::Snapshot;
use crate::error::Error;
use crate::record::evidence::TreeProcess;
use crate::record::meta::Meta;
use crate::record::outcome::Intent;
use crate::record::pid::PidFileId;
use crate::record::time::{MonotonicTime, millis};
use crate::step::outcome::{RunStatus, change_record, run_status};
use crate::step::snapshot::SnapshotReader;
use crate::sys::clock;
use crate::sys::platform::process;
use crate::sys::process::exits::wait_for_exit;
use crate::sys::process::info::start_of;
use crate::sys::process::tree::{Escalation, KILL_LIMIT};
use crate::sys::process::{Lookup, ProcessInfo};
use crate::sys::signals::Signal;
use std::time::Duration;

/// How much longer than the grace and KILL's own limit a wrapper may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long a wrapper whose end is published may take to exit. The program that runs it as a library does not exit at all.
pub(super) const EXIT_PATIENCE: Duration = Duration::from_secs(1);
/// How often the files are read meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// What came of announcing an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It stands in the record now.
    First,
    /// Another terminator had announced its own, and that stays.
    Joined,
    /// The run had an outcome already, or another run has the step now: nothing is to be ended.
    Over,
}

/// Announces what a terminator is about to record, with the tree as it then was. With `escalation` the wrapper is asked to
/// end its own tree so: once it gets a signal it reads that in the record.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn announce(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    intent: Intent,
    detail: &str,
    evidence: Option<&[TreeProcess]>,
    escalation: Option<Escalation>,
) -> Result<Announced, Error> {
    let mut announced = Announced::First;
    let status = change(reader, run, |meta| {
        let first = meta.announce(intent, detail, evidence.map(<[TreeProcess]>::to_vec));
        announced = if first { Announced::First } else { Announced::Joined };
        // An announcer that was refused has seen nothing of the tree; one that was not is ending it already.
        let sees_more = meta.evidence.is_none() && evidence.is_some();
        if sees_more {
            meta.evidence = evidence.map(<[TreeProcess]>::to_vec);
        }
        let asks = escalation.filter(|_| meta.end_within_ms.is_none());
        if let Some(Escalation { signal, grace }) = asks {
            (meta.end_within_ms, meta.end_signal) = (Some(millis(grace)), Some(signal.to_string()));
        }
        first || sees_more || asks.is_some()
    })?;
    Ok(match status {
        RunStatus::Running => announced,
        RunStatus::Ended | RunStatus::Replaced => Announced::Over,
    })
}

/// Takes an intent back of which nothing came: the run goes on, and its own end will be reported as it is.
///
/// # Errors
/// A sentence; nothing was written.
pub(crate) fn withdraw(reader: &mut SnapshotReader, run: Option<PidFileId>, intent: Intent) -> Result<(), Error> {
    change(reader, run, |meta| {
        let stands = meta.intent == Some(intent) && meta.reason.is_none();
        if stands {
            meta.withdraw(None);
        }
        stands
    })
    .map(|_status| ())
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WrapperAnswer {
    /// The run is over: its end is published, or the wrapper has gone.
    Over,
    /// The wrapper could not end COMMAND, and took the request back. With which processes are still there.
    Refused(Option<String>),
    /// It did not answer in time.
    Silent,
}

/// The wrapper, where it is one that can be asked.
pub(super) fn askable(snapshot: &Snapshot, root: Option<ProcessInfo>) -> Option<ProcessInfo> {
    let meta = snapshot.run_meta()?;
    // Earlier versions recorded no directory, and end nothing on request.
    let can_answer = meta.locked && meta.child_pid.is_some() && meta.directory.is_some();
    root.filter(|root| can_answer && meta.pid_started_at == Some(root.started))
}

/// Asks it, after the request was announced; from the first signal to KILL it has `grace`.
pub(super) fn ask(
    reader: &mut SnapshotReader,
    snapshot: &Snapshot,
    wrapper: ProcessInfo,
    grace: Duration,
) -> WrapperAnswer {
    await_answer(wrapper, Signal::SIGCHLD, grace, &mut || {
        // What the kernel could not say this time the next snapshot may say.
        let again = reader.read().ok()?;
        match run_status(&again, snapshot.pid_file_id()) {
            RunStatus::Ended | RunStatus::Replaced => Some(WrapperAnswer::Over),
            RunStatus::Running => {
                let meta = again.run_meta().filter(|meta| meta.intent.is_none() && meta.end_within_ms.is_none())?;
                Some(WrapperAnswer::Refused(meta.survivors.clone()))
            }
        }
    })
}

/// Sends TERM to a wrapper whose run has an outcome already, so that its record can ask for nothing any more. `is_over` is
/// asked until it is; whether it was in time. COMMAND gets that TERM, and what ignores it is ended by the wrapper.
pub(super) fn end_by_term(wrapper: ProcessInfo, grace: Duration, is_over: &dyn Fn() -> bool) -> bool {
    let look = &mut || is_over().then_some(WrapperAnswer::Over);
    await_answer(wrapper, Signal::SIGTERM, grace, look) == WrapperAnswer::Over
}

/// Sends the wrapper a signal and waits for its exit, or for what a look shows. Once that is the end, it may take its time to
/// exit.
fn await_answer(
    wrapper: ProcessInfo,
    first: Signal,
    grace: Duration,
    look: &mut dyn FnMut() -> Option<WrapperAnswer>,
) -> WrapperAnswer {
    let signal = |signal| process::signal(wrapper.pid, wrapper.started, signal);
    if signal(first).is_err() {
        return WrapperAnswer::Silent;
    }
    let deadline = clock::now().plus(grace).plus(KILL_LIMIT).plus(PATIENCE);
    let mut exits_by = MonotonicTime::NEVER;
    while start_of(wrapper.pid) == Some(wrapper.started) {
        let now = clock::now();
        if exits_by.is_reached(now) {
            break;
        }
        if matches!(process::look(wrapper.pid), Lookup::Found(entry) if entry.stopped) {
            // Where that is refused, or a debugger has it, it does not answer in time.
            let _goes_on = signal(Signal::SIGCONT);
        }
        if exits_by == MonotonicTime::NEVER {
            match look() {
                Some(WrapperAnswer::Over) => exits_by = now.plus(EXIT_PATIENCE),
                Some(answer) => return answer,
                None if now >= deadline => return WrapperAnswer::Silent,
                None => {}
            }
        }
        wait_for_exit(&[(wrapper.pid, Some(wrapper.started))], PAUSE);
    }
    WrapperAnswer::Over
}

/// Changes the record of a run that has no outcome yet; published where `by` says that it changed.
fn change(
    reader: &mut SnapshotReader,
    run: Option<PidFileId>,
    by: impl FnOnce(&mut Meta) -> bool,
) -> Result<RunStatus, Error> {
    let mut status = RunStatus::Running;
    change_record(reader, |meta, snapshot| {
        status = run_status(snapshot, run);
        status == RunStatus::Running && by(meta)
    })?;
    Ok(status)
}
