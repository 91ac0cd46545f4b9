//! A coding agent's day, in the calls that the agents' page teaches: three steps started, the context lost, one call that
//! tells what became of everything, a failure fixed, a server stopped. What all of it prints is counted: an agent pays for
//! each byte.

use crate::support::{Ended, Place, until};
use serde_json::Value;
use std::cell::RefCell;

/// The most that a whole day may print, standard error included.
const MAX_BYTES: usize = 6 * 1024;

/// The calls of a session and what they printed.
struct Session {
    place: Place,
    transcript: RefCell<String>,
}

impl Session {
    fn new() -> Self {
        Self { place: Place::new(), transcript: RefCell::default() }
    }

    fn call(&self, arguments: &[&str]) -> Ended {
        let ended = self.place.dogwatch(arguments);
        self.transcript.borrow_mut().push_str(&ended.stdout);
        self.transcript.borrow_mut().push_str(&ended.stderr);
        ended
    }

    /// The line that starts, joins and waits.
    fn run(&self, step: &str, slice: &str, script: &str) -> (i32, Value) {
        let ended = self.call(&["run", step, "--for", slice, "--json", "--", "sh", "-c", script]);
        (ended.code, ended.json())
    }
}

#[test]
fn three_steps_a_lost_context_a_fixed_failure_and_a_stopped_server_print_little() {
    let session = Session::new();
    let place = &session.place;
    // Logs as they are: long before the line that matters.
    let build = "seq 2000; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; echo built";
    let tests = "seq 2000; until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; \
        [ -e $DOGWATCH_DIR/fixed ] || { echo 'test parser ... FAILED: expected 3, got 4'; exit 1; }";
    for (step, script) in [("build", build), ("tests", tests)] {
        let (code, answer) = session.run(step, "200ms", script);
        assert_eq!((code, &answer["action"]), (75, &"wait".into()), "{answer}");
    }
    assert_eq!(
        session.call(&["run", "-d", "server", "--", "sh", "-c", "echo listening on :8080; exec sleep 300"]).code,
        0
    );
    let port = session.call(&[
        "wait",
        "server",
        "--marker",
        r"listening on :(?<port>\d+)",
        "--capture",
        "port",
        "--for",
        "1m",
    ]);
    assert_eq!((port.code, port.stdout.as_str()), (0, "8080\n"), "{port:?}");

    // No waiter runs while two of them end, and the next session knows no name.
    place.write("go", "");
    until("both have ended", || ["build", "tests"].iter().all(|step| place.file(&format!("{step}.status")).exists()));
    let recovered = session.call(&["recover", "--for", "300ms", "--json"]);
    let answers = recovered.lines();
    let of = |step: &str| {
        answers.iter().find(|answer| answer["step"] == step).unwrap_or_else(|| panic!("{step}: {recovered:?}"))
    };
    assert_eq!((recovered.code, answers.len()), (75, 3), "the server still runs: {recovered:?}");
    assert_eq!((&of("build")["action"], &of("server")["action"]), (&"continue".into(), &"wait".into()));
    let failed = of("tests");
    assert_eq!((&failed["outcome"], &failed["exit_code"]), (&"failed".into(), &1.into()), "{failed}");
    assert!(failed["log_tail"].to_string().contains("expected 3, got 4"), "{failed}");

    // The line itself owes this end once more, and says that it started nothing.
    place.write("fixed", "");
    let (code, answer) = session.run("tests", "1m", tests);
    let run = failed["run_id"].clone();
    if code != 0 {
        assert_eq!((code, &answer["run_id"]), (1, &run), "{answer}");
        let (code, answer) = session.run("tests", "1m", tests);
        assert_eq!((code, &answer["outcome"]), (0, &"success".into()), "{answer}");
        assert_ne!(answer["run_id"], run, "it was started anew");
    }

    let stopped = session.call(&["kill", "server", "--json"]);
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let left = session.call(&["check", "server", "--json"]).json();
    assert_eq!((&left["outcome"], &left["action"]), (&"failed".into(), &"stop".into()), "{left}");

    let transcript = session.transcript.take();
    println!("{} bytes", transcript.len());
    assert!(transcript.len() <= MAX_BYTES, "{} bytes:\n{transcript}", transcript.len());
}
