//! Standard streams that take nothing: a full pipe without a reader, a stopped terminal, a full disk. Limits, signals and
//! records do not wait for them.

#![cfg(target_os = "linux")]

use crate::support::{Place, kill, until};
use serde_json::json;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A pipe that is full, and its reading end.
fn full_pipe() -> (std::io::PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let writer = OwnedFd::from(writer);
    set_blocking(&writer, false);
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    while nix::unistd::write(&writer, b"x").is_ok() {}
    set_blocking(&writer, true);
    (reader, writer)
}

fn set_blocking(file: &OwnedFd, blocking: bool) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_truncate(fcntl(file.as_fd(), FcntlArg::F_GETFL).expect("its flags"));
    let flags = if blocking { flags - OFlag::O_NONBLOCK } else { flags | OFlag::O_NONBLOCK };
    fcntl(file.as_fd(), FcntlArg::F_SETFL(flags)).expect("its flags are set");
}

/// Starts `run` with these as its streams and waits for its end; its exit code.
fn code(mut command: std::process::Command, stdout: Stdio, stderr: Stdio) -> Option<i32> {
    let mut child = command.stdout(stdout).stderr(stderr).spawn().expect("it starts");
    until("run ends", || child.try_wait().expect("its status").is_some());
    child.wait().expect("its status").code()
}

#[test]
fn a_full_stderr_delays_no_limit_no_end_and_no_signal() {
    let place = Place::new();
    let (_reader, full) = full_pipe();
    let stderr = || Stdio::from(full.try_clone().expect("a descriptor"));
    let limited = place.command(["run", "limit", "--max-timeout", "300ms", "--", "sleep", "300"]);
    assert_eq!(code(limited, Stdio::null(), stderr()), Some(124));
    assert_eq!(place.wait_json("limit", &[])["outcome"], "timeout");
    // It has something to say before it publishes its end: what it was given is no JSON.
    let talks = place.command(["run", "talks", "--", "sh", "-c", "echo { > $DOGWATCH_RESULT; sleep 300 & exit 0"]);
    assert_eq!(code(talks, Stdio::null(), stderr()), Some(0));
    assert_eq!(place.wait_json("talks", &[])["outcome"], "success");
    let mut child = place
        .through(
            &["env", "--default-signal=TERM"],
            ["run", "s", "--grace", "300ms", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"],
        )
        .stderr(stderr())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    until("COMMAND is ready", || std::fs::read_to_string(place.file("s.log")).is_ok_and(|log| log == "ready\n"));
    kill("TERM", child.id().cast_signed());
    until("run ends", || child.try_wait().expect("its status").is_some());
    assert_eq!(place.meta("s")["reason"], "killed");
}

#[test]
fn a_tee_that_nobody_reads_delays_no_limit_no_end_and_no_signal() {
    let place = Place::new();
    let (_reader, full) = full_pipe();
    let stdout = || Stdio::from(full.try_clone().expect("a descriptor"));
    let limited =
        place.command(["run", "limit", "--tee", "--max-timeout", "300ms", "--", "sh", "-c", "echo x; exec sleep 300"]);
    let began = Instant::now();
    assert_eq!(code(limited, stdout(), Stdio::null()), Some(124));
    assert!(began.elapsed() < Duration::from_secs(40));
    assert_eq!(place.wait_json("limit", &[])["outcome"], "timeout");
    let mut ends = place.command(["run", "ends", "--tee", "--", "seq", "1", "20000"]);
    let ended =
        ends.stdout(stdout()).stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output().expect("it ends");
    assert_eq!(ended.status.code(), Some(0));
    let size = std::fs::metadata(place.file("ends.log")).expect("a log").len();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&size.to_string()) && said.contains("ends.log"), "{said}");
    // While it waits for the reader, a signal ends it at once: the run's own end stands already.
    let mut child = place
        .through(&["env", "--default-signal=TERM"], ["run", "s", "--tee", "--grace", "300s", "--", "seq", "1", "20000"])
        .stdout(stdout())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    until("the end is published", || place.file("s.status").exists());
    kill("TERM", child.id().cast_signed());
    until("run ends", || child.try_wait().expect("its status").is_some());
    assert_eq!(place.wait_json("s", &[])["outcome"], "success");
}

#[test]
fn a_slow_reader_of_a_tee_gets_every_byte() {
    let place = Place::new();
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut command = place.command(["run", "s", "--tee", "--", "seq", "1", "100000"]);
    let mut child = command.stdout(writer).spawn().expect("it starts");
    drop(command);
    until("the end is published", || place.file("s.status").exists());
    let (mut read, mut piece) = (Vec::<u8>::new(), vec![0_u8; 50_000]);
    loop {
        match reader.read(&mut piece).expect("it is read") {
            0 => break,
            length => read.extend(&piece[..length]),
        }
        // This pause is what is tested: a reader that is far slower than the writer, which meets a full pipe again and again.
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(child.wait().expect("its status").code(), Some(0));
    assert_eq!(read, std::fs::read(place.file("s.log")).expect("the log"));
}

#[test]
fn output_that_cannot_be_passed_on_is_told_and_changes_no_end() {
    let place = Place::new();
    let run = |stdout: Stdio| {
        let mut command = place.command(["run", "s", "--tee", "--", "echo", "hello"]);
        let output = command.stdout(stdout).stderr(Stdio::piped()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let (code, told) = run(full.into());
    assert!(code == Some(0) && told.contains("no space left on device") && told.contains("s.log"), "{code:?} {told}");
    assert_eq!(place.read("s.log"), "hello\n");
    // A reader that has gone has read enough.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(run(writer.into()), (Some(0), String::new()));
}

#[test]
fn a_stopped_terminal_delays_no_limit_and_no_end() {
    let place = Place::new();
    let terminal = nix::pty::openpty(None, None).expect("a terminal");
    // As Ctrl-S does it: nothing more is taken.
    nix::sys::termios::tcflow(&terminal.slave, nix::sys::termios::FlowArg::TCOOFF).expect("it is stopped");
    for (step, work, expected) in [("limit", "exec sleep 300", 124), ("fails", "exit 9", 9)] {
        let command = place.command(["run", step, "--max-timeout", "400ms", "--", "sh", "-c", work]);
        let stderr = Stdio::from(terminal.slave.try_clone().expect("a descriptor"));
        assert_eq!(code(command, Stdio::null(), stderr), Some(expected), "{step}");
    }
    assert_eq!(place.wait_json("limit", &[])["outcome"], "timeout");
    assert_eq!(place.wait_json("fails", &[])["exit_code"], json!(9));
}

#[test]
fn a_call_that_may_take_only_so_long_ends_in_time_also_where_nobody_reads() {
    let place = Place::new();
    place.detach("busy", "sleep 300");
    place.dogwatch(["run", "over", "--", "sh", "-c", "seq 1 30; exit 3"]);
    let (mut reader, full) = full_pipe();
    let stream = || Stdio::from(full.try_clone().expect("a descriptor"));
    for line in
        ["wait busy --for 0.2", "wait over --for 0.2", "recover busy --for 0.2 --json", "wait --for 0.2 -v busy"]
    {
        let both = place.command(line.split(' '));
        assert_eq!(code(both, stream(), stream()), Some(125), "{line}");
    }
    let joined = place.command(["run", "busy", "--for", "0.2", "--", "sleep", "300"]);
    assert_eq!(code(joined, stream(), Stdio::null()), Some(125));
    // It takes nothing at all of what it is given, or a part of it.
    for room in [0, 4096] {
        let mut taken = vec![0; room];
        reader.read_exact(&mut taken).expect("it is read");
        let events = place.command(["events", "--for", "1s"]).stdout(stream()).stderr(Stdio::piped()).spawn();
        let mut events = events.expect("it starts");
        let mut number = 0;
        until("events ends", || {
            number += 1;
            place.dogwatch(["run", &format!("quick{room}-{number}"), "--no-breaker", "--", "true"]);
            events.try_wait().expect("its status").is_some()
        });
        let ended = events.wait_with_output().expect("its output");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(125), "{said}");
        assert_eq!(said, "dogwatch: cannot write to standard output: it was not read in time\n");
    }
}

/// Whether a write to this pipe would block.
fn is_full(pipe: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], PollTimeout::ZERO) == Ok(0)
}

#[test]
fn a_signal_ends_what_prints_where_nobody_reads() {
    let place = Place::new();
    place.dogwatch(["run", "long", "--", "sh", "-c", "seq 1 20000"]);
    let busy = place.detach("busy", "seq 1 20000; exec sleep 300");
    for number in 0..30 {
        place.write(&format!("step-{number}.status"), "FAILED\n");
    }
    let ends = "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; (echo '[0'; seq -f ,%g 20000; echo ']') > $DOGWATCH_RESULT";
    for (line, signal, code) in [
        ("log busy -f", "TERM", 143),
        ("log busy long -f", "INT", 130),
        ("list --watch", "TERM", 143),
        ("list --watch --json", "INT", 130),
        ("events", "TERM", 143),
        ("wait ends busy --json=full", "TERM", 143),
    ] {
        let (mut reader, full) = full_pipe();
        let mut command = place.through(&["env", "--default-signal=INT,TERM"], line.split(' '));
        let stdout = Stdio::from(full.try_clone().expect("a descriptor"));
        if line.starts_with("wait") {
            let _again = std::fs::remove_file(place.file("go"));
            place.detach("ends", ends);
        }
        // Room for the first part of what it prints, so that the pipe tells when it has come to the second.
        let mut room = [0; 4096];
        reader.read_exact(&mut room).expect("it is read");
        let mut child = command.stdout(stdout).stderr(Stdio::null()).spawn().expect("it starts");
        if line.starts_with("wait") {
            let waits =
                || crate::support::open_files(child.id().cast_signed()).iter().any(|file| file.contains("inotify"));
            until("it waits for events", waits);
            place.write("go", "");
        }
        let mut number = 0;
        until("it waits for its reader", || {
            number += 1;
            if line == "events" {
                place.dogwatch(["run", &format!("quick-{number}"), "--no-breaker", "--", "true"]);
            }
            is_full(&full)
        });
        kill(signal, child.id().cast_signed());
        until(&format!("{line} ends"), || child.try_wait().expect("its status").is_some());
        let status = child.wait().expect("its status");
        // One that came before the program takes signals has ended it as any other.
        let ended = status.code().or(status.signal().map(|signal| 128 + signal));
        assert_eq!(ended, Some(code), "{line}: {status:?}");
    }
    assert!(crate::support::lives(busy), "the work was left alone");
}
