//! From COMMAND's start to its end: one blocking call, until a signal, a beat, a limit or a grown log.
//!
//! One thread, so that reaping is never behind anything slow. It refuses to wait for a disk or a reader.

use crate::error::io_reason;
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::File;
use crate::record::outcome::Intent;
use crate::record::time::MonotonicTime;
use crate::runner::start::Run;
use crate::runner::{HeartbeatOn, Job, Listener};
use crate::sys::process::spawn::{Ended, reap, signal_group};
use crate::sys::process::tree::{KillTarget, Report, TreeKiller};
use crate::sys::process::{activity, diagnose};
use crate::sys::signals::{self, Signal};
use crate::sys::watch::poll::ready;
use crate::sys::{clock, env};
use std::time::Duration;

/// How COMMAND's part came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// How COMMAND itself ended.
    pub(super) ended: Option<Ended>,
    /// The signal by which this wrapper was asked to end it.
    pub(super) interrupted: Option<Signal>,
}

/// Watches over COMMAND until it has ended.
pub(super) fn supervise(run: &mut Run, job: &Job, listener: &mut dyn Listener) -> Exit {
    let over_at =
        job.max_timeout.filter(|limit| !limit.is_zero()).map_or(MonotonicTime::NEVER, |limit| run.began.plus(limit));
    loop {
        // Also where a timer ended the sleep: after a stop (kill -STOP) the deadlines that have passed meanwhile come
        // together with the CONT that moves them. Signals before the reaping: a child that ends in between makes the
        // descriptor readable again.
        for signal in run.signals.fetch() {
            handle_signal(run, job, signal, listener);
        }
        if let Some(ended) = reap_command(run) {
            return exit(run, job, Some(ended));
        }
        let now = clock::now();
        tend(run, job, now, listener);
        let end_for = if now >= run.interruptions.end_at() {
            Some(interruption_reason(run))
        } else {
            overdue(run, job, now, over_at).map(Some)
        };
        if let Some(reason) = end_for {
            end(run, job, reason, listener);
            let ended = reap_command(run);
            return exit(run, job, ended);
        }
        let next = run.pulse.due().min(run.output.due()).min(over_at).min(run.interruptions.end_at());
        sleep(run, next);
    }
}

fn exit(run: &Run, job: &Job, ended: Option<Ended>) -> Exit {
    Exit { ended, interrupted: run.interruptions.cause(ended, clock::now(), job.grace) }
}

/// Does what a signal asks for. COMMAND is in a session of its own, so that no signal of the terminal reaches it by itself.
fn handle_signal(run: &mut Run, job: &Job, signal: Signal, listener: &mut dyn Listener) {
    let now = clock::now();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the signals that are only passed on are not listed twice")]
    match signal {
        Signal::SIGCHLD => {}
        // From a terminal. COMMAND's group is orphaned, so the kernel would discard a TSTP there: it gets STOP.
        Signal::SIGTSTP => {
            signal_group(run.child, Signal::SIGSTOP);
            signals::stop_this_process();
            go_on(run);
        }
        Signal::SIGCONT => go_on(run),
        // Another dogwatch asks for the end: it has announced in the record what for, and waits for this process.
        Signal::SIGTERM if run.own.announced().is_some() => run.interruptions.end_now(now),
        Signal::SIGINT | Signal::SIGTERM => {
            if run.interruptions.asked().is_none() {
                signal_group(run.child, signal);
            }
            if let Some(sentence) = run.interruptions.note(signal, now, job.grace) {
                listener.trouble(&sentence);
            }
        }
        Signal::SIGHUP => {
            run.interruptions.note_hangup();
            signal_group(run.child, signal);
        }
        Signal::SIGQUIT => {
            run.interruptions.note_quit(now);
            signal_group(run.child, signal);
        }
        // USR1 and USR2; no other is caught.
        _ => signal_group(run.child, signal),
    }
}

/// After a stop: COMMAND goes on, and so does the heartbeat, whose age counts from now.
fn go_on(run: &mut Run) {
    signal_group(run.child, Signal::SIGCONT);
    run.pulse.restart(clock::now());
}

/// Why the run is ended on a signal; nothing where another process has announced why.
fn interruption_reason(run: &mut Run) -> Option<(Intent, String)> {
    let signal = run.interruptions.asked()?;
    run.own.announced().is_none().then(|| (Intent::Killed, format!("interrupted by {}", signal.as_str())))
}

/// Reaps every child that has ended; how COMMAND ended, if it is among them.
fn reap_command(run: &Run) -> Option<Ended> {
    let (ended, _) = reap();
    ended.into_iter().find(|(pid, _)| *pid == run.child).map(|(_, how)| how)
}

/// What is due while COMMAND, or what it left, runs: a heartbeat, and the log's limit.
pub(super) fn tend(run: &mut Run, job: &Job, now: MonotonicTime, listener: &mut dyn Listener) {
    beat(run, job, now, listener);
    run.output.look(now, listener);
}

fn beat(run: &mut Run, job: &Job, now: MonotonicTime, listener: &mut dyn Listener) {
    if run.fault.is_some() || !run.pulse.may_beat(now) {
        return;
    }
    run.directory.keep_from_cleaners();
    run.own.restore();
    // Beats by the clock ask nothing of the log.
    let size =
        if matches!(job.heartbeat_on, HeartbeatOn::Output | HeartbeatOn::Activity) { run.output.size() } else { 0 };
    let active = job.heartbeat_on == HeartbeatOn::Activity && {
        let seen = activity::below_myself(group(run));
        std::mem::replace(&mut run.activity, seen.clone()) != seen
    };
    if run.pulse.beats(now, size, active) {
        let name = file_name(&job.step, Record::Heartbeat);
        if let Err(error) = run.directory.touch(&name) {
            listener.trouble(&format!("cannot beat {}: {}", run.directory.join(&name).display(), io_reason(&error)));
        }
    }
}

/// Whether the run is over one of the limits that it was given.
fn overdue(run: &mut Run, job: &Job, now: MonotonicTime, over_at: MonotonicTime) -> Option<(Intent, String)> {
    let show = |span: Duration| humantime::format_duration(Duration::from_millis(crate::record::time::millis(span)));
    if now >= over_at && over_at != MonotonicTime::NEVER {
        let limit = show(job.max_timeout.unwrap_or_default());
        return Some((Intent::Timeout, format!("it ran for {} (limit {limit})", show(now.since(run.began)))));
    }
    let stale = job.stale.filter(|stale| !stale.is_zero())?;
    let name = file_name(&job.step, Record::Heartbeat);
    let modified = match run.directory.stat(&name) {
        Ok(File::There { stamp, .. }) => Some(stamp.modified),
        Ok(File::Absent | File::Unfit(_)) => None,
        // Not knowing is no reason to kill.
        Err(_) => return None,
    };
    if run.pulse.is_stale(now, modified) {
        let age = show(run.pulse.age(now));
        return Some((Intent::Hung, format!("no heartbeat for {age} (limit {})", show(stale))));
    }
    None
}

/// Ends COMMAND and all that it started, after a look at what it waits for where a reason is to be announced.
fn end(run: &mut Run, job: &Job, reason: Option<(Intent, String)>, listener: &mut dyn Listener) {
    let mut hunt = TreeKiller::begin(target(run, true));
    if let Some((intent, why)) = reason {
        let wanted = intent != Intent::Killed;
        let evidence = hunt.as_mut().ok().filter(|_| wanted).map(|hunt| diagnose::take(&hunt.list()));
        // The limit holds all the same; the reason stands in the record at the end.
        let announced = run.own.announce(intent, &why, evidence.clone());
        listener.trouble(&format!("{why}; ending it"));
        if let Err(sentence) = announced {
            listener.trouble(&sentence);
        }
        listener.evidence(&evidence.unwrap_or_default());
    }
    match hunt.map(|hunt| hunt.end(job.grace)) {
        Ok(Report { survivors, .. }) if !survivors.is_empty() => {
            listener.trouble(&format!("these processes are still there: {survivors:?}"));
        }
        Ok(_) => {}
        Err(refusal) => listener.trouble(&refusal),
    }
}

/// The group by which the run's processes are found where they need not descend from this one.
///
/// Where orphans are adopted all do, whatever group they went into; and once COMMAND is reaped, the group's number may
/// come to mean another.
fn group(run: &Run) -> Option<i32> {
    (!run.adopts).then_some(run.child)
}

/// COMMAND's tree, or what it has left behind: everything that descends from this wrapper.
pub(super) fn target(run: &Run, with_command: bool) -> KillTarget {
    KillTarget {
        pid: with_command.then_some(run.child),
        started: run.child_started,
        claimed_at: run.claimed_at,
        owner: env::user(),
        group: group(run),
        group_started: run.child_started,
        mark: None,
        own_descendants: true,
    }
}

/// Sleeps until a signal comes or the log grows, or until then.
pub(super) fn sleep(run: &mut Run, until: MonotonicTime) {
    let sources = [Some(run.signals.descriptor()), run.output.descriptor()];
    let [_signalled, grew] = ready(sources, until.since(clock::now()));
    if grew {
        run.output.grew(clock::now());
    }
}
