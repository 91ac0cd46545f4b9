//! What a person should know of a look that decides nothing, or that forbids to signal.
//!
//! Refuses to change a verdict: whoever reads these has the verdict beside them.

use super::claim::{is_of_other_machine, is_of_other_namespace};
use super::history::{meta_of, run_key};
use super::observation::{Liveness, Look};
use crate::protocol::file::File;
use crate::protocol::meta::MetaText;
use crate::protocol::pid::PidText;
use std::fmt;

/// Something a person should know that decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remark {
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
    /// No process has the pid, and that proves nothing here.
    Unseen(i32),
    /// The run followed first was replaced before its end was seen.
    Replaced,
}

impl fmt::Display for Remark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPid(text) => {
                write!(formatter, "the pid file holds {text}, which is no process id: only heartbeat and time decide")
            }
            Self::BrokenMeta(error) => write!(formatter, "the meta file is not readable ({error}) and was ignored"),
            Self::OtherHost(host) => {
                write!(formatter, "the run lives on {host}: only heartbeat and time decide, and nothing is signalled")
            }
            Self::OtherBoot => formatter.write_str(
                "the run began before this machine's last boot: only heartbeat and time decide, and nothing is signalled",
            ),
            Self::OtherNamespace => formatter
                .write_str("the run lives in another PID namespace, so its processes are not signalled from here"),
            Self::Unseen(pid) => {
                write!(formatter, "process {pid} is not to be seen from here: only heartbeat and time decide")
            }
            Self::Replaced => {
                formatter.write_str("the run followed first was replaced before its end was seen; this is the new one")
            }
        }
    }
}

impl Remark {
    /// Whether it says that the run's processes are beyond any signal from here.
    pub(crate) fn forbids_signals(&self) -> bool {
        matches!(self, Self::OtherHost(_) | Self::OtherBoot | Self::OtherNamespace)
    }
}

/// What a person should know of this look, whatever the verdict.
pub(crate) fn remarks(look: &Look, liveness: Liveness) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if let File::There { content: PidText::Bad(text), .. } = &look.pid {
        remarks.push(Remark::BadPid(text.clone()));
    }
    if let Some(MetaText::Broken(error)) = look.meta.content().map(AsRef::as_ref) {
        remarks.push(Remark::BrokenMeta(error.clone()));
    }
    let key = run_key(look);
    match meta_of(look, key) {
        Some(meta) if is_of_other_machine(look, meta) => match &meta.host {
            Some(host) if *host != look.here.host => remarks.push(Remark::OtherHost(host.clone())),
            _ => remarks.push(Remark::OtherBoot),
        },
        Some(meta) if is_of_other_namespace(look, meta) => remarks.push(Remark::OtherNamespace),
        _ => {
            if let (Liveness::Elsewhere, Some((pid, _))) = (liveness, key) {
                remarks.push(Remark::Unseen(pid));
            }
        }
    }
    remarks
}

/// Whether this machine may signal the run's processes as far as its record tells; the reason where it may not.
pub(crate) fn out_of_reach(look: &Look) -> Option<Remark> {
    let meta = meta_of(look, run_key(look))?;
    if is_of_other_machine(look, meta) || is_of_other_namespace(look, meta) {
        return remarks(look, Liveness::Elsewhere).into_iter().find(Remark::forbids_signals);
    }
    None
}
