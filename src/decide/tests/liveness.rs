//! Whether a run's process lives: locks against processes, copies, other mounts, other namespaces, other owners.

use crate::decide::liveness::is_copy;
use crate::decide::snapshot::{Liveness, Process, Snapshot};
use crate::decide::tests::looks::{GONE, local, moment, of_run, plain, snapshot, stamp, there, wall};
use crate::decide::tracker::RunTracker;
use crate::record::file_state::{FileId, FileStamp, FileState, LockState};
use crate::record::meta::Meta;
use crate::record::outcome::Reason;
use crate::record::pid::ParsedPid;

#[test]
fn a_held_lock_means_alive_and_a_free_one_decides_only_where_the_kernel_cannot_be_asked() {
    let running = |started| Process::Running { started, started_wall: wall(100.0) };
    let own = FileId { device: 1, inode: 5 };
    let other = FileId { device: 1, inode: 6 };
    let dead = Liveness::Dead { since: moment(110.0) };
    let here = || Meta { locked: true, pid_started_at: Some(7), lock_file: Some(own), ..local() };
    let inside = || Meta { pid_namespace: Some(2), ..here() };
    let in_other_time = || Meta { time_namespace: Some(2), ..here() };
    for (meta, lock, lock_file, process, expected) in [
        (here(), LockState::Held, own, GONE, Liveness::Alive),
        (here(), LockState::Held, own, Process::NotAsked, Liveness::Alive),
        (here(), LockState::Free, own, running(7), Liveness::Alive),
        (here(), LockState::Free, own, running(8), dead),
        (here(), LockState::Free, own, GONE, dead),
        (here(), LockState::Unknown, own, running(7), Liveness::Alive),
        (here(), LockState::Unknown, own, GONE, dead),
        (here(), LockState::Free, own, Process::Hidden, dead),
        (here(), LockState::Unknown, own, Process::Hidden, Liveness::Unknown),
        // Another file under the lock's name, held or not, says nothing of the run.
        (here(), LockState::Held, other, GONE, dead),
        (here(), LockState::Held, other, running(7), Liveness::Alive),
        (here(), LockState::Free, other, running(7), Liveness::Alive),
        (here(), LockState::Free, other, Process::Hidden, Liveness::Unknown),
        // Its number means nothing in another namespace, and its start nothing by another clock.
        (inside(), LockState::Free, own, running(7), dead),
        (inside(), LockState::Free, other, GONE, Liveness::Unknown),
        (inside(), LockState::Held, own, GONE, Liveness::Alive),
        (in_other_time(), LockState::Free, own, running(8), dead),
        (in_other_time(), LockState::Held, own, running(8), Liveness::Alive),
        (in_other_time(), LockState::Unknown, own, running(8), Liveness::Unknown),
        (in_other_time(), LockState::Free, other, running(8), Liveness::Unknown),
        (in_other_time(), LockState::Free, other, GONE, dead),
    ] {
        let told = format!("{lock:?} {lock_file:?} {process:?} {meta:?}");
        let snapshot = Snapshot { meta: of_run(meta), lock, lock_file: Some(lock_file), process, ..plain(110.0) };
        assert_eq!(RunTracker::default().observe(&snapshot).liveness, expected, "{told}");
    }
}

#[test]
fn a_run_of_another_time_namespace_that_was_seen_alive_by_its_lock_is_not_dead_when_the_lock_is_lost() {
    let own = FileId { device: 1, inode: 5 };
    let meta =
        || Meta { locked: true, pid_started_at: Some(7), lock_file: Some(own), time_namespace: Some(2), ..local() };
    // While its lock is held, the process is not looked up.
    let process = Process::NotAsked;
    let held = Snapshot { meta: of_run(meta()), lock: LockState::Held, lock_file: Some(own), process, ..plain(110.0) };
    // LocalContext its process has another start time than the run recorded.
    let process = Process::Running { started: 9, started_wall: wall(100.0) };
    let lost = Snapshot { lock: LockState::Unknown, lock_file: None, process, ..held.clone() };
    let mut tracker = RunTracker::default();
    assert_eq!(tracker.observe(&held).liveness, Liveness::Alive);
    assert_eq!(tracker.observe(&lost).liveness, Liveness::Unknown);
    // Nor when its files are removed and the wall clock is set: its process was seen before that.
    let mut tracker = RunTracker::default();
    tracker.observe(&held);
    let removed = |followed| Snapshot { pid: FileState::Missing, meta: FileState::Missing, followed, ..lost.clone() };
    let set = Process::Running { started: 9, started_wall: wall(3700.0) };
    for followed in [process, set] {
        assert_eq!(tracker.observe(&removed(followed)).liveness, Liveness::Alive);
    }
}

#[test]
fn a_copied_or_otherwise_mounted_directory_lives_by_its_process_and_is_told_apart() {
    let (own, elsewhere) = (FileId { device: 1, inode: 1 }, FileId { device: 1, inode: 9 });
    let lock = FileId { device: 1, inode: 5 };
    let meta = |directory| Meta {
        locked: true,
        pid_started_at: Some(7),
        directory: Some(directory),
        lock_file: Some(lock),
        ..local()
    };
    let seen = |directory, lock_file| Snapshot {
        meta: of_run(meta(directory)),
        lock: LockState::Free,
        lock_file: Some(lock_file),
        ..plain(110.0)
    };
    let copied = seen(elsewhere, FileId { device: 1, inode: 6 });
    assert!(is_copy(&copied) && !is_copy(&seen(own, lock)));
    assert_eq!(RunTracker::default().observe(&copied).liveness, Liveness::Alive);
    // A directory that was numbered anew is known by the lock file in it.
    assert!(!is_copy(&seen(elsewhere, lock)));
    // Without its times, and without its pid file, a copy is one too; after another run's pid or an end it is none.
    let touched = Snapshot { pid: there(109.0, ParsedPid::Pid(42)), ..copied.clone() };
    assert!(is_copy(&touched) && is_copy(&Snapshot { pid: FileState::Missing, ..copied.clone() }));
    assert!(!is_copy(&Snapshot { pid: there(109.0, ParsedPid::Pid(43)), ..copied.clone() }));
    assert!(!is_copy(&Snapshot {
        meta: of_run(Meta { reason: Some(Reason::Died), ..meta(elsewhere) }),
        ..copied.clone()
    }));
    // Another machine sees every directory by numbers of its own.
    let far = Meta { boot_id: Some("other".into()), ..meta(elsewhere) };
    assert!(!is_copy(&Snapshot { meta: of_run(far), ..copied }));
}

#[test]
fn a_record_counts_only_where_the_pid_files_owner_or_root_wrote_it() {
    let owned = |owner| {
        let FileState::Present { stamp, content } = of_run(Meta { max_timeout_ms: Some(1), ..local() }) else {
            unreachable!()
        };
        FileState::Present { stamp: FileStamp { owner, ..stamp }, content }
    };
    let pid = |owner| FileState::Present { stamp: FileStamp { owner, ..stamp(100.0) }, content: ParsedPid::Pid(42) };
    for (of_pid, of_meta, counts) in [(1000, 1000, true), (1000, 0, true), (1000, 1001, false), (0, 1001, false)] {
        let snapshot = Snapshot { pid: pid(of_pid), meta: owned(of_meta), ..plain(110.0) };
        assert_eq!(snapshot.run_meta().is_some(), counts, "{of_pid} {of_meta}");
    }
}

#[test]
fn where_the_pid_file_was_removed_the_recorded_process_tells_whether_the_run_lives() {
    let meta = || of_run(Meta { locked: true, pid_started_at: Some(7), ..local() });
    // It beats long after its record was written.
    let seen = |process, lock, heartbeat| Snapshot {
        meta: meta(),
        heartbeat: there(heartbeat, ()),
        lock,
        process,
        ..snapshot(210.0)
    };
    let first = |snapshot: &Snapshot| RunTracker::default().observe(snapshot).liveness;
    let running = Process::Running { started: 7, started_wall: wall(100.0) };
    for lock in [LockState::Free, LockState::Unknown] {
        assert_eq!(first(&seen(running, lock, 205.0)), Liveness::Alive);
        assert_eq!(first(&seen(GONE, lock, 101.0)), Liveness::Dead { since: moment(210.0) });
        // Another run beats there, which wrote no pid.
        assert_eq!(first(&seen(GONE, lock, 205.0)), Liveness::Unknown);
    }
    assert_eq!(first(&seen(running, LockState::Held, 205.0)), Liveness::Starting { since: moment(210.0) });
}
