//! Whether a line of a log ends a wait: a marker well, a fail marker badly. Called by the monitor's log scanner.
//!
//! The result does not depend on how the bytes are cut into chunks. Among the lines of one scan a fail marker beats a
//! marker wherever either stands; of two scans the earlier one's match counts.

use crate::error::Error;
use crate::record::line_splitter::{LineSplitter, readable};
use crate::record::outcome::Outcome;
use anstream::adapter::strip_str;
use regex_lite::Regex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The patterns that end the wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns {
    marker: Option<Regex>,
    fail: Option<Regex>,
}

/// A log line that matched a marker. As JSON it is an object with these two keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MarkerMatch {
    /// The line without escape sequences, cut after 2,000 bytes.
    pub line: String,
    /// What each group of the pattern matched, by its name and by its number; null for a group that took no part.
    pub captures: BTreeMap<String, Option<String>>,
}

/// What ended the wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogMatch {
    /// A line matched the marker.
    Marker(MarkerMatch),
    /// This line matched the fail marker.
    Fail(String),
}

impl LogMatch {
    /// The outcome of the step, and the sentence that says why.
    pub(crate) fn answer(&self) -> (Outcome, Option<String>) {
        match self {
            Self::Marker(_) => (Outcome::Marker, None),
            Self::Fail(line) => (Outcome::Failed, Some(format!("a line of the log matched --fail-marker: {line}"))),
        }
    }
}

fn compile(flag: &str, text: Option<&str>) -> Result<Option<Regex>, Error> {
    let refuse = |text, error| Error::invalid_options(format!("{flag} {text:?} is no regular expression: {error}"));
    text.map(|text| Regex::new(text).map_err(|error| refuse(text, error))).transpose()
}

impl Patterns {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// [`Error`]: one is no regular expression.
    pub(crate) fn new(marker: Option<&str>, fail: Option<&str>) -> Result<Self, Error> {
        Ok(Self { marker: compile("--marker", marker)?, fail: compile("--fail-marker", fail)? })
    }

    /// Also the patterns of `others`, which replace those of the same kind.
    pub(crate) fn merge(&mut self, others: Self) {
        self.marker = others.marker.or(self.marker.take());
        self.fail = others.fail.or(self.fail.take());
    }

    /// Whether no line ends the wait.
    pub(crate) fn is_empty(&self) -> bool {
        self.marker.is_none() && self.fail.is_none()
    }

    /// Whether a line is waited for, and not only feared.
    pub(crate) fn has_marker(&self) -> bool {
        self.marker.is_some()
    }

    /// Whether the marker has a group of this name or number.
    pub(crate) fn has_group(&self, name: &str) -> bool {
        let numbered =
            |pattern: &Regex| name.parse::<usize>().is_ok_and(|at| (1..pattern.captures_len()).contains(&at));
        self.marker
            .as_ref()
            .is_some_and(|pattern| numbered(pattern) || pattern.capture_names().flatten().any(|group| group == name))
    }

    /// Matches one line, as a person sees it and as it was written: `^` and `$` are meant for the one, an escape sequence
    /// in a pattern for the other.
    fn match_line(&self, line: &[u8]) -> Option<LogMatch> {
        // What is no UTF-8 is matched with replacement characters, as it is shown.
        let written = String::from_utf8_lossy(line);
        let seen = strip_str(&written).to_string();
        let matched = |pattern: &Regex| {
            let forms = if seen == written { &[&*seen][..] } else { &[&*seen, &*written] };
            forms.iter().find(|form| pattern.is_match(form)).map(|form| (*form).to_owned())
        };
        if self.fail.as_ref().is_some_and(|fail| matched(fail).is_some()) {
            return Some(LogMatch::Fail(readable(seen.as_bytes())));
        }
        let pattern = self.marker.as_ref()?;
        let text = matched(pattern)?;
        Some(LogMatch::Marker(MarkerMatch { line: readable(seen.as_bytes()), captures: captures(pattern, &text) }))
    }
}

fn captures(pattern: &Regex, text: &str) -> BTreeMap<String, Option<String>> {
    let Some(groups) = pattern.captures(text) else { return BTreeMap::new() };
    let mut captures = BTreeMap::new();
    for (number, name) in pattern.capture_names().enumerate().skip(1) {
        let value = groups.get(number).map(|group| group.as_str().to_owned());
        captures.insert(number.to_string(), value.clone());
        if let Some(name) = name {
            captures.insert(name.to_owned(), value);
        }
    }
    captures
}

/// One log being searched.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineMatcher {
    patterns: Arc<Patterns>,
    lines: LineSplitter,
    found: Option<LogMatch>,
}

impl LineMatcher {
    /// Starts with nothing read.
    pub(crate) fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, lines: LineSplitter::default(), found: None }
    }

    /// Matches the lines that these bytes complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Self { patterns, lines, found } = self;
        lines.feed(bytes, &mut |line| update_match(patterns, found, line));
    }

    /// Matches the last line although it has no end: nothing more will come.
    pub(crate) fn finish(&mut self) {
        let Self { patterns, lines, found } = self;
        lines.finish(&mut |line| update_match(patterns, found, line));
    }

    /// Whether a line has begun that has no end yet.
    pub(crate) fn has_unended_line(&self) -> bool {
        self.lines.has_unended()
    }

    /// Matches the line that has no end yet as it stands; it is matched again once it is complete.
    pub(crate) fn match_unended_line(&mut self) {
        let Self { patterns, lines, found } = self;
        lines.peek(&mut |line| update_match(patterns, found, line));
    }

    /// What was found so far.
    pub(crate) fn found(&self) -> Option<&LogMatch> {
        self.found.as_ref()
    }
}

/// The first match of its kind counts, and a fail marker more than a marker.
fn update_match(patterns: &Patterns, found: &mut Option<LogMatch>, line: &[u8]) {
    match (&found, patterns.fail.is_some()) {
        (Some(LogMatch::Fail(_)), _) | (Some(LogMatch::Marker(_)), false) => {}
        (Some(LogMatch::Marker(_)), true) => {
            if let Some(fail @ LogMatch::Fail(_)) = patterns.match_line(line) {
                *found = Some(fail);
            }
        }
        (None, _) => *found = patterns.match_line(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found<'piece>(
        marker: Option<&str>,
        fail: Option<&str>,
        pieces: impl IntoIterator<Item = &'piece [u8]>,
    ) -> Option<LogMatch> {
        let mut matcher = LineMatcher::new(Arc::new(Patterns::new(marker, fail).unwrap()));
        pieces.into_iter().for_each(|piece| matcher.feed(piece));
        matcher.finish();
        matcher.found().cloned()
    }

    fn by_marker(line: &str) -> LogMatch {
        LogMatch::Marker(MarkerMatch { line: line.to_owned(), captures: BTreeMap::new() })
    }

    #[test]
    fn the_first_matching_line_counts_and_a_fail_marker_beats_a_marker() {
        let fail = |line: &str| Some(LogMatch::Fail(line.to_owned()));
        for (wanted, feared, log, expected) in [
            (Some("^ready"), None, "not ready\nready 1\nready 2\n", Some(by_marker("ready 1"))),
            (Some("ready"), Some("panic"), "ready\npanic: x\n", fail("panic: x")),
            (Some("ready"), Some("panic"), "panic\nready\npanic 2\n", fail("panic")),
            (Some("a"), Some("a"), "a\n", fail("a")),
            (None, Some("panic"), "ready\n", None),
            (Some("(?i)READY$"), None, "it is ready\r\n", Some(by_marker("it is ready"))),
            (Some("a.c"), None, "a\nc\n", None),
            (Some("end"), None, "the end", Some(by_marker("the end"))),
            (Some("grün ✓"), None, "grün ✓\n", Some(by_marker("grün ✓"))),
            (Some("^50%$"), None, "10%\r50%\r100%", Some(by_marker("50%"))),
        ] {
            assert_eq!(found(wanted, feared, [log.as_bytes()]), expected, "{log:?}");
        }
        assert_eq!(found(Some("x.y"), None, [&b"x\xffy\n"[..]]), Some(by_marker("x\u{fffd}y")));
    }

    #[test]
    fn a_line_is_matched_as_it_is_seen_and_as_it_is_written_and_told_as_it_is_seen() {
        let log = "\u{1b}[36mhttp://localhost:\u{1b}[1m5173\u{1b}[22m/\u{1b}[39m\n".as_bytes();
        for pattern in ["^http://localhost:5173/$", "localhost:\u{1b}\\[1m5173"] {
            assert_eq!(found(Some(pattern), None, [log]), Some(by_marker("http://localhost:5173/")), "{pattern}");
        }
        let feared = found(None, Some("localhost:5"), [log]);
        assert_eq!(feared, Some(LogMatch::Fail("http://localhost:5173/".into())));
    }

    #[test]
    fn groups_are_told_by_name_and_by_number() {
        let pattern = r"on (?<host>\w+):(\d+)(?<path>/x)?";
        let Some(LogMatch::Marker(MarkerMatch { line, captures })) =
            found(Some(pattern), None, [&b"\x1b[1mup on\x1b[0m here:80\n"[..]])
        else {
            panic!("not found")
        };
        assert_eq!(line, "up on here:80");
        let shown: Vec<String> = captures.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        assert_eq!(shown.join(" "), r#"1=Some("here") 2=Some("80") 3=None host=Some("here") path=None"#);
        let patterns = Patterns::new(Some(pattern), Some("(?<feared>x)")).unwrap();
        let known = ["host", "path", "1", "3", "0", "4", "feared", ""].map(|name| patterns.has_group(name));
        assert_eq!(known, [true, true, true, true, false, false, false, false]);
    }

    #[test]
    fn a_line_without_an_end_is_matched_as_it_stands_and_again_when_it_is_complete() {
        let mut matcher = LineMatcher::new(Arc::new(Patterns::new(Some("ready>|done"), Some("panic")).unwrap()));
        matcher.feed(b"a\nread");
        assert!(matcher.has_unended_line());
        matcher.match_unended_line();
        assert_eq!(matcher.found(), None);
        matcher.feed(b"y> ");
        assert_eq!(matcher.found(), None, "not before it is asked for");
        matcher.match_unended_line();
        assert_eq!(matcher.found().cloned(), Some(by_marker("ready> ")));
        matcher.feed(b"panic\n");
        assert_eq!(matcher.found(), Some(&LogMatch::Fail("ready> panic".into())));
        assert!(!matcher.has_unended_line());
    }

    #[test]
    fn of_a_long_line_2000_bytes_are_told() {
        let line = "y".repeat(5000);
        let Some(LogMatch::Marker(told)) = found(Some("y"), None, [line.as_bytes()]) else { panic!("not found") };
        assert_eq!(told.line, format!("{}…", "y".repeat(2000)));
    }

    #[test]
    fn what_is_no_pattern_is_named_in_one_line() {
        for bad in ["(", "[a", "*", "a{2", "(?<"] {
            let sentence = Patterns::new(None, Some(bad)).unwrap_err().to_string();
            assert!(sentence.starts_with("--fail-marker \"") && !sentence.contains('\n'), "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_finds_the_same(
            bytes in prop::collection::vec(prop::sample::select(b"abc\n\r\0\xff\x1b[m".to_vec()), 0..120),
            cuts in prop::collection::vec(0_usize..120, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(found(Some("^ab"), Some("cc"), pieces), found(Some("^ab"), Some("cc"), [&bytes[..]]));
        }
    }
}
