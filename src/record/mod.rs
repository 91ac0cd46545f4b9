//! What the files mean: names, records and their codecs.
//!
//! Pure: nothing here opens a file, reads a clock or looks at the environment. Bytes come in, values go out, and no
//! input makes a decoder panic (I11). How a value is judged is `decide`'s business, how it reaches the disk is `sys`'s.

pub(crate) mod breaker;
pub(crate) mod evidence;
pub(crate) mod file_names;
pub(crate) mod file_state;
pub(crate) mod history;
pub(crate) mod line_splitter;
pub(crate) mod meta;
pub(crate) mod outcome;
pub(crate) mod pid;
pub(crate) mod result;
pub(crate) mod sanitize;
pub(crate) mod shell_word;
pub(crate) mod status;
pub(crate) mod step_name;
pub(crate) mod time;
pub(crate) mod units;

/// The schema that this program writes, and the highest that it reads, in every JSON record.
pub(crate) const SCHEMA: u64 = 1;

/// A record as one line of JSON, with its line end.
pub(crate) fn json_line(record: &impl serde::Serialize) -> Vec<u8> {
    // A map with text keys and plain values cannot fail to serialise.
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The schema that a record has: the one that this program writes, where none is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Schema(pub(crate) u64);

impl Default for Schema {
    fn default() -> Self {
        Self(SCHEMA)
    }
}
