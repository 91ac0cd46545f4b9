//! Parsers for what the macOS kernel returns. They call nothing of the system, so their tests run on Linux too.

pub(crate) mod kinfo;
pub(crate) mod proc_args;
pub(crate) mod timebase;
