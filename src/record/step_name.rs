//! The name of a step: the one word that people, scripts and file names share.
//!
//! A name that could leave the monitor directory, be a hidden file, or look like an option is invalid.

use crate::record::sanitize::quote;
use std::fmt;
use std::str::FromStr;

/// The most characters a step name has.
const LONGEST: usize = 100;

/// A valid step name: 1–100 characters of `A-Z a-z 0-9 . _ @ + = : -`, not beginning with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepName(Box<str>);

impl StepName {
    /// Checks a name.
    ///
    /// # Errors
    /// A name outside the rule: the error says in one sentence what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidStepName> {
        let fault = if text.is_empty() {
            format!("it is empty; use 1 to {LONGEST} characters of A-Z a-z 0-9 . _ @ + = : -")
        } else if text.chars().count() > LONGEST {
            format!("it is longer than {LONGEST} characters; use a shorter one")
        } else if text.starts_with(['.', '-']) {
            "it begins with '.' or '-'; begin it with a letter or a digit".to_owned()
        } else if let Some(character) = text.chars().find(|&character| !allowed(character)) {
            format!("it holds {character:?}; use only A-Z a-z 0-9 . _ @ + = : -")
        } else {
            return Ok(Self(text.into()));
        };
        Err(InvalidStepName { text: quote(text.as_bytes()), fault, what: "step name" })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StepName {
    type Err = InvalidStepName;

    fn from_str(text: &str) -> Result<Self, InvalidStepName> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for StepName {
    type Error = InvalidStepName;

    fn try_from(text: &str) -> Result<Self, InvalidStepName> {
        Self::parse(text)
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for StepName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Why a text is no step name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidStepName {
    text: String,
    fault: String,
    what: &'static str,
}

impl InvalidStepName {
    /// The same of a word that follows the rule and names something else, such as a tag.
    pub(crate) fn of(self, what: &'static str) -> Self {
        Self { what, ..self }
    }
}

impl fmt::Display for InvalidStepName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, fault, what } = self;
        write!(formatter, "{text} is no {what}: {fault}")
    }
}

impl std::error::Error for InvalidStepName {}

fn allowed(character: char) -> bool {
    character.is_ascii_alphanumeric() || ".@+=:-_".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_allowed_character_is_taken_and_every_other_ascii_one_refused() {
        for byte in 0..=127_u8 {
            let character = char::from(byte);
            let expected = character.is_ascii_alphanumeric() || "._@+=:-".contains(character);
            assert_eq!(StepName::parse(&format!("a{character}")).is_ok(), expected, "{character:?}");
        }
    }

    #[test]
    fn names_that_leave_or_hide_or_look_like_options_are_refused() {
        for bad in ["", ".", "..", ".x", "-x", "a/b", "../a", "a b", "a\0", "ä"] {
            assert!(StepName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(StepName::parse(&"a".repeat(100)).is_ok());
        assert!(StepName::parse(&"a".repeat(101)).is_err());
    }

    #[test]
    fn the_error_is_one_sentence_that_says_what_to_do() {
        let error = StepName::parse("a/b").unwrap_err().to_string();
        assert_eq!(error, "\"a/b\" is no step name: it holds '/'; use only A-Z a-z 0-9 . _ @ + = : -");
    }

    proptest! {
        #[test]
        fn no_text_makes_parsing_panic(text in any::<String>()) {
            if let Ok(name) = StepName::parse(&text) {
                prop_assert_eq!(name.as_str(), text.as_str());
                prop_assert!(!text.contains('/') && !text.starts_with('.'));
            }
        }
    }
}
