//! The start of a run: the lock, the end of the run before, the start files, COMMAND held and let go.
//!
//! The order is the point. The lock comes first: it decides between two starters, and tells every looker that a run is
//! starting. The old pid goes first and the new one comes last, so nobody ever pairs the old run's status with the new
//! run's pid. COMMAND runs nothing until all of it stands.

use super::output::Output;
use super::pulse::Pulse;
use super::{Job, Listener, LogStreams, NotStarted, Refusal, ResultFrom};
use crate::decide::breaker::Admission;
use crate::decide::history::{History, RunKey, meta_of, run_key};
use crate::decide::observation::{Liveness, Status};
use crate::decide::policy::{Policy, START_TIMEOUT, Threshold, Wishes};
use crate::os::directory::{Directory, create_new, why};
use crate::os::lock::Lock;
use crate::os::platform::machine;
use crate::os::reserve::Reserve;
use crate::os::signals::{self, Pending};
use crate::os::spawn::{Held, Program, Stream, null_input};
use crate::os::{clock, environment, log, process};
use crate::protocol::file::File;
use crate::protocol::layout::{Record, file_name, record_lock, temporary_name};
use crate::protocol::meta::Meta;
use crate::protocol::outcome::Reason;
use crate::protocol::step::StepName;
use crate::protocol::time::{Moment, Wall, millis};
use crate::step::circuit;
use crate::step::look::{Looker, here, refuse_newer};
use crate::step::record::{self, Rooms, count_seen};
use crate::step::terminate::{MARK, bury};
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long a newcomer waits for a lock that a run with a complete status has not dropped yet.
const FINISHING: Duration = Duration::from_secs(5);
/// How long a newcomer tries before it takes a held lock for a living run's. Lookers hold it for microseconds.
const LOOKERS: Duration = Duration::from_millis(50);
/// How much room the last meta is given beyond the first one's length: an end adds a few short keys.
const META_GROWTH: usize = 4096;
/// How much room the default result needs.
const RESULT_ROOM: usize = 256;

/// Everything a run holds while it goes on.
pub(super) struct Run {
    pub(super) directory: Arc<Directory>,
    pub(super) looker: Looker,
    pub(super) key: RunKey,
    pub(super) id: String,
    pub(super) began: Moment,
    pub(super) child: i32,
    pub(super) child_started: Option<u64>,
    pub(super) fault: Option<NotStarted>,
    pub(super) lock: Lock,
    pub(super) rooms: Rooms,
    pub(super) signals: Pending,
    pub(super) pulse: Pulse,
    pub(super) output: Output,
    /// How many processes the kernel had killed for memory before.
    pub(super) memory_kills: Option<u64>,
}

/// Begins a run, up to COMMAND's exec.
pub(super) fn start(directory: &Directory, job: &Job, listener: &mut dyn Listener) -> Result<Run, Refusal> {
    directory.create().map_err(Refusal::Own)?;
    let directory = Arc::new(Directory::at(absolute(directory)));
    let id = environment::unique();
    // Asked before anything is touched, and again when nothing can come between any more: the end of the run before,
    // counted below, may have opened the circuit.
    admit(&directory, job, None)?;
    let mut looker = Looker::new(Arc::clone(&directory), job.step.clone(), Arc::new(here(&directory)));
    let lock = take_lock(&directory, &mut looker, &job.step)?;
    looker.hold();
    settle(&mut looker, job, listener)?;
    admit(&directory, job, Some(&id))?;
    // Before the fork, so that no signal is lost between; the child puts its own dispositions back.
    let ignore_hangup = signals::is_ignored(Signal::SIGHUP);
    let signals = catch_signals()?;
    if let Err(error) = machine::adopt_orphans() {
        listener.trouble(&format!("orphans of COMMAND cannot be adopted: {}", why(&error)));
    }
    clear(&directory, &job.step)?;
    let began = clock::now();
    let wall = clock::wall();
    let files = open_files(&directory, job, &id)?;
    let memory_kills = machine::memory_kills();
    let program = Program {
        command: job.command.clone(),
        variables: variables(&directory, &job.step, &id, &files.result),
        stdin: if job.inherit_stdin {
            None
        } else {
            Some(null_input().map_err(|error| own("open /dev/null", &error))?)
        },
        stdout: files.stdout,
        stderr: files.stderr,
        ignore_hangup,
    };
    let held = Held::fork(&program).map_err(|error| own("start a process", &error))?;
    let child = held.pid();
    let child_started = match crate::os::platform::process::look(child) {
        process::Lookup::There(entry) => Some(entry.started),
        process::Lookup::Gone | process::Lookup::Hidden => None,
    };
    let meta = first_meta(job, &id, began, wall, child);
    let (key, rooms) = publish(&directory, job, &id, meta).map_err(Refusal::Own)?;
    let pulse = Pulse::new(job.heartbeat_on, job.heartbeat_interval, job.stale, began);
    let output = Output::start(directory.join(&file_name(&job.step, Record::Log)), job, listener);
    let fault = held.release().err().map(|error| not_started(job, &error));
    listener.started(process::myself(), fault.as_ref());
    Ok(Run {
        directory,
        looker,
        key,
        id,
        began,
        child,
        child_started,
        fault,
        lock,
        rooms,
        signals,
        pulse,
        output,
        memory_kills,
    })
}

fn own(what: &str, error: &std::io::Error) -> Refusal {
    Refusal::Own(format!("cannot {what}: {}", why(error)))
}

fn absolute(directory: &Directory) -> PathBuf {
    environment::absolute(directory.path())
}

/// Asks the breaker; for the run that is named, which then starts.
fn admit(directory: &Directory, job: &Job, run: Option<&str>) -> Result<(), Refusal> {
    let Some(name) = &job.breaker else { return Ok(()) };
    let answer = match run {
        Some(run) => circuit::enter(directory, name, job.max_consecutive, job.cooldown, run),
        None => circuit::ask(directory, name, job.max_consecutive, job.cooldown),
    };
    let (admission, record) = answer.map_err(Refusal::Own)?;
    match admission {
        Admission::Closed | Admission::Trial => Ok(()),
        Admission::Open => Err(Refusal::CircuitOpen(format!(
            "circuit breaker {name} is open after {} failures in a row; look at {}, then close it with: dogwatch breaker reset {name}",
            record.consecutive_failures,
            directory.join(&file_name(&job.step, Record::Log)).display(),
        ))),
    }
}

/// Takes `STEP.lock`, or says who has it.
fn take_lock(directory: &Directory, looker: &mut Looker, step: &StepName) -> Result<Lock, Refusal> {
    let path = directory.join(&file_name(step, Record::Lock));
    let began = clock::now();
    loop {
        let now = clock::now();
        let taken = Lock::try_take(&path)
            .map_err(|error| Refusal::Own(format!("cannot lock {}: {}", path.display(), why(&error))))?;
        match taken {
            Some(lock) if lock.still_at(&path) => return Ok(lock),
            None if now >= began.plus(LOOKERS) => {
                let look = looker.look().map_err(|error| own("look at the step", &error))?;
                let seen = History::default().note(&look);
                let over = matches!(seen.status, Status::Complete { .. });
                let starting = matches!(seen.liveness, Liveness::Starting { .. });
                if !(over || starting) || now >= began.plus(FINISHING) {
                    return Err(running(step, run_key(&look)));
                }
            }
            // Taken, but somebody replaced the file in between, and the new one counts; or a looker has it for a moment.
            Some(_) | None => {}
        }
        clock::sleep_until(now.plus(Duration::from_millis(2)));
    }
}

fn running(step: &StepName, key: Option<RunKey>) -> Refusal {
    let pid = key.map_or(String::new(), |(pid, _)| format!(" (pid {pid})"));
    Refusal::Running(format!("step {step} is already running{pid}; wait for it with: dogwatch wait {step}"))
}

/// Settles the run before: refuses where it still lives, records and counts its end where nobody has.
fn settle(looker: &mut Looker, job: &Job, listener: &mut dyn Listener) -> Result<(), Refusal> {
    let look = looker.look().map_err(|error| own("look at the step", &error))?;
    refuse_newer(&look, &job.step).map_err(|error| Refusal::Own(error.0))?;
    let seen = History::default().note(&look);
    if seen.absent_since.is_some() {
        return Ok(());
    }
    let key = run_key(&look);
    let reason = match (&seen.status, seen.liveness) {
        (Status::Complete { .. }, _) => seen.recorded.unwrap_or_else(|| {
            let failed = seen.intent.map_or(Reason::Failed, crate::protocol::outcome::Intent::reason);
            if seen.succeeded() { Reason::Success } else { failed }
        }),
        (_, Liveness::Alive) => return Err(running(&job.step, key)),
        (Status::Unfinished { .. } | Status::Odd { .. }, Liveness::Dead { .. }) => Reason::Failed,
        (_, Liveness::Dead { .. }) => {
            let reason = seen.recorded.or(seen.intent.map(crate::protocol::outcome::Intent::reason));
            let buried = bury(looker, &look, reason.unwrap_or(Reason::Died), job.grace);
            if let Some(sentence) = buried.detail {
                listener.trouble(&sentence);
            }
            sweep(looker.directory(), &job.step);
            return Ok(());
        }
        (_, Liveness::Elsewhere | Liveness::Unclaimed | Liveness::Starting { .. }) => {
            let wishes = Wishes {
                stale: Threshold::default(),
                max_timeout: Threshold::default(),
                start_timeout: START_TIMEOUT,
                until: None,
                settle: Duration::ZERO,
            };
            let stale = Policy::resolve(&wishes, meta_of(&look, key)).ok().and_then(|policy| policy.stale);
            let fresh = seen.heartbeat.zip(stale).is_some_and(|(beat, stale)| look.at < beat.fresh.plus(stale));
            if fresh {
                return Err(running(&job.step, key));
            }
            Reason::Died
        }
    };
    if let Err(sentence) = count_seen(looker.directory(), &job.step, &look, reason) {
        listener.trouble(&sentence);
    }
    Ok(())
}

/// Removes temporary files that a killed writer left. The record lock keeps living writers out meanwhile.
fn sweep(directory: &Directory, step: &StepName) {
    let Ok(Some(_held)) = Lock::take(&directory.join(&record_lock(step)), record::patience()) else { return };
    let records = [Record::Pid, Record::Status, Record::Result, Record::Meta];
    let prefixes: Vec<String> = records.iter().map(|record| format!(".{step}.{}.", record.suffix())).collect();
    for name in directory.names().unwrap_or_default() {
        if name.rsplit('.').next() == Some("tmp") && prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            // What cannot be removed does no harm: no reader takes it for a record.
            let _stays = directory.remove(&name);
        }
    }
}

fn catch_signals() -> Result<Pending, Refusal> {
    let forwarded =
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2];
    let mut wanted = signals::not_ignored(&forwarded);
    // Also where it was inherited as ignored: the kernel would then reap COMMAND itself and its code be lost (wait(2)).
    wanted.push(Signal::SIGCHLD);
    Pending::catch(&wanted).map_err(|error| own("catch signals", &error))
}

/// Takes the run before away, its pid first: from then on, with the lock held and no pid, everybody knows that a run is
/// starting and takes nothing else that is there for its own. The meta stays until the new one replaces it: should this
/// process be killed on the way, it tells how the run before ended.
fn clear(directory: &Directory, step: &StepName) -> Result<(), Refusal> {
    for record in [Record::Pid, Record::Heartbeat, Record::Status, Record::Result] {
        let name = file_name(step, record);
        directory.remove(&name).map_err(|error| own(&format!("remove {}", directory.join(&name).display()), &error))?;
    }
    Ok(())
}

struct Files {
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    result: PathBuf,
}

fn open_files(directory: &Directory, job: &Job, id: &str) -> Result<Files, Refusal> {
    let log_path = directory.join(&file_name(&job.step, Record::Log));
    let opened = |what: &PathBuf, file: std::io::Result<Stream>| {
        file.map_err(|error| own(&format!("open {}", what.display()), &error))
    };
    let log = match job.log {
        LogStreams::None => {
            // An old run's log is none of this one's.
            let name = file_name(&job.step, Record::Log);
            directory.remove(&name).map_err(|error| own(&format!("remove {}", log_path.display()), &error))?;
            None
        }
        LogStreams::Both | LogStreams::Stdout | LogStreams::Stderr => Some(opened(&log_path, log::start(&log_path))?),
    };
    let result = directory.join(&temporary_name(&job.step, Record::Result, id));
    let same = |log: &Stream| opened(&log_path, log.try_clone());
    let stdout = match (job.result, job.log, &log) {
        (ResultFrom::Stdout, _, _) => Some(opened(&result, create_new(&result))?),
        (_, LogStreams::Both | LogStreams::Stdout, Some(log)) => Some(same(log)?),
        _ => None,
    };
    let stderr = match (job.log, &log) {
        (LogStreams::Both | LogStreams::Stderr, Some(log)) => Some(same(log)?),
        _ => None,
    };
    Ok(Files { stdout, stderr, result })
}

fn variables(directory: &Directory, step: &StepName, id: &str, result: &std::path::Path) -> Vec<(String, OsString)> {
    let variable = |name: &str, value: OsString| (name.to_owned(), value);
    vec![
        variable("DOGWATCH_DIR", directory.path().into()),
        variable("DOGWATCH_STEP", step.as_str().into()),
        variable("DOGWATCH_HEARTBEAT", directory.join(&file_name(step, Record::Heartbeat)).into()),
        variable("DOGWATCH_RESULT", result.into()),
        variable(MARK, id.into()),
    ]
}

fn first_meta(job: &Job, id: &str, began: Moment, wall: Wall, child: i32) -> Meta {
    let text = |value: &OsString| value.to_string_lossy().into_owned();
    Meta {
        run_id: id.to_owned(),
        host: Some(environment::host()),
        boot_id: Some(environment::boot_id()),
        pid_namespace: machine::pid_namespace(),
        pid: Some(process::myself()),
        pid_started_at: process::my_start(),
        locked: true,
        started_awake_ms: Some(began.as_millis()),
        breaker: job.breaker.as_ref().map(|name| name.as_str().to_owned()),
        max_consecutive: Some(job.max_consecutive),
        child_pid: Some(child),
        process_group: Some(child),
        uid: Some(environment::user()),
        command: job.command.iter().map(text).collect(),
        cwd: environment::current_folder().ok().map(|folder| folder.to_string_lossy().into_owned()),
        started_at: Some(wall.rfc3339()),
        heartbeat_interval_ms: Some(millis(job.heartbeat_interval)),
        heartbeat_on: Some(job.heartbeat_on.as_str().to_owned()),
        stale_ms: job.stale.map(millis),
        max_timeout_ms: job.max_timeout.map(millis),
        ..Meta::default()
    }
}

/// Publishes the start files, the meta first and the pid last, and sets room aside for the last ones.
fn publish(directory: &Directory, job: &Job, id: &str, mut meta: Meta) -> Result<(RunKey, Rooms), String> {
    let step = &job.step;
    let say =
        |name: &str, error: &std::io::Error| format!("cannot write {}: {}", directory.join(name).display(), why(error));
    // The meta names the pid file's time, and the pid comes last: so it is written first, under another name. A rename
    // leaves the modification time as it is.
    let pid = file_name(step, Record::Pid);
    let pid_temporary = temporary_name(step, Record::Pid, id);
    let write_pid = || -> std::io::Result<Wall> {
        let mut file = create_new(&directory.join(&pid_temporary))?;
        writeln!(file, "{}", process::myself())?;
        match directory.stat(&pid_temporary)? {
            File::There { stamp, .. } => Ok(stamp.modified),
            File::Absent | File::Unfit(_) => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
        }
    };
    let modified = write_pid().map_err(|error| say(&pid, &error))?;
    meta.pid_mtime_ns = Some(modified.as_nanos());
    let encoded = meta.encode();
    let rooms = Rooms {
        status: Some(reserve(directory, step, Record::Status, id, 16)?),
        meta: Some(reserve(directory, step, Record::Meta, &format!("{id}-end"), encoded.len() + META_GROWTH)?),
        result: Some(reserve(directory, step, Record::Result, &format!("{id}-end"), RESULT_ROOM)?),
    };
    let name = file_name(step, Record::Meta);
    directory.publish(&temporary_name(step, Record::Meta, id), &name, &encoded).map_err(|error| say(&name, &error))?;
    let heartbeat = file_name(step, Record::Heartbeat);
    directory.touch(&heartbeat).map_err(|error| say(&heartbeat, &error))?;
    directory.rename(&pid_temporary, &pid).map_err(|error| say(&pid, &error))?;
    Ok(((process::myself(), modified), rooms))
}

fn reserve(
    directory: &Directory,
    step: &StepName,
    record: Record,
    unique: &str,
    room: usize,
) -> Result<Reserve, String> {
    Reserve::take(directory, temporary_name(step, record, unique), room)
        .map_err(|error| format!("cannot write in {}: {}", directory.path().display(), why(&error)))
}

fn not_started(job: &Job, error: &std::io::Error) -> NotStarted {
    let name = job.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let sentence = if missing {
        format!("cannot run {name}: there is no such program")
    } else {
        format!("cannot run {name}: {}", why(error))
    };
    NotStarted { missing, sentence }
}
