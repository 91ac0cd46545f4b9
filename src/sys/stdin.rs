//! Standard input, read whole.

use std::io::{self, Read};

/// At most `limit` bytes of standard input.
///
/// # Errors
/// As read(2).
pub(crate) fn read(limit: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    io::stdin().lock().take(limit as u64).read_to_end(&mut content)?;
    Ok(content)
}
