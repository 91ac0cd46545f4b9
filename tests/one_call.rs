//! `run STEP --for D -- COMMAND`: one line, repeated until it does not end with 75, starts the work once and tells its end.
//!
//! COMMAND notes its run id when it starts and gives it as its result, so that an answer told as another run's is seen.
//! `ONE_CALL_ROUNDS` sets how many rounds are raced.

use crate::support::{Dice, Ended, Place, Running, any_moment_within, in_parallel, kill, lives, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};

/// Notes its start, works until `go` is there, and gives its run id as its result.
const WORK: &str = "echo $DOGWATCH_RUN_ID >> $DOGWATCH_DIR/$DOGWATCH_STEP-starts
    until [ -e $DOGWATCH_DIR/$DOGWATCH_STEP-go ]; do sleep 0.01; done
    echo \"\\\"$DOGWATCH_RUN_ID\\\"\" > $DOGWATCH_RESULT";

/// The one line.
fn line(place: &Place, step: &str, slice: &str) -> Command {
    place.command(["run", step, "--for", slice, "--json", "--", "sh", "-c", WORK])
}

fn call(place: &Place, step: &str, slice: &str) -> Ended {
    Running::start(line(place, step, slice)).end_at_all()
}

/// The ids of the runs that started, in order.
fn starts(place: &Place, step: &str) -> Vec<String> {
    let text = std::fs::read_to_string(place.file(&format!("{step}-starts"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn let_go(place: &Place, step: &str) {
    place.write(&format!("{step}-go"), "");
}

fn ended_step(place: &Place, step: &str) -> bool {
    place.file(&format!("{step}.status")).exists()
}

/// The run whose success this answer tells; nothing where it tells no end.
fn told(answer: &Value) -> Option<String> {
    if answer["outcome"] == "running" {
        return None;
    }
    assert_eq!((&answer["outcome"], &answer["result"]), (&json!("success"), &answer["run_id"]), "{answer}");
    Some(answer["run_id"].as_str().expect("a run id").to_owned())
}

#[test]
fn the_same_line_starts_once_tells_the_end_once_and_then_starts_anew() {
    let place = Place::new();
    for slice in 1..=3 {
        let ended = call(&place, "s", "50ms");
        let said = ended.json();
        assert_eq!(
            (ended.code, &said["outcome"], &said["action"]),
            (75, &json!("running"), &json!("wait")),
            "{ended:?}"
        );
        assert_eq!(starts(&place, "s").len(), 1, "slice {slice}");
    }
    let_go(&place, "s");
    let first = call(&place, "s", "30s");
    assert_eq!((first.code, starts(&place, "s").len()), (0, 1), "{first:?}");
    assert_eq!(told(&first.json()).as_ref(), starts(&place, "s").first());
    let second = call(&place, "s", "30s");
    assert_eq!((second.code, starts(&place, "s").len()), (0, 2), "{second:?}");
    assert_eq!(told(&second.json()).as_ref(), starts(&place, "s").last());
}

#[test]
fn an_end_between_two_calls_is_told_by_the_next_which_starts_nothing_and_says_so() {
    let place = Place::new();
    assert_eq!(call(&place, "s", "50ms").code, 75);
    let_go(&place, "s");
    until("it has ended", || ended_step(&place, "s"));
    let next = call(&place, "s", "30s");
    assert_eq!((next.code, starts(&place, "s").len()), (0, 1), "{next:?}");
    assert!(next.stderr.contains("started nothing"), "{next:?}");
    assert_eq!(told(&next.json()).as_ref(), starts(&place, "s").first());
    let anew = call(&place, "s", "30s");
    assert_eq!((anew.code, starts(&place, "s").len()), (0, 2), "{anew:?}");
    assert!(!anew.stderr.contains("started nothing"), "{anew:?}");
}

#[test]
fn an_end_that_a_wait_has_told_is_told_once_more_by_the_line_itself() {
    let place = Place::new();
    assert_eq!(call(&place, "s", "50ms").code, 75);
    let_go(&place, "s");
    assert_eq!(place.dogwatch(["wait", "s"]).code, 0);
    assert_eq!((call(&place, "s", "30s").code, starts(&place, "s").len()), (0, 1), "a wait is another's");
}

#[test]
fn it_joins_a_run_that_was_started_otherwise_and_owes_its_end_from_then_on() {
    let place = Place::new();
    let pid = place.detach("s", WORK);
    assert_eq!(call(&place, "s", "50ms").code, 75);
    assert_eq!((place.pid("s"), starts(&place, "s").len()), (pid, 1));
    let_go(&place, "s");
    until("it has ended", || ended_step(&place, "s"));
    let next = call(&place, "s", "30s");
    assert_eq!((next.code, starts(&place, "s").len()), (0, 1), "{next:?}");
    // An end that no such line waited for is none that it owes.
    place.dogwatch(["run", "other", "--", "true"]);
    let_go(&place, "other");
    assert_eq!((call(&place, "other", "30s").code, starts(&place, "other").len()), (0, 1));
}

#[test]
fn a_run_that_is_there_with_another_command_is_named() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    let ended = call(&place, "s", "50ms");
    assert_eq!((ended.code, ended.stderr.contains("sleep 300")), (75, true), "{ended:?}");
    let says =
        |ended: &Ended, command: &str| ended.json()["detail"].as_str().is_some_and(|told| told.contains(command));
    assert!(says(&ended, "sleep 300"), "whoever reads JSON alone has to know: {ended:?}");
    // So is one that has ended, and one that is joined by --attach. The same command is not remarked on.
    assert_eq!(call(&place, "t", "50ms").code, 75);
    let_go(&place, "t");
    until("it has ended", || ended_step(&place, "t"));
    let answer = place.dogwatch(["run", "t", "--for", "30s", "--json", "-q", "--", "sh", "-c", "exit 1"]);
    assert_eq!((answer.code, says(&answer, WORK), answer.stderr.as_str()), (0, true, ""), "{answer:?}");
    place.detach("u", WORK);
    let joined =
        [WORK, "exit 1"].map(|script| place.start(["run", "u", "--attach", "--json", "--", "sh", "-c", script]));
    until("both wait", || joined.iter().all(Running::has_events));
    let_go(&place, "u");
    let [same, other] = joined.map(Running::end_at_all);
    assert_eq!((same.code, says(&same, WORK), same.stderr.as_str()), (0, false, ""), "{same:?}");
    assert_eq!((other.code, says(&other, WORK), other.stderr.contains("another one")), (0, true, true), "{other:?}");
}

#[test]
fn codes_are_those_of_wait_and_a_command_that_cannot_start_is_told_like_any_failure() {
    let place = Place::new();
    for (step, script, code) in [("bad", "exit 7", 1), ("killed", "kill -9 $$", 1)] {
        let ended = place.dogwatch(["run", step, "--for", "30s", "--json", "--", "sh", "-c", script]);
        ended.said(code, "failed", false);
    }
    let ended = place.dogwatch(["run", "none", "--for", "30s", "--json", "--", "/no/such/program"]);
    ended.said(1, "failed", false);
    assert_eq!((&ended.json()["exit_code"], &ended.json()["action"]), (&json!(127), &json!("fix")), "{ended:?}");
    let late = place.dogwatch(["run", "late", "--for", "30s", "--max-timeout", "50ms", "--", "sleep", "300"]);
    assert_eq!(late.code, 124, "{late:?}");
    let once = ["run", "open", "--for", "30s", "--max-consecutive", "1", "--", "false"];
    assert_eq!((place.dogwatch(once).code, place.dogwatch(once).code), (1, 6));
    assert_eq!(place.dogwatch(["run", "s", "-d", "--for", "1s", "--", "true"]).code, 2);
}

#[test]
fn the_work_outlives_its_caller_and_an_unwritable_answer_is_not_told() {
    let place = Place::new();
    let caller = Running::start(line(&place, "s", "30s"));
    until("it waits", || caller.has_events());
    let pid = place.pid("s");
    kill("KILL", caller.pid());
    caller.end();
    assert!(lives(pid));
    let_go(&place, "s");
    until("it has ended", || ended_step(&place, "s"));
    if cfg!(target_os = "linux") {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
        let mut command = line(&place, "s", "30s");
        let status = command.stdout(full).stderr(Stdio::null()).status().expect("it runs");
        assert_ne!(status.code(), Some(0), "an answer that could not be written is none");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    line(&place, "s", "30s").stdout(writer).stderr(Stdio::null()).status().expect("it runs");
    let next = call(&place, "s", "30s");
    assert_eq!((next.code, starts(&place, "s").len()), (0, 1), "{next:?}");
}

/// Ends some of the callers at random moments; comes back with what the others said.
fn at_random(dice: &mut Dice, callers: Vec<Running>, joined: bool) -> Vec<Ended> {
    let mut left = Vec::new();
    for caller in callers {
        if dice.below(2) == 0 {
            any_moment_within(dice, 8);
            kill("KILL", caller.pid());
            left.push((caller, true));
        } else {
            left.push((caller, false));
        }
    }
    if joined {
        for (caller, killed) in &mut left {
            until("it waits, or is gone", || *killed || caller.has_events() || caller.has_ended());
        }
    }
    left.into_iter().map(|(caller, _)| caller).map(Running::end_at_all).collect()
}

/// All answers that reached their readers whole, also those of callers that were killed afterwards.
fn answers(ended: &[Ended]) -> Vec<Value> {
    let whole = |text: &str| text.ends_with('\n').then(|| serde_json::from_str(text.trim_end()).expect("JSON"));
    ended.iter().filter_map(|one| whole(&one.stdout)).collect()
}

/// Repeats the line until nothing is owed any more: until every run that started was told.
fn drain(place: &Place, step: &str, known: &mut BTreeSet<String>) {
    while !starts(place, step).iter().all(|run| known.contains(run)) {
        known.extend(told(&call(place, step, "30s").json()));
    }
}

#[test]
fn eight_callers_that_race_and_are_killed_at_random_start_once_and_every_end_is_told_as_its_own() {
    let rounds = std::env::var("ONE_CALL_ROUNDS").map_or(6, |text| text.parse().expect("a number of rounds"));
    let place = Place::new();
    in_parallel(rounds, 2, |round| {
        let mut dice = Dice::new(round as u64 * 7919 + 11);
        let step = format!("r{round}");
        // All call at once while nothing is there yet; some are killed on their way. The work goes on meanwhile.
        let callers: Vec<Running> = (0..8).map(|_| Running::start(line(&place, &step, "20ms"))).collect();
        let first = at_random(&mut dice, callers, false);
        assert!(first.iter().all(|one| matches!(one.code, 75 | 137)), "{first:?}");
        // A caller that is killed before it has started anything has not.
        assert!(starts(&place, &step).len() <= 1, "{first:?}");
        // Eight that wait meet the end, or are killed before it, at it and after it.
        let callers: Vec<Running> = (0..8).map(|_| Running::start(line(&place, &step, "60s"))).collect();
        for caller in &callers {
            until("it waits", || caller.has_events());
        }
        let mut known = BTreeSet::new();
        if dice.below(2) == 0 {
            let_go(&place, &step);
        } else {
            // An end between two calls.
            for caller in &callers {
                kill("KILL", caller.pid());
            }
            let_go(&place, &step);
            until("it has ended", || ended_step(&place, &step));
        }
        let second = at_random(&mut dice, callers, false);
        known.extend(answers(&second).iter().filter_map(told));
        assert_eq!(starts(&place, &step).len(), 1, "{second:?}");
        // Callers after the end: as long as none was told, none starts anything.
        while known.is_empty() {
            let caller = Running::start(line(&place, &step, "60s"));
            if dice.below(2) == 0 {
                any_moment_within(&mut dice, 8);
                kill("KILL", caller.pid());
            }
            known.extend(answers(&[caller.end_at_all()]).iter().filter_map(told));
            assert_eq!(starts(&place, &step).len(), 1);
        }
        assert_eq!(known.iter().collect::<Vec<_>>(), starts(&place, &step).iter().collect::<Vec<_>>());
        // Now the line may start anew, in a race too: whatever started is told, each end as that of its own run.
        let callers: Vec<Running> = (0..8).map(|_| Running::start(line(&place, &step, "60s"))).collect();
        let third = at_random(&mut dice, callers, false);
        known.extend(answers(&third).iter().filter_map(told));
        drain(&place, &step, &mut known);
        let started: BTreeSet<String> = starts(&place, &step).into_iter().collect();
        assert!(known.is_subset(&started) && started.len() == starts(&place, &step).len(), "{known:?} {started:?}");
    });
}

#[test]
fn the_limits_on_the_line_hold_for_a_run_that_it_joins() {
    for joins in [&["--for", "1m"][..], &["--attach"]] {
        let place = Place::new();
        let pid = place.detach("s", "sleep 300");
        // No limit on the line outranks one from the environment.
        let mut unlimited = place.command(["run", "s", "--for", "300ms", "--max-timeout", "0", "--", "sleep", "300"]);
        let ended = Ended::of(&unlimited.env("DOGWATCH_MAX_TIMEOUT", "1ms").output().expect("dogwatch runs"));
        assert!(ended.code == 75 && lives(pid), "{joins:?}: {ended:?}");
        let limited = ["run", "s"].iter().chain(joins).chain(&["--max-timeout", "1ms", "--", "sleep", "300"]);
        assert_eq!(place.start(limited).end_at_all().code, 124, "{joins:?}");
        assert!(!lives(pid), "{joins:?}");
    }
}
