//! From COMMAND's start to its end: one blocking call, until a signal, a beat, a limit or a grown log.
//!
//! One thread, so that reaping is never behind anything slow. It refuses to wait for a disk or a reader.

use crate::decide::policy::{PauseDetector, ran_for, silent_for};
use crate::error::io_reason;
use crate::record::file_names::{Record, TempFile, file_name};
use crate::record::outcome::Intent;
use crate::record::time::MonotonicTime;
use crate::runner::end_tree::{self, TreeEnd, reap_command};
use crate::runner::start::ActiveRun;
use crate::runner::{HeartbeatOn, Job, OnEvent, ResultFrom, RunnerEvent};
use crate::step::publisher::still_there;
use crate::sys::clock;
use crate::sys::process::diagnose;
use crate::sys::process::info::current_pid;
use crate::sys::process::spawn::signal_group;
use crate::sys::process::tree::Escalation;
use crate::sys::signals::{self, Signal};
use crate::sys::watch::poll::ready;

/// Watches over COMMAND until it has ended.
pub(super) fn supervise(run: &mut ActiveRun, job: &Job, on_event: OnEvent<'_>) -> TreeEnd {
    let over_at =
        job.max_timeout.filter(|limit| !limit.is_zero()).map_or(MonotonicTime::NEVER, |limit| run.began.plus(limit));
    let mut pauses = PauseDetector::new(run.began);
    loop {
        // Also where a timer ended the sleep: after a stop (kill -STOP) the deadlines that have passed meanwhile come
        // together with the CONT that moves them. Signals before the reaping: a child that ends in between makes the
        // descriptor readable again.
        for signal in run.signals.fetch() {
            handle_signal(run, job, signal, on_event);
        }
        if let Some(tree) = reap_command(run).or_else(|| end_on_request(run, on_event)) {
            return tree;
        }
        let now = clock::now();
        if pauses.was_paused(now) {
            run.heartbeat.restart(now);
        }
        tend(run, job, now, on_event);
        let end_for = if now >= run.interruptions.end_at {
            Some(interruption_reason(run))
        } else {
            overdue(run, job, now, over_at).map(Some)
        };
        if let Some(reason) = end_for {
            return end(run, job, reason, on_event);
        }
        let next = run.heartbeat.due().min(run.output.due()).min(over_at).min(run.interruptions.end_at);
        pauses.sleeps_until(next.max(now));
        sleep(run, next);
    }
}

/// Ends COMMAND and all that it started where a terminator has asked for that; `None` if none has, or where COMMAND may
/// not be signalled: it works on, and so does this wrapper.
fn end_on_request(run: &mut ActiveRun, on_event: OnEvent<'_>) -> Option<TreeEnd> {
    let escalation = run.own.requested()?;
    let tree = end_tree::end(run, escalation);
    if tree.command.is_some() {
        return Some(tree);
    }
    if let Some(survivors) = &tree.survivors {
        on_event(RunnerEvent::Warning(&still_there(survivors)));
    }
    if let Err(error) = run.own.refuse(tree.survivors) {
        on_event(RunnerEvent::Warning(&error.to_string()));
    }
    None
}

/// Does what a signal asks for. COMMAND is in a session of its own, so that no signal of the terminal reaches it by itself.
fn handle_signal(run: &mut ActiveRun, job: &Job, signal: Signal, on_event: OnEvent<'_>) {
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
        // Another dogwatch ends the run: it has announced in the record why. It asks by CHLD first, and sends TERM where this
        // process did not answer in time.
        Signal::SIGTERM if run.own.announced().is_some() => run.interruptions.end_at = now,
        // INT, TERM, HUP, QUIT, USR1 and USR2; no other is caught. COMMAND gets all but an INT or TERM that comes again.
        _ => {
            if run.interruptions.asked().is_none() || !matches!(signal, Signal::SIGINT | Signal::SIGTERM) {
                signal_group(run.child, signal);
            }
            if let Some(sentence) = run.interruptions.note(signal, now, job.grace) {
                on_event(RunnerEvent::Warning(&sentence));
            }
        }
    }
}

/// After a stop: COMMAND goes on, and so does the heartbeat, whose age counts from now.
fn go_on(run: &mut ActiveRun) {
    signal_group(run.child, Signal::SIGCONT);
    run.heartbeat.restart(clock::now());
}

/// Why the run is ended on a signal; `None` if another process has announced why.
fn interruption_reason(run: &mut ActiveRun) -> Option<(Intent, String)> {
    let signal = run.interruptions.asked()?;
    run.own.announced().is_none().then(|| (Intent::Killed, format!("interrupted by {}", signal.as_str())))
}

/// What is due while COMMAND, or what it left, runs: a heartbeat, and the log's limit.
pub(super) fn tend(run: &mut ActiveRun, job: &Job, now: MonotonicTime, on_event: OnEvent<'_>) {
    beat(run, job, now, on_event);
    run.output.look(now, on_event);
}

fn beat(run: &mut ActiveRun, job: &Job, now: MonotonicTime, on_event: OnEvent<'_>) {
    if run.fault.is_some() || !run.heartbeat.may_beat(now) {
        return;
    }
    run.directory.keep_from_cleaners();
    run.output.look_for_room();
    run.own.restore();
    // Beats by the clock ask nothing of the log.
    let size =
        if matches!(job.heartbeat_on, HeartbeatOn::Output | HeartbeatOn::Activity) { output_size(run, job) } else { 0 };
    let active = job.heartbeat_on == HeartbeatOn::Activity && {
        let seen = end_tree::activity(run);
        std::mem::replace(&mut run.activity, seen.clone()) != seen
    };
    if run.heartbeat.take_beat(now, size, active) {
        let name = file_name(&job.step, Record::Heartbeat);
        if let Err(error) = run.directory.file(&name).touch() {
            on_event(RunnerEvent::Warning(&format!(
                "cannot beat {}: {}",
                run.directory.join(&name).display(),
                io_reason(&error)
            )));
        }
    }
}

/// How much COMMAND has printed so far, also where its standard output is to be the result.
fn output_size(run: &ActiveRun, job: &Job) -> u64 {
    let given = (job.result == ResultFrom::Stdout).then(|| run.directory.stat(&TempFile::GIVEN.of(&job.step, &run.id)));
    let stamp = given.and_then(Result::ok).and_then(|file| file.stamp());
    run.output.size() + stamp.map_or(0, |stamp| stamp.size)
}

/// Whether the run is over one of the limits that it was given.
fn overdue(run: &mut ActiveRun, job: &Job, now: MonotonicTime, over_at: MonotonicTime) -> Option<(Intent, String)> {
    if over_at.is_reached(now) {
        return Some((Intent::Timeout, ran_for(now.since(run.began), job.max_timeout.unwrap_or_default())));
    }
    let stale = job.stale.filter(|stale| !stale.is_zero())?;
    let name = file_name(&job.step, Record::Heartbeat);
    // Not knowing is no reason to kill.
    let file = run.directory.stat(&name).ok()?;
    run.heartbeat.observe(now, file.stamp().map(|stamp| stamp.modified));
    run.heartbeat.is_stale(now).then(|| (Intent::Hung, silent_for(run.heartbeat.age(now), stale)))
}

/// Ends COMMAND and all that it started, after a look at what it waits for where a reason is to be announced.
fn end(run: &mut ActiveRun, job: &Job, reason: Option<(Intent, String)>, on_event: OnEvent<'_>) -> TreeEnd {
    if let Some((intent, why)) = reason {
        let wanted = intent != Intent::Killed;
        let killer = end_tree::killer(run).filter(|_| wanted);
        let evidence = killer.map(|mut killer| diagnose::take(&killer.list()));
        // The limit holds all the same; the reason stands in the record at the end.
        let announced = run.own.announce(intent, &why, evidence.clone());
        on_event(RunnerEvent::Warning(&format!("{why}; ending it")));
        if let Err(error) = announced {
            on_event(RunnerEvent::Warning(&error.to_string()));
        }
        // The record has this wrapper in it too, and its readers leave it out.
        let mut shown = evidence.unwrap_or_default();
        shown.retain(|process| process.pid != current_pid());
        on_event(RunnerEvent::Evidence(&shown));
    }
    end_tree::end(run, Escalation::term(job.grace))
}

/// Sleeps until a signal comes or the log grows, or until then.
pub(super) fn sleep(run: &mut ActiveRun, until: MonotonicTime) {
    let sources = [Some(run.signals.descriptor()), run.output.descriptor()];
    let [_signalled, grew] = ready(sources, until.since(clock::now()));
    if grew {
        run.output.grew(clock::now());
    }
}
