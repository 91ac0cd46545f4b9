//! Holds the source to the rules that neither rustc nor clippy checks: layers, circles, names, sizes.
//!
//! The source is parsed by `syn`, and a path is followed through imports and re-exports to the file that defines what it
//! names. Each rule is a function of files and their texts; below, each is fed with violations.

use crate::sources::Sources;
use crate::tree::{finds, read, report, tracked, walk};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The layers and their heights: a file may use its own layer, and any that is strictly lower.
const LAYERS: [(&str, u8); 16] = [
    ("lib", 9),
    ("main", 9),
    ("fuzzing", 7),
    ("cli", 6),
    ("ops", 5),
    ("monitor", 4),
    ("runner", 4),
    ("preflight", 4),
    ("step", 3),
    ("timer_wheel", 2),
    ("decide", 2),
    ("sys", 2),
    ("exit_code", 2),
    ("record", 1),
    ("env_vars", 0),
    ("error", 0),
];

/// The one layer that may name a crate: what calls the kernel, and the command line's own.
const CRATES: [(&str, &str); 8] = [
    ("libc", "sys"),
    ("nix", "sys"),
    ("notify", "sys"),
    ("rustix", "sys"),
    ("signal_hook", "sys"),
    ("clap", "cli"),
    ("clap_complete", "cli"),
    ("clap_mangen", "cli"),
];

const LONGEST_HEADER: usize = 15;
const LONGEST_FILE: usize = 450;

const VAGUE: [&str; 8] = ["core", "util", "utils", "common", "helpers", "helper", "types", "misc"];

/// Where unsafe code may stand.
const UNSAFE_FILES: [&str; 5] = [
    "src/sys/process/isolated_worker.rs",
    "src/sys/process/spawn.rs",
    "src/sys/process/exec.rs",
    "src/sys/process/daemonize.rs",
    "src/sys/macos/",
];

#[test]
fn imports_go_down_only() {
    report(upward(&Sources::of_crate()));
}

#[test]
fn each_crate_is_named_by_its_layer_only() {
    report(misplaced_crates(&Sources::of_crate()).into_values());
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    report(circular(&Sources::of_crate()).into_values());
}

#[test]
fn no_two_types_have_one_name_but_for_the_two_platforms() {
    report(repeated_types(&Sources::of_crate()).into_values());
}

#[test]
fn every_file_opens_with_a_short_header_and_ends_in_time() {
    report(each(shape));
}

#[test]
fn unsafe_code_stands_in_its_files_only() {
    report(each(misplaced_unsafe));
}

#[test]
fn no_work_is_marked_as_unfinished() {
    report(each(marked));
}

#[test]
fn modules_are_named_after_what_they_hold() {
    report(tracked().iter().flat_map(|file| vague(file)));
}

// --- the rules ---

fn layer(file: &str) -> &str {
    file.trim_start_matches("src/").split(['/', '.']).next().unwrap_or("")
}

fn upward(sources: &Sources) -> Vec<String> {
    let height = |file: &str| LAYERS.iter().find(|(name, _)| *name == layer(file)).map(|(_, height)| *height);
    let mut faults = BTreeSet::new();
    for (from, to) in sources.edges() {
        match (height(from), height(to)) {
            (Some(own), Some(other)) if layer(from) == layer(to) || other < own => {}
            (Some(_), Some(_)) => {
                faults.insert(format!("{from} uses {to}, which is not below it: pass it in, or move it down"));
            }
            (None, _) => {
                faults.insert(format!("{from}: {} has no place among LAYERS: give it one", layer(from)));
            }
            (_, None) => {
                faults.insert(format!("{to}: {} has no place among LAYERS: give it one", layer(to)));
            }
        }
    }
    faults.into_iter().collect()
}

/// What breaks a rule, with a sentence.
type Faults<T> = BTreeMap<T, String>;

fn misplaced_crates(sources: &Sources) -> Faults<(&str, &'static str)> {
    let mut faults = Faults::new();
    for (file, source) in &sources.files {
        for (name, own) in CRATES.iter().filter(|(name, own)| source.outer.contains(*name) && layer(file) != *own) {
            let fault = format!("{file} names {name}, which is for {own}: call a function of that layer");
            faults.insert((file.as_str(), *name), fault);
        }
    }
    faults
}

fn circular(sources: &Sources) -> Faults<&str> {
    let mut next: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    // A folder's own file may define what the files in it use.
    let is_above = |to: &str, from: &str| {
        let folder = to.trim_end_matches(".rs").trim_end_matches("/mod");
        from.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    };
    for (from, to) in sources.edges().into_iter().filter(|(from, to)| !is_above(to, from)) {
        next.entry(from).or_default().insert(to);
    }
    let reach: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|file| (*file, reachable(&next, file))).collect();
    let mut faults = Faults::new();
    for (file, seen) in reach.iter().filter(|(file, seen)| seen.contains(**file)) {
        let back: Vec<&str> =
            next[file].iter().filter(|to| reach.get(**to).is_some_and(|seen| seen.contains(file))).copied().collect();
        faults.insert(*file, format!("{file} is in a circle by way of {}, of {} files", back.join(", "), seen.len()));
    }
    faults
}

/// The files that a file uses, and those that these use.
fn reachable<'tree>(next: &BTreeMap<&'tree str, BTreeSet<&'tree str>>, from: &str) -> BTreeSet<&'tree str> {
    let direct = |file: &str| next.get(file).into_iter().flatten().copied();
    let (mut seen, mut ahead) = (BTreeSet::new(), direct(from).collect::<Vec<_>>());
    while let Some(file) = ahead.pop() {
        if seen.insert(file) {
            ahead.extend(direct(file));
        }
    }
    seen
}

fn repeated_types(sources: &Sources) -> Faults<&str> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, source) in &sources.files {
        for name in &source.types {
            found.entry(name).or_default().push(file);
        }
    }
    let platform = |files: &[&str]| {
        let of = |platform: &str| files.iter().filter(|file| file.starts_with(platform)).count();
        files.len() == 2 && of("src/sys/linux/") == 1 && of("src/sys/macos/") == 1
    };
    found.retain(|_, files| files.len() > 1 && !platform(files));
    found
        .into_iter()
        .map(|(name, files)| (name, format!("{name} is a type in {}: name them apart", files.join(", "))))
        .collect()
}

fn shape(file: &str, text: &str) -> Vec<String> {
    let header = text.lines().take_while(|line| line.starts_with("//!")).count();
    let length = text.lines().count();
    let mut faults = Vec::new();
    if header == 0 {
        faults.push(format!("{file}: open it with //!: what it does, and who calls it"));
    } else if header > LONGEST_HEADER && file != "src/lib.rs" {
        faults.push(format!("{file}: the header has over {LONGEST_HEADER} lines: say it where it applies"));
    }
    if length > LONGEST_FILE {
        faults.push(format!("{file} has {length} lines, over {LONGEST_FILE}: split it by what its parts are about"));
    }
    faults
}

fn misplaced_unsafe(file: &str, text: &str) -> Vec<String> {
    let home = UNSAFE_FILES.iter().any(|place| file.starts_with(place));
    let allowed = home || !file.starts_with("src/") || !text.contains("(unsafe_code");
    if allowed { Vec::new() } else { vec![format!("{file}: unsafe code stands in {} only", UNSAFE_FILES.join(", "))] }
}

fn marked(file: &str, text: &str) -> Vec<String> {
    let marks = [concat!("FIX", "ME"), concat!("X", "XX"), concat!("TO", "DO")];
    let marked = |line: &str| line.split(|one: char| !one.is_alphanumeric()).any(|word| marks.contains(&word));
    let lines = text.lines().enumerate().filter(|(_, line)| marked(line));
    let ignored = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#[ignore"));
    lines.chain(ignored).map(|(at, _)| format!("{file}:{}: unfinished work: finish it", at + 1)).collect()
}

fn vague(file: &str) -> Vec<String> {
    let parts = file.split('/').map(|part| part.trim_end_matches(".rs"));
    parts.filter(|part| VAGUE.contains(part)).map(|part| format!("{file}: {part} says nothing: rename it")).collect()
}

/// What a rule finds in all Rust files.
fn each(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let mut files = walk("src");
    files.extend(walk("tests"));
    files.retain(|file| Path::new(file).extension().is_some_and(|extension| extension == "rs"));
    assert!(files.iter().any(|file| file == "src/lib.rs"), "the tree was not read: {files:?}");
    files.iter().flat_map(|file| rule(file, &read(file))).collect()
}

// --- the rules are broken on purpose ---

fn crate_of(files: &[(&str, &str)]) -> Sources {
    Sources::parse(files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())))
}

#[test]
fn imports_upwards_and_sideways_are_found_however_they_are_written() {
    let base = [
        ("src/lib.rs", "mod cli; mod decide; mod ops; mod record; mod runner; mod step; mod sys; mod monitor;"),
        ("src/cli/mod.rs", "pub(crate) fn main() {} pub(crate) struct Args;"),
        ("src/ops/mod.rs", "pub(crate) struct Error;"),
        ("src/record/mod.rs", "pub(crate) mod time;"),
        ("src/record/time.rs", "pub(crate) struct Moment;"),
        ("src/runner/mod.rs", "pub(crate) struct Job;"),
        ("src/step/mod.rs", ""),
        ("src/sys/mod.rs", "pub(crate) mod clock; pub(crate) use clock::now;"),
        ("src/sys/clock.rs", "pub(crate) fn now() {}"),
    ];
    for (file, text, faulty) in [
        ("src/decide/mod.rs", "use crate::cli;", true),
        ("src/decide/mod.rs", "use crate::{record::time::Moment, sys::{self, clock}};", true),
        ("src/decide/mod.rs", "use crate::record::time; fn f() { time::f() }", false),
        ("src/decide/mod.rs", "fn f() { super::ops::run() }", true),
        ("src/decide/mod.rs", "use super::cli as top; fn f() { top::main() }", true),
        ("src/decide/mod.rs", "mod inner { use super::super::sys::now; }", true),
        ("src/decide/mod.rs", "fn f<'a>(x: &'a crate::ops::Error) -> char { '\"' }", true),
        ("src/decide/mod.rs", "fn f() { assert!(crate::sys::now() == ()); }", true),
        ("src/monitor/mod.rs", "use crate::runner::Job;", true),
        (
            "src/monitor/mod.rs",
            "// use crate::cli;\n/* crate::ops */ const A: &str = \"crate::cli\"; use crate::sys::now;",
            false,
        ),
        ("src/monitor/mod.rs", "#[cfg(test)] mod tests { use crate::cli; } pub(in crate::monitor) fn f() {}", false),
        ("src/novel/mod.rs", "use crate::record::time;", true),
    ] {
        let found = upward(&crate_of(&[&base[..], &[(file, text)]].concat()));
        assert_eq!(!found.is_empty(), faulty, "{file}: {text}: {found:?}");
    }
}

#[test]
fn circles_are_found_through_re_exports() {
    let round = crate_of(&[
        ("src/lib.rs", "mod step;"),
        ("src/step/mod.rs", "mod a; mod b; mod c; mod d; pub(crate) use a::A; pub(crate) use c::C; struct M(d::D);"),
        ("src/step/d.rs", "use super::M; pub(crate) struct D(M);"),
        ("src/step/a.rs", "use super::b::B; pub(crate) struct A;"),
        ("src/step/b.rs", "use crate::step::A; pub(crate) struct B;"),
        ("src/step/c.rs", "use super::A; pub(crate) struct C; #[cfg(test)] mod tests { use super::*; }"),
    ]);
    assert_eq!(circular(&round).into_keys().collect::<Vec<_>>(), ["src/step/a.rs", "src/step/b.rs"]);
}

#[test]
fn crates_types_headers_and_marks_are_found() {
    let wrong = crate_of(&[
        ("src/lib.rs", "mod sys; mod step;"),
        ("src/sys/mod.rs", "mod linux; mod macos; use nix::libc; struct A; enum B {}"),
        ("src/sys/linux/mod.rs", "struct Both; type Alias = u8;"),
        ("src/sys/macos/mod.rs", "struct Both;"),
        (
            "src/step/mod.rs",
            "use nix::sys::signal::Signal; fn f() { ::libc::kill() } trait A {} #[cfg(test)] struct B;",
        ),
    ]);
    let crates: Vec<_> = misplaced_crates(&wrong).into_keys().collect();
    assert_eq!(crates, [("src/step/mod.rs", "libc"), ("src/step/mod.rs", "nix")]);
    assert_eq!(repeated_types(&wrong).into_keys().collect::<Vec<_>>(), ["A"]);

    finds(&shape("src/a.rs", "use x;\n//! late"), &["open it with //!"]);
    finds(&shape("src/a.rs", &"//! x\n".repeat(16)), &["over 15 lines"]);
    finds(&shape("src/lib.rs", &"//! x\n".repeat(99)), &[]);
    finds(&shape("src/a.rs", &format!("//! x{}", "\n".repeat(LONGEST_FILE + 1))), &["split it"]);
    finds(&misplaced_unsafe("src/step/mod.rs", "#[expect(unsafe_code, reason = \"x\")]"), &["unsafe code stands in"]);
    finds(&misplaced_unsafe("src/sys/macos/ffi.rs", "#[expect(unsafe_code)]"), &[]);
    finds(&marked("src/a.rs", concat!("// FIX", "ME\nXX", "XX\n    #[igno", "re]")), &["a.rs:1", "a.rs:3"]);
    finds(&vague("src/sys/util.rs"), &["util says nothing"]);
    finds(&vague("src/sys/utility.rs"), &[]);
}
