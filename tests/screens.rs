//! What a terminal shows in the end, by a real terminal emulator: live lines and tables at several widths, with wide
//! characters, while it is resized. It takes tmux; where that is missing the tests say so and pass.

use crate::support::screen::Screen;
use crate::support::{Place, until};

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
    place.dogwatch(["run", "over", "--", "sh", "-c", &script.replace("sleep 300", "exit 1")]);
    for command in ["wait", "check"] {
        let answer = place.dogwatch([command, "over", "--json"]).json();
        assert_eq!(answer["log_tail"], serde_json::json!(["old line", "30% of it"]), "{command}");
    }
}

#[test]
fn a_step_that_has_succeeded_three_times_shows_how_much_of_its_usual_time_is_over() {
    let place = Place::new();
    for _ in 0..3 {
        assert_eq!(place.dogwatch(["run", "s", "--", "true"]).code, 0);
    }
    place.detach("s", "sleep 300");
    for command in ["\"$D\" wait s", "\"$D\" list --watch"] {
        let Some(screen) = Screen::start(&place, 100, command) else { return };
        screen.shows("[==========] of 0.");
    }
}

#[test]
fn what_a_shell_prints_at_ctrl_z_and_fg_stays_and_the_drawing_goes_on_below_it() {
    let place = Place::new();
    place.detach("s", "sleep 300");
    let Some(screen) = Screen::start(&place, 80, "PS1='$ ' bash --norc --noprofile -i") else { return };
    screen.shows("$");
    screen.press(&["\"$D\" wait s", "Enter"]);
    screen.shows("s: running for");
    screen.press(&["C-z"]);
    screen.shows("Stopped");
    screen.press(&["fg", "Enter"]);
    let lines = screen.is_drawn_again();
    let [.., stopped, prompt, command, live] = &lines[..] else { panic!("{lines:#?}") };
    assert!(stopped.contains("Stopped") && prompt.ends_with("$ fg") && command.ends_with("wait s"), "{lines:#?}");
    assert!(live.starts_with("s: running for"), "{lines:#?}");
    place.dogwatch(["kill", "s"]);
    let lines = screen.shows("s: failed");
    assert!(lines.iter().filter(|line| line.starts_with("s: running for")).count() <= 1, "{lines:#?}");

    // A watched list draws the whole screen anew, and the terminal echoes and obeys as before.
    place.detach("s", "sleep 300");
    screen.press(&["\"$D\" list --watch", "Enter"]);
    screen.shows("STATE");
    screen.press(&["C-z"]);
    screen.shows("Stopped");
    screen.press(&["fg", "Enter"]);
    screen.is_cleared("Stopped");
    screen.is_drawn_again();
    screen.press(&["C-c"]);
    screen.press(&["echo it-$((1+1))", "Enter"]);
    screen.shows("it-2");
}
