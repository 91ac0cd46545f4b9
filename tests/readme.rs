//! README.md is true: every console session in it is run as it stands there, and prints what is shown, but for numbers; every
//! script in it is run as well.

#![cfg(target_os = "linux")]

use crate::support::project::Project;
use regex_lite::Regex;
use std::process::{Command, Stdio};

/// A fenced block of the README: its language and its lines.
struct Block {
    language: String,
    lines: Vec<String>,
}

fn blocks() -> Vec<Block> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for line in readme.lines() {
        if let Some(language) = line.strip_prefix("```") {
            is_inside = !is_inside;
            if is_inside {
                blocks.push(Block { language: language.to_owned(), lines: Vec::new() });
            }
        } else if is_inside {
            blocks.last_mut().expect("an open block").lines.push(line.to_owned());
        }
    }
    blocks
}

/// A project with the programs that the examples run, found under the names that the examples use.
fn project() -> Project {
    let project = Project::new();
    let programs = [
        ("bin/cargo", "sleep 0.2; echo Finished"),
        ("bin/curl", "echo hello"),
        ("tests", "echo test parser ... ok; exec sleep 300"),
        ("serve", "echo listening on :8080; exec sleep 300"),
        ("check", "sleep 1.5"),
        ("backup", "echo connecting; exec -a \"ssh backup@host tar x\" sleep 300"),
        ("deploy.sh", "echo deployed"),
    ];
    std::fs::create_dir(project.file("bin")).expect("a folder");
    for (name, script) in programs {
        crate::support::executable(&project.file(name), &format!("#!/bin/bash\n{script}\n"));
    }
    std::os::unix::fs::symlink(crate::support::binary(), project.file("bin/dogwatch")).expect("a link");
    project
}

/// An environment that was moved here from `../store`, with one script that still names that place; whether there is a
/// python3 that makes one.
fn has_moved_environment(project: &Project) -> bool {
    let made = "python3 -m venv store/.venv && mv store/.venv .venv && rmdir store && printf '#!%s/store/.venv/bin/python\n' \
        \"$PWD\" > .venv/bin/black && chmod +x .venv/bin/black && sed -i.old \"1s#/store/#/#\" .venv/bin/pip* && rm .venv/bin/*.old";
    shell(project, made).0 == 0
}

/// bash in the project, with the program in its PATH.
fn shell(project: &Project, script: &str) -> (i32, String) {
    let path = format!("{}:{}", project.file("bin").display(), std::env::var("PATH").expect("a path"));
    let plain = project.command(&[]);
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(project.path()).stdin(Stdio::null()).stderr(Stdio::inherit());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => bash.env(name, value),
            None => bash.env_remove(name),
        };
    }
    let output = bash.env("PATH", path).output().expect("bash runs");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A line without what differs from run to run: numbers, times, blanks that only align, the test's own folder.
fn normalized(line: &str, project: &Project) -> String {
    let line = line.replace(&*project.place.path().to_string_lossy(), "/home/you/shop/monitor");
    let line = line.replace(&format!("{}/store", project.path().display()), "/home/you/store");
    let line = line.replace(&*project.path().to_string_lossy(), "/home/you/shop");
    let time = Regex::new(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)?( [0-9]+(ms|s|m|h|d))*").expect("a pattern");
    let blanks = Regex::new(" +").expect("a pattern");
    blanks.replace_all(&time.replace_all(&line, "#"), " ").trim_end().to_owned()
}

/// Whether a printed line is the one that is shown; `...` stands for any text.
fn is_shown(printed: &str, shown: &str) -> bool {
    let mut parts = shown.split("...");
    let Some(mut rest) = printed.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        match rest.find(part) {
            Some(at) if !is_last || part.is_empty() => rest = &rest[at + part.len()..],
            Some(_) if rest.ends_with(part) => rest = "",
            Some(_) | None => return false,
        }
    }
    rest.is_empty() || shown.ends_with("...")
}

#[test]
fn every_console_session_prints_what_is_shown() {
    let mark = "@@ next @@";
    for block in blocks().iter().filter(|block| block.language == "console") {
        let project = project();
        let needs_environment = block.lines.iter().any(|line| line.contains("dogwatch preflight"));
        if needs_environment && !has_moved_environment(&project) {
            eprintln!("skipped: python3 makes no environment with pip here");
            continue;
        }
        let commands: Vec<&str> = block.lines.iter().filter_map(|line| line.strip_prefix("$ ")).collect();
        // One shell for the session, as a person has; `$?` is that of the command before.
        let after = format!("{{ _code=$?; echo '{mark}'; }}; (exit $_code)");
        let script: Vec<String> = commands.iter().map(|command| format!("{command}\n{after}")).collect();
        let (_, printed) = shell(&project, &format!("exec 2>&1\n{}", script.join("\n")));
        let printed: Vec<Vec<&str>> = printed.split(&format!("{mark}\n")).map(|part| part.lines().collect()).collect();
        let mut shown: Vec<Vec<&str>> = Vec::new();
        for line in &block.lines {
            match line.strip_prefix("$ ") {
                Some(_) => shown.push(Vec::new()),
                None => shown.last_mut().expect("a command first").push(line),
            }
        }
        for ((command, shown), printed) in commands.iter().zip(&shown).zip(&printed) {
            let normal =
                |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| normalized(line, &project)).collect() };
            let (shown, printed) = (normal(shown), normal(printed));
            let whole = shown.last().is_some_and(|line| line == "...");
            let fits = if whole {
                printed.len() >= shown.len() - 1
                    && shown[..shown.len() - 1].iter().zip(&printed).all(|(shown, printed)| is_shown(printed, shown))
            } else {
                shown.len() == printed.len()
                    && shown.iter().zip(&printed).all(|(shown, printed)| is_shown(printed, shown))
            };
            assert!(fits, "$ {command}\nthe README shows:\n{}\nit printed:\n{}", shown.join("\n"), printed.join("\n"));
        }
    }
}

#[test]
fn every_script_does_what_it_says() {
    let scripts: Vec<String> =
        blocks().iter().filter(|block| block.language == "sh").map(|block| block.lines.join("\n")).collect();
    // Those for a cluster or a queue are run by `scripts/recipe-slurm` and `scripts/recipe-pueue`.
    let (elsewhere, here): (Vec<_>, Vec<_>) =
        scripts.iter().partition(|script| ["sbatch", "pueue"].iter().any(|program| script.contains(program)));
    assert!(here.len() >= 2 && elsewhere.len() == 2, "{scripts:?}");
    for script in here {
        let project = project();
        let (code, printed) = shell(&project, &format!("{script}\ndogwatch wait deploy"));
        assert_eq!(
            (code, printed.lines().last().map(|line| normalized(line, &project))),
            (0, Some("deploy: success after #".into())),
            "{script}"
        );
    }
}

#[test]
fn the_table_of_commands_names_every_command_and_no_other() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    let table = readme.split("### Commands\n").nth(1).and_then(|rest| rest.split("### ").next()).expect("a table");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    // A cell may name several commands: `start`, `beat`.
    let mut named: Vec<&str> =
        cells.flat_map(|cell| cell.split(", `")).filter_map(|name| name.split([' ', '`']).next()).collect();
    let help = Project::new().dogwatch(&["--help"]).stdout;
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = list.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    let mut known: Vec<&str> = names.filter(|name| *name != "help").collect();
    named.sort_unstable();
    known.sort_unstable();
    assert_eq!(named, known);
}

#[test]
fn the_contributors_map_names_every_room_and_functions_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    // A packaged crate has no dotted folders.
    let Ok(page) = std::fs::read_to_string(root.join(".github/CONTRIBUTING.md")) else { return };
    for entry in std::fs::read_dir(root.join("src")).expect("src") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let room = name.strip_suffix(".rs").unwrap_or(&name);
        let is_named = [room, name.as_str()].iter().any(|name| page.contains(&format!("`src/{name}`")));
        assert!(is_named || page.contains(&format!("`src/{room}.rs`")), "{name} is not on the map");
    }
    // A path is followed by the functions in it: `src/a.rs` `f`.
    let path = Regex::new("`(src/[a-z_/.]+)`((?: `[a-z_]+`)*)").expect("a pattern");
    let (mut files, mut functions) = (0, 0);
    for found in path.captures_iter(&page.replace(char::is_whitespace, " ")) {
        let file = root.join(&found[1]);
        assert!(file.exists(), "there is no {}", &found[1]);
        files += 1;
        for function in found[2].split_whitespace().map(|word| word.trim_matches('`')) {
            let text = std::fs::read_to_string(&file).expect("a file");
            assert!(text.contains(&format!("fn {function}")), "{} has no {function}", &found[1]);
            functions += 1;
        }
    }
    assert!(files > 30 && functions > 12, "{files} files, {functions} functions");
}
