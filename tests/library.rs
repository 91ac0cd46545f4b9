//! The library as another program calls it: it answers, and leaves that program as it was.
//!
//! These tests have a process of their own, because they count its descriptors and threads.

#![cfg(target_os = "linux")]

mod support;

use dogwatch::{Outcome, StepName, WaitOptions};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::until;

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("the kernel tells").count()
}

#[test]
fn a_hundred_waits_in_one_process_leave_no_thread_and_no_descriptor_and_signals_end_it_as_before() {
    let place = tempfile::tempdir().expect("a folder");
    let step = StepName::parse("s").expect("a name");
    let request = WaitOptions::new(place.path()).step(step).at_most(Duration::from_millis(5));
    let wait_once = || {
        let reports = request.wait().expect("an answer");
        assert_eq!(reports[0].outcome, Outcome::NotStarted);
    };
    wait_once();
    // What is made once for all waits is no leak; what a thread that is just ending holds is gone soon.
    until("only this test's own threads are there", || count("/proc/self/task") <= 2);
    let descriptors = count("/proc/self/fd");
    for _ in 0..100 {
        wait_once();
    }
    until("every thread has gone", || count("/proc/self/task") <= 2);
    until("every descriptor was given back", || count("/proc/self/fd") <= descriptors);
    // A handler may stay; with nobody listening a signal does what it did before.
    let ended = take_a_term().wait_with_output().expect("it ends");
    assert_eq!(ended.status.signal(), Some(nix::sys::signal::Signal::SIGTERM as i32), "{ended:?}");
}

/// This very test file once more, as a process that waits and then takes a TERM.
fn take_a_term() -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this executable"));
    command.args(["--exact", "a_process_that_has_waited_takes_a_term"]).env("LIBRARY_CHILD", "1");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn a_process_that_has_waited_takes_a_term() {
    // Only the process that the other test starts does it: it ends by the signal.
    if std::env::var_os("LIBRARY_CHILD").is_none() {
        return;
    }
    let place = tempfile::tempdir().expect("a folder");
    let step = "s".parse().expect("a name");
    let request = WaitOptions::new(place.path()).step(step).at_most(Duration::from_millis(5));
    request.wait().expect("an answer");
    let this = nix::unistd::Pid::this();
    nix::sys::signal::kill(this, nix::sys::signal::Signal::SIGTERM).expect("a signal");
    std::thread::park_timeout(support::PATIENCE);
    panic!("it lives on");
}

#[test]
fn a_program_that_uses_the_library_alone_builds_neither_clap_nor_toml() {
    let tree = |features: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none"]).args(features);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("names")
    };
    let (program, library) = (tree(&[]), tree(&["--no-default-features"]));
    for name in ["clap", "clap_complete", "clap_mangen", "terminal_size", "toml"] {
        let is_in = |tree: &str| tree.lines().any(|line| line.starts_with(&format!("{name} v")));
        assert!(is_in(&program) && !is_in(&library), "{name}: {library}");
    }
}
