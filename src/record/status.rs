//! `STEP.status`: how the word that ends a run is read, from any writer. Called by `step::snapshot`; how long a half-written
//! word is waited for is `decide`'s.

use crate::record::outcome::Reason;
use crate::record::sanitize::{cut, quote};

/// The most bytes of a status file that are read.
pub(crate) const LONGEST: usize = 4096;

/// The two words that end a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusWord {
    /// The work is done.
    Success,
    /// It is not, whatever the reason.
    Failed,
}

impl StatusWord {
    /// The word as written to `.status`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failed => "FAILED",
        }
    }

    /// Why the run ended, as far as the word alone tells.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Success => Reason::Success,
            Self::Failed => Reason::Failed,
        }
    }

    /// The whole content of the file.
    pub(crate) fn line(self) -> String {
        format!("{}\n", self.as_str())
    }
}

/// What the bytes of a status file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedStatus {
    /// Neither word yet: nothing, the beginning of one, or another one; quoted for a message.
    Unfinished(String),
    /// The run has ended.
    Complete(StatusWord),
    /// The run has failed, and the writer says how: `FAILED: text`.
    FailedWith(String),
}

impl ParsedStatus {
    /// Reads the first word, without case. NUL counts as blank: a torn in-place write leaves some.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
        let text = &bytes[bytes.iter().take_while(|byte| blank(byte)).count()..];
        let word = text.split(blank).next().unwrap_or_default();
        for complete in [StatusWord::Success, StatusWord::Failed] {
            if word.eq_ignore_ascii_case(complete.as_str().as_bytes()) {
                return Self::Complete(complete);
            }
        }
        let failed = StatusWord::Failed.as_str().len();
        if text.get(..failed).is_some_and(|word| word.eq_ignore_ascii_case(StatusWord::Failed.as_str().as_bytes()))
            && let Some(b':') = text.get(failed)
        {
            let line = text[failed + 1..].split(|byte| matches!(byte, b'\n' | b'\r' | 0)).next().unwrap_or_default();
            return match line.trim_ascii() {
                b"" => Self::Complete(StatusWord::Failed),
                said => Self::FailedWith(cut(said)),
            };
        }
        Self::Unfinished(quote(word))
    }

    /// The word that ended the run, where it has ended.
    pub(crate) fn word(&self) -> Option<StatusWord> {
        match self {
            Self::Complete(word) => Some(*word),
            Self::FailedWith(_) => Some(StatusWord::Failed),
            Self::Unfinished(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn foreign_writers_forms_are_all_read() {
        for text in ["SUCCESS", "SUCCESS\n", "success\r\n", "Success   \n\n", "\n SUCCESS", "SUCCESS exit 0\n"] {
            assert_eq!(ParsedStatus::parse(text.as_bytes()), ParsedStatus::Complete(StatusWord::Success), "{text:?}");
        }
        for text in ["FAILED", "failed\n", "Failed\r\n", "FAILED 3"] {
            assert_eq!(ParsedStatus::parse(text.as_bytes()), ParsedStatus::Complete(StatusWord::Failed), "{text:?}");
        }
    }

    #[test]
    fn what_follows_a_colon_says_how_it_failed() {
        for text in ["FAILED: no space left\n", "failed:no space left", "\n FAILED: no space left \r\nmore\n"] {
            assert_eq!(
                ParsedStatus::parse(text.as_bytes()),
                ParsedStatus::FailedWith("no space left".into()),
                "{text:?}"
            );
        }
        assert_eq!(ParsedStatus::parse(b"FAILED:\n"), ParsedStatus::Complete(StatusWord::Failed));
        assert_eq!(ParsedStatus::parse(b"FAILED: no space left").word(), Some(StatusWord::Failed));
        assert!(
            matches!(ParsedStatus::parse(b"SUCCESS: all is well"), ParsedStatus::Unfinished(_)),
            "a success is plain"
        );
    }

    #[test]
    fn every_proper_prefix_is_a_write_in_progress() {
        for whole in ["SUCCESS", "failed"] {
            for end in 0..whole.len() {
                let prefix = &whole[..end];
                assert!(matches!(ParsedStatus::parse(prefix.as_bytes()), ParsedStatus::Unfinished(_)), "{prefix:?}");
            }
        }
        assert!(matches!(ParsedStatus::parse(b"\0\0\0"), ParsedStatus::Unfinished(_)));
    }

    #[test]
    fn other_words_are_quoted() {
        assert_eq!(ParsedStatus::parse(b"DONE\n"), ParsedStatus::Unfinished("\"DONE\"".into()));
        assert!(matches!(ParsedStatus::parse(b"SUCCESSFUL"), ParsedStatus::Unfinished(_)));
        assert!(matches!(ParsedStatus::parse(b"0"), ParsedStatus::Unfinished(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let read = ParsedStatus::parse(&bytes);
            let first = String::from_utf8_lossy(&bytes).replace('\0', " ");
            let first = first.split_ascii_whitespace().next().unwrap_or("").to_ascii_uppercase();
            prop_assert_eq!(read.word() == Some(StatusWord::Success), first == "SUCCESS");
            prop_assert_eq!(read.word() == Some(StatusWord::Failed), first == "FAILED" || first.starts_with("FAILED:"));
        }
    }
}
