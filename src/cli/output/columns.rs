//! How many columns text takes on a terminal, and text cut to so many.

use std::borrow::Cow;
use unicode_width::UnicodeWidthChar;

/// What stands for the rest of a text that was cut; one column wide.
const ELLIPSIS: char = '…';

/// How many columns one line of text takes. It is never less than what a terminal uses: one that knows how to join several
/// characters into one emoji uses fewer, and a line that is too short does not wrap.
pub(in crate::cli) fn width(text: &str) -> usize {
    // Of ten thousand rows nearly all are plain.
    if text.is_ascii() { text.len() } else { widths(text).map(|(_, width)| width).sum() }
}

/// The text where it fits into so many columns, else as much of it as fits with an ellipsis after it.
pub(in crate::cli) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let kept = cut(text, columns - 1);
    Cow::Owned(format!("{kept}{ELLIPSIS}"))
}

/// As much of the text as fits into so many columns.
pub(in crate::cli) fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, width) in widths(text) {
        used += width;
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// Where each character begins, and how many columns it takes.
fn widths(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let mut previous = 0;
    text.char_indices().map(move |(at, character)| {
        // A variation selector makes an emoji, two columns wide, of a character that was one column wide before it.
        let width = match character {
            '\u{fe0f}' if previous == 1 => 1,
            character => character.width().unwrap_or(0),
        };
        previous = width;
        (at, width)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_characters_take_two_columns_and_are_never_cut_in_two() {
        for (text, columns) in
            [("plain", 5), ("\u{6f22}\u{5b57}", 4), ("\u{1f980}", 2), ("e\u{301}", 1), ("\u{2764}\u{fe0f}", 2), ("", 0)]
        {
            assert_eq!(width(text), columns, "{text}");
        }
        assert_eq!(fit("\u{6f22}\u{5b57}\u{6f22}", 5), "\u{6f22}\u{5b57}\u{2026}");
        assert_eq!(fit("\u{6f22}\u{5b57}\u{6f22}", 4), "\u{6f22}\u{2026}");
        assert_eq!(
            (fit("plain", 5), fit("plain", 3), fit("plain", 0)),
            ("plain".into(), "pl\u{2026}".into(), "".into())
        );
    }

    proptest! {
        #[test]
        fn what_is_fitted_fits(text in "\\PC{0,40}", columns in 0_usize..50) {
            prop_assert!(width(&fit(&text, columns)) <= columns);
            prop_assert!(width(cut(&text, columns)) <= columns);
            prop_assert!(text.starts_with(cut(&text, columns)));
        }
    }
}
