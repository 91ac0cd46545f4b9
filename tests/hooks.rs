//! What a coding agent's hooks are answered: in the agent's form, briefly, and not at all where there is nothing to say.

use crate::support::{Ended, Place, kill, lives, until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// Calls a hook with this input and these variables.
fn call(place: &Place, event: &str, input: &str, variables: &[(&str, &str)]) -> Ended {
    let mut command = place.command(["hook", event]);
    command.envs(variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut hook = command.spawn().expect("dogwatch runs");
    hook.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    Ended::of(&hook.wait_with_output().expect("it ends"))
}

/// The answer to a hook; null where there is none.
#[track_caller]
fn answer(place: &Place, event: &str, input: &Value) -> Value {
    let ended = call(place, event, &input.to_string(), &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    if ended.stdout.is_empty() { Value::Null } else { ended.json() }
}

/// Starts a step in a session's shell.
fn start(place: &Place, step: &str, session: &str) {
    let mut run = place.command(["run", "-d", step, "--", "sleep", "300"]);
    let ended = Ended::of(&run.env("DOGWATCH_TAG", session).output().expect("dogwatch runs"));
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_session_begins_with_what_runs_and_what_was_lost() {
    let place = Place::new();
    let input = json!({ "hook_event_name": "SessionStart", "session_id": "abc", "source": "resume" });
    assert_eq!(answer(&place, "session-start", &input), Value::Null, "an empty directory");
    place.dogwatch(["run", "over", "--", "false"]);
    assert_eq!(answer(&place, "session-start", &input), Value::Null, "what has ended was told of");
    place.detach("busy", "sleep 300");
    let pid = place.detach("lost", "sleep 300");
    kill("KILL", pid);
    until("it is gone", || !lives(pid));
    let told = answer(&place, "session-start", &input);
    assert_eq!(told["hookSpecificOutput"]["hookEventName"], "SessionStart", "{told}");
    let text = told["hookSpecificOutput"]["additionalContext"].as_str().expect("a text");
    assert!(text.contains("- busy: running for ") && text.contains("- lost: died\n"), "{text}");
    assert!(text.contains("`dogwatch recover busy lost --for 9m --json`") && !text.contains("over:"), "{text}");
    // The advised line works, and then what died is told no more.
    let recovered = place.dogwatch(["recover", "busy", "lost", "--for", "0", "--json"]);
    assert_eq!(recovered.stdout.lines().count(), 2, "{recovered:?}");
    let told = answer(&place, "session-start", &input);
    assert!(!told["hookSpecificOutput"]["additionalContext"].as_str().expect("a text").contains("lost"), "{told}");
}

#[test]
fn a_session_has_its_id_as_the_tag_of_its_steps() {
    let place = Place::new();
    let file = place.file("session.env");
    let file = file.to_str().expect("a path");
    place.write("session.env", "export OTHER=1\n");
    let id = "0f2a9c1e-77aa-4a1b-9d5e-000000000001";
    let input = json!({ "hook_event_name": "SessionStart", "session_id": id }).to_string();
    let ended = call(&place, "session-start", &input, &[("CLAUDE_ENV_FILE", file)]);
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""), "{ended:?}");
    assert_eq!(place.read("session.env"), format!("export OTHER=1\nexport DOGWATCH_TAG={id}\n"));
    // An id that is more than a name gets into no shell.
    let input = json!({ "session_id": "a; touch shell-ran" }).to_string();
    assert_eq!(call(&place, "session-start", &input, &[("CLAUDE_ENV_FILE", file)]).code, 0);
    assert_eq!(place.read("session.env").lines().count(), 2);
}

#[test]
fn a_turn_is_kept_from_ending_once_while_steps_of_its_own_session_run() {
    let place = Place::new();
    start(&place, "mine", "abc");
    start(&place, "others", "xyz");
    let stop = json!({ "hook_event_name": "Stop", "session_id": "abc", "stop_hook_active": false });
    let told = answer(&place, "stop", &stop);
    let reason = told["reason"].as_str().unwrap_or_default();
    assert_eq!(told["decision"], "block", "{told}");
    assert!(reason.contains("Still running: mine.") && reason.contains("dogwatch wait mine --for"), "{told}");
    let mut again = stop.clone();
    again["stop_hook_active"] = json!(true);
    assert_eq!(answer(&place, "stop", &again), Value::Null, "a second stop is let through");
    for session in [json!("new"), json!("a b"), Value::Null] {
        let other = json!({ "hook_event_name": "Stop", "session_id": session });
        assert_eq!(answer(&place, "stop", &other), Value::Null, "{other}");
    }
    // The variable of the session counts as well.
    let by_variable = call(&place, "stop", "{}", &[("DOGWATCH_TAG", "xyz")]);
    assert!(by_variable.json()["reason"].as_str().is_some_and(|reason| reason.contains("others")), "{by_variable:?}");
    let gemini = json!({ "hook_event_name": "AfterAgent", "session_id": "abc" });
    assert_eq!(answer(&place, "stop", &gemini)["decision"], "deny");
    place.dogwatch(["kill", "mine"]);
    assert_eq!(answer(&place, "stop", &stop), Value::Null, "nothing of its own runs");
}

#[test]
fn a_polling_loop_is_refused_in_the_form_of_either_agent() {
    let place = Place::new();
    let bash = |command: &str| json!({ "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": { "command": command } });
    let told = answer(&place, "pre-bash", &bash("while ! test -e done; do sleep 5; done"));
    let told = &told["hookSpecificOutput"];
    assert_eq!((&told["hookEventName"], &told["permissionDecision"]), (&json!("PreToolUse"), &json!("deny")), "{told}");
    assert!(told["permissionDecisionReason"].as_str().is_some_and(|reason| reason.contains("dogwatch run")), "{told}");
    let mut gemini = bash("sleep 60; cat build.log");
    gemini["hook_event_name"] = json!("BeforeTool");
    let told = answer(&place, "pre-bash", &gemini);
    assert_eq!((&told["decision"], told["reason"].is_string()), (&json!("deny"), true), "{told}");
    for command in ["make", "sleep 2", "dogwatch wait build; sleep 60", ""] {
        assert_eq!(answer(&place, "pre-bash", &bash(command)), Value::Null, "{command}");
    }
    let mut background = bash("tail -f build.log");
    background["tool_input"]["run_in_background"] = json!(true);
    assert_eq!(answer(&place, "pre-bash", &background), Value::Null);
}

#[test]
fn a_hook_that_cannot_answer_holds_nothing_up() {
    let place = Place::new();
    // An agent takes 2 for "refuse"; any other code is told to the user, and the agent goes on.
    for (event, input) in [("stop", "no JSON"), ("stop", ""), ("pre-bash", "[1]"), ("no-such-event", "{}")] {
        let ended = call(&place, event, input, &[]);
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.lines().count()),
            (125, "", 1),
            "{event}: {ended:?}"
        );
    }
    assert_eq!(call(&place, "", "{}", &[]).code, 125);
    // Keys that nobody here knows, and values of other kinds, come with new versions of an agent.
    let new =
        json!({ "hook_event_name": "Stop", "session_id": "abc", "new": { "key": [1, 2] }, "tool_input": { "x": 1 } });
    assert_eq!(answer(&place, "stop", &new), Value::Null);
}
