//! Where a project's steps stand by default: below the first base that can be used, or where one of its runs goes on.

use crate::ops::check::CheckOptions;
use crate::ops::list::reports;
use crate::ops::project::Project;
use crate::ops::steps_there;
use crate::sys::env;
use crate::sys::fs::monitor_dir::MonitorDir;
use crate::sys::fs::private_dir::can_be_used;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The monitor directory for work in `folder`: `<base>/<project>-<hash>`.
///
/// The base is `/tmp/dogwatch-<uid>`, else `$XDG_RUNTIME_DIR/dogwatch`, else `$TMPDIR/dogwatch-<uid>`: the first that can be
/// used. Where a run of the project goes on below another of them and none below that one, it is that other: a sandbox has its
/// own view of what can be written. So it is where steps have ended below another and none has started below that one. The
/// project is the nearest folder upwards that holds `.git`, else `folder` itself.
#[must_use]
pub fn default_directory(folder: &Path) -> PathBuf {
    choose(&env::base_dirs(), &Project::of(folder).directory_name(), &|_| true)
}

/// The same to start a run in: steps that have ended below a base that cannot be used hold no new run up.
pub(crate) fn directory_to_start_in(folder: &Path) -> PathBuf {
    choose(&env::base_dirs(), &Project::of(folder).directory_name(), &can_be_used)
}

fn choose(bases: &[PathBuf], name: &OsStr, may_have_ended_in: &dyn Fn(&Path) -> bool) -> PathBuf {
    let usable = bases.iter().find(|base| can_be_used(base)).or(bases.first());
    let first = usable.map_or_else(|| PathBuf::from(name), |base| base.join(name));
    let others = bases.iter().filter(|base| base.join(name) != first && MonitorDir::at(base.join(name)).is_there());
    let others: Vec<&PathBuf> = others.collect();
    if others.is_empty() || has_running(&first) {
        return first;
    }
    let running = others.iter().find(|base| has_running(&base.join(name)));
    let ended = || others.iter().find(|base| may_have_ended_in(base) && has_steps(&base.join(name)));
    let found = running.or_else(|| if has_steps(&first) { None } else { ended() });
    found.map_or(first, |base| base.join(name))
}

/// Whether any step has started there.
fn has_steps(directory: &Path) -> bool {
    !steps_there(&MonitorDir::at(directory.to_path_buf())).is_empty()
}

/// Whether a step runs there.
fn has_running(directory: &Path) -> bool {
    let request = CheckOptions::new(directory).log_tail(0);
    reports(&request).is_ok_and(|listing| listing.steps.iter().any(|report| report.still_runs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, create_dir_all, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    fn chosen(bases: &[PathBuf]) -> PathBuf {
        choose(bases, "p".as_ref(), &|_| true)
    }

    #[test]
    fn where_steps_have_ended_below_one_base_alone_they_are_found_and_a_new_run_starts_where_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let bases = ["a/base", "b/base"].map(|base| folder.path().join(base));
        create_dir(folder.path().join("a")).unwrap();
        create_dir_all(bases[1].join("p")).unwrap();
        write(bases[1].join("p/s.status"), "SUCCESS\n").unwrap();
        let to_start = |usable: bool| choose(&bases, "p".as_ref(), &move |_| usable);
        assert_eq!((chosen(&bases), to_start(true)), (bases[1].join("p"), bases[1].join("p")));
        assert_eq!(to_start(false), bases[0].join("p"));
        create_dir_all(bases[0].join("p")).unwrap();
        assert_eq!(chosen(&bases), bases[1].join("p"), "an empty directory holds no step");
        write(bases[0].join("p/t.status"), "SUCCESS\n").unwrap();
        assert_eq!(chosen(&bases), bases[0].join("p"), "of two with ended steps the first");
    }

    #[test]
    fn the_first_base_that_can_be_used_is_taken_and_a_run_below_another_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let bases = ["a/base", "b/base"].map(|base| folder.path().join(base));
        // Nothing is there: the first whose parent can be written.
        create_dir(folder.path().join("b")).unwrap();
        assert_eq!(chosen(&bases), bases[1].join("p"));
        create_dir(folder.path().join("a")).unwrap();
        assert_eq!(chosen(&bases), bases[0].join("p"));
        // A run that goes on below the other one: its heartbeat is fresh.
        create_dir_all(bases[1].join("p")).unwrap();
        assert_eq!(chosen(&bases), bases[0].join("p"), "nothing runs there");
        write(bases[1].join("p/s.heartbeat"), "").unwrap();
        assert_eq!(chosen(&bases), bases[1].join("p"));
        create_dir_all(bases[0].join("p")).unwrap();
        write(bases[0].join("p/t.heartbeat"), "").unwrap();
        assert_eq!(chosen(&bases), bases[0].join("p"));
        // With none that can be used the first is named in the error.
        for base in ["a", "b"] {
            std::fs::remove_dir_all(folder.path().join(base)).unwrap();
        }
        assert_eq!(chosen(&bases), bases[0].join("p"));
        // One that another user, or a link, has taken cannot be used.
        create_dir_all(folder.path().join("b")).unwrap();
        create_dir(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink(folder.path(), &bases[0]).unwrap();
        assert_eq!(chosen(&bases), bases[1].join("p"));
        set_permissions(folder.path().join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}
