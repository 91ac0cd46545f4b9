//! `dogwatch completions`.

use super::{Help, Subcommand, definition};
use crate::cli::Context;
use crate::exit_code::ExitCode;
use crate::ops::Error;
use clap::Args;
use clap_complete::Shell;

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

impl Subcommand for CompletionsArgs {
    const NAME: &'static str = "completions";
    const ABOUT: &'static str = "Print completions for a shell";
    const HELP: Help = Help {
        examples: &["dogwatch completions bash > ~/.local/share/bash-completion/completions/dogwatch"],
        notes: "",
        exit_codes: &[],
    };

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut definition(), "dogwatch", &mut script);
        context.out.print(&script);
        Ok(ExitCode::Success.code())
    }
}
