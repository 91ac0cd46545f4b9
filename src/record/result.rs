//! `STEP.result`: one JSON value, kept exactly as its writer wrote it.
//!
//! The value is kept as written: numbers keep their digits, objects their order. Only white space between tokens is
//! removed where the value has to fit on one line.

use serde_json::value::RawValue;

/// The most bytes of a result that are read: 16 MiB.
pub(crate) const LONGEST: usize = 16 << 20;

/// What the bytes of a result file say.
#[derive(Clone, Debug)]
pub(crate) enum ParsedResult {
    /// One whole JSON value.
    Json(Box<RawValue>),
    /// No JSON value, or not yet; the parser's sentence.
    Unfinished(String),
}

impl ParsedResult {
    /// Reads one JSON value with white space around it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        match serde_json::from_slice::<Box<RawValue>>(bytes) {
            Ok(value) => Self::Json(value),
            Err(error) => Self::Unfinished(format!("the result is no JSON: {error}")),
        }
    }
}

/// The same value with no white space between tokens, so that it fits on one line.
pub(crate) fn one_line(value: &RawValue) -> Box<RawValue> {
    let text = value.get();
    if !text.contains(['\n', '\r', ' ', '\t']) {
        return value.to_owned();
    }
    let mut compact = String::with_capacity(text.len());
    let mut inside = false;
    let mut escaped = false;
    for character in text.chars() {
        if inside {
            compact.push(character);
            inside = escaped || character != '"';
            escaped = !escaped && character == '\\';
        } else if !matches!(character, ' ' | '\n' | '\r' | '\t') {
            compact.push(character);
            inside = character == '"';
        }
    }
    // White space between tokens means nothing in JSON (RFC 8259, section 2), so the value stays valid; should that
    // ever fail, the value as written is the better answer.
    RawValue::from_string(compact).unwrap_or_else(|_| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> Box<RawValue> {
        match ParsedResult::parse(text.as_bytes()) {
            ParsedResult::Json(value) => value,
            ParsedResult::Unfinished(error) => panic!("{error}"),
        }
    }

    #[test]
    fn numbers_and_order_stay_as_written() {
        let value = json(" {\"b\": 1.10, \"a\": 123456789012345678901234567890}\n");
        assert_eq!(one_line(&value).get(), "{\"b\":1.10,\"a\":123456789012345678901234567890}");
    }

    #[test]
    fn white_space_inside_strings_stays() {
        let value = json("[ \"a \\\" b\\\\\" ,\n\t\" c\" ]");
        assert_eq!(one_line(&value).get(), "[\"a \\\" b\\\\\",\" c\"]");
    }

    #[test]
    fn every_proper_prefix_of_an_object_is_unfinished() {
        let whole = "{\"ok\": [true, null, \"x\"]}";
        for end in 0..whole.len() {
            assert!(matches!(ParsedResult::parse(&whole.as_bytes()[..end]), ParsedResult::Unfinished(_)), "{end}");
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        let _either = ParsedResult::parse(deep.as_bytes());
    }

    proptest! {
        #[test]
        fn one_line_means_the_same(bytes in "[ \\n\"\\\\a1\\[\\]{}:,]{0,24}") {
            if let ParsedResult::Json(value) = ParsedResult::parse(bytes.as_bytes()) {
                let line = one_line(&value);
                prop_assert!(!line.get().contains('\n') || value.get().contains("\\n"));
                let before: serde_json::Value = serde_json::from_str(value.get()).unwrap();
                let after: serde_json::Value = serde_json::from_str(line.get()).unwrap();
                prop_assert_eq!(before, after);
            }
        }
    }
}
