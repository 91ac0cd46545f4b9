//! The calls that neither std nor nix has, each as a function that cannot be called wrongly.
//!
//! Each function returns the kernel's own structure, bytes or error. This is the only file of this platform with unsafe
//! code.

use crate::sys::macos::parse::timebase::Timebase;
use libc::{c_int, c_uint, proc_bsdinfo, proc_taskinfo};
use nix::errno::Errno;
use std::ffi::{CStr, OsString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr::null_mut;

/// More room in the list of processes than the kernel asks for.
const MORE_PIDS: usize = 64;
/// Room for mounts that are made while the list is asked for.
const MORE_MOUNTS: usize = 16;

/// What libproc says of one process, be it on its way out or a zombie.
///
/// # Errors
/// `ESRCH` where there is none; `EPERM` where it has another effective user.
pub(crate) fn process(pid: i32) -> Result<proc_bsdinfo, Errno> {
    // Only with this argument are processes found that have begun to exit (xnu bsd/kern/proc_info.c, proc_pidinfo).
    let with_exiting = 1;
    info(pid, libc::PROC_PIDTBSDINFO, with_exiting)
}

/// Every mount: where it is, and whether its data are on this machine (`MNT_LOCAL`), as the kernel last knew it
/// (`MNT_NOWAIT`, getfsstat(2)).
pub(crate) fn mounts() -> Vec<(PathBuf, bool)> {
    // SAFETY: without a buffer only the number of mounts is told.
    #[expect(unsafe_code, reason = "getfsstat has no safe form")]
    let count = unsafe { libc::getfsstat(null_mut(), 0, libc::MNT_NOWAIT) };
    let room = usize::try_from(count).unwrap_or(0) + MORE_MOUNTS;
    let mut found: Vec<libc::statfs> = Vec::with_capacity(room);
    let bytes = c_int::try_from(room * size_of::<libc::statfs>()).unwrap_or(0);
    // SAFETY: the buffer has room for that many bytes.
    #[expect(unsafe_code, reason = "getfsstat has no safe form")]
    let filled = unsafe { libc::getfsstat(found.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
    let filled = usize::try_from(filled).unwrap_or(0).min(room);
    // SAFETY: so many structures were filled by the kernel.
    #[expect(unsafe_code, reason = "a list filled by the kernel")]
    unsafe {
        found.set_len(filled);
    }
    found
        .iter()
        .map(|mount| {
            let name: Vec<u8> =
                mount.f_mntonname.iter().take_while(|&&byte| byte != 0).map(|byte| byte.cast_unsigned()).collect();
            let local = mount.f_flags & libc::MNT_LOCAL.cast_unsigned() != 0;
            (OsString::from_vec(name).into(), local)
        })
        .collect()
}

/// What a process has used so far.
///
/// # Errors
/// `ESRCH` where there is none, `EPERM` where it is another user's.
pub(crate) fn usage(pid: i32) -> Result<libc::rusage_info_v2, Errno> {
    let mut found = MaybeUninit::<libc::rusage_info_v2>::zeroed();
    // SAFETY: the buffer is of the structure that this flavour fills (xnu bsd/sys/resource.h); the prototype's pointer
    // to a pointer is the address of that structure (libsyscall/wrappers/libproc/libproc.h).
    #[expect(unsafe_code, reason = "libproc has no safe form")]
    let status = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V2, found.as_mut_ptr().cast()) };
    Errno::result(status)?;
    // SAFETY: every byte was set, and the structure has integers only.
    #[expect(unsafe_code, reason = "a structure filled by the kernel")]
    Ok(unsafe { found.assume_init() })
}

/// What libproc says of the work of one process that lives.
///
/// # Errors
/// As [`process`]; `ESRCH` for a zombie too.
pub(crate) fn task(pid: i32) -> Result<proc_taskinfo, Errno> {
    info(pid, libc::PROC_PIDTASKINFO, 0)
}

/// A structure of libproc's, which has integers only, under its own flavour.
fn info<T>(pid: i32, flavor: c_int, argument: u64) -> Result<T, Errno> {
    let mut found = MaybeUninit::<T>::zeroed();
    let size = c_int::try_from(size_of::<T>()).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the buffer has `size` bytes, and the kernel writes no more than it is told.
    #[expect(unsafe_code, reason = "libproc has no safe form")]
    let written = unsafe { libc::proc_pidinfo(pid, flavor, argument, found.as_mut_ptr().cast(), size) };
    // Zero is libproc's word for an error (xnu libsyscall/wrappers/libproc/libproc.c).
    if written != size {
        return Err(Errno::last());
    }
    // SAFETY: every byte was set, and any value of these is one of an integer.
    #[expect(unsafe_code, reason = "a structure filled by the kernel")]
    Ok(unsafe { found.assume_init() })
}

/// How many nanoseconds one tick of this process's clock is.
#[expect(deprecated, reason = "another crate for one call would not be worth it")]
pub(crate) fn timebase() -> Timebase {
    let mut found = libc::mach_timebase_info { numer: 0, denom: 0 };
    // SAFETY: the structure is filled with two integers and nothing else is touched.
    #[expect(unsafe_code, reason = "mach has no safe form")]
    let _always_succeeds = unsafe { libc::mach_timebase_info(&raw mut found) };
    Timebase { numerator: found.numer.into(), denominator: found.denom.into() }
}

/// The numbers of all processes; none where they may not be listed.
pub(crate) fn pids() -> Vec<i32> {
    // SAFETY: without a buffer nothing is written.
    #[expect(unsafe_code, reason = "libproc has no safe form")]
    let expected = unsafe { libc::proc_listallpids(null_mut(), 0) };
    let mut pids = vec![0_i32; usize::try_from(expected).unwrap_or(0) + MORE_PIDS];
    let Ok(size) = c_int::try_from(size_of_val(pids.as_slice())) else { return Vec::new() };
    // SAFETY: the buffer has `size` bytes, and the kernel writes whole numbers into no more than those.
    #[expect(unsafe_code, reason = "libproc has no safe form")]
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), size) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids
}

/// Reads a value of the kernel into `buffer` and says how long it is; with an empty buffer only the latter.
///
/// # Errors
/// As sysctl(3); `ENOMEM` where the buffer is too short.
pub(crate) fn sysctl(name: &[c_int], buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = buffer.len();
    let place = if buffer.is_empty() { null_mut() } else { buffer.as_mut_ptr() };
    let count = c_uint::try_from(name.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: `name` has `count` numbers, which are only read (sysctl(3)). `place` is null or has `length` bytes, and
    // the kernel writes no more than that. Nothing is set.
    #[expect(unsafe_code, reason = "sysctl has no safe form")]
    let status = unsafe { libc::sysctl(name.as_ptr().cast_mut(), count, place.cast(), &raw mut length, null_mut(), 0) };
    Errno::result(status).map(|_| length)
}

/// As [`sysctl`], for a value that has no fixed number.
///
/// # Errors
/// As [`sysctl`].
pub(crate) fn sysctl_by_name(name: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut length = buffer.len();
    // SAFETY: `name` ends with a NUL. The buffer has `length` bytes, and the kernel writes no more than that. Nothing
    // is set.
    #[expect(unsafe_code, reason = "sysctl has no safe form")]
    let status =
        unsafe { libc::sysctlbyname(name.as_ptr(), buffer.as_mut_ptr().cast(), &raw mut length, null_mut(), 0) };
    Errno::result(status).map(|_| length)
}

/// Makes a hole of a file's first `length` bytes, which are whole blocks.
///
/// # Errors
/// As fcntl(2), `F_PUNCHHOLE`.
pub(crate) fn punch_hole(file: &File, length: i64) -> Result<(), Errno> {
    let hole = libc::fpunchhole_t { fp_flags: 0, reserved: 0, fp_offset: 0, fp_length: length };
    // SAFETY: F_PUNCHHOLE takes a pointer to this structure and only reads it (fcntl(2)).
    #[expect(unsafe_code, reason = "nix has no F_PUNCHHOLE")]
    let status = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
    Errno::result(status).map(drop)
}
