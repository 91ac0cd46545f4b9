//! Waiting: until steps end, lines are logged, or a directory changes. Called by `ops`.
//!
//! To read it, begin with `machine`, which decides everything and does nothing; `driver` does what it says and tells it what
//! happened. `inspection` and `log_search` are the machine's other parts: how one step is read and what follows, and how its
//! log is searched.

mod dir_changes;
mod driver;
mod event;
mod event_sources;
mod inspection;
mod log_scan;
mod log_search;
mod machine;
mod options;
mod step_state;
mod terminations;

#[cfg(test)]
mod tests;

pub(crate) use dir_changes::ChangeWaiter;
pub(crate) use driver::wait;
pub use options::Backend;
pub(crate) use options::{LogOptions, MonitorOptions, StepProgress, StepResult, WaitEnd, WaitEvent, WaitMode};
