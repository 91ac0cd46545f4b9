//! What people see who sit at a terminal: live lines that leave nothing behind, tables that fit, logs that are harmless.
//!
//! A real pseudo-terminal, by util-linux's script(1); where that is missing the tests say so and pass.

use crate::support::{Place, lives, until};
use std::io::Write;
use std::process::{Child, Command, Stdio};

/// A shell command on a terminal of its own, and all that the terminal was sent.
struct Session {
    child: Child,
    sent: std::path::PathBuf,
}

impl Session {
    /// Starts `sh -c SCRIPT` with the binary as `$D`; nothing where there is no terminal to be had.
    fn start(place: &Place, script: &str) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|version| String::from_utf8_lossy(&version.stdout).contains("util-linux")) {
            eprintln!("skipped: there is no script(1) of util-linux to make a terminal with");
            return None;
        }
        let sent = place.file("typescript.txt");
        let plain = place.command([""; 0]);
        // A shell's `&` may have had the whole test run ignore Ctrl-C.
        let mut command = Command::new("env");
        command
            .args([
                "--default-signal=INT,QUIT,TERM,HUP",
                "script",
                "--quiet",
                "--flush",
                "--return",
                "--command",
                script,
            ])
            .arg(&sent);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("D", plain.get_program()).env("SHELL", "/bin/sh").env("TERM", "xterm").env_remove("NO_COLOR");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("script starts");
        Some(Self { child, sent })
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.sent).unwrap_or_default()).into_owned()
    }

    fn press(&mut self, keys: &[u8]) {
        self.child.stdin.as_mut().expect("its keyboard").write_all(keys).expect("pressed");
    }

    /// Its exit code and what was sent between script's own two lines.
    fn end(mut self) -> (i32, String) {
        until("the session ends", || self.child.try_wait().expect("its status").is_some());
        let code = self.child.wait().expect("its status").code().expect("a code");
        let sent = self.sent();
        let body = sent.split_once('\n').map_or("", |(_, body)| body);
        (code, body.split("\nScript done on").next().unwrap_or_default().to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// What stands on the terminal in the end, as far as the live lines' own sequences go: up so many lines, and clear.
fn screen(sent: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = sent;
    while let Some(one) = rest.chars().next() {
        if let Some((count, after)) = rest.strip_prefix("\u{1b}[").and_then(|after| after.split_once('A'))
            && let Ok(count) = count.parse::<usize>()
        {
            lines.truncate(lines.len() - count);
            lines.last_mut().expect("a line").clear();
            rest = after.strip_prefix("\u{1b}[J").expect("what follows is cleared");
            continue;
        }
        match one {
            '\n' => lines.push(String::new()),
            '\r' => {}
            one => lines.last_mut().expect("a line").push(one),
        }
        rest = &rest[one.len_utf8()..];
    }
    lines.into_iter().filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_wait_shows_how_its_steps_stand_and_leaves_only_the_answer() {
    let place = Place::new();
    place.detach("s", "echo 'at work \\033[2J'; while [ ! -e $DOGWATCH_DIR/go ]; do sleep 0.02; done");
    let Some(session) = Session::start(&place, "\"$D\" wait s t --start-timeout 1h; echo code $?") else {
        return;
    };
    until("a live line", || session.sent().contains("s: running for"));
    until("it is drawn anew", || session.sent().matches("s: running for").count() > 1);
    let live = session.sent();
    assert!(live.contains("heartbeat") && live.contains("at work ") && live.contains("t: not started"), "{live:?}");
    assert!(!live.contains("\u{1b}[2J"), "a log's own control characters are not sent: {live:?}");
    place.write("go", "");
    place.dogwatch(["run", "t", "--", "sh", "-c", "exit 3"]);
    let (_, sent) = session.end();
    let left = screen(&sent);
    let is = |line: &str, step: &str, word: &str| line.starts_with(step) && line.contains(word);
    let mut answers = left.clone();
    // Which of the two ends first is left to chance.
    answers.sort();
    assert_eq!(answers.len(), 4, "{left:?}");
    assert!(
        answers[0] == "code 1"
            && is(&answers[1], "dogwatch: ", "no step t")
            && is(&answers[2], "s: ", "success")
            && is(&answers[3], "t: ", "failed"),
        "{left:?}"
    );
}

#[test]
fn nothing_is_drawn_where_quiet_or_machine_output_is_asked_for_or_nobody_looks() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    for script in [
        "\"$D\" wait s --for 2200ms --json",
        "\"$D\" wait s --for 2200ms -q",
        "\"$D\" wait s --for 2200ms --log-tail 0 2>errors.txt",
        "TERM=dumb \"$D\" wait s --for 2200ms --log-tail 0",
    ] {
        let Some(session) = Session::start(&place, &format!("cd {}; {script}", place.path().display())) else { return };
        let (code, sent) = session.end();
        assert_eq!(
            (code, sent.contains("\u{1b}[J"), sent.lines().count() <= 1),
            (75, false, true),
            "{script}: {sent:?}"
        );
    }
    assert_eq!(place.read("errors.txt"), "");
}

#[test]
fn a_background_job_draws_nothing_and_is_not_stopped_for_it() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    place.dogwatch(["run", "failed", "--", "sh", "-c", "echo last words; exit 3"]);
    // With job control a background job is a process group of its own; the shell's is the terminal's foreground. Answers,
    // and the log's end before them, come all the same where the user has background jobs stopped that write.
    for (arguments, file, answer, code) in [
        ("wait s --for 2200ms --log-tail 0", " >answer.txt", "s: running for", 75),
        ("wait s --for 2200ms --log-tail 0", "", "s: running for", 75),
        ("wait failed", "", "last words", 1),
        ("recover failed", "", "failed: failed", 1),
        ("run failed --for 1h -- false", "", "failed: failed", 1),
    ] {
        let script = format!(
            "cd {}; stty tostop; set -m; \"$D\" {arguments}{file} & wait $!; echo code $?",
            place.path().display()
        );
        let Some(session) = Session::start(&place, &script) else { return };
        let sent = visible(&session.end().1);
        assert!(
            sent.contains(&format!("code {code}")) && sent.matches("running for").count() < 2,
            "{arguments}: {sent:?}"
        );
        let told = if file.is_empty() { sent } else { place.read("answer.txt") };
        assert!(told.contains(answer), "{arguments}: {told:?}");
    }
}

#[test]
fn colours_follow_what_the_user_has_set() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "true"]);
    let green = |text: &str| text.contains("\u{1b}[32msuccess\u{1b}[0m");
    // Into a pipe.
    for (settings, color, colored) in [
        ("TERM=xterm", "auto", false),
        ("CLICOLOR_FORCE=1", "auto", true),
        ("CLICOLOR_FORCE=1 NO_COLOR=1", "auto", false),
        ("CLICOLOR_FORCE=1", "never", false),
        ("CLICOLOR_FORCE=0", "auto", false),
        ("CI=true", "auto", false),
        ("NO_COLOR=1", "always", true),
        ("TERM=dumb", "always", true),
    ] {
        let mut command = place.command(["list", "--color", color]);
        command.env_remove("NO_COLOR").envs(settings.split(' ').filter_map(|setting| setting.split_once('=')));
        let ended = crate::support::Ended::of(&command.output().expect("dogwatch runs"));
        assert_eq!(green(&ended.stdout), colored, "{settings} {color}: {ended:?}");
    }
    for (prefix, colored) in [
        ("", true),
        ("TERM=dumb ", false),
        ("TERM=dumb CI=true ", false),
        ("TERM=dumb CLICOLOR=1 ", false),
        ("TERM=dumb CLICOLOR_FORCE=1 ", true),
        ("NO_COLOR=1 ", false),
        ("CLICOLOR=0 ", false),
    ] {
        let Some(session) = Session::start(&place, &format!("{prefix}\"$D\" list")) else { return };
        let (code, sent) = session.end();
        assert_eq!((code, green(&sent)), (0, colored), "{prefix}: {sent:?}");
    }
    // Help too.
    let Some(session) = Session::start(&place, "\"$D\" --help; NO_COLOR=1 \"$D\" --help | head -1") else { return };
    let (_, sent) = session.end();
    assert!(sent.contains("\u{1b}[1m\u{1b}[4mUsage:"), "{sent:?}");
}

#[test]
fn a_terminal_is_told_of_the_end_where_that_is_asked_for() {
    let place = Place::new();
    place.dogwatch(["run", "good", "--", "true"]);
    place.dogwatch(["run", "bad", "--", "false"]);
    for (line, told) in [
        ("\"$D\" wait good --notify", "\u{7}\u{1b}]9;dogwatch: good: success\u{7}"),
        ("\"$D\" wait good bad --notify -q", "\u{7}\u{1b}]9;dogwatch: good bad: failed\u{7}"),
        ("TERM=dumb \"$D\" wait good --notify -q", "\u{7}"),
        ("\"$D\" recover good --notify -q", "\u{7}\u{1b}]9;dogwatch: good: success\u{7}"),
    ] {
        let Some(session) = Session::start(&place, line) else { return };
        let (_, sent) = session.end();
        assert!(
            sent.ends_with(told) && sent.matches('\u{7}').count() == told.matches('\u{7}').count(),
            "{line}: {sent:?}"
        );
    }
    let Some(session) = Session::start(&place, "\"$D\" wait good") else { return };
    assert!(!session.end().1.contains('\u{7}'));
    // Into a file or pipe nothing of it goes.
    let ended = place.dogwatch(["wait", "good", "--notify"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{ended:?}");
}

#[test]
fn ctrl_c_ends_a_wait_and_leaves_the_work_and_a_clean_terminal() {
    let place = Place::new();
    let pid = place.detach("s", "sleep 300");
    let Some(mut session) = Session::start(&place, "trap : INT; \"$D\" wait s; echo code $?") else { return };
    until("a live line", || session.sent().contains("s: running for"));
    session.press(b"\x03");
    let (_, sent) = session.end();
    let left = screen(&sent);
    assert!(left.len() == 2 && left[0].contains("dogwatch wait s") && left[1] == "code 130", "{left:?}");
    assert!(lives(pid));
}

#[test]
fn a_list_fits_the_terminal_and_a_watched_one_ends_with_ctrl_c() {
    let place = Place::new();
    let line = "a long line ".repeat(20);
    for step in ["one", "two", "three"] {
        place.dogwatch(["run", step, "--", "echo", &line]);
    }
    let Some(session) = Session::start(&place, "stty cols 60 rows 10; \"$D\" list") else { return };
    let (code, sent) = session.end();
    let widths: Vec<usize> = sent.lines().map(|line| visible(line).trim_end().chars().count()).collect();
    assert_eq!((code, widths.len()), (0, 4), "{sent:?}");
    assert!(widths.iter().all(|&width| width <= 60) && widths.contains(&60), "{widths:?}: {sent:?}");
    assert!(sent.contains("\u{1b}[32msuccess\u{1b}[0m"), "{sent:?}");
    let Some(mut session) = Session::start(&place, "stty cols 60 rows 4; exec \"$D\" list --watch") else { return };
    until("it is drawn", || session.sent().contains("and 2 more"));
    place.detach("four", "sleep 300");
    until("the new one is drawn first", || session.sent().contains("four"));
    session.press(b"\x03");
    assert_eq!(session.end().0, 130);
}

#[test]
fn a_log_is_harmless_on_a_terminal() {
    let place = Place::new();
    place.dogwatch(["run", "s", "--", "printf", "gr\u{fc}n \\033]0;title\\007 \\233x\\r\\nlast"]);
    let Some(session) = Session::start(&place, "\"$D\" log s") else { return };
    let (code, sent) = session.end();
    assert_eq!((code, sent.contains('\u{1b}'), sent.contains('\u{7}')), (0, false, false), "{sent:?}");
    assert!(sent.contains("grün \\u{1b}]0;title\\u{7}") && sent.contains("last"), "{sent:?}");
}

/// A line without its colours.
fn visible(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}
