//! Which steps a command means that was given no names, what a misspelt one is answered, and how much an answer costs.

use crate::support::{Ended, Place, Running, lives, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn steps(ended: &Ended) -> Vec<String> {
    let mut steps: Vec<String> =
        ended.lines().iter().map(|line| line["step"].as_str().expect("a step").to_owned()).collect();
    steps.sort();
    steps
}

fn tagged(place: &Place, step: &str, tags: &[&str], script: &str) {
    let tags = tags.iter().flat_map(|tag| ["--tag", tag]);
    let ended = place.dogwatch(["run", "-d", step].into_iter().chain(tags).chain(["--", "sh", "-c", script]));
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_wait_without_names_is_for_all_that_run_and_check_and_recover_are_of_all() {
    let place = Place::new();
    place.dogwatch(["run", "done", "--", "false"]);
    for step in ["a", "b"] {
        place.detach(step, "until [ -e $DOGWATCH_DIR/go ]; do sleep 0.02; done");
    }
    let slice = place.dogwatch(["wait", "--for", "50ms", "--json"]);
    assert_eq!((slice.code, steps(&slice)), (75, vec!["a".to_owned(), "b".to_owned()]), "{slice:?}");
    let check = place.dogwatch(["check", "--json"]);
    assert_eq!((check.code, steps(&check)), (1, ["a", "b", "done"].map(str::to_owned).to_vec()), "{check:?}");
    let waiter = place.start(["wait", "--json"]);
    until("it waits", || waiter.has_events());
    place.write("go", "");
    let ended = waiter.end_at_all();
    assert_eq!((ended.code, steps(&ended)), (0, vec!["a".to_owned(), "b".to_owned()]), "{ended:?}");
    let recover = place.dogwatch(["recover", "--json"]);
    assert_eq!((recover.code, steps(&recover).len()), (1, 3), "{recover:?}");
    let none = place.dogwatch(["wait"]);
    assert_eq!((none.code, none.stdout.as_str(), none.stderr.lines().count()), (5, "", 1), "{none:?}");
    assert!(none.stderr.contains("3 have ended"), "{none:?}");
}

#[test]
fn a_wait_inside_a_run_or_a_script_waits_for_the_others() {
    let place = Place::new();
    // Its own run, the run around that and the script around both would otherwise wait for this call.
    let inner =
        "\"$0\" run -d work -- sleep 300; for call in wait recover; do \"$0\" $call --for 10ms --json; echo $?; done";
    let script =
        "echo $$ > own.pid; \"$0\" run outer -- \"$0\" run inner -- sh -c \"$1\" \"$0\"; echo SUCCESS > own.status";
    let ended = Running::start(place.through(&["sh", "-c", script], [inner])).end_at_all();
    assert_eq!((ended.code, place.read("own.status").as_str()), (0, "SUCCESS\n"), "{ended:?}");
    let log = place.read("inner.log");
    let [_pid, waited, for_wait, recovered, for_recover] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert_eq!((for_wait, for_recover), ("75", "75"), "{log}");
    for answer in [waited, recovered] {
        assert!(answer.contains("\"step\":\"work\",\"outcome\":\"running\""), "{log}");
    }
    // With no other step there is nothing to wait for.
    let place = Place::new();
    let binary = crate::support::binary();
    let alone = place.dogwatch(["run", "alone", "--", binary.to_str().expect("text"), "wait"]);
    assert_eq!(alone.code, 5, "{alone:?}");
    assert!(place.read("alone.log").contains("no other step has started"), "{alone:?}");
}

#[test]
fn where_no_step_is_one_sentence_says_so() {
    let place = Place::new();
    for command in ["wait", "check", "recover"] {
        let ended = place.dogwatch([command]);
        assert_eq!(
            (ended.code, ended.stdout.as_str(), ended.stderr.lines().count()),
            (5, "", 1),
            "{command}: {ended:?}"
        );
        assert!(ended.stderr.contains("no step has started in"), "{ended:?}");
        let said = place.dogwatch([command, "--json"]).json();
        assert_eq!(
            (&said["exit_code"], &said["schema"], said["error"].is_string()),
            (&json!(5), &json!(1), true),
            "{said}"
        );
    }
}

#[test]
fn tags_choose_steps_and_stand_in_every_report() {
    let place = Place::new();
    tagged(&place, "one", &["mine", "fast"], "sleep 300");
    tagged(&place, "two", &["mine"], "sleep 300");
    tagged(&place, "three", &[], "sleep 300");
    assert_eq!(place.dogwatch(["check", "one", "--json"]).json()["tags"], json!(["mine", "fast"]));
    assert_eq!(place.meta("three")["tags"], json!([]));
    for (tags, expected) in [(&["mine"][..], &["one", "two"][..]), (&["mine", "fast"], &["one"])] {
        let tags: Vec<&str> = tags.iter().flat_map(|tag| ["--tag", tag]).collect();
        for command in [&["list"][..], &["check"], &["wait", "--for", "50ms"], &["recover", "--for", "50ms"]] {
            let ended = place.dogwatch(command.iter().chain(&tags).chain(&["--json"]));
            assert_eq!(steps(&ended), expected, "{command:?} {ended:?}");
        }
    }
    let none = place.dogwatch(["check", "--tag", "nosuch"]);
    assert_eq!((none.code, none.stderr.contains("no step with tag nosuch")), (5, true), "{none:?}");
    let none = place.dogwatch(["list", "--tag", "nosuch"]);
    assert_eq!((none.code, none.stderr.contains("no step with tag nosuch")), (0, true), "{none:?}");
    assert_eq!(place.dogwatch(["wait", "one", "--tag", "mine"]).code, 2, "names or tags");
    // One that ended before the call is chosen as if it was named: its failure is not passed over.
    tagged(&place, "lint", &["ci"], "exit 3");
    assert_eq!(place.dogwatch(["wait", "lint"]).code, 1);
    tagged(&place, "test", &["ci"], "sleep 0.2");
    let ended = place.dogwatch(["wait", "--tag", "ci", "--json"]);
    assert_eq!((ended.code, steps(&ended)), (1, vec!["lint".to_owned(), "test".to_owned()]), "{ended:?}");
    // The environment's tag is one more.
    let mut run = place.command(["run", "four", "--tag", "mine", "--", "true"]);
    assert!(run.env("DOGWATCH_TAG", "session-7").status().expect("it runs").success());
    assert_eq!(place.meta("four")["tags"], json!(["mine", "session-7"]));
    assert_eq!(place.dogwatch(["run", "five", "--tag", "a b", "--", "true"]).code, 2);
}

#[test]
fn a_misspelt_name_is_answered_at_once_and_waited_for_all_the_same() {
    let place = Place::new();
    place.dogwatch(["run", "build", "--", "true"]);
    let mut command = place.command(["wait", "biuld"]);
    let mut waiter = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(waiter.stderr.take().expect("its words")).read_line(&mut line).expect("a line");
    assert!(line.contains("there is no step biuld") && line.contains("did you mean build?"), "{line}");
    assert!(lives(waiter.id().cast_signed()), "it waits for the step to start");
    place.dogwatch(["run", "biuld", "--", "true"]);
    assert_eq!(waiter.wait().expect("it ends").code(), Some(0));
    // A step that is there, or the first of all, needs no remark.
    assert_eq!(place.dogwatch(["wait", "build"]).stderr, "");
    let alone = Place::new();
    assert_eq!(alone.dogwatch(["wait", "s", "--start-timeout", "10ms"]).stderr, "");
}

/// What a wait prints about a step named `build` of a project in the default place, in bytes.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_wait_for_what_is_not_there_says_of_no_work_that_it_goes_on() {
    let place = Place::new();
    let absent = place.start_undisturbed(["wait", "s"]);
    until("it catches the signal", || crate::support::catches(absent.pid(), nix::sys::signal::Signal::SIGTERM));
    crate::support::kill("TERM", absent.pid());
    let ended = absent.end_at_all();
    let line = "dogwatch: interrupted; the work is left alone, wait again with: dogwatch wait s\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (143, line));
}

fn size(place: &Place, words: &[&str]) -> (usize, Value) {
    let ended = place.dogwatch(words);
    let answer = ended.json();
    let result = answer["result"].to_string().len();
    // As if the directory were where it is by default.
    let default = "/tmp/dogwatch-1000/some-project-0123abcd".len();
    let shift = default.abs_diff(place.path().as_os_str().len());
    (ended.stdout.trim_end().len() + shift - result, answer)
}

#[test]
fn an_answer_about_what_runs_takes_400_bytes_and_about_a_success_500() {
    let place = Place::new();
    place.detach("build", "i=0; while [ $i -lt 100 ]; do echo line $i of the output; i=$((i + 1)); done; sleep 300");
    for words in [&["wait", "build", "--for", "0.3s", "--json"][..], &["recover", "build", "--for", "50ms", "--json"]] {
        let (bytes, answer) = size(&place, words);
        assert!(bytes <= 400, "{bytes}: {answer}");
    }
    assert_eq!(place.dogwatch(["kill", "build"]).code, 0);
    let script = "echo '{\"tests\": [1, 2, 3]}' > $DOGWATCH_RESULT";
    place.dogwatch(["run", "build", "--", "sh", "-c", script]);
    let (bytes, answer) = size(&place, &["wait", "build", "--json"]);
    assert!(bytes <= 500 && answer["result"] == json!({"tests": [1, 2, 3]}), "{bytes}: {answer}");
    let (bytes, answer) = size(&place, &["run", "again", "--for", "30s", "--json", "--", "true"]);
    assert!(bytes <= 500, "{bytes}: {answer}");
    for full in ["--json=full", "-v"] {
        let ended = place.dogwatch(["wait", "build", "--json", full]);
        let words = if full == "-v" { ended } else { place.dogwatch(["wait", "build", full]) };
        assert_eq!(words.json()["command"], json!(["sh", "-c", script]), "{words:?}");
    }
    // What did not succeed is told whole.
    place.dogwatch(["run", "bad", "--", "false"]);
    assert_eq!(place.dogwatch(["wait", "bad", "--json"]).json()["command"], json!(["false"]));
}

#[test]
fn a_step_whose_end_is_passed_over_is_not_said_to_be_missing() {
    let place = Place::new();
    assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
    let ended = place.dogwatch(["wait", "s", "--new", "--start-timeout", "100ms", "--json"]);
    assert_eq!((ended.code, &ended.json()["detail"]), (5, &serde_json::json!("no new run of s had started by then")));
}
