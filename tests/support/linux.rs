//! What tests ask of the machine, by procfs; `macos.rs` answers the same.
//!
//! A zombie does not count as a living process.

/// What starts a program in a session of its own, before its name on a shell's line.
pub const APART: &str = "setsid";

/// What a descriptor that takes events of files is called.
pub const EVENTS: &str = "inotify";

/// The signals of 1 to 31 that end a process (CHLD CONT STOP TSTP TTIN TTOU URG WINCH do not), and nameless real-time
/// ones.
pub const DEADLY: &str = "1 SIGHUP 2 SIGINT 3 SIGQUIT 4 SIGILL 5 SIGTRAP 6 SIGABRT 7 SIGBUS 8 SIGFPE 9 SIGKILL \
    10 SIGUSR1 11 SIGSEGV 12 SIGUSR2 13 SIGPIPE 14 SIGALRM 15 SIGTERM 16 SIGSTKFLT 24 SIGXCPU 25 SIGXFSZ 26 SIGVTALRM \
    27 SIGPROF 29 SIGIO 30 SIGPWR 31 SIGSYS 34 SIG 40 SIG 64 SIG";

/// Whether a process lives; a zombie does not.
pub fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

/// A process's start in the kernel's own ticks, as proc(5) has it. No tool of macOS tells it as exactly as it is recorded.
pub fn started(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a living process");
    let (_, rest) = stat.rsplit_once(") ").expect("a name in brackets");
    rest.split(' ').nth(19).and_then(|ticks| ticks.parse().ok()).expect("a number")
}

/// Whether a process has a handler for a signal (`proc_pid_status(5)`).
pub fn catches(pid: i32, signal: nix::sys::signal::Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (signal as i32 - 1)) != 0)
}

/// The living processes whose environment carries this variable.
pub fn marked(variable: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|entry| entry == variable.as_bytes()) && lives(pid)
    })
    .collect()
}

/// Has this process open as many files as a hundred children's streams take: here it may anyway.
pub fn make_room() {}

/// Whether `marked` finds programs of the system too: here always.
pub fn shows_marks() -> bool {
    true
}

/// What stands behind each descriptor of a process: a path, or what the kernel calls it.
pub fn open_files(pid: i32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = entries.map(|entry| entry.path().read_link().unwrap_or_default());
    links.map(|link| link.to_string_lossy().into_owned()).collect()
}
