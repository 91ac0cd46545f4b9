//! Which directory is the default one, and what is said about it.

use crate::support::{Ended, Place, binary, folder};
use std::process::Command;

/// `dogwatch` in a folder, with no directory named.
fn in_folder(place: &std::path::Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(words)
        .current_dir(place)
        .env_remove("DOGWATCH_DIR")
        .env_remove("XDG_RUNTIME_DIR")
        .env_remove("TMPDIR");
    command
}

fn run(mut command: Command) -> Ended {
    Ended::of(&command.output().expect("it runs"))
}

#[test]
fn the_program_says_what_the_project_is_and_why() {
    let work = folder();
    let inside = work.path().join("src");
    std::fs::create_dir(&inside).expect("a folder");
    let alone = run(in_folder(&inside, &["dir", "-v"]));
    assert!(alone.code == 0 && alone.stderr.contains("no folder upwards holds .git"), "{alone:?}");
    std::fs::create_dir(work.path().join(".git")).expect("a repository");
    let whole = run(in_folder(&inside, &["dir", "-v"]));
    assert!(whole.stderr.contains("the nearest folder upwards that holds .git"), "{whole:?}");
    assert_ne!(alone.stdout, whole.stdout);
    assert_eq!(whole.stdout, run(in_folder(work.path(), &["dir"])).stdout);
    let place = Place::new();
    let named = place.dogwatch(["dir", "-v"]);
    assert!(named.stderr.contains("$DOGWATCH_DIR"), "{named:?}");
}

#[test]
fn where_no_step_is_a_folder_without_a_repository_is_named_as_the_reason() {
    let work = folder();
    let said = run(in_folder(work.path(), &["check", "s"]));
    assert!(said.code == 5 && said.stdout.contains("is in no git repository"), "{said:?}");
    std::fs::create_dir(work.path().join(".git")).expect("a repository");
    let said = run(in_folder(work.path(), &["check", "s"]));
    assert!(said.code == 5 && !said.stdout.contains("git repository"), "{said:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn where_tmp_cannot_be_written_the_users_runtime_folder_is_taken() {
    let (work, runtime) =
        (tempfile::tempdir_in("/var/tmp").expect("a folder"), tempfile::tempdir_in("/var/tmp").expect("one"));
    // In a mount namespace of its own, so that nothing else sees it.
    let script = "mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp && exec \"$@\"";
    let through = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(binary()).args(words).current_dir(work.path());
        command.env_remove("DOGWATCH_DIR").env_remove("TMPDIR").env("XDG_RUNTIME_DIR", runtime.path());
        run(command)
    };
    let dir = through(&["dir"]);
    if dir.code != 0 && dir.stderr.contains("unshare") {
        return eprintln!("skipped: no mount namespace can be made");
    }
    assert!(dir.stdout.starts_with(&*runtime.path().join("dogwatch").to_string_lossy()), "{dir:?}");
    assert_eq!(through(&["run", "s", "--", "true"]).code, 0);
    assert_eq!(through(&["wait", "s"]).code, 0);
    // Where /tmp can be written it would be the place, but the step is found where it ended, and starts there again.
    let outside = |words: &[&str]| {
        let mut command = in_folder(work.path(), words);
        command.env("XDG_RUNTIME_DIR", runtime.path());
        run(command)
    };
    assert_eq!(outside(&["check", "s"]).code, 0);
    assert_eq!(outside(&["dir"]).stdout, dir.stdout);
    assert_eq!(outside(&["run", "s", "--", "true"]).code, 0);
    assert_eq!(outside(&["history", "s"]).stdout.lines().count(), 2);
}
