//! Trees of real processes, ended; and those who must never be signalled.

use super::*;
use crate::sys::process::Environment;
use crate::sys::process::info::my_lineage;
use std::process::{Child, Command, Stdio};

fn target(pid: i32) -> KillTarget {
    KillTarget {
        pid: Some(pid),
        started: None,
        claimed_at: clock::wall(),
        owner: env::user(),
        group: None,
        group_started: None,
        mark: None,
        wrapper: Wrapper::Other,
        has_older_children: false,
    }
}

fn lives(pid: i32) -> bool {
    matches!(machine::look(pid), Lookup::Found(_))
}

/// A shell that has printed the pids of itself and of what it started.
fn tree(script: &str) -> (Child, Vec<i32>) {
    use std::io::{BufRead, BufReader};
    let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().map(Result::unwrap).take_while(|line| line != "ready");
    let mut pids: Vec<i32> = lines.map(|line| line.parse().unwrap()).collect();
    pids.push(child.id().cast_signed());
    (child, pids)
}

#[test]
fn a_shell_with_children_and_grandchildren_is_gone_before_the_report() {
    let script = "sleep 300 & echo $!; sh -c 'sleep 301 & echo $!; echo ready; wait' & wait";
    let (mut child, pids) = tree(script);
    assert!(pids.iter().all(|&pid| lives(pid)), "{pids:?}");
    let report = terminate(&target(child.id().cast_signed()), Escalation::term(Duration::from_secs(5)));
    assert_eq!(report, KillReport { killed: true, signalled: true, survivors: vec![], refusal: None });
    assert!(pids.iter().all(|&pid| !lives(pid)), "{pids:?}");
    child.wait().unwrap();
}

#[test]
fn nobody_who_is_forked_while_the_tree_is_ended_outlives_it() {
    use std::io::Read;
    for number in 0..100 {
        // Nothing but descent shows whose a child is; the test finds it by a variable that the hunt is not told.
        let mark = format!("TREE_TEST={}-{number}", current_pid());
        let (name, value) = mark.split_once('=').unwrap();
        let script = "echo; sh -c 'sleep 302 & sleep 302; :'; :";
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(name, value).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        // Right after the line: the forks that follow come while the hunt lists, stops and ends.
        let report = terminate(&target(child.id().cast_signed()), Escalation::term(Duration::from_secs(5)));
        assert_eq!(report, KillReport { killed: true, signalled: true, survivors: vec![], refusal: None });
        child.wait().unwrap();
        let is_left = |pid: &i32| lives(*pid) && machine::environment_holds(*pid, &mark) == Environment::Holds;
        let left: Vec<i32> = machine::pids().into_iter().filter(is_left).collect();
        for &pid in &left {
            let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        assert!(left.is_empty(), "{left:?} of round {number}");
    }
}

#[test]
fn who_ignores_term_is_killed_after_the_grace_and_a_stopped_one_goes_too() {
    let script = "trap '' TERM; sleep 300 & echo $!; kill -STOP $!; echo ready; while :; do wait; done";
    let (mut child, pids) = tree(script);
    let report = terminate(&target(child.id().cast_signed()), Escalation::term(Duration::from_millis(100)));
    assert_eq!(report, KillReport { killed: true, signalled: true, survivors: vec![], refusal: None });
    assert!(pids.iter().all(|&pid| !lives(pid)), "{pids:?}");
    child.wait().unwrap();
}

#[test]
fn nobody_protected_is_signalled_whatever_the_claim() {
    let parent = my_lineage().get(1).map_or(1, |entry| entry.pid);
    for pid in [1, 0, -1, current_pid(), parent] {
        let report = terminate(&target(pid), Escalation::term(Duration::ZERO));
        assert!(!report.killed && report.refusal.is_some(), "{pid}: {report:?}");
    }
}

#[test]
fn a_number_that_came_to_mean_another_process_is_left_alone() {
    let mut child = Command::new("sleep").arg("300").spawn().unwrap();
    let pid = child.id().cast_signed();
    let by_time = KillTarget { claimed_at: clock::wall().minus(Duration::from_secs(60)), ..target(pid) };
    let by_start = KillTarget { started: Some(1), ..target(pid) };
    for recycled in [by_time, by_start] {
        let report = terminate(&recycled, Escalation::term(Duration::ZERO));
        assert_eq!(report, KillReport::default());
        assert!(lives(pid));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_process_of_somebody_else_than_the_pid_files_owner_is_refused() {
    let mut child = Command::new("sleep").arg("300").spawn().unwrap();
    let pid = child.id().cast_signed();
    let report = terminate(&KillTarget { owner: env::user() + 1, ..target(pid) }, Escalation::term(Duration::ZERO));
    assert!(report.refusal.unwrap().contains("belongs to user"));
    assert!(lives(pid));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_wrapper_whose_child_is_ended_never_goes_on_with_its_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("went-on");
    for _ in 0..20 {
        let script = format!("echo ready; sh -c 'sleep 300; :'; echo on > {}", path.display());
        let (mut child, _) = tree(&script);
        let report = terminate(&target(child.id().cast_signed()), Escalation::term(Duration::from_secs(5)));
        assert!(report.killed, "{report:?}");
        child.wait().unwrap();
        assert!(!path.exists());
    }
}
