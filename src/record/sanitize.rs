//! Text of other programs made fit to be shown: one line, no control characters, a bounded length.
//!
//! A log line or a status word may hold anything, and a terminal obeys what it is sent. What is no UTF-8 is shown with
//! replacement characters; no encoding is guessed.

use anstream::adapter::strip_str;
use std::borrow::Cow;

/// How many characters of another program's text a message quotes.
const QUOTED: usize = 40;

/// Quotes bytes that a file holds, for a message: escaped, in double quotes, cut after 40 characters.
pub(crate) fn quote(bytes: &[u8]) -> String {
    // Four bytes a character at most: nothing beyond can be part of what is shown.
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED * 4 + 4)]);
    let text: String = shown.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if shown.chars().nth(QUOTED).is_some() { "…" } else { "" };
    format!("\"{text}{more}\"")
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

/// What a person sees of one line of output: no escape sequences, and only what was written after the last carriage
/// return, which is how progress bars overwrite themselves. At most 2,000 bytes, with an ellipsis where more followed.
pub(crate) fn visible_text(line: &[u8]) -> String {
    if !line.iter().any(|&byte| byte < b' ' && byte != b'\t') {
        return cut(line);
    }
    let plain = strip_str(&String::from_utf8_lossy(line)).to_string();
    // A carriage return at the end moves the cursor and erases nothing.
    let shown = plain.rsplit('\r').find(|part| !part.trim().is_empty());
    cut(shown.unwrap_or_default().as_bytes())
}

/// Makes one line of another program's output safe for a terminal: control characters and characters that are invisible or
/// change the order of others become `\u{..}` forms, tabs stay.
pub(crate) fn sanitize_for_terminal(line: &str) -> Cow<'_, str> {
    if line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) {
        return Cow::Borrowed(line);
    }
    let mut safe = String::with_capacity(line.len());
    for character in line.chars() {
        if (character.is_control() && character != '\t') || is_deceptive(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Whether a character is invisible or has a terminal show others in another order ("Trojan Source", CVE-2021-42574): two
/// texts that look the same are not. The table is that of fd's `sanitize_for_terminal`, with the Arabic letter mark and the
/// two separators that end a line. Variation selectors stay: emoji need them.
fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{ad}' // soft hyphen
        | '\u{61c}' // Arabic letter mark
        | '\u{180e}' // Mongolian vowel separator
        | '\u{200b}'..='\u{200f}' // zero width, joiners, direction marks
        | '\u{2028}'..='\u{202e}' // line and paragraph separator, embeddings and overrides of direction
        | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates, deprecated formats
        | '\u{feff}' // byte order mark
        | '\u{fff9}'..='\u{fffb}' // interlinear annotation
        | '\u{e0000}'..='\u{e007f}' // tags
    )
}

/// Makes a JSON text safe for a terminal without a change in what it says: what JSON need not escape and a terminal may
/// obey can only stand in its strings.
pub(crate) fn sanitize_json(text: &str) -> String {
    use std::fmt::Write;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\u{7f}'..='\u{9f}') || is_deceptive(character) {
            // JSON escapes a character beyond the first plane as two surrogates (RFC 8259, section 7).
            for unit in character.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _written = write!(safe, "\\u{unit:04x}");
            }
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
    fn a_person_sees_what_follows_the_last_carriage_return_and_no_escapes() {
        for (line, shown) in [
            ("plain", "plain"),
            ("10%\r20%\r100% done", "100% done"),
            ("10%\r20%\r", "20%"),
            ("50%\r\u{1b}[K", "50%"),
            ("\u{1b}[31mred\u{1b}[0m and \u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{7}", "red and link"),
            ("tab\tstays", "tab\tstays"),
            ("ends\r\r", "ends"),
            ("\r\u{1b}[2K", ""),
            ("gr\u{fc}n \u{1b}[1m\u{2713}", "gr\u{fc}n \u{2713}"),
        ] {
            assert_eq!(visible_text(line.as_bytes()), shown, "{line:?}");
        }
        let long = [&b"x\r".repeat(3000)[..], &b"y".repeat(3000)].concat();
        assert_eq!(visible_text(&long), format!("{}\u{2026}", "y".repeat(2000)));
    }

    #[test]
    fn invisible_characters_are_shown_and_json_says_the_same() {
        let text = "a\u{200b}b\u{feff}c\u{200e}d\u{e0041}e\u{61c}f\u{ad}";
        let safe = sanitize_for_terminal(text);
        assert_eq!(safe, "a\\u{200b}b\\u{feff}c\\u{200e}d\\u{e0041}e\\u{61c}f\\u{ad}");
        let json = serde_json::to_string(text).unwrap();
        let safe = sanitize_json(&json);
        assert!(safe.is_ascii(), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), text);
        // Emoji and combining marks stay as they are.
        for text in ["\u{2764}\u{fe0f}", "\u{1f980}", "e\u{301}", "\u{6f22}\u{5b57}"] {
            assert_eq!(sanitize_for_terminal(text), text);
        }
    }

    #[test]
    fn a_terminal_is_never_sent_a_control_character_from_a_log() {
        assert_eq!(sanitize_for_terminal("a\tb\x1b]0;x\x07\u{9b}31m"), "a\tb\\u{1b}]0;x\\u{7}\\u{9b}31m");
        assert_eq!(sanitize_for_terminal("left \u{202e}right"), "left \\u{202e}right");
        assert_eq!(sanitize_for_terminal("grün ✓"), "grün ✓");
    }
}
