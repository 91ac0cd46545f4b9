//! Completion by the Tab key, in real shells on a real terminal, of commands, flags and names of steps.
//!
//! A shell that is missing, or tmux, is named, and its part passes.

use crate::support::screen::Screen;
use crate::support::{Ended, Place};
use std::process::Command;

/// The shells: how one starts without its user's files, and how it loads completions.
const SHELLS: [(&str, &str, &str); 3] = [
    ("bash", "PS1='$ ' bash --norc --noprofile", "source <(dogwatch completions bash)"),
    (
        "zsh",
        "PS1='$ ' zsh -f",
        "autoload -Uz compinit; compinit -u -D; zstyle ':completion:*' list-prompt ''; source <(dogwatch completions zsh)",
    ),
    ("fish", "fish --no-config", "function fish_prompt; echo '$ '; end; dogwatch completions fish | source"),
];

/// A shell on a terminal, with completions loaded; nothing where it cannot be had.
fn shell(place: &Place, (name, start, load): (&str, &str, &str)) -> Option<Screen> {
    if Command::new(name).arg("--version").output().is_err() {
        eprintln!("skipped: there is no {name} to complete in");
        return None;
    }
    // `dogwatch` is called by its name. fish asks where it may keep things.
    let folder = crate::support::binary().parent().expect("its folder").display().to_string();
    let home = place.path().display();
    let screen =
        Screen::start(place, 100, &format!("export PATH='{folder}':\"$PATH\" HOME='{home}'; exec env {start}"))?;
    screen.press(&[load, "Enter"]);
    screen.press(&["echo load''ed", "Enter"]);
    screen.shows("loaded");
    screen.press(&["clear", "Enter"]);
    screen.is_cleared("load");
    Some(screen)
}

#[test]
fn tab_completes_names_of_steps_commands_and_flags_in_every_shell() {
    let place = Place::new();
    place.dogwatch(["run", "build-docs", "--", "true"]);
    place.detach("serve", "sleep 300");
    for shell_of in SHELLS {
        let Some(screen) = shell(&place, shell_of) else { continue };
        for (typed, completed) in [
            ("dogwatch wait bui", "dogwatch wait build-docs"),
            ("dogwatch check --json bui", "dogwatch check --json build-docs"),
            ("dogwatch log serve -", "dogwatch log serve -"),
            ("dogwatch kill ser", "dogwatch kill serve"),
            ("dogwatch kill serve --signal HU", "dogwatch kill serve --signal HUP"),
            ("dogwatch recov", "dogwatch recover"),
            ("dogwatch wait --max-t", "dogwatch wait --max-timeout"),
            ("dogwatch run x --heartbeat-on act", "dogwatch run x --heartbeat-on activity"),
        ] {
            screen.press(&[typed]);
            screen.shows(typed);
            screen.press(&["Tab"]);
            screen.shows(completed);
            // Away with the line, and with what was listed below it.
            screen.press(&["C-u"]);
            screen.press(&["clear", "Enter"]);
            screen.is_cleared(typed);
        }
    }
}

#[test]
fn the_directory_in_the_line_is_the_one_whose_steps_are_completed() {
    let (place, other) = (Place::new(), Place::new());
    place.dogwatch(["run", "here", "--", "true"]);
    other.dogwatch(["run", "there", "--", "true"]);
    let other = other.path().display().to_string();
    for shell_of in SHELLS {
        let Some(screen) = shell(&place, shell_of) else { continue };
        let typed = format!("dogwatch --dir {other} wait th");
        screen.press(&[&typed]);
        screen.shows("wait th");
        screen.press(&["Tab"]);
        screen.shows("wait there");
    }
}

/// What the program answers a shell that completes the last of these words.
fn answer(place: &Place, words: &[&str]) -> Vec<String> {
    let mut command = place.command(["--", "dogwatch"].iter().chain(words));
    command.env("DOGWATCH_COMPLETE", "fish");
    let ended = Ended::of(&command.output().expect("dogwatch runs"));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{words:?}: {ended:?}");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn each_command_completes_the_steps_that_it_is_for_and_says_how_they_are() {
    let place = Place::new();
    place.dogwatch(["run", "old", "--", "false"]);
    place.detach("busy", "sleep 300");
    let steps = |words: &[&str]| {
        let lines = answer(&place, words);
        let values = lines.into_iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned());
        values.filter(|value| !value.starts_with('-')).collect::<Vec<_>>()
    };
    for command in ["wait", "check", "recover", "log", "run", "beat", "succeed"] {
        assert_eq!(steps(&[command, ""]), ["busy", "old"], "{command}");
    }
    assert_eq!(steps(&["wait", "busy", "o"]), ["old"]);
    assert_eq!(steps(&["kill", ""]), ["busy"]);
    assert_eq!(steps(&["clean", ""]), ["old"]);
    assert_eq!(steps(&["breaker", "reset", ""]), ["busy", "old"]);
    let told = answer(&place, &["wait", "o"]);
    assert!(told.len() == 1 && told[0].starts_with("old\tfailed, "), "{told:?}");
    assert_eq!(answer(&place, &["wait", "--backend", "p"]).len(), 1);
    // Nothing to tell of is no error.
    assert_eq!(steps(&["--dir", "/none", "wait", "x"]), [""; 0]);
    let commands = answer(&place, &[""]);
    for name in ["run", "wait", "recover", "succeed", "breaker", "clean", "help"] {
        assert!(commands.iter().any(|line| line.starts_with(&format!("{name}\t"))), "{commands:?}");
    }
}
