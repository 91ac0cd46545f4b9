//! `--tag`, and the steps that are meant where none is named. `wait`, `check`, `recover`, `list` and `events` take it.

use super::thresholds::{ThresholdArgs, check_options};
use super::{Args, Context, Error, StepName, defaults};
use crate::ops::check::CheckOptions;
use crate::ops::select::{self, MeantSteps};

/// The choice of steps by tag.
#[derive(Clone, Debug, Args)]
pub(super) struct TagArgs {
    /// The steps whose run has this tag, ended or not; repeated: all of these tags
    #[arg(long = "tag", value_name = "TAG", value_parser = defaults::tag)]
    pub(super) tags: Vec<StepName>,
}

impl TagArgs {
    /// What asks for the steps that have these tags.
    ///
    /// # Errors
    /// `ErrorKind::InvalidOptions` where the environment does not fit.
    pub(super) fn request(&self, context: &Context) -> Result<CheckOptions, Error> {
        let mut request = check_options(ThresholdArgs::default(), context)?;
        request.tags = self.tags.iter().map(StepName::to_string).collect();
        Ok(request)
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
                // A tag chooses as names do: of `run -d a --tag t; wait --tag t` the end may come before the wait.
                let which =
                    if which == MeantSteps::Running && !self.tags.is_empty() { MeantSteps::Others } else { which };
                select::steps(&self.request(context)?, which)
            }
        }
    }
}
