//! What the program leaves behind when it has gone: no process of its own, dead or alive, but a detached run's.
//!
//! It runs in a PID namespace whose first process reaps nothing, as in most containers: whatever is left to that one stays
//! in the list of processes for ever.

#![cfg(target_os = "linux")]

use crate::support::{Ended, Place, Running, until};
use std::path::PathBuf;
use std::process::{Child, Command};

/// A PID namespace whose first process is `sleep`.
struct Container {
    unshare: Child,
    first: String,
}

impl Container {
    /// Nothing, and a word on why, where this user may make none.
    fn new() -> Option<Self> {
        let prefix = crate::support::own_namespace()?;
        let unshare = Command::new(prefix[0]).args(&prefix[1..]).args(["sleep", "600"]).spawn().expect("it starts");
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let first = || std::fs::read_to_string(&children).unwrap_or_default().trim().to_owned();
        // Before that the program is still unshare, and /proc not mounted yet.
        let comm = |pid: String| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        until("the namespace has its first process", || comm(first()) == "sleep\n");
        Some(Self { first: first(), unshare })
    }

    fn command(&self, place: &Place, words: &[&str]) -> Command {
        let mut prefix = vec!["nsenter", "--target", &self.first, "--pid", "--mount"];
        if !nix::unistd::geteuid().is_root() {
            prefix.extend(["--user", "--preserve-credentials"]);
        }
        place.through(&prefix, words)
    }

    fn dogwatch(&self, place: &Place, words: &[&str]) -> Ended {
        Ended::of(&self.command(place, words).output().expect("nsenter runs"))
    }

    /// Every process of the program's own, with its state; without the wrappers of these steps.
    fn own(&self, place: &Place, detached: &[&str]) -> Vec<String> {
        let wrappers: Vec<String> = detached.iter().map(|step| place.pid(step).to_string()).collect();
        let entries = std::fs::read_dir(format!("/proc/{}/root/proc", self.first)).expect("its /proc");
        let processes = entries.filter_map(|entry| {
            let path: PathBuf = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse::<u32>().ok()?.to_string();
            let stat = std::fs::read_to_string(path.join("stat")).ok()?;
            let own = stat.split_once('(')?.1.starts_with("dogwatch");
            (own && !wrappers.contains(&number)).then_some(stat)
        });
        processes.collect()
    }

    #[track_caller]
    fn is_clean(&self, place: &Place, detached: &[&str], after: &str) {
        let left = self.own(place, detached);
        assert!(left.is_empty(), "after {after}: {left:?}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // With the first process all others of the namespace end.
        let _gone = self.unshare.kill();
        let _reaped = self.unshare.wait();
    }
}

/// Whether what `nsenter` has started watches a directory.
fn watches(nsenter: &Running) -> bool {
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", nsenter.pid())).unwrap_or_default();
    let of = |pid: &str| pid.parse().map(crate::support::open_files).unwrap_or_default();
    children.split_whitespace().any(|pid| of(pid).iter().any(|what| what.contains("inotify")))
}

#[test]
fn no_process_of_the_programs_own_outlives_it() {
    let Some(container) = Container::new() else { return };
    let place = Place::new();
    let until_go = r#"until [ -e "$DOGWATCH_DIR/$DOGWATCH_STEP.go" ]; do sleep 0.01; done"#;
    let mut detached = Vec::new();
    for step in ["a", "b", "c"] {
        let started = container.dogwatch(&place, &["run", "-d", step, "--", "sh", "-c", until_go]);
        assert_eq!(started.code, 0, "{started:?}");
        detached.push(step);
        container.is_clean(&place, &detached, "run -d");

        let waiter = Running::start(container.command(&place, &["wait", step]));
        until("the wait is armed", || watches(&waiter));
        assert_eq!(container.dogwatch(&place, &["wait", step, "--for", "20ms"]).code, 75);
        place.write(&format!("{step}.go"), "");
        assert_eq!(waiter.end_at_all().code, 0);
        // The waiter of 20 ms is long gone; this one has gone at this moment.
        container.is_clean(&place, &detached, "wait");
    }
    for (words, code) in [
        (&["run", "plain", "--", "true"][..], 0),
        (&["run", "--tee", "tee", "--", "sh", "-c", "echo a; sleep 0.1; echo b"], 0),
        (&["run", "orphans", "--", "sh", "-c", "sleep 600 & sleep 600 & exit 3"], 3),
        (&["run", "overdue", "--max-timeout", "100ms", "--", "sleep", "600"], 124),
        (&["check", "a"], 0),
        (&["list"], 0),
    ] {
        let ended = container.dogwatch(&place, words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
        container.is_clean(&place, &detached, &words.join(" "));
    }
    for (step, words, code) in [
        ("killed", &["kill", "killed"][..], 0),
        ("over", &["recover", "over", "--max-timeout", "10ms", "--grace", "1s"], 124),
    ] {
        let started = container.dogwatch(&place, &["run", "-d", step, "--", "sleep", "600"]);
        assert_eq!(started.code, 0, "{started:?}");
        detached.push(step);
        let ended = container.dogwatch(&place, words);
        assert_eq!(ended.code, code, "{words:?}: {ended:?}");
        container.is_clean(&place, &detached, words[0]);
    }
}
