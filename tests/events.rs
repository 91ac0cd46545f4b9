//! `dogwatch events`: each start and each end of a run, once and as it comes.

use crate::support::{Place, kill, lives, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

/// A stream of events.
struct Stream {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stream {
    /// Starts it, and waits until it watches.
    fn start(place: &Place, words: &[&str]) -> Self {
        let mut command = place.command(["events"].iter().chain(words));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut stream = Self { child, lines };
        // What starts before the first look is no event: a run of its own tells that it looks.
        let mut number = 0;
        until("it watches", || {
            number += 1;
            let step = format!("ready-{number}");
            place.dogwatch(["run", &step, "--tag", "mine", "--", "true"]);
            place.file(&format!("{step}.history")).exists() && stream.child.try_wait().expect("its status").is_none()
        });
        stream
    }

    /// The next event of a step.
    fn next(&mut self, step: &str) -> Value {
        loop {
            let line = self.lines.next().expect("a line").expect("text");
            let event: Value = serde_json::from_str(&line).expect("one JSON object");
            if event["step"] == step {
                return event;
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[test]
fn each_start_and_each_end_is_one_line_also_of_runs_that_come_and_go_at_once() {
    let place = Place::new();
    place.dogwatch(["run", "before", "--", "true"]);
    let mut stream = Stream::start(&place, &[]);
    let pid = place.detach("busy", "sleep 300");
    let start = stream.next("busy");
    let facts = (&start["event"], &start["outcome"], &start["run_id"]);
    assert_eq!(facts, (&json!("start"), &Value::Null, &place.meta("busy")["run_id"]), "{start}");
    kill("KILL", pid);
    until("it is dead", || !lives(pid));
    let end = stream.next("busy");
    assert_eq!((&end["event"], &end["outcome"]), (&json!("end"), &json!("died")), "a death writes no file: {end}");
    for code in 0..5 {
        place.dogwatch(["run", "quick", "--no-breaker", "--", "sh", "-c", &format!("exit {code}")]);
    }
    for code in 0..5 {
        let (start, end) = (stream.next("quick"), stream.next("quick"));
        assert_eq!((&start["event"], &end["event"]), (&json!("start"), &json!("end")), "{start} {end}");
        assert_eq!((&end["exit_code"], &start["run_id"]), (&json!(code), &end["run_id"]), "{start} {end}");
    }
    // Of a run that another has replaced meanwhile the time is known too.
    kill("STOP", stream.child.id().cast_signed());
    for _ in 0..2 {
        place.dogwatch(["run", "twice", "--", "true"]);
    }
    kill("CONT", stream.child.id().cast_signed());
    for _ in 0..2 {
        let (start, end) = (stream.next("twice"), stream.next("twice"));
        assert_eq!((&start["event"], &end["event"]), (&json!("start"), &json!("end")), "{start} {end}");
        assert!(end["time"].as_str() >= start["time"].as_str() && start["time"].is_string(), "{start} {end}");
    }
    // Nothing is told twice, and nothing of before.
    place.dogwatch(["wait", "busy", "quick", "before"]);
    place.dogwatch(["run", "last", "--", "true"]);
    let mut steps = Vec::new();
    while steps.last().map(String::as_str) != Some("last") {
        let line = stream.lines.next().expect("a line").expect("text");
        let event: Value = serde_json::from_str(&line).expect("one JSON object");
        steps.push(event["step"].as_str().expect("a step").to_owned());
    }
    assert!(steps.iter().all(|step| step == "last" || step.starts_with("ready-")), "{steps:?}");
}

#[test]
fn names_and_tags_choose_and_a_slice_ends_with_0() {
    let place = Place::new();
    let mut named = Stream::start(&place, &["mine"]);
    let mut tagged = Stream::start(&place, &["--tag", "mine"]);
    place.dogwatch(["run", "other", "--", "true"]);
    place.dogwatch(["run", "mine", "--tag", "mine", "--", "true"]);
    let line = named.lines.next().expect("a line").expect("text");
    assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["step"], "mine");
    assert_eq!(tagged.next("mine")["tags"], json!(["mine"]));
    let slice = place.dogwatch(["events", "--for", "50ms"]);
    assert_eq!((slice.code, slice.stdout.as_str()), (0, ""), "{slice:?}");
}

#[test]
fn a_plain_shells_run_is_told_too_and_once() {
    let place = Place::new();
    let mut stream = Stream::start(&place, &[]);
    let mut shell =
        crate::support::Shell::start(&place, "echo $$ > p.pid; read line < go; echo FAILED > p.status", &[]);
    let start = stream.next("p");
    assert_eq!((&start["event"], &start["run_id"]), (&json!("start"), &Value::Null), "{start}");
    place.write("p.status", "FAILED\n");
    let end = stream.next("p");
    assert_eq!((&end["event"], &end["outcome"]), (&json!("end"), &json!("failed")), "{end}");
    shell.kill();
}
