//! What is printed and written fits the JSON Schema that `dogwatch schema` prints, key by key.

use crate::support::{Ended, Place, kill, lives, until};
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

/// The schema of each object, by its name, and how often something was held to it.
struct Schemas {
    place: Place,
    validators: BTreeMap<String, (Validator, usize)>,
}

impl Schemas {
    fn new() -> Self {
        let place = Place::new();
        let whole = place.dogwatch(["schema"]).stdout;
        let whole: Value = serde_json::from_str(&whole).expect("a JSON document");
        jsonschema::meta::validate(&whole).expect("a JSON Schema");
        let references = whole["anyOf"].as_array().expect("references").iter();
        let names =
            references.map(|one| one["$ref"].as_str().expect("a reference").rsplit('/').next().expect("a name"));
        let validator = |name: &str| {
            let mut schema = place.dogwatch(["schema", name]).json();
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
            close(&mut schema);
            (jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{name}: {error}")), 0)
        };
        let validators = names.map(|name| (name.to_owned(), validator(name))).collect();
        Self { place, validators }
    }

    /// Holds one object to its schema.
    #[track_caller]
    fn hold(&mut self, name: &str, object: &Value) {
        let (validator, count) = self.validators.get_mut(name).unwrap_or_else(|| panic!("no schema {name}"));
        let faults: Vec<String> =
            validator.iter_errors(object).map(|fault| format!("{fault} at {}", fault.instance_path())).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}\n{object:#}");
        let mut other = object.clone();
        other["a_key_that_no_schema_has"] = json!(1);
        assert!(!validator.is_valid(&other), "{name} takes any key");
        *count += 1;
    }

    /// Runs a command whose every line is to be such an object; at least one.
    #[track_caller]
    fn command(&mut self, name: &str, code: i32, words: &[&str]) {
        let ended = self.place.dogwatch(words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
        let lines = ended.lines();
        assert!(!lines.is_empty(), "{words:?}: {ended:?}");
        for line in lines {
            self.hold(name, &line);
        }
    }

    /// As [`Schemas::command`], in the short form, and as a whole report with `--json=full`, with `-v` and from `check`.
    #[track_caller]
    fn answers(&mut self, step: &str, brief: &str, code: i32) {
        self.command(brief, code, &["wait", step, "--for", "0", "--json"]);
        self.command("report", code, &["wait", step, "--for", "0", "--json=full"]);
        self.command("report", code, &["wait", step, "--for", "0", "--json", "-v"]);
        self.command(brief, code, &["recover", step, "--for", "0", "--json"]);
        self.command("report", code, &["recover", step, "--for", "0", "--json=full"]);
        self.command("report", code, &["check", step, "--json"]);
    }

    /// Holds the files of a step to their schemas.
    #[track_caller]
    fn files(&mut self, step: &str) {
        let meta = self.place.meta(step);
        self.hold("meta", &meta);
        for line in self.place.read(&format!("{step}.history")).lines() {
            self.hold("history-line", &serde_json::from_str(line).expect("a JSON line"));
        }
    }
}

/// Allows no key but those that are named: in files readers allow for keys of other writers, but this program writes none.
fn close(schema: &mut Value) {
    if let Value::Object(keys) = schema {
        if keys.contains_key("properties") {
            keys.insert("additionalProperties".to_owned(), json!(false));
        }
        keys.values_mut().for_each(close);
    } else if let Value::Array(values) = schema {
        values.iter_mut().for_each(close);
    }
}

fn run(schemas: &mut Schemas, step: &str, code: i32, words: &[&str]) {
    let ended = schemas.place.dogwatch([&["run", step, "--json"], words].concat());
    assert_eq!(ended.code, code, "{ended:?}");
    schemas.hold("report", &ended.json());
}

/// Steps in every state there is, each answered by every command.
fn ends_and_states(schemas: &mut Schemas) {
    let result = r#"echo '{"n":[1,2.5,null]}' > "$DOGWATCH_RESULT""#;
    for _ in 0..3 {
        run(schemas, "good", 0, &["--tag", "a", "--", "sh", "-c", result]);
    }
    schemas.answers("good", "success", 0);
    run(schemas, "bad", 7, &["--", "sh", "-c", "echo why >&2; exit 7"]);
    schemas.answers("bad", "report", 1);
    run(schemas, "noresult", 0, &["--result", "stdout", "--", "echo", "no JSON"]);
    schemas.answers("noresult", "success", 0);
    run(schemas, "late", 124, &["--max-timeout", "100ms", "--", "sh", "-c", "sleep 300 & wait"]);
    schemas.answers("late", "report", 124);
    run(schemas, "stuck", 3, &["--stale", "300ms", "--heartbeat-on", "output", "--", "sleep", "300"]);
    schemas.answers("stuck", "report", 3);
    schemas.answers("absent", "report", 5);

    let pid = schemas.place.detach("gone", "sleep 300");
    kill("KILL", pid);
    until("it is gone", || !lives(pid));
    schemas.answers("gone", "report", 4);

    let script = "echo listening on :8080; exec sleep 300";
    run(schemas, "busy", 0, &["-d", "--max-timeout", "1h", "--", "sh", "-c", script]);
    schemas.answers("busy", "running", 75);
    schemas.command("report", 0, &["wait", "busy", "--marker", r":(?<port>\d+)", "--json"]);
    schemas.command("report", 124, &["check", "busy", "--max-timeout", "1ms", "--json"]);
    schemas.command("running", 75, &["run", "busy", "--for", "0", "--json", "--", "true"]);
    schemas.command("report", 75, &["recover", "busy", "--dry-run", "--json"]);
    schemas.command("report", 0, &["list", "--json"]);
    schemas.command("report", 0, &["kill", "busy", "--json"]);
    schemas.command("report", 1, &["run", "short", "--for", "1m", "--json", "--", "false"]);

    for step in ["good", "bad", "noresult", "late", "stuck", "gone", "busy"] {
        schemas.files(step);
    }
    schemas.command("history", 0, &["history", "--json"]);
}

/// A script that is its own wrapper, and one that writes its files itself.
fn shells(schemas: &mut Schemas) {
    let pid = std::process::id().to_string();
    schemas.command("report", 0, &["start", "own", "--pid", &pid, "--json"]);
    schemas.command("report", 0, &["succeed", "own", "--result", "7", "--json"]);
    schemas.command("report", 0, &["start", "own", "--pid", &pid, "--json"]);
    schemas.command("report", 0, &["fail", "own", "--detail", "no answer", "--json"]);
    schemas.place.write("plain.status", "FAILED\n");
    schemas.answers("plain", "report", 1);
}

fn breakers_and_cleaning(schemas: &mut Schemas) {
    schemas.command("circuit", 0, &["breaker", "record", "bad", "failed", "--json"]);
    schemas.command("circuit", 0, &["breaker", "show", "--json"]);
    let file = schemas.place.read("bad.breaker");
    schemas.hold("breaker-file", &serde_json::from_str(&file).expect("a breaker's file"));
    schemas.command("circuit", 0, &["breaker", "reset", "bad", "--json"]);
    schemas.command("cleaned", 0, &["clean", "--all", "--json"]);
    schemas.command("cleaned", 5, &["clean", "nosuch", "--json"]);
}

fn errors(schemas: &mut Schemas) {
    schemas.command("error", 2, &["wait", "a/b", "--json"]);
    schemas.command("error", 2, &["wiat", "--json"]);
    schemas.command("error", 5, &["history", "nosuch", "--json"]);
    schemas.place.detach("held", "sleep 300");
    schemas.command("error", 125, &["run", "held", "--json", "--", "true"]);
    for _ in 0..3 {
        schemas.place.dogwatch(["run", "broken", "--", "false"]);
    }
    schemas.command("error", 6, &["run", "broken", "--json", "--", "true"]);
}

fn preflight(schemas: &mut Schemas) {
    let folder = crate::support::folder();
    let mut call = |name: &str, words: &[&str]| {
        let output = schemas.place.command(words).current_dir(folder.path()).output().expect("dogwatch runs");
        for line in Ended::of(&output).lines() {
            schemas.hold(name, &line);
        }
    };
    call("preflight-file", &["preflight", "--init", "--json"]);
    let check = "[[check]]\nname = \"a\"\nkind = \"command\"\ncommand = \"test -e b\"\nfix = \"touch b\"\n";
    std::fs::write(folder.path().join("preflight.toml"), check).expect("a file");
    call("preflight", &["preflight", "--json"]);
    call("preflight", &["preflight", "--fix", "--env", "A_VARIABLE_THAT_IS_NOT_SET", "--json"]);
    std::fs::write(folder.path().join("preflight.toml"), "[[chek]]\n").expect("a file");
    call("error", &["preflight", "--json"]);
}

fn hooks(schemas: &mut Schemas) {
    schemas.place.dogwatch(["run", "-d", "mine", "--tag", "abc", "--", "sleep", "300"]);
    for (event, input) in [
        ("session-start", json!({ "hook_event_name": "SessionStart", "session_id": "abc" })),
        ("stop", json!({ "hook_event_name": "Stop", "session_id": "abc" })),
        ("stop", json!({ "hook_event_name": "AfterAgent", "session_id": "abc" })),
        ("pre-bash", json!({ "hook_event_name": "PreToolUse", "tool_input": { "command": "sleep 60; cat log" } })),
        ("pre-bash", json!({ "hook_event_name": "BeforeTool", "tool_input": { "command": "sleep 60; cat log" } })),
    ] {
        let mut command = schemas.place.command(["hook", event]);
        let mut hook = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("dogwatch runs");
        hook.stdin.take().expect("its input").write_all(input.to_string().as_bytes()).expect("it reads");
        let ended = Ended::of(&hook.wait_with_output().expect("it ends"));
        schemas.hold("hook", &ended.json());
    }
}

fn events(schemas: &mut Schemas) {
    let file = schemas.place.file("events.jsonl");
    let output = std::fs::File::create(&file).expect("a file");
    let mut events = schemas.place.command(["events"]).stdout(output).spawn().expect("dogwatch runs");
    let mut number = 0;
    // A run that comes and goes before it listens is no event.
    until("a start and an end are told", || {
        number += 1;
        schemas.place.dogwatch(["run", &format!("came-{number}"), "--tag", "t", "--", "true"]);
        let told = std::fs::read_to_string(&file).expect("the file");
        ["start", "end"].iter().all(|kind| told.contains(&format!("\"event\":\"{kind}\"")))
    });
    events.kill().expect("it runs");
    events.wait().expect("it ends");
    let told = std::fs::read_to_string(&file).expect("the file");
    for line in told.lines() {
        schemas.hold("event", &serde_json::from_str(line).expect("a JSON line"));
    }
}

#[test]
fn everything_that_is_printed_or_written_as_json_has_the_keys_of_its_schema_and_no_others() {
    let mut schemas = Schemas::new();
    ends_and_states(&mut schemas);
    shells(&mut schemas);
    breakers_and_cleaning(&mut schemas);
    errors(&mut schemas);
    preflight(&mut schemas);
    hooks(&mut schemas);
    events(&mut schemas);
    let unused: Vec<&String> =
        schemas.validators.iter().filter(|(_, (_, count))| *count == 0).map(|(name, _)| name).collect();
    assert!(unused.is_empty(), "nothing was held to {unused:?}");
}

#[test]
fn the_whole_schema_takes_what_is_printed_and_nothing_else() {
    let place = Place::new();
    let whole = serde_json::from_str(&place.dogwatch(["schema"]).stdout).expect("a JSON document");
    let whole = jsonschema::validator_for(&whole).expect("a JSON Schema");
    place.dogwatch(["run", "a", "--", "true"]);
    let mut answer = place.wait_json("a", &[]);
    assert!(whole.is_valid(&answer), "{answer}");
    answer["outcome"] = json!("well");
    assert!(!whole.is_valid(&answer), "{answer}");
    let refused = place.dogwatch(["schema", "evnt"]);
    crate::support::is_refused(&refused, 2, &["'evnt'", "'event'", "dogwatch"]);
}
