//! The files of the repository, for the tests that hold them to rules.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::Path;
use std::process::Command;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file in a folder of the tree, by its name from the root, sorted.
pub(crate) fn walk(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let paths = names.into_iter().map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") });
    let inner = |path: String| if root().join(&path).is_dir() { walk(&path) } else { vec![path] };
    // Built and packed by cargo, or git's own.
    paths.filter(|path| !matches!(&**path, "target" | "Cargo.toml.orig" | ".git")).flat_map(inner).collect()
}

/// What git keeps; where there is no git, what lies there.
pub(crate) fn tracked() -> Vec<String> {
    let git = || Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok();
    match root().join(".git").exists().then(git).flatten().filter(|output| output.status.success()) {
        Some(output) => String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect(),
        None => walk(""),
    }
}

#[track_caller]
pub(crate) fn report(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Asserts that a rule finds exactly these faults; of each, a part of it.
#[track_caller]
pub(crate) fn finds(faults: &[String], expected: &[&str]) {
    let same = faults.len() == expected.len() && faults.iter().zip(expected).all(|(fault, part)| fault.contains(part));
    assert!(same, "found {faults:#?}\nexpected {expected:#?}");
}
