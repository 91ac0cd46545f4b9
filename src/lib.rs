//! dogwatch
mod cli;
mod command;
mod decide;
mod monitor;
mod os;
mod protocol;
mod step;
mod timer;
mod wrapper;

pub use cli::main;
pub use command::check::{Check, check};
pub use command::report::{Circuit, Report};
pub use command::run::{Ran, Run, run};
pub use command::wait::{Wait, wait};
pub use command::{Error, default_directory};
pub use protocol::outcome::{Action, Outcome};
pub use protocol::step::{BadName, StepName};
