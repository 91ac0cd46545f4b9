//! The library's options and events, as another program uses them.

use dogwatch::{
    CheckOptions, ErrorKind, Event, HeartbeatOn, LogStreams, Outcome, ResultFrom, RunOptions, StepName, WaitOptions,
};
use std::path::Path;
use std::time::Duration;

#[test]
fn the_options_reach_the_run_and_the_wait_and_events_come_as_they_happen() {
    let place = tempfile::tempdir().expect("a folder");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let step: StepName = "build".parse().expect("a name");
    let script = "echo \"ready on port 80 $WORK\" >&2; pwd -P > \"$DOGWATCH_DIR/cwd\"; echo '{\"ok\":true}'; exit 4";
    let mut started = Vec::new();
    let ran = RunOptions::new(place.path(), step.clone(), ["sh", "-c", script])
        .env("WORK", "hard")
        .cwd(elsewhere.path())
        .log(LogStreams::Stderr)
        .result(ResultFrom::Stdout)
        .heartbeat_on(HeartbeatOn::Activity)
        .heartbeat_interval(Duration::from_secs(1))
        .stale(Duration::from_secs(60))
        .max_timeout(Duration::from_secs(60))
        .breaker(None)
        .tag(&step)
        .run_with(&mut |event| {
            if let Event::Started(pid) = event {
                started.push(pid);
            }
        })
        .expect("it runs");
    assert_eq!((ran.outcome, ran.exit_code, started.len()), (Outcome::Failed, 4, 1));
    let cwd = std::fs::read_to_string(place.path().join("cwd")).expect("COMMAND wrote it");
    assert_eq!(Path::new(cwd.trim_end()), elsewhere.path().canonicalize().expect("a folder"));

    let wait = WaitOptions::new(place.path()).step(step.clone()).marker(r"port (?<port>\d+)").expect("a pattern");
    let reports = wait.wait().expect("an answer");
    let marker = reports[0].marker.as_ref().expect("a match");
    assert_eq!((reports[0].outcome, marker.line.as_str()), (Outcome::Marker, "ready on port 80 hard"));
    assert_eq!(marker.captures["port"].as_deref(), Some("80"));
    assert_eq!((reports[0].tags.as_slice(), &reports[0].breaker), (["build".to_owned()].as_slice(), &None));
    let feared = wait.fail_marker("hard$").expect("a pattern").wait().expect("an answer");
    assert_eq!(feared[0].outcome, Outcome::Failed);
    let error = WaitOptions::new(place.path()).marker("(").expect_err("no pattern");
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);

    let error =
        CheckOptions::new(place.path()).step(step).stale(Duration::from_secs(2)).check().expect_err("too short");
    assert!(error.kind() == ErrorKind::InvalidOptions && error.to_string().contains("twice"), "{error}");
    assert!(StepName::try_from("a/b").is_err() && "quick".parse::<HeartbeatOn>().is_err());
}
