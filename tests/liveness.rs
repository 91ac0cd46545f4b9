//! What makes a run beat: its process, its output, its activity, its own word; and what is found hung by each.
//!
//! Work that is quiet but busy, or idle but writes output, must be left alone.

use crate::support::{Ended, Place, in_parallel, until};
use serde_json::json;
use std::fs::File;
use std::time::{Duration, Instant};

/// A run that beats on activity, ten times a second, and is hung after so long without.
fn active(place: &Place, step: &str, script: &str, stale: &str) -> Ended {
    let line = ["run", step, "--heartbeat-on", "activity", "--heartbeat-interval", "100ms", "--stale", stale];
    let more = ["--grace", "0.3", "--", "sh", "-c", script];
    let mut command = place.command(line.iter().chain(&more));
    command.current_dir(place.path());
    crate::support::Running::start(command).end_at_all()
}

#[test]
fn a_process_that_lives_and_does_nothing_is_found_whatever_it_waits_for() {
    let place = Place::new();
    nix::unistd::mkfifo(&place.file("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let lock = File::create(place.file("lock")).expect("a lock file");
    lock.lock().expect("a lock");
    let mut idle = vec![
        // It stops itself.
        ("stopped", "kill -STOP $$; echo on", "stopped", None),
        // Nobody will ever write into this pipe, which it holds open itself.
        ("pipe", "exec 3<> fifo; exec cat <&3 0<&3", "sleeping", Some("stdin")),
        ("lock", "exec flock lock true", "sleeping", Some("lock")),
        ("asleep", "exec sleep 300", "sleeping", Some("sleep")),
        // Its child is stopped, and it waits for that.
        ("child", "sh -c 'kill -STOP $$'; echo on", "sleeping", Some("child")),
    ];
    if cfg!(target_os = "macos") {
        // Nobody there tells what a process waits for, and there is no flock(1).
        idle.retain(|(step, ..)| *step != "lock");
        for (.., cause) in &mut idle {
            *cause = None;
        }
    }
    in_parallel(idle.len(), idle.len(), |number| {
        let (step, script, state, cause) = idle[number];
        let began = Instant::now();
        let ended = active(&place, step, script, "2s");
        assert_eq!(ended.code, 3, "{step}: {ended:?}");
        assert!(began.elapsed() >= Duration::from_secs(2), "{step}");
        let report = place.wait_json(step, &[]);
        assert_eq!((&report["outcome"], &report["action"]), (&json!("hung"), &json!("fix")), "{report}");
        // COMMAND comes first: its wrapper is left out.
        let command = &report["evidence"][0];
        assert_eq!((&command["state"], command["blocked_on"].as_str()), (&json!(state), cause), "{step}: {report}");
    });
}

#[test]
fn work_that_is_quiet_and_busy_or_idle_and_talkative_is_left_alone() {
    let place = Place::new();
    let busy = [
        // Neither forks nor prints: CPU time is all that shows.
        ("busy", "n=0; while [ ! -e go ]; do n=$((n + 1)); done"),
        // Hardly any CPU time, and one process at a time: output is what shows.
        ("prints", "while [ ! -e go ]; do echo; sleep 0.3; done"),
        // Bytes through a pipe that never reach the log.
        ("moves", "while [ ! -e go ]; do echo; sleep 0.2; done | cat > /dev/null"),
    ];
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            busy.iter().map(|(step, script)| scope.spawn(|| active(&place, step, script, "6s"))).collect();
        let began = Instant::now();
        // Twice as long as would be called hung; a busy machine may give one of them no processor for more than two seconds.
        until("they have run for long", || began.elapsed() > Duration::from_secs(12));
        place.write("go", "");
        for (run, (step, _)) in runs.into_iter().zip(&busy) {
            let ended = run.join().expect("a run");
            assert_eq!(ended.code, 0, "{step}: {ended:?}");
        }
    });
}

#[test]
fn what_is_printed_as_the_result_is_output_too() {
    let place = Place::new();
    let script = "for n in 1 2 3 4 5 6 7 8 9; do echo; sleep 1; done; echo 7";
    let line = ["run", "s", "--heartbeat-on", "output", "--result", "stdout", "--heartbeat-interval", "100ms"];
    let run = place.start(line.into_iter().chain(["--stale", "6s", "--", "sh", "-c", script])).end_at_all();
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(place.wait_json("s", &[])["result"], 7);
}

#[test]
fn by_default_it_beats_while_its_process_lives_and_a_waiter_can_ask_for_more() {
    let place = Place::new();
    let script = "kill -STOP $$; exec sleep 300";
    let ended = place.dogwatch(["run", "-d", "s", "--heartbeat-interval", "100ms", "--", "sh", "-c", script]);
    assert_eq!(ended.code, 0, "{ended:?}");
    // On a busy machine the wrapper may get no processor for more than a second.
    let report = place.wait_json("s", &["--stale", "5s", "--for", "6s"]);
    assert_eq!(report["outcome"], "running", "a stopped process lives: {report}");
    assert!(report["heartbeat_age_ms"].as_u64() < Some(5000), "{report}");
    assert_eq!(place.dogwatch(["kill", "s"]).code, 0);
}
