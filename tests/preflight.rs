//! `preflight` against services that answer well, badly, slowly or never, commands that hang, fixes that help and fixes
//! that do not, unusable directories. Every service is a listener of the test on the loopback address.

use crate::support::project::{Project, fails_with, text, verdicts};
use crate::support::{APART, kill, marked, unique, until};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// A server on the loopback address that answers by path; its port. Connections that get no answer are held.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What is not answered is held: as long as its thread waits for what never comes.
            std::thread::spawn(move || answer(stream).map(|held| (&held).read(&mut [0])));
        }
    });
    port
}

fn answer(mut stream: TcpStream) -> Option<TcpStream> {
    let mut request = [0; 1024];
    let length = stream.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let reply = match path {
        "/ok?x=1" => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "/empty" => "HTTP/1.0 204 No Content\r\n\r\n",
        "/hints" => "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "/moved" => "HTTP/1.1 302 Found\r\nLocation: /ok\r\n\r\n",
        "/broken" => "HTTP/1.1 500 Internal Server Error\r\n\r\n",
        "/ssh" => "SSH-2.0-OpenSSH_9.2\r\n",
        "/gone" => "",
        // What comes of it never ends: half a status line, or nothing.
        "/half" => {
            stream.write_all(b"HTTP/1.1 20").expect("half an answer");
            return Some(stream);
        }
        // A byte at a time, never silent and never done, until the other end has had enough.
        "/drip" => {
            stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a pace");
            for byte in b"HTTP/1.1 200 OK, said slowly: ".iter().cycle() {
                if stream.write_all(&[*byte]).is_err() || stream.read(&mut [0]).is_ok() {
                    break;
                }
            }
            return None;
        }
        _ => return Some(stream),
    };
    assert!(request.contains("\r\nHost: 127.0.0.1:"), "{request}");
    // In single bytes, as a slow line delivers them.
    stream.set_nodelay(true).expect("no delay");
    for byte in reply.bytes() {
        stream.write_all(&[byte]).ok()?;
    }
    None
}

/// A port that nothing listens on.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

#[test]
fn a_service_is_judged_by_what_it_answers_within_its_limit() {
    let (project, port, closed) = (Project::new(), server(), closed_port());
    let check = |path: &str| format!("kind = \"http\"\nurl = \"http://127.0.0.1:{port}{path}\"\ntimeout = \"700ms\"");
    let mut checks: Vec<String> =
        ["/ok?x=1", "/empty", "/hints", "/moved", "/broken", "/ssh", "/gone", "/half", "/never", "/drip"]
            .map(check)
            .to_vec();
    checks.push(format!("kind = \"http\"\nurl = \"http://127.0.0.1:{closed}/\""));
    checks.push("kind = \"http\"\nurl = \"http://no-such-host.invalid/\"".to_owned());
    project.checks(&checks.iter().map(String::as_str).collect::<Vec<_>>());
    let (code, found) = project.preflight(&[]);
    assert_eq!((code, &verdicts(&found)[..3]), (1, ["passed"; 3].as_slice()), "{found:?}");
    for (index, words) in [
        (3, ["/moved answered 302", "the service redirects"]),
        (4, ["/broken answered 500", "the service runs and fails"]),
        (5, ["\"SSH-2.0-OpenSSH_9.2\\r\\n\", which is not HTTP", "another service"]),
        (6, ["broke the connection", ""]),
        (7, ["did not answer within 700ms", "slower than this check's timeout"]),
        (8, ["did not answer within 700ms", "slower than this check's timeout"]),
        (9, ["did not answer within 700ms", "slower than this check's timeout"]),
        (10, ["connection refused", "nothing listens there"]),
        (11, ["no-such-host.invalid", "the name"]),
    ] {
        fails_with(&found[index], &words);
    }
    for late in &found[7..10] {
        let took = late["elapsed_ms"].as_u64().expect("a number");
        assert!((700..5000).contains(&took), "{late}");
    }
}

#[test]
fn a_port_is_open_or_closed() {
    let (project, port, closed) = (Project::new(), server(), closed_port());
    let (open, shut) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{closed}"));
    // localhost has two addresses where IPv6 is on, and nothing listens on the other.
    let name = format!("localhost:{port}");
    let (code, found) = project.preflight(&["--tcp", &open, "--tcp", &name, "--tcp", &shut, "--tcp", &open]);
    assert_eq!((code, verdicts(&found)), (1, vec!["passed", "passed", "failed"]), "{found:?}");
    fails_with(&found[2], &["connection refused", "the service is not up"]);
    assert_eq!(text(&found[0], "check"), format!("tcp {open}"));
}

#[test]
fn every_object_has_every_key_in_order() {
    let project = Project::new();
    project.write("x", "");
    project.checks(&[
        "kind = \"command\"\ncommand = \"test -e x && test ! -t 0 && ! read line\"",
        "kind = \"python-import\"\nmodule = \"os.path\"\npython = \"echo\"",
        "kind = \"env\"\nvariable = \"PATH\"\nmatches = \"^/|:/\"",
        "kind = \"file\"\nfile = \"x\"",
        "kind = \"disk\"\npath = \".\"\nmin_free = \"1kB\"",
        "kind = \"monitor\"",
        "kind = \"disk\"\npath = \".\"\nmin_free = \"9000000TB\"",
    ]);
    let ended = project.dogwatch(&["preflight", "--json"]);
    assert_eq!(verdicts(&ended.lines())[..6], ["passed"; 6], "{ended:?}");
    assert_eq!(ended.code, 1);
    let keys = [
        "check", "kind", "verdict", "detail", "symptom", "cause", "fix", "fix_source", "fixed", "elapsed_ms", "schema",
    ];
    for line in ended.stdout.lines() {
        let mut at = 0;
        for key in keys {
            let found = line[at..].find(&format!("\"{key}\":"));
            at += found.unwrap_or_else(|| panic!("{key} is missing or out of order: {line}"));
        }
    }
    let last = ended.lines().remove(6);
    fails_with(&last, &["free at", "9000000.0 TB are needed"]);
    assert!(last["cause"].is_null() && last["fixed"].is_null() && last["schema"] == 1, "{last}");
}

#[test]
fn all_together_take_as_long_as_the_slowest() {
    let project = Project::new();
    let port = server();
    let never = format!("kind = \"http\"\nurl = \"http://127.0.0.1:{port}/never\"\ntimeout = \"1s\"");
    let hang = "kind = \"command\"\ncommand = \"sleep 600\"\ntimeout = \"1s\"";
    let checks = [never.as_str(), hang].repeat(6);
    project.checks(&checks);
    let began = Instant::now();
    let (code, found) = project.preflight(&[]);
    let took = began.elapsed();
    assert_eq!((code, verdicts(&found)), (1, vec!["failed"; 12]));
    fails_with(&found[1], &["not done within 1s, and terminated"]);
    // One after the other they would take twelve seconds.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_command_over_its_limit_leaves_no_process() {
    let project = Project::new();
    let value = unique();
    let script = format!("sleep 600 & {APART} sleep 600 & trap '' TERM; while :; do sleep 600; done");
    project.checks(&[&format!("kind = \"command\"\ncommand = \"\"\"{script}\"\"\"\ntimeout = \"400ms\"")]);
    let output = project.command(&["preflight"]).env("TEST_MARK", &value).output().expect("dogwatch runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(marked(&format!("TEST_MARK={value}")), Vec::<i32>::new());
}

#[test]
fn a_signal_ends_the_checks_and_their_commands() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let project = Project::new();
        let value = unique();
        let script = format!("{APART} sleep 600 & echo > started; exec sleep 600");
        project.checks(&[&format!("kind = \"command\"\ncommand = \"{script}\"\ntimeout = \"10m\"")]);
        let running = {
            use std::process::Stdio;
            let mut command = std::process::Command::new("env");
            // GNU's; what starts tests elsewhere ignores none of these.
            command.args(cfg!(target_os = "linux").then_some("--default-signal=INT,TERM,HUP"));
            command.arg(env!("CARGO_BIN_EXE_dogwatch")).arg("preflight");
            command.current_dir(project.path()).env("TEST_MARK", &value).env("DOGWATCH_DIR", project.place.path());
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("dogwatch starts")
        };
        until("the check runs", || project.file("started").exists());
        kill(signal, running.id().cast_signed());
        let output = running.wait_with_output().expect("its output");
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(marked(&format!("TEST_MARK={value}")), Vec::<i32>::new());
    }
}

#[test]
fn a_fix_that_several_checks_share_runs_once_and_only_when_it_is_asked_for() {
    let project = Project::new();
    let fix = "fix = \"echo mended >> log; touch x\"";
    let check = format!("kind = \"file\"\nfile = \"x\"\n{fix}");
    let other = "kind = \"command\"\ncommand = \"test -e x\"";
    project.checks(&[&check, &check, other, "kind = \"env\"\nvariable = \"PATH\"\nfix = \"touch never\""]);
    let ended = project.dogwatch(&["preflight"]);
    assert!(ended.code == 1 && !project.file("log").exists(), "{ended:?}");
    assert!(ended.stdout.contains("run the fix of 2 with: dogwatch preflight --fix\n"), "{ended:?}");
    let ended = project.dogwatch(&["preflight", "--file", "preflight.toml"]);
    assert!(ended.stdout.contains("with: dogwatch preflight --fix --file preflight.toml\n"), "{ended:?}");
    let ended = project.dogwatch(&["preflight", "--fix", "--json"]);
    let found = ended.lines();
    assert_eq!((ended.code, verdicts(&found)), (0, vec!["fixed", "fixed", "fixed", "passed"]), "{ended:?}");
    assert_eq!(std::fs::read_to_string(project.file("log")).expect("the fix's log"), "mended\n");
    assert!(!project.file("never").exists() && found[3]["fixed"].is_null() && found[0]["fixed"] == true, "{found:?}");
    assert_eq!(ended.stderr, "dogwatch: running the fix: echo mended >> log; touch x\n");
    let (code, found) = project.preflight(&["--fix"]);
    assert_eq!((code, verdicts(&found)), (0, vec!["passed"; 4]));
}

#[test]
fn a_fix_that_does_not_help_is_said_and_its_output_is_shown() {
    let project = Project::new();
    project.checks(&[
        "kind = \"file\"\nfile = \"x\"\nfix = \"echo to stdout; echo to stderr >&2; exit 3\"",
        "kind = \"file\"\nfile = \"y\"\nfix = \"true\"",
        "kind = \"file\"\nfile = \"z\"",
    ]);
    let ended = project.dogwatch(&["preflight", "--fix", "--json"]);
    let found = ended.lines();
    assert_eq!((ended.code, verdicts(&found)), (1, vec!["failed"; 3]), "{ended:?}");
    fails_with(&found[0], &["its fix was run, and it ended with exit code 3"]);
    fails_with(&found[1], &["its fix was run and did not help"]);
    assert!(found[0]["fixed"] == false && found[2]["fixed"].is_null(), "{found:?}");
    assert!(ended.stderr.contains("to stdout\n") && ended.stderr.contains("to stderr\n"), "{ended:?}");
}

#[test]
fn a_check_that_a_fix_breaks_is_reported_though_it_passed_before() {
    let project = Project::new();
    project.write("old", "");
    project.checks(&[
        "kind = \"file\"\nfile = \"new\"\nfix = \"mv old new\"",
        "kind = \"file\"\nfile = \"old\"\nfix = \"touch never\"",
        "kind = \"env\"\nvariable = \"PATH\"",
    ]);
    let (code, found) = project.preflight(&["--fix"]);
    assert_eq!((code, verdicts(&found)), (1, vec!["fixed", "failed", "passed"]), "{found:?}");
    fails_with(&found[1], &["it passed before the fixes were run"]);
    assert!(found[1]["fixed"].is_null() && !project.file("never").exists(), "{found:?}");
}

#[test]
fn a_check_without_a_fix_is_named_where_fixes_were_asked_for() {
    let project = Project::new();
    let folder = "kind = \"venv\"\nvenv = \"nowhere\"";
    project.checks(&[folder, "kind = \"file\"\nfile = \"x\"", "kind = \"file\"\nfile = \"y\"\nfix = \"touch y\""]);
    let ended = project.dogwatch(&["preflight", "--fix", "--json"]);
    let found = ended.lines();
    assert_eq!((ended.code, verdicts(&found)), (1, vec!["failed", "failed", "fixed"]), "{ended:?}");
    let sources: Vec<&str> = found.iter().map(|check| text(check, "fix_source")).collect();
    assert_eq!(sources, ["suggested", "", "configured"], "{found:?}");
    let sentence = "dogwatch: no fix is configured for a, b; add `fix = \"…\"` to its [[check]] in preflight.toml\n";
    assert!(ended.stderr.ends_with(sentence), "{ended:?}");
    assert!(!project.file("nowhere").exists(), "a suggested fix was run");
    // A suggested fix is called one, and the last line says how to have it run.
    let shown = project.dogwatch(&["preflight", "--venv", "nowhere"]).stdout;
    let last = "1 of 1 checks failed; to let --fix run a suggested fix, write a file that holds one with: dogwatch preflight \
        --init\n";
    assert!(shown.contains("    suggested fix: python3 -m venv nowhere") && shown.ends_with(last), "{shown}");
}

#[test]
fn people_get_a_table_that_a_terminal_cannot_be_misled_by() {
    let project = Project::new();
    project.checks(&[
        "kind = \"env\"\nvariable = \"PATH\"",
        "kind = \"command\"\ncommand = \"printf '\\\\033[2Jgone\\\\n'; exit 9\"\nfix = \"true\"",
    ]);
    let ended = project.dogwatch(&["preflight"]);
    let expected = "a  passed\nb  failed\n    symptom:  exit code 9: \\u{1b}[2Jgone\n    fix:      true\n\
        1 of 2 checks failed; run the fix of 1 with: dogwatch preflight --fix\n";
    assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (1, expected, ""));
    let quiet = project.dogwatch(&["preflight", "-q"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (1, "", ""));
}

#[test]
fn what_cannot_be_imported_is_named_with_the_interpreter_that_tried() {
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        eprintln!("skipped: there is no python3 here");
        return;
    }
    let project = Project::new();
    project.write("mine.py", "");
    let modules = ["--python-import", "json.decoder", "--python-import", "mine", "--python-import", "nowhere"];
    let mut command = project.command(&["preflight", "--json"]);
    let output = command.args(modules).env_remove("PYTHONDONTWRITEBYTECODE").output();
    let ended = crate::support::Ended::of(&output.expect("dogwatch runs"));
    let (code, found) = (ended.code, ended.lines());
    assert_eq!((code, verdicts(&found)), (1, vec!["passed", "passed", "failed"]), "{found:?}");
    fails_with(&found[2], &["No module named 'nowhere'", "python3 is /"]);
    assert!(!project.file("__pycache__").exists(), "a check changes nothing");
    project.checks(&["kind = \"python-import\"\nmodule = \"x\"\npython = \"no-such-python\""]);
    fails_with(&project.preflight(&[]).1[0], &["there is no no-such-python"]);
}

#[test]
fn a_monitor_directory_serves_or_says_why_not() {
    let project = Project::new();
    project.checks(&["kind = \"monitor\""]);
    let preflight = |folder: &str| {
        let output = project.command(&["preflight", "--json", "--dir", folder]).output().expect("dogwatch runs");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one object")
    };
    let folder = project.place.path().to_str().expect("text").to_owned();
    let found = preflight(&folder);
    assert!(found["verdict"] == "passed" && text(&found, "detail").contains("is local"), "{found}");
    let found = preflight(&format!("{folder}/not/there"));
    assert!(text(&found, "detail").contains("/not/there does not exist yet; /"), "{found}");
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 0, "the trial left something");

    let mode = |mode: u32| {
        std::fs::set_permissions(project.place.path(), std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    mode(0o777);
    let found = preflight(&folder);
    fails_with(&found, &["can be written by others (mode 777)", "chmod go-w"]);
    let mended = std::process::Command::new("sh").args(["-c", text(&found, "fix")]).status().expect("sh runs");
    assert!(mended.success() && preflight(&folder)["verdict"] == "passed");
    project.place.write("file", "");
    fails_with(&preflight(&format!("{folder}/file")), &["is not a folder"]);
    // Where no user can write, root included.
    let closed = if cfg!(target_os = "macos") { "/System" } else { "/proc" };
    fails_with(&preflight(&format!("{closed}/nothing")), &[&format!("cannot write in {closed}")]);
    let output = project
        .command(&["preflight", "--json"])
        .env("DOGWATCH_HEARTBEAT_INTERVAL", "30s")
        .env("DOGWATCH_STALE", "1m")
        .output()
        .expect("dogwatch runs");
    let found = serde_json::from_slice(&output.stdout).expect("one object");
    fails_with(&found, &["DOGWATCH_HEARTBEAT_INTERVAL (30s) is not less than half of DOGWATCH_STALE (1m)"]);
}

// A namespace of its own is what has a limit of its own.
#[cfg(target_os = "linux")]
#[test]
fn without_an_event_queue_left_the_monitor_directory_serves_by_polling() {
    let project = Project::new();
    project.checks(&["kind = \"monitor\""]);
    let limit = "echo 0 > /proc/sys/user/max_inotify_instances && exec \"$@\"";
    let plain = project.command(&["preflight", "--json"]);
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c", limit, "sh"])
        .arg(plain.get_program())
        .args(plain.get_args());
    command.current_dir(project.path()).env("DOGWATCH_DIR", project.place.path());
    let output = command.output();
    let Some(output) = output.ok().filter(|output| !output.stdout.is_empty()) else {
        eprintln!("skipped: this user may make no user namespace");
        return;
    };
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let detail = text(&found, "detail");
    assert!(found["verdict"] == "passed" && detail.contains("by polling, since no events can be had"), "{found}");
    assert!(detail.contains("0 of 0 instances"), "{found}");
}

// It takes GNU's env to ignore a signal from the start.
#[cfg(target_os = "linux")]
#[test]
fn a_check_whose_parent_ignores_the_end_of_children_still_learns_how_its_command_ended() {
    let project = Project::new();
    let plain = project.command(&["preflight", "--json", "--command", "exit 4", "--command", "true"]);
    let mut command = std::process::Command::new("env");
    command.arg("--ignore-signal=CHLD").arg(plain.get_program()).args(plain.get_args());
    let output = command.current_dir(project.path()).output().expect("env runs");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.code() == Some(1) && stdout.contains("exit code 4") && stdout.contains("passed"),
        "{output:?}"
    );
}
