//! What tests ask of the machine, by ps(1) and lsof(8); `linux.rs` answers the same.
//!
//! A zombie does not count as a living process.

use super::{Bystander, unique};
use std::path::Path;
use std::process::Command;

/// What starts a program in a session of its own, before its name on a shell's line: macOS comes without setsid(1), so
/// what is started there stays in its parent's.
pub const APART: &str = "";

/// What a descriptor that takes events of files is called.
pub const EVENTS: &str = "KQUEUE";

/// The signals that end a process (CHLD CONT INFO IO STOP TSTP TTIN TTOU URG WINCH do not).
pub const DEADLY: &str = "1 SIGHUP 2 SIGINT 3 SIGQUIT 4 SIGILL 5 SIGTRAP 6 SIGABRT 7 SIGEMT 8 SIGFPE 9 SIGKILL \
    10 SIGBUS 11 SIGSEGV 12 SIGSYS 13 SIGPIPE 14 SIGALRM 15 SIGTERM 24 SIGXCPU 25 SIGXFSZ 26 SIGVTALRM 27 SIGPROF \
    30 SIGUSR1 31 SIGUSR2";

/// What a program prints; nothing is found is no failure.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    let state = printed("ps", &["-o", "state=", "-p", &pid.to_string()]);
    !matches!(state.trim_start().chars().next(), None | Some('Z'))
}

/// The living processes whose environment carries this variable, but for those that have the disk keep an outcome: they
/// are no part of a run, and gone as soon as the disk has answered.
///
/// Of the system's own programs the kernel tells no environment while System Integrity Protection is on.
pub fn marked(variable: &str) -> Vec<i32> {
    let all = printed("ps", &["-axEww", "-o", "pid=,command="]);
    let found = all.lines().filter_map(|line| {
        let (pid, command) = line.trim_start().split_once(' ')?;
        let pid = pid.parse().ok()?;
        let is_marked = command.split(' ').any(|word| word == variable);
        (is_marked && !keeps(pid, command)).then_some(pid)
    });
    found.collect()
}

/// Whether a process only has the disk keep an outcome: a child of dogwatch that goes by its parent's command line and
/// has closed all that it inherited.
fn keeps(pid: i32, command: &str) -> bool {
    let program = command.split_whitespace().next().map(Path::new);
    let is_ours = program.and_then(Path::file_name).is_some_and(|name| name == "dogwatch");
    is_ours && !descriptors(pid).iter().any(|(number, _)| matches!(number.as_str(), "0" | "1" | "2"))
}

/// Has this process open as many files as a hundred children's streams take: 256 are usual here.
pub fn make_room() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("its limits");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(4096)), hard).expect("room for descriptors");
}

/// Whether `marked` finds programs of the system too; where not, says why a test is skipped.
pub fn shows_marks() -> bool {
    let value = unique();
    let probe = Bystander::start(Command::new("sleep").arg("300").env("TEST_MARK", &value));
    let shown = marked(&format!("TEST_MARK={value}")).contains(&probe.pid());
    if !shown {
        eprintln!("skipped: System Integrity Protection hides what sh and sleep were given");
    }
    shown
}

/// What stands behind each descriptor of a process: its type and its name.
pub fn open_files(pid: i32) -> Vec<String> {
    descriptors(pid).into_iter().map(|(_, what)| what).collect()
}

/// A process's descriptors by their numbers. lsof gives a line to each field: `f3`, `tREG`, `n/path`.
fn descriptors(pid: i32) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in printed("lsof", &["-w", "-n", "-P", "-a", "-p", &pid.to_string(), "-F", "ftn"]).lines() {
        match (line.get(..1), line.get(1..)) {
            (Some("f"), Some(number)) => found.push((number.to_owned(), String::new())),
            (Some("t" | "n"), Some(part)) => {
                if let Some((_, what)) = found.last_mut() {
                    what.push_str(if what.is_empty() { "" } else { " " });
                    what.push_str(part);
                }
            }
            _ => {}
        }
    }
    // The rest is its folder, its program and what that has mapped.
    found.retain(|(number, _)| number.parse::<i32>().is_ok());
    found
}
