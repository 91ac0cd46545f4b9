//! `preflight` against real Python environments, made by venv and pip and by uv, then renamed, copied, moved and given
//! another Python: the problem is found, its cause named, and the suggested fix repairs it. Healthy ones pass.
//!
//! Needs python3 with venv, and `PyPI`; says what is missing where it skips.

use crate::support::project::{Project, fails_with, text, verdicts};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Runs a shell line; with all it said.
fn sh(folder: &Path, line: &str) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = uv().map_or(path.clone(), |uv| format!("{}:{path}", uv.display()));
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env("PATH", path).env("UV_PYTHON_DOWNLOADS", "never");
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env_remove("VIRTUAL_ENV").output().expect("sh runs")
}

#[track_caller]
fn must(folder: &Path, line: &str) -> String {
    let output = sh(folder, line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn works(folder: &Path, line: &str) -> bool {
    sh(folder, line).status.success()
}

/// The folder of uv, which `PyPI` ships as a binary; nothing where it is not to be had.
fn uv() -> Option<&'static Path> {
    static TOOLS: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let tools = TOOLS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = Command::new("python3").args(["-m", "venv"]).arg(folder.path().join("uv")).output();
        let pip = Command::new(folder.path().join("uv/bin/python"))
            .args(["-m", "pip", "install", "-q", "--only-binary=:all:", "uv"])
            .output();
        let there = made.is_ok() && pip.is_ok_and(|pip| pip.status.success());
        let bin = folder.path().join("uv/bin");
        there.then_some((folder, bin))
    });
    tools.as_ref().map(|(_, bin)| bin.as_path())
}

/// Whether the test can be done here; where not, says why.
fn ready(needs_uv: bool) -> bool {
    let there = if needs_uv { uv().is_some() } else { works(Path::new("/"), "python3 -c 'import venv, ensurepip'") };
    let what = if needs_uv { "uv cannot be had from PyPI" } else { "there is no python3 with venv" };
    if !there {
        eprintln!("skipped: {what}");
    }
    there
}

/// What the check of `.venv` says in this folder.
fn check(project: &Project, folder: &Path) -> Value {
    let output = project.place.command(["preflight", "--json", "--venv", ".venv"]).current_dir(folder).output();
    let output = output.expect("dogwatch runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[track_caller]
fn passes(project: &Project, folder: &Path) {
    let found = check(project, folder);
    assert_eq!(found["verdict"], "passed", "{found}");
}

/// An environment by venv with two console scripts of its own, in `one` of the project; nothing where `PyPI` is away. It is
/// given a pip of its own, which takes ten seconds, only where a test needs it.
fn by_pip(project: &Project, own_pip: bool) -> Option<PathBuf> {
    let folder = project.file("one");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("requirements.txt"), "pyflakes\npycodestyle\n").expect("a list");
    let (flag, pip) =
        if own_pip { ("", ".venv/bin/python -m pip") } else { ("--without-pip", "pip --python .venv/bin/python") };
    must(&folder, &format!("python3 -m venv {flag} .venv"));
    if !works(&folder, &format!("{pip} install -q -r requirements.txt")) {
        eprintln!("skipped: PyPI is not reached");
        return None;
    }
    Some(folder)
}

/// An environment by uv, in a folder of this name; nothing where `PyPI` is away.
fn by_uv(project: &Project, name: &str) -> Option<PathBuf> {
    let folder = project.file(name);
    std::fs::create_dir(&folder).expect("a folder");
    let text =
        "[project]\nname = \"demo\"\nversion = \"0\"\nrequires-python = \">=3.8\"\ndependencies = [\"pycodestyle\"]\n";
    std::fs::write(folder.join("pyproject.toml"), text).expect("a project");
    if !works(&folder, "uv sync -q") {
        eprintln!("skipped: PyPI is not reached");
        return None;
    }
    Some(folder)
}

fn renamed(folder: &Path, name: &str) -> PathBuf {
    let new = folder.with_file_name(name);
    std::fs::rename(folder, &new).expect("a new name");
    new
}

#[test]
fn an_environment_of_pip_that_was_renamed_is_found_and_mended_by_the_given_fix() {
    let project = Project::new();
    if !ready(false) {
        return;
    }
    let Some(old) = by_pip(&project, true) else { return };
    passes(&project, &old);
    let new = renamed(&old, "two words");
    // What everybody looks at is well; what everybody calls is not.
    assert!(works(&new, ".venv/bin/python -m pip show pyflakes && .venv/bin/python -c 'import pyflakes'"));
    assert!(!works(&new, ".venv/bin/pyflakes --version"));
    let found = check(&project, &new);
    let from = format!("{}/.venv to {}/.venv", old.canonicalize().unwrap_or(old.clone()).display(), new.display());
    fails_with(
        &found,
        &["console scripts do not start", "renamed or moved from", &from, "pip show", "--force-reinstall"],
    );
    must(&new, text(&found, "fix"));
    passes(&project, &new);
    must(&new, ".venv/bin/pyflakes --version && .venv/bin/pip --version");
    let named = must(&new, ". .venv/bin/activate && printf %s \"$VIRTUAL_ENV\"");
    assert_eq!(PathBuf::from(named), new.join(".venv").canonicalize().expect("the environment"));
}

#[test]
fn an_environment_that_was_copied_runs_the_other_ones_python_and_is_found() {
    let project = Project::new();
    if !ready(false) {
        return;
    }
    let Some(old) = by_pip(&project, false) else { return };
    must(project.path(), "cp -a one two && ln -s one/.venv .venv");
    // By a link it is the same environment, and sound.
    passes(&project, project.path());
    let new = project.file("two");
    assert!(works(&new, ".venv/bin/pyflakes --version"), "it starts, and that is the trap");
    fails_with(&check(&project, &new), &["run another Python", "copied from", "/one/.venv, which is still there"]);
    must(project.path(), "rm -r one");
    fails_with(&check(&project, &new), &["do not start", "renamed or moved from"]);
    drop(old);
}

#[test]
fn an_environment_whose_python_is_another_or_gone_is_found_and_mended_by_the_given_fix() {
    let project = Project::new();
    if !ready(false) {
        return;
    }
    let Some(folder) = by_pip(&project, false) else { return };
    let mended = |words: &[&str]| {
        let found = check(&project, &folder);
        fails_with(&found, words);
        must(&folder, text(&found, "fix"));
        passes(&project, &folder);
        must(&folder, ".venv/bin/pyflakes --version");
    };
    // What a file says that was written by another Python than the one there now.
    must(&folder, "sed -i.old 's/^version = .*/version = 3.1.4/' .venv/pyvenv.cfg");
    mended(&["pyvenv.cfg says 3.1.4", "Python changed from 3.1.4 to ", "python3 -m venv --clear .venv"]);
    must(&folder, "sed -i.old 's/^version = \\(3[.][0-9]*\\).*/version = \\1.99/' .venv/pyvenv.cfg");
    passes(&project, &folder);
    must(&folder, "for link in .venv/bin/python*; do ln -sfn /gone/bin/python3 $link; done");
    mended(&["leads to /gone/bin/python3, which is not there", "was removed, moved or replaced"]);
    must(&folder, "sed -i.old 's#^home = .*#home = /gone/bin#' .venv/pyvenv.cfg");
    fails_with(&check(&project, &folder), &["home in pyvenv.cfg names /gone/bin"]);
    must(&folder, "rm .venv/bin/python*");
    mended(&["there is no ", "bin/python"]);
    must(&folder, "rm -r .venv");
    mended(&["there is no environment"]);
}

#[test]
fn an_environment_of_uv_that_was_renamed_is_mended_by_fix_though_uv_takes_it_for_sound() {
    let project = Project::new();
    if !ready(true) {
        return;
    }
    let Some(old) = by_uv(&project, "one") else { return };
    passes(&project, &old);
    let new = renamed(&old, "two");
    assert!(works(&new, "uv sync -q && uv run -q python -c 'import pycodestyle' && uv pip show -q pycodestyle"));
    assert!(!works(&new, ".venv/bin/pycodestyle --version"), "the masking that the report tells of is no longer there");
    let found = check(&project, &new);
    fails_with(&found, &["renamed or moved from", "uv sync, uv run python and uv pip show work all the same"]);
    assert_eq!(text(&found, "fix"), "uv venv --clear && uv sync");
    // Two checks, one fix, in a file that preflight itself writes for the project.
    must(&new, &format!("'{}' preflight --init --file preflight.toml", env!("CARGO_BIN_EXE_dogwatch")));
    let more = "\n[[check]]\nname = \"script\"\nkind = \"command\"\ncommand = \".venv/bin/pycodestyle --version\"\n\
        fix = \"uv venv --clear && uv sync\"\n";
    must(&new, &format!("printf '%s' '{more}' >> preflight.toml"));
    let path = format!("{}:{}", uv().expect("uv").display(), std::env::var("PATH").unwrap_or_default());
    let output = project
        .place
        .command(["preflight", "--json", "--fix", "--file", "preflight.toml"])
        .current_dir(&new)
        .env("PATH", path)
        .env("UV_PYTHON_DOWNLOADS", "never")
        .output();
    let ended = crate::support::Ended::of(&output.expect("dogwatch runs"));
    let found = ended.lines();
    let fixed: Vec<&str> =
        found.iter().filter(|one| one["fixed"] == true).map(|finding| text(finding, "check")).collect();
    assert_eq!((ended.code, fixed), (0, vec!["venv", "script"]), "{ended:?}");
    assert_eq!(ended.stderr.matches("running the fix").count(), 1, "{ended:?}");
    assert!(!verdicts(&found).contains(&"failed"));
    must(&new, ".venv/bin/pycodestyle --version");
}

#[test]
fn a_script_that_uv_took_from_a_build_environment_is_told_from_a_moved_folder() {
    let project = Project::new();
    if !ready(true) {
        return;
    }
    let folder = project.file("one");
    must(project.path(), "mkdir -p one/scripts");
    let files = [
        ("setup.py", "from setuptools import setup\nsetup(name=\"demo\", scripts=[\"scripts/tool\"])\n"),
        ("scripts/tool", "#!/usr/bin/env python\nprint(1)\n"),
        (
            "pyproject.toml",
            "[build-system]\nrequires = [\"setuptools==68.0.0\"]\nbuild-backend = \"setuptools.build_meta\"\n",
        ),
    ];
    for (name, content) in files {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    must(&folder, "uv venv -q");
    if !works(&folder, "uv pip install -q -e .") {
        eprintln!("skipped: PyPI is not reached");
        return;
    }
    assert!(!works(&folder, ".venv/bin/tool"), "uv no longer leaves the path of its build environment");
    let found = check(&project, &folder);
    fails_with(
        &found,
        &["1 of 1 console scripts do not start (tool)", "/builds-v0/", "an editable install wrote the path"],
    );
    must(&folder, text(&found, "fix"));
    passes(&project, &folder);
    must(&folder, ".venv/bin/tool");
}

#[test]
fn an_activate_that_uv_left_behind_is_repaired_by_the_given_fix() {
    let project = Project::new();
    if !ready(true) {
        return;
    }
    must(project.path(), "uv venv -q old/.venv && mv old/.venv .venv");
    let found = check(&project, project.path());
    fails_with(&found, &["activate, activate.fish, activate.csh name ", "/old/.venv, which is not there"]);
    must(project.path(), text(&found, "fix"));
    passes(&project, project.path());
}

#[test]
fn long_and_quoted_first_lines_of_uv_are_read_and_relocatable_environments_may_move() {
    let project = Project::new();
    if !ready(true) {
        return;
    }
    let Some(old) = by_uv(&project, "it's one") else { return };
    passes(&project, &old);
    fails_with(&check(&project, &renamed(&old, "it's two")), &["/it's one/.venv/bin/python, which is not there"]);

    let long = "x".repeat(150);
    let Some(old) = by_uv(&project, &long) else { return };
    passes(&project, &old);
    fails_with(&check(&project, &renamed(&old, "short")), &[&format!("/{long}/.venv/bin/python, which is not there")]);

    let Some(old) = by_uv(&project, "three") else { return };
    must(&old, "uv venv -q --clear --relocatable && uv sync -q");
    let new = renamed(&old, "four");
    must(&new, ".venv/bin/pycodestyle --version");
    passes(&project, &new);
    must(&new, "ln -sfn /gone/python .venv/bin/python");
    fails_with(&check(&project, &new), &["leads to /gone/python", "uv run hides it"]);
    // That it hides it is seen, not only said: the environment is another one afterwards, and all is well.
    must(&new, "uv run -q python -c ''");
    passes(&project, &new);
}

#[test]
fn thousands_of_scripts_are_looked_at_one_by_one() {
    let project = Project::new();
    if !ready(false) {
        return;
    }
    must(project.path(), "python3 -m venv --without-pip .venv");
    let bin = project.file(".venv/bin").canonicalize().expect("the folder");
    let script = |name: usize, python: &str| {
        std::fs::write(bin.join(format!("tool{name}")), format!("#!{python}\nimport sys\nsys.exit(0)\n"))
            .expect("a script");
    };
    for name in 0..2000 {
        script(name, &format!("{}/python", bin.display()));
    }
    must(project.path(), "chmod +x .venv/bin/tool*");
    let found = check(&project, project.path());
    assert!(found["verdict"] == "passed" && text(&found, "detail").contains("2000 scripts"), "{found}");
    // One that was written by way of a link names the same folder by another path.
    must(project.path(), "ln -s .venv linked");
    let linked = project.file("linked/bin/python").display().to_string();
    for (name, line) in
        [(6, &*linked), (7, "/old/.venv/bin/python"), (8, "/usr/bin/env python3"), (9, "/bin/sh"), (10, "/gone/perl")]
    {
        script(name, line);
    }
    let found = check(&project, project.path());
    fails_with(&found, &["1 of 2000 console scripts do not start (tool7): ", "/old/.venv/bin/python", "(tool10): "]);
    // A file that a first line makes into none, a FIFO and a binary are none of its business.
    must(project.path(), "cd .venv/bin && rm tool7 tool10 && mkfifo pipe && head -c 100000 /dev/zero > binary");
    passes(&project, project.path());
}
