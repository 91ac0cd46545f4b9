//! Why a tree hangs, before it is ended: each process with what it is doing and what it waits for.
//!
//! The time is bounded whatever state the processes are in; details that could not be read in time are left out. A
//! process that has exited meanwhile, or whose pid was reused, is left out (I7).

use crate::record::evidence::{MOST, ProcessState, TreeProcess};
use crate::sys::clock;
use crate::sys::platform::diagnose::{detail, glimpse};
use crate::sys::platform::process::look;
use crate::sys::process::{Lookup, ProcessInfo};
use crossbeam_channel::{Sender, bounded};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the details may take; as a rule they take some milliseconds.
const LIMIT: Duration = Duration::from_secs(2);

/// Looks at these processes, the first of them where there are too many.
pub(crate) fn take(entries: &[ProcessInfo]) -> Vec<TreeProcess> {
    let glances = entries.iter().filter_map(|entry| Some((*entry, glimpse(entry)?)));
    let mut open: Vec<(usize, ProcessInfo, TreeProcess)> =
        (0..MOST).zip(glances).map(|(index, (entry, process))| (index, entry, process)).collect();
    let mut seen: Vec<Option<TreeProcess>> = open.iter().map(|(_, _, process)| Some(process.clone())).collect();
    open.retain(|(_, _, process)| process.state != ProcessState::Zombie);
    let parents: BTreeSet<i32> = open.iter().map(|(_, entry, _)| entry.parent).collect();
    // Who is stuck in the kernel may hold up the reader too, so these come last.
    open.sort_by_key(|(_, _, process)| process.state == ProcessState::Disk);
    // As many as there can be: the thread never waits for a reader that has gone.
    let (sender, details) = bounded(MOST);
    let thread = std::thread::Builder::new().name("evidence".into()).spawn(move || tell(open, &parents, &sender));
    let deadline = clock::now().plus(LIMIT);
    // No thread to be had: the glances have to do, and the channel is closed already.
    if let Ok(_running) = thread {
        while let Ok((index, process)) = details.recv_timeout(deadline.since(clock::now())) {
            seen[index] = process;
        }
    }
    seen.into_iter().flatten().collect()
}

/// How much CPU time these processes have used together.
pub(crate) fn cpu_time(entries: &[ProcessInfo]) -> Duration {
    let millis = entries.iter().filter_map(glimpse).map(|process| process.cpu_ms).fold(0, u64::saturating_add);
    Duration::from_millis(millis)
}

/// Sends the details of one process after the other; nothing of one that is not the same any more.
fn tell(
    open: Vec<(usize, ProcessInfo, TreeProcess)>,
    parents: &BTreeSet<i32>,
    sender: &Sender<(usize, Option<TreeProcess>)>,
) {
    for (index, entry, mut process) in open {
        detail(&mut process, parents.contains(&entry.pid));
        // After the reading: had the number come to another process, the start time shows it.
        let same = matches!(look(entry.pid), Lookup::Found(now) if now.started == entry.started);
        if sender.send((index, same.then_some(process))).is_err() {
            return;
        }
    }
}
