//! What leaves this repository for registries and coding agents: it agrees with the program, and with Cargo.toml.

use crate::support::{Place, binary};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(path: &str) -> Value {
    serde_json::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_skill_of_the_plugin_is_the_page_that_the_program_prints() {
    let page = Place::new().dogwatch(["skill"]).stdout;
    assert!(page.starts_with("---\nname: dogwatch\n"), "{page}");
    let stored = ".agents/skills/dogwatch/SKILL.md";
    assert!(text(stored) == page, "{stored} is another version's: run `cargo run -q -- skill > {stored}`");
}

#[test]
fn pictures_and_links_of_the_readme_work_outside_the_repository() {
    let readme = text("README.md");
    let targets: Vec<&str> = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(targets.len() > 3, "{targets:?}");
    let raw = REPOSITORY.replace("https://github.com/", "https://raw.githubusercontent.com/");
    for target in targets {
        assert!(
            target.starts_with("https://") || target.starts_with('#'),
            "{target}: crates.io and PyPI do not have it"
        );
        // A picture or page of this repository is there under the path that the address names.
        let own = [format!("{raw}/main/"), format!("{REPOSITORY}/blob/main/")];
        if let Some(path) = own.iter().find_map(|prefix| target.strip_prefix(prefix.as_str())) {
            assert!(root().join(path).is_file(), "{target}: there is no {path}");
        }
    }
}

#[test]
fn the_plugins_are_of_this_version_and_lie_where_the_marketplaces_say() {
    for (marketplace, source) in [
        (".claude-plugin/marketplace.json", "/plugins/0/source"),
        (".agents/plugins/marketplace.json", "/plugins/0/source/path"),
    ] {
        let marketplace = json(marketplace);
        let source = marketplace.pointer(source).and_then(Value::as_str).expect("a source");
        let manifest =
            if marketplace.pointer("/plugins/0/source/path").is_some() { ".codex-plugin" } else { ".claude-plugin" };
        let plugin = json(&format!("{source}/{manifest}/plugin.json"));
        assert_eq!((&plugin["name"], &plugin["version"]), (&"dogwatch".into(), &env!("CARGO_PKG_VERSION").into()));
        assert_eq!(plugin["name"], marketplace["plugins"][0]["name"]);
        assert!(plugin.get("repository").is_none_or(|address| address == REPOSITORY), "{plugin}");
        assert!(root().join(source).join("skills/dogwatch/SKILL.md").is_file(), "{source}");
    }
}

/// The command of each hook in the plugin, with its event.
fn hooks() -> Vec<(String, String)> {
    let hooks = json(".agents/hooks/hooks.json");
    let events = hooks["hooks"].as_object().expect("events").iter();
    let commands = events.flat_map(|(event, groups)| {
        let groups = groups.as_array().expect("groups").iter();
        groups.flat_map(|group| group["hooks"].as_array().expect("hooks")).map(|hook| {
            assert_eq!(hook["type"], "command");
            (event.clone(), hook["command"].as_str().expect("a command").to_owned())
        })
    });
    commands.collect()
}

/// Runs a hook's command as Claude Code does: by sh, with the plugin's folder in the environment and JSON on stdin. Returns the
/// exit code and what it wrote.
fn call(place: &Place, command: &str, input: &Value, path: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env_clear()
        .envs([("PATH", path), ("CLAUDE_PLUGIN_ROOT", &root().join(".agents").to_string_lossy())])
        .env("DOGWATCH_DIR", place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh");
    let mut stdin = child.stdin.take().expect("piped");
    // A hook may answer without reading; then the pipe is closed.
    let _closed = stdin.write_all(input.to_string().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let written = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), written(&output.stdout), written(&output.stderr))
}

#[test]
fn without_the_program_the_plugin_says_once_how_to_install_it_and_hinders_nothing() {
    let place = Place::new();
    let events = hooks();
    assert!(["SessionStart", "PreToolUse", "Stop"].iter().all(|event| events.iter().any(|(name, _)| name == event)));
    for (event, command) in events {
        let input =
            serde_json::json!({ "hook_event_name": event, "tool_name": "Bash", "tool_input": { "command": "true" } });
        let (code, stdout, stderr) = call(&place, &command, &input, "/usr/bin:/bin");
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{event}");
        assert_eq!(stdout.contains("uv tool install dogwatch"), event == "SessionStart", "{event}: {stdout}");
        assert_eq!(stdout.is_empty(), event != "SessionStart", "{event}: {stdout}");
    }
}

/// The PATH of an agent that has the program.
fn path_with_program() -> String {
    format!("{}:/usr/bin:/bin", binary().parent().expect("a folder").display())
}

/// What Claude Code sends for a hook's event.
fn input(place: &Place, event: &str, command: &str) -> Value {
    serde_json::json!({
        "session_id": "session-1", "cwd": place.path(), "hook_event_name": event, "tool_name": "Bash",
        "tool_input": { "command": command }, "stop_hook_active": false, "source": "startup",
    })
}

#[test]
fn every_hook_of_the_plugin_is_silent_where_there_is_nothing_to_say() {
    let place = Place::new();
    for (event, command) in hooks() {
        let answer = call(&place, &command, &input(&place, &event, "ls"), &path_with_program());
        assert_eq!(answer, (Some(0), String::new(), String::new()), "{event}");
    }
}

#[test]
fn the_plugin_tells_what_runs_refuses_a_poll_loop_and_keeps_a_turn_from_ending_over_its_own_step() {
    let place = Place::new();
    let started = place.dogwatch(["run", "-d", "work", "--tag", "session-1", "--", "sleep", "300"]);
    assert_eq!(started.code, 0, "{started:?}");
    for (event, command) in hooks() {
        let polling = "while ! test -f done; do sleep 5; done";
        let (code, stdout, stderr) = call(&place, &command, &input(&place, &event, polling), &path_with_program());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{event}");
        let answer: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{event}: {error}: {stdout}"));
        match event.as_str() {
            "PreToolUse" => assert_eq!(answer["hookSpecificOutput"]["permissionDecision"], "deny", "{answer}"),
            "SessionStart" => {
                let context = answer["hookSpecificOutput"]["additionalContext"].as_str().expect("a text");
                assert!(context.contains("work: running"), "{context}");
            }
            _ => assert_eq!(answer["decision"], "block", "{event}: {answer}"),
        }
    }
    assert_eq!(place.dogwatch(["kill", "work"]).code, 0);
}
