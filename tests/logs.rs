//! `log`: whole, its end, followed; into a pipe byte for byte.
//!
//! What a terminal shows is tested in tests/terminal.rs.

use crate::support::{Place, Running, kill, until};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

fn append(place: &Place, name: &str, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(place.file(name)).expect("the log");
    file.write_all(bytes).expect("it is written");
}

fn bytes(place: &Place, words: &[&str]) -> Vec<u8> {
    let output = place.command(words).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    output.stdout
}

#[test]
fn a_pipe_gets_every_byte_and_n_the_last_lines() {
    let place = Place::new();
    let script = "printf 'one\\r\\n\\033[31mtwo\\000\\377\\nthree'";
    place.dogwatch(["run", "s", "--", "sh", "-c", script]);
    let whole = b"one\r\n\x1b[31mtwo\0\xff\nthree";
    assert_eq!(bytes(&place, &["log", "s"]), whole);
    assert_eq!(bytes(&place, &["log", "s", "-n", "2"]), b"\x1b[31mtwo\0\xff\nthree");
    assert_eq!(bytes(&place, &["log", "s", "-n", "0"]), b"");
    assert_eq!(bytes(&place, &["log", "s", "-f"]), whole, "a step that has ended is followed to its end at once");
    assert_eq!(bytes(&place, &["log", "s", "-f", "-n", "1"]), b"three");
}

#[test]
fn a_step_that_has_not_started_is_5_and_one_without_a_log_is_a_sentence() {
    let place = Place::new();
    let absent = place.dogwatch(["log", "none"]);
    assert_eq!((absent.code, absent.stderr.lines().count()), (5, 1), "{absent:?}");
    let mut command = place.command(["log", "none", "-f"]);
    let followed = command.env("DOGWATCH_START_TIMEOUT", "50ms").output().expect("it runs");
    assert_eq!(followed.status.code(), Some(5), "{followed:?}");
    place.dogwatch(["run", "s", "--log", "none", "--", "true"]);
    let without = place.dogwatch(["log", "s"]);
    assert_eq!((without.code, without.stderr.contains("keeps no log")), (0, true), "{without:?}");
}

#[test]
fn what_a_bound_dropped_is_skipped_and_said() {
    let place = Place::new();
    let script = "head -c 30000000 /dev/zero | tr '\\0' x; echo; sleep 0.3; echo last";
    place.dogwatch(["run", "s", "--log-max", "1MB", "--", "sh", "-c", script]);
    let text = String::from_utf8(bytes(&place, &["log", "s"])).expect("no zeros, and x is text");
    let begins = text.trim_start().chars().take(40).collect::<String>();
    assert!(begins.starts_with("[dogwatch: ") && !text.contains('\0') && text.ends_with("\nlast\n"), "{begins}");
}

/// Follows a step's log, its output to be read along.
fn follow(place: &Place) -> (std::process::Child, impl FnMut(&str)) {
    let mut child =
        place.command(["log", "s", "-f"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut out = child.stdout.take().expect("its output");
    let expect = move |text: &str| {
        let mut there = vec![0; text.len()];
        out.read_exact(&mut there).expect("as much as that");
        assert_eq!(String::from_utf8_lossy(&there), text);
    };
    (child, expect)
}

#[test]
fn a_followed_log_is_passed_on_as_it_grows_and_ends_with_the_step() {
    let place = Place::new();
    place.detach("s", "echo begun; while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; echo done; exit 7");
    let (mut child, mut expect) = follow(&place);
    expect("begun\n");
    for line in ["more\n", "part", "ly\n"] {
        append(&place, "s.log", line.as_bytes());
        expect(line);
    }
    fs::rename(place.file("s.log"), place.file("s.log.1")).expect("rotated");
    append(&place, "s.log", b"in the new one\n");
    expect("in the new one\n");
    place.write("go", "");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn following_ends_when_nobody_reads_any_more_and_when_it_is_interrupted() {
    let place = Place::new();
    let pid = place.detach("s", "echo begun; sleep 300");
    // Before anything is appended here: the shell has been started by now, but may not have said its word.
    until("it has begun", || fs::read(place.file("s.log")).is_ok_and(|log| log == b"begun\n"));
    let (mut child, expect) = follow(&place);
    drop(expect);
    until("it has noticed", || {
        append(&place, "s.log", b"more\n");
        child.try_wait().expect("its status").is_some()
    });
    let (mut child, mut expect) = follow(&place);
    expect("begun\n");
    kill("TERM", child.id().cast_signed());
    // Before it waits for the step the signal ends it as any other program.
    let status = child.wait().expect("it ends");
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status:?}");
    assert!(crate::support::lives(pid));
}

#[test]
fn a_followed_log_may_come_later() {
    let place = Place::new();
    let log: Running = place.start(["log", "s", "-f"]);
    until("it waits", || log.has_events());
    place.dogwatch(["run", "s", "--", "echo", "at last"]);
    let ended = log.end_at_all();
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "at last\n"), "{ended:?}");
}

#[test]
fn a_misspelt_name_is_told_at_once_and_followed_all_the_same() {
    let place = Place::new();
    place.dogwatch(["run", "build", "--", "true"]);
    let mut command = place.command(["log", "-f", "biuld"]);
    let mut log = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(log.stderr.take().expect("its words")).read_line(&mut line).expect("a line");
    assert!(line.contains("there is no step biuld") && line.contains("did you mean build?"), "{line}");
    place.dogwatch(["run", "biuld", "--", "true"]);
    assert_eq!(log.wait().expect("it ends").code(), Some(0));
    // What is there, or is not waited for, needs no remark.
    assert_eq!(place.dogwatch(["log", "-f", "build"]).stderr, "");
    let missing = place.dogwatch(["log", "other"]);
    assert_eq!((missing.code, missing.stderr.lines().count()), (5, 1), "{missing:?}");
}

#[test]
fn of_several_steps_each_ones_output_stands_under_a_heading() {
    let place = Place::new();
    place.dogwatch(["run", "a", "--", "printf", "one\ntwo\n"]);
    place.dogwatch(["run", "b", "--", "printf", "half"]);
    place.dogwatch(["run", "c", "--", "echo", "three"]);
    let all = place.dogwatch(["log", "a", "b", "a", "c"]);
    let text = "==> a <==\none\ntwo\n\n==> b <==\nhalf\n\n==> c <==\nthree\n";
    assert_eq!((all.code, all.stdout.as_str()), (0, text), "{all:?}");
    let ends = place.dogwatch(["log", "a", "c", "-n", "1"]);
    assert_eq!(ends.stdout, "==> a <==\ntwo\n\n==> c <==\nthree\n");
    let absent = place.dogwatch(["log", "a", "nosuch"]);
    assert_eq!((absent.code, absent.stdout.as_str()), (5, "==> a <==\none\ntwo\n"), "{absent:?}");
    assert!(absent.stderr.contains("there is no step nosuch"), "{absent:?}");
}

#[test]
fn several_steps_are_followed_at_once_until_the_last_has_ended() {
    let place = Place::new();
    for step in ["a", "b"] {
        let script =
            format!("echo begun {step}; while [ ! -e $DOGWATCH_DIR/{step}.go ]; do sleep 0.02; done; echo done {step}");
        place.detach(step, &script);
    }
    let out = place.file("followed.txt");
    let mut command = place.command(["log", "a", "b", "-f"]);
    let mut child = command.stdout(fs::File::create(&out).expect("a file")).spawn().expect("it starts");
    let shows = |text: &str| until(text, || fs::read_to_string(&out).is_ok_and(|all| all.contains(text)));
    shows("==> a <==\nbegun a\n");
    shows("==> b <==\nbegun b\n");
    place.write("a.go", "");
    shows("done a\n");
    place.write("b.go", "");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    let all = fs::read_to_string(&out).expect("the output");
    assert!(all.ends_with("\n==> b <==\ndone b\n"), "{all}");
}

#[test]
fn following_several_steps_ends_when_it_is_interrupted_or_nobody_reads() {
    let place = Place::new();
    place.detach("a", "while :; do echo more; sleep 0.01; done");
    place.detach("silent", "sleep 300");
    let follow = || {
        let mut command = place.command(["log", "a", "silent", "-f"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    let mut child = follow();
    drop(child.stdout.take());
    child.wait().expect("it ends");
    let mut child = follow();
    let mut first = [0; 1];
    child.stdout.as_mut().expect("its output").read_exact(&mut first).expect("output");
    kill("TERM", child.id().cast_signed());
    let status = child.wait().expect("it ends");
    assert!(status.code() == Some(143) || status.signal() == Some(15), "{status:?}");
}

#[test]
fn the_end_of_a_log_in_json_is_what_a_person_would_see_whoever_prints_it() {
    let place = Place::new();
    let script =
        "printf 'old 10%%\\rnew \\033[31m99%%\\033[0m\\n\\033]0;title\\007last \\033[1mwords\\033[0m\\n'; exit 3";
    place.dogwatch(["run", "s", "--", "sh", "-c", script]);
    for command in ["wait", "check", "recover", "list"] {
        let mut words = vec![command, "--json"];
        if command != "list" {
            words.push("s");
        }
        let ended = place.dogwatch(&words);
        let tail = ended.json()["log_tail"].clone();
        let right = if command == "list" {
            serde_json::json!(["last words"])
        } else {
            serde_json::json!(["new 99%", "last words"])
        };
        assert_eq!(tail, right, "{command}");
    }
}
