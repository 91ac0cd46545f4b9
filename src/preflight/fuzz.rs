//! What holds of `preflight.toml`, `pyvenv.cfg` and a script's first lines for any bytes: harnesses, shared by the fuzz
//! targets and the property tests.
//!
//! Built for these two alone.

use crate::preflight::config::parse;
use crate::preflight::{Place, venv};
use std::path::Path;

/// `preflight.toml`: checks, or faults that each say where.
pub(crate) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(faults) = parse(&text, Path::new("/"), &Place::default()) {
        assert!(!faults.is_empty());
        let lines = text.matches('\n').count() + 1;
        for fault in faults {
            assert!((1..=lines).contains(&fault.line) && fault.column >= 1 && !fault.sentence.is_empty(), "{fault:?}");
        }
    }
}

/// Who runs a script, and what an environment was made from.
pub(crate) fn shebang(bytes: &[u8]) {
    venv::fuzz(bytes);
}
