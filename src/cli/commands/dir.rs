//! `dogwatch dir`.

use super::{Args, Context, Error, Subcommand, defaults};
use crate::cli::output::print_error;
use crate::env_vars;
use crate::ops::project::Project;
use crate::sys::env;
use std::os::unix::ffi::OsStrExt;

#[derive(Debug, Args)]
pub(super) struct DirArgs {}

impl Subcommand for DirArgs {
    const NAME: &'static str = "dir";
    const ABOUT: &'static str = "Print the monitor directory";
    const EXAMPLES: &'static [&'static str] = &["ls \"$(dogwatch dir)\""];
    const NOTES: &'static str = "With -v it says on standard error which folder it is for, and why.";

    fn exec(self, context: &Context) -> Result<u8, Error> {
        let path = env::absolute(&defaults::directory(context)?);
        if context.out.verbose > 0 {
            print_error(&why(context)?);
        }
        // A path is bytes: no encoding is assumed.
        let mut line = path.as_os_str().as_bytes().to_vec();
        line.push(b'\n');
        context.out.print(&line);
        Ok(0)
    }
}

/// Why it is this directory.
fn why(context: &Context) -> Result<String, Error> {
    if context.dir.is_some() {
        return Ok("the directory was named by --dir".to_owned());
    }
    if env::variable(env_vars::DIR).is_some() {
        return Ok(format!("the directory was named by ${}", env_vars::DIR));
    }
    Ok(Project::of(&env::current_folder()?).reason())
}
