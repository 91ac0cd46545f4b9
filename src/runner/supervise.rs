//! From COMMAND's start to its end: one blocking call, until a signal, a beat, a limit or a grown log.
//!
//! One thread, so that reaping is never behind anything slow. It refuses to wait for a disk or a reader.

use crate::record::file_names::{Record, file_name};
use crate::record::file_state::File;
use crate::record::outcome::Intent;
use crate::record::time::MonotonicTime;
use crate::runner::start::Run;
use crate::runner::{HeartbeatOn, Job, Listener};
use crate::step::outcome::{Written, announce};
use crate::sys::fs::monitor_dir;
use crate::sys::process::spawn::{Ended, reap};
use crate::sys::process::tree::{KillTarget, Report, TreeKiller};
use crate::sys::process::{activity, diagnose};
use crate::sys::watch::poll::ready;
use crate::sys::{clock, env};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::time::Duration;

/// How COMMAND's part came to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// How COMMAND itself ended.
    pub(super) ended: Option<Ended>,
    /// What this wrapper ended it for.
    pub(super) intent: Option<Intent>,
    /// The signal by which somebody asked this wrapper to end it.
    pub(super) interrupted: Option<Signal>,
}

/// Watches over COMMAND until it has ended.
pub(super) fn supervise(run: &mut Run, job: &Job, listener: &mut dyn Listener) -> Exit {
    let mut exit = Exit { ended: None, intent: None, interrupted: None };
    let over_at =
        job.max_timeout.filter(|limit| !limit.is_zero()).map_or(MonotonicTime::NEVER, |limit| run.began.plus(limit));
    // What came before the first rest has to be looked for.
    let mut told = true;
    loop {
        // Nobody ends without a signal's making the descriptor readable: a beat that is due needs no look at either.
        if told {
            // The descriptor is drained before the reaping: a child that ends in between makes it readable again.
            for signal in run.signals.fetch() {
                forward(run, signal, &mut exit);
            }
            let (ended, _) = reap();
            if let Some((_, how)) = ended.into_iter().find(|(pid, _)| *pid == run.child) {
                exit.ended = Some(how);
                return exit;
            }
        }
        let now = clock::now();
        beat(run, job, now, listener);
        run.output.look(now, listener);
        if let Some((intent, why)) = overdue(run, job, now, over_at) {
            end(run, job, intent, &why, listener);
            exit.intent = Some(intent);
            let (ended, _) = reap();
            exit.ended = ended.into_iter().find(|(pid, _)| *pid == run.child).map(|(_, how)| how);
            return exit;
        }
        let next = run.pulse.due().min(run.output.due()).min(over_at);
        told = sleep(run, next);
    }
}

/// Passes a signal on to COMMAND's group; it is in another session, so the terminal's own did not reach it.
fn forward(run: &Run, signal: Signal, exit: &mut Exit) {
    if signal == Signal::SIGCHLD {
        return;
    }
    // ESRCH: COMMAND has just ended, and the reaping that follows tells how.
    let _gone = killpg(Pid::from_raw(run.child), signal);
    if matches!(signal, Signal::SIGINT | Signal::SIGTERM | Signal::SIGHUP | Signal::SIGQUIT) {
        exit.interrupted = Some(signal);
    }
}

fn beat(run: &mut Run, job: &Job, now: MonotonicTime, listener: &mut dyn Listener) {
    if run.fault.is_some() || !run.pulse.may_beat(now) {
        return;
    }
    run.directory.keep_from_cleaners();
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
            listener.trouble(&format!(
                "cannot beat {}: {}",
                run.directory.join(&name).display(),
                monitor_dir::why(&error)
            ));
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

/// Ends COMMAND and all that it started, after a look at what it waits for.
fn end(run: &mut Run, job: &Job, intent: Intent, why: &str, listener: &mut dyn Listener) {
    let mut hunt = TreeKiller::begin(target(run, true));
    let evidence = hunt.as_mut().ok().map(|hunt| diagnose::take(&hunt.list()));
    match announce(&mut run.looker, Some(run.key), intent, why, evidence.clone()) {
        Ok(Written::ByUs | Written::Already | Written::Replaced) => {}
        // The limit holds all the same; who looks later sees only that it failed.
        Err(sentence) => listener.trouble(&sentence),
    }
    listener.trouble(&format!("{why}; ending it"));
    listener.evidence(&evidence.unwrap_or_default());
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
        claimed_at: run.key.1,
        owner: env::user(),
        group: group(run),
        group_started: run.child_started,
        mark: None,
        own_descendants: true,
    }
}

/// Rests until then at the latest; whether it was a signal that ended the rest.
fn sleep(run: &mut Run, next: MonotonicTime) -> bool {
    let sources = [Some(run.signals.descriptor()), run.output.descriptor()];
    let [told, grew] = ready(sources, next.since(clock::now()));
    if grew {
        run.output.grew(clock::now());
    }
    told
}
