//! Leaving without waiting for directory watches to be torn down.
//!
//! Closing the last descriptor of an inotify instance waits until the kernel has let go of its marks, 5 to 24 ms
//! (`fsnotify_destroy_group` in `fs/notify/group.c` calls `fsnotify_wait_marks_destroyed`), and a process's end waits for
//! that: its caller would get control so much later than the answer was known. So a child keeps the descriptors until
//! this process has gone, and does the waiting.
//!
//! Refuses to keep anything else open: a reader of this process's output must see its end. Refuses to be of
//! importance: where no child is to be had, leaving takes those milliseconds.
//!
//! One of the files with unsafe code: fork, and what may be called after it.

use nix::unistd::{ForkResult, fork, pipe};
use std::os::fd::{AsRawFd, OwnedFd};

/// Has a child keep this process's watches until it has gone. To be called right before the end: whatever else is open
/// then, the child closes its copy of at once.
pub(crate) fn leave() {
    let watches = watches();
    let (Some(&last), Ok((gone, mine))) = (watches.last(), pipe()) else { return };
    // The child must not keep its own copy of the end that tells it of this process's.
    let mut kept: Vec<i32> = watches.iter().copied().chain([gone.as_raw_fd()]).collect();
    kept.sort_unstable();
    let highest = last.max(mine.as_raw_fd()).max(gone.as_raw_fd());
    // SAFETY: the child makes only async-signal-safe calls and never returns; what it needs was made before.
    #[expect(unsafe_code, reason = "fork has no safe form")]
    match unsafe { fork() } {
        Ok(ForkResult::Child) => keep(&kept, highest, &gone),
        // Closed by the kernel when this process has gone, and not before.
        Ok(ForkResult::Parent { .. }) => std::mem::forget(mine),
        // No process to be had: it takes a little longer.
        Err(_) => {}
    }
}

/// The inotify descriptors of this process.
fn watches() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_watch = |entry: &std::fs::DirEntry| {
        // proc(5): for what has no place in the filesystem the link says what it is.
        std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:inotify")
    };
    entries.filter_map(|entry| entry.ok().filter(is_watch)?.file_name().to_str()?.parse().ok()).collect()
}

/// Closes everything but `kept` and waits for the other process's end. In the child.
fn keep(kept: &[i32], highest: i32, gone: &OwnedFd) -> ! {
    let mut from = 0;
    for &next in kept.iter().chain([&i32::MAX]) {
        close_range(from, next.saturating_sub(1), highest);
        from = next.saturating_add(1);
    }
    // End of file is the other's end; a byte nobody sends.
    while nix::unistd::read(gone, &mut [0]) == Err(nix::errno::Errno::EINTR) {}
    // SAFETY: _exit(2) is async-signal-safe and runs no destructors or handlers of the parent's.
    #[expect(unsafe_code, reason = "a forked child must not unwind into the parent's frames")]
    unsafe {
        libc::_exit(0)
    }
}

/// Closes the descriptors from one number to another; where the kernel cannot close a range (before 5.9), one by one up
/// to the highest that is known.
fn close_range(from: i32, to: i32, highest: i32) {
    if from > to {
        return;
    }
    // SAFETY: the child uses none of these any more; both calls are system calls and nothing else.
    #[expect(unsafe_code, reason = "descriptors that belong to values of the parent's")]
    unsafe {
        if libc::syscall(libc::SYS_close_range, from, to, 0) != 0 {
            for number in from..=to.min(highest) {
                libc::close(number);
            }
        }
    }
}
