//! Machine output: one JSON object on one line.

use crate::record::sanitize::sanitize_json;
use serde::Serialize;

/// Why a command has no result.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct ErrorObject<'call> {
    pub(in crate::cli) schema: u64,
    /// One sentence: what is wrong and what to do.
    pub(in crate::cli) error: &'call str,
    pub(in crate::cli) exit_code: u8,
}

/// An object as one line that a terminal may be sent.
///
/// # Errors
/// serde's own, where a value has no JSON form.
pub(in crate::cli) fn line(object: &impl Serialize) -> serde_json::Result<String> {
    Ok(sanitize_json(&serde_json::to_string(object)?))
}
