//! What it costs to wait, and to run, while nothing happens.
//!
//! Wake-ups are the kernel's own count of how often the process's threads went to sleep, CPU time its scheduler's, to the
//! nanosecond. The system calls of a beat are read off strace, for some beats, where that is installed.

use super::procfs;
use super::report::{Limit, Report};
use super::setup::{Done, Process, Setup, dogwatch, is_installed, quiet};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often the step beats: ten times as often as it would unasked.
const BEAT: Duration = Duration::from_secs(1);

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    let place = setup.place("idle")?;
    let fifo = place.join(".fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU)?;
    let words = ["run", "--heartbeat-interval", "1s", "s", "--", "cat"];
    let mut wrapper = Process::start(dogwatch(&place, &words).arg(&fifo))?;
    let hold = File::options().write(true).open(&fifo)?;
    let mut waiter = Process::start(&mut dogwatch(&place, &["wait", "s"]))?;
    let (run, wait) = (wrapper.id(), waiter.id());
    procfs::armed(wait)?;
    // A young run looks at its log often; that is over once nothing is written.
    procfs::settled_for(run, BEAT / 2)?;

    let seconds = setup.rounds(60, 3) as u64;
    let before = (procfs::cpu(wait), procfs::wakes(wait), procfs::cpu(run), procfs::wakes(run));
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(seconds));
    let after = (procfs::cpu(wait), procfs::wakes(wait), procfs::cpu(run), procfs::wakes(run));
    let beats = began.elapsed().as_secs_f64() / BEAT.as_secs_f64();

    let span = format!("{seconds} s, one step beating");
    report.held(&format!("wait idle for {span}: wake-ups"), (after.1 - before.1) as f64, Limit::AtMost(10.0), "");
    report.held(
        &format!("wait idle for {span}: CPU"),
        millis(after.0.saturating_sub(before.0)),
        Limit::Under(2.0),
        "ms",
    );
    report.held("wait: peak RSS", procfs::peak_kib(wait) as f64 / 1024.0, Limit::AtMost(4.0), "MiB");
    report.noted("wait: threads", procfs::threads(wait) as f64, "");
    let wakes = (after.3 - before.3) as f64 / beats;
    report.held("run idle: wake-ups a beat", wakes, Limit::AtMost(1.05), "");
    report.noted("run idle: CPU a beat", millis(after.2.saturating_sub(before.2)) / beats, "ms");
    report.noted("run: peak RSS", procfs::peak_kib(run) as f64 / 1024.0, "MiB");
    beat_calls(setup, report, run)?;
    others(setup, report, &place, wait)?;
    drop(hold);
    waiter.wait()?;
    wrapper.wait()?;
    Ok(())
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

/// The system calls that a beat takes, besides the one that sleeps until it is due.
fn beat_calls(setup: &Setup, report: &mut Report, run: u32) -> Done {
    if !is_installed("strace") {
        report.remark("strace is not installed, so the system calls of a beat were not counted");
        return Ok(());
    }
    let out = setup.place("strace")?.join("calls");
    let mut command = quiet("strace");
    command.args(["-f", "-qq", "-o"]).arg(&out).args(["-p", &run.to_string()]);
    let mut tracer = Process::start(&mut command)?;
    std::thread::sleep(BEAT * u32::try_from(setup.rounds(10, 3))?);
    kill(Pid::from_raw(i32::try_from(tracer.id())?), Signal::SIGINT)?;
    tracer.wait()?;
    let text = std::fs::read_to_string(&out)?;
    let name = |line: &str| line.split_whitespace().nth(1)?.split('(').next().map(str::to_owned);
    let sleeps = ["poll", "ppoll", "epoll_wait", "futex", "clock_nanosleep", "restart_syscall", "<..."];
    let calls: Vec<String> = text.lines().filter(|line| !line.contains("detached")).filter_map(name).collect();
    let beats = calls.iter().filter(|call| *call == "utimensat").count();
    let others = calls.iter().filter(|call| !sleeps.contains(&call.as_str())).count();
    report.held("a beat: system calls, besides the sleep", others as f64 / beats.max(1) as f64, Limit::AtMost(1.0), "");
    Ok(())
}

/// A thousand heartbeats a second of a hundred other steps in the directory.
fn others(setup: &Setup, report: &mut Report, place: &Path, wait: u32) -> Done {
    let files: Vec<File> =
        (0..100).map(|n| File::create(place.join(format!("other{n}.heartbeat")))).collect::<Result<_, _>>()?;
    procfs::settled(wait)?;
    let (before, began) = (procfs::cpu(wait), Instant::now());
    let count = setup.rounds(20_000, 2_000);
    for (turn, file) in (0..count).zip(files.iter().cycle()) {
        file.set_modified(std::time::SystemTime::now())?;
        let due = Duration::from_millis(turn as u64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    let share = procfs::cpu(wait).saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
    report.held("wait, 1,000 beats/s of other steps: CPU", share * 100.0, Limit::Under(1.0), "% of a core");
    Ok(())
}
