//! What a terminal shows in the end, by a real terminal emulator: live lines and tables at several widths, with wide
//! characters, while it is resized. It takes tmux; where that is missing the tests say so and pass.

mod support;

use std::process::Command;
use support::{Place, unique, until};

/// A terminal of so many columns in which one command runs.
struct Screen {
    server: String,
}

impl Screen {
    fn start(place: &Place, columns: u16, command: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: there is no tmux to see a screen with");
            return None;
        }
        let screen = Self { server: format!("dogwatch-test-{}", unique()) };
        let plain = place.command([""; 0]);
        let binary = plain.get_program().to_string_lossy().into_owned();
        let script = format!(
            "export D='{binary}' DOGWATCH_DIR='{}' TERM=screen; unset NO_COLOR; cd '{}'; {command}; exec sleep 300",
            place.path().display(),
            place.path().display()
        );
        let (columns, shell) = (columns.to_string(), ["sh", "-c", &script]);
        let arguments = ["new-session", "-d", "-x", &columns, "-y", "12"];
        let started = screen.tmux(&arguments.iter().chain(&shell).copied().collect::<Vec<_>>());
        assert!(started.is_some(), "tmux starts");
        Some(screen)
    }

    /// Calls tmux; what it printed, or nothing where it failed.
    fn tmux(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.server, "-f", "/dev/null"]).args(arguments).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The lines that are not empty.
    fn lines(&self) -> Vec<String> {
        let text = self.tmux(&["capture-pane", "-p"]).unwrap_or_default();
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Waits until the screen shows this text.
    #[track_caller]
    fn shows(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        until(text, || {
            lines = self.lines();
            lines.iter().any(|line| line.contains(text))
        });
        lines
    }

    /// Waits for two more drawings of what is drawn once a second, by the tenths of a second in it.
    #[track_caller]
    fn is_drawn_again(&self) -> Vec<String> {
        let mut lines = self.lines();
        for _ in 0..2 {
            let before = lines.clone();
            until("it is drawn again", || {
                lines = self.lines();
                lines != before && lines.iter().any(|line| line.contains("running"))
            });
        }
        lines
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _gone = self.tmux(&["kill-server"]);
    }
}

const WIDE: &str = "\u{6f22}\u{5b57}\u{304b}\u{306a} \u{1f980}\u{1f680} gr\u{fc}n \u{2764}\u{fe0f} ";
const LONG: &str = "a-step-with-a-name-that-is-longer-than-a-narrow-terminal-has-columns";

/// Two steps, one with a long name, both with a long last line of wide characters.
fn busy_place() -> Place {
    let place = Place::new();
    for step in ["s", LONG] {
        place.write("text", &WIDE.repeat(30));
        place.detach(step, "cat \"$DOGWATCH_DIR/text\"; sleep 300");
        until("the log is written", || place.read(&format!("{step}.log")).ends_with(' '));
    }
    place
}

#[test]
fn live_lines_neither_wrap_nor_leave_ghosts_at_any_width() {
    let place = busy_place();
    for columns in [40, 80, 200] {
        let Some(screen) = Screen::start(&place, columns, &format!("\"$D\" wait s {LONG}")) else { return };
        screen.shows("s: running for");
        let lines = screen.is_drawn_again();
        assert_eq!(lines.len(), 2, "{columns}: {lines:#?}");
        assert!(lines.iter().all(|line| line.contains(": running for ") && line.contains('\u{6f22}')), "{lines:#?}");
    }
}

#[test]
fn live_lines_follow_a_terminal_that_is_resized() {
    let place = busy_place();
    let Some(screen) = Screen::start(&place, 100, "\"$D\" wait s") else { return };
    screen.shows("s: running for");
    for columns in ["50", "30", "140"] {
        screen.tmux(&["resize-window", "-x", columns]).expect("it is resized");
        let lines = screen.is_drawn_again();
        assert_eq!(lines.len(), 1, "{columns}: {lines:#?}");
    }
}

#[test]
fn a_watched_list_fits_and_shows_the_state_at_any_width() {
    let place = busy_place();
    place.dogwatch(["run", "done", "--", "echo", WIDE]);
    for columns in [40, 60, 80, 200] {
        let Some(screen) = Screen::start(&place, columns, "\"$D\" list --watch") else { return };
        screen.shows("success");
        let lines = screen.is_drawn_again();
        assert_eq!(lines.len(), 4, "{columns}: {lines:#?}");
        assert!(lines[0].starts_with("STEP") && lines[1].starts_with("a-step-with"), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("  running  ")).count(), 2, "{columns}: {lines:#?}");
        screen.tmux(&["resize-window", "-x", "50"]).expect("it is resized");
        let lines = screen.is_drawn_again();
        assert_eq!(lines.len(), 4, "{columns} to 50: {lines:#?}");
    }
}

#[test]
fn progress_that_overwrites_itself_is_shown_as_it_stands() {
    let place = Place::new();
    let script = "printf 'old line\\n10%%\\r20%%\\r\\033[32m30%% of it\\033[0m\\r'; sleep 300";
    place.detach("s", script);
    until("the log is written", || place.read("s.log").ends_with('\r'));
    for command in ["\"$D\" wait s", "\"$D\" list --watch"] {
        let Some(screen) = Screen::start(&place, 100, command) else { return };
        let lines = screen.shows("running");
        let line = lines.iter().find(|line| line.contains("running")).expect("a line");
        assert!(line.ends_with(" 30% of it"), "{command}: {lines:#?}");
    }
    let listed = place.dogwatch(["list", "--json"]).json();
    assert_eq!(listed["log_tail"], serde_json::json!(["30% of it"]));
}
