//! The start of a run: the lock, the start files, COMMAND held and let go.
//!
//! The order is the point. The lock comes first: it decides between two starters, and tells every reader that a run is
//! starting. The old pid goes first and the new one comes last, so nobody ever pairs the old run's status with the new
//! run's pid. COMMAND runs nothing until all of it stands.

use crate::decide::breaker::Admission;
use crate::decide::snapshot::LocalContext;
use crate::env_vars;
use crate::error::{Error, io_reason};
use crate::record::file_names::{Record, TempFile, file_name};
use crate::record::meta::Meta;
use crate::record::pid::PidFileId;
use crate::record::time::{MonotonicTime, millis};
use crate::runner::command_text::{not_started, recorded_command};
use crate::runner::heartbeat::HeartbeatScheduler;
use crate::runner::interruption::Interruptions;
use crate::runner::output::LogKeeper;
use crate::runner::{ExecError, Job, LogStreams, OnEvent, ResultFrom, RunnerEvent};
use crate::step::breaker_file;
use crate::step::outcome::{remove_unpublished, take_record_lock};
use crate::step::own_run::OwnRun;
use crate::step::prepare::{acquire_step_lock, adopt_lock_file, finalize_previous_run, remove_previous_records};
use crate::step::publisher::PreallocatedFiles;
use crate::step::snapshot::{SnapshotReader, local_context};
use crate::step::start_files::StartFiles;
use crate::step::telling;
use crate::step::terminate::MARK;
use crate::sys::fs::lock::Lock;
use crate::sys::fs::metadata::{FileKind, kind};
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::fs::preallocate::PreallocatedFile;
use crate::sys::log::file::LogFile;
use crate::sys::platform::process as platform_process;
use crate::sys::platform::{cgroup, machine};
use crate::sys::process::activity::Activity;
use crate::sys::process::info;
use crate::sys::process::spawn::{CommandSpec, HeldChild, Stream, null_input};
use crate::sys::signals::{self, Pending, Signal};
use crate::sys::{clock, env};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

/// How much room the last meta is given beyond the first one's length: an end adds a few short keys. Evidence has no room
/// in it; it takes what the disk has left, or is left out.
const META_GROWTH: usize = 1024;
/// How much room the status needs.
const STATUS_ROOM: usize = 16;
/// How much room the default result needs.
const RESULT_ROOM: usize = 256;

/// Everything a run holds while it goes on.
pub(super) struct ActiveRun {
    pub(super) directory: Arc<MonitorDir>,
    pub(super) own: OwnRun,
    /// The pid file that it wrote.
    pub(super) pid_file: PidFileId,
    pub(super) id: String,
    pub(super) began: MonotonicTime,
    pub(super) child: i32,
    pub(super) child_started: Option<u64>,
    /// Whether every orphan of COMMAND's becomes this process's child, and it may wait for all its children.
    pub(super) adopts: bool,
    /// Whether this process has, or may have, children that are not the run's.
    pub(super) has_older_children: bool,
    /// Those of them that are known by number, where no list of processes shows them.
    pub(super) other_children: Vec<i32>,
    pub(super) fault: Option<ExecError>,
    pub(super) preallocated: PreallocatedFiles,
    pub(super) signals: Pending,
    pub(super) interruptions: Interruptions,
    pub(super) heartbeat: HeartbeatScheduler,
    /// What COMMAND's processes had done at the last beat.
    pub(super) activity: Activity,
    pub(super) output: LogKeeper,
    /// How many processes the kernel had killed for memory before.
    pub(super) memory_kills: Option<u64>,
}

/// How many tags a run may have: its record has to stay short enough to be read.
const MAX_TAGS: usize = 64;

/// Begins a run, up to COMMAND's exec.
pub(super) fn start(directory: &MonitorDir, job: &Job, on_event: OnEvent<'_>) -> Result<ActiveRun, Error> {
    let tags = job.tags.len();
    if tags > MAX_TAGS {
        return Err(Error::invalid_options(format!("a run has at most {MAX_TAGS} tags; {tags} were given")));
    }
    directory.create()?;
    let path = env::absolute(directory.path());
    let what = format!("cannot open {}", path.display());
    let directory = Arc::new(MonitorDir::hold(path).map_err(|error| Error::io(what, error))?);
    let id = env::unique();
    // Asked before anything is touched, and again when nothing can come between any more: the end of the run before,
    // counted below, may have opened the circuit.
    admit(&directory, job, None)?;
    let here = Arc::new(local_context(&directory));
    let mut reader = SnapshotReader::new(Arc::clone(&directory), job.step.clone(), Arc::clone(&here));
    let lock = acquire_step_lock(&mut reader)?;
    reader.assume_lock_held(&lock);
    if job.owes_end {
        refuse_untold(&mut reader)?;
    }
    finalize_previous_run(&mut reader, job.grace, &mut |sentence| on_event(RunnerEvent::Warning(sentence)))?;
    admit(&directory, job, Some(&id))?;
    adopt_lock_file(&lock, &directory, &job.step, &id);
    let begun = begin(&directory, &here, job, &id, lock, on_event);
    let (held, mut run) = begun.inspect_err(|_| remove_unpublished(&directory, &job.step, &id))?;
    run.fault = held.release().err().map(|error| not_started(job, &error));
    if run.fault.is_none() {
        on_event(RunnerEvent::Started(run.pid_file.pid));
    }
    Ok(run)
}

/// Whether the run before has ended and was not told is asked under the step's lock: a caller that saw that nothing was owed
/// may have been overtaken by another caller's whole run, whose end this start would delete.
fn refuse_untold(reader: &mut SnapshotReader) -> Result<(), Error> {
    let snapshot = reader.read().map_err(|error| Error::io("cannot look at the step", error))?;
    if telling::is_owed(&snapshot) {
        let step = reader.step();
        return Err(Error::already_running(format!(
            "a run of {step} has ended and was not told yet; call again to be told"
        )));
    }
    Ok(())
}

/// A run whose start files stand, and its COMMAND, held before its exec.
///
/// Writes everything under temporary names first: whatever fails, the run before stands as it was.
fn begin(
    directory: &Arc<MonitorDir>,
    here: &LocalContext,
    job: &Job,
    id: &str,
    lock: Lock,
    on_event: OnEvent<'_>,
) -> Result<(HeldChild, ActiveRun), Error> {
    // Before the fork, so that no signal is lost between; the child puts its own dispositions back.
    let (signals, ignore_hangup) = catch_signals()?;
    // A program that calls this library has children of its own, and orphans are not for it to wait for.
    let adopts = job.owns_process
        && machine::adopt_orphans().unwrap_or_else(|error| {
            on_event(RunnerEvent::Warning(&format!("orphans of COMMAND cannot be adopted: {}", io_reason(&error))));
            false
        });
    // A shell that went over to this program by exec may have left its background jobs: they are not the run's.
    let has_older_children = !job.owns_process || platform_process::has_children();
    let unlisted = has_older_children && job.owns_process && info::start_of(info::current_pid()).is_none();
    let mut other_children = Vec::new();
    if unlisted {
        platform_process::for_each_own_child(info::current_pid(), &mut |pid| other_children.push(pid), &mut || false);
    }
    let began = clock::now();
    let memory_kills = cgroup::kills();
    let start_files = StartFiles { directory, step: &job.step, id };
    let files = open_files(directory, job, id)?;
    let stdin = if job.inherit_stdin {
        None
    } else {
        Some(null_input().map_err(|error| Error::io("cannot open /dev/null", error))?)
    };
    let program = CommandSpec {
        command: job.command.clone(),
        variables: variables(directory, job, id),
        folder: folder(job)?,
        stdin,
        stdout: files.stdout,
        stderr: files.stderr,
        ignore_hangup,
    };
    let held = HeldChild::fork(&program).map_err(|error| Error::io("cannot start a process", error))?;
    let child_started = info::start_of(held.pid());
    let mut meta = Meta {
        child_pid: Some(held.pid()),
        process_group: Some(held.pid()),
        child_started_at: child_started,
        has_older_children,
        lock_file: Some(lock.id()),
        ..first_meta(&start_files, here, job, began)
    };
    // Held until the pid stands and was read back. In between, the run before could record its own end, where it has lost its
    // lock file; and a process that finds an older pid file in the place of this one could record the end of that run.
    let recording = take_record_lock(directory, &job.step)?;
    let (key, meta_size) = start_files.write(&mut meta)?;
    start_files.make(Record::Heartbeat, &[])?;
    let preallocated = reserve_room(&start_files, meta_size)?;
    replace_log(directory, job, id)?;
    remove_previous_records(directory, &job.step)?;
    start_files.publish(&[Record::Meta, Record::Heartbeat, Record::Pid])?;
    let own = OwnRun::new(Arc::clone(directory), job.step.clone(), meta, key, lock);
    drop(recording);
    let run = ActiveRun {
        directory: Arc::clone(directory),
        own,
        pid_file: key,
        id: id.to_owned(),
        began,
        child: held.pid(),
        child_started,
        adopts,
        has_older_children,
        other_children,
        fault: None,
        preallocated,
        signals,
        interruptions: Interruptions::NONE,
        heartbeat: HeartbeatScheduler::new(job.heartbeat_on, job.heartbeat_interval, job.stale, began),
        activity: Activity::default(),
        output: LogKeeper::start(files.log, job, on_event),
        memory_kills,
    };
    Ok((held, run))
}

/// Asks the breaker; for the run that is named, which then starts.
fn admit(directory: &MonitorDir, job: &Job, run: Option<&str>) -> Result<(), Error> {
    let Some(name) = &job.breaker else { return Ok(()) };
    match breaker_file::ask(directory, name, job.max_consecutive, job.cooldown, run)? {
        (Admission::Closed | Admission::Trial, _) => Ok(()),
        (Admission::Open, record) => {
            let log = file_name(&job.step, Record::Log);
            let has_log = directory.stat(&log).is_ok_and(|file| file.is_there());
            let look =
                if has_log { format!("look at {}, then ", directory.join(&log).display()) } else { String::new() };
            Err(Error::breaker_open(format!(
                "circuit breaker {name} is open after {} failures in a row; {look}close it with: dogwatch breaker reset {name}",
                record.consecutive_failures,
            )))
        }
    }
}

/// Catches what is forwarded to COMMAND and what tells of its end; with whether HUP was ignored and stays so.
fn catch_signals() -> Result<(Pending, bool), Error> {
    let forwarded = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGTSTP,
        Signal::SIGCONT,
    ];
    let mut wanted = signals::not_ignored(&forwarded);
    let ignores_hangup = !wanted.contains(&Signal::SIGHUP);
    // Also where it was inherited as ignored: the kernel would then reap COMMAND itself and its code be lost (wait(2)).
    wanted.push(Signal::SIGCHLD);
    signals::survive_terminal_output();
    signals::survive_file_size_limit();
    let caught = Pending::catch(&wanted).map_err(|error| Error::io("cannot catch signals", error))?;
    Ok((caught, ignores_hangup))
}

struct OutputFiles {
    log: Option<LogFile>,
    stdout: Option<Arc<Stream>>,
    stderr: Option<Arc<Stream>>,
}

/// The log under a temporary name: as long as the run may not begin, the log of the run before stays.
fn open_files(directory: &MonitorDir, job: &Job, id: &str) -> Result<OutputFiles, Error> {
    let name = TempFile::Start(Record::Log).of(&job.step, id);
    let cannot_open = |name: &str, error| Error::io(format!("cannot open {}", directory.join(name).display()), error);
    let create = || LogFile::create(&directory.file(&name)).map_err(|error| cannot_open(&name, error));
    let log = (job.log != LogStreams::None).then(create).transpose()?;
    let writer = || log.as_ref().map(LogFile::writer);
    let stdout = if job.result == ResultFrom::Stdout {
        let result = TempFile::GIVEN.of(&job.step, id);
        Some(Arc::new(directory.file(&result).create_new().map_err(|error| cannot_open(&result, error))?))
    } else if job.log == LogStreams::Stderr {
        None
    } else {
        writer()
    };
    let stderr = if job.log == LogStreams::Stdout { None } else { writer() };
    Ok(OutputFiles { log, stdout, stderr })
}

/// Puts the new log in the old one's place. The old run's log goes with its inode, so that a process of that run which
/// still has it open cannot write into the new one.
fn replace_log(directory: &MonitorDir, job: &Job, id: &str) -> Result<(), Error> {
    let name = file_name(&job.step, Record::Log);
    let replaced = if job.log == LogStreams::None {
        directory.file(&name).remove()
    } else {
        directory.file(&TempFile::Start(Record::Log).of(&job.step, id)).rename(&directory.file(&name))
    };
    replaced.map_err(|error| Error::io(format!("cannot replace {}", directory.join(&name).display()), error))
}

/// The folder that COMMAND was given.
fn folder(job: &Job) -> Result<Option<CString>, Error> {
    let Some(cwd) = &job.cwd else { return Ok(None) };
    if !matches!(kind(cwd), Ok(FileKind::Folder)) {
        let sentence =
            format!("there is no folder {} to run COMMAND in; make it, or give another --cwd", cwd.display());
        return Err(Error::invalid_options(sentence));
    }
    CString::new(cwd.as_os_str().as_bytes()).map(Some).map_err(|error| Error::io("cannot use --cwd", error.into()))
}

fn variables(directory: &MonitorDir, job: &Job, id: &str) -> Vec<(String, OsString)> {
    let variable = |name: &str, value: OsString| (name.to_owned(), value);
    let step = &job.step;
    let own = [
        variable(env_vars::DIR, directory.path().into()),
        variable(env_vars::STEP, step.as_str().into()),
        variable(env_vars::HEARTBEAT, directory.join(&file_name(step, Record::Heartbeat)).into()),
        variable(env_vars::RESULT, directory.join(&TempFile::GIVEN.of(step, id)).into()),
        variable(MARK, id.into()),
    ];
    // The last value of a variable counts.
    job.env.iter().cloned().chain(own).collect()
}

fn first_meta(files: &StartFiles<'_>, here: &LocalContext, job: &Job, began: MonotonicTime) -> Meta {
    let current = || env::current_folder().ok();
    let join = |folder: &PathBuf| Some(current().map_or_else(|| folder.clone(), |current| current.join(folder)));
    let cwd = job.cwd.as_ref().map_or_else(current, join);
    let pid = info::current_pid();
    Meta {
        pid: Some(pid),
        pid_started_at: info::start_of(pid),
        locked: true,
        breaker: job.breaker.as_ref().map(|name| name.as_str().to_owned()),
        max_consecutive: Some(job.max_consecutive),
        command: recorded_command(&job.command),
        cwd: cwd.map(|folder| folder.to_string_lossy().into_owned()),
        heartbeat_interval_ms: Some(millis(job.heartbeat_interval)),
        heartbeat_on: Some(job.heartbeat_on.as_str().to_owned()),
        stale_ms: job.stale.map(millis),
        max_timeout_ms: job.max_timeout.map(millis),
        tags: job.tags.clone(),
        told: job.owes_end.then_some(false),
        ..files.first_meta(here, began)
    }
}

/// Sets room aside for the files of the end, whose first record has so many bytes now.
fn reserve_room(files: &StartFiles<'_>, meta: usize) -> Result<PreallocatedFiles, Error> {
    let rooms = [(Record::Status, STATUS_ROOM), (Record::Meta, meta + META_GROWTH), (Record::Result, RESULT_ROOM)];
    let reserve = |(record, room)| {
        let file = PreallocatedFile::take(files.directory, TempFile::End(record).of(files.step, files.id), room);
        file.map(|file| (record, file)).map_err(|error| files.cannot_write(record, error))
    };
    rooms.into_iter().map(reserve).collect()
}
