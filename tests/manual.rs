//! What teaches the program: manual pages, and the agents' page, every command of which is run.

use crate::support::{Ended, Place};

#[test]
fn there_is_a_page_for_each_command_and_each_has_its_example_and_exit_codes() {
    let place = Place::new();
    let main = place.dogwatch(["man"]);
    assert_eq!((main.code, main.stdout.contains(".TH dogwatch 1")), (0, true), "{main:?}");
    let folder = place.file("made/man1");
    let ended = place.dogwatch(["man", "--out", &folder.to_string_lossy()]);
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    let page =
        |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(page("dogwatch.1"), main.stdout);
    let wait = page("dogwatch-wait.1");
    assert!(wait.contains("dogwatch\\-wait") && wait.contains("EXIT STATUS") && wait.contains("EXAMPLES"), "{wait}");
    let run = page("dogwatch-run.1");
    assert!(run.contains("dogwatch run [OPTIONS] <STEP> \\-\\- <COMMAND>..."), "{run}");
    let sections: Vec<&str> = run.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
    let expected =
        ["NAME", "\"SYNOPSIS\"", "DESCRIPTION", "OPTIONS", "\"GLOBAL OPTIONS\"", "\"EXIT STATUS\"", "\"EXAMPLES\""];
    assert_eq!(sections, expected, "{run}");
    let help = place.dogwatch(["--help"]).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(!page(&format!("dogwatch-{name}.1")).is_empty());
    }
}

#[test]
fn help_and_manual_say_what_a_command_does_in_the_words_of_the_trade() {
    let place = Place::new();
    for (command, sentences) in [
        (
            "wait",
            &["Succeed (exit 0) as soon as a log line matches", "Fail (exit 1) as soon as a log line matches"][..],
        ),
        ("clean", &["Delete finished runs", "keeps locks and circuit breakers"]),
        ("recover", &["Take over for a lost waiter", "The steps to recover"]),
    ] {
        for words in [vec!["help", command], vec![command, "--help"]] {
            let said = place.dogwatch(&words).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
            for sentence in sentences {
                assert!(said.contains(sentence), "{words:?}: {sentence:?}: {said}");
            }
        }
    }
    let summary = place.dogwatch(["--help"]).stdout;
    for odd in ["end well", "Take ended runs away", "EXTRA"] {
        for text in [&summary, &place.dogwatch(["man"]).stdout, &place.dogwatch(["help", "wait"]).stdout] {
            assert!(!text.contains(odd), "{odd:?}: {text}");
        }
    }
}

#[test]
fn every_command_of_the_agents_page_works_as_it_stands_there() {
    let place = Place::new();
    let page = place.dogwatch(["skill"]).stdout;
    let head: Vec<&str> = page.lines().take(5).collect();
    assert!(head[0] == "---" && head[1] == "name: dogwatch" && head[2].starts_with("description: "), "{head:?}");
    assert!(head[3].starts_with("allowed-tools: ") && head[4] == "---", "{head:?}");
    // What the examples run.
    for (name, script) in [("make", "echo made"), ("serve", "echo listening on :8080; exec sleep 300")] {
        crate::support::executable(&place.file(name), &format!("#!/bin/sh\n{script}\n"));
    }
    let run = |line: &str| {
        let (words, binary) = (format!("exec {line}"), crate::support::binary());
        let mut shell = place.through(&["sh", "-c", &words], [""; 0]);
        let folder = place.path().display();
        let dogwatch = binary.parent().expect("its folder").display();
        shell.env("PATH", format!("{folder}:{dogwatch}:{}", std::env::var("PATH").expect("a path")));
        let ended = Ended::of(&shell.output().expect("a shell"));
        assert_eq!(ended.code, 0, "{line}: {ended:?}");
        ended.stdout
    };
    let mut commands = 0;
    let mut inside = false;
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                let printed = run(line);
                assert!(!line.contains("--capture port") || printed == "8080\n", "{line}: {printed}");
                commands += 1;
            }
            // Those in a sentence, between backquotes.
            line => {
                for command in line.split('`').skip(1).step_by(2).filter(|code| code.starts_with("dogwatch ")) {
                    run(command);
                    commands += 1;
                }
            }
        }
    }
    assert!(commands >= 16, "{commands}");
}

#[test]
fn the_agents_page_is_installed_and_an_edited_one_is_left_alone() {
    let place = Place::new();
    let install = |words: &[&str]| {
        let mut command = place.command(["skill", "--install"].iter().chain(words));
        Ended::of(&command.env("HOME", place.path()).env_remove("CLAUDE_CONFIG_DIR").output().expect("it runs"))
    };
    let customary = place.file(".claude/skills/dogwatch/SKILL.md");
    let ended = install(&[]);
    assert_eq!((ended.code, ended.stdout), (0, format!("{}\n", customary.display())), "{}", ended.stderr);
    let page = place.dogwatch(["skill"]).stdout;
    assert_eq!(std::fs::read_to_string(&customary).unwrap(), page);
    assert_eq!(install(&[]).code, 0, "an untouched one is replaced");
    std::fs::write(&customary, page.replacen("One line does", "My own line does", 1)).unwrap();
    let refused = install(&[]);
    assert_eq!((refused.code, refused.stderr.contains("was edited")), (125, true), "{refused:?}");
    assert!(std::fs::read_to_string(&customary).unwrap().contains("My own line"));
    // Codex and Gemini share a folder; an agent that is not used here gets none.
    for (used, expected) in [
        (&[".codex"][..], &[".agents"][..]),
        (&[".gemini"], &[".agents"]),
        (&[".claude", ".codex", ".gemini"], &[".claude", ".agents"]),
        (&[".agents"], &[".agents"]),
    ] {
        let home = place.file(&format!("home of {}", used.concat()));
        for name in used {
            std::fs::create_dir_all(home.join(name)).expect("an agent's folder");
        }
        let mut command = place.command(["skill", "--install"]);
        let ended = Ended::of(&command.env("HOME", &home).env_remove("CLAUDE_CONFIG_DIR").output().expect("it runs"));
        let path = |agent: &&str| home.join(agent).join("skills/dogwatch/SKILL.md");
        let paths: Vec<String> = expected.iter().map(|agent| path(agent).display().to_string()).collect();
        assert_eq!(
            (ended.code, ended.stdout.lines().collect::<Vec<_>>()),
            (0, paths.iter().map(String::as_str).collect())
        );
        assert!(expected.iter().all(|agent| std::fs::read_to_string(path(agent)).expect("a page") == page));
    }
    let elsewhere = place.file("elsewhere");
    assert_eq!(install(&[&elsewhere.to_string_lossy()]).code, 0);
    assert_eq!(std::fs::read_to_string(elsewhere.join("SKILL.md")).unwrap(), page);
}
