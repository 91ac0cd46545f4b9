//! A person's own command, run by `sh -c` for a bounded time and heard on standard error only.
//!
//! Refuses to let it near this process's standard input and output, which belong to the caller, and to leave it running
//! when its time is over.

use super::clock;
use super::spawn::Ended;
use crate::protocol::time::Moment;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The shortest and the longest pause between two looks at whether it has ended.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
/// How long KILL may take. Only a process stuck in the kernel (state D) needs longer.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// Runs the command to its end; nothing where it took longer than `limit` and was killed with its whole group.
///
/// # Errors
/// It could not be started, or its end could not be seen.
pub(crate) fn run(command: &OsStr, variables: &[(&str, OsString)], limit: Duration) -> io::Result<Option<Ended>> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(io::stderr().as_fd().try_clone_to_owned()?)
        // A group of its own: it can be killed whole, and the terminal's Ctrl-C, which leaves the work alone, leaves
        // what has begun to end it alone too.
        .process_group(0)
        .spawn()?;
    if let Some(status) = end_of(&mut child, clock::now().plus(limit))? {
        return Ok(Some(match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Code(code),
            (None, signal) => Ended::Signal(signal.unwrap_or_default()),
        }));
    }
    // It is not reaped yet, so its number is still its group's. Gone at this moment is as good.
    let _gone = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    end_of(&mut child, clock::now().plus(KILL_LIMIT))?;
    Ok(None)
}

fn end_of(child: &mut Child, deadline: Moment) -> io::Result<Option<ExitStatus>> {
    let (mut pause, longest) = PAUSE;
    loop {
        // The clock first: what has ended by the deadline has ended in time.
        let now = clock::now();
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if now >= deadline {
            return Ok(None);
        }
        clock::sleep_until(now.plus(pause).min(deadline));
        pause = pause.saturating_mul(2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn how_it_ended_is_told() {
        let run = |command: &str| run(OsStr::new(command), &[("WORD", "x y".into())], LONG).unwrap();
        assert_eq!(run("test \"$WORD\" = 'x y' && ! read line"), Some(Ended::Code(0)));
        assert_eq!(run("exit 3"), Some(Ended::Code(3)));
        assert_eq!(run("kill -KILL $$"), Some(Ended::Signal(9)));
    }

    #[test]
    fn what_outlives_its_time_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let command = "sleep 300 & echo $! $$ > \"$PIDS.new\"; mv \"$PIDS.new\" \"$PIDS\"; wait";
        let began = clock::now();
        let ended = run(OsStr::new(command), &[("PIDS", pids.clone().into_os_string())], Duration::from_millis(300));
        assert_eq!(ended.unwrap(), None);
        assert!(clock::now().since(began) < LONG);
        let text = std::fs::read_to_string(pids).unwrap();
        for pid in text.split_whitespace().map(|pid| pid.parse().unwrap()) {
            // The shell's own child is reaped by whoever adopts it; until then it is a zombie, which is gone too.
            while crate::os::platform::process::look(pid) != crate::os::process::Lookup::Gone {
                assert!(clock::now().since(began) < LONG, "process {pid} still lives");
                std::thread::yield_now();
            }
        }
    }
}
