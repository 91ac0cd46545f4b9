//! `hook`: what a coding agent is told at three moments: a session begins, a shell command is about to run, a turn ends.
//!
//! Input and answers have the form of Claude Code's hooks; where the event goes by Gemini CLI's name, the answer has that
//! program's form. There is no answer where there is nothing to say.

use crate::error::Error;
use crate::ops::check::CheckOptions;
use crate::ops::list::reports;
use crate::ops::report::Report;
use crate::record::outcome::Outcome;
use crate::record::step_name::StepName;
use crate::record::units::{duration, shown};
use regex_lite::{Captures, Regex};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// The most bytes of a hook's input that are read.
pub(crate) const LONGEST: usize = 1 << 20;
/// The most steps that an answer names.
const MOST: usize = 10;
/// A command that begins by sleeping so long waits for something.
const LONG_SLEEP: Duration = Duration::from_secs(30);

/// What a hook is told. Other keys are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HookInput {
    /// The agent's session.
    pub(crate) session_id: Option<String>,
    /// The folder that the agent works in.
    pub(crate) cwd: Option<PathBuf>,
    /// The event, by the agent's own name for it.
    hook_event_name: String,
    /// Whether a hook has kept this turn from ending already.
    stop_hook_active: bool,
    tool_input: ToolInput,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ToolInput {
    command: String,
    run_in_background: bool,
}

impl HookInput {
    /// Reads a hook's input.
    ///
    /// # Errors
    /// Where it is no such JSON object.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(text).map_err(|error| {
            Error::internal(format!("the hook's input on standard input is not what an agent sends: {error}"))
        })
    }

    /// The tag of the session's steps, where its id can be one.
    pub(crate) fn session_tag(&self) -> Option<StepName> {
        StepName::parse(self.session_id.as_deref()?).ok()
    }

    fn is_gemini(&self) -> bool {
        matches!(self.hook_event_name.as_str(), "BeforeTool" | "AfterAgent")
    }

    /// The answer that refuses what the agent is about to do, and says why.
    fn refusal(&self, decision: &str, reason: &str) -> Value {
        let decision = if self.is_gemini() { "deny" } else { decision };
        json!({ "decision": decision, "reason": reason })
    }
}

/// For the beginning of a session: which steps run, or have died and are not recorded yet.
///
/// # Errors
/// Where the directory cannot be read.
pub(crate) fn session_start(directory: PathBuf) -> Result<Option<Value>, Error> {
    let mut open = reports(&CheckOptions::new(directory))?.steps;
    open.retain(is_open);
    if open.is_empty() {
        return Ok(None);
    }
    let lines: Vec<String> = open.iter().take(MOST).map(line).collect();
    let more = open.len().saturating_sub(MOST);
    let more = if more > 0 { format!("\n- and {more} more") } else { String::new() };
    let text = format!(
        "Background steps of this project (dogwatch):\n{}{more}\n`dogwatch recover {} --for 9m --json` reports how they are, \
         records what died, and waits for what runs.",
        lines.join("\n"),
        names(&open)
    );
    Ok(Some(json!({ "hookSpecificOutput": { "hookEventName": "SessionStart", "additionalContext": text } })))
}

/// Whether a step has a run of which no end is recorded.
fn is_open(report: &Report) -> bool {
    report.ended_at.is_none()
        && matches!(report.outcome, Outcome::Running | Outcome::Hung | Outcome::Timeout | Outcome::Died)
}

fn line(report: &Report) -> String {
    let elapsed = report.elapsed_ms.filter(|_| report.outcome == Outcome::Running);
    let elapsed = elapsed.map_or_else(String::new, |elapsed| format!(" for {}", shown(elapsed)));
    format!("- {}: {}{elapsed}", report.step, report.state_word())
}

fn names(reports: &[Report]) -> String {
    reports.iter().take(MOST).map(|report| report.step.as_str()).collect::<Vec<_>>().join(" ")
}

/// For a shell command that is about to run: refuses one that polls, and names the call that replaces it.
pub(crate) fn pre_bash(input: &HookInput) -> Option<Value> {
    let tool = &input.tool_input;
    if tool.run_in_background || tool.command.contains("dogwatch") {
        return None;
    }
    let what = polls(&tool.command)?;
    let reason = format!(
        "{what} Start the work with `dogwatch run STEP --for 9m -- COMMAND`, repeat that line while it ends with 75, and it \
         tells the outcome the moment it is there; for a server that gets ready: `dogwatch run -d STEP -- COMMAND`, then \
         `dogwatch wait STEP --marker REGEX --for 9m`."
    );
    if input.is_gemini() {
        return Some(input.refusal("deny", &reason));
    }
    Some(json!({ "hookSpecificOutput": {
        "hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": reason
    } }))
}

/// Why a command line is one that polls; none where it is not.
fn polls(line: &str) -> Option<&'static str> {
    // What a here-document holds is written somewhere, not run.
    if line.contains("<<") {
        return None;
    }
    let line = outside_quotes(line);
    let begins = r"(?:^|[;&|({\n]|\bdo\b|\bthen\b)\s*";
    let loops = Regex::new(&format!(r"{begins}(?:while|until)\s+((?:\w+=\S*\s+)*\w+)?")).ok()?;
    let sleeps = Regex::new(r"(?s)\bdo\b.*\bsleep\s+[0-9.]").ok()?;
    let follows = Regex::new(&format!(r"{begins}tail\s+(?:\S+\s+)*?(?:-[a-zA-Z0-9]*[fF]\b|--follow\b)")).ok()?;
    let first_sleep = Regex::new(r"^\s*sleep\s+([0-9.]+[smhd]?)\b").ok()?;
    let is_polling = |found: Captures<'_>| {
        // A loop over lines that pauses between them waits for nothing.
        let reads = found.get(1).is_some_and(|words| words.as_str().split_whitespace().last() == Some("read"));
        !reads && found.get(0).is_some_and(|head| sleeps.is_match(&line[head.end()..]))
    };
    if loops.captures_iter(&line).any(is_polling) {
        return Some("This loop polls: it notices late, and never ends where the work has died.");
    }
    if follows.is_match(&line) {
        return Some("This follows a log and never ends, also where the work has.");
    }
    let span = duration(first_sleep.captures(&line)?.get(1)?.as_str()).ok()?;
    (span >= LONG_SLEEP).then_some("This sleeps and then looks: it notices late, and costs a turn each time.")
}

/// A command line with what stands in quotes replaced: that is text, and no command. What a backslash escapes is left out.
fn outside_quotes(line: &str) -> String {
    // A quote that is not closed reaches to the end.
    let Ok(quoted) = Regex::new(r#"(?s)\\.|'[^']*'?|"(?:\\.|[^"\\])*"?"#) else { return line.to_owned() };
    let blank = |found: &Captures<'_>| if found[0].starts_with('\\') { "" } else { "_" };
    quoted.replace_all(line, blank).into_owned()
}

/// For the end of a turn: keeps it from ending once while steps that carry one of the session's own tags run.
///
/// # Errors
/// Where the directory cannot be read.
pub(crate) fn stop(input: &HookInput, directory: PathBuf, tags: &[String]) -> Result<Option<Value>, Error> {
    // A second stop is the agent's answer to the first refusal.
    if input.stop_hook_active || tags.is_empty() {
        return Ok(None);
    }
    let mut running = reports(&CheckOptions::new(directory))?.steps;
    running.retain(|report| report.outcome == Outcome::Running && report.tags.iter().any(|tag| tags.contains(tag)));
    if running.is_empty() {
        return Ok(None);
    }
    let names = names(&running);
    let reason = format!(
        "Still running: {names}. Wait with `dogwatch wait {names} --for 9m --json`, or end with `dogwatch kill {names}`; where \
         it is meant to go on, like a server, say so and stop again."
    );
    Ok(Some(input.refusal("block", &reason)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_replaced_and_an_escaped_character_left_out() {
        for (line, outside) in [
            ("a 'b \\' c", "a _ c"),
            (r#"a "b \" c" d"#, "a _ d"),
            (r"a \' b", "a  b"),
            ("a \\\nb", "a b"),
            ("a ' b", "a _"),
            (r#"a "b"#, "a _"),
            ("''\"\"", "__"),
        ] {
            assert_eq!(outside_quotes(line), outside, "{line:?}");
        }
    }

    #[test]
    fn what_polls_is_told_from_what_only_names_it() {
        for line in [
            "while ! curl -s localhost:8080; do sleep 1; done",
            "until grep -q ready log\ndo\n  sleep 0.5\ndone",
            "cd x && while kill -0 7; do sleep 5; done; echo over",
            "for i in 1 2; do while true; do sleep 3; done; done",
            "while read url; do until curl $url; do sleep 1; done; done < list",
            "sleep 60; cat build.log",
            "sleep 2m && make",
            "tail -f build.log | grep -m1 ready",
            "cd x; tail -n 5 -F build.log",
        ] {
            assert!(polls(line).is_some(), "{line}");
        }
        for line in [
            "sleep 5; cat build.log",
            "git commit -m 'while it runs; do sleep 5; done'",
            "echo \"sleep 60\"",
            "cat > wait.sh <<EOF\nwhile true; do sleep 1; done\nEOF",
            "grep -rn 'tail -f' .",
            "tail -n 20 build.log",
            "while read -r line; do echo \"$line\"; done < list",
            "while IFS= read -r line; do curl \"$line\"; sleep 0.5; done < list",
            "find . -name '*.c' | while read file; do touch $file; sleep 1; done",
            "timeout 10 tail -f build.log",
            "make sleep 60",
            "",
        ] {
            assert_eq!(polls(line), None, "{line}");
        }
    }
}
