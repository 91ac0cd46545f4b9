//! The monitor directory, or the nearest folder above it that is there: whether runs and waiters can rely on it.
//!
//! Tries what they will do, for real: makes a file, hears of it, locks it, asks its time, removes it. Refuses to fail
//! for what they can do without: where no events are to be had they poll, and the report says so.

use crate::preflight::{Failure, Place, Verdict, shown};
use crate::record::time::{MonotonicTime, WallTime};
use crate::sys::fs::metadata;
use crate::sys::fs::metadata::{Kind, Standing};
use crate::sys::fs::monitor_dir::why;
use crate::sys::fs::probe;
use crate::sys::fs::probe::{Ear, ProbeFile, Supplies};
use crate::sys::platform::fs_type;
use crate::sys::platform::fs_type::FsType;
use crate::sys::platform::watch_limits::supplies;
use crate::sys::watch::dir::Events;
use crate::sys::{clock, env};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long an event may take. It takes well under a millisecond; a loaded machine must not look like a deaf one.
const HEARING: Duration = Duration::from_secs(2);
/// By how much the filesystem's clock may differ from this machine's. The slack with which a process is told to be older
/// than its `.pid` (`sys::process::tree`), and a status older than the run (the contract's 2 s), reach no further.
const SKEW: Duration = Duration::from_secs(2);
const ELSEWHERE: &str = "choose a directory of your own on a local disk: export DOGWATCH_DIR=…";

/// Whether the monitor directory serves.
pub(super) fn check(place: &Place, deadline: MonotonicTime) -> Verdict {
    beats(place)?;
    let directory = env::absolute(&place.directory);
    let folder = metadata::nearest(&directory);
    let is_itself = folder == directory;
    if !is_itself && metadata::is_there(&directory) && metadata::kind(&directory).is_ok_and(|kind| kind != Kind::Absent)
    {
        return Err(Failure::of(format!("{} is no folder", directory.display())).mended_by(ELSEWHERE));
    }
    private(&standings(&folder), env::user(), is_itself)?;
    let locality = fs_type::look(&folder).map_err(|error| {
        Failure::of(format!("the filesystem of {} does not answer: {}", folder.display(), why(&error)))
            .mended_by(ELSEWHERE)
    })?;
    // Counted before the trial takes its own.
    let left = left(supplies());
    let backend = tried(&folder, &locality, deadline)?;
    let subject = if is_itself {
        directory.display().to_string()
    } else {
        format!("{} is not there yet; {} is", directory.display(), folder.display())
    };
    Ok(Some(format!("{subject}: {backend}{left}")))
}

/// An interval that is not under half of the staleness takes every beat for the last one.
fn beats(place: &Place) -> Result<(), Failure> {
    let (Some(interval), Some(stale)) = (place.heartbeat_interval, place.stale) else { return Ok(()) };
    if stale.is_zero() || interval.saturating_mul(2) < stale {
        return Ok(());
    }
    let symptom = format!(
        "DOGWATCH_HEARTBEAT_INTERVAL ({}) is not less than half of DOGWATCH_STALE ({})",
        shown(interval),
        shown(stale)
    );
    Err(Failure::of(symptom)
        .because("one late beat would make a healthy run look hung")
        .mended_by(format!("export DOGWATCH_HEARTBEAT_INTERVAL={}ms", (stale / 3).as_millis().max(1))))
}

/// Makes, hears of, locks, dates and removes one file; says how changes will be noticed, and why.
fn tried(folder: &Path, locality: &FsType, deadline: MonotonicTime) -> Result<String, Failure> {
    let shown = folder.display();
    let name = probe::name();
    // On a filesystem that is not local the own write would be heard of and others' would not: it proves nothing.
    let ear = locality.local.then(|| Ear::open(folder, &name));
    let trial = ProbeFile::make(folder, &name)
        .map_err(|error| Failure::of(format!("cannot write in {shown}: {}", why(&error))).mended_by(ELSEWHERE))?;
    let backend = match ear {
        None => format!("changes are noticed by polling, since {} does not tell of what others write", locality.name),
        Some(Err(error)) => format!("changes are noticed by polling, since no events are to be had: {error}"),
        Some(Ok(mut ear)) => {
            if !ear.hears(clock::now().plus(HEARING).min(deadline)) {
                return Err(Failure::of(format!("a file was made in {shown} and no {} event came", Events::BACKEND))
                    .because(format!("{} does not deliver events here, as in some sandboxes", locality.name))
                    .mended_by("export DOGWATCH_BACKEND=poll"));
            }
            format!("changes are noticed by {}, since {} is local", Events::BACKEND, locality.name)
        }
    };
    match trial.lock() {
        Ok(Some(_lock)) => {}
        Ok(None) => return Err(Failure::of(format!("a file in {shown} is locked by somebody else at once"))),
        Err(error) => {
            return Err(Failure::of(format!("a file in {shown} cannot be locked: {}", why(&error)))
                .because(format!("{} has no locks, or its lock service is down", locality.name))
                .mended_by(ELSEWHERE));
        }
    }
    let clocks = trial
        .clocks()
        .map_err(|error| Failure::of(format!("cannot set the time of a file in {shown}: {}", why(&error))))?;
    skewed(clocks, &locality.name)?;
    Ok(backend)
}

fn skewed((before, made, after): (WallTime, WallTime, WallTime), filesystem: &str) -> Result<(), Failure> {
    let (behind, ahead) = (before.since(made), made.since(after));
    let (by, how) = if behind > SKEW { (behind, "behind") } else { (ahead, "ahead of") };
    if by <= SKEW {
        return Ok(());
    }
    let by = shown(Duration::from_secs(by.as_secs()));
    Err(Failure::of(format!("the clock of the filesystem is {by} {how} this machine's"))
        .because(format!("{filesystem} takes its times from another machine, and one of the two is wrong"))
        .mended_by("set both clocks by NTP, or choose a directory on a local disk: export DOGWATCH_DIR=…"))
}

/// Why others could make any run in this user's directory look like any other; nothing where they cannot, or it is not
/// there yet. Whose another user's directory is goes without saying.
pub(crate) fn exposed(directory: &Path) -> Option<String> {
    let directory = env::absolute(directory);
    let (folders, me) = (standings(&directory), env::user());
    let own = folders.first().is_some_and(|(_, standing)| standing.owner == me);
    let Failure { symptom, cause, fix } = private(&folders, me, true).err().filter(|_| own)?;
    let rest = cause.into_iter().chain(fix).map(|part| format!("; {part}"));
    Some(format!("{symptom}{}", rest.collect::<String>()))
}

/// Every folder from `folder` up to the root with who may write there, as far as that can be seen.
fn standings(folder: &Path) -> Vec<(PathBuf, Standing)> {
    let resolved = metadata::resolved(folder).unwrap_or_else(|_| folder.to_path_buf());
    resolved.ancestors().map_while(|one| Some((one.to_path_buf(), metadata::standing(one).ok()?))).collect()
}

/// Whoever may rename files in the directory may make any run look like any other.
fn private(folders: &[(PathBuf, Standing)], me: u32, is_itself: bool) -> Result<(), Failure> {
    const ROOT: u32 = 0;
    let Some((path, standing)) = folders.first() else { return Ok(()) };
    let shown = path.display();
    // Above the directory root's folders are everybody's; the directory itself has one user.
    if standing.owner != me && (is_itself || standing.owner != ROOT) {
        return Err(Failure::of(format!("{shown} belongs to user {}, not to you", standing.owner))
            .because("its owner can replace every file of every run")
            .mended_by(ELSEWHERE));
    }
    // A closed folder above, of this user, keeps everybody out, whatever the umask made of the folders inside.
    let closed = folders.iter().any(|(_, above)| above.owner == me && (above.mode & 0o777) | 0o700 == 0o700);
    let shared = standing.mode & 0o022 != 0 && standing.mode & 0o1000 == 0;
    if shared && !closed {
        return Err(Failure::of(format!("{shown} can be written by others (mode {:o})", standing.mode & 0o7777))
            .because("whoever may write there can replace every file of every run")
            .mended_by(format!("chmod go-w {}", super::venv::quoted(&path.to_string_lossy()))));
    }
    Ok(())
}

fn left(supplies: Option<Supplies>) -> String {
    supplies.map_or_else(String::new, |Supplies { instances, watches }| {
        format!(
            "; {} of {} instances and {} of {} watches are left",
            instances.limit.saturating_sub(instances.used),
            instances.limit,
            watches.limit.saturating_sub(watches.used),
            watches.limit
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_private_where_nobody_else_can_rename_in_it() {
        let folder = |owner: u32, mode: u32| (PathBuf::from("/x"), Standing { owner, mode });
        for (folders, is_itself, expected) in [
            (vec![folder(7, 0o700)], true, None),
            (vec![folder(7, 0o755)], true, None),
            (vec![folder(7, 0o775)], true, Some("written by others")),
            (vec![folder(7, 0o757)], true, Some("written by others")),
            // A umask of 002 inside a folder that is closed.
            (vec![folder(7, 0o775), folder(7, 0o700), folder(0, 0o1777)], true, None),
            (vec![folder(7, 0o775), folder(8, 0o700)], true, Some("written by others")),
            (vec![folder(7, 0o1777)], true, None),
            (vec![folder(0, 0o1777)], true, Some("belongs to user 0")),
            (vec![folder(0, 0o1777)], false, None),
            (vec![folder(0, 0o777)], false, Some("written by others")),
            (vec![folder(8, 0o755)], false, Some("belongs to user 8")),
            (vec![], true, None),
        ] {
            let found = private(&folders, 7, is_itself).err().map(|failure| failure.symptom);
            let fits = match (&found, expected) {
                (None, None) => true,
                (Some(symptom), Some(words)) => symptom.contains(words),
                _ => false,
            };
            assert!(fits, "{folders:?} {is_itself}: {found:?}");
        }
    }

    #[test]
    fn beats_must_come_at_least_twice_within_the_staleness() {
        let place = |interval, stale| Place {
            heartbeat_interval: Some(Duration::from_secs(interval)),
            stale: Some(Duration::from_secs(stale)),
            ..Place::default()
        };
        assert!(beats(&Place::default()).is_ok());
        for (interval, stale, fits) in [(10, 60, true), (29, 60, true), (30, 60, false), (90, 60, false), (90, 0, true)]
        {
            assert_eq!(beats(&place(interval, stale)).is_ok(), fits, "{interval} {stale}");
        }
    }

    #[test]
    fn clocks_may_differ_by_two_seconds() {
        let at = |second: i64| WallTime::from_parts(second, 0);
        for (made, words) in
            [(100, None), (98, None), (102, None), (97, Some("3s behind")), (3700, Some("1h ahead of"))]
        {
            let found = skewed((at(100), at(made), at(100)), "nfs").err().map(|failure| failure.symptom);
            assert_eq!(found.is_some(), words.is_some(), "{made}");
            assert!(found.zip(words).is_none_or(|(found, words)| found.contains(words)), "{made}");
        }
    }
}
