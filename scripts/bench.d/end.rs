//! The same job under each tool: from the job's own last moment to the waiting process reaped.
//!
//! The job (`floor -j`) waits for the end of a FIFO, stores the time in memory that it shares with a file, and exits. That it
//! runs is known when the FIFO can be opened for writing. What a tool does between the job's end and its waiter's is in
//! the figure: dogwatch publishes a result, a record and a status. Whoever waits by events is measured on the disk's
//! filesystem and on tmpfs. What is not installed is named.

use super::procfs;
use super::report::{Limit, Report, Sample};
use super::setup::{
    DOGWATCH, Done, Filesystem, Got, Process, Setup, dogwatch, is_installed, monotonic, quiet, stamps_in,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many rounds.
const ROUNDS: usize = 300;

/// A job that runs, and a process that waits for it.
struct Running {
    waiter: Process,
    /// Closing it ends the job.
    hold: File,
}

/// The job's command line.
struct Job<'round> {
    floor: &'round Path,
    stamps: &'round Path,
    fifo: &'round Path,
}

impl Job<'_> {
    fn words(&self) -> [&Path; 4] {
        [self.floor, Path::new("-j"), self.stamps, self.fifo]
    }

    /// Opens the FIFO once the job reads it.
    fn hold(&self) -> Got<File> {
        Ok(File::options().write(true).open(self.fifo)?)
    }
}

trait Peer {
    fn name(&self) -> &'static str;
    /// In how many of the rounds it takes part, and whether it polls: those that do take their time.
    fn rounds(&self) -> usize {
        ROUNDS
    }
    fn begin(&self, place: &Path, job: &Job) -> Got<Running>;
    /// Ends what it left running.
    fn close(&self) {}
}

struct RunAndWait;
struct RunFor;
struct Nq;
struct Tail;
struct TaskSpooler {
    socket: PathBuf,
}
struct Pueue {
    config: PathBuf,
    daemon: std::cell::RefCell<Process>,
}

fn said(command: &mut Command) -> Got<String> {
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?} ended with {}", output.status).into()) }
}

impl Peer for RunAndWait {
    fn name(&self) -> &'static str {
        "dogwatch run -d, wait"
    }
    fn begin(&self, place: &Path, job: &Job) -> Got<Running> {
        said(dogwatch(place, &["run", "-d", "s", "--"]).args(job.words()))?;
        let hold = job.hold()?;
        let waiter = Process::start(&mut dogwatch(place, &["wait", "s"]))?;
        procfs::armed(waiter.id())?;
        Ok(Running { waiter, hold })
    }
}

impl Peer for RunFor {
    fn name(&self) -> &'static str {
        "dogwatch run --for"
    }
    fn begin(&self, place: &Path, job: &Job) -> Got<Running> {
        let waiter = Process::start(dogwatch(place, &["run", "--for", "10m", "s", "--"]).args(job.words()))?;
        let hold = job.hold()?;
        procfs::armed(waiter.id())?;
        Ok(Running { waiter, hold })
    }
}

impl Peer for Nq {
    fn name(&self) -> &'static str {
        "nq, nq -w"
    }
    fn begin(&self, place: &Path, job: &Job) -> Got<Running> {
        let id = said(quiet("nq").env("NQDIR", place).args(job.words()))?;
        let hold = job.hold()?;
        let waiter = Process::start(quiet("nq").env("NQDIR", place).args(["-w", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, hold })
    }
}

impl Peer for Tail {
    fn name(&self) -> &'static str {
        "tail --pid"
    }
    fn rounds(&self) -> usize {
        20
    }
    fn begin(&self, _: &Path, job: &Job) -> Got<Running> {
        let mut started = Process::start(quiet(job.floor).args(&job.words()[1..]))?;
        let hold = job.hold()?;
        let waiter = Process::start(quiet("tail").arg(format!("--pid={}", started.id())).args(["-f", "/dev/null"]))?;
        // As a shell does with its background job; a zombie would count as running.
        std::thread::spawn(move || started.wait());
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, hold })
    }
}

impl Peer for TaskSpooler {
    fn name(&self) -> &'static str {
        "tsp, tsp -w"
    }
    fn begin(&self, place: &Path, job: &Job) -> Got<Running> {
        let tsp = || {
            let mut command = quiet("tsp");
            command.env("TS_SOCKET", &self.socket).env("TMPDIR", place);
            command
        };
        let id = said(tsp().args(job.words()))?;
        let hold = job.hold()?;
        let waiter = Process::start(tsp().args(["-w", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, hold })
    }
    fn close(&self) {
        // One that was never started needs no end.
        let _none = quiet("tsp").env("TS_SOCKET", &self.socket).arg("-K").status();
    }
}

impl Pueue {
    fn start(setup: &Setup) -> Got<Self> {
        let place = setup.place("pueue")?;
        std::fs::create_dir(place.join("state"))?;
        let (config, shown) = (place.join("pueue.yml"), place.display());
        std::fs::write(
            &config,
            format!(
                "shared:\n  pueue_directory: {shown}/state\n  runtime_directory: {shown}\n  use_unix_socket: true\n  \
                 unix_socket_path: {shown}/socket\n  pid_path: {shown}/pid\n"
            ),
        )?;
        let daemon = Process::start(quiet("pueued").env("PUEUE_CONFIG_PATH", &config))?;
        let began = Instant::now();
        let pueue = Self { config, daemon: std::cell::RefCell::new(daemon) };
        while !pueue.call(&["status"]).status()?.success() {
            if began.elapsed() > Duration::from_secs(10) {
                pueue.close();
                return Err("pueued does not answer".into());
            }
        }
        Ok(pueue)
    }

    fn call(&self, words: &[&str]) -> Command {
        let mut command = quiet("pueue");
        command.env("PUEUE_CONFIG_PATH", &self.config).args(words);
        command
    }
}

impl Peer for Pueue {
    fn name(&self) -> &'static str {
        "pueue add, pueue wait"
    }
    fn rounds(&self) -> usize {
        20
    }
    fn begin(&self, _: &Path, job: &Job) -> Got<Running> {
        let line = job.words().map(|word| word.display().to_string()).join(" ");
        let id = said(&mut self.call(&["add", "--print-task-id", "--", &line]))?;
        let hold = job.hold()?;
        let waiter = Process::start(&mut self.call(&["wait", "--quiet", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, hold })
    }
    fn close(&self) {
        let mut daemon = self.daemon.borrow_mut();
        // Its queue is empty and its folder goes: nothing is lost.
        let _gone = daemon.kill().and_then(|()| daemon.wait());
    }
}

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    let mut peers: Vec<(Box<dyn Peer>, [Sample; 2])> = Vec::new();
    let mut missing = Vec::new();
    let mut add = |installed: bool, name: &'static str, peer: Box<dyn Peer>| {
        if installed { peers.push((peer, Default::default())) } else { missing.push(name) }
    };
    add(true, DOGWATCH, Box::new(RunAndWait));
    let has_for = said(quiet(DOGWATCH).args(["run", "--help"]))?.contains("--for");
    add(has_for, "dogwatch run --for", Box::new(RunFor));
    add(is_installed("nq"), "nq", Box::new(Nq));
    add(is_installed("tsp"), "tsp", Box::new(TaskSpooler { socket: setup.place("tsp")?.join("socket") }));
    add(is_installed("tail"), "tail", Box::new(Tail));
    match (is_installed("pueue"), setup.quick) {
        (true, false) => add(true, "pueue", Box::new(Pueue::start(setup)?)),
        (true, true) => report.remark("skipped in a quick run: pueue, and the loop that sleeps 15 s"),
        (false, _) => missing.push("pueue"),
    }
    if !missing.is_empty() {
        report.remark(&format!("not installed, so not compared: {}", missing.join(", ")));
    }
    let mut outcome = Ok(());
    'rounds: for round in 0..setup.rounds(ROUNDS, 3) {
        for (peer, samples) in &mut peers {
            let polls = peer.rounds() < ROUNDS;
            // Those that poll have fewer turns, spread over the whole run, which fall anywhere in their periods.
            if round % (ROUNDS / peer.rounds()) != 0 {
                continue;
            }
            let offset = Duration::from_millis(if polls { (round as u64 * 137) % 1000 } else { 0 });
            for (sample, filesystem) in samples.iter_mut().zip([Filesystem::Disk, Filesystem::Memory]) {
                if polls && filesystem == Filesystem::Memory {
                    continue;
                }
                match one(setup, &**peer, filesystem, offset) {
                    Ok(took) => sample.push(took),
                    Err(error) => {
                        outcome = Err(format!("{}: {error}", peer.name()).into());
                        break 'rounds;
                    }
                }
            }
        }
    }
    for (peer, _) in &peers {
        peer.close();
    }
    hold(&peers, report);
    for (peer, [disk, memory]) in peers {
        report.latency("end", peer.name(), disk);
        if memory.median().is_finite() {
            report.latency("end in memory", &format!("{}, tmpfs", peer.name()), memory);
        }
    }
    outcome
}

/// Holds what our own waiting takes against the two that wait by events.
fn hold(peers: &[(Box<dyn Peer>, [Sample; 2])], report: &mut Report) {
    let of = |name: &str| peers.iter().find(|(peer, _)| peer.name() == name).map(|(_, samples)| samples);
    let Some([own, own_in_memory]) = of(RunAndWait.name()) else { return };
    for (other, limit) in [("tsp, tsp -w", 1.0), ("nq, nq -w", 2.0)] {
        let Some([disk, _]) = of(other) else { continue };
        let ratio = own.median() / disk.median();
        report.held(&format!("a job's end, median, over {other}"), ratio, Limit::AtMost(limit), "x");
        report.held(&format!("a job's end, p99, over {other}"), own.p99() / disk.p99(), Limit::AtMost(1.5), "x");
    }
    report.held("a job's end on tmpfs, median", own_in_memory.median() / 1e3, Limit::AtMost(0.5), "ms");
}

fn one(setup: &Setup, peer: &dyn Peer, filesystem: Filesystem, offset: Duration) -> Got<Duration> {
    let place = setup.place_on(filesystem, "job")?;
    let (fifo, stamps) = (place.join(".fifo"), place.join(".stamps"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    std::fs::write(&stamps, [0; 16])?;
    let Running { mut waiter, hold } =
        peer.begin(&place, &Job { floor: &setup.floor, stamps: &stamps, fifo: &fifo })?;
    std::thread::sleep(offset);
    drop(hold);
    let status = waiter.wait()?;
    let reaped = monotonic()?;
    let [_, ended] = stamps_in(&stamps)?;
    match u64::try_from(reaped - ended) {
        Ok(took) if status.success() && ended > 0 => Ok(Duration::from_nanos(took)),
        _ => Err(format!("the waiter ended with {status}, the job at {ended} ns").into()),
    }
}
