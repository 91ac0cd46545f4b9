//! What the process was given: variables, the current folder, who and where it is.
//!
//! Variables are returned as text; `cli` parses them.

use crate::error::Error;
use crate::sys::platform::machine;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, gethostname, getuid};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The folder below which every user's default monitor directories stand.
const BASE: &str = "/tmp";

/// A variable, or `None` if it is unset or empty.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Every variable that is text.
pub(crate) fn variables() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// The current folder.
///
/// # Errors
/// Where it was removed, or may not be read.
pub(crate) fn current_folder() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(|error| Error::internal(format!("there is no current folder ({error})")))
}

/// A path from the root on; links stay as they are.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The real user who runs this process.
pub(crate) fn user() -> u32 {
    getuid().as_raw()
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// This machine's name.
pub(crate) fn host() -> String {
    gethostname().map_or_else(|_| String::from("localhost"), |name| name.to_string_lossy().into_owned())
}

/// The kernel's id of this boot; `None` if it has none or hides it.
pub(crate) fn boot_id() -> Option<String> {
    machine::boot_id().filter(|id| !id.is_empty())
}

/// The folders below which default monitor directories may stand, the preferred first. A sandbox may have `/tmp` read-only.
pub(crate) fn base_dirs() -> Vec<PathBuf> {
    let own = format!("dogwatch-{}", user());
    let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let mut bases = vec![Path::new(BASE).join(&own)];
    bases.extend(absolute("XDG_RUNTIME_DIR").map(|folder| folder.join("dogwatch")));
    bases.extend(absolute("TMPDIR").map(|folder| folder.join(&own)));
    bases
}

/// The nearest folder from `start` upwards that holds `.git`, or `start` itself, and whether it holds `.git`; links resolved.
pub(crate) fn project(start: &Path) -> (PathBuf, bool) {
    let start = start.canonicalize().unwrap_or_else(|_| start.to_path_buf());
    let found = start.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
    found.map_or_else(|| (start.clone(), false), |folder| (folder.to_path_buf(), true))
}

/// Allows this process as many open files, as far as its user may: shells leave the everyday limit at 1,024, or 256 on
/// macOS, and the hard one above it. How many are allowed then.
pub(crate) fn allow_descriptors(count: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let wanted = count.min(hard);
    if wanted > soft && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() { wanted } else { soft }
}

/// A word that no other process and no earlier call of this one has: pid, a clock and a counter.
pub(crate) fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{:x}", std::process::id(), crate::sys::clock::wall().as_nanos(), call)
}
