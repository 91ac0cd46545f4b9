//! The system layer: files, clocks, processes, signals and events, reported exactly as the kernel reports them.
//!
//! This is the only layer that reads a clock, opens a file or calls the kernel. It draws no conclusions: a missing process
//! is `NotFound`, not "died"; an old file has a time, not an age. What Linux and macOS do differently is in two folders
//! with the same signatures, of which `platform` is the one that is compiled.

#![cfg_attr(
    not(test),
    expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the layer that the others go through")
)]

#[cfg(not(target_os = "linux"))]
mod absent;
pub(crate) mod clock;
pub(crate) mod env;
pub(crate) mod fs;
pub(crate) mod log;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod stdin;
pub(crate) mod stdio;
#[cfg(feature = "cli")]
pub(crate) mod terminal;
pub(crate) mod watch;

#[cfg(target_os = "linux")]
pub(crate) mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux as platform;

#[cfg(target_os = "macos")]
pub(crate) mod macos;
#[cfg(target_os = "macos")]
pub(crate) use macos as platform;
// The parsers for macOS call nothing of the system; their tests run here too.
#[cfg(all(test, not(target_os = "macos")))]
#[path = "macos/parse/mod.rs"]
mod macos_parse;

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("dogwatch runs on Linux and macOS: it needs pidfd and inotify, or kqueue");
