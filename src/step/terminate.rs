//! Ending a run: look at its tree, announce, look once more, signal the whole tree, verify, look once more, record.
//!
//! Only a verified end is recorded: if the target may not be signalled, or still lives, the next snapshot is judged
//! anew. For work that cannot be seen from here, the exit code of the caller's own kill command decides.

use crate::decide::liveness::is_copy;
use crate::decide::snapshot::{Process, Snapshot};
use crate::decide::warning::{Warning, out_of_reach};
use crate::env_vars;
use crate::error::Error;
use crate::record::evidence::{BlockedOn, ProcessState, TreeProcess};
use crate::record::file_names::{Record, file_name};
use crate::record::file_state::LockState;
use crate::record::outcome::{Intent, Reason, detail_of};
use crate::record::pid::PidFileId;
use crate::record::time::WallTime;
use crate::step::intent::{
    Announced, EXIT_PATIENCE, PAUSE, WrapperAnswer, announce, ask, askable, end_by_term, withdraw,
};
use crate::step::kill_command::{self, CommandEffect};
use crate::step::outcome::{RunStatus, record, remove_unpublished, run_status};
use crate::step::publisher::{Ending, still_there};
use crate::step::snapshot::SnapshotReader;
use crate::step::termination_lock::{exclude_other_commands, exclude_others};
use crate::sys::clock;
use crate::sys::fs::lock;
use crate::sys::process::ProcessInfo;
use crate::sys::process::diagnose;
use crate::sys::process::table::ProcessTable;
use crate::sys::process::tree::{self, Escalation, KillReport, KillTarget, TreeKiller, Wrapper, names};
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

/// The variable by which every process of a run can be found.
pub(crate) const MARK: &str = env_vars::RUN_ID;

/// What is said of a run whose work goes on.
const STILL_RUNS: &str = "it went on after its outcome was recorded";

/// By what a run is ended.
#[derive(Clone, Debug)]
pub(crate) struct KillMethod {
    /// The signals; with a command its grace is how long the run may take to say how it ended.
    pub(crate) escalation: Escalation,
    /// The caller's own command, which replaces the signals.
    pub(crate) command: Option<OsString>,
}

impl KillMethod {
    /// By signals.
    pub(crate) fn signals(escalation: Escalation) -> Self {
        Self { escalation, command: None }
    }
}

/// What came of ending a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Termination {
    /// Whether processes were signalled and all are gone, or the caller's command said that it has ended the work.
    pub(crate) killed: bool,
    /// Whether the outcome stands in the files: read them again.
    pub(crate) recorded: bool,
    /// What a person should know.
    pub(crate) detail: Option<String>,
    /// Why the run was not ended, without the reason for ending it, which `detail` begins with.
    pub(crate) refusal: Option<String>,
    /// The tree before the first signal, where it was looked at.
    pub(crate) evidence: Option<Vec<TreeProcess>>,
}

/// Ends the run that this look shows, for this reason.
pub(crate) fn terminate(
    reader: &mut SnapshotReader,
    snapshot: &Snapshot,
    intent: Intent,
    why: &str,
    method: &KillMethod,
) -> Termination {
    let mut killer = open_killer(snapshot, why);
    // A refused terminator announces nothing: the run's own end will be reported as it is. A copy's run is not ended by a
    // command either: it would end the original.
    if let Err(refusal) = &killer
        && (method.command.is_none() || is_copy(snapshot))
    {
        return refusal.clone();
    }
    // Before anything is signalled, the wrapper's own STOP included: a stopped process waits for nothing.
    let evidence = match &mut killer {
        Ok(killer) if intent != Intent::Killed => Some(capture_evidence(snapshot, killer)),
        Ok(_) | Err(_) => None,
    };
    let asks = killer.as_ref().ok().filter(|_| method.command.is_none());
    let wrapper = asks.and_then(|killer| askable(snapshot, killer.root));
    // The snapshot before the first signal is the one under the record lock: work that finished in between has finished.
    let asked = wrapper.map(|_| method.escalation);
    let announced = announce(reader, snapshot.pid_file_id(), intent, why, evidence.as_deref(), asked);
    let mut terminator = Terminator { reader, snapshot, intent, why, escalation: method.escalation };
    let termination = match (announced, &method.command, killer) {
        (Ok(Announced::Over), _, _) => Termination { recorded: true, ..Termination::default() },
        (Ok(announced), Some(command), _) => {
            let termination = terminator.by_command(command);
            if !termination.recorded {
                terminator.take_back(announced);
            }
            termination
        }
        (Ok(announced), None, Ok(killer)) => terminator.by_signals(killer, wrapper, announced),
        (Ok(_) | Err(_), None, Err(refusal)) => refusal,
        // Not where another process only keeps the record locked.
        (Err(error), None, Ok(killer)) if error.source().is_some() => terminator.unannounced(killer, wrapper),
        (Err(error), _, _) => not_recorded(format!("{why}; {error}")),
    };
    Termination { evidence, ..termination }
}

/// Ends a living run whose end was announced.
struct Terminator<'run> {
    reader: &'run mut SnapshotReader,
    /// The run.
    snapshot: &'run Snapshot,
    intent: Intent,
    why: &'run str,
    escalation: Escalation,
}

impl Terminator<'_> {
    /// Has the living wrapper end the run, or ends it from here where there is none, or it does not answer.
    fn by_signals(&mut self, killer: TreeKiller, wrapper: Option<ProcessInfo>, announced: Announced) -> Termination {
        let asked = wrapper.map(|wrapper| ask(self.reader, self.snapshot, wrapper, self.escalation.grace));
        let grace = match asked {
            Some(WrapperAnswer::Over) => return self.after_wrapper(),
            Some(WrapperAnswer::Refused(survivors)) => {
                let survivors = survivors.as_deref().map(still_there);
                let refusal = survivors.unwrap_or_else(|| "the wrapper could not end it".to_owned());
                return refused(self.why, &refusal);
            }
            // One that is slow has had its time.
            Some(WrapperAnswer::Silent) => Duration::ZERO,
            None => self.escalation.grace,
        };
        let (held, grace) = exclude_others(self.reader, grace);
        if self.is_over() {
            // To end what is left takes it anew.
            drop(held);
            return self.after_wrapper();
        }
        let report = killer.end(Escalation { grace, ..self.escalation }, &mut || true);
        let Some(fault) = fault(&report, self.snapshot) else { return self.finish(&report) };
        if !report.signalled {
            self.take_back(announced);
        }
        refused(self.why, &fault)
    }

    /// Has a run ended whose record cannot be written: its work may be what fills the disk. A wrapper that gets TERM records the
    /// end in the room that it has reserved.
    fn unannounced(&mut self, killer: TreeKiller, wrapper: Option<ProcessInfo>) -> Termination {
        if self.is_over() {
            return self.after_wrapper();
        }
        match wrapper {
            Some(wrapper) if end_by_term(wrapper, self.escalation.grace, &|| false) => self.after_wrapper(),
            Some(_) | None => self.by_signals(killer, None, Announced::Joined),
        }
    }

    /// Takes back what this call announced and did not do: how the run ends later is not its work.
    fn take_back(&mut self, announced: Announced) {
        if announced == Announced::First {
            // What cannot be taken back stands as an intent of which nothing came.
            let _stands = withdraw(self.reader, self.snapshot.pid_file_id(), self.intent);
        }
    }

    /// Whether another terminator was faster.
    fn is_over(&mut self) -> bool {
        let run = self.snapshot.pid_file_id();
        self.reader.read_again().is_ok_and(|again| run_status(&again, run) != RunStatus::Running)
    }

    /// What came of a run that its wrapper or another terminator has ended, or whose wrapper has gone without a word.
    fn after_wrapper(&mut self) -> Termination {
        let again = match self.reader.read_again() {
            Ok(again) => again,
            Err(error) => return not_recorded(error.to_string()),
        };
        match run_status(&again, self.snapshot.pid_file_id()) {
            RunStatus::Replaced => Termination { recorded: true, ..Termination::default() },
            RunStatus::Ended => {
                let meta = again.run_meta();
                let survivors = meta.and_then(|meta| meta.survivors.as_deref()).map(still_there);
                let succeeded = meta.is_some_and(|meta| meta.reason == Some(Reason::Success));
                let killed = survivors.is_none() && !succeeded;
                Termination { killed, recorded: true, detail: survivors, ..Termination::default() }
            }
            RunStatus::Running => {
                self.finish(&KillReport { killed: true, ..end_remains(self.reader, self.snapshot, self.escalation) })
            }
        }
    }

    /// Has the caller's command end the run. Its word is taken where nothing is to be seen of the run from here, and not
    /// against a process that still lives.
    fn by_command(&mut self, command: &OsStr) -> Termination {
        let (run, why, grace) = (self.snapshot.pid_file_id(), self.why, self.escalation.grace);
        let _held = exclude_other_commands(self.reader, grace);
        if self.is_over() {
            return Termination { recorded: true, ..Termination::default() };
        }
        let detail = kill_command::run(self.reader, run, command, grace).err().map(|fault| format!("{why}; {fault}"));
        let killed = detail.is_none();
        match (kill_command::wait_for_end(self.reader, self.snapshot, grace), detail) {
            (CommandEffect::Recorded { succeeded }, detail) => {
                Termination { killed: killed && !succeeded, recorded: true, detail, ..Termination::default() }
            }
            // Dead as any dead run: what it left here is ended.
            (CommandEffect::Gone, detail) => {
                let remains = end_remains(self.reader, self.snapshot, Escalation::term(grace));
                let termination = self.finish(&KillReport { killed, ..remains });
                Termination { detail: termination.detail.or(detail), ..termination }
            }
            (CommandEffect::Alive | CommandEffect::Unseen, Some(detail)) => {
                not_recorded(format!("{detail}, so nothing was recorded"))
            }
            (CommandEffect::Alive, None) => not_recorded(format!(
                "{why}; the kill command ended with exit code 0 and the run's process still lives, so nothing was recorded"
            )),
            // Nothing of it is tidied up from here: it may still be on its way out over there.
            (CommandEffect::Unseen, None) => {
                let recorded = record(self.reader, run, &self.ending());
                Termination {
                    killed,
                    recorded: recorded.is_ok(),
                    detail: recorded.err().map(|error| error.to_string()),
                    ..Termination::default()
                }
            }
        }
    }

    fn finish(&mut self, report: &KillReport) -> Termination {
        finish(self.reader, self.snapshot, self.ending(), report)
    }

    fn ending(&self) -> Ending {
        Ending { detail: Some(self.why.to_owned()), ..Ending::of(self.intent.reason()) }
    }
}

/// The processes of a run that is not ended, only reported on; none where they are not to be seen from here.
pub(crate) fn evidence(snapshot: &Snapshot) -> Vec<TreeProcess> {
    open_killer(snapshot, "").map_or_else(|_| Vec::new(), |mut killer| capture_evidence(snapshot, &mut killer))
}

/// How much CPU time the run's living processes have used; `None` if they are not to be seen from here.
pub(crate) fn cpu_time(snapshot: &Snapshot) -> Option<Duration> {
    let listed = open_killer(snapshot, "").ok()?.list();
    (!listed.is_empty()).then(|| diagnose::cpu_time(&listed))
}

/// The same for one of many runs, from one look at all processes.
pub(crate) fn cpu_time_in(snapshot: &Snapshot, process_table: &ProcessTable) -> Option<Duration> {
    check_reachable(snapshot, "").ok()?;
    let target = target(snapshot);
    process_table.cpu_time(target.pid?, target.group)
}

/// What ends the run, for this reason.
///
/// # Errors
/// It may not be ended from here: what comes of trying.
fn open_killer(snapshot: &Snapshot, why: &str) -> Result<TreeKiller, Termination> {
    check_reachable(snapshot, why)?;
    TreeKiller::open(target(snapshot)).map_err(|refusal| refused(why, &refusal))
}

/// Whether this process may look at the run's processes, let alone signal them, as far as the look tells.
///
/// # Errors
/// It may not: what comes of ending the run for this reason.
pub(crate) fn check_reachable(snapshot: &Snapshot, why: &str) -> Result<(), Termination> {
    if let Some(remark) = out_of_reach(snapshot) {
        return Err(not_recorded(remark.to_string()));
    }
    let Some(PidFileId { pid, .. }) = snapshot.pid_file_id() else {
        return Err(refused(why, "no pid says which process to end, so nothing was signalled"));
    };
    // It is not known to be dead, or `record_death` would be called; it lives where it cannot be seen, and could not be seen
    // to go either.
    if snapshot.lock != LockState::Held && matches!(snapshot.process, Process::Gone { .. } | Process::Hidden) {
        return Err(refused(why, &format!("process {pid} is not to be seen from here, so nothing was signalled")));
    }
    Ok(())
}

fn capture_evidence(snapshot: &Snapshot, killer: &mut TreeKiller) -> Vec<TreeProcess> {
    let mut processes = diagnose::take(&killer.list());
    let run = snapshot.pid_file_id();
    let wrapper = run.filter(|_| snapshot.run_meta().is_some_and(|meta| meta.child_pid.is_some())).map(|run| run.pid);
    for process in &mut processes {
        // What the kernel shows of `run` is a wait for signals, its child's end among them; it waits for COMMAND.
        if Some(process.pid) == wrapper && process.state == ProcessState::Sleeping {
            process.blocked_on = Some(BlockedOn::Child);
        }
    }
    processes
}

/// Why a dead run is called that.
pub(crate) fn left_no_status(snapshot: &Snapshot) -> String {
    let process = snapshot.pid_file_id().map_or("its process".to_owned(), |run| format!("process {}", run.pid));
    format!("{process} is gone and left no status")
}

/// Records the end of a run whose process is dead, after what it left has been ended: here by signals, elsewhere by the
/// caller's command, since a wrapper's death says nothing of the job that it had started on another machine.
pub(crate) fn record_death(
    reader: &mut SnapshotReader,
    snapshot: &Snapshot,
    reason: Reason,
    method: &KillMethod,
) -> Termination {
    if is_copy(snapshot) {
        return not_recorded(format!("the process is gone and left no status; {}", Warning::Copy));
    }
    let mut report = end_remains(reader, snapshot, method.escalation);
    // One that said how it ended, and could only not publish it, has ended its work.
    let command = method.command.as_ref().filter(|_| !matches!(reason, Reason::Success | Reason::Failed));
    let grace = method.escalation.grace;
    let _held = command.map(|_| exclude_other_commands(reader, grace));
    let called = command.map(|command| kill_command::run_after_death(reader, snapshot, command, grace));
    report.killed |= matches!(called, Some(Ok(true)));
    let detail = (reason == Reason::Died).then(|| left_no_status(snapshot));
    let also = called.and_then(Result::err);
    let also = also.and_then(|fault| detail_of(detail.iter().cloned().chain([fault.to_string()])));
    let termination = finish(reader, snapshot, Ending { detail, ..Ending::of(reason) }, &report);
    Termination { detail: fault(&report, snapshot).or(also).or(termination.detail), ..termination }
}

/// Ends the work of a run that goes on after its outcome was recorded, by COMMAND itself (`dogwatch succeed`) or by a plain
/// `echo`; the outcome stays. `None` if nothing of it goes on.
pub(crate) fn end_after_outcome(
    reader: &SnapshotReader,
    snapshot: &Snapshot,
    escalation: Escalation,
) -> Option<Termination> {
    let meta = snapshot.run_meta().filter(|meta| meta.locked && meta.child_pid.is_some())?;
    let name = file_name(reader.step(), Record::Lock);
    let path = reader.directory().file(&name);
    let is_over = || {
        let (state, file) = lock::probe(&path);
        state != LockState::Held || !meta.is_lock(file)
    };
    // The wrapper gives the lock back right after it has published the status.
    let exits_by = clock::now().plus(EXIT_PATIENCE);
    while clock::now() < exits_by {
        if is_over() {
            return None;
        }
        clock::sleep_until(clock::now().plus(PAUSE));
    }
    let (killer, wrapper) = match open_killer(snapshot, STILL_RUNS) {
        // Without its process the lock is the next run's, which is starting.
        Ok(killer) => killer.root.map(|wrapper| (killer, wrapper))?,
        Err(refusal) => return Some(refusal),
    };
    let survivors = if end_by_term(wrapper, escalation.grace, &is_over) {
        Vec::new()
    } else {
        killer.end(Escalation { grace: Duration::ZERO, ..escalation }, &mut || true).survivors
    };
    let survivors = names(&survivors, target(snapshot).owner);
    let detail = survivors.as_deref().map_or_else(|| "it was ended".to_owned(), still_there);
    Some(Termination { killed: survivors.is_none(), ..not_recorded(format!("{STILL_RUNS}; {detail}")) })
}

/// Ends what a dead run left here, as far as that may be signalled.
fn end_remains(reader: &SnapshotReader, snapshot: &Snapshot, escalation: Escalation) -> KillReport {
    if out_of_reach(snapshot).is_some() {
        return KillReport::default();
    }
    let (_held, grace) = exclude_others(reader, escalation.grace);
    // Never the pid in its pid file, which may have been reused.
    tree::terminate(&KillTarget { pid: None, ..target(snapshot) }, Escalation { grace, ..escalation })
}

fn finish(reader: &mut SnapshotReader, snapshot: &Snapshot, ending: Ending, report: &KillReport) -> Termination {
    let ending = Ending { survivors: names(&report.survivors, target(snapshot).owner), ..ending };
    let recorded = record(reader, snapshot.pid_file_id(), &ending);
    let with_reason = |fault: &Error| detail_of(ending.detail.iter().cloned().chain([fault.to_string()]));
    let unrecorded = recorded.as_ref().err().and_then(with_reason);
    if let Some(meta) = snapshot.run_meta().filter(|meta| meta.locked && report.survivors.is_empty()) {
        remove_unpublished(reader.directory(), reader.step(), &meta.run_id);
    }
    let detail = unrecorded.or(fault(report, snapshot));
    Termination { killed: report.killed, recorded: recorded.is_ok(), detail, ..Termination::default() }
}

fn not_recorded(detail: String) -> Termination {
    Termination { detail: Some(detail), ..Termination::default() }
}

fn refused(why: &str, refusal: &str) -> Termination {
    Termination { refusal: Some(refusal.to_owned()), ..not_recorded(format!("{why}; {refusal}")) }
}

fn fault(report: &KillReport, snapshot: &Snapshot) -> Option<String> {
    let survivors = || names(&report.survivors, target(snapshot).owner).as_deref().map(still_there);
    report.refusal.clone().or_else(survivors)
}

/// The whole tree of a living run.
fn target(snapshot: &Snapshot) -> KillTarget {
    let run = snapshot.pid_file_id();
    let meta = snapshot.run_meta();
    KillTarget {
        pid: run.map(|run| run.pid),
        started: meta.and_then(|meta| meta.pid_started_at),
        claimed_at: run.map_or(WallTime::from_nanos(0), |run| run.written),
        // Without either the run has no known user, and nothing is signalled.
        owner: snapshot.pid.stamp().or(snapshot.meta.stamp()).map_or(u32::MAX, |stamp| stamp.owner),
        group: meta.and_then(|meta| meta.process_group),
        group_started: meta.and_then(|meta| meta.child_started_at),
        mark: meta.filter(|meta| meta.child_pid.is_some()).map(|meta| format!("{MARK}={}", meta.run_id)),
        wrapper: Wrapper::Other,
        has_older_children: meta.is_some_and(|meta| meta.has_older_children),
    }
}
