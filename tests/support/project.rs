//! A project of its own for preflight: a folder with `.git`, a monitor directory beside it, and what `preflight` says there.

#![allow(dead_code, unreachable_pub, reason = "each test file is a program of its own and uses its own part")]

use super::{Ended, Place, folder};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A project's folder and a monitor directory, both gone with the test.
pub struct Project {
    pub place: Place,
    folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        let folder = folder();
        std::fs::create_dir(folder.path().join(".git")).expect("a project's mark");
        Self { place: Place::new(), folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn write(&self, name: &str, content: &str) {
        std::fs::write(self.file(name), content).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// A preflight file of these checks, each as its lines after the brackets; names are given in order: a, b, c.
    pub fn checks(&self, checks: &[&str]) {
        let name = |index: usize| char::from(b'a' + u8::try_from(index).expect("few checks"));
        let texts = checks.iter().enumerate();
        let texts = texts.map(|(index, lines)| format!("[[check]]\nname = \"{}\"\n{lines}\n", name(index)));
        self.write("preflight.toml", &texts.collect::<String>());
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.command(arguments);
        command.current_dir(self.path());
        command
    }

    pub fn dogwatch(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(arguments).output().expect("dogwatch runs"))
    }

    /// Every check's object.
    pub fn preflight(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let mut all = vec!["preflight", "--json"];
        all.extend(arguments);
        let ended = self.dogwatch(&all);
        (ended.code, ended.lines())
    }
}

/// A part of an object as text; empty where it is null.
pub fn text<'value>(finding: &'value Value, key: &str) -> &'value str {
    finding[key].as_str().unwrap_or_default()
}

/// The verdicts in order.
pub fn verdicts(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| text(finding, "verdict")).collect()
}

/// Asserts that a check failed, and that symptom, cause and fix together hold these words.
#[track_caller]
pub fn fails_with(finding: &Value, words: &[&str]) {
    assert_eq!(finding["verdict"], "failed", "{finding}");
    let all = ["symptom", "cause", "fix"].map(|key| text(finding, key)).join("\n");
    for word in words {
        assert!(all.contains(word), "{word:?} is not said: {finding}");
    }
}
