//! `--tag`, and the steps that are meant where none is named. `wait`, `check`, `recover`, `list` and `events` take it.

use super::step;
use crate::cli::{Context, defaults};
use crate::env_vars;
use crate::error::Error;
use crate::ops::check::CheckOptions;
use crate::ops::select::{self, MeantSteps};
use crate::record::step_name::StepName;
use clap::Args;

/// The choice of steps by tag.
#[derive(Clone, Debug, Args)]
pub(super) struct TagArgs {
    /// Only steps whose run has this tag; repeated: all of these tags
    #[arg(long = "tag", value_name = "TAG", value_parser = step)]
    pub(super) tags: Vec<StepName>,
}

impl TagArgs {
    /// The tags as text.
    pub(super) fn words(&self) -> Vec<String> {
        self.tags.iter().map(|tag| tag.as_str().to_owned()).collect()
    }

    /// The steps that were named, or those that are meant where none was.
    ///
    /// # Errors
    /// `ErrorKind::NotStarted` where there is none, `ErrorKind::InvalidOptions` where names and tags are both given.
    pub(super) fn steps(
        &self,
        named: Vec<StepName>,
        which: MeantSteps,
        context: &Context,
    ) -> Result<Vec<StepName>, Error> {
        match (named.is_empty(), self.tags.is_empty()) {
            (false, true) => Ok(named),
            (false, false) => Err(Error::invalid_options("--tag chooses steps; name none beside it")),
            (true, _) => {
                let mut request = CheckOptions::new(defaults::directory(context)?, Vec::new());
                request.environment_stale = defaults::duration(None, env_vars::STALE)?;
                request.environment_max_timeout = defaults::duration(None, env_vars::MAX_TIMEOUT)?;
                request.tags = self.words();
                select::steps(&request, which)
            }
        }
    }
}
