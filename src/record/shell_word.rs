//! Quotes a word for a POSIX shell, in commands that messages advise. Pure.

/// The word as a POSIX shell reads it back, quoted only where needed.
pub(crate) fn shell_word(word: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "/._-+,:@%=".contains(one);
    if !word.is_empty() && word.chars().all(is_plain) && !word.starts_with('-') {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
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
        }
    }
}
