//! `dogwatch dir`.

use super::{Help, Subcommand};
use crate::cli::{Context, defaults};
use crate::error::Error;
use crate::sys::env;
use clap::Args;
use std::os::unix::ffi::OsStrExt;

#[derive(Debug, Args)]
pub(super) struct DirArgs {}

impl Subcommand for DirArgs {
    const NAME: &'static str = "dir";
    const ABOUT: &'static str = "Print the monitor directory";
    const HELP: Help = Help { examples: &["ls \"$(dogwatch dir)\""], notes: "", exit_codes: &[] };

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let path = env::absolute(&defaults::directory(context)?);
        // A path is bytes: no encoding is assumed.
        let mut line = path.as_os_str().as_bytes().to_vec();
        line.push(b'\n');
        context.out.print(&line);
        Ok(0)
    }
}
