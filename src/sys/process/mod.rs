//! Processes: identity, trees, starting COMMAND, ending a tree, evidence.

pub(crate) mod activity;
pub(crate) mod daemonize;
pub(crate) mod diagnose;
pub(crate) mod exec;
pub(crate) mod info;
pub(crate) mod isolated_worker;
pub(crate) mod namespace;
pub(crate) mod pipes;
pub(crate) mod shell;
pub(crate) mod spawn;
pub(crate) mod table;
pub(crate) mod tree;
