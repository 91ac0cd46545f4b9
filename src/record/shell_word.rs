//! Words of a POSIX shell: quoted for commands that messages advise, and read. Pure.

/// The word as a POSIX shell reads it back, quoted only where needed.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "/._-+,:@%=".contains(one);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The first word of a shell's line, without its quotes (POSIX, 2.2, Quoting); `None` where they do not end.
pub(crate) fn first_shell_word(line: &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    let mut quote = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(b'\''), b'\'') | (Some(b'"'), b'"') => quote = None,
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b' ' | b'\t') => break,
            (None, b'\\') => word.push(bytes.next()?),
            (Some(b'"'), b'\\') => match bytes.next()? {
                escaped @ (b'"' | b'\\' | b'$' | b'`') => word.push(escaped),
                plain => word.extend([b'\\', plain]),
            },
            (_, byte) => word.push(byte),
        }
    }
    (quote.is_none() && !word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_than_a_word() {
        for (word, expected) in
            [("a/b-c.d", "a/b-c.d"), ("it's", "'it'\\''s'"), ("", "''"), ("-rf", "'-rf'"), ("$HOME", "'$HOME'")]
        {
            assert_eq!(shell_word(word), expected);
            assert_eq!(first_shell_word(expected.as_bytes()).unwrap_or_default(), word.as_bytes());
        }
    }
}
