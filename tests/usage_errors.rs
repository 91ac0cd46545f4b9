//! Invalid arguments, the help that leads on, errors as JSON, and results that cannot be written.

use crate::support::{Ended, Place, is_refused, until};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

fn run(command: &mut Command) -> Ended {
    Ended::of(&command.output().expect("dogwatch runs"))
}

#[test]
fn a_call_that_cannot_be_meant_is_a_usage_error_that_names_its_fault() {
    let place = Place::new();
    let bad: [(&str, &str); 28] = [
        ("wiat s", "wiat"),
        ("log", "STEP"),
        ("wait s --frobnicate", "--frobnicate"),
        ("wait s --any --fail-fast", "--fail-fast"),
        ("wait s t --propagate", "--propagate"),
        ("wait s --backend magic", "magic"),
        ("wait s --stale soon", "soon"),
        ("wait s --stale 1parsec", "1parsec"),
        ("wait s --for=-1", "-1"),
        ("wait s --for -5s", "is no duration"),
        ("run s --stale -1 -- true", "is no duration"),
        ("wait s --for --quiet", "is no duration"),
        ("run s --tag a/b -- true", "is no tag"),
        ("run s --breaker a/b -- true", "is no circuit breaker's name"),
        ("wait s -x", "unexpected argument '-x' found (see"),
        ("wait s --max-timeout 1e999", "1e999"),
        ("wait s --grace nan", "nan"),
        ("wait s --start-timeout 5x", "5x"),
        ("wait s --poll-interval 0", "poll"),
        ("wait s --log-tail some", "some"),
        ("check s --stale never", "never"),
        ("run s", "COMMAND"),
        ("run s --", "COMMAND"),
        ("run s --log-max wide -- true", "wide"),
        ("run s --heartbeat-on nothing -- true", "nothing"),
        ("run s --heartbeat-interval 1s --stale 2s -- true", "--heartbeat-interval"),
        ("run s --heartbeat-on output --log none -- true", "--log none"),
        ("wait s --color blue", "blue"),
    ];
    for (line, word) in bad {
        is_refused(&place.dogwatch(line.split(' ')), 2, &[word]);
    }
    assert!(place.snapshot().is_empty());
}

#[test]
fn no_command_at_all_is_a_usage_error_in_one_sentence() {
    let none: [&str; 0] = [];
    is_refused(&Place::new().dogwatch(none), 2, &["no command was given", "run, wait", "see dogwatch --help"]);
    is_refused(&Place::new().dogwatch(["breaker"]), 2, &["no command was given", "show, reset", "breaker --help"]);
}

#[test]
fn help_is_no_error_and_names_the_exit_codes() {
    let place = Place::new();
    for help in ["--help", "run --help", "wait -h", "check --help", "beat --help", "breaker --help", "dir --help"] {
        let ended = place.dogwatch(help.split(' '));
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{help}");
        assert!(ended.stdout.contains("Usage: dogwatch"), "{ended:?}");
        let has_codes = !["beat", "breaker", "dir"].iter().any(|command| help.starts_with(command));
        assert!(!has_codes || ended.stdout.contains("  124  "), "{ended:?}");
    }
    let version = place.dogwatch(["--version"]);
    assert_eq!((version.code, version.stdout), (0, format!("dogwatch {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn a_name_that_no_step_can_have_is_a_usage_error() {
    let place = Place::new();
    let long = "x".repeat(101);
    for name in ["a/b", "..", ".", ".hidden", "/", "a b", "", "ä", "a\nb", "a*", "a\\b", "a\u{1b}[31m", &long] {
        for before in [vec!["wait", "--for", "0"], vec!["check"], vec!["beat"]] {
            is_refused(&place.dogwatch(before.into_iter().chain([name])), 2, &[]);
        }
        is_refused(&place.dogwatch(["run", name, "--", "true"]), 2, &[]);
    }
    is_refused(&place.dogwatch(["run", "-x", "--", "true"]), 2, &["-x"]);
    assert!(place.snapshot().is_empty());
    // The longest and the strangest that a step can have.
    assert_eq!(place.dogwatch(["run", &long[1..], "--", "true"]).code, 0);
    assert_eq!(place.dogwatch(["run", "aZ9._@+=:-", "--", "true"]).code, 0);
}

#[test]
fn a_bad_default_in_the_environment_is_a_usage_error_that_names_the_variable() {
    let place = Place::new();
    let wait = ["STALE", "MAX_TIMEOUT", "GRACE", "POLL_INTERVAL", "BACKEND", "START_TIMEOUT"];
    let run_only = ["HEARTBEAT_INTERVAL", "LOG_MAX", "MAX_CONSECUTIVE"];
    let both = ["STALE", "MAX_TIMEOUT", "GRACE"];
    let calls = [("wait s --for 0", wait.to_vec()), ("run s -- true", [run_only, both].concat())];
    for (line, names) in calls {
        for name in names.into_iter().map(|name| format!("DOGWATCH_{name}")) {
            for value in [OsString::from("soon"), OsString::from("-1"), OsString::from_vec(vec![0xff])] {
                let ended = run(place.command(line.split(' ')).env(&name, value));
                is_refused(&ended, 2, &[&name]);
            }
        }
    }
    assert!(place.snapshot().is_empty());
    // A good one is used.
    let began = std::time::Instant::now();
    assert_eq!(run(place.command(["wait", "s"]).env("DOGWATCH_START_TIMEOUT", "0.2")).code, 5);
    assert!(began.elapsed() < std::time::Duration::from_secs(50));
}

#[test]
fn help_of_a_command_is_had_by_either_word_order() {
    let place = Place::new();
    for command in ["wait", "run", "breaker", "completions"] {
        let (by_word, by_flag) = (place.dogwatch(["help", command]), place.dogwatch([command, "--help"]));
        assert_eq!((by_word.code, by_word.stderr.as_str()), (0, ""), "{command}");
        assert_eq!(by_word.stdout, by_flag.stdout, "{command}");
    }
    assert_eq!(place.dogwatch(["help"]).stdout, place.dogwatch(["--help"]).stdout);
    for words in [["help", "-h"], ["help", "--help"]] {
        let of_help = place.dogwatch(words);
        assert_eq!((of_help.code, &of_help.stdout), (0, &place.dogwatch(&words[1..]).stdout), "{of_help:?}");
    }
    assert!(place.dogwatch(["help", "breaker", "show"]).stdout.contains("Usage: dogwatch breaker show"));
    for (unknown, near) in [("wiat", "'wait'"), ("breaker shwo", "'show'"), ("stop", "dogwatch kill STEP")] {
        let by_word = place.dogwatch("help".split(' ').chain(unknown.split(' ')));
        is_refused(&by_word, 2, &[near, "--help"]);
        assert_eq!(by_word.stderr, place.dogwatch(unknown.split(' ')).stderr);
    }
    is_refused(&place.dogwatch(["help", "nosuch"]), 2, &["nosuch", "dogwatch --help"]);
}

#[test]
fn what_users_of_other_programs_type_leads_to_what_is_meant() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    for (line, words) in [
        ("wait s --timeout 5m", &["--for D", "--max-timeout D"][..]),
        ("status s", &["dogwatch check STEP", "dogwatch list"]),
        ("ps", &["dogwatch list"]),
        ("stop s", &["dogwatch kill STEP"]),
        ("rm s", &["dogwatch clean STEP"]),
        ("log s --tail 5", &["-n N"]),
        ("kill -9 s", &["--signal KILL"]),
        ("run -t 5m t -- true", &["--max-timeout D"]),
    ] {
        is_refused(&place.dogwatch(line.split(' ')), 2, words);
    }
    assert!(place.dogwatch(["check", "s"]).stdout.contains("running"), "nothing was touched");
}

/// The one object on standard output, beside nothing on standard error.
#[track_caller]
fn is_error_object(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!((ended.code, ended.stderr.as_str(), ended.stdout.lines().count()), (code, "", 1), "{ended:?}");
    let object = ended.json();
    let keys: Vec<&String> = object.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["error", "exit_code", "schema"], "{object}");
    assert_eq!((&object["exit_code"], &object["schema"]), (&json!(code), &json!(1)), "{object}");
    let sentence = object["error"].as_str().expect("a sentence");
    assert!(words.iter().all(|word| sentence.contains(word)) && !sentence.contains('\n'), "{object}");
}

#[test]
fn under_json_usage_and_own_errors_are_one_object_on_standard_output() {
    let place = Place::new();
    place.write("file", "");
    let file = place.file("file").to_string_lossy().into_owned();
    place.detach("s", "sleep 300");
    for (line, code, words) in [
        ("wait --json s --stale soon", 2, &["soon"][..]),
        ("wiat s --json", 2, &["wiat"]),
        ("--json", 2, &["no command"]),
        ("wait s --json --timeout 5m", 2, &["--for D"]),
        ("wait s t --json --propagate", 2, &["--propagate"]),
        ("run s --json -- true", 125, &["s"]),
        ("run -d s --json -- true", 125, &["s"]),
        ("preflight --json --file none.toml", 2, &["none.toml"]),
        ("log none --json", 5, &["no step none"]),
        ("history none --json", 5, &["no step none"]),
        ("breaker reset none --json", 5, &["no circuit breaker none"]),
        ("succeed none --json", 5, &["no step none"]),
    ] {
        is_error_object(&place.dogwatch(line.split(' ')), code, words);
    }
    for line in ["wait t", "check t", "run t -- true", "list"] {
        is_error_object(&place.dogwatch(["--json", "--dir", &file].into_iter().chain(line.split(' '))), 125, &[&file]);
    }
    place.dogwatch(["run", "unended", "--", "printf", "x"]);
    let log = place.dogwatch(["log", "unended", "none", "--json"]);
    assert!(log.code == 5 && log.stdout.contains("x\n{\"schema\""), "{log:?}");
    for _ in 0..3 {
        place.dogwatch(["run", "bad", "--", "false"]);
    }
    is_error_object(&place.dogwatch(["run", "bad", "--json", "--", "true"]), 6, &["breaker reset bad"]);
    // A COMMAND's own --json is none of ours.
    let refused = place.dogwatch(["run", "s", "--", "tool", "--json"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{refused:?}");
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_and_a_reader_that_has_gone_is_none() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "echo", "x"]);
    let through = |script: &str, line: &str| {
        let mut command = place.through(&["sh", "-c", script, "sh"], line.split(' '));
        Ended::of(&command.output().expect("a shell"))
    };
    let lines = [
        "wait s", "wait s --result", "wait s --json", "check s", "check s --json", "log s", "log s -f", "list",
        "list --json", "history", "history s --json", "schema", "breaker show --json", "recover s", "dir", "--help",
        "--version", "help wait", "wait --help", "completions bash", "man", "skill", "breaker show", "preflight",
        "run -d t -- true", "kill s", "clean s --dry-run",
    ];
    for line in lines {
        if !std::path::Path::new("/dev/full").exists() {
            return eprintln!("skipped: there is no /dev/full here");
        }
        let full = through("exec \"$@\" >/dev/full", line);
        // What prints nothing loses nothing.
        let prints = !place.dogwatch(line.split(' ')).stdout.is_empty();
        assert_eq!(full.code == 125, prints, "{line}: {full:?}");
        if prints {
            let last = full.stderr.lines().last().unwrap_or_default();
            assert_eq!(last, "dogwatch: cannot write to standard output: no space left on device", "{line}");
        }
        // The reader has gone before dogwatch begins.
        let writer = "until [ -e gone ]; do sleep 0.01; done; rm gone; \"$@\" 2>error.txt; echo $? >code.txt";
        through(&format!("{{ {writer}; }} | {{ exec <&-; : >gone; }}"), line);
        let expected = format!("{}\n", place.dogwatch(line.split(' ')).code);
        until("the code is told", || place.read("code.txt").ends_with('\n'));
        assert_eq!(place.read("code.txt"), expected, "{line}: {}", place.read("error.txt"));
    }
}

#[test]
fn a_run_that_fails_in_the_foreground_says_so_and_where_its_log_is() {
    let place = Place::new();
    let failed = place.dogwatch(["run", "s", "--", "sh", "-c", "echo lost; exit 3"]);
    let log = place.file("s.log").to_string_lossy().into_owned();
    assert_eq!((failed.code, failed.stdout.as_str(), failed.stderr.lines().count()), (3, "", 1), "{failed:?}");
    assert!(failed.stderr.starts_with("dogwatch: s: failed, exit code 3 after "), "{failed:?}");
    assert!(failed.stderr.ends_with(&format!("; its log: {log}\n")), "{failed:?}");
    let silent = place.dogwatch(["run", "-q", "s", "--", "false"]);
    assert_eq!((silent.code, silent.stderr.as_str()), (1, ""), "{silent:?}");
    let object = place.dogwatch(["run", "--json", "s", "--no-breaker", "--", "false"]);
    assert_eq!((object.code, object.stderr.as_str(), &object.json()["outcome"]), (1, "", &Value::from("failed")));
    let good = place.dogwatch(["run", "t", "--", "true"]);
    assert_eq!((good.code, good.stdout.as_str(), good.stderr.as_str()), (0, "", ""));
}

#[cfg(target_os = "linux")]
#[test]
fn the_advised_command_works_in_a_directory_with_blanks() {
    let place = Place::new();
    let folder = place.file("it's a folder");
    let shown = folder.to_string_lossy().into_owned();
    assert_eq!(place.dogwatch(["--dir", &shown, "run", "-d", "s", "--", "sleep", "300"]).code, 0);
    let wait = place.start_undisturbed(["--dir", &shown, "wait", "s"]);
    until("it catches Ctrl-C", || crate::support::catches(wait.pid(), nix::sys::signal::Signal::SIGINT));
    crate::support::kill("INT", wait.pid());
    let ended = wait.end_at_all();
    let advised = ended.stderr.trim_end().rsplit_once(": ").map(|(_, line)| line.to_owned());
    let advised = advised.unwrap_or_else(|| panic!("{ended:?}"));
    let mut again =
        place.through(&["sh", "-c", &advised.replace("dogwatch wait", "exec \"$0\" wait --for 0")], [""; 0]);
    let again = Ended::of(&again.output().expect("a shell"));
    assert_eq!(again.code, 75, "{advised}: {again:?}");
    place.dogwatch(["--dir", &shown, "kill", "s"]);
}

#[test]
fn a_directory_that_is_none_is_said_once_and_its_mode_is_nobodys_business() {
    let place = Place::new();
    let run = place.dogwatch(["run", "s", "--dir", "/dev/null", "--", "true"]);
    is_refused(&run, 125, &["/dev/null is no directory"]);
}
