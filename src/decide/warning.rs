//! What a person should know of a look that decides nothing, or that forbids to signal.
//!
//! Warnings are shown beside a verdict and never change it.

use crate::decide::liveness::{is_copy, is_of_other_machine, is_of_other_namespace, is_of_other_time};
use crate::decide::snapshot::{Liveness, Snapshot};
use crate::record::file_state::FileState;
use crate::record::meta::ParsedMeta;
use crate::record::pid::{ParsedPid, PidFileId};
use std::fmt;

/// Something a person should know that decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The pid file holds no pid; quoted.
    BadPid(String),
    /// The meta file is no record of this program.
    BrokenMeta(String),
    /// The run lives on another machine.
    OtherHost(String),
    /// The run began before this machine's last boot.
    OtherBoot,
    /// The run lives in another PID namespace.
    OtherNamespace,
    /// The run's clocks and start times are another time namespace's.
    OtherTime,
    /// The run writes to another directory, of which this one is a copy or another mount.
    Copy,
    /// No process has the pid, and that proves nothing here.
    Unseen(i32),
    /// The run's wrapper is stopped.
    Stopped(i32),
    /// The run followed first was replaced before its end was seen.
    Replaced,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPid(text) => {
                write!(formatter, "the pid file holds {text}, which is no process id: only heartbeat and time decide")
            }
            Self::BrokenMeta(error) => write!(formatter, "the meta file is not readable ({error}) and was ignored"),
            Self::OtherHost(host) => {
                write!(formatter, "the run lives on {host}: only heartbeat and time decide, and nothing is signalled")
            }
            Self::OtherBoot => {
                formatter.write_str("the run began before this machine's last boot, so nothing is signalled")
            }
            Self::OtherNamespace => formatter
                .write_str("the run lives in another PID namespace, so its processes are not signalled from here"),
            Self::OtherTime => formatter.write_str(
                "the run lives in another time namespace: its clocks say nothing here, and its processes are not signalled from here",
            ),
            Self::Copy => formatter.write_str(
                "this directory is a copy of the one that the run writes to, or another mount of it: nothing is signalled and \
                 nothing is recorded here",
            ),
            Self::Unseen(pid) => {
                write!(formatter, "process {pid} is not to be seen from here: only heartbeat and time decide")
            }
            Self::Stopped(pid) => {
                write!(formatter, "process {pid} is stopped, as by Ctrl-Z, and cannot beat; it goes on after: kill -CONT {pid}")
            }
            Self::Replaced => {
                formatter.write_str("the run followed first was replaced before its end was seen; this is the new one")
            }
        }
    }
}

impl Warning {
    /// Whether it says that the run's processes are beyond any signal from here.
    pub(crate) fn forbids_signals(&self) -> bool {
        matches!(self, Self::OtherHost(_) | Self::OtherBoot | Self::OtherNamespace | Self::OtherTime | Self::Copy)
    }
}

/// What a person should know of this look, whatever the verdict.
pub(crate) fn remarks(snapshot: &Snapshot, liveness: Liveness) -> Vec<Warning> {
    let mut remarks = Vec::new();
    if let FileState::Present { content: ParsedPid::Bad(text), .. } = &snapshot.pid {
        remarks.push(Warning::BadPid(text.clone()));
    }
    if let Some(ParsedMeta::Broken(error)) = snapshot.meta.content().map(AsRef::as_ref) {
        remarks.push(Warning::BrokenMeta(error.clone()));
    }
    let key = snapshot.pid_file_id();
    match snapshot.run_meta() {
        Some(meta) if is_of_other_machine(snapshot, meta) => match &meta.host {
            Some(host) if *host != snapshot.here.host => remarks.push(Warning::OtherHost(host.clone())),
            _ => remarks.push(Warning::OtherBoot),
        },
        _ if is_copy(snapshot) => remarks.push(Warning::Copy),
        Some(meta) if is_of_other_namespace(snapshot, meta) => remarks.push(Warning::OtherNamespace),
        Some(meta) if is_of_other_time(snapshot, meta) => remarks.push(Warning::OtherTime),
        _ => {
            if let (true, Some(PidFileId { pid, .. })) = (snapshot.is_stopped, key) {
                remarks.push(Warning::Stopped(pid));
            }
            if let (Liveness::Unknown, Some(PidFileId { pid, .. })) = (liveness, key) {
                remarks.push(Warning::Unseen(pid));
            }
        }
    }
    remarks
}

/// Whether this machine may signal the run's processes as far as its record tells; the reason where it may not.
pub(crate) fn out_of_reach(snapshot: &Snapshot) -> Option<Warning> {
    remarks(snapshot, Liveness::Unknown).into_iter().find(Warning::forbids_signals)
}
