//! `list`: every step at a glance, for people and for programs, once and at every change.
//!
//! Nothing here measures time; `scripts/bench` does.

use crate::support::servers::has;
use crate::support::{Ended, Place, Shell, kill, until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn row(ended: &Ended, step: &str) -> Vec<String> {
    let line = ended.stdout.lines().find(|line| line.split_whitespace().next() == Some(step));
    line.unwrap_or_else(|| panic!("{step}: {ended:?}")).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn an_empty_directory_is_one_sentence_on_standard_error_and_no_failure() {
    let place = Place::new();
    for words in [&["list"][..], &["list", "--json"], &["list", "--dir", "/tmp/dogwatch-is-not-here"]] {
        let ended = place.dogwatch(words);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.lines().count()), (0, "", 1), "{ended:?}");
    }
    // What is no step's start is none.
    place.write("only.log", "x");
    place.write("only.breaker", "{}");
    assert_eq!(place.dogwatch(["list"]).stdout, "");
}

#[test]
fn each_step_has_a_row_with_its_state_and_its_last_line() {
    let place = Place::new();
    place.dogwatch(["run", "good", "--", "sh", "-c", "echo one; echo all is well"]);
    place.dogwatch(["run", "bad", "--", "sh", "-c", "printf 'evil \\033[2J end\\n'; exit 3"]);
    let pid = place.detach("busy", "echo at work; sleep 300");
    place.write("gone.pid", "999999999\n");
    until("the log is written", || place.read("busy.log") == "at work\n");
    let ended = place.dogwatch(["list"]);
    assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.lines().count()), (0, "", 5), "{ended:?}");
    let steps: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(steps, ["STEP", "bad", "busy", "gone", "good"]);
    assert_eq!(&row(&ended, "good")[1], "success");
    assert!(ended.stdout.contains("all is well") && ended.stdout.contains("evil  end"), "{ended:?}");
    let busy = row(&ended, "busy");
    assert_eq!((busy[1].as_str(), &busy[7], busy[8..].join(" ").as_str()), ("running", &pid.to_string(), "at work"));
    assert_eq!((row(&ended, "bad")[1..3].join(" ").as_str(), row(&ended, "gone")[1].as_str()), ("failed (3)", "died"));
    let good = row(&ended, "good");
    assert_eq!((good[4].as_str(), good[3].ends_with('s')), ("ago", true), "{good:?}");
    // As check has them, in everything that does not change by the moment.
    let still = |mut line: Value| {
        for key in ["elapsed_ms", "heartbeat_age_ms", "output_age_ms", "detail", "log_tail"] {
            line[key] = Value::Null;
        }
        line
    };
    let listed: Vec<Value> = place.dogwatch(["list", "--json"]).lines().into_iter().map(still).collect();
    let checked = place.dogwatch(["check", "bad", "busy", "gone", "good", "--json"]).lines();
    assert_eq!(listed, checked.into_iter().map(still).collect::<Vec<_>>());
}

#[test]
fn a_run_that_goes_on_is_told_of_with_its_output_age_and_its_cpu_time() {
    let place = Place::new();
    place.detach("busy", "echo at work; sh -c 'while :; do :; done' & wait");
    place.detach("idle", "sleep 300");
    until("it has used a tenth of a second", || {
        let tenths = row(&place.dogwatch(["list"]), "busy")[5].clone();
        tenths.strip_suffix('s').and_then(|used| used.parse::<f64>().ok()).is_some_and(|used| used >= 0.1)
    });
    let head = place.dogwatch(["list"]).stdout.lines().next().map(str::to_owned);
    let names = "STEP STATE ELAPSED HEARTBEAT OUTPUT CPU PID LAST LINE";
    assert_eq!(head.map(|head| head.split_whitespace().collect::<Vec<_>>().join(" ")).as_deref(), Some(names));
    let listed = place.dogwatch(["list", "--json"]).lines();
    let [busy, idle] = &listed[..] else { panic!("{listed:?}") };
    assert!(busy["output_age_ms"].is_u64() && idle["output_age_ms"].is_u64(), "{listed:?}");
    assert!(busy["detail"].as_str().is_some_and(|detail| detail.contains("of CPU time")), "{busy}");
    assert!(row(&place.dogwatch(["list"]), "idle")[5].starts_with("0."), "its wrapper's own is all");
}

#[test]
fn a_list_needs_no_thread() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    (0..150).for_each(|number| place.write(&format!("s{number}.status"), "SUCCESS\n"));
    let whole = place.dogwatch(["list", "--json"]).stdout;
    let prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=?clone,?clone3:error=EAGAIN"];
    let alone = Ended::of(&place.through(&prefix, ["list", "--json"]).output().expect("it runs"));
    assert_eq!((alone.code, alone.stdout.lines().count(), alone.stdout), (0, 150, whole), "{}", alone.stderr);
}

#[test]
fn many_runs_are_told_of_by_one_list_of_all_processes() {
    if !has("strace") {
        return eprintln!("skipped: there is no strace");
    }
    let place = Place::new();
    let script =
        "for n in 0 1 2 3 4 5 6 7 8 9; do echo $$ > s$n.pid; touch s$n.heartbeat; done; touch done; exec sleep 300";
    let _shell = Shell::start(&place, script, &[]);
    until("all have begun", || place.file("done").exists());
    // Of those that are not among the living another namespace may tell.
    place.write("s3.pid", "999999999\n");
    place.write("s4.pid", "999999998\n");
    let trace = place.file(".trace");
    let prefix = ["strace", "-f", "-qq", "-e", "trace=open,openat", "-o", trace.to_str().expect("a name")];
    let listed = Ended::of(&place.through(&prefix, ["list", "--json"]).output().expect("it runs")).lines();
    let count = |outcome: &str| listed.iter().filter(|line| line["outcome"] == outcome).count();
    assert_eq!((count("running"), count("died")), (8, 2), "{listed:?}");
    let lists = place.read(".trace").matches("\"/proc\"").count();
    assert_eq!(lists, 2, "one for what each has used, one for the namespaces");
}

#[test]
fn an_earlier_runs_record_says_nothing_of_a_plain_shells_run() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "true"]);
    place.write("s.pid", "999999999\n");
    place.write("s.status", "FAILED\n");
    assert_eq!(row(&place.dogwatch(["list"]), "s")[1], "failed");
}

#[test]
fn a_record_of_a_newer_program_hides_no_other_step() {
    let place = Place::new();
    place.dogwatch(["run", "good", "--", "true"]);
    place.write("new.status", "SUCCESS\n");
    place.write("new.meta", "{\"schema\":99}");
    let ended = place.dogwatch(["list"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (0, 1), "{ended:?}");
    assert!(ended.stderr.contains("new.meta") && ended.stdout.contains("good"), "{ended:?}");
}

#[test]
fn a_watched_list_tells_of_each_change_and_ends_when_it_is_interrupted() {
    let place = Place::new();
    let mut command = place.command(["list", "--watch", "--json"]);
    let mut list = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines = BufReader::new(list.stdout.take().expect("its output")).lines();
    let mut next = || -> (String, String) {
        let line: Value = serde_json::from_str(&lines.next().expect("a line").expect("text")).expect("JSON");
        (line["step"].as_str().unwrap().to_owned(), line["outcome"].as_str().unwrap().to_owned())
    };
    let said = |step: &str, outcome: &str| (step.to_owned(), outcome.to_owned());
    place.detach("a", "while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done; exit 4");
    assert_eq!(next(), said("a", "running"));
    place.dogwatch(["run", "b", "--", "true"]);
    // Whether it was also seen running is left to chance.
    let first = next();
    if first == said("b", "running") {
        assert_eq!(next(), said("b", "success"));
    } else {
        assert_eq!(first, said("b", "success"));
    }
    place.write("go", "");
    assert_eq!(next(), said("a", "failed"));
    kill("TERM", list.id().cast_signed());
    let status = list.wait().expect("it ends");
    assert_eq!(status.code(), Some(143));
}
