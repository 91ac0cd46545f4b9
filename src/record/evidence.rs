//! Why a run hangs: its processes as they were before the first signal, each with what it waited for.
//!
//! Its size is bounded whatever the size of the tree and the length of command lines, because the record that carries
//! it is read with a bound. Evidence in an unknown form is left out; the rest of the record stays readable.

use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// The most processes that are told of.
pub(crate) const MOST: usize = 256;
/// The most characters of a command line.
const LONGEST: usize = 200;
/// The most bytes of a command line as JSON: with [`MOST`] processes all of it stays below 128 KiB.
const HEAVIEST: usize = 360;

/// One process of a hung or overdue run. As JSON it is one object with these keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TreeProcess {
    /// Its number.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Its command line in one line of 200 characters at most; its name in brackets where it has none.
    pub command: String,
    /// What it was doing.
    pub state: ProcessState,
    /// The processor time that it has used, its own and the kernel's for it, in milliseconds.
    pub cpu_ms: u64,
    /// What it waited for; null where it did not wait, or the platform does not tell.
    pub blocked_on: Option<BlockedOn>,
}

impl TreeProcess {
    /// A process of which only the outside is known yet.
    pub(crate) fn new(pid: i32, ppid: i32, command: String, state: ProcessState, cpu_ms: u64) -> Self {
        Self { pid, ppid, command, state, cpu_ms, blocked_on: None }
    }
}

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs, or is ready to; of a program with threads, one of them while the first only waits for the others.
    Running,
    /// It waits, and a signal wakes it.
    Sleeping,
    /// It waits in the kernel, as a rule for a disk or a file server, and no signal wakes it.
    Disk,
    /// A signal stopped it; it goes on when it gets CONT.
    Stopped,
    /// A debugger holds it.
    Traced,
    /// It has ended, and its parent has not asked how.
    Zombie,
    /// A thread of the kernel without work, or on macOS a process that is being made.
    Idle,
    /// Anything else.
    #[serde(other)]
    Unknown,
}

/// What a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockedOn {
    /// Input: from descriptor 0, or from a terminal by whatever descriptor.
    Stdin,
    /// The other end of a pipe, FIFO or local (Unix) socket.
    Pipe,
    /// A lock that another process or thread holds: on a file, in memory, a semaphore.
    Lock,
    /// A peer: data, a connection, or room to send.
    Network,
    /// The end of a child.
    Child,
    /// Time.
    Sleep,
    /// A disk or a file server.
    Disk,
}

impl fmt::Display for ProcessState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

impl fmt::Display for BlockedOn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(formatter)
    }
}

/// A command line as one bounded line, from arguments with a NUL after each; `None` if there are none.
pub(crate) fn command_line(arguments: &[u8]) -> Option<String> {
    // No character has more than four bytes: nothing beyond can be part of what is shown. Blanks may, and are dropped.
    let text = String::from_utf8_lossy(&arguments[..arguments.len().min(LONGEST * 16)]);
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    (!words.is_empty()).then(|| bounded(&words.join(" ")))
}

/// A process's name in brackets, as the kernel's own tools show one without a command line.
pub(crate) fn bracketed(name: &[u8]) -> String {
    format!("[{}]", command_line(name).unwrap_or_default())
}

fn bounded(line: &str) -> String {
    const CUT: &str = "…";
    let mut heavy = 0;
    let fits = |(index, character): &(usize, char)| {
        heavy += match character {
            // Escaped in JSON.
            '"' | '\\' => 2,
            _ => character.len_utf8(),
        };
        *index < LONGEST && heavy <= HEAVIEST
    };
    let kept: String = line.chars().enumerate().take_while(fits).map(|(_, character)| character).collect();
    if kept.len() == line.len() {
        return kept;
    }
    let shorter = kept.char_indices().next_back().map_or(0, |(at, _)| at);
    // Three bytes for the mark, which may take the place of one: the bound above has room for them.
    format!("{}{CUT}", &kept[..shorter])
}

/// Reads evidence from untrusted JSON; an unknown form is no evidence.
pub(super) fn tolerant<'de, D: Deserializer<'de>>(source: D) -> Result<Option<Vec<TreeProcess>>, D::Error> {
    let value = serde_json::Value::deserialize(source)?;
    let read: Option<Vec<TreeProcess>> = serde_json::from_value(value).ok().flatten();
    Ok(read.map(|mut processes| {
        processes.truncate(MOST);
        processes
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(command: String) -> TreeProcess {
        let mut process = TreeProcess::new(i32::MAX, i32::MAX, command, ProcessState::Sleeping, u64::MAX);
        process.blocked_on = Some(BlockedOn::Network);
        process
    }

    #[test]
    fn the_keys_and_words_are_those_of_the_contract() {
        let mut process = TreeProcess::new(7, 1, "sh -c x".into(), ProcessState::Disk, 20);
        let text = r#"{"pid":7,"ppid":1,"command":"sh -c x","state":"disk","cpu_ms":20,"blocked_on":null}"#;
        assert_eq!(serde_json::to_string(&process).unwrap(), text);
        process.blocked_on = Some(BlockedOn::Stdin);
        assert_eq!(serde_json::from_str::<TreeProcess>(&text.replace("null", "\"stdin\"")).unwrap(), process);
        for word in ["stdin", "pipe", "lock", "network", "child", "sleep", "disk"] {
            let read: BlockedOn = serde_json::from_value(word.into()).unwrap();
            assert_eq!(read.to_string(), word);
        }
        for word in ["running", "sleeping", "disk", "stopped", "traced", "zombie", "idle", "unknown"] {
            let read: ProcessState = serde_json::from_value(word.into()).unwrap();
            assert_eq!(read.to_string(), word);
        }
        assert_eq!(serde_json::from_str::<ProcessState>("\"dreaming\"").unwrap(), ProcessState::Unknown);
    }

    #[test]
    fn a_command_line_is_one_line_without_empty_places() {
        let line = command_line(b"sh\0-c\0echo a\n\techo b\x1b[2J\0\0").unwrap();
        assert_eq!(line, "sh -c echo a echo b [2J");
        assert_eq!(command_line(b"\0 \0"), None);
        assert_eq!(command_line(b""), None);
        assert_eq!(bracketed(b"a (b)"), "[a (b)]");
    }

    #[test]
    fn a_long_command_line_is_cut_and_says_so() {
        let line = command_line(&[b'x'; 5000]).unwrap();
        assert_eq!(line, format!("{}…", "x".repeat(LONGEST - 1)));
        assert_eq!(command_line(&[b'x'; LONGEST]).unwrap(), "x".repeat(LONGEST));
    }

    proptest! {
        #[test]
        fn all_of_it_stays_small_whatever_the_command_lines(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..5000),
                "[\u{10ffff}\"\\\\é ]{0,900}".prop_map(String::into_bytes),
            ],
        ) {
            let line = command_line(&bytes).unwrap_or_default();
            prop_assert!(line.chars().count() <= LONGEST && !line.contains(char::is_control));
            let whole = serde_json::to_vec(&vec![of(line); MOST]).unwrap();
            prop_assert!(whole.len() <= 128 << 10, "{}", whole.len());
        }
    }
}
