//! What the files mean: names, records and their codecs.
//!
//! Pure: nothing here opens a file, reads a clock or looks at the environment. Bytes come in, values go out, and no
//! input makes a decoder panic (I11). How a value is judged is `decide`'s business, how it reaches the disk is `os`'s.

pub(crate) mod breaker;
pub(crate) mod evidence;
pub(crate) mod file;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod layout;
pub(crate) mod lines;
pub(crate) mod meta;
pub(crate) mod outcome;
pub(crate) mod pid;
pub(crate) mod quantity;
pub(crate) mod result;
pub(crate) mod status;
pub(crate) mod step;
pub(crate) mod text;
pub(crate) mod time;

/// The schema that this program writes, and the highest that it reads, in every JSON record.
pub(crate) const SCHEMA: u64 = 1;
