//! Text of others made fit to be shown: one line, no control characters, a bounded length.
//!
//! Refuses to guess an encoding: what is no UTF-8 is shown with replacement characters. A log line or a status word
//! is written by anybody, and a terminal obeys what it is sent.

use std::borrow::Cow;

/// How many characters of somebody else's text a message quotes.
const QUOTED: usize = 40;

/// Quotes bytes that a file holds, for a message: escaped, in double quotes, cut after 40 characters.
pub(crate) fn quote(bytes: &[u8]) -> String {
    // Four bytes a character at most: nothing beyond can be part of what is shown.
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED * 4 + 4)]);
    let mut quoted = String::from("\"");
    for (index, character) in shown.chars().enumerate() {
        if index == QUOTED {
            quoted.push('…');
            break;
        }
        quoted.extend(character.escape_debug());
    }
    quoted.push('"');
    quoted
}

/// The most bytes of one line of output that a report holds.
const LINE: usize = 2000;

/// Bytes as text, made of at most the first 2,000, with an ellipsis where more followed.
pub(crate) fn cut(line: &[u8]) -> String {
    let shown = &line[..line.len().min(LINE)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < line.len() {
        text.push('…');
    }
    text
}

/// Makes one line of somebody else's output safe for a terminal: control characters become `\u{..}` forms, tabs stay.
pub(crate) fn sanitize_for_terminal(line: &str) -> Cow<'_, str> {
    if line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Cow::Borrowed(line);
    }
    let mut safe = String::with_capacity(line.len());
    for character in line.chars() {
        if (character.is_control() && character != '\t') || reorders(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Whether a terminal shows what follows in another order ("trojan source").
fn reorders(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes a JSON text safe for a terminal without a change in what it says: what JSON need not escape and a terminal may
/// obey can only stand in its strings.
pub(crate) fn sanitize_json(text: &str) -> String {
    use std::fmt::Write;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\u{7f}'..='\u{9f}') || reorders(character) {
            // A string takes every write.
            let _taken = write!(safe, "\\u{:04x}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Makes output harmless that comes in pieces: a character that two pieces share is shown as one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamSanitizer {
    kept: Vec<u8>,
}

impl StreamSanitizer {
    /// What a terminal may be sent of what has come.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        self.kept.extend_from_slice(bytes);
        let whole = self.kept.len() - unfinished(&self.kept);
        self.pass(whole)
    }

    /// What is left when nothing more comes.
    pub(crate) fn finish(&mut self) -> String {
        self.pass(self.kept.len())
    }

    fn pass(&mut self, length: usize) -> String {
        let text = String::from_utf8_lossy(&self.kept[..length]);
        let lines = text.split_inclusive('\n').map(|line| match line.strip_suffix('\n') {
            Some(line) => sanitize_for_terminal(line.strip_suffix('\r').unwrap_or(line)) + "\n",
            None => sanitize_for_terminal(line),
        });
        let safe = lines.collect();
        self.kept.drain(..length);
        safe
    }
}

/// How many bytes at the end may be the beginning of a longer character, or of a line's end.
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let needed = match bytes[bytes.len() - back] {
            b'\r' if back == 1 => 2,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xff => 4,
            // The middle of one: its beginning is further back.
            0x80..=0xbf => continue,
            0..=0x7f => return 0,
        };
        return if needed > back { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_is_one_escaped_line_of_bounded_length() {
        assert_eq!(quote(b"SUCCES\x1b[2J\n"), "\"SUCCES\\u{1b}[2J\\n\"");
        let long = quote(&[b'7'; 400]);
        assert_eq!(long, format!("\"{}…\"", "7".repeat(40)));
        assert_eq!(quote(b"\xff"), "\"\u{fffd}\"");
    }

    #[test]
    fn output_in_any_pieces_is_cleaned_as_if_it_came_whole() {
        let text = "grün ✓ 🦀\r\n\u{1b}[31mred\rover\n\u{9b}x\u{fffd}";
        let mut bytes = text.as_bytes().to_vec();
        bytes.extend_from_slice(b"\xff\xe2\x9c");
        let mut whole = StreamSanitizer::default();
        let expected = whole.feed(&bytes) + &whole.finish();
        assert!(expected.starts_with("grün ✓ 🦀\n\\u{1b}[31mred\\rover\n\\u{9b}x"), "{expected}");
        for size in 1..bytes.len() {
            let mut cleaner = StreamSanitizer::default();
            let pieces: String = bytes.chunks(size).map(|piece| cleaner.feed(piece)).collect();
            assert_eq!(pieces + &cleaner.finish(), expected, "pieces of {size}");
        }
    }

    #[test]
    fn a_terminal_is_never_sent_a_control_character_from_a_log() {
        assert_eq!(sanitize_for_terminal("a\tb\x1b]0;x\x07\u{9b}31m"), "a\tb\\u{1b}]0;x\\u{7}\\u{9b}31m");
        assert_eq!(sanitize_for_terminal("left \u{202e}right"), "left \\u{202e}right");
        assert_eq!(sanitize_for_terminal("grün ✓"), "grün ✓");
    }
}
