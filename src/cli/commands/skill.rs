//! `dogwatch skill`.

use super::{Help, Subcommand};
use crate::cli::Context;
use crate::exit_code::ExitCode;
use crate::ops::{Error, skill as page};
use crate::sys::env;
use clap::Args;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct SkillArgs {
    /// Write it into a folder instead [default: `~/.claude/skills/dogwatch`]
    // Empty where no folder is named.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_hint = clap::ValueHint::DirPath)]
    install: Option<OsString>,
}

impl Subcommand for SkillArgs {
    const NAME: &'static str = "skill";
    const ABOUT: &'static str = "Print the page that teaches coding agents this program";
    const HELP: Help = Help {
        examples: &["dogwatch skill --install"],
        notes: "With --install it prints where the page is then. One that was edited is left as it is (125).",
        exit_codes: &[(ExitCode::Success, None), (ExitCode::InternalError, None)],
    };

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let Some(folder) = self.install else {
            context.out.print(page::text().as_bytes());
            return Ok(ExitCode::Success.code());
        };
        let folder = if folder.is_empty() { customary_folder()? } else { PathBuf::from(folder) };
        context.out.print_line(&page::install(&folder)?.display().to_string());
        Ok(ExitCode::Success.code())
    }
}

fn customary_folder() -> Result<PathBuf, Error> {
    let home = env::variable("HOME")
        .ok_or_else(|| Error::Usage("$HOME is not set; name a folder: --install DIR".to_owned()))?;
    Ok(Path::new(&home).join(".claude/skills/dogwatch"))
}
