//! The usual way to mend an environment, as one shell command.
//!
//! Pure: what is there comes in. Refuses to run it: a rebuild takes packages away that nobody wrote down, so whoever
//! knows the project writes it as the check's own fix.

use std::path::Path;

/// What is wrong with an environment, as far as that decides how it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there.
    Absent,
    /// Its Python is gone or another.
    Python,
    /// Its scripts name another Python; its own runs.
    Scripts,
}

/// What stands in the project beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Project {
    /// Whether uv made the environment, or the project has a `uv.lock`.
    pub(super) uv: bool,
    /// Whether it is the environment that `uv sync` works on: `.venv` beside a `pyproject.toml`.
    pub(super) synced: bool,
    /// Whether there is a `requirements.txt`.
    pub(super) requirements: bool,
    /// Whether there is a `pyproject.toml`.
    pub(super) pyproject: bool,
}

impl Project {
    /// Whether a rebuild finds all packages again.
    pub(super) fn lists_packages(self) -> bool {
        if self.uv { self.synced || self.requirements } else { self.requirements || self.pyproject }
    }
}

/// What follows a rebuild where nobody wrote the packages down.
const AND_THEN: &str = " # and install its packages again";

/// The command, to be run in the project's folder; `venv` is as seen from there.
pub(super) fn command(venv: &Path, trouble: Trouble, project: Project) -> String {
    let venv = quoted(&venv.to_string_lossy());
    let clear = if trouble == Trouble::Absent { "" } else { " --clear" };
    if project.uv {
        if project.synced {
            return format!("uv venv{clear} && uv sync");
        }
        let install = format!("uv pip install --python {venv}");
        return match (project.requirements, trouble) {
            (true, _) => format!("uv venv{clear} {venv} && {install} -r requirements.txt"),
            (false, Trouble::Scripts) => {
                format!("uv pip freeze --python {venv} | {install} --reinstall --no-deps -r -")
            }
            (false, Trouble::Absent | Trouble::Python) => format!("uv venv{clear} {venv}{AND_THEN}"),
        };
    }
    let pip = format!("{venv}/bin/python -m pip");
    if trouble == Trouble::Scripts {
        // pip reads the whole list before it takes anything away.
        return format!("{pip} freeze --all | {pip} install --force-reinstall --no-deps -r /dev/stdin");
    }
    let made = format!("python3 -m venv{clear} {venv}");
    if project.requirements {
        format!("{made} && {pip} install -r requirements.txt")
    } else if project.pyproject {
        format!("{made} && {pip} install -e .")
    } else {
        format!("{made}{AND_THEN}")
    }
}

/// A word as a shell takes it.
pub(in crate::preflight) fn quoted(word: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "/._-+,:@%".contains(one);
    if !word.is_empty() && word.chars().all(plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_fits_who_made_it_and_what_the_project_knows() {
        let none = Project::default();
        let uv = Project { uv: true, ..none };
        let synced = Project { uv: true, synced: true, pyproject: true, ..none };
        let listed = Project { requirements: true, ..none };
        for (trouble, project, expected) in [
            (Trouble::Absent, synced, "uv venv && uv sync"),
            (Trouble::Scripts, synced, "uv venv --clear && uv sync"),
            (Trouble::Python, uv, "uv venv --clear 'a b' # and install its packages again"),
            (
                Trouble::Scripts,
                uv,
                "uv pip freeze --python 'a b' | uv pip install --python 'a b' --reinstall --no-deps -r -",
            ),
            (
                Trouble::Python,
                Project { requirements: true, ..uv },
                "uv venv --clear 'a b' && uv pip install --python 'a b' -r requirements.txt",
            ),
            (
                Trouble::Scripts,
                listed,
                "'a b'/bin/python -m pip freeze --all | 'a b'/bin/python -m pip install --force-reinstall --no-deps -r /dev/stdin",
            ),
            (
                Trouble::Python,
                listed,
                "python3 -m venv --clear 'a b' && 'a b'/bin/python -m pip install -r requirements.txt",
            ),
            (
                Trouble::Absent,
                Project { pyproject: true, ..none },
                "python3 -m venv 'a b' && 'a b'/bin/python -m pip install -e .",
            ),
            (Trouble::Absent, none, "python3 -m venv 'a b' # and install its packages again"),
        ] {
            assert_eq!(command(Path::new("a b"), trouble, project), expected);
        }
    }

    #[test]
    fn a_rebuild_is_written_down_only_where_it_loses_nothing() {
        let none = Project::default();
        for (project, expected) in [
            (none, false),
            (Project { uv: true, pyproject: true, ..none }, false),
            (Project { uv: true, synced: true, ..none }, true),
            (Project { uv: true, requirements: true, ..none }, true),
            (Project { pyproject: true, ..none }, true),
        ] {
            assert_eq!(project.lists_packages(), expected, "{project:?}");
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_than_a_word() {
        for (word, expected) in
            [("a/b-c.d", "a/b-c.d"), ("it's", "'it'\\''s'"), ("", "''"), ("-rf", "'-rf'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }
}
