//! Steps whose wrapper is plain shell: `echo`, `touch`, in place, in any order and form, and each is read rightly.
//!
//! In which phase a wait meets its wrapper is random; the outcome must not be. Limits on time are the contract's own (2
//! s for a status, 1 s for a result), or below the 15 s of the safety rescan, so that a lost event shows. Waits that
//! must not end are bounded by `--for`.

use crate::support::{Dice, Ended, Place, Running, Shell, any_moment_within, in_parallel, until};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Barrier;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Less than the safety rescan's 15 s: what ends sooner was told by an event.
const EVENTFUL: Duration = Duration::from_secs(10);
/// How much older than the write the kernel's coarse file times make a file look (a jiffy, at most 10 ms).
const COARSE: Duration = Duration::from_millis(20);
/// How long a result is waited for after the status.
const RESULT_WAIT: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// A wrapper as people write it: $1 is the step, $2 how long it works.
const WRAPPER: &str = r#"
    echo $$ > "$1.pid"
    while :; do touch "$1.heartbeat"; sleep 0.1; done &
    beating=$!
    sleep "$2"
    echo SUCCESS > "$1.status"
    sleep 0.05
    printf '{"of": "%s"}\n' "$1" > "$1.result"
    kill $beating
"#;

/// Lives until it is killed, under the pid file of step $1.
const LIVING: &str = "echo $$ > \"$1.pid\"; exec sleep 300";

fn wait(place: &Place, step: &str, more: &[&str]) -> (i32, Value) {
    let ended = waiting(place, step, more).end_at_all();
    (ended.code, ended.json())
}

fn waiting(place: &Place, step: &str, more: &[&str]) -> Running {
    let mut arguments = vec!["wait", step, "--json"];
    arguments.extend(more);
    place.start(arguments)
}

#[track_caller]
fn is_success_with(ended: &Ended, result: &Value) {
    let answer = ended.json();
    let said = (ended.code, &answer["outcome"], &answer["result"], &answer["result_error"]);
    assert_eq!(said, (0, &json!("success"), result, &Value::Null), "{ended:?}");
}

#[track_caller]
fn is_failed_quoting(ended: &Ended, word: &str) {
    let answer = ended.json();
    assert_eq!((ended.code, answer["outcome"].as_str()), (1, Some("failed")), "{ended:?}");
    assert!(answer["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{word:?}: {ended:?}");
}

/// A living process under the step's pid file.
fn living(place: &Place, step: &str) -> Shell {
    let shell = Shell::start(place, LIVING, &[step]);
    until("the pid is written", || {
        std::fs::read(place.file(&format!("{step}.pid"))).is_ok_and(|pid| pid.ends_with(b"\n"))
    });
    shell
}

#[test]
fn five_hundred_waits_in_any_phase_of_a_shell_wrapper_see_its_success_and_its_own_result() {
    let place = Place::new();
    let met: [AtomicUsize; 4] = Default::default();
    in_parallel(500, 20, |number| {
        let mut dice = Dice::new(number as u64 + 1);
        let step = format!("s{number}");
        let work = format!("0.{:03}", dice.below(120));
        let mut shell = Shell::start(&place, WRAPPER, &[&step, &work]);
        any_moment_within(&mut dice, 250);
        let stands = |record: &str| place.file(&format!("{step}.{record}")).exists();
        let phase = ["pid", "status", "result"].into_iter().filter(|record| stands(record)).count();
        met[phase].fetch_add(1, Ordering::Relaxed);
        let ended = waiting(&place, &step, &[]).end_at_all();
        shell.end();
        let written = |record: &str| {
            let file = place.file(&format!("{step}.{record}")).metadata().expect("a file of the wrapper's");
            file.modified().expect("a time")
        };
        // A wrapper that a busy machine held up between the two for longer than a result is waited for has none yet.
        let between = written("result").duration_since(written("status")).unwrap_or_default();
        let is_late = between + COARSE > RESULT_WAIT && ended.json()["result"].is_null();
        is_success_with(&ended, &if is_late { Value::Null } else { json!({ "of": step }) });
    });
    assert!(met.iter().all(|count| count.load(Ordering::Relaxed) > 0), "some phase was never met: {met:?}");
}

#[test]
fn two_thousand_waits_around_the_publication_of_a_status_neither_hang_nor_err() {
    let place = Place::new();
    let started: [AtomicUsize; 2] = Default::default();
    in_parallel(100, 2, |number| {
        let (before, after) = wait_around_publication(&place, number, 20);
        started[0].fetch_add(before, Ordering::Relaxed);
        started[1].fetch_add(after, Ordering::Relaxed);
    });
    let [before, after] = started.map(AtomicUsize::into_inner);
    assert!(before > 200 && after > 200 && before + after == 2000, "{before} before, {after} after");
}

/// Starts so many waits at random moments around one publication; how many began before it, and after.
fn wait_around_publication(place: &Place, number: usize, waits: usize) -> (usize, usize) {
    let step = format!("s{number}");
    let result = json!({ "of": number });
    let file = |record: &str| place.file(&format!("{step}.{record}"));
    let succeeds = number % 4 < 2;
    if number % 8 < 4 {
        // This process lives, so its pid is a wrapper's.
        std::fs::write(file("pid"), format!("{}\n", std::process::id())).expect("a pid file");
    }
    let gate = Barrier::new(waits + 1);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..waits)
            .map(|caller| {
                let (gate, step, result) = (&gate, &step, &result);
                scope.spawn(move || {
                    let mut dice = Dice::new((number * 1000 + caller + 1) as u64);
                    gate.wait();
                    any_moment_within(&mut dice, 120);
                    let began = Instant::now();
                    let ended = waiting(place, step, &[]).end_at_all();
                    if succeeds {
                        is_success_with(&ended, result);
                    } else {
                        is_failed_without_detail(&ended);
                    }
                    (began, Instant::now())
                })
            })
            .collect();
        gate.wait();
        // This pause is what is tested: the status comes in the middle of the callers' random moments, so that some look before
        // it and some after. Every order of the two has to be told right.
        std::thread::sleep(Duration::from_millis(60));
        let word = if succeeds { "SUCCESS\n" } else { "FAILED\n" };
        let publish_result = || succeeds.then(|| std::fs::write(file("result"), result.to_string()).expect("a result"));
        let published = Instant::now();
        if number.is_multiple_of(2) {
            publish_result();
            std::fs::write(place.file(&format!(".{step}.tmp")), word).expect("a temporary file");
            std::fs::rename(place.file(&format!(".{step}.tmp")), file("status")).expect("a rename");
        } else {
            std::fs::write(file("status"), word).expect("a status");
            publish_result();
        }
        let times = callers.into_iter().map(|caller| caller.join().expect("a right answer"));
        let after = times.filter(|&(began, ended)| {
            assert!(ended - began.max(published) < EVENTFUL, "step {number} was told by no event");
            began > published
        });
        let after = after.count();
        (waits - after, after)
    })
}

#[track_caller]
fn is_failed_without_detail(ended: &Ended) {
    let answer = ended.json();
    let said = (ended.code, &answer["outcome"], &answer["detail"], &answer["result"]);
    assert_eq!(said, (1, &json!("failed"), &Value::Null, &Value::Null), "{ended:?}");
}

#[test]
fn every_form_of_the_two_words_is_read_by_waits_before_and_after() {
    let place = Place::new();
    let good =
        ["SUCCESS\r\n", "success\n", "Success", "SUCCESS", "SUCCESS \t \n", "\n SUCCESS\n\n", "success at last\n"];
    let bad = ["FAILED\r\n", "failed\n", "Failed", "FAILED", "FAILED  \t", "\r\nfailed\r\n", "FAILED 3\n"];
    let forms = good.into_iter().map(|form| (form, true)).chain(bad.into_iter().map(|form| (form, false)));
    let forms: Vec<(String, &str, bool)> =
        forms.enumerate().map(|(number, (form, succeeds))| (format!("s{number}"), form, succeeds)).collect();
    let early: Vec<Running> = forms.iter().map(|(step, _, _)| waiting(&place, step, &[])).collect();
    for (step, form, _) in &forms {
        place.write(&format!("{step}.result"), &format!("[\"{step}\"]"));
        place.write(&format!("{step}.status"), form);
    }
    for ((step, form, succeeds), early) in forms.iter().zip(early) {
        for ended in [early.end_at_all(), waiting(&place, step, &[]).end_at_all()] {
            if *succeeds {
                is_success_with(&ended, &json!([step]));
            } else {
                assert_eq!((ended.code, &ended.json()["outcome"]), (1, &json!("failed")), "{form:?}: {ended:?}");
            }
        }
    }
}

#[test]
fn a_status_written_in_several_writes_or_empty_at_first_is_waited_for() {
    let place = Place::new();
    in_parallel(20, 20, |number| {
        let mut dice = Dice::new(number as u64 + 77);
        let step = format!("s{number}");
        place.write(&format!("{step}.result"), &number.to_string());
        let wait = waiting(&place, &step, &[]);
        let mut status = std::fs::File::create(place.file(&format!("{step}.status"))).expect("a status");
        // A random pause, so that the waiter looks between any two writes; always below the 2 s after which it gives up.
        any_moment_within(&mut dice, 900);
        for byte in b"SUCCESS\n" {
            status.write_all(&[*byte]).expect("a byte");
            any_moment_within(&mut dice, 80);
        }
        is_success_with(&wait.end_at_all(), &json!(number));
    });
}

#[test]
fn a_word_that_is_never_finished_or_is_none_of_the_two_fails_after_two_seconds_and_is_quoted() {
    let place = Place::new();
    let words = ["SUCC", "f", "DONE\n", "SUCCESSFUL", "0\n", ""];
    in_parallel(words.len() * 2, words.len() * 2, |number| {
        let (word, step) = (words[number / 2], format!("s{number}"));
        let _living = (number % 4 < 2).then(|| living(&place, &step));
        let early = number.is_multiple_of(2).then(|| waiting(&place, &step, &[]));
        let written = Instant::now();
        place.write(&format!("{step}.status"), word);
        let ended = early.unwrap_or_else(|| waiting(&place, &step, &[])).end_at_all();
        let took = written.elapsed();
        is_failed_quoting(&ended, word.trim());
        assert!(took + COARSE >= Duration::from_secs(2), "{word:?} was given up after {took:?}");
        assert!(took < EVENTFUL, "{word:?} was given up only after {took:?}");
    });
}

#[test]
fn an_odd_word_that_is_put_right_in_time_is_forgotten() {
    let place = Place::new();
    place.write("s.result", "1");
    let wait = waiting(&place, "s", &[]);
    place.write("s.status", "DONE\n");
    any_moment_within(&mut Dice::new(5), 1000);
    place.write("s.status", "SUCCESS\n");
    is_success_with(&wait.end_at_all(), &json!(1));
}

#[test]
fn the_death_of_its_writer_ends_the_patience_with_an_unfinished_word() {
    let took = |_| {
        let place = Place::new();
        let mut shell = living(&place, "s");
        let wait = waiting(&place, "s", &[]);
        place.write("s.status", "SUCC");
        let killed = Instant::now();
        shell.kill();
        is_failed_quoting(&wait.end_at_all(), "SUCC");
        killed.elapsed()
    };
    // Without the death each would take the two seconds after which nobody goes on writing; a busy machine may take them too.
    assert!((0..5).map(took).any(|took| took < Duration::from_secs(2)), "the death was not what ended it");
}

#[test]
fn a_wrapper_without_heartbeat_is_never_stale() {
    let place = Place::new();
    let script = "echo $$ > s.pid; sleep 1.2; echo '{}' > s.result; echo SUCCESS > s.status";
    let _shell = Shell::start(&place, script, &[]);
    is_success_with(&waiting(&place, "s", &["--stale", "0.2"]).end_at_all(), &json!({}));
}

#[test]
fn a_pid_that_comes_late_is_followed_and_its_death_noticed() {
    let place = Place::new();
    place.write("s.heartbeat", "");
    let wait = waiting(&place, "s", &[]);
    // In any phase of the wait: before it looks, while it arms, or while it sleeps.
    any_moment_within(&mut Dice::new(3), 300);
    let mut shell = living(&place, "s");
    let (code, answer) = self::wait(&place, "s", &["--for", "0.2"]);
    assert_eq!((code, &answer["pid"]), (75, &json!(shell.pid())), "{answer}");
    let killed = Instant::now();
    shell.kill();
    let ended = wait.end_at_all();
    let took = killed.elapsed();
    assert_eq!((ended.code, &ended.json()["outcome"]), (4, &json!("died")), "{ended:?}");
    assert!(took < Duration::from_secs(10), "found by no event but by the rescan after 15 s: {took:?}");
}

#[test]
fn a_wrapper_that_never_writes_a_pid_is_watched_by_its_files() {
    let place = Place::new();
    let wait = waiting(&place, "s", &[]);
    place.write("s.heartbeat", "");
    any_moment_within(&mut Dice::new(4), 300);
    place.write("s.status", "SUCCESS");
    place.write("s.result", "{\"n\": 1}");
    let ended = wait.end_at_all();
    is_success_with(&ended, &json!({ "n": 1 }));
    assert_eq!(ended.json()["pid"], Value::Null);
    assert_eq!(self::wait(&place, "t", &["--start-timeout", "0.1"]).0, 5);
}

#[test]
fn left_overs_of_an_earlier_run_are_ignored_and_the_new_status_in_their_place_is_seen() {
    let place = Place::new();
    in_parallel(10, 10, |number| {
        let step = format!("s{number}");
        let file = |record: &str| format!("{step}.{record}");
        for (record, content) in [("status", "SUCCESS\n"), ("result", "{\"old\": true}\n"), ("heartbeat", "")] {
            place.write(&file(record), content);
            place.age(&file(record), HOUR);
        }
        let _shell = living(&place, &step);
        let (code, answer) = wait(&place, &step, &["--for", "0.3", "--stale", "5"]);
        assert_eq!((code, &answer["outcome"], &answer["result"]), (75, &json!("running"), &Value::Null), "{answer}");
        let wait = waiting(&place, &step, &[]);
        any_moment_within(&mut Dice::new(number as u64 + 9), 300);
        let written = Instant::now();
        // The third run writes no result, and the old one is not its own.
        place.write(&file("status"), ["FAILED\n", "SUCCESS\n", "SUCCESS\n"][number % 3]);
        if number % 3 == 1 {
            place.write(&file("result"), "{\"new\": true}\n");
        }
        let ended = wait.end_at_all();
        match number % 3 {
            0 => is_failed_without_detail(&ended),
            1 => is_success_with(&ended, &json!({ "new": true })),
            _ => is_success_with(&ended, &Value::Null),
        }
        assert!(written.elapsed() < Duration::from_secs(10), "not seen for {:?}", written.elapsed());
    });
}

#[test]
fn a_result_that_is_no_json_leaves_a_success_without_result_and_says_why() {
    let place = Place::new();
    let results = ["no json\n", "{\"n\": 1", "", "1 2"];
    in_parallel(results.len(), results.len(), |number| {
        let step = format!("s{number}");
        let written = Instant::now();
        place.write(&format!("{step}.status"), "SUCCESS\n");
        place.write(&format!("{step}.result"), results[number]);
        let (code, answer) = wait(&place, &step, &[]);
        assert_eq!((code, &answer["outcome"], &answer["result"]), (0, &json!("success"), &Value::Null), "{answer}");
        assert!(answer["result_error"].is_string(), "{:?}: {answer}", results[number]);
        // Nobody knows the writer dead, so it had its second to finish.
        assert!(written.elapsed() + COARSE >= Duration::from_secs(1), "{:?}", written.elapsed());
    });
}

#[test]
fn a_result_that_comes_late_is_taken_and_one_that_never_comes_is_waited_for_a_second() {
    let place = Place::new();
    let fastest = Mutex::new(Duration::MAX);
    in_parallel(12, 12, |number| {
        let step = format!("s{number}");
        let mut shell = living(&place, &step);
        let wait = waiting(&place, &step, &[]);
        let written = Instant::now();
        place.write(&format!("{step}.status"), "SUCCESS\n");
        match number % 3 {
            0 => {
                any_moment_within(&mut Dice::new(number as u64 + 1), 700);
                place.write(&format!("{step}.result"), "7");
                is_success_with(&wait.end_at_all(), &json!(7));
            }
            1 => {
                is_success_with(&wait.end_at_all(), &Value::Null);
                let took = written.elapsed();
                assert!(took + COARSE >= Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
            }
            // A dead writer brings none.
            _ => {
                shell.kill();
                is_success_with(&wait.end_at_all(), &Value::Null);
                let mut fastest = fastest.lock().expect("no other has panicked");
                *fastest = written.elapsed().min(*fastest);
            }
        }
    });
    // A busy machine may take the second by itself, and not in all four.
    let fastest = fastest.into_inner().expect("no other has panicked");
    assert!(fastest < Duration::from_secs(1), "a dead writer was waited for: {fastest:?}");
}

#[test]
fn with_new_an_outcome_of_before_the_call_is_passed_over_and_the_next_run_is_waited_for() {
    let place = Place::new();
    place.write("s.status", "SUCCESS\n");
    place.write("s.result", "\"old\"");
    assert_eq!(wait(&place, "s", &[]).0, 0);
    assert_ne!(wait(&place, "s", &["--new", "--for", "0.2"]).0, 0);
    for (phase, word) in ["FAILED\n", "SUCCESS\n", "FAILED\n"].into_iter().enumerate() {
        // The wait must know the old outcome before the new one is there.
        let wait = waiting(&place, "s", &["--new"]);
        until("the wait has armed its events", || wait.has_events());
        place.write("s.status", word);
        place.write("s.result", &phase.to_string());
        let ended = wait.end_at_all();
        if word == "SUCCESS\n" {
            is_success_with(&ended, &json!(phase));
        } else {
            assert_eq!((ended.code, &ended.json()["outcome"]), (1, &json!("failed")), "{ended:?}");
        }
    }
}
