//! Whether a detached run would outlive the call that starts it. Called by the `run` command.

use crate::sys::platform::pid_namespace;
use crate::sys::process::namespace::{Member, NamespaceOrigin};
use std::time::Duration;

/// Names of programs that are made to be a first process: they stay for as long as the container, or the machine.
const INITS: [&str; 14] = [
    "systemd", "init", "openrc-init", "runit", "s6-svscan", "dinit", "supervisord", "tini", "dumb-init", "docker-init",
    "podman-init", "catatonit", "conmon", "pause",
];

/// How soon after a namespace's first process the command is started that the namespace was made for.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A sentence where the kernel will kill a detached run as soon as the call that starts it is over.
pub(crate) fn warning() -> Option<String> {
    let Member { name, pid, .. } = lifetime(&pid_namespace::origin()?, crate::sys::process::info::current_pid())?;
    Some(format!(
        "this sandbox ends with {name} (pid {pid}), and the kernel then kills this run; start it outside the sandbox, or \
         without -d in a call that lasts as long as the work"
    ))
}

/// The process that the namespace ends with, where it was made for the command that calls; `me` is this process.
///
/// bwrap, unshare(1) and firejail make a PID namespace for one command: its first process is the command, or starts it at once and
/// ends with it. A coding agent's sandbox does so for every call. In a container the first process has been there for long when
/// a call begins, or it is one of [`INITS`].
fn lifetime(origin: &NamespaceOrigin, me: i32) -> Option<Member> {
    let NamespaceOrigin { init, command } = origin;
    if INITS.contains(&init.name.as_str()) {
        return None;
    }
    if [init.pid, command.pid].contains(&me) {
        // The caller is the first process.
        return Some(init.clone());
    }
    (command.started.saturating_sub(init.started) <= AT_ONCE).then(|| command.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: i32, name: &str, started: u64) -> Member {
        Member { pid, name: name.to_owned(), started: Duration::from_millis(started) }
    }

    fn ends_with(init: (&str, u64), command: (i32, &str, u64), me: i32) -> Option<String> {
        let origin =
            NamespaceOrigin { init: member(1, init.0, init.1), command: member(command.0, command.1, command.2) };
        lifetime(&origin, me).map(|member| member.name)
    }

    #[test]
    fn a_namespace_that_was_made_for_the_call_ends_with_it() {
        // bwrap --unshare-pid bash -c 'cd x; dogwatch run -d ...'
        assert_eq!(ends_with(("bwrap", 9000), (2, "bash", 9010), 5).as_deref(), Some("bash"));
        // The shell has replaced itself by dogwatch.
        assert_eq!(ends_with(("bwrap", 9000), (2, "dogwatch", 9010), 2).as_deref(), Some("bwrap"));
        // unshare --pid --fork bash, and a shell as the first process of a container: dogwatch is its child.
        assert_eq!(ends_with(("bash", 9000), (700, "dogwatch", 99_000), 700).as_deref(), Some("bash"));
        assert_eq!(ends_with(("dogwatch", 9000), (1, "dogwatch", 9000), 1).as_deref(), Some("dogwatch"));
    }

    #[test]
    fn a_container_goes_on_after_the_call() {
        // An agent that is a container's first process, and calls a shell long after its own start.
        assert_eq!(ends_with(("node", 9000), (57, "bash", 60_000), 60), None);
        for init in INITS {
            assert_eq!(ends_with((init, 9000), (7, "bash", 9010), 60), None, "{init}");
            assert_eq!(ends_with((init, 9000), (60, "dogwatch", 9010), 60), None, "{init}");
        }
    }
}
