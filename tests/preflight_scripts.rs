//! `preflight` against environments whose scripts or activation scripts do not work although everything else does: execute
//! bits, line ends, folders that were moved and half repaired, paths of build environments.
//!
//! Needs python3 with venv; nothing is downloaded but by the tests that say so.

use crate::support::project::{Project, fails_with, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a shell line; its standard output, where it succeeds.
fn sh(folder: &Path, line: &str) -> Option<String> {
    let output = Command::new("bash").args(["-c", line]).current_dir(folder).env_remove("VIRTUAL_ENV").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[track_caller]
fn must(folder: &Path, line: &str) -> String {
    sh(folder, line).unwrap_or_else(|| panic!("{line} failed"))
}

/// A project with an environment that has three console scripts; `None` where there is no venv to make it.
fn project() -> Option<Project> {
    let project = Project::new();
    if sh(project.path(), "python3 -m venv --without-pip .venv").is_none() {
        eprintln!("skipped: python3 makes no environment here");
        return None;
    }
    let bin = venv(&project).join("bin");
    for name in ["one", "three", "two"] {
        let text = format!("#!{}/python\nprint('started')\n", bin.display());
        crate::support::executable(&bin.join(name), &text);
    }
    let found = check(&project);
    assert!(found["verdict"] == "passed" && text(&found, "detail").starts_with("3 scripts"), "{found}");
    Some(project)
}

/// What the check of `.venv` reports.
fn check(project: &Project) -> Value {
    let (_, mut found) = project.preflight(&["--venv", ".venv"]);
    found.remove(0)
}

/// Asserts the failure, runs the suggested fix, and asserts that everything works afterwards.
#[track_caller]
fn is_repaired_by_the_suggestion(project: &Project, words: &[&str]) {
    let found = check(project);
    fails_with(&found, words);
    assert_eq!(found["fix_source"], "suggested");
    must(project.path(), text(&found, "fix"));
    let after = check(project);
    assert_eq!(after["verdict"], "passed", "{}: {after}", text(&found, "fix"));
    works(project);
}

/// The scripts start, and a shell that sources `activate` gets this environment's Python.
#[track_caller]
fn works(project: &Project) {
    must(project.path(), ".venv/bin/one");
    let activated =
        must(project.path(), "source .venv/bin/activate && printf '%s\n' \"$VIRTUAL_ENV\" && command -v python");
    let folder = venv(project);
    assert_eq!(activated, format!("{0}\n{0}/bin/python\n", folder.display()));
}

fn venv(project: &Project) -> PathBuf {
    project.file(".venv").canonicalize().expect("the environment")
}

/// Puts the environment where a move would have left it: it names the folder that is returned, which is not there.
fn move_from_elsewhere(project: &Project) -> String {
    must(
        project.path(),
        "mv .venv moved && mkdir old && python3 -m venv --without-pip old/.venv && cp moved/bin/[ot]* old/.venv/bin",
    );
    let old = project.path().canonicalize().expect("a folder").join("old/.venv");
    must(project.path(), &format!("sed -i.old '1s#!.*#!{}/bin/python#' old/.venv/bin/[ot]*", old.display()));
    must(project.path(), "rm -r old/.venv/bin/*.old moved && mv old/.venv .venv && rmdir old");
    old.display().to_string()
}

#[test]
fn scripts_without_execute_bits_are_found_and_the_suggestion_gives_them_back() {
    let Some(project) = project() else { return };
    must(project.path(), "chmod a-x .venv/bin/[ot]*");
    assert!(sh(project.path(), ".venv/bin/one").is_none());
    is_repaired_by_the_suggestion(
        &project,
        &["console scripts cannot be started (one, ", "they have no execute bit", "chmod"],
    );
    assert!(sh(project.path(), "test -x .venv/bin/activate").is_none(), "a script to source became a program");
}

/// A filesystem that is mounted noexec: Python is a link that leads elsewhere, and works.
#[cfg(target_os = "linux")]
#[test]
fn scripts_on_a_filesystem_without_execution_are_found() {
    let project = Project::new();
    let dogwatch = env!("CARGO_BIN_EXE_dogwatch");
    let inside = format!(
        "mkdir v && mount -t tmpfs -o noexec none v && python3 -m venv --without-pip v/.venv && cd v && \
         printf '#!%s/.venv/bin/python\nprint(1)\n' \"$PWD\" > .venv/bin/tool && chmod +x .venv/bin/tool && \
         .venv/bin/python -c '' && ! .venv/bin/tool 2>/dev/null && '{dogwatch}' preflight --json --venv .venv || true"
    );
    let output = Command::new("unshare").args(["-Urm", "bash", "-c", &inside]).current_dir(project.path()).output();
    let Some(found) = output.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok()) else {
        eprintln!("skipped: no filesystem can be mounted here");
        return;
    };
    fails_with(&found, &["1 of 1 console scripts cannot be started (tool): this user may not execute them", "noexec"]);
    assert!(found["fix"].is_null(), "{found}");
}

#[test]
fn an_interpreter_without_execute_bits_is_named() {
    let Some(project) = project() else { return };
    must(
        project.path(),
        "cp --remove-destination \"$(readlink -f .venv/bin/python)\" .venv/bin/python && chmod a-x .venv/bin/python",
    );
    fails_with(&check(&project), &["bin/python has no execute bit", "drops modes"]);
}

#[test]
fn first_lines_that_end_with_a_carriage_return_are_found() {
    let Some(project) = project() else { return };
    must(project.path(), "sed -i.old '1s/$/\\r/' .venv/bin/one && rm .venv/bin/*.old");
    assert!(sh(project.path(), ".venv/bin/one").is_none());
    let found = check(&project);
    fails_with(&found, &["1 of 3 console scripts do not start (one): their first line ends with a carriage return"]);
    // Where `env` searches for Python the argument is spoilt in the same way.
    must(
        project.path(),
        "printf '#!/usr/bin/env python3\\r\\nprint(1)\\r\\n' > .venv/bin/tool && chmod +x .venv/bin/tool",
    );
    assert!(sh(project.path(), ".venv/bin/tool").is_none());
    fails_with(&check(&project), &["2 of 4 console scripts do not start (one, tool)"]);
}

#[test]
fn an_activate_that_names_the_old_place_is_found_and_repaired() {
    let Some(project) = project() else { return };
    let old = move_from_elsewhere(&project);
    fails_with(
        &check(&project),
        &["console scripts do not start (one, ", "activate, activate.fish, activate.csh name", &old],
    );
    // What reinstalling the packages alone leaves: scripts that start, and an `activate` that gives no Python.
    let here = venv(&project);
    must(project.path(), &format!("sed -i.old '1s#{old}#{}#' .venv/bin/[ot]* && rm .venv/bin/*.old", here.display()));
    must(project.path(), ".venv/bin/one");
    let python = must(project.path(), "source .venv/bin/activate && command -v python || true");
    assert!(!python.starts_with(&here.display().to_string()), "{python}");
    is_repaired_by_the_suggestion(
        &project,
        &["activate, activate.fish, activate.csh name", &old, "which is not there"],
    );

    // Line ends that no shell can source.
    must(project.path(), "sed -i.old 's/$/\\r/' .venv/bin/activate && rm .venv/bin/*.old");
    is_repaired_by_the_suggestion(&project, &["activate has CRLF line ends"]);

    // An environment without activation scripts is complete.
    must(project.path(), "rm .venv/bin/[aA]ctivate*");
    assert_eq!(check(&project)["verdict"], "passed");
}

#[test]
fn the_system_packages_of_an_environment_survive_the_repair_of_activate() {
    let Some(project) = project() else { return };
    must(project.path(), "python3 -m venv --system-site-packages --without-pip .venv");
    must(
        project.path(),
        "sed -i.old 's#VIRTUAL_ENV=.*#VIRTUAL_ENV=/elsewhere/.venv#' .venv/bin/activate && rm .venv/bin/*.old",
    );
    is_repaired_by_the_suggestion(&project, &["activate names /elsewhere/.venv", "--system-site-packages"]);
    must(project.path(), "grep -q 'include-system-site-packages = true' .venv/pyvenv.cfg");
}

#[test]
fn a_copied_environments_activate_is_told_from_a_moved_ones() {
    let Some(project) = project() else { return };
    let here = venv(&project);
    must(project.path(), "python3 -m venv --without-pip other && cp other/bin/activate .venv/bin/activate");
    fails_with(
        &check(&project),
        &["activate names ", "/other, another environment", &format!("{} was copied from", here.display())],
    );
    // By way of a link it is the same folder.
    must(
        project.path(),
        "ln -s .venv linked && sed -i.old 's#/other#/linked#' .venv/bin/activate && rm .venv/bin/*.old",
    );
    assert_eq!(check(&project)["verdict"], "passed");
}

#[test]
fn a_script_of_a_deleted_build_environment_is_no_moved_folder() {
    let Some(project) = project() else { return };
    project.write("pyproject.toml", "");
    for path in ["/root/.cache/uv/builds-v0/.tmpJjOKeC/bin/python", "/tmp/pip-build-env-k3x/overlay/bin/python3"] {
        must(project.path(), &format!("printf '#!{path}\\nprint(1)\\n' > .venv/bin/tool && chmod +x .venv/bin/tool"));
        let found = check(&project);
        fails_with(
            &found,
            &["1 of 4 console scripts do not start (tool)", path, "temporary environment that built the package"],
        );
        assert!(!text(&found, "cause").contains("moved"), "{found}");
        assert_eq!(text(&found, "fix"), ".venv/bin/python -m pip install --force-reinstall --no-deps .");
    }
}

#[test]
fn a_fix_is_followed_by_a_check_of_all_that_it_touches() {
    let Some(project) = project() else { return };
    let old = move_from_elsewhere(&project);
    let here = venv(&project);
    // A fix that repairs the scripts and leaves `activate` as it was is not called one that helped.
    let fix = format!("sed -i.old '1s#{}#{}#' .venv/bin/[ot]*; rm .venv/bin/*.old", old, here.display());
    project.checks(&[&format!("kind = \"venv\"\nvenv = \".venv\"\nfix = \"{fix}\"")]);
    let (code, found) = project.preflight(&["--fix"]);
    assert_eq!((code, found[0]["fixed"].as_bool()), (1, Some(false)), "{found:?}");
    fails_with(&found[0], &["activate.csh name", "its fix was run and did not help"]);
    assert!(!text(&found[0], "symptom").contains("console scripts"), "{found:?}");
}

#[test]
fn the_file_that_init_writes_holds_the_fix_that_preflight_suggests() {
    let Some(project) = project() else { return };
    // As it is suggested for the broken environment, enabled since nothing is lost.
    must(project.path(), "chmod a-x .venv/bin/[ot]*");
    let suggested = text(&check(&project), "fix").to_owned();
    assert_eq!(project.dogwatch(&["preflight", "--init"]).code, 0);
    let (code, found) = project.preflight(&["--fix"]);
    assert_eq!(
        (code, text(&found[2], "verdict"), text(&found[2], "fix")),
        (0, "fixed", suggested.as_str()),
        "{found:?}"
    );
    works(&project);

    // A rebuild of packages that no file lists is the user's decision: one edit away, and said so.
    must(project.path(), "rm preflight.toml && ln -sfn /gone/python .venv/bin/python");
    let suggested = text(&check(&project), "fix").to_owned();
    assert!(suggested.starts_with("python3 -m venv --clear .venv"), "{suggested}");
    assert_eq!(project.dogwatch(&["preflight", "--init"]).code, 0);
    let written = std::fs::read_to_string(project.file("preflight.toml")).expect("the file");
    assert!(written.contains(&format!("remove the \"# \" before it.\n# fix = \"{suggested}\"\n")), "{written}");
    let (_, found) = project.preflight(&[]);
    assert_eq!((text(&found[2], "fix_source"), text(&found[2], "fix")), ("suggested", suggested.as_str()));
    project.write("preflight.toml", &written.replace("# fix = \"python3", "fix = \"python3"));
    let (code, found) = project.preflight(&["--fix"]);
    assert_eq!((code, text(&found[2], "verdict")), (0, "fixed"), "{found:?}");
}
