//! Leaving without waiting for directory watches to be torn down.
//!
//! Closing the last descriptor of an inotify instance waits until the kernel has let go of its marks, 5 to 24 ms
//! (`fsnotify_destroy_group` in `fs/notify/group.c` calls `fsnotify_wait_marks_destroyed`), and a process's end waits for
//! that: its caller would get control so much later than the answer was known. So a child keeps the descriptors until
//! this process has gone, and does the waiting. Where nothing is left to do but to end, the child shares this process's
//! memory, so that neither copying nor giving back that memory is waited for either.
//!
//! Refuses to keep anything else open: a reader of this process's output must see its end. Refuses to be of
//! importance: where no child is to be had, leaving takes those milliseconds.
//!
//! One of the files with unsafe code: fork, and what may be called after it.

use nix::fcntl::OFlag;
use nix::unistd::{ForkResult, fork, pipe, pipe2};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// How much stack the sharing child gets: it makes some system calls, and a signal may be handled on it.
const STACK: usize = 32 << 10;

/// What is known of this process's watches.
static FORESEEN: Mutex<Foreseen> = Mutex::new(Foreseen { prepared: None, due: false });

struct Foreseen {
    /// What the end needs, where there was time for it.
    prepared: Option<Prepared>,
    /// Whether the watches are there still, and this process has only to end.
    due: bool,
}

/// All that a child needs which takes over.
struct Prepared {
    plan: Box<Plan>,
    stack: Box<[u128]>,
    /// Closed by the kernel when this process has gone, and not before.
    mine: OwnedFd,
}

/// What the sharing child goes by.
struct Plan {
    kept: Vec<i32>,
    highest: i32,
    gone: OwnedFd,
}

/// Does while there is time what [`end`] needs, for these watches.
pub(crate) fn foresee(watches: &[BorrowedFd<'_>]) {
    let watches: Vec<i32> = watches.iter().map(AsRawFd::as_raw_fd).collect();
    FORESEEN.lock().unwrap_or_else(PoisonError::into_inner).prepared = prepare(&watches);
}

/// Leaves the watches that stand to the process's end: whoever held them lets them be, and the last act is [`end`].
pub(crate) fn defer() {
    FORESEEN.lock().unwrap_or_else(PoisonError::into_inner).due = true;
}

fn prepare(watches: &[i32]) -> Option<Prepared> {
    let last = *watches.iter().max()?;
    // Closed on exec: a program that this process starts must not keep the end that tells of its going.
    let (gone, mine) = pipe2(OFlag::O_CLOEXEC).ok()?;
    let highest = last.max(mine.as_raw_fd()).max(gone.as_raw_fd());
    let plan = Box::new(Plan { kept: kept(watches, &gone), highest, gone });
    Some(Prepared { plan, stack: vec![0; STACK / size_of::<u128>()].into_boxed_slice(), mine })
}

/// Ends this process with this code at once, where watches were left to its end; all that it had to say is said. Else
/// nothing, and it ends as any other.
pub(crate) fn end(code: u8) {
    let prepared = {
        let mut foreseen = FORESEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if !foreseen.due {
            return;
        }
        foreseen.prepared.take().or_else(|| prepare(&watches()))
    };
    let Some(Prepared { plan, stack, mine }) = prepared else { return };
    // Neither is given back: the child uses both for longer than this process lives.
    let (plan, stack) = (Box::leak(plan), Box::leak(stack));
    // SAFETY: the stack grows down from the end of memory that is never freed, aligned as it has to be, and so is what
    // the child is given. It shares this thread's storage, errno above all, so from here on this thread makes one system
    // call, the last, and no other uses that storage.
    #[expect(unsafe_code, reason = "a child in the same memory has no safe form, nor has ending without destructors")]
    unsafe {
        let top = stack.as_mut_ptr_range().end.cast::<c_void>();
        if libc::clone(keep_sharing, top, libc::CLONE_VM | libc::SIGCHLD, std::ptr::from_mut(plan).cast()) > 0 {
            std::mem::forget(mine);
            libc::_exit(code.into())
        }
    }
}

/// The child that shares this process's memory; its end is the return.
extern "C" fn keep_sharing(plan: *mut c_void) -> c_int {
    // SAFETY: `end` has leaked it, and nothing changes it.
    #[expect(unsafe_code, reason = "clone(2) hands an address over")]
    let plan = unsafe { &*plan.cast::<Plan>() };
    close_others(&plan.kept, plan.highest);
    wait_for_end(&plan.gone);
    0
}

/// Has a child keep this process's watches until it has gone. To be called right before the end: whatever else is open
/// then, the child closes its copy of at once.
pub(crate) fn leave() {
    let watches = watches();
    let (Some(&last), Ok((gone, mine))) = (watches.last(), pipe()) else { return };
    let kept = kept(&watches, &gone);
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

/// What the child keeps, in order. Not its own copy of the end that tells it of this process's.
fn kept(watches: &[i32], gone: &OwnedFd) -> Vec<i32> {
    let mut kept: Vec<i32> = watches.iter().copied().chain([gone.as_raw_fd()]).collect();
    kept.sort_unstable();
    kept
}

/// Closes everything but `kept` and waits for the other process's end. In the child.
fn keep(kept: &[i32], highest: i32, gone: &OwnedFd) -> ! {
    close_others(kept, highest);
    wait_for_end(gone);
    // SAFETY: _exit(2) is async-signal-safe and runs no destructors or handlers of the parent's.
    #[expect(unsafe_code, reason = "a forked child must not unwind into the parent's frames")]
    unsafe {
        libc::_exit(0)
    }
}

fn close_others(kept: &[i32], highest: i32) {
    let mut from = 0;
    for &next in kept.iter().chain([&i32::MAX]) {
        close_range(from, next.saturating_sub(1), highest);
        from = next.saturating_add(1);
    }
}

fn wait_for_end(gone: &OwnedFd) {
    // End of file is the other's end; a byte nobody sends.
    while nix::unistd::read(gone, &mut [0]) == Err(nix::errno::Errno::EINTR) {}
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
