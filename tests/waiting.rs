//! `wait` on steps that plain shell scripts write: every form of status and result, at every moment.
//!
//! Refuses to depend on luck: phases are random and many, and each answer is held against what its writer wrote.

mod support;

use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Dice, Place, Shell, in_parallel, until};

/// A wrapper as people write them: pid, a background touch loop, status in place and first, result 50 ms later.
const WRAPPER: &str = r#"
    step=$1; work=$2
    echo $$ > $step.pid
    ( while :; do touch $step.heartbeat; sleep 0.2; done ) &
    beat=$!
    sleep $work
    kill $beat
    echo SUCCESS > $step.status
    sleep 0.05
    echo "{\"step\": \"$step\"}" > $step.result
"#;

#[test]
fn a_plain_shell_wrapper_waited_on_five_hundred_times_is_a_success_with_its_result_each_time() {
    let place = Place::new();
    in_parallel(500, 20, |number| {
        let mut dice = Dice::new(number as u64 + 1);
        let step = format!("s{number}");
        let work = format!("0.{:03}", dice.below(300));
        let mut shell = Shell::start(&place, WRAPPER, &[&step, &work]);
        // The phase is what is tested: from before the pid file to after the result.
        std::thread::sleep(Duration::from_millis(dice.below(450)));
        let report = place.wait_json(&step, &["--start-timeout", "20s"]);
        assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &json!({ "step": step })), "{report}");
        shell.end();
    });
}

#[test]
fn two_thousand_waits_around_the_publication_of_a_status_are_all_right() {
    const WAITS: u64 = 8;
    let place = Place::new();
    // Each publication is seen by several waits that begin before, at and after it.
    in_parallel(250, 10, |number| {
        let mut dice = Dice::new(number as u64 + 77);
        let step = format!("p{number}");
        let (word, outcome, code) = if number % 3 == 0 { ("FAILED", "failed", 1) } else { ("SUCCESS", "success", 0) };
        // Every other one is published in place, by a shell, the rest by rename.
        let publish = match number % 2 {
            0 => "echo \"$2\" > $1.status",
            _ => "echo \"$2\" > .$1.tmp; mv .$1.tmp $1.status",
        };
        let script = format!("echo $$ > $1.pid; echo 1 > $1.result; sleep 0.0$3; {publish}");
        let at = format!("{:02}", 20 + dice.below(30));
        let mut shell = Shell::start(&place, &script, &[&step, word, &at]);
        let waits: Vec<_> = (0..WAITS)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(dice.below(12)));
                place.start(["wait", &step, "--json"])
            })
            .collect();
        for wait in waits {
            let ended = wait.end_at_all();
            assert_eq!((ended.code, &ended.json()["outcome"]), (code, &json!(outcome)), "{ended:?}");
        }
        shell.end();
    });
}

/// Starts a living plain-shell step that does nothing.
fn living(place: &Place, step: &str) -> Shell {
    let shell = Shell::start(place, "echo $$ > $1.pid; exec sleep 300", &[step]);
    let file = place.file(&format!("{step}.pid"));
    until("the pid is written", || std::fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n')));
    shell
}

#[test]
fn every_form_of_the_two_words_is_read() {
    let place = Place::new();
    let forms = [
        ("SUCCESS", "success"),
        ("success\r\n", "success"),
        ("Success  \n\n", "success"),
        ("FAILED\n", "failed"),
        ("failed", "failed"),
        ("FAILED 3\n", "failed"),
    ];
    for (number, (text, outcome)) in forms.into_iter().enumerate() {
        let step = format!("f{number}");
        let _living = living(&place, &step);
        place.write(&format!("{step}.result"), "7");
        place.write(&format!("{step}.status"), text);
        assert_eq!(place.wait_json(&step, &[])["outcome"], outcome, "{text:?}");
    }
}

#[test]
fn a_status_that_comes_in_pieces_is_waited_for() {
    let place = Place::new();
    let _living = living(&place, "s");
    place.write("s.result", "1");
    place.write("s.status", "");
    let mut wait = place.start(["wait", "s", "--json"]);
    for piece in ["SUC", "SUCCE", "SUCCESS"] {
        // A moment in which a wait that took a piece for the whole would end.
        std::thread::sleep(Duration::from_millis(120));
        assert!(!wait.has_ended());
        place.write("s.status", piece);
    }
    assert_eq!(wait.end_at_all().json()["outcome"], "success");
}

#[test]
fn a_word_that_is_never_finished_or_none_of_the_two_fails_after_two_seconds_and_is_quoted() {
    let place = Place::new();
    in_parallel(3, 3, |number| {
        let text = ["SUCC", "DONE\n", ""][number];
        let step = format!("odd{number}");
        let _living = living(&place, &step);
        place.write(&format!("{step}.status"), text);
        let began = Instant::now();
        let report = place.wait_json(&step, &[]);
        assert_eq!(report["outcome"], "failed");
        assert!(report["detail"].as_str().unwrap().contains(&format!("\"{}\"", text.trim())), "{report}");
        assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
    });
}

#[test]
fn an_unfinished_word_of_a_dead_writer_fails_at_once() {
    let place = Place::new();
    let mut shell = living(&place, "s");
    place.write("s.status", "SUCC");
    shell.kill();
    let report = place.wait_json("s", &[]);
    assert_eq!(report["outcome"], "failed");
    assert!(report["detail"].as_str().unwrap().contains("\"SUCC\""), "{report}");
}

#[test]
fn a_result_that_is_no_json_or_never_comes_is_null_on_a_success() {
    let place = Place::new();
    let _broken = living(&place, "broken");
    place.write("broken.result", "{\"half\":");
    place.write("broken.status", "SUCCESS\n");
    let report = place.wait_json("broken", &[]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &Value::Null));
    assert!(report["result_error"].as_str().unwrap().contains("no JSON"), "{report}");
    let _silent = living(&place, "silent");
    place.write("silent.status", "SUCCESS\n");
    let report = place.wait_json("silent", &[]);
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &Value::Null));
    assert_eq!(report["result_error"], Value::Null);
}

#[test]
fn a_result_is_passed_on_exactly_as_written() {
    let place = Place::new();
    place.write("s.result", "{\"b\": 1.10,\n \"a\": 123456789012345678901234567890}\n");
    place.write("s.status", "SUCCESS\n");
    let ended = place.dogwatch(["wait", "s", "--result"]);
    assert_eq!(ended.stdout, "{\"b\":1.10,\"a\":123456789012345678901234567890}\n");
    assert_eq!(ended.code, 0);
}

#[test]
fn left_overs_of_an_earlier_run_are_ignored_and_rewriting_them_in_place_is_noticed() {
    let place = Place::new();
    for (name, text) in [("s.status", "FAILED\n"), ("s.result", "\"old\""), ("s.heartbeat", "")] {
        place.write(name, text);
        place.age(name, Duration::from_secs(3600));
    }
    let _living = living(&place, "s");
    let wait = place.start(["wait", "s", "--json", "--stale", "60s", "-v"]);
    let early = place.wait_json("s", &["--for", "300ms"]);
    assert_eq!(early["outcome"], "running", "{early}");
    place.write("s.result", "\"new\"");
    place.write("s.status", "SUCCESS\n");
    let began = Instant::now();
    let report = wait.end_at_all().json();
    assert_eq!((&report["outcome"], &report["result"]), (&json!("success"), &json!("new")));
    // The safety rescan alone would take up to fifteen seconds.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_wrapper_without_a_heartbeat_or_a_pid_or_with_a_late_one_is_waited_for() {
    let place = Place::new();
    let silent = "echo $$ > $1.pid; sleep 0.4; echo FAILED > $1.status";
    let late = "touch $1.heartbeat; sleep 0.2; echo $$ > $1.pid; sleep 0.2; echo FAILED > $1.status";
    let never = "touch $1.heartbeat; sleep 0.4; echo FAILED > $1.status";
    for (step, script) in [("silent", silent), ("late", late), ("never", never)] {
        let mut shell = Shell::start(&place, script, &[step]);
        assert_eq!(place.dogwatch(["wait", step]).code, 1, "{step}");
        shell.end();
    }
}

#[test]
fn a_step_whose_process_goes_without_a_status_died() {
    let place = Place::new();
    let mut shell = living(&place, "s");
    let wait = place.start(["wait", "s", "--json"]);
    shell.kill();
    let ended = wait.end_at_all();
    assert_eq!((ended.code, &ended.json()["outcome"]), (4, &json!("died")));
    assert_eq!(place.read("s.status"), "FAILED\n");
    assert_eq!(place.meta("s")["reason"], "died");
    assert_eq!(place.dogwatch(["wait", "s"]).code, 4, "everybody reads the same");
}

#[test]
fn new_passes_over_an_outcome_from_before_the_call() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--", "false"]).code, 1);
    let wait = place.start(["wait", "s", "--new", "--json"]);
    let slice = place.dogwatch(["wait", "s", "--new", "--for", "200ms"]);
    assert_eq!(slice.code, 5, "the old outcome is none: {slice:?}");
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
    assert_eq!(wait.end_at_all().json()["outcome"], "success");
}

#[test]
fn a_step_that_has_not_started_names_those_that_have() {
    let place = Place::new();
    place.write("build.status", "SUCCESS\n");
    place.write("test.pid", "x");
    let ended = place.dogwatch(["wait", "biuld", "--start-timeout", "100ms"]);
    assert_eq!(ended.code, 5);
    assert!(ended.stdout.contains("build, test"), "{ended:?}");
    let slice = place.dogwatch(["wait", "biuld", "--for", "50ms"]);
    assert_eq!(slice.code, 5);
}

#[test]
fn a_directory_that_does_not_exist_yet_is_waited_for() {
    let place = Place::new();
    let deep = place.file("one/two");
    let arguments = ["wait", "s", "--json", "--dir", deep.to_str().unwrap()];
    let wait = place.start(arguments);
    let early = place.dogwatch(["wait", "s", "--for", "100ms", "--dir", deep.to_str().unwrap()]);
    assert_eq!(early.code, 5);
    let run = place.dogwatch(["run", "s", "--dir", deep.to_str().unwrap(), "--", "true"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(wait.end_at_all().json()["outcome"], "success");
}

#[test]
fn any_ends_with_the_first_and_tells_only_of_it() {
    let place = Place::new();
    let _slow = living(&place, "slow");
    let _quick = living(&place, "quick");
    let wait = place.start(["wait", "slow", "quick", "never", "--any", "--json"]);
    place.write("quick.status", "FAILED\n");
    let ended = wait.end_at_all();
    assert_eq!((ended.code, &ended.json()["step"]), (1, &json!("quick")));
    // Of several that have ended already it is the earliest, whatever the order of the arguments.
    place.write("slow.status", "SUCCESS\n");
    place.write("slow.result", "1");
    place.age("quick.status", Duration::from_secs(5));
    place.age("quick.pid", Duration::from_secs(5));
    let ended = place.dogwatch(["wait", "slow", "quick", "--any", "--json"]);
    assert_eq!(ended.json()["step"], "quick");
    let none = place.dogwatch(["wait", "never", "nor", "--any", "--json", "--start-timeout", "50ms"]);
    assert_eq!((none.code, &none.json()["outcome"]), (5, &json!("not_started")));
}

#[test]
fn fail_fast_ends_with_the_first_bad_one_and_the_rest_run() {
    let place = Place::new();
    let _one = living(&place, "one");
    let _two = living(&place, "two");
    let wait = place.start(["wait", "one", "two", "--fail-fast", "--json"]);
    place.write("two.status", "FAILED\n");
    let ended = wait.end_at_all();
    let told: Vec<(Value, Value)> =
        ended.lines().iter().map(|report| (report["step"].clone(), report["outcome"].clone())).collect();
    assert_eq!(told, [(json!("two"), json!("failed")), (json!("one"), json!("running"))]);
    assert_eq!(ended.code, 1);
}

#[test]
fn of_several_steps_the_worst_decides_and_a_slice_with_a_running_one_is_repeated() {
    let place = Place::new();
    place.write("good.status", "SUCCESS\n");
    place.write("bad.status", "FAILED\n");
    let _living = living(&place, "living");
    assert_eq!(place.dogwatch(["wait", "good", "bad", "good"]).code, 1);
    let none = place.dogwatch(["wait", "good", "bad", "none", "--start-timeout", "50ms"]);
    assert_eq!((none.code, none.stdout.lines().count()), (1, 3), "{none:?}");
    let slice = place.dogwatch(["wait", "bad", "living", "--for", "100ms", "--json"]);
    assert_eq!((slice.code, slice.lines().len()), (75, 2), "{slice:?}");
}

#[test]
fn polling_sees_what_events_would() {
    let place = Place::new();
    let _living = living(&place, "s");
    let wait = place.start(["wait", "s", "--json", "--backend", "poll", "--poll-interval", "50ms"]);
    let slice = place.wait_json("s", &["--for", "200ms", "--backend", "poll", "--poll-interval", "50ms"]);
    assert_eq!((&slice["outcome"], &slice["backend"]), (&json!("running"), &json!("poll")));
    place.write("s.result", "1");
    place.write("s.status", "SUCCESS\n");
    let report = wait.end_at_all().json();
    assert_eq!((&report["outcome"], &report["backend"]), (&json!("success"), &json!("poll")));
    let said = place.dogwatch(["wait", "s", "-v"]);
    assert_eq!(said.stderr, "", "what has ended needs no backend");
}

#[test]
fn what_has_ended_needs_no_watch() {
    let place = Place::new();
    place.write("s.status", "FAILED\n");
    assert_eq!(place.wait_json("s", &[])["backend"], "none");
}

#[test]
fn a_run_that_is_replaced_while_it_is_waited_for_is_followed_and_said_so() {
    let place = Place::new();
    let mut first = living(&place, "s");
    let wait = place.start(["wait", "s", "--json", "--backend", "poll", "--poll-interval", "300ms"]);
    let watching = place.wait_json("s", &["--for", "400ms"]);
    assert_eq!(watching["outcome"], "running");
    // Between two looks: the old process goes, another takes its place and ends.
    first.kill();
    place.write(".new", "1\n");
    let second =
        Shell::start(&place, "echo $$ > .p; mv .p s.pid; echo FAILED > .f; mv .f s.status; exec sleep 300", &[]);
    let report = wait.end_at_all().json();
    assert_eq!(report["outcome"], "failed", "{report}");
    assert!(report["detail"].as_str().unwrap().contains("was replaced"), "{report}");
    drop(second);
}

#[test]
fn every_key_is_there_in_every_outcome() {
    const KEYS: [&str; 23] = [
        "step",
        "outcome",
        "action",
        "exit_code",
        "signal",
        "elapsed_ms",
        "heartbeat_age_ms",
        "pid",
        "killed",
        "result",
        "result_error",
        "detail",
        "log",
        "log_tail",
        "marker",
        "evidence",
        "output_age_ms",
        "breaker",
        "backend",
        "dir",
        "run_id",
        "schema",
        "outcome",
    ];
    let place = Place::new();
    place.write("good.status", "SUCCESS\n");
    place.write("bad.status", "FAILED\n");
    let _living = living(&place, "living");
    for step in ["good", "bad", "living", "none"] {
        let report = place.wait_json(step, &["--for", "20ms"]);
        let object = report.as_object().unwrap();
        for key in KEYS {
            assert!(object.contains_key(key), "{step}: {key}");
        }
        assert_eq!(report["schema"], 1);
    }
}

#[test]
fn an_interrupted_wait_leaves_the_work_alone_and_says_how_to_go_on() {
    let place = Place::new();
    let pid = place.detach("s", "while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.05; done");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let wait = place.start_undisturbed(["wait", "s"]);
        // Its handlers stand once its watch does: the second thread of the process is there.
        let tasks = format!("/proc/{}/task", wait.pid());
        until("wait is watching", || std::fs::read_dir(&tasks).is_ok_and(|tasks| tasks.count() >= 3));
        support::kill(signal, wait.pid());
        let ended = wait.end_at_all();
        assert_eq!(ended.code, code, "{ended:?}");
        assert!(ended.stderr.contains("dogwatch wait s"), "{ended:?}");
        assert!(support::lives(pid));
    }
    let wait = place.start(["wait", "s"]);
    place.write("go", "");
    assert_eq!(wait.end_at_all().code, 0);
}

#[test]
fn a_reader_that_has_gone_is_no_trouble() {
    let place = Place::new();
    place.write("s.status", "FAILED\n");
    let mut child = place.command(["wait", "s"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}
