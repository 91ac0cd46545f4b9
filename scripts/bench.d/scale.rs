//! Ten thousand steps in one `wait --all`.
//!
//! Each step has a pid file (this process is everybody's wrapper), a heartbeat and a result; ends are statuses renamed into
//! place, and an end is reported when its line can be read off the pipe. CPU time of a whole wait is what the kernel
//! accounts for reaped children.

use super::procfs;
use super::report::{Limit, Report, Sample};
use super::setup::{DOGWATCH, Done, Got, Process, Setup, quiet};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::time::{Duration, Instant, SystemTime};

fn steps(setup: &Setup, count: usize) -> Got<PathBuf> {
    let place = setup.place(&format!("scale{count}"))?;
    for step in 0..count {
        std::fs::write(place.join(format!("s{step}.heartbeat")), "")?;
        std::fs::write(place.join(format!("s{step}.result")), "{}\n")?;
        std::fs::write(place.join(format!("s{step}.pid")), format!("{}\n", std::process::id()))?;
        std::fs::write(place.join(format!(".s{step}")), "SUCCESS\n")?;
    }
    Ok(place)
}

fn wait(place: &Path, count: usize) -> Got<(Process, BufReader<ChildStdout>)> {
    let names = (0..count).map(|step| format!("s{step}"));
    let mut command = quiet(DOGWATCH);
    command.arg("--dir").arg(place).args(["wait", "--no-kill", "--all"]).args(names).stdout(Stdio::piped());
    let mut child = Process::start(&mut command)?;
    let out = child.stdout.take().ok_or("no pipe")?;
    Ok((child, BufReader::new(out)))
}

fn end(place: &Path, step: usize) -> std::io::Result<()> {
    std::fs::rename(place.join(format!(".s{step}")), place.join(format!("s{step}.status")))
}

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    let count = setup.rounds(10_000, 1_000);
    let place = steps(setup, count)?;
    let began = Instant::now();
    let (mut child, mut lines) = wait(&place, count)?;
    let pid = child.id();
    let armed = procfs::settled_for(pid, Duration::from_millis(200))? - began;
    if procfs::watch(pid).is_none() {
        return Err("the wait for many steps watches nothing".into());
    }
    report.held(&format!("{count} steps: armed"), armed.as_secs_f64(), Limit::AtMost(1.0), "s");
    report.held(&format!("{count} steps: peak RSS"), procfs::peak_kib(pid) as f64 / 1024.0, Limit::AtMost(40.0), "MiB");

    // Every step beats once in ten seconds.
    let beats: Vec<File> = (0..count.min(10_000))
        .map(|step| File::options().append(true).open(place.join(format!("s{step}.heartbeat"))))
        .collect::<Result<_, _>>()?;
    let seconds = setup.rounds(75, 2);
    let (before, began) = (procfs::cpu(pid), Instant::now());
    let pace = Duration::from_secs(10) / u32::try_from(count)?;
    for (turn, file) in beats.iter().cycle().enumerate() {
        let due = pace * u32::try_from(turn)?;
        if due > Duration::from_secs(seconds as u64) {
            break;
        }
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        file.set_modified(SystemTime::now())?;
    }
    let share = procfs::cpu(pid).saturating_sub(before).as_secs_f64() / began.elapsed().as_secs_f64();
    let what = format!("{count} steps, each beating every 10 s, for {seconds} s: CPU");
    report.held(&what, share * 100.0, Limit::Under(1.0), "% of a core");

    let mut sample = Sample::new();
    let mut line = String::new();
    // A hundred and more ends, from all over the list.
    for turn in 0..setup.rounds(300, 50) {
        procfs::settled(pid)?;
        let step = (turn * 7919) % count;
        let began = Instant::now();
        end(&place, step)?;
        line.clear();
        lines.read_line(&mut line)?;
        sample.push(began.elapsed());
        if !line.starts_with(&format!("s{step}: success")) {
            return Err(format!("s{step} has ended, and what is said is: {line}").into());
        }
    }
    let what = format!("{count} steps: an end reported");
    report.noted(&format!("{what}, median"), sample.median() / 1e3, "ms");
    report.held(&format!("{what}, worst of {}", setup.rounds(300, 50)), sample.max() / 1e3, Limit::AtMost(5.0), "ms");
    child.kill()?;
    child.wait()?;
    cpu_per_step(setup, report, count)
}

/// What a whole wait costs for each of its steps, the program's own start taken off.
fn cpu_per_step(setup: &Setup, report: &mut Report, many: usize) -> Done {
    let few = 100;
    let mut used = [Sample::new(), Sample::new(), Sample::new()];
    for _ in 0..setup.rounds(5, 1) {
        for (sample, count) in used.iter_mut().zip([1, few, many]) {
            // Small ones vary; of them more are counted.
            for _ in 0..if count < many { 8 } else { 1 } {
                sample.push(cpu_of(setup, count)?);
            }
        }
    }
    let [one, of_few, of_many] = used.map(|sample| sample.median());
    let each = |all: f64, count: usize| (all - one) / (count - 1) as f64;
    let (of_few, of_many) = (each(of_few, few), each(of_many, many));
    report.noted(&format!("CPU a step at {few} steps, start to end"), of_few, "us");
    report.noted(&format!("CPU a step at {many} steps, start to end"), of_many, "us");
    report.held(&format!("CPU a step at {many} over that at {few}"), of_many / of_few, Limit::AtMost(1.3), "x");
    Ok(())
}

fn cpu_of(setup: &Setup, count: usize) -> Got<Duration> {
    let place = steps(setup, count)?;
    let before = children()?;
    let (mut child, lines) = wait(&place, count)?;
    let reader = std::thread::spawn(move || lines.lines().count());
    procfs::armed(child.id())?;
    procfs::settled_for(child.id(), Duration::from_millis(50))?;
    for step in 0..count {
        end(&place, step)?;
    }
    child.wait()?;
    let told = reader.join().map_err(|_| "a thread has ended early")?;
    if told != count {
        return Err(format!("{told} of {count} steps were told of").into());
    }
    Ok(children()?.saturating_sub(before))
}

fn children() -> Got<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros)?))
}
