//! `dogwatch skill`.

use super::{Args, Context, Error, ExitCode, Subcommand};
use crate::ops::skill as page;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct SkillArgs {
    /// Write it into a folder instead [default: where Claude Code, Codex and Gemini look, if they are used here]
    // Empty where no folder is named.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_hint = clap::ValueHint::DirPath)]
    install: Option<OsString>,
}

impl Subcommand for SkillArgs {
    const NAME: &'static str = "skill";
    const ABOUT: &'static str = "Print the page that teaches coding agents this program";
    const EXAMPLES: &'static [&'static str] = &["dogwatch skill --install"];
    const NOTES: &'static str = "With --install it prints each file it wrote: ~/.claude/skills/dogwatch/SKILL.md for Claude Code, and\n\
                ~/.agents/skills/dogwatch/SKILL.md for Codex and Gemini. An edited one is left as it is (125).";
    const EXIT_CODES: &'static [ExitCode] = &[ExitCode::Success, ExitCode::InternalError];

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let Some(folder) = self.install else {
            context.out.print(page::text().as_bytes());
            return Ok(ExitCode::Success.code());
        };
        let folders = if folder.is_empty() { page::agent_folders()? } else { vec![PathBuf::from(folder)] };
        for folder in folders {
            context.out.print_line(&page::install(&folder)?.display().to_string());
        }
        Ok(ExitCode::Success.code())
    }
}
