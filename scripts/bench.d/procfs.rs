//! What the kernel says of a process from outside: what it sleeps on, what it has used, what it watches.
//!
//! It only reads files of /proc, so the measured process is not disturbed by tracing or signals.

use super::setup::Got;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a process must have used no CPU time to count as settled.
const STILL: Duration = Duration::from_millis(5);

fn tasks(pid: u32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
}

/// The CPU time of all its threads that live, to the nanosecond (`/proc/PID/task/TID/schedstat`).
pub(crate) fn cpu(pid: u32) -> Duration {
    let one = |task: PathBuf| -> Option<u64> {
        fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(tasks(pid).into_iter().filter_map(one).sum())
}

/// How often its threads have gone to sleep: as often as they are woken.
pub(crate) fn wakes(pid: u32) -> u64 {
    let one = |task: PathBuf| field(&fs::read_to_string(task.join("status")).ok()?, "voluntary_ctxt_switches");
    tasks(pid).into_iter().filter_map(one).sum()
}

/// How many threads it has.
pub(crate) fn threads(pid: u32) -> usize {
    tasks(pid).len()
}

/// The most memory it has had, in KiB.
pub(crate) fn peak_kib(pid: u32) -> u64 {
    fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|text| field(&text, "VmHWM")).unwrap_or(0)
}

/// The number of the descriptor by which it watches a directory; nothing while it watches none.
pub(crate) fn watch(pid: u32) -> Option<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fdinfo")).ok()?;
    let holds = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("inotify wd:"));
    let path = entries.filter_map(|entry| Some(entry.ok()?.path())).find(holds)?;
    Some(path.file_name()?.to_string_lossy().into_owned())
}

fn asleep(pid: u32) -> bool {
    let state = |task: PathBuf| Some(fs::read_to_string(task.join("stat")).ok()?.rsplit_once(") ")?.1.starts_with('S'));
    tasks(pid).into_iter().all(|task| state(task).unwrap_or(true))
}

/// Waits until all threads sleep and have used no time for `still`; the moment since when.
pub(crate) fn settled_for(pid: u32, still: Duration) -> Got<Instant> {
    let began = Instant::now();
    let (mut used, mut since) = (cpu(pid), began);
    while began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_micros(500));
        let (seen, now) = (cpu(pid), Instant::now());
        if seen != used || !asleep(pid) {
            (used, since) = (seen, now);
        } else if now - since >= still {
            return Ok(since);
        }
    }
    Err(format!("process {pid} has not come to rest within {PATIENCE:?}").into())
}

/// Waits until a process sleeps, having done what it does before it waits.
pub(crate) fn settled(pid: u32) -> Got<()> {
    settled_for(pid, STILL).map(|_since| ())
}

/// Waits until a process watches a directory and sleeps.
pub(crate) fn armed(pid: u32) -> Got<()> {
    let began = Instant::now();
    while watch(pid).is_none() {
        if began.elapsed() > PATIENCE {
            return Err(format!("process {pid} watches nothing within {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    settled(pid)
}
