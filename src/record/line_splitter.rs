//! Splits a log's bytes into lines for matching, however they are cut into chunks. Called by `decide::log_match`.
//!
//! A line feed ends a line, and so does a carriage return: progress that overwrites itself shows one line after the other.
//! A line of more than 64 KiB is handed over in pieces that overlap. Where a size limit took the oldest part of a log away, it reads as zeros, and one
//! line says how much was dropped; neither is text of the log. Empty lines are left out.

use crate::record::sanitize::cut;

/// The most bytes of a line that are looked at together.
pub(crate) const LONGEST: usize = 64 << 10;
/// How many bytes of a piece of a long line begin the next one: what matches across the cut is found in that.
const OVERLAP: usize = 4 << 10;

/// What is said in a log of the part that has gone; a line of its own.
const NOTICE: [&str; 2] = ["[dogwatch: ", " bytes of older output were dropped here]"];

/// The line that says how many bytes of older output have gone, with a line end on either side.
pub(crate) fn notice(bytes: u64) -> String {
    format!("\n{}{bytes}{}\n", NOTICE[0], NOTICE[1])
}

fn is_notice(line: &[u8]) -> bool {
    let number = line.strip_prefix(NOTICE[0].as_bytes()).and_then(|rest| rest.strip_suffix(NOTICE[1].as_bytes()));
    number.is_some_and(|number| number.iter().all(u8::is_ascii_digit))
}

/// Cuts bytes into lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LineSplitter {
    /// The line that has not ended yet, without the zeros before it; of a long one the last piece.
    begun: Vec<u8>,
}

impl LineSplitter {
    /// Takes more bytes in, and hands over each line that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            if self.begun.is_empty() && end <= LONGEST {
                // The usual case needs no copy.
                hand_over(&bytes[zeros(bytes[..end].iter())..end], line);
            } else {
                self.keep(&bytes[..end], line);
                self.finish(line);
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes, line);
    }

    /// Whether a line has begun that has no end yet.
    pub(crate) fn has_unended(&self) -> bool {
        !self.begun.is_empty()
    }

    /// Hands over the line that has no end yet, which stays: more of it may come.
    pub(crate) fn peek(&self, line: &mut dyn FnMut(&[u8])) {
        hand_over(&self.begun, line);
    }

    /// Hands over the last line, which has no end.
    pub(crate) fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        hand_over(&self.begun, line);
        self.begun.clear();
    }

    /// Takes in more of the line that has begun, and hands over each piece that is full before there is more.
    fn keep(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        // Zeros before a line are no part of it, and must not use its room up.
        let mut bytes = if self.begun.is_empty() { &bytes[zeros(bytes.iter())..] } else { bytes };
        while !bytes.is_empty() {
            if self.begun.len() == LONGEST {
                hand_over(&self.begun, line);
                self.begun.drain(..LONGEST - OVERLAP);
            }
            let (now, later) = bytes.split_at(bytes.len().min(LONGEST - self.begun.len()));
            self.begun.extend_from_slice(now);
            bytes = later;
        }
    }
}

fn zeros<'bytes>(bytes: impl Iterator<Item = &'bytes u8>) -> usize {
    bytes.take_while(|&&byte| byte == 0).count()
}

/// Hands a line over without the zeros that took its own end's place.
fn hand_over(whole: &[u8], line: &mut dyn FnMut(&[u8])) {
    let kept = &whole[..whole.len() - zeros(whole.iter().rev())];
    if !kept.is_empty() && !is_notice(kept) {
        line(kept);
    }
}

/// A line as text for a report: made of at most its first 2,000 bytes, with an ellipsis where more followed.
pub(crate) fn readable(line: &[u8]) -> String {
    let line = without_hole(line);
    cut(line.strip_suffix(b"\r").unwrap_or(line))
}

/// A line without the zeros before it: what a size limit deleted reads as zeros.
pub(crate) fn without_hole(line: &[u8]) -> &[u8] {
    &line[zeros(line.iter())..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn lines<'piece>(pieces: impl IntoIterator<Item = &'piece [u8]>) -> Vec<Vec<u8>> {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line.to_vec()));
        }
        lines.finish(&mut |line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn lines_end_with_either_convention_and_the_last_one_with_none() {
        for (text, expected) in [
            ("", vec![]),
            ("a\nb\r\n\nc", vec!["a", "b", "c"]),
            ("\r\n\n", vec![]),
            ("a\rb\n", vec!["a", "b"]),
            ("10%\r100%\r\ndone\r", vec!["10%", "100%", "done"]),
            ("x\0y\n", vec!["x\0y"]),
        ] {
            let expected: Vec<Vec<u8>> = expected.into_iter().map(|line| line.as_bytes().to_vec()).collect();
            assert_eq!(lines([text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn what_a_bound_took_away_is_no_line_and_cuts_none() {
        let hole = vec![0; 3 * LONGEST];
        let said = notice(1 << 40);
        assert_eq!(lines([&b"cut "[..], &hole, said.as_bytes(), b"after\n"]), [b"cut ".to_vec(), b"after".to_vec()]);
        assert_eq!(lines([&hole[..], b"after\n"]), [b"after".to_vec()]);
        assert_eq!(lines([&b"[dogwatch: x bytes of older output were dropped here]"[..]]).len(), 1);
    }

    #[test]
    fn a_long_line_comes_in_pieces_wherever_it_is_cut_and_the_next_line_is_whole() {
        // Every word of it stands whole in one of the pieces.
        let words = |range: std::ops::Range<u32>| range.map(|number| format!("<{number}>"));
        let text = words(0..30_000).collect::<String>() + "\nnext\n";
        let found = lines(text.as_bytes().chunks(1000));
        assert_eq!(lines([text.as_bytes()]), found);
        let (next, pieces) = found.split_last().unwrap();
        assert_eq!(next, b"next");
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() <= LONGEST));
        let pieces: Vec<String> = pieces.iter().map(|piece| String::from_utf8_lossy(piece).into_owned()).collect();
        let whole: HashSet<&str> = pieces.iter().flat_map(|piece| piece.split_inclusive('>')).collect();
        assert!(words(0..30_000).all(|word| whole.contains(word.as_str())));
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_lines(
            bytes in prop::collection::vec(prop::sample::select(b"ab\n\r\0\xff".to_vec()), 0..200),
            cuts in prop::collection::vec(0_usize..200, 0..8),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
            prop_assert_eq!(lines(pieces), lines([&bytes[..]]));
        }
    }
}
