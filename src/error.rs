//! Why a call has no answer: one sentence for people, a kind for programs, and the cause where there is one.
//!
//! Every layer that can fail towards the user returns this type, and `ops` hands it on; `cli` prints the sentence.

use std::fmt;
use std::io;

/// Why a call has no answer.
///
/// Its text is one sentence that says what is wrong and what to do. [`std::error::Error::source`] gives the error of the
/// operating system behind it, where there was one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    sentence: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a program can decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The options contradict each other, or do not fit the run. Nothing was touched.
    InvalidOptions,
    /// The step's circuit breaker is open. Nothing was started.
    BreakerOpen,
    /// A run of the step is still alive. Nothing was started.
    AlreadyRunning,
    /// There is no such step, or none at all.
    NotStarted,
    /// dogwatch could not do its part: no permission, no such directory, a record of a newer version.
    Internal,
}

impl Error {
    fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into(), source: None }
    }

    /// An error of kind [`ErrorKind::InvalidOptions`].
    pub(crate) fn invalid_options(sentence: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidOptions, sentence)
    }

    /// An error of kind [`ErrorKind::BreakerOpen`].
    pub(crate) fn breaker_open(sentence: impl Into<String>) -> Self {
        Self::new(ErrorKind::BreakerOpen, sentence)
    }

    /// An error of kind [`ErrorKind::AlreadyRunning`].
    pub(crate) fn already_running(sentence: impl Into<String>) -> Self {
        Self::new(ErrorKind::AlreadyRunning, sentence)
    }

    /// An error of kind [`ErrorKind::NotStarted`].
    pub(crate) fn not_started(sentence: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotStarted, sentence)
    }

    /// An error of kind [`ErrorKind::Internal`].
    pub(crate) fn internal(sentence: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, sentence)
    }

    /// An internal error whose cause is the operating system's: `what` could not be done ("cannot read PATH").
    pub(crate) fn io(what: impl fmt::Display, error: io::Error) -> Self {
        let sentence = format!("{what}: {}", io_reason(&error));
        Self { source: Some(Box::new(error)), ..Self::internal(sentence) }
    }

    /// The same, with what to do.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        self.sentence += "; ";
        self.sentence += advice;
        self
    }

    /// What kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.sentence)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A word that an option takes, what it stands for, and its help.
pub(crate) type Word<T> = (&'static str, T, &'static str);

/// A word that is none of those that an option takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    word: String,
    known: Vec<&'static str>,
}

impl UnknownWord {
    /// Finds what a word stands for.
    pub(crate) fn find<T: Copy>(word: &str, words: &[Word<T>]) -> Result<T, Self> {
        let found = words.iter().find(|(known, ..)| *known == word);
        let unknown = || Self { word: word.to_owned(), known: words.iter().map(|(known, ..)| *known).collect() };
        found.map(|(_, value, _)| *value).ok_or_else(unknown)
    }
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, others) = self.known.split_last().unwrap_or((&"", &[]));
        write!(formatter, "{:?} is none of {} and {last}", self.word, others.join(", "))
    }
}

impl std::error::Error for UnknownWord {}

/// The operating system's words for an error, in lower case and without its number.
pub(crate) fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn an_error_of_the_system_is_worded_and_kept_as_the_cause() {
        let error = Error::io("cannot read /x", io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(error.to_string(), "cannot read /x: permission denied");
        assert_eq!(error.kind(), ErrorKind::Internal);
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        assert_eq!(cause.map(io::Error::kind), Some(io::ErrorKind::PermissionDenied));
        assert!(Error::already_running("it runs").source().is_none());
    }
}
