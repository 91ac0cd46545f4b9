//! Whether a line of a log ends a wait: a marker well, a fail marker badly.
//!
//! Refuses to depend on how the bytes come: any split of them finds the same. Of what one look shows, a fail marker beats
//! a marker wherever either stands; of two looks the earlier one's line counts.

use crate::record::line_splitter::{LineSplitter, readable};
use crate::record::outcome::Outcome;
use regex_lite::Regex;
use std::sync::Arc;

/// What ends the wait; at least one of the two.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    marker: Option<Regex>,
    fail: Option<Regex>,
}

/// What a log has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogMatch {
    /// This line matched the marker.
    Marker(String),
    /// This line matched the fail marker.
    Fail(String),
}

impl LogMatch {
    /// What it says of the step, and the sentence that tells why.
    pub(crate) fn answer(&self) -> (Outcome, Option<String>) {
        match self {
            Self::Marker(_) => (Outcome::Marker, None),
            Self::Fail(line) => (Outcome::Failed, Some(format!("a line of the log matched --fail-marker: {line}"))),
        }
    }
}

impl Patterns {
    /// Takes the patterns.
    ///
    /// # Errors
    /// A sentence that names the pattern that is none.
    pub(crate) fn new(marker: Option<&str>, fail: Option<&str>) -> Result<Self, String> {
        let read = |name: &str, text: &str| {
            Regex::new(text).map_err(|error| format!("{name} {text:?} is no regular expression: {error}"))
        };
        Ok(Self {
            marker: marker.map(|text| read("--marker", text)).transpose()?,
            fail: fail.map(|text| read("--fail-marker", text)).transpose()?,
        })
    }

    fn judge(&self, line: &[u8]) -> Option<LogMatch> {
        // What is no UTF-8 is matched with replacement characters, as it is shown.
        let text = String::from_utf8_lossy(line);
        let says = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|pattern| pattern.is_match(&text));
        if says(&self.fail) {
            Some(LogMatch::Fail(readable(line)))
        } else if says(&self.marker) {
            Some(LogMatch::Marker(readable(line)))
        } else {
            None
        }
    }
}

/// One log being looked through.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    markers: Arc<Patterns>,
    lines: LineSplitter,
    sign: Option<LogMatch>,
}

impl Search {
    /// Begins with nothing read.
    pub(crate) fn new(markers: Arc<Patterns>) -> Self {
        Self { markers, lines: LineSplitter::default(), sign: None }
    }

    /// Looks through what has come.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Self { markers, lines, sign } = self;
        lines.feed(bytes, &mut |line| note(markers, sign, line));
    }

    /// Looks at the last line too although it has no end: nothing more will come.
    pub(crate) fn finish(&mut self) {
        let Self { markers, lines, sign } = self;
        lines.finish(&mut |line| note(markers, sign, line));
    }

    /// What was found so far.
    pub(crate) fn sign(&self) -> Option<&LogMatch> {
        self.sign.as_ref()
    }
}

/// The first of its kind counts, and a fail marker more than a marker.
fn note(markers: &Patterns, sign: &mut Option<LogMatch>, line: &[u8]) {
    match (&sign, markers.fail.is_some()) {
        (Some(LogMatch::Fail(_)), _) | (Some(LogMatch::Marker(_)), false) => {}
        (Some(LogMatch::Marker(_)), true) => {
            if let Some(fail @ LogMatch::Fail(_)) = markers.judge(line) {
                *sign = Some(fail);
            }
        }
        (None, _) => *sign = markers.judge(line),
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
        let mut search = Search::new(Arc::new(Patterns::new(marker, fail).unwrap()));
        pieces.into_iter().for_each(|piece| search.feed(piece));
        search.finish();
        search.sign().cloned()
    }

    #[test]
    fn the_first_matching_line_counts_and_a_fail_marker_beats_a_marker() {
        let marker = |line: &str| Some(LogMatch::Marker(line.to_owned()));
        let fail = |line: &str| Some(LogMatch::Fail(line.to_owned()));
        for (wanted, feared, log, expected) in [
            (Some("^ready"), None, "not ready\nready 1\nready 2\n", marker("ready 1")),
            (Some("ready"), Some("panic"), "ready\npanic: x\n", fail("panic: x")),
            (Some("ready"), Some("panic"), "panic\nready\npanic 2\n", fail("panic")),
            (Some("a"), Some("a"), "a\n", fail("a")),
            (None, Some("panic"), "ready\n", None),
            (Some("(?i)READY$"), None, "it is ready\r\n", marker("it is ready")),
            (Some("a.c"), None, "a\nc\n", None),
            (Some("end"), None, "the end", marker("the end")),
            (Some("grün ✓"), None, "grün ✓\n", marker("grün ✓")),
        ] {
            assert_eq!(found(wanted, feared, [log.as_bytes()]), expected, "{log:?}");
        }
        assert_eq!(found(Some("x.y"), None, [&b"x\xffy\n"[..]]), Some(LogMatch::Marker("x\u{fffd}y".into())));
    }

    #[test]
    fn of_a_long_line_2000_bytes_are_told() {
        let line = "y".repeat(5000);
        let Some(LogMatch::Marker(told)) = found(Some("y"), None, [line.as_bytes()]) else { panic!("not found") };
        assert_eq!(told, format!("{}…", "y".repeat(2000)));
    }

    #[test]
    fn what_is_no_pattern_is_named_in_one_line() {
        for bad in ["(", "[a", "*", "a{2", "(?<"] {
            let sentence = Patterns::new(None, Some(bad)).unwrap_err();
            assert!(sentence.starts_with("--fail-marker \"") && !sentence.contains('\n'), "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_finds_the_same(
            bytes in prop::collection::vec(prop::sample::select(b"abc\n\r\0\xff".to_vec()), 0..120),
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
