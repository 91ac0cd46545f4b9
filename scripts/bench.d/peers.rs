//! The same job under each tool: from the moment it may end to the waiting process reaped.
//!
//! The job is `cat` on a FIFO: that it runs is known when the FIFO can be opened for writing, and it ends when that end is
//! closed, which is where the clock is read. What a tool does between the job's end and its waiter's is in the figure:
//! dogwatch publishes a result, a record and a status. Refuses to compare what is not there, and says what that is.

use super::procfs;
use super::report::{Report, Sample};
use super::setup::{Done, Got, Process, Setup, dogwatch, is_installed, quiet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A job that runs, and a process that waits for it.
struct Running {
    waiter: Process,
    /// A wrapper that stays beside it.
    wrapper: Option<Process>,
    /// Closing it ends the job.
    hold: File,
}

trait Peer {
    fn name(&self) -> &'static str;
    /// How many rounds: those that poll take their time.
    fn rounds(&self) -> usize;
    fn begin(&self, place: &Path, fifo: &Path) -> Got<Running>;
    /// Ends what it left running.
    fn close(&self) {}
}

struct Dogwatch;
struct Nq;
struct Tail;
struct TaskSpooler {
    socket: PathBuf,
}
struct Pueue {
    config: PathBuf,
    daemon: std::cell::RefCell<Process>,
}

/// Opens the FIFO once the job reads it.
fn hold(fifo: &Path) -> Got<File> {
    Ok(File::options().write(true).open(fifo)?)
}

fn said(command: &mut Command) -> Got<String> {
    let output = command.stdout(Stdio::piped()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?} ended with {}", output.status).into()) }
}

impl Peer for Dogwatch {
    fn name(&self) -> &'static str {
        "dogwatch run + wait"
    }
    fn rounds(&self) -> usize {
        100
    }
    fn begin(&self, place: &Path, fifo: &Path) -> Got<Running> {
        let wrapper = Process::start(dogwatch(place, &["run", "s", "--", "cat"]).arg(fifo))?;
        let hold = hold(fifo)?;
        let waiter = Process::start(&mut dogwatch(place, &["wait", "s"]))?;
        procfs::armed(waiter.id())?;
        Ok(Running { waiter, wrapper: Some(wrapper), hold })
    }
}

impl Peer for Nq {
    fn name(&self) -> &'static str {
        "nq + nq -w"
    }
    fn rounds(&self) -> usize {
        100
    }
    fn begin(&self, place: &Path, fifo: &Path) -> Got<Running> {
        let id = said(quiet("nq").env("NQDIR", place).arg("cat").arg(fifo))?;
        let hold = hold(fifo)?;
        let waiter = Process::start(quiet("nq").env("NQDIR", place).args(["-w", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, wrapper: None, hold })
    }
}

impl Peer for Tail {
    fn name(&self) -> &'static str {
        "tail --pid"
    }
    fn rounds(&self) -> usize {
        20
    }
    fn begin(&self, _: &Path, fifo: &Path) -> Got<Running> {
        let mut job = Process::start(quiet("cat").arg(fifo))?;
        let hold = hold(fifo)?;
        let waiter = Process::start(quiet("tail").arg(format!("--pid={}", job.id())).args(["-f", "/dev/null"]))?;
        // As a shell does with its background job; a zombie would count as running.
        std::thread::spawn(move || job.wait());
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, wrapper: None, hold })
    }
}

impl Peer for TaskSpooler {
    fn name(&self) -> &'static str {
        "tsp + tsp -w"
    }
    fn rounds(&self) -> usize {
        100
    }
    fn begin(&self, place: &Path, fifo: &Path) -> Got<Running> {
        let tsp = || {
            let mut command = quiet("tsp");
            command.env("TS_SOCKET", &self.socket).env("TMPDIR", place);
            command
        };
        let id = said(tsp().arg("cat").arg(fifo))?;
        let hold = hold(fifo)?;
        let waiter = Process::start(tsp().args(["-w", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, wrapper: None, hold })
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
        "pueue add + pueue wait"
    }
    fn rounds(&self) -> usize {
        20
    }
    fn begin(&self, _: &Path, fifo: &Path) -> Got<Running> {
        let job = format!("cat {}", fifo.display());
        let id = said(&mut self.call(&["add", "--print-task-id", "--", &job]))?;
        let hold = hold(fifo)?;
        let waiter = Process::start(&mut self.call(&["wait", "--quiet", &id]))?;
        procfs::settled(waiter.id())?;
        Ok(Running { waiter, wrapper: None, hold })
    }
    fn close(&self) {
        let mut daemon = self.daemon.borrow_mut();
        // Its queue is empty and its folder goes: nothing is lost.
        let _gone = daemon.kill().and_then(|()| daemon.wait());
    }
}

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    let mut peers: Vec<(Box<dyn Peer>, Sample)> = vec![(Box::new(Dogwatch), Sample::new())];
    let mut missing = Vec::new();
    let mut add = |needs: &'static str, peer: Box<dyn Peer>| {
        if is_installed(needs) { peers.push((peer, Sample::new())) } else { missing.push(needs) }
    };
    add("nq", Box::new(Nq));
    add("tsp", Box::new(TaskSpooler { socket: setup.place("tsp")?.join("socket") }));
    add("tail", Box::new(Tail));
    if !is_installed("inotifywait") {
        missing.push("inotifywait");
    }
    match (is_installed("pueue"), setup.quick) {
        (true, false) => peers.push((Box::new(Pueue::start(setup)?), Sample::new())),
        (true, true) => report.remark("skipped in a quick run: pueue, and the loop that sleeps 15 s"),
        (false, _) => missing.push("pueue"),
    }
    if !missing.is_empty() {
        report.remark(&format!("not installed, so not compared: {}", missing.join(", ")));
    }
    let mut outcome = Ok(());
    'rounds: for round in 0..setup.rounds(100, 2) {
        for (peer, sample) in &mut peers {
            // Those that poll have fewer turns, spread over the whole run.
            if round % (100 / peer.rounds()) != 0 {
                continue;
            }
            // The turns of those that poll fall anywhere in their periods.
            match one(setup, &**peer, Duration::from_millis((round as u64 * 137) % 1000)) {
                Ok(took) => sample.push(took),
                Err(error) => {
                    outcome = Err(format!("{}: {error}", peer.name()).into());
                    break 'rounds;
                }
            }
        }
    }
    for (peer, sample) in peers {
        peer.close();
        report.latency("job", peer.name(), sample);
    }
    outcome
}

fn one(setup: &Setup, peer: &dyn Peer, offset: Duration) -> Got<Duration> {
    let place = setup.place("job")?;
    let fifo = place.join(".fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let Running { mut waiter, wrapper, hold } = peer.begin(&place, &fifo)?;
    if peer.rounds() < 100 {
        std::thread::sleep(offset);
    }
    let began = Instant::now();
    drop(hold);
    let status = waiter.wait()?;
    let took = began.elapsed();
    if let Some(mut wrapper) = wrapper {
        wrapper.wait()?;
    }
    if status.success() { Ok(took) } else { Err(format!("the waiter ended with {status}").into()) }
}
