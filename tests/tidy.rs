//! Holds the tree to the rules that no compiler checks: layers, purity, headers, sizes, unfinished work, the top level.
//!
//! Reads the source as tokens, so that comments and strings cannot mislead, and says file, line and what to do.
//! Refuses to judge style beyond these rules, and to read a type: what passes by way of a re-export in `sys` is not seen.
//! Each rule is a pure function of a file's name and text, fed with violations under "the proofs".

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// The layers and their heights: a module may use its own, and any that is strictly lower.
const LAYERS: [(&str, u8); 13] = [
    ("fuzz", 7),
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
];

/// What only `src/sys` calls: clocks, files, the environment, processes, and the crates that reach the kernel.
const MACHINE: [&str; 15] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::os::unix::fs",
    "std::os::unix::net",
    "std::os::unix::process",
    "std::path::absolute",
    "std::process::Command",
    "std::process::id",
    "std::thread::sleep",
    "libc",
    "rustix",
    "nix",
    "notify",
    "signal_hook",
];
/// The same, whatever path they are reached by.
const MACHINE_NAMES: [&str; 6] =
    ["Instant", "SystemTime", "OpenOptions", "File::open", "File::create", "File::options"];
/// The same as methods of a path, a file or a time.
const MACHINE_METHODS: [&str; 11] = [
    "canonicalize",
    "elapsed",
    "exists",
    "is_dir",
    "is_file",
    "is_symlink",
    "metadata",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "try_exists",
];
/// What unit tests may use all the same.
const IN_TESTS: [&str; 3] = ["std::fs", "std::os::unix::fs", "std::time::Instant"];

/// File, path (`::*`: and all in it), and why it may be there although it is the machine's.
const ALLOWED: [(&str, &str, &str); 7] = [
    ("src/cli/mod.rs", "std::env::args_os", "the arguments are what this layer is there to read"),
    ("src/cli/commands/run.rs", "std::fs::File", "holds the pipe that sys::process::spawn::detach gave; opens nothing"),
    ("src/runner/start.rs", "nix::sys::signal::Signal::*", "the name of a signal, as sys::signals takes it"),
    ("src/runner/finish.rs", "nix::sys::signal::*", "asks by signal 0 whether the own child's group is empty"),
    ("src/runner/finish.rs", "nix::unistd::Pid::*", "the form in which killpg takes the own child's number"),
    ("src/runner/supervise.rs", "nix::sys::signal::*", "passes a signal on to the own child, which is not reaped yet"),
    ("src/runner/supervise.rs", "nix::unistd::Pid::*", "the form in which killpg takes the own child's number"),
];

const LONGEST_HEADER: usize = 15;
const LONGEST_FILE: usize = 450;
const LONGEST_FUNCTION: usize = 70;
/// Files that are longer, and why.
const LONG_FILES: [(&str, &str); 1] = [("tests/tidy.rs", "all rules in one place, with what proves them")];

const VAGUE: [&str; 8] = ["core", "util", "utils", "common", "helpers", "helper", "types", "misc"];
const UNSAFE_FILES: [&str; 5] = [
    "src/sys/process/isolated_worker.rs",
    "src/sys/process/spawn.rs",
    "src/sys/process/exec.rs",
    "src/sys/process/daemonize.rs",
    "src/sys/macos/",
];

#[test]
fn imports_go_down_only() {
    report(each(upward));
}

#[test]
fn the_pure_layers_do_not_even_name_the_machine() {
    report(each(names_os));
}

#[test]
fn only_os_reads_clocks_files_and_environment_or_touches_processes() {
    let used = |file: &str, path: &str| {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        names(file, &tokens(&text)).iter().any(|name| allows(path, &name.path))
    };
    let idle = ALLOWED.iter().filter(|(file, path, _)| !used(file, path));
    let idle =
        idle.map(|(file, path, _)| format!("tests/tidy.rs:1: {file} needs {path} no more: strike it from ALLOWED"));
    report(each(impure).into_iter().chain(idle));
}

#[test]
fn every_file_opens_with_a_header_of_bounded_length() {
    report(each(headless));
}

#[test]
fn files_and_functions_stay_short() {
    let length = |file: &str| std::fs::read_to_string(root().join(file)).unwrap_or_default().lines().count();
    let short = LONG_FILES.iter().filter(|(file, _)| length(file) <= LONGEST_FILE);
    let short = short.map(|(file, _)| format!("tests/tidy.rs:1: {file} is not long now: strike it from LONG_FILES"));
    report(each(long).into_iter().chain(short));
}

#[test]
fn nothing_is_unfinished_ignored_or_dropped_without_a_reason() {
    report(each(unfinished));
}

#[test]
fn unsafe_code_stands_in_its_places_and_says_why_it_is_sound() {
    report(each(unsound));
}

#[test]
fn the_top_level_holds_what_it_may() {
    report(strays(&tracked()));
}

#[test]
fn modules_are_named_after_what_they_hold() {
    report(each(vague));
}

#[test]
fn every_dependency_says_what_it_is_for_and_where_it_is_used() {
    // A packaged Cargo.toml is written by cargo, without comments; the original lies beside it.
    let original = root().join("Cargo.toml.orig").exists();
    let manifest = read(if original { "Cargo.toml.orig" } else { "Cargo.toml" });
    report(unexplained(&manifest, |path| root().join(path).exists()));
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

fn upward(file: &str, text: &str) -> Vec<String> {
    let Some(own) = layer(file) else { return Vec::new() };
    let height = |layer: &str| LAYERS.iter().find(|(name, _)| *name == layer).map(|(_, height)| *height);
    let Some(top) = height(own) else {
        return vec![format!("{file}:1: {own} has no place among the layers: give it one in LAYERS and DESIGN.md")];
    };
    let fault = |name: Name| {
        let target = name.path.strip_prefix("crate::")?.split("::").next()?;
        let what = match height(target) {
            None => format!("{} comes from the top of the crate: name it where it is defined, below {own}", name.path),
            Some(height) if target != own && height >= top => {
                format!("{own} uses {}, which is not below it: take it as an argument, or move it down", name.path)
            }
            Some(_) => return None,
        };
        Some(format!("{file}:{}: {what}", name.line))
    };
    names(file, &tokens(text)).into_iter().filter_map(fault).collect()
}

fn names_os(file: &str, text: &str) -> Vec<String> {
    if !matches!(layer(file), Some("record" | "decide" | "timer_wheel")) {
        return Vec::new();
    }
    let advice = "names crate::sys: time and files are arguments here, in comments too";
    lines(text, |line| line.contains("crate::sys")).map(|line| format!("{file}:{line}: {advice}")).collect()
}

fn impure(file: &str, text: &str) -> Vec<String> {
    if !file.starts_with("src/") || layer(file) == Some("sys") {
        return Vec::new();
    }
    let tokens = tokens(text);
    let tests = test_code(file, &tokens);
    let in_tests = |at: usize| tests.iter().any(|range| range.contains(&at));
    let advice = "is the machine's: let a function of src/sys do it";
    let called = |(at, three): (usize, &[Token])| {
        let method = three[0].text == "." && three[2].text == "(" && MACHINE_METHODS.contains(&three[1].text);
        (method && !in_tests(at)).then(|| format!("{file}:{}: .{}() {advice}", three[1].line, three[1].text))
    };
    let named = |name: Name| {
        let whole = |part: &&str| format!("::{}::", name.path).contains(&format!("::{part}::"));
        let glob = |part: &&str| name.path.strip_suffix("::*").is_some_and(|outer| within(part, outer));
        let machine = MACHINE.iter().any(|part| within(&name.path, part) || glob(part))
            || MACHINE_NAMES.iter().any(whole)
            || name.path == "std::time::*";
        let allowed = ALLOWED.iter().any(|(place, path, _)| *place == file && allows(path, &name.path))
            || in_tests(name.at) && IN_TESTS.iter().any(|part| within(&name.path, part));
        (machine && !allowed).then(|| format!("{file}:{}: {} {advice}", name.line, name.path))
    };
    let paths = names(file, &tokens).into_iter().filter_map(named);
    paths.chain(tokens.windows(3).enumerate().filter_map(called)).collect()
}

fn headless(file: &str, text: &str) -> Vec<String> {
    let length = text.lines().take_while(|line| line.starts_with("//!")).count();
    if length == 0 {
        return vec![format!("{file}:1: open it with //!: what it is for, and what it refuses")];
    }
    let fault =
        format!("{file}:{length}: the header has over {LONGEST_HEADER} lines: say it in fewer, or where it applies");
    if length > LONGEST_HEADER && file != "src/lib.rs" { vec![fault] } else { Vec::new() }
}

fn long(file: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let length = text.lines().count();
    if length > LONGEST_FILE && LONG_FILES.iter().all(|(known, _)| *known != file) {
        faults.push(format!("{file}:{length}: over {LONGEST_FILE} lines: split it by what its parts are about"));
    }
    let tokens = tokens(text);
    let tests = test_code(file, &tokens);
    for (at, pair) in tokens.windows(2).enumerate() {
        let last = tokens[item_end(&tokens, at) - 1].line;
        let counts = pair[0].text == "fn" && is_word(pair[1].text) && !tests.iter().any(|range| range.contains(&at));
        if counts && last - pair[0].line >= LONGEST_FUNCTION {
            let (line, name, length) = (pair[0].line, pair[1].text, last - pair[0].line + 1);
            faults.push(format!(
                "{file}:{line}: fn {name} has {length} lines, over {LONGEST_FUNCTION}: split it by its steps"
            ));
        }
    }
    faults
}

fn unfinished(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut faults: Vec<String> = [
        (&["todo", "!"][..], "do it"),
        (&["unimplemented", "!"], "do it, or make the case unwritable"),
        (&["dbg", "!"], "remove it"),
        (&["#", "[", "ignore"], "mend the test, or remove it"),
        (&["let", "_", "="], "name what is dropped and why: `let _gone =`"),
        (&["let", "_", ":"], "name what is dropped and why: `let _gone: T =`"),
    ]
    .into_iter()
    .flat_map(|(what, advice)| {
        let places =
            tokens.windows(what.len()).filter(move |some| some.iter().zip(what).all(|(one, two)| one.text == *two));
        places.map(move |some| format!("{file}:{}: {}: {advice}", some[0].line, what.concat()))
    })
    .collect();
    for range in attributes(&tokens) {
        let attribute = &tokens[range];
        let has = |what: [&str; 2]| attribute.windows(2).any(|two| two[0].text == what[0] && two[1].text == what[1]);
        if has(["allow", "("]) && !has(["reason", "="]) {
            let line = attribute[0].line;
            faults.push(format!("{file}:{line}: allow without a reason: add `reason = \"…\"`, or mend the cause"));
        }
    }
    let marks = [concat!("FIX", "ME"), concat!("X", "XX")];
    let marked = |line: &str| line.split(|one: char| !one.is_alphanumeric()).any(|word| marks.contains(&word));
    faults.extend(lines(text, marked).map(|line| format!("{file}:{line}: a mark of unfinished work: finish it")));
    faults
}

fn unsound(file: &str, text: &str) -> Vec<String> {
    let home = UNSAFE_FILES.iter().any(|place| file.starts_with(place));
    let raw: Vec<&str> = text.lines().map(str::trim_start).collect();
    // Counted from the comment's last line; an attribute and the statement's beginning may stand between.
    let argued = |line: usize| {
        let above: Vec<&str> = raw[..line - 1].iter().rev().copied().collect();
        let gap = above.iter().position(|line| line.starts_with("//")).filter(|gap| *gap < 3);
        let comment = |gap: usize| above[gap..].iter().take_while(|line| line.starts_with("//"));
        gap.is_some_and(|gap| comment(gap).any(|line| line.starts_with("// SAFETY:")))
    };
    let fault = |two: &[Token]| {
        let line = two[0].line;
        if !home {
            Some(format!("{file}:{line}: unsafe stands in {} only: call a function of theirs", UNSAFE_FILES.join(", ")))
        } else if two[1].text == "{" && !argued(line) {
            Some(format!("{file}:{line}: no `// SAFETY:` within three lines above: say why it is sound"))
        } else {
            None
        }
    };
    tokens(text).windows(2).filter(|two| two[0].text == "unsafe").filter_map(fault).collect()
}

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

fn vague(file: &str, text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let inner = tokens.windows(2).filter(|two| two[0].text == "mod").map(|two| (two[0].line, two[1].text));
    let outer = file.split('/').map(|part| (1, part.trim_end_matches(".rs")));
    let faults = outer.chain(inner).filter(|(_, name)| VAGUE.contains(name));
    faults
        .map(|(line, name)| format!("{file}:{line}: {name} says nothing: name the module after what it holds"))
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

// --- how they read ---

/// A word, a literal or a sign, and the line it begins in.
#[derive(Clone, Copy, Debug)]
struct Token<'text> {
    line: usize,
    text: &'text str,
}

/// The code without comments, lifetimes and blanks; a literal is one token and so never a word of the code.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while at < text.len() {
        let (length, counts) = piece(&text[at..]);
        let piece = &text[at..at + length];
        if counts {
            found.push(Token { line, text: piece });
        }
        line += piece.matches('\n').count();
        at += length;
    }
    found
}

/// The length of what the text begins with, and whether it counts.
fn piece(text: &str) -> (usize, bool) {
    let word = |text: &str| text.find(|one: char| !one.is_alphanumeric() && one != '_').unwrap_or(text.len());
    let through = |from: usize, end: &str| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let first = text.chars().next().map_or(0, char::len_utf8);
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), false);
    }
    if text.starts_with("/*") {
        return (comment(text), false);
    }
    let bare = text.trim_start_matches(['b', 'c', 'r']);
    let prefix = &text[..text.len() - bare.len()];
    let quoted = bare.trim_start_matches('#');
    let hashes = &bare[..bare.len() - quoted.len()];
    if quoted.starts_with('"') && prefix.contains('r') {
        return (through(prefix.len() + hashes.len() + 1, &format!("\"{hashes}")), true);
    }
    if bare.starts_with('"') {
        let mut escaped = false;
        let end = bare.char_indices().skip(1).find(|&(_, one)| {
            let ends = one == '"' && !escaped;
            escaped = one == '\\' && !escaped;
            ends
        });
        return (end.map_or(text.len(), |(at, _)| prefix.len() + at + 1), true);
    }
    if let Some(rest) = text.strip_prefix('\'') {
        return match rest.chars().next() {
            Some('\\') => (through(3, "'"), true),
            Some(one) if rest[one.len_utf8()..].starts_with('\'') => (one.len_utf8() + 2, true),
            _ => (1 + word(rest), false),
        };
    }
    let length = if text.starts_with("::") { 2 } else { word(text).max(first) };
    (length, !text.starts_with(char::is_whitespace))
}

/// The length of a block comment, those inside it included.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(next) = text[at..].find(['/', '*']).map(|next| at + next) {
        let (opens, closes) = (text[next..].starts_with("/*"), text[next..].starts_with("*/"));
        depth = (depth + usize::from(opens)).saturating_sub(usize::from(closes));
        at = next + if opens || closes { 2 } else { 1 };
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// A path that the code names, from the crate's root or an outer crate's.
#[derive(Debug)]
struct Name {
    line: usize,
    /// The index of its first token.
    at: usize,
    path: String,
    /// What a `use` makes of it in this file.
    alias: Option<String>,
}

/// Every path of the file, imports and those in the code alike, followed through the file's own imports.
fn names(file: &str, tokens: &[Token]) -> Vec<Name> {
    let (mut found, mut inner, mut depth, mut at) = (Vec::new(), Vec::new(), 0, 0);
    let folder = file.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    let home = if layer(file).is_some() { format!("crate::{}", folder.replace('/', "::")) } else { "crate".to_owned() };
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text);
    while at < tokens.len() {
        let (from, before) = (at, found.len());
        at += 1;
        match text(from) {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inner.retain(|(outside, _)| *outside < depth);
            }
            "mod" if text(from + 2) == "{" => inner.push((depth, text(from + 1))),
            "use" if text(at) != "<" => import(tokens, &mut at, "", &mut found),
            word if is_word(word) && text(at) == "::" => {
                while text(at) == "::" && is_word(text(at + 1)) {
                    at += 2;
                }
                let path = tokens[from..at].iter().map(|token| token.text).collect();
                found.push(Name { line: tokens[from].line, at: from, path, alias: None });
            }
            _ => {}
        }
        let here = inner.iter().fold(home.clone(), |home, (_, name)| format!("{home}::{name}"));
        found[before..].iter_mut().for_each(|name| name.path = absolute(&name.path, &here));
    }
    let known: HashMap<String, String> =
        found.iter().filter_map(|name| Some((name.alias.clone()?, name.path.clone()))).collect();
    for name in &mut found {
        // An alias of an alias of an alias is as far as anybody goes.
        for _ in 0..3 {
            let (first, rest) = name.path.split_once("::").map_or((&*name.path, ""), |(first, rest)| (first, rest));
            let Some(outer) = known.get(first).filter(|outer| !within(outer, first)) else { break };
            name.path = if rest.is_empty() { outer.clone() } else { format!("{outer}::{rest}") };
        }
    }
    found
}

/// Reads one branch of a `use`, those in its braces included.
fn import(tokens: &[Token], at: &mut usize, prefix: &str, found: &mut Vec<Name>) {
    let mut path = prefix.to_owned();
    while let Some(&Token { line, text }) = tokens.get(*at) {
        let from = *at;
        *at += 1;
        let next = |at: usize| tokens.get(at).map_or("", |token| token.text);
        if text == "{" {
            while !matches!(next(*at), "}" | ";" | "") {
                import(tokens, at, &path, found);
            }
            *at += 1;
            return;
        } else if text == "*" || is_word(text) {
            if text != "self" || path.is_empty() {
                path = if path.is_empty() { text.to_owned() } else { format!("{path}::{text}") };
            }
            if next(*at) != "::" {
                let renamed = next(*at) == "as";
                let alias = if renamed { next(*at + 1) } else { path.rsplit("::").next().unwrap_or("") };
                let alias = is_word(alias).then(|| alias.to_owned());
                *at += if renamed { 2 } else { 0 };
                found.push(Name { line, at: from, path, alias });
                return;
            }
        } else if text != "::" {
            return;
        }
    }
}

/// A path that begins with `self` or `super`, from the root.
fn absolute(path: &str, home: &str) -> String {
    let (mut home, mut rest) = (home, path);
    loop {
        let (first, after) = rest.split_once("::").unwrap_or((rest, ""));
        match first {
            "self" => {}
            "super" => home = home.rsplit_once("::").map_or("crate", |(outer, _)| outer),
            "" => return home.to_owned(),
            _ if rest == path => return path.to_owned(),
            _ => return format!("{home}::{rest}"),
        }
        rest = after;
    }
}

/// Where the tests are among the tokens.
fn test_code(file: &str, tokens: &[Token]) -> Vec<Range<usize>> {
    if file.starts_with("tests/") || file.ends_with("/tests.rs") || file.contains("/tests/") {
        return std::iter::once(0..tokens.len()).collect();
    }
    let tests = |range: &Range<usize>| {
        let has = |what: &str| tokens[range.clone()].iter().any(|token| token.text == what);
        has("test") && !has("not") && !has("any") && (has("cfg") || range.len() == 4)
    };
    attributes(tokens).filter(tests).map(|range| range.start..item_end(tokens, range.end)).collect()
}

/// Where the attributes are.
fn attributes(tokens: &[Token]) -> impl Iterator<Item = Range<usize>> {
    let begins =
        |at: &usize| tokens[*at].text == "#" && tokens.get(at + 1).is_some_and(|next| "![".contains(next.text));
    (0..tokens.len()).filter(begins).map(|at| at..closing(tokens, at))
}

/// The token after an item: after its body, or its semicolon where it has none.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" | ")" | "]" if depth == 0 => return at.max(from + 1),
            "}" | ")" | "]" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// The token after the bracket that closes the first one opened.
fn closing(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token.text {
            "[" => depth += 1,
            "]" if depth <= 1 => return at + 1,
            "]" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

fn is_word(text: &str) -> bool {
    text.starts_with(|one: char| one.is_alphabetic() || one == '_')
}

/// The layer a file belongs to; none for the top and what is outside `src`.
fn layer(file: &str) -> Option<&str> {
    let first = file.strip_prefix("src/")?.split('/').next()?.trim_end_matches(".rs");
    Some(first).filter(|first| !matches!(*first, "lib" | "main"))
}

/// Whether `path` is `outer` or in it.
fn within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether an entry of the allow-list covers a path.
fn allows(entry: &str, path: &str) -> bool {
    entry.strip_suffix("::*").map_or(path == entry, |outer| within(path, outer))
}

/// The numbers of the lines of which something holds.
fn lines(text: &str, holds: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    text.lines().enumerate().filter(move |(_, line)| holds(line)).map(|(at, _)| at + 1)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Every file in a folder of the tree, by its name from the root, sorted.
fn walk(folder: &str) -> Vec<String> {
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
fn tracked() -> Vec<String> {
    let git = || Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok();
    match root().join(".git").exists().then(git).flatten().filter(|output| output.status.success()) {
        Some(output) => String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect(),
        None => walk(""),
    }
}

/// What a rule finds in all Rust files.
fn each(rule: fn(&str, &str) -> Vec<String>) -> Vec<String> {
    let mut files = walk("src");
    files.extend(walk("tests"));
    files.retain(|file| Path::new(file).extension().is_some_and(|extension| extension == "rs"));
    let seen = |known: &str| files.iter().any(|file| file == known);
    assert!(seen("src/lib.rs") && seen("tests/tidy.rs"), "the tree was not read: {files:?}");
    files.iter().flat_map(|file| rule(file, &read(file))).collect()
}

#[track_caller]
fn report(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

// --- the proofs ---

/// Asserts that a rule finds exactly these faults; of each, a part of it.
#[track_caller]
fn finds(faults: &[String], expected: &[&str]) {
    let same = faults.len() == expected.len() && faults.iter().zip(expected).all(|(fault, part)| fault.contains(part));
    assert!(same, "found {faults:#?}\nexpected {expected:#?}");
}

#[test]
fn upward_and_sideways_imports_are_caught_however_they_are_written() {
    for (file, text, expected) in [
        ("src/decide/verdict.rs", "//! x\nuse crate::cli;", "verdict.rs:2: decide uses crate::cli,"),
        ("src/decide/verdict.rs", "use crate::{\n    record::time,\n    sys::{self, clock},\n};", ":3:"),
        ("src/step/look.rs", "fn f() {\n    super::super::monitor::run()\n}", ":2: step uses crate::monitor::run,"),
        ("src/step/mod.rs", "use super::runner::Job;", "crate::runner::Job"),
        (
            "src/sys/linux/exit_watcher.rs",
            "mod inner { use super::super::super::super::decide::judge; }",
            "crate::decide::judge",
        ),
        ("src/monitor/mod.rs", "use crate::runner;", "crate::runner"),
        ("src/timer_wheel/tests.rs", "use crate::sys::clock;", "crate::sys::clock"),
        ("src/record/time.rs", "#[cfg(test)]\nmod tests { fn f() { crate::step::look(); } }", ":2: record"),
        (
            "src/record/time.rs",
            "use super::super as top;\nfn f() { top::cli::main() }",
            ":2: record uses crate::cli::main",
        ),
        ("src/sys/mod.rs", "use super::*;", "comes from the top"),
        ("src/ops/run.rs", "fn f(_: crate::Outcome) {}", "comes from the top"),
        ("src/sys/mod.rs", "macro_rules! m { () => { $crate::cli::main() } }", "crate::cli::main"),
        ("src/sys/mod.rs", "/* a /* b */ c */ fn f<'a>(x: &'a crate::ops::Error) -> char { '\"' }", "crate::ops"),
        ("src/report/mod.rs", "//! x", "no place among the layers"),
    ] {
        let faults = upward(file, text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{file}: {text}: {faults:?}");
    }
}

#[test]
fn comments_strings_and_what_lies_below_are_no_imports() {
    for (file, text) in [
        (
            "src/decide/verdict.rs",
            "// use crate::cli;\n/* crate::sys /* */ crate::cli::x */\n/// [`crate::cli`]\nfn f() {}",
        ),
        (
            "src/decide/verdict.rs",
            r##"const A: &str = "crate::cli::a \" crate::sys::b"; const B: &str = r#"" crate::sys::c"#;"##,
        ),
        ("src/decide/verdict.rs", "use super::policy::Policy;\nuse crate::record::time::{Moment, Wall};"),
        ("src/decide/verdict.rs", "mod tests { use super::super::policy::Policy; use super::*; }"),
        ("src/sys/linux/exit_watcher.rs", "use super::super::clock; use crate::record::pid; pub(super) fn f() {}"),
        ("src/cli/mod.rs", "use crate::{monitor, ops, record, runner, step, sys, timer_wheel};"),
        ("src/main.rs", "use crate::cli; fn main() { dogwatch::main() }"),
    ] {
        finds(&upward(file, text), &[]);
    }
    finds(
        &names_os("src/timer_wheel.rs", "//! x\n/// See [`crate::sys::clock`].\n"),
        &["timer_wheel.rs:2: names crate::sys"],
    );
    finds(&names_os("src/step/look.rs", "use crate::sys;"), &[]);
}

#[test]
fn the_machine_is_caught_outside_os_however_it_is_written() {
    for (text, expected) in [
        ("use std::time::{Duration, Instant};", ":1: std::time::Instant is"),
        ("use std::time;\nfn f() { time::SystemTime::now(); }", ":2: std::time::SystemTime::now is"),
        ("use std::time::*;", "std::time::*"),
        ("use std::{fs as disk};\nfn f() { disk::read(x); }", ":2: std::fs::read is"),
        ("fn f() { let _all = ::std::fs::read(\"x\"); }", "std::fs::read is"),
        ("use std::*;", "std::*"),
        ("use crate::sys::spawn::File; fn f() { File::open(x) }", "File::open"),
        ("fn f() { std::env::var(\"HOME\"); }", "std::env::var"),
        ("fn f() { std::process::id(); }", "std::process::id"),
        ("use std::process::Command;", "std::process::Command"),
        ("fn f() { std::thread::sleep(x) }", "std::thread::sleep"),
        ("use libc::kill;", "libc::kill"),
        ("use nix::unistd::Pid;", "nix::unistd::Pid"),
        ("fn f() { rustix::process::getpid(); }", "rustix::process::getpid"),
        ("fn f(path: &Path) -> bool {\n    path\n        .exists()\n}", ":3: .exists() is"),
        ("#[cfg(test)]\nmod tests { fn f() { std::env::var(\"HOME\"); } }", ":2: std::env::var"),
        ("#[cfg(not(test))]\nfn f() { std::fs::read(x); }", ":2: std::fs::read"),
        ("#[cfg(test)]\nmod tests {}\nfn f() { std::fs::read(x); }", ":3: std::fs::read"),
    ] {
        let faults = impure("src/monitor/endings.rs", text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{text}: {faults:?}");
    }
    for (file, text) in [
        (
            "src/monitor/endings.rs",
            "use std::time::{Duration, UNIX_EPOCH}; // std::fs\nfn f() { env!(\"X\"); \"std::fs\"; }",
        ),
        (
            "src/monitor/endings.rs",
            "#[cfg(test)]\nmod tests { use std::time::Instant; fn f() { std::fs::read(x); y.exists(); } }",
        ),
        ("src/monitor/tests.rs", "use std::fs;"),
        ("src/sys/clock.rs", "use std::time::Instant;"),
        ("src/cli/mod.rs", "fn f() { std::env::args_os(); }"),
        ("src/runner/start.rs", "use nix::sys::signal::Signal; fn f() { Signal::SIGINT; }"),
    ] {
        finds(&impure(file, text), &[]);
    }
    let beyond =
        impure("src/cli/mod.rs", "fn f() { std::env::args(); std::fs::File::open(x); nix::sys::signal::kill(); }");
    finds(&beyond, &["std::env::args is", "std::fs::File::open is", "nix::sys::signal::kill is"]);
}

#[test]
fn headers_and_lengths_are_measured() {
    finds(&headless("src/sys/a.rs", "use x;\n//! late"), &["a.rs:1: open it with //!"]);
    finds(&headless("src/sys/a.rs", "// plain"), &["a.rs:1: open it"]);
    finds(&headless("src/sys/a.rs", &"//! x\n".repeat(16)), &["a.rs:16: the header has over 15"]);
    finds(&headless("src/sys/a.rs", &"//! x\n".repeat(15)), &[]);
    finds(&headless("src/lib.rs", &"//! x\n".repeat(99)), &[]);
    finds(&long("src/sys/a.rs", &"\n".repeat(451)), &["a.rs:451: over 450"]);
    finds(&long("src/sys/a.rs", &"\n".repeat(450)), &[]);
    finds(&long(LONG_FILES[0].0, &"\n".repeat(451)), &[]);
    let function = |lines: usize| format!("\nfn f(x: [u8; 3]) -> Y {{{}}}\nfn g();\n", "{ \"}\" }\n".repeat(lines - 1));
    finds(&long("src/sys/a.rs", &function(71)), &["a.rs:2: fn f has 71 lines"]);
    finds(&long("src/sys/a.rs", &function(70)), &[]);
    finds(&long("src/sys/a.rs", &format!("#[cfg(test)]\nmod tests {{ {} }}", function(71))), &[]);
    finds(&long("src/sys/a.rs", &format!("#[test]{}", function(71))), &[]);
}

#[test]
fn unfinished_work_and_unsafe_code_are_caught() {
    let marks = concat!("// FIX", "ME\n\"a ", "X", "XX\"\nXXXX");
    finds(&unfinished("src/a.rs", marks), &["a.rs:1: a mark", "a.rs:2: a mark"]);
    let code =
        "todo!();\nunimplemented!()\ndbg!(x)\n#[ignore = \"slow\"]\nlet _ = f();\nlet _: u8 = g();\n#![allow(x)]\n";
    let expected =
        ["a.rs:1: todo!", "rs:2: unimpl", "rs:3: dbg!", "rs:4: #[ignore", "rs:5: let_=", "rs:6: let_:", "rs:7: allow"];
    finds(&unfinished("src/a.rs", code), &expected);
    finds(
        &unfinished("src/a.rs", "#[cfg_attr(test, allow(x))]\n#[allow(\n    a,\n    b\n)]\nfn f() {}"),
        &["rs:1: ", "rs:2: "],
    );
    let fine =
        "#[allow(\n    dead_code,\n    reason = \"x\"\n)]\nlet _why = f(); // todo!() dbg!\nfn todo() { \"let _ = \" }";
    finds(&unfinished("src/a.rs", fine), &[]);

    finds(&unsound("src/cli/mod.rs", "// SAFETY: none\nunsafe { f() }"), &["mod.rs:2: unsafe stands in"]);
    finds(&unsound("src/sys/process/spawn.rs", "f();\nunsafe { f() }"), &["spawn.rs:2: no `// SAFETY:`"]);
    finds(&unsound("src/sys/process/spawn.rs", "// SAFETY: a\n1;\n2;\n3;\nunsafe { f() }"), &["spawn.rs:5: no"]);
    finds(&unsound("src/sys/macos/ffi.rs", "// other\nunsafe { f() }"), &["ffi.rs:2: no"]);
    let fine =
        "// SAFETY: a\n// b\n// c\n#[expect(unsafe_code)]\nlet x =\n    unsafe { f() };\nunsafe fn g() {} // unsafe";
    finds(&unsound("src/sys/process/spawn.rs", fine), &[]);
}

#[test]
fn stray_files_and_vague_names_are_caught() {
    let files = ["src/a.rs", "LICENSE-MIT", ".github/x", "Cargo.lock", "docs/a", "docs/b", "Makefile", "tests/a"];
    finds(&strays(&files.map(str::to_owned)), &["docs:1: ", "Makefile:1: "]);
    finds(&vague("src/sys/util.rs", "//! x\nmod types;\nmod other;"), &["util.rs:1: util", "util.rs:2: types"]);
    finds(&vague("tests/common/mod.rs", ""), &["common/mod.rs:1: common"]);
    finds(&vague("src/sys/utility.rs", "// mod util;\nfn core() {}"), &[]);
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

#[test]
fn tokens_are_told_apart_and_imports_followed() {
    let text = "a/*b/*c*/d*/e'f \"g\\\"h\" b'\\'' '\"' r#\"i\"j\"# br\"k\\\" 'l' l::m // n\n/// o\n\"\n\"\np";
    let found: Vec<&str> = tokens(text).iter().map(|token| token.text).collect();
    let expected = [
        "a",
        "e",
        "\"g\\\"h\"",
        "b",
        "'\\''",
        "'\"'",
        "r#\"i\"j\"#",
        "br\"k\\\"",
        "'l'",
        "l",
        "::",
        "m",
        "\"\n\"",
        "p",
    ];
    assert_eq!(found, expected);
    assert_eq!(tokens(text).last().map(|token| token.line), Some(5));
    for unended in ["\"", "r#\"", "'", "/*", "b'", "use a::{", "use", "#[", "fn f", "mod a {", "a::"] {
        names("src/sys/a.rs", &tokens(unended));
        long("src/sys/a.rs", unended);
        unfinished("src/sys/a.rs", unended);
    }
    let text =
        "use a::{self, b::{c as d, *}, super::e};\nmod inner {\n    use super::f;\n}\nfn g() { d::h(); self::i::j() }";
    let names = names("src/sys/linux/mod.rs", &tokens(text));
    let found: Vec<String> = names.iter().map(|name| format!("{} {}", name.line, name.path)).collect();
    let expected = [
        "1 a",
        "1 a::b::c",
        "1 a::b::*",
        "1 a::super::e",
        "3 crate::sys::linux::f",
        "5 a::b::c::h",
        "5 crate::sys::linux::i::j",
    ];
    assert_eq!(found, expected);
}
