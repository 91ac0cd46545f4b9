//! `STEP.pid`: a claim about a process, read without believing it.
//!
//! A number that names no single process is invalid: zero, negative numbers, and numbers above the kernel's maximum.
//! Pid 1 is read, since a container's first process may be a wrapper, but it is never signalled.

use crate::record::sanitize::quote;
use crate::record::time::WallTime;

/// Which run a `.pid` file names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PidFileId {
    /// The pid in it.
    pub(crate) pid: i32,
    /// When it was written: its modification time.
    pub(crate) written: WallTime,
}

/// The most bytes of a pid file that are read.
pub(crate) const LONGEST: usize = 64;

/// What the bytes of a pid file say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ParsedPid {
    /// Nothing yet: the shell has made the file and not written it.
    Unfinished,
    /// A process id.
    Pid(i32),
    /// Something else; quoted for a message.
    Bad(String),
}

impl ParsedPid {
    /// Reads one decimal number with blanks around it.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let number = bytes.trim_ascii();
        if number.is_empty() {
            return Self::Unfinished;
        }
        // 64 digits read of 400 are still no number that fits: the bound of the read needs no case of its own.
        let value = if number.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(number).ok().and_then(|text| text.parse::<i32>().ok())
        } else {
            None
        };
        match value {
            Some(pid) if pid > 0 => Self::Pid(pid),
            _ => Self::Bad(quote(number)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_with_blanks_around_it_is_a_pid() {
        for text in ["4242\n", "4242", " 4242\r\n", "0004242\n"] {
            assert_eq!(ParsedPid::parse(text.as_bytes()), ParsedPid::Pid(4242), "{text:?}");
        }
        assert_eq!(ParsedPid::parse(b"1\n"), ParsedPid::Pid(1));
    }

    #[test]
    fn numbers_that_name_no_single_process_and_words_are_bad() {
        for text in ["0", "-1", "+5", "12 13", "pid", "2147483648", "1.5", &"9".repeat(400)] {
            assert!(matches!(ParsedPid::parse(text.as_bytes()), ParsedPid::Bad(_)), "{text:?}");
        }
        assert_eq!(ParsedPid::parse(b" \n"), ParsedPid::Unfinished);
    }

    proptest! {
        #[test]
        fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let ParsedPid::Pid(pid) = ParsedPid::parse(&bytes) {
                prop_assert!(pid > 0);
            }
        }
    }
}
