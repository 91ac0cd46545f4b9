//! From the publication of a status to the waiting process reaped, and from exec to the watch that stands.
//!
//! The clock is read right before the rename, or before the open of a file that is written in place as a shell's `>` does
//! it; and again when waitpid(2) has returned. Before that each waiter has armed its watch and sleeps, which is read off
//! /proc. Loops that poll all start at once, and their statuses come at moments spread evenly over one period.

use super::procfs;
use super::report::{Limit, Report, Sample};
use super::setup::{Done, Got, Process, Setup, dogwatch, is_installed, quiet};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

type Make = fn(&Setup, &Path) -> Command;
type Publish = fn(&Path) -> std::io::Result<()>;

fn floor(setup: &Setup, place: &Path) -> Command {
    let mut command = quiet(&setup.floor);
    command.arg(place).arg("s.status");
    command
}

fn floor_collected(setup: &Setup, place: &Path) -> Command {
    let mut command = quiet(&setup.floor);
    command.arg("-c").arg(place).arg("s.status");
    command
}

fn wait(_: &Setup, place: &Path) -> Command {
    dogwatch(place, &["wait", "s"])
}

fn inotifywait(_: &Setup, place: &Path) -> Command {
    let mut command = quiet("inotifywait");
    command.args(["-qq", "-e", "moved_to"]).arg(place);
    command
}

fn rename(place: &Path) -> std::io::Result<()> {
    std::fs::rename(place.join(".ready"), place.join("s.status"))
}

/// As a shell's `echo SUCCESS >s.status`.
fn in_place(place: &Path) -> std::io::Result<()> {
    std::fs::File::create(place.join("s.status"))?.write_all(b"SUCCESS\n")
}

const FLOOR: &str = "C inotify waiter";
const FLOOR_COLLECTED: &str = "C inotify waiter, left to the collector";
const RENAME: &str = "dogwatch wait, status by rename";
const IN_PLACE: &str = "dogwatch wait, status in place";
const INOTIFYWAIT: &str = "inotifywait";

/// All of this section.
pub(crate) fn measure(setup: &Setup, report: &mut Report) -> Done {
    by_events(setup, report)?;
    by_polling(setup, report)?;
    to_armed(setup, report)
}

fn by_events(setup: &Setup, report: &mut Report) -> Done {
    let mut contenders: Vec<(&str, Make, Publish, Sample)> = vec![
        (FLOOR, floor, rename, Sample::new()),
        (FLOOR_COLLECTED, floor_collected, rename, Sample::new()),
        (RENAME, wait, rename, Sample::new()),
        (IN_PLACE, wait, in_place, Sample::new()),
    ];
    if is_installed("inotifywait") {
        contenders.push((INOTIFYWAIT, inotifywait, rename, Sample::new()));
    }
    for _ in 0..setup.rounds(300, 5) {
        for (_, make, publish, sample) in &mut contenders {
            sample.push(one(setup, *make, *publish)?);
        }
    }
    let [floor, collected, renamed, in_place] = [0, 1, 2, 3].map(|place| contenders[place].3.clone());
    let peer = contenders.get(4).map(|contender| contender.3.clone());
    for (name, _, _, sample) in contenders {
        report.latency("status", name, sample);
    }
    for (what, ratio, limit) in
        [("median", renamed.median() / collected.median(), 1.4), ("p99", renamed.p99() / collected.p99(), 2.0)]
    {
        let what = format!("status by rename, {what}, over the C waiter that leaves its watch to the collector");
        report.held(&what, ratio, Limit::AtMost(limit), "x");
    }
    report.noted("status by rename, median, over the plain C waiter", renamed.median() / floor.median(), "x");
    if let Some(peer) = peer {
        let ratio = renamed.p99() / peer.p99();
        report.held("status by rename, p99, over inotifywait's", ratio, Limit::Under(0.05), "x");
    }
    let ratio = in_place.median() / renamed.median();
    report.held("status written in place, median, over the rename's", ratio, Limit::AtMost(1.3), "x");
    Ok(())
}

fn one(setup: &Setup, make: Make, publish: Publish) -> Got<Duration> {
    let place = setup.running("status")?;
    std::fs::write(place.join(".ready"), "SUCCESS\n")?;
    let mut waiter = Process::start(&mut make(setup, &place))?;
    procfs::armed(waiter.id())?;
    let began = Instant::now();
    publish(&place)?;
    let status = waiter.wait()?;
    let took = began.elapsed();
    if status.success() { Ok(took) } else { Err(format!("a waiter ended with {status}").into()) }
}

/// Shell loops that look every so often, as people write them.
fn by_polling(setup: &Setup, report: &mut Report) -> Done {
    let periods: &[(u64, usize, &str)] = &[(1, 40, "shell loop, sleep 1"), (15, 40, "shell loop, sleep 15")];
    for &(seconds, count, name) in periods.iter().take(setup.rounds(2, 1)) {
        let count = setup.rounds(count, 4);
        let places: Vec<_> = (0..count).map(|n| setup.running(&format!("poll{n}"))).collect::<Result<_, _>>()?;
        let script = r#"while [ ! -s "$1/s.status" ]; do sleep "$2"; done"#;
        let begin = |place: &std::path::PathBuf| {
            std::fs::write(place.join(".ready"), "SUCCESS\n")?;
            Process::start(quiet("sh").args(["-c", script, "sh"]).arg(place).arg(seconds.to_string()))
        };
        let waiters: Vec<_> = places.iter().map(begin).collect::<Result<_, _>>()?;
        let start = Instant::now();
        let mut running = Vec::new();
        for (turn, (mut waiter, place)) in waiters.into_iter().zip(&places).enumerate() {
            let offset = Duration::from_secs(seconds).mul_f64((turn as f64 + 0.5) / count as f64);
            std::thread::sleep((start + offset).saturating_duration_since(Instant::now()));
            let began = Instant::now();
            rename(place)?;
            running.push(std::thread::spawn(move || waiter.wait().map(|_status| began.elapsed())));
        }
        let mut sample = Sample::new();
        for waiter in running {
            sample.push(waiter.join().map_err(|_| "a thread has ended early")??);
        }
        report.latency("status", name, sample);
    }
    Ok(())
}

/// The moment by which half of the processes have done something, from one look at each: the next one is looked at earlier
/// after a yes, and later after a no. Looking over and over would slow down what is looked at.
struct Stair {
    next: Duration,
    looks: usize,
    seen: Sample,
}

impl Stair {
    /// So much earlier or later; and how many looks it takes from far away.
    const STEP: f64 = 1.03;
    const APPROACH: usize = 100;

    fn new() -> Self {
        Self { next: Duration::from_millis(1), looks: 0, seen: Sample::new() }
    }

    fn note(&mut self, after: Duration, done: bool) {
        self.next = self.next.mul_f64(if done { Self::STEP.recip() } else { Self::STEP });
        self.looks += 1;
        if self.looks > Self::APPROACH {
            self.seen.push(after);
        }
    }
}

/// From before the spawn to the watch that stands, seen in the descriptor's entry in /proc; against the whole run of
/// /bin/true, from before the spawn to reaped.
fn to_armed(setup: &Setup, report: &mut Report) -> Done {
    let mut contenders: Vec<(&str, Make, Stair)> =
        vec![(FLOOR, floor, Stair::new()), ("dogwatch wait", wait, Stair::new())];
    if is_installed("inotifywait") {
        contenders.push((INOTIFYWAIT, inotifywait, Stair::new()));
    }
    let mut numbers = Vec::new();
    for (_, make, _) in &contenders {
        let place = setup.running("armed")?;
        let mut waiter = Process::start(&mut make(setup, &place))?;
        procfs::armed(waiter.id())?;
        numbers.push(procfs::watch(waiter.id()).ok_or("the watch has gone")?);
        waiter.kill()?;
        waiter.wait()?;
    }
    let (mut nothing, mut ended, mut released) = (Sample::new(), Sample::new(), Sample::new());
    let over = setup.running("ended")?;
    std::fs::write(over.join("s.status"), "SUCCESS\n")?;
    let whole = |mut command: Command| -> Got<Duration> {
        let began = Instant::now();
        let status = Process::start(&mut command)?.wait()?;
        let took = began.elapsed();
        if status.success() { Ok(took) } else { Err(format!("{command:?} ended with {status}").into()) }
    };
    for _ in 0..setup.rounds(400, Stair::APPROACH + 5) {
        nothing.push(whole(quiet("/bin/true"))?);
        ended.push(whole(wait(setup, &over))?);
        if let Some(program) = &setup.released {
            let mut command = quiet(program);
            command.args(["wait", "s", "--dir"]).arg(&over);
            released.push(whole(command)?);
        }
        for ((_, make, stair), number) in contenders.iter_mut().zip(&numbers) {
            let place = setup.running("armed")?;
            let mut command = make(setup, &place);
            let began = Instant::now();
            let mut waiter = Process::start(&mut command)?;
            std::thread::sleep(stair.next.saturating_sub(began.elapsed()));
            let (after, mut text) = (began.elapsed(), String::new());
            // It may not be there yet: that is the answer.
            let _none = std::fs::File::open(format!("/proc/{}/fdinfo/{number}", waiter.id()))
                .and_then(|mut file| file.read_to_string(&mut text));
            stair.note(after, text.contains("inotify wd:"));
            waiter.kill()?;
            waiter.wait()?;
        }
    }
    let (base, done, armed) = (nothing.median(), ended.median(), contenders[1].2.seen.median());
    report.latency("start", "/bin/true, whole", nothing);
    report.latency("start", "dogwatch wait, already ended, whole", ended);
    if setup.released.is_some() {
        let ratio = released.median() / base;
        report.held("already ended, the static program of a release, over /bin/true", ratio, Limit::AtMost(1.1), "x");
        report.latency("start", "the same, the static program of a release", released);
    }
    for (name, _, stair) in contenders {
        report.noted(&format!("start-up to armed, median: {name}"), stair.seen.median(), "us");
    }
    report.held("already ended: whole wait over /bin/true, medians", done / base, Limit::AtMost(1.9), "x");
    report.held("start-up to armed over /bin/true's whole run, medians", armed / base, Limit::AtMost(2.5), "x");
    Ok(())
}
