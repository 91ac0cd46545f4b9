//! What COMMAND leaves running when it exits: readers of its last words are let read them, the rest is ended and told.
//!
//! `DOGWATCH_TEE_SCRIPTS=2000` sets how many scripts of the kind `exec > >(tee log); …; exit N` are run (40).

#![cfg(target_os = "linux")]

use crate::support::{Place, in_parallel, lives, until};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

/// Runs a bash script as a step, with its directory as the current folder.
fn bash(place: &Place, step: &str, more: &[&str], script: &str) -> crate::support::Ended {
    let mut arguments = vec!["run", step, "--no-breaker"];
    arguments.extend(more);
    arguments.extend(["--", "bash", "-c", script]);
    let output = place.through(&["env"], arguments).output().expect("it runs");
    crate::support::Ended::of(&output)
}

fn detail(place: &Place, step: &str) -> String {
    place.wait_json(step, &[])["detail"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn no_script_that_logs_through_tee_loses_its_last_line() {
    let scripts = std::env::var("DOGWATCH_TEE_SCRIPTS").map_or(40, |text| text.parse().expect("a number"));
    let place = Place::new();
    in_parallel(scripts, 4, |number| {
        let step = format!("s{number}");
        let code = number % 3;
        let script = format!(
            "exec > >(tee {step}.copy) 2>&1; seq 1 {}; echo last words of {number}; exit {code}",
            number % 7 * 4000
        );
        let run = bash(&place, &step, &[], &script);
        assert_eq!(run.code, i32::try_from(code).expect("a code"), "{run:?}");
        let last = format!("last words of {number}");
        for file in [format!("{step}.log"), format!("{step}.copy")] {
            assert_eq!(place.read(&file).lines().last(), Some(last.as_str()), "{file}: {run:?}");
        }
        assert_eq!(detail(&place, &step), "", "it ended by itself");
        assert!(!run.stderr.contains("ended"), "{run:?}");
    });
}

#[test]
fn readers_of_every_kind_are_let_finish() {
    let place = Place::new();
    for (step, script, file, last) in [
        ("gzip", "exec > >(gzip > out.gz) 2>&1; seq 1 300000; echo END", "out.gz", None),
        (
            "slow",
            "exec > >(while read -r l; do sleep .01; echo \"$l\"; done); seq 1 50; echo END",
            "slow.log",
            Some("END"),
        ),
        // A chain: the second reads what the first, which still reads, writes.
        ("chain", "exec > >(cat | (sleep .2; cat) > chain.out); seq 1 50000; echo END", "chain.out", Some("END")),
        ("fifo", "mkfifo f; (cat < f > fifo.out) & exec > f; seq 1 50000; echo END", "fifo.out", Some("END")),
    ] {
        let run = bash(&place, step, &[], script);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{step}: {run:?}");
        match last {
            Some(last) => assert_eq!(place.read(file).lines().last(), Some(last), "{step}"),
            None => {
                let whole = Command::new("gzip").arg("-t").arg(place.file(file)).output().expect("gzip runs");
                assert!(whole.status.success(), "{whole:?}");
            }
        }
    }
    assert_eq!(place.read("slow.log").lines().count(), 51);
}

#[test]
fn what_holds_the_readers_pipe_is_ended_at_once_and_the_reader_then_finishes() {
    let place = Place::new();
    let began = Instant::now();
    let script = "exec > >(tee out); sleep 300 & echo $! > sleeper; seq 1 20000; echo END; exit 3";
    let run = bash(&place, "s", &["--grace", "30s"], script);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "the sleeper had no grace");
    assert_eq!(place.read("out").lines().last(), Some("END"));
    assert!(!lives(place.read("sleeper").trim().parse().expect("a pid")));
    assert!(run.stderr.contains("1 process"), "{run:?}");
    assert!(detail(&place, "s").contains("1 process"), "{}", detail(&place, "s"));
}

#[test]
fn a_reader_that_does_not_end_has_the_grace_and_no_more() {
    let place = Place::new();
    let script = "exec > >(cat > out; echo > at-end; exec sleep 300); echo END; exit 0";
    let run = bash(&place, "s", &["--grace", "700ms"], script);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!((place.read("out").as_str(), place.file("at-end").exists()), ("END\n", true));
    assert!(detail(&place, "s").contains("1 process"), "{}", detail(&place, "s"));
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
}

#[test]
fn what_reads_no_pipe_of_commands_is_ended_at_once_and_counted() {
    let place = Place::new();
    // The last two hold both ends of a pipe, as a job server's children do: nothing comes through it any more.
    let script = "sleep 301 & sleep 302 & mkfifo f; exec 7<>f; sleep 303 & sleep 304 & exit 0";
    let began = Instant::now();
    let run = bash(&place, "s", &["--grace", "30s"], script);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "no grace for what reads nothing");
    assert!(run.stderr.contains("4 processes"), "{run:?}");
    let report = place.wait_json("s", &[]);
    assert_eq!(report["outcome"], "success");
    assert!(report["detail"].as_str().is_some_and(|detail| detail.contains("4 processes")), "{report}");
    let quiet = bash(&place, "q", &["--keep-children"], "sleep 300 & echo $! > kept; exit 0");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));
    assert!(lives(place.read("kept").trim().parse().expect("a pid")));
}

#[test]
fn a_drain_that_is_interrupted_ends_at_once_with_commands_own_end() {
    let place = Place::new();
    let script = "exec > >(cat > out; : > at-end; exec sleep 300); echo END; exit 5";
    let mut run = crate::support::Running::start(place.through(
        &["env", "--default-signal=INT,TERM"],
        ["run", "s", "--no-breaker", "--grace", "300s", "--", "bash", "-c", script],
    ));
    until("the reader has read all", || place.file("at-end").exists());
    assert!(!run.has_ended());
    crate::support::kill("TERM", run.pid());
    let run = run.end_at_all();
    assert_eq!(run.code, 5, "{run:?}");
    assert_eq!(place.wait_json("s", &[])["exit_code"], json!(5));
}
