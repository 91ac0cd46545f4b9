//! Completions and man pages: they name every command and flag, and go where they are told.
//!
//! Pages and scripts are checked by the real shells and man(1), if those are installed.

use crate::support::Place;
use std::process::Command;

/// The names of all commands, as help lists them.
fn commands(place: &Place) -> Vec<String> {
    let help = place.dogwatch(["--help"]).stdout;
    assert!(help.starts_with("Runs background work"), "{help}");
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A wrapped line goes on further to the right.
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| Some(line.split_whitespace().next()?.to_owned()));
    // `help` is told of by every page.
    names.filter(|name| name != "help").collect()
}

#[test]
fn the_completion_script_is_taken_by_its_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.dogwatch(["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (0, ""), "{shell}");
        assert!(script.stdout.contains("DOGWATCH_COMPLETE"), "{shell}: {script:?}");
        place.write("script", &script.stdout);
        match Command::new(shell).arg("-n").arg(place.file("script")).output() {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {checked:?}"),
            Err(_) => eprintln!("left out: there is no {shell} to read its completions"),
        }
    }
    assert_eq!(place.dogwatch(["completions", "cmd"]).code, 2);
}

#[test]
fn every_command_has_a_man_page_with_its_flags_and_exit_codes() {
    let place = Place::new();
    let printed = place.dogwatch(["man"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    let folder = place.file("new/man1");
    let shown = folder.to_string_lossy().into_owned();
    let written = place.dogwatch(["man", "--out", &shown]);
    assert_eq!((written.code, written.stdout.as_str(), written.stderr.as_str()), (0, "", ""));
    let page =
        |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(page("dogwatch.1"), printed.stdout);
    let commands = commands(&place);
    assert!(commands.len() > 8 && commands.iter().any(|name| name == "wait"), "{commands:?}");
    for name in &commands {
        let page = page(&format!("dogwatch-{name}.1"));
        assert!(page.contains(".SH NAME") && page.contains(&format!("dogwatch\\-{name}")), "{name}: {page}");
    }
    let wait = page("dogwatch-wait.1");
    assert!(wait.contains("max\\-timeout") && wait.contains("124"), "{wait}");
    let entries = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(entries, commands.len() + 1, "and nothing else");
    place.write("file", "");
    let refused = place.dogwatch(["man", "--out", &place.file("file").to_string_lossy()]);
    assert_eq!((refused.code, refused.stderr.lines().count()), (125, 1), "{refused:?}");
}
