//! `dogwatch hook`: answers a coding agent's hooks. Called by the plugin in `.agents`.
//!
//! It never ends with 2, which agents take for "refuse what is about to happen": a hook that fails must hold nothing up.

use super::{Args, Context, Error, ExitCode, Meanings, Subcommand, defaults};
use crate::env_vars;
use crate::ops::directory::default_directory;
use crate::ops::hook::{HookInput, LONGEST, pre_bash, session_start, stop};
use crate::sys::fs::atomic_write::append;
use crate::sys::{env, stdin};
use std::path::{Path, PathBuf};

/// The file that Claude Code gives the hook at a session's start: what it exports, every shell command of the session has.
const CLAUDE_ENV_FILE: &str = "CLAUDE_ENV_FILE";

#[derive(Debug, Args)]
pub(super) struct HookArgs {
    /// Which hook: session-start, pre-bash or stop
    // Checked below: a usage error would end with 2.
    #[arg(value_name = "EVENT")]
    event: Option<String>,
}

impl Subcommand for HookArgs {
    const NAME: &'static str = "hook";
    const ABOUT: &'static str = "Answer a coding agent's hook: session-start, pre-bash or stop";
    const EXAMPLES: &'static [&'static str] =
        &["echo '{\"hook_event_name\":\"Stop\",\"session_id\":\"abc\"}' | dogwatch hook stop"];
    const NOTES: &'static str = "Reads the hook's JSON on standard input and prints an answer in the agent's form \
        (Claude Code, Gemini CLI). If the agent need not be told anything, it prints nothing.\n\n\
        session-start: tells which steps run or were lost, and gives the session's steps its id as their tag \
        (DOGWATCH_TAG). pre-bash: refuses a polling loop or a long sleep, and names the call that replaces it. stop: \
        keeps a turn from ending, once, while steps with the session's own tag run.";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::InternalError];
    const MEANINGS: Meanings = &[
        (ExitCode::Success, "answered, or there was nothing to say"),
        (ExitCode::InternalError, "the hook could not be answered; agents go on"),
    ];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let input = stdin::read(LONGEST).map_err(|error| Error::io("cannot read the hook's input", error))?;
        let input = HookInput::parse(&input)?;
        let answer = match self.event.as_deref() {
            Some("session-start") => {
                export_tag(&input)?;
                session_start(directory(&input, context)?)?
            }
            Some("pre-bash") => pre_bash(&input),
            Some("stop") => stop(&input, directory(&input, context)?, &own_tags(&input))?,
            other => {
                let word =
                    other.map_or_else(|| "no hook was named".to_owned(), |word| format!("there is no hook {word}"));
                return Err(Error::internal(format!("{word}; name session-start, pre-bash or stop")));
            }
        };
        if let Some(answer) = answer {
            context.out.print_json(&answer);
        }
        Ok(ExitCode::Success.code())
    }
}

/// The monitor directory, for the folder that the agent works in where none was named.
fn directory(input: &HookInput, context: &Context) -> Result<PathBuf, Error> {
    let is_named = context.dir.is_some() || env::variable(env_vars::DIR).is_some();
    match input.cwd.as_deref().filter(|folder| !is_named && folder.is_absolute()) {
        Some(folder) => Ok(default_directory(folder)),
        None => defaults::directory(context),
    }
}

/// The tags by which the session knows its own steps.
fn own_tags(input: &HookInput) -> Vec<String> {
    let of_session = input.session_tag().map(|tag| tag.to_string());
    let of_environment = env::variable(env_vars::TAG).map(|tag| tag.to_string_lossy().into_owned());
    of_session.into_iter().chain(of_environment).collect()
}

/// Has every shell command of the session carry its id as the tag of its runs. The id is a tag, so it needs no quotes.
fn export_tag(input: &HookInput) -> Result<(), Error> {
    let (Some(file), Some(tag)) = (env::variable(CLAUDE_ENV_FILE), input.session_tag()) else { return Ok(()) };
    append(Path::new(&file), format!("export {}={tag}\n", env_vars::TAG).as_bytes())
}
