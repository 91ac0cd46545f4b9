//! Where a project's steps stand by default: below the first base that can be used, or where one of its runs goes on.

use crate::ops::check::CheckOptions;
use crate::ops::list::reports;
use crate::ops::project::Project;
use crate::record::outcome::{Action, Outcome};
use crate::sys::env;
use crate::sys::fs::private_dir::can_be_used;
use std::path::{Path, PathBuf};

/// The monitor directory for work in `folder`: `<base>/<project>-<hash>`.
///
/// The base is `/tmp/dogwatch-<uid>`, else `$XDG_RUNTIME_DIR/dogwatch`, else `$TMPDIR/dogwatch-<uid>`: the first that can be
/// used. Where a run of the project goes on below another of them and none below that one, it is that other: a sandbox has its
/// own view of what can be written. The project is the nearest folder upwards that holds `.git`, else `folder` itself.
#[must_use]
pub fn default_directory(folder: &Path) -> PathBuf {
    let name = Project::of(folder).directory_name();
    choose(&env::base_dirs(), &name)
}

fn choose(bases: &[PathBuf], name: &std::ffi::OsStr) -> PathBuf {
    let usable = bases.iter().find(|base| can_be_used(base)).or(bases.first());
    let first = usable.map_or_else(|| PathBuf::from(name), |base| base.join(name));
    let others = bases.iter().map(|base| base.join(name)).filter(|other| *other != first && env::is_folder(other));
    let others: Vec<PathBuf> = others.collect();
    if others.is_empty() || has_running(&first) {
        return first;
    }
    others.into_iter().find(|other| has_running(other)).unwrap_or(first)
}

/// Whether a step runs there.
fn has_running(directory: &Path) -> bool {
    let request = CheckOptions::new(directory).log_tail(0);
    let runs = |outcome, action| outcome == Outcome::Running || action == Action::Kill;
    reports(&request).is_ok_and(|listing| listing.steps.iter().any(|report| runs(report.outcome, report.action)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir, create_dir_all, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_base_that_can_be_used_is_taken_and_a_run_below_another_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let bases = ["a/base", "b/base"].map(|base| folder.path().join(base));
        // Nothing is there: the first whose parent can be written.
        create_dir(folder.path().join("b")).unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[1].join("p"));
        create_dir(folder.path().join("a")).unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[0].join("p"));
        // A run that goes on below the other one: its heartbeat is fresh.
        create_dir_all(bases[1].join("p")).unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[0].join("p"), "nothing runs there");
        write(bases[1].join("p/s.heartbeat"), "").unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[1].join("p"));
        create_dir_all(bases[0].join("p")).unwrap();
        write(bases[0].join("p/t.heartbeat"), "").unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[0].join("p"));
        // With none that can be used the first is named in the error.
        for base in ["a", "b"] {
            std::fs::remove_dir_all(folder.path().join(base)).unwrap();
        }
        assert_eq!(choose(&bases, "p".as_ref()), bases[0].join("p"));
        // One that another user, or a link, has taken cannot be used.
        create_dir_all(folder.path().join("b")).unwrap();
        create_dir(folder.path().join("a")).unwrap();
        std::os::unix::fs::symlink(folder.path(), &bases[0]).unwrap();
        assert_eq!(choose(&bases, "p".as_ref()), bases[1].join("p"));
        set_permissions(folder.path().join("b"), std::fs::Permissions::from_mode(0o700)).unwrap();
    }
}
