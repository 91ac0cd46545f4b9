//! What holds of every parser of `/proc` for any bytes: a harness, shared by the fuzz target and the property tests.
//!
//! Built for these two alone.

use crate::sys::linux::{cgroup, fs_type, procfs, wait_reason};

/// Feeds one text to every parser of a file under `/proc`.
pub(crate) fn proc_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(stat) = procfs::stat(bytes) {
        let name = procfs::name(bytes).expect("what has fields after its name has a name");
        assert!(name.is_empty() || bytes.windows(name.len()).any(|part| part == name));
        assert!(stat.state != ' ');
    }
    let _all = (procfs::stack(bytes), procfs::user(&text), procfs::inner_pid(&text), procfs::newest_pid(&text));
    let held = bytes.split(|&byte| byte == 0).next().and_then(|entry| std::str::from_utf8(entry).ok());
    assert!(held.is_none_or(|entry| procfs::environment_holds(bytes, entry)));
    let pids: Vec<i32> = bytes.iter().map(|&byte| i32::from(byte)).collect();
    let ordered = procfs::in_order_of_birth(pids.clone(), pids.first().copied());
    assert!(ordered.len() == pids.len() && ordered.last() == pids.first() || pids.is_empty());
    let _waits = (wait_reason::by_call(&text), wait_reason::by_place(&text), wait_reason::inode_of(&text));
    let sets = (wait_reason::local_sockets(&text).count(), wait_reason::epoll_set(&text).count());
    assert!(sets.0 <= bytes.len() && sets.1 <= bytes.len());
    assert!(wait_reason::poll_set(bytes).iter().all(|(descriptor, _)| *descriptor >= 0));
    assert!(
        wait_reason::select_set(bytes)
            .all(|descriptor| usize::try_from(descriptor).is_ok_and(|at| at < bytes.len() * 8))
    );
    let _mounts = (fs_type::far_mount(bytes), cgroup::counters(&text, &text), cgroup::count(&text));
}
