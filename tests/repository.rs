//! Holds the repository to its rules beside the source: the top level, dependencies, the README's table, trackers.
//!
//! Each rule is a function of names and texts; below, each is fed with violations.

use crate::tree::{finds, read, report, root, tracked};
use std::process::Command;

#[test]
fn the_top_level_holds_what_it_may() {
    report(strays(&tracked()));
}

#[test]
fn every_dependency_says_what_it_is_for_and_where_it_is_used() {
    // A packaged Cargo.toml is written by cargo, without comments; the original lies beside it.
    let original = root().join("Cargo.toml.orig").exists();
    let manifest = read(if original { "Cargo.toml.orig" } else { "Cargo.toml" });
    report(unexplained(&manifest, |path| root().join(path).exists()));
}

#[test]
fn every_file_of_tests_is_run() {
    report(unnamed(&tracked(), &read("tests/main.rs"), &read("Cargo.toml")));
}

#[test]
fn the_two_commands_of_a_checkout_are_in_the_readme_and_ci_runs_the_one_that_tests() {
    let readme = read("README.md");
    for command in ["`scripts/demo`", "`scripts/test`"] {
        assert!(readme.contains(command), "README.md names no {command}");
    }
    // A packaged crate has no CI.
    if root().join(".ci/run").exists() {
        assert!(read(".ci/run").lines().any(|line| line == "scripts/test"));
    }
}

#[test]
fn the_readmes_exit_codes_are_those_of_the_program() {
    let help = Command::new(env!("CARGO_BIN_EXE_dogwatch")).arg("--help").output().expect("dogwatch runs");
    report(differing(&read("README.md"), &String::from_utf8_lossy(&help.stdout)));
}

#[test]
fn no_text_refers_to_a_tracker_of_its_own() {
    let lock = read("Cargo.lock");
    let foreign = |name: &&str| *name != env!("CARGO_PKG_NAME");
    let crates: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).filter(foreign).collect();
    let texts =
        tracked().into_iter().filter_map(|file| Some((std::fs::read_to_string(root().join(&file)).ok()?, file)));
    report(texts.flat_map(|(text, file)| own_tracker(&file, &text, &crates)));
}

// --- the rules ---

fn strays(files: &[String]) -> Vec<String> {
    let mut tops: Vec<&str> = files.iter().filter_map(|file| file.split('/').next()).collect();
    tops.dedup();
    let known = ["Cargo.toml", "Cargo.lock", "src", "tests", "scripts", "README.md"];
    let stray = |top: &&str| !known.contains(top) && !top.starts_with("LICENSE-") && !top.starts_with('.');
    tops.into_iter()
        .filter(stray)
        .map(|top| format!("{top}:1: not at the top level: move it into a folder, or .github"))
        .collect()
}

fn unexplained(manifest: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut faults, mut comment, mut listing, mut depth) = (Vec::new(), String::new(), false, 0_usize);
    for (number, line) in manifest.lines().enumerate() {
        if let Some(words) = line.trim_start().strip_prefix('#') {
            comment.push_str(words);
            continue;
        }
        let header = line.strip_prefix('[').filter(|_| depth == 0).map(|rest| rest.trim_end().trim_end_matches(']'));
        listing = header.map_or(listing, |header| header.ends_with("dependencies"));
        let name = match header.and_then(|header| header.rsplit_once("dependencies.")) {
            Some((_, name)) => Some(name),
            None if listing && depth == 0 && header.is_none() => {
                line.split_once(['=', '.']).map(|(name, _)| name.trim())
            }
            None => None,
        };
        if let Some(name) = name {
            let place = |what: &str| format!("Cargo.toml:{}: {name}: {what}", number + 1);
            let used = comment.split_once("Used in").map_or("", |(_, places)| places);
            let words = used.split_whitespace().map(|word| word.trim_matches(|one: char| "`'\".,;:()".contains(one)));
            let paths: Vec<&str> =
                words.filter(|word| word.starts_with("src/") || word.starts_with("tests/")).collect();
            if paths.is_empty() {
                faults.push(place("no comment directly above says what it is for and \"Used in\" which files: add it"));
            }
            let folder =
                |path: &str| path.find(['*', '{']).map_or(path.len(), |glob| path[..glob].rfind('/').unwrap_or(0));
            let missing = paths.into_iter().filter(|path| !exists(&path[..folder(path)]));
            faults.extend(missing.map(|path| place(&format!("there is no {path}: name the file that uses it"))));
        }
        if header.is_none() {
            depth = (depth + line.matches(['[', '{']).count()).saturating_sub(line.matches([']', '}']).count());
        }
        comment.clear();
    }
    faults
}

fn unnamed(files: &[String], main: &str, manifest: &str) -> Vec<String> {
    let themes = files.iter().filter_map(|file| file.strip_prefix("tests/")?.strip_suffix(".rs"));
    let runs = |theme: &str| {
        let program = format!("[[test]]\nname = \"{theme}\"\n");
        theme == "main" || main.lines().any(|line| line == format!("mod {theme};")) || manifest.contains(&program)
    };
    let unnamed = themes.filter(|theme| !theme.contains('/') && !runs(theme));
    unnamed.map(|theme| format!("tests/{theme}.rs:1: nothing runs it: add `mod {theme};` to tests/main.rs")).collect()
}

fn differing(readme: &str, help: &str) -> Vec<String> {
    let code = |word: &str| word.parse::<u8>().ok();
    let row = |line: &str| {
        let (number, meaning) = line.strip_prefix('|')?.strip_suffix('|')?.split_once('|')?;
        Some((code(number.trim())?, meaning.trim().to_owned()))
    };
    let listed = |line: &str| {
        let (number, meaning) = line.trim_start().split_once("  ")?;
        Some((code(number)?, meaning.trim().to_owned()))
    };
    let written: Vec<(u8, String)> = readme.lines().filter_map(row).collect();
    let said: Vec<(u8, String)> = help.lines().filter_map(listed).collect();
    let mut faults = Vec::new();
    if said.is_empty() {
        faults.push("README.md:1: dogwatch --help lists no exit codes to hold the table against".to_owned());
    }
    let lacks = |these: &[(u8, String)], those: &[(u8, String)], what: &str| -> Vec<String> {
        let missing = these.iter().filter(|row| !those.contains(row));
        missing.map(|(code, meaning)| format!("README.md:1: exit code {code}, \"{meaning}\", {what}")).collect()
    };
    faults.extend(lacks(&said, &written, "is missing: dogwatch --help has it so"));
    faults.extend(lacks(&written, &said, "is none of the program's"));
    faults
}

fn own_tracker(file: &str, text: &str, crates: &[&str]) -> Vec<String> {
    let fault = |line: &str| {
        let lower = line.to_ascii_lowercase();
        let mut places = lower.match_indices(concat!("issue", " #"));
        places.any(|(at, _)| {
            let before = lower[..at].split_whitespace().next_back().unwrap_or("").trim_end_matches("'s");
            let word = before.trim_matches(|one: char| !one.is_alphanumeric());
            !word.contains('/') && !crates.contains(&word)
        })
    };
    let advice = "a number of whose tracker? Write owner/name#123, or say the fact itself";
    lines(text, fault).map(|line| format!("{file}:{line}: {advice}")).collect()
}

/// The numbers of the lines of which something holds.
fn lines(text: &str, holds: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(move |(_, line)| holds(line)).map(|(at, _)| at + 1)
}

// --- the rules are broken on purpose ---

#[test]
fn a_file_of_tests_that_nothing_names_is_found() {
    let files = ["src/a.rs", "tests/main.rs", "tests/a.rs", "tests/b.rs", "tests/c.rs", "tests/support/d.rs"];
    let manifest = "autotests = false\n[[test]]\nname = \"b\"\n";
    finds(&unnamed(&files.map(str::to_owned), "mod support;\nmod a;\n", manifest), &["tests/c.rs:1: "]);
}

#[test]
fn what_is_no_part_of_the_top_level_is_found() {
    let files = ["src/a.rs", "LICENSE-MIT", ".github/x", "Cargo.lock", "docs/a", "docs/b", "Makefile", "tests/a"];
    finds(&strays(&files.map(str::to_owned)), &["docs:1: ", "Makefile:1: "]);
}

#[test]
fn dependencies_exit_codes_and_trackers_are_checked() {
    let manifest = "# No word. Used in src/x.rs.\n[package]\nname = \"x\"\n\n[dependencies]\n# Why. Used\n# in `src/a.rs`, \
        src/sys/*.rs.\na = { version = \"1\", features = [\n  \"z\",\n] }\nb = \"1\"\n# Why.\nc = \"1\"\n# Used in src/gone.rs.\n\
        \nd.workspace = true\n\n[target.'cfg(unix)'.dev-dependencies]\n# Used in src/gone.rs and src/a.rs.\ne = \"1\"\n\
        [dependencies.f]\nversion = \"1\"\n[lints.rust]\ng = \"deny\"\n";
    let expected =
        ["toml:11: b: no", "toml:13: c: no", "toml:16: d: no", "toml:20: e: there is no src/gone.rs", "toml:21: f: no"];
    finds(&unexplained(manifest, |path| ["src/a.rs", "src/sys"].contains(&path)), &expected);

    let readme = "| code | meaning |\n| --- | --- |\n| 0 | good |\n| 1 | bad |\n| file | 2 |\n";
    finds(&differing(readme, "Exit codes:\n    0  good\n    1  bad\n"), &[]);
    let other = "Exit codes:\n    0  good\n    1  worse\n  124  late\n";
    finds(&differing(readme, other), &["1, \"worse\", is missing", "124, \"late\", is missing", "1, \"bad\", is none"]);
    finds(&differing("", "no list"), &["lists no exit codes"]);

    let text =
        concat!("// issue", " #1\nsee Issue", " #2\nnotify's issue", " #3, owner/name issue", " #4, owner/name#5\n");
    finds(&own_tracker("README.md", text, &["notify"]), &["README.md:1: ", "README.md:2: "]);
}
