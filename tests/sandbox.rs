//! A coding agent's sandbox: a PID namespace for one call and a root that nothing can be written to.

#![cfg(target_os = "linux")]

use crate::support::{Ended, Place, own_namespace};
use std::path::Path;
use std::process::Command;

/// bwrap as coding agents call it: everything read-only but `place`, and a PID namespace that dies with the call. `None`, and a
/// line that says so, where this user cannot use it.
fn bwrap(place: &Path, more: &[&str]) -> Option<Vec<String>> {
    let place = place.to_string_lossy();
    let common = [
        "bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--bind", &place, &place, "--unshare-pid", "--die-with-parent",
    ];
    let prefix: Vec<String> = common.iter().chain(more).map(ToString::to_string).collect();
    if Command::new("bwrap").args(&prefix[1..]).arg("true").output().is_ok_and(|tried| tried.status.success()) {
        return Some(prefix);
    }
    eprintln!("left out: bwrap is missing, or may not make namespaces here");
    None
}

fn run(place: &Place, prefix: &[String], arguments: &[&str]) -> Ended {
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    Ended::of(&place.through(&prefix, arguments).output().expect("the sandbox starts"))
}

/// The sentence of a detached run that dies with `name`.
fn sentence(step: &str, name: &str, pid: u32) -> String {
    format!(
        "dogwatch: {step}: this sandbox ends with {name} (pid {pid}), and the kernel then kills this run; start it outside the \
         sandbox, or without -d in a call that lasts as long as the work\n"
    )
}

#[test]
fn a_detached_run_in_a_sandbox_says_at_its_start_that_it_dies_with_the_call() {
    let place = Place::new();
    // A sandbox need not mount a /proc of its own; then /proc shows the pids of the system.
    for (step, more) in [("own", &["--proc", "/proc"][..]), ("outer", &[])] {
        let Some(mut prefix) = bwrap(place.path(), more) else { return };
        // dogwatch is the sandbox's only command.
        let direct = run(&place, &prefix, &["run", "-d", step, "--", "sleep", "300"]);
        assert_eq!((direct.code, direct.stderr), (0, sentence(step, "bwrap", 1)));
        assert_eq!(place.dogwatch(["wait", step]).code, 4, "and so it died");
        // A shell is, and calls dogwatch.
        prefix.extend(["sh", "-c", "\"$0\" \"$@\"; code=$?; exit $code"].map(str::to_owned));
        let called = run(&place, &prefix, &["run", "-d", step, "--", "sleep", "300"]);
        assert_eq!((called.code, called.stderr), (0, sentence(step, "sh", 2)));
        assert_eq!(place.dogwatch(["wait", step, "--new"]).code, 4, "and so it died");
        let quiet = run(&place, &prefix, &["-q", "run", "-d", step, "--", "sleep", "300"]);
        assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    }
}

#[test]
fn a_run_that_stays_with_its_call_says_nothing_of_the_sandbox() {
    let place = Place::new();
    let Some(prefix) = bwrap(place.path(), &["--proc", "/proc"]) else { return };
    let ended = run(&place, &prefix, &["run", "work", "--", "true"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(place.dogwatch(["wait", "work"]).code, 0);
}

#[test]
fn a_detached_run_in_a_namespace_of_unshare_says_so_too() {
    let place = Place::new();
    let Some(prefix) = own_namespace() else { return };
    let prefix: Vec<String> = prefix.into_iter().map(str::to_owned).collect();
    let ended = run(&place, &prefix, &["run", "-d", "work", "--", "sleep", "300"]);
    // dogwatch itself is the first process.
    assert_eq!((ended.code, ended.stderr), (0, sentence("work", "dogwatch", 1)));
}

#[test]
fn outside_of_a_sandbox_a_detached_run_says_nothing() {
    let place = Place::new();
    let ended = place.dogwatch(["run", "-d", "work", "--", "true"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn where_the_default_directory_is_read_only_the_sentence_names_the_variable() {
    let place = Place::new();
    let Some(prefix) = bwrap(place.path(), &["--proc", "/proc"]) else { return };
    let mut command = Command::new(&prefix[0]);
    command.args(&prefix[1..]).arg(crate::support::binary()).args(["run", "work", "--", "true"]);
    for variable in ["DOGWATCH_DIR", "XDG_RUNTIME_DIR", "TMPDIR"] {
        command.env_remove(variable);
    }
    let ended = Ended::of(&command.output().expect("the sandbox starts"));
    assert_eq!((ended.code, ended.stdout.as_str()), (125, ""));
    assert!(
        ended.stderr.contains("read-only file system") && ended.stderr.contains("DOGWATCH_DIR"),
        "{}",
        ended.stderr
    );
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}
