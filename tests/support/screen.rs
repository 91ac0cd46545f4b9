//! A real terminal emulator, tmux, in which a test runs a command and sees what a person would see.

use super::{Place, unique, until};
use std::process::Command;

/// A terminal of so many columns in which one command runs.
pub struct Screen {
    server: String,
}

impl Screen {
    pub fn start(place: &Place, columns: u16, command: &str) -> Option<Self> {
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
    pub fn tmux(&self, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("tmux");
        command.args(["-u", "-L", &self.server, "-f", "/dev/null"]).args(arguments).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Types keys, by tmux's names for them; other words as they are.
    pub fn press(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).expect("keys are sent");
    }

    /// The lines that are not empty.
    pub fn lines(&self) -> Vec<String> {
        let text = self.tmux(&["capture-pane", "-p"]).unwrap_or_default();
        text.lines().map(str::trim_end).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Waits until the screen shows this text.
    #[track_caller]
    pub fn shows(&self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        until(text, || {
            lines = self.lines();
            lines.iter().any(|line| line.contains(text))
        });
        lines
    }

    /// Waits until the screen does not show this text any more.
    #[track_caller]
    pub fn is_cleared(&self, text: &str) {
        until("the screen is cleared", || {
            let lines = self.lines();
            !lines.is_empty() && lines.iter().all(|line| !line.contains(text))
        });
    }

    /// Waits for two more drawings of what is drawn once a second, by the tenths of a second in it.
    #[track_caller]
    pub fn is_drawn_again(&self) -> Vec<String> {
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
