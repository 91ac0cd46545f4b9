//! The names of all environment variables of this program, each once.
//!
//! Every layer uses these names; only `sys::env` reads the environment.

/// The monitor directory. Read as the default of `--dir`; set for COMMAND and for a kill command.
pub(crate) const DIR: &str = "DOGWATCH_DIR";
/// The step of the run that a process belongs to. Set for COMMAND and for a kill command.
pub(crate) const STEP: &str = "DOGWATCH_STEP";
/// The path of the run's heartbeat file. Set for COMMAND.
pub(crate) const HEARTBEAT: &str = "DOGWATCH_HEARTBEAT";
/// The path that COMMAND may write its result to. Set for COMMAND.
pub(crate) const RESULT: &str = "DOGWATCH_RESULT";
/// The run's unique id; by it the processes of a dead run are found. Set for COMMAND.
pub(crate) const RUN_ID: &str = "DOGWATCH_RUN_ID";
/// The pid in the step's pid file. Set for a kill command.
pub(crate) const PID: &str = "DOGWATCH_PID";

/// The default of `--stale`: a duration.
pub(crate) const STALE: &str = "DOGWATCH_STALE";
/// The default of `--max-timeout`: a duration.
pub(crate) const MAX_TIMEOUT: &str = "DOGWATCH_MAX_TIMEOUT";
/// The default of `--grace`: a duration.
pub(crate) const GRACE: &str = "DOGWATCH_GRACE";
/// The default of `--heartbeat-interval`: a duration.
pub(crate) const HEARTBEAT_INTERVAL: &str = "DOGWATCH_HEARTBEAT_INTERVAL";
/// The default of `--poll-interval`: a duration.
pub(crate) const POLL_INTERVAL: &str = "DOGWATCH_POLL_INTERVAL";
/// The default of `--start-timeout`: a duration.
pub(crate) const START_TIMEOUT: &str = "DOGWATCH_START_TIMEOUT";
/// The default of `--backend`.
pub(crate) const BACKEND: &str = "DOGWATCH_BACKEND";
/// The default of `--max-consecutive`: a number of failures.
pub(crate) const MAX_CONSECUTIVE: &str = "DOGWATCH_MAX_CONSECUTIVE";
/// The default of `--log-max`: a size.
pub(crate) const LOG_MAX: &str = "DOGWATCH_LOG_MAX";
/// One more tag for every run; a coding agent's session sets it.
pub(crate) const TAG: &str = "DOGWATCH_TAG";

/// Set by the completion script of a shell, to the shell's name: the program answers with completions.
pub(crate) const COMPLETE: &str = "DOGWATCH_COMPLETE";

/// Marks the processes of one shell command of ours, so that all of them can be ended.
pub(crate) const COMMAND_ID: &str = "DOGWATCH_COMMAND_ID";
/// The folder in which such a shell command leaves its output.
pub(crate) const COMMAND_FOLDER: &str = "DOGWATCH_COMMAND_FOLDER";
