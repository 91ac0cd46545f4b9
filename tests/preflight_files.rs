//! `preflight.toml`: its errors with their places, an empty one, none at all, the one that `--init` writes, and `run` that
//! does not start. With an invalid file no check runs: every such file here would leave a mark behind.

use crate::support::project::{Project, fails_with, text, verdicts};
use crate::support::until;

#[test]
fn a_file_with_a_fault_is_refused_in_one_sentence_with_its_place() {
    let project = Project::new();
    let sound = "[[check]]\nname = \"a\"\nkind = \"command\"\ncommand = \"touch ran\"\nfix = \"touch ran\"\n";
    for (fault, place, words) in [
        (
            "[[check]]\nname = \"b\"\nkind = \"command\"\ncomand = \"x\"\n",
            "9:1",
            "\"comand\"; did you mean \"command\"?",
        ),
        ("[[check]]\nname = \"b\"\nkind = \"htpp\"\nurl = \"http://h\"\n", "8:8", "did you mean \"http\"?"),
        ("[[check]]\nname = \"b\"\nkind = \"tcp\"\n", "6:1", "this check has no \"address\""),
        ("[[check]]\nname = \"b\"\nkind = \"env\"\nvariable = [\"A\"]\n", "9:12", "\"variable\" is a list"),
        ("[[check]]\nname = \"a\"\nkind = \"monitor\"\n", "7:8", "line 2 names a check \"a\" already"),
        ("[[check]]\nname = \"b\"\nkind = \"disk\"\npath = \".\"\nmin_free = \"5 GX\"\n", "10:12", "\"5 GX\" is "),
        ("[[check]]\nname = \"b\"\nkind = \"http\"\nurl = \"https://h\"\n", "9:7", "needs TLS"),
        ("[[check]]\nname = \"b\nkind = 1\n", "7:10", "this is not TOML"),
    ] {
        project.write("preflight.toml", &format!("{sound}{fault}"));
        let ended = project.dogwatch(&["preflight", "--fix"]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        let line = ended.stderr.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words:?} is not said: {ended:?}"));
        assert!(line.starts_with(&format!("dogwatch: preflight.toml:{place}: ")), "{place}: {line}");
        // A misspelt key is a key too many and one too few; every other fault is one.
        assert!(ended.stderr.lines().count() <= 2, "{ended:?}");
        assert!(!project.file("ran").exists(), "a check ran: {fault}");
    }
    std::fs::write(project.file("preflight.toml"), b"[[check]]\nname = \"\xff\"").expect("a file");
    let ended = project.dogwatch(&["preflight"]);
    assert!(ended.code == 2 && ended.stderr.contains("preflight.toml:2:9: this is not UTF-8 text"), "{ended:?}");
}

#[test]
fn a_file_without_a_check_does_not_pass() {
    let project = Project::new();
    for empty in ["", "# all commented out\n# [[check]]\n", "check = []\n"] {
        project.write("preflight.toml", empty);
        for arguments in
            [&["preflight"][..], &["preflight", "--json", "--fix"], &["run", "--preflight", "s", "--", "true"]]
        {
            let ended = project.dogwatch(arguments);
            let sentence = "preflight.toml:1:1: this file holds no check; add a [[check]], or remove the file to run the \
                default checks";
            let said = if arguments.contains(&"--json") {
                ended.json()["error"].as_str().unwrap_or_default().to_owned()
            } else {
                ended.stderr.trim_end().trim_start_matches("dogwatch: ").to_owned()
            };
            assert_eq!((ended.code, said.as_str()), (2, sentence), "{empty:?} {arguments:?}");
        }
    }
}

#[test]
fn several_faults_are_told_a_line_each_in_the_files_order() {
    let project = Project::new();
    project.write("preflight.toml", "[[check]]\nname = 1\nkind = \"tpc\"\n[[check]]\nname = \"b\"\nkind = \"file\"\n");
    let ended = project.dogwatch(&["preflight"]);
    let places: Vec<&str> = ended.stderr.lines().filter_map(|line| line.split(':').nth(2)).collect();
    assert_eq!((ended.code, places), (2, vec!["2", "3", "4"]), "{ended:?}");
}

#[test]
fn a_file_that_is_not_there_and_a_flag_that_means_nothing_are_usage_errors() {
    let project = Project::new();
    for (arguments, words) in [
        (vec!["--file", "other.toml"], "cannot read other.toml: no such file or directory"),
        (vec!["--file", "."], "cannot read .: "),
        (vec!["--tcp", "localhost"], "\"localhost\" is not an address"),
        (vec!["--http", "https://localhost"], "needs TLS"),
        (vec!["--python-import", "a b"], "\"a b\" is not a module"),
        (vec!["--init", "--fix"], "cannot be used with"),
    ] {
        let arguments = [vec!["preflight"], arguments].concat();
        let ended = project.dogwatch(&arguments);
        assert_eq!((ended.code, ended.stderr.lines().count()), (2, 1), "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
}

#[test]
fn flags_stand_for_the_projects_file_and_join_one_that_is_named() {
    let project = Project::new();
    project.checks(&["kind = \"file\"\nfile = \"nowhere\""]);
    let (code, found) = project.preflight(&["--exists", "preflight.toml", "--env", "PATH", "--command", "true"]);
    assert_eq!((code, verdicts(&found)), (0, vec!["passed"; 3]), "{found:?}");
    let (code, found) = project.preflight(&["--exists", "preflight.toml", "--file", "preflight.toml"]);
    assert_eq!((code, verdicts(&found)), (1, vec!["failed", "passed"]), "{found:?}");
}

#[test]
fn paths_and_commands_begin_in_the_files_folder_and_the_projects_file_is_found_from_below() {
    let project = Project::new();
    std::fs::create_dir_all(project.file("a/b")).expect("folders");
    project.checks(&["kind = \"file\"\nfile = \"preflight.toml\"", "kind = \"command\"\ncommand = \"test -d a/b\""]);
    for arguments in [&["preflight"][..], &["preflight", "--file", "../../preflight.toml"]] {
        let output = project.command(arguments).current_dir(project.file("a/b")).output().expect("dogwatch runs");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn without_a_file_the_monitor_directory_is_checked_and_the_environment_where_there_is_one() {
    let project = Project::new();
    let (code, found) = project.preflight(&[]);
    assert_eq!((code, verdicts(&found), text(&found[0], "check")), (0, vec!["passed"], "monitor"));
    std::fs::create_dir(project.file(".venv")).expect("a folder");
    let (code, found) = project.preflight(&[]);
    assert_eq!((code, verdicts(&found)), (1, vec!["passed", "failed"]), "{found:?}");
    fails_with(&found[1], &["holds no pyvenv.cfg"]);
    // What nothing shows to have been one may be somebody's own folder: no command is named that empties it.
    assert!(found[1]["suggestion"].is_null() && !found[1].to_string().contains("--clear"), "{}", found[1]);
    std::fs::create_dir(project.file(".venv/bin")).expect("a folder");
    std::fs::create_dir(project.file(".venv/lib")).expect("a folder");
    let (_, found) = project.preflight(&[]);
    assert!(found[1].to_string().contains("--clear"), "{}", found[1]);
}

#[test]
fn a_file_is_written_for_the_project_and_never_over_another() {
    let project = Project::new();
    project.write("pyproject.toml", "");
    let init = |arguments: &[&str]| {
        let mut command = project.command(&[&["preflight", "--init"], arguments].concat());
        command.env("DATABASE_URL", "postgres://me:secret@127.0.0.1:1/x").env("OTHER_URL", "https://example.org");
        crate::support::Ended::of(&command.output().expect("dogwatch runs"))
    };
    let ended = init(&[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let written = std::fs::read_to_string(project.file("preflight.toml")).expect("the file");
    assert!(written.contains("address = \"127.0.0.1:1\"") && !written.contains("secret"), "{written}");
    let (code, found) = project.preflight(&[]);
    let names: Vec<&str> = found.iter().map(|finding| text(finding, "check")).collect();
    assert_eq!((code, names), (1, vec!["monitor", "disk", "pyproject.toml", "DATABASE_URL"]), "{found:?}");
    assert_eq!(verdicts(&found), ["passed", "passed", "passed", "failed"]);
    let ended = init(&[]);
    assert!(ended.code == 2 && ended.stderr.contains("exists already"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(project.file("preflight.toml")).expect("the file"), written);
    // Nor over a link that leads nowhere.
    std::os::unix::fs::symlink("nowhere", project.file("link.toml")).expect("a link");
    assert_eq!(init(&["--file", "link.toml"]).code, 2);
    assert!(!project.file("nowhere").exists());
    assert_eq!(init(&["--file", "new.toml", "--json"]).json()["file"], "new.toml");
}

#[test]
fn run_starts_nothing_where_a_check_fails() {
    let project = Project::new();
    project.checks(&["kind = \"env\"\nvariable = \"PATH\"", "kind = \"file\"\nfile = \"x\"\nfix = \"touch x\""]);
    let sentence =
        "dogwatch: 1 of 2 preflight checks failed (b), so nothing was started; see why with: dogwatch preflight\n";
    for arguments in [
        &["run", "--preflight", "s", "--", "touch", "ran"][..],
        &["run", "-d", "--preflight", "s", "--", "touch", "ran"],
    ] {
        let ended = project.dogwatch(arguments);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (125, "", sentence));
    }
    assert!(!project.file("ran").exists() && !project.file("x").exists());
    assert_eq!(std::fs::read_dir(project.place.path()).expect("the directory").count(), 0, "the step was touched");
    // No variable stands for the flag.
    let by_variable = project.command(&["run", "t", "--", "true"]).env("DOGWATCH_PREFLIGHT", "1").output();
    assert_eq!(by_variable.expect("dogwatch runs").status.code(), Some(0));
    project.write("x", "");
    assert_eq!(project.dogwatch(&["run", "--preflight", "s", "--", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(project.dogwatch(&["run", "-d", "--preflight", "s", "--", "touch", "ran"]).code, 0);
    until("the work is done", || project.file("ran").exists());
    project.write("preflight.toml", "[[check]]\n");
    let ended = project.dogwatch(&["run", "--preflight", "s", "--", "true"]);
    assert!(
        ended.code == 2 && ended.stderr.contains("preflight.toml:1:1: ") && ended.stderr.lines().count() == 1,
        "{ended:?}"
    );
}

#[test]
fn a_run_behind_its_preflight_still_hears_signals() {
    let project = Project::new();
    project.checks(&["kind = \"command\"\ncommand = \"true\""]);
    let script = "trap 'exit 9' TERM; echo > up; while :; do sleep 0.01; done";
    let plain = project.command(&["run", "--preflight", "s", "--", "sh", "-c", script]);
    let mut command = std::process::Command::new("env");
    // GNU's; what starts tests elsewhere does not ignore it.
    command.args(cfg!(target_os = "linux").then_some("--default-signal=TERM"));
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(project.path());
    let mut child = command.env("DOGWATCH_DIR", project.place.path()).spawn().expect("dogwatch starts");
    until("the work runs", || project.file("up").exists());
    crate::support::kill("TERM", child.id().cast_signed());
    assert_eq!(child.wait().expect("its end").code(), Some(9));
}
