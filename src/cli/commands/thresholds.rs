//! The thresholds that a step is judged by: flags of several subcommands.

use super::{Args, Context, Error, defaults};
use crate::decide::policy::{Threshold, ThresholdOptions};
use crate::env_vars;
use crate::ops::check::CheckOptions;
use crate::record::units;
use std::time::Duration;

/// How long a step may be silent, and may run.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct ThresholdArgs {
    /// A heartbeat this old means hung (0: never) [default: the run's own, else 60s]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(super) stale: Option<Duration>,
    /// A run this old is out of time (0: never) [default: the run's own; 30m for a plain shell's step]
    #[arg(long, value_name = "D", value_parser = units::duration)]
    pub(super) max_timeout: Option<Duration>,
}

/// How much of the log is shown.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LogTailArgs {
    /// How many of the log's last lines to show on anything but success
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = units::whole::<usize>)]
    pub(super) log_tail: usize,
}

impl ThresholdArgs {
    /// Sets these thresholds, with the environment's.
    ///
    /// # Errors
    /// `ErrorKind::InvalidOptions` where the environment does not fit.
    pub(super) fn set(self, thresholds: &mut ThresholdOptions) -> Result<(), Error> {
        let with = |flag, name| Ok(Threshold { flag, environment: defaults::duration(None, name)? });
        thresholds.stale = with(self.stale, env_vars::STALE)?;
        thresholds.max_timeout = with(self.max_timeout, env_vars::MAX_TIMEOUT)?;
        Ok(())
    }
}

/// What `check`, `list`, `events` and `recover --dry-run` are asked for, but for the steps.
///
/// # Errors
/// `ErrorKind::InvalidOptions` where the environment does not fit.
pub(super) fn check_options(thresholds: ThresholdArgs, context: &Context) -> Result<CheckOptions, Error> {
    let mut options = CheckOptions::new(defaults::directory(context)?);
    thresholds.set(&mut options.thresholds)?;
    Ok(options)
}
