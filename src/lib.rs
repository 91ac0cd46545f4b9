//! dogwatch runs background work, watches over it, and tells you the moment it has succeeded, failed, hung, died or run
//! out of time.
//!
//! Background work goes wrong unseen: a killed job is reported as success, a hung one looks like a slow one, a wrapper
//! dies and its heartbeat beats on, only the shell is killed and its children live. The known cure is a protocol of small
//! files in one directory (`STEP.pid .heartbeat .status .result`), which any shell script can speak, and a decision tree
//! over them. This crate is that cure as one program: it sleeps until the kernel says that something changed, and it is
//! exact about processes. There is no daemon: all state is in the files.
//!
//! # One idea
//!
//! **Files are the truth, events are only hints.** A verdict always comes from a fresh look at the files and the process;
//! an event, a timer or an exit notice merely says *look now*. Losing every event costs time, bounded by a rescan, never
//! truth. So the program is a pure core that judges, a thin shell that looks and acts, and nothing between them.
//!
//! A wait is one thread in one poll(2): what tells of files, of processes' ends, of logs and of signals are descriptors,
//! and so is the mailbox of those who end runs. Directory events come from inotify itself on Linux: through a library with
//! a thread, that thread was woken first and woke ours, which was most of a status's latency. On macOS that library stays,
//! because only it knows which file a kqueue means.
//!
//! # Layers
//!
//! Imports go down only; `tests/architecture.rs` checks it.
//!
//! ```text
//!             cli            words <-> typed requests; outcomes -> text, JSON, exit code
//!              |
//!             ops            one file a subcommand: look, judge, act, report
//!            /   \
//!      monitor   runner      the two loops: waiting for a run, being a run; and beside them
//!        |  \   /   |        preflight, which both can do without and which uses only what is below
//!        |   step   |        one step in the directory: one consistent look, one recorded outcome, one safe end
//!        |  /  \    |
//!     timer decide  sys      decide: pure judgement; sys: the machine, without judgement; they do not know each other
//!              |   /
//!            record          what the files mean: pure
//! ```
//!
//! `step` stands between the loops and the three below because both loops, and every command that ends a run, need the
//! same two sequences exactly: the look whose order makes it consistent, and the record that is written once whoever
//! writes it. Two copies of either would be two sets of races.
//!
//! | module | what lives there |
//! | --- | --- |
//! | `record` | step names, file names, every record's codec, durations and sizes; no I/O, no clock |
//! | `decide` | observation + policy + moment -> verdict; heartbeat by observed change; breaker; severity |
//! | `timer_wheel` | the hierarchical timing wheel |
//! | `sys` | files, locks, events, clocks, processes, signals; `linux` and `macos` with the same signatures |
//! | `step` | look, record, terminate, what comes before a new run, circuit breaker on disk |
//! | `monitor` | the waiting loop, for one step or ten thousand |
//! | `runner` | the running loop |
//! | `preflight` | `preflight.toml`, the checks, their fixes; what a check found, for `ops` to report |
//! | `ops` | a file for each subcommand, from `run` and `wait` to `skill` |
//! | `cli` | arguments, text, JSON, exit codes |
//!
//! # Invariants
//!
//! Cited in the code by number.
//!
//! 1. (I1) Files are truth, events are hints: any event, error or overflow means *look*.
//! 2. (I2) Arm, then look, then sleep. But look once before arming: work that has ended needs no watch at all.
//! 3. (I3) Clock, then look, then compare: a look is never judged by a time read after it.
//! 4. (I4) Look at liveness first, status second: whoever sees "dead" and *then* no status may say died.
//! 5. (I5) Every file is published whole, by rename; a reader survives anything a foreign writer does.
//! 6. (I6) A run has one outcome; whoever records it first wins, everybody else reads it.
//! 7. (I7) A process is pid + start time + boot (+ namespace); a bare pid is never signalled and never believed.
//! 8. (I8) Watching never changes the fate of the command, except by the kill it was told to do.
//! 9. (I9) Durations come from the monotonic clock that stops in suspend; wall time is for people and files.
//! 10. (I10) Every wait has a bound; every read has a bound; every queue has a bound.
//! 11. (I11) The core is total: no input makes `record`, `decide` or `timer_wheel` panic.
//!
//! # Vocabulary
//!
//! A *step* is a name; a *run* is one execution of it. A run *beats*; its *heartbeat* becomes *stale*. A *look* gathers
//! facts, an *observation* is what they mean, a *verdict* is what follows. A run *died* when its process is gone without
//! a *status*, is *hung* when its heartbeat is stale, and gets a *grace* from TERM to KILL. How it ended is its
//! *outcome*, recorded with a *reason*. What has ended may take a moment to say how (a status after a death, a result
//! after a success): that is *settling*, and it is the one thing that may outlast a caller's own patience, since both
//! answers that could be given sooner, "it runs" and "it left nothing", may be false.
//!
//! # As a library
//!
//! ```no_run
//! use dogwatch::{Outcome, StepName, Wait, default_directory, wait};
//!
//! let directory = default_directory(&std::env::current_dir()?);
//! let reports = wait(&Wait::new(directory, vec![StepName::parse("build")?]))?;
//! assert_eq!(reports[0].outcome, Outcome::Success);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
pub use error::{Error, ErrorKind};
pub use ops::check::{Check, check};
pub use ops::default_directory;
pub use ops::report::{Circuit, Report};
pub use ops::run::{Ran, Run, run};
pub use ops::wait::{Wait, wait};
pub use record::evidence::{BlockedOn, ProcessState, TreeProcess};
pub use record::outcome::{Action, Outcome};
pub use record::step_name::{InvalidStepName, StepName};
