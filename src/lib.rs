//! dogwatch runs background work, watches over it, and reports the moment it has succeeded, failed, hung, died or run out of
//! time. This is the library behind the program of that name; what it runs and what the program runs wait for each other.
//!
//! Run a command as a step, and learn how it ended:
//!
//! ```
//! use dogwatch::{Outcome, RunOptions};
//! use std::time::Duration;
//!
//! let directory = tempfile::tempdir()?; // or dogwatch::default_directory(&std::env::current_dir()?)
//! let options = RunOptions::new(directory.path(), "build".parse()?, ["sh", "-c", "echo done"]);
//! let result = options.max_timeout(Duration::from_secs(600)).env("LANG", "C").run()?;
//! assert_eq!((result.outcome, result.exit_code), (Outcome::Success, 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Wait for steps that other processes run, at most so long, and hear of each as it ends:
//!
//! ```
//! use dogwatch::{Event, Outcome, StepName, WaitOptions};
//! use std::time::Duration;
//!
//! # let directory = tempfile::tempdir()?;
//! # std::fs::write(directory.path().join("tests.status"), "FAILED\n")?;
//! let steps = ["build", "tests"].map(StepName::try_from).into_iter().collect::<Result<Vec<_>, _>>()?;
//! let options = WaitOptions::new(directory.path()).steps(steps).at_most(Duration::from_millis(10)).fail_fast(true);
//! options.wait_with(&mut |event| match event {
//!     Event::Answer(report) if report.outcome == Outcome::Running => println!("{} still runs", report.step),
//!     Event::Answer(report) => println!("{} ended: {}", report.step, report.outcome.as_str()),
//!     Event::Warning(sentence) => eprintln!("{sentence}"),
//!     _ => {}
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Ask how a step is doing, without waiting and without changing anything:
//!
//! ```
//! use dogwatch::{Action, CheckOptions};
//!
//! # let directory = tempfile::tempdir()?;
//! let reports = CheckOptions::new(directory.path()).step("build".parse()?).check()?;
//! if reports[0].action == Action::Kill {
//!     println!("it hangs: its last heartbeat was {:?} ms ago", reports[0].heartbeat_age_ms);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `cli` (the program: clap and its like) and `preflight` (the checks before work begins: toml) are on by default. A program that
//! uses the library alone turns them off with `default-features = false`.
//!
//! # One idea
//!
//! **Files are the truth, events are only hints.** All state is small files in one directory (`STEP.pid`, `.heartbeat`, `.status`,
//! `.result`), which any shell script can write. A verdict always comes from reading the files and the process again; an event, a
//! timer or an exit notice only says which step to read. Losing every event costs time, bounded by a rescan, never truth.
//!
//! # Layers
//!
//! Imports go downwards only; `tests/architecture.rs` checks it.
//!
//! ```text
//!             cli            arguments -> options; reports -> text, JSON, exit code
//!              |
//!             ops            one file a command: read, evaluate, act, report
//!            /   \
//!      monitor   runner      waiting for a run; being a run; and beside them preflight
//!        |  \   /   |
//!        |   step   |        one step on disk: one consistent read, one recorded outcome, one safe termination
//!        |  /  \    |
//!     timer decide  sys      decide: rules without I/O; sys: the kernel, without conclusions; neither knows the other
//!              |   /
//!            record          what the files mean: names and codecs
//! ```
//!
//! `record`, `decide`, `timer_wheel` and the state machine of `monitor` read no clock, no file and no environment: time is an
//! argument. `.github/CONTRIBUTING.md` has a line on each module and follows one event from the kernel to the exit code.
//!
//! # Invariants
//!
//! Cited in the code by number.
//!
//! 1. (I1) Files are the truth, events are hints: any event, error or overflow means *read again*.
//! 2. (I2) Watch, then read, then sleep: what changes after the read raises an event. Before that every step is read once
//!    without a watch, since work that has ended needs none.
//! 3. (I3) Clock, then read, then compare: a snapshot is never judged by a time read after it.
//! 4. (I4) Liveness is read before the status: only "dead", and *then* no status, means died.
//! 5. (I5) Every file is published whole, by rename; readers accept anything that a plain shell writes.
//! 6. (I6) A run has one outcome: the first process to record it wins, all others read that record.
//! 7. (I7) A process is its pid, start time, boot and PID namespace; a bare pid is never signalled and never believed.
//! 8. (I8) Watching never changes the fate of the command, except by the termination that was asked for.
//! 9. (I9) Durations come from the monotonic clock that stops in suspend; wall time is for people and files.
//! 10. (I10) Every wait, every read and every queue has a bound.
//! 11. (I11) No input makes `record`, `decide` or `timer_wheel` panic.
//!
//! # Words
//!
//! A *step* is a name; a *run* is one execution of it. A run sends *heartbeats*; a heartbeat becomes *stale*. A *snapshot* is what
//! was read of a step at one moment, an *observation* is what it means after earlier ones, a *verdict* is what follows. A run *died*
//! if its process is gone without a *status*, is *hung* if its heartbeat is stale, and gets a *grace* from TERM to KILL. How it ended
//! is its *outcome*, recorded with a *reason*. *Settling* is the short time in which a run that has ended may still write how: a
//! status after its death, a result after its success.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        reason = "subcommands without a library function are called by the program alone"
    )
)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

#[cfg(feature = "cli")]
mod cli;
mod decide;
mod env_vars;
mod error;
mod exit_code;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod monitor;
mod ops;
#[cfg(feature = "preflight")]
mod preflight;
mod record;
mod runner;
mod step;
mod sys;
mod timer_wheel;

#[cfg(feature = "cli")]
pub use cli::main;
pub use decide::log_match::MarkerMatch;
pub use error::{Error, ErrorKind, UnknownWord};
pub use monitor::Backend;
pub use ops::check::CheckOptions;
pub use ops::directory::default_directory;
pub use ops::event::{Event, Progress};
pub use ops::report::{BreakerStatus, Report};
pub use ops::run::RunOptions;
pub use ops::wait::WaitOptions;
pub use record::evidence::{BlockedOn, ProcessState, TreeProcess};
pub use record::outcome::{Action, Outcome};
pub use record::step_name::{InvalidStepName, StepName};
pub use runner::{HeartbeatOn, LogStreams, ResultFrom, RunResult};
