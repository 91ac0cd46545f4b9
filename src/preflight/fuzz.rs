//! What holds of `preflight.toml`, `pyvenv.cfg` and scripts for any bytes. Called by the fuzz targets and the property
//! tests, and built for them alone.

use crate::preflight::config::parse;
use crate::preflight::{MonitorSettings, venv};
use std::path::Path;

/// `preflight.toml`: checks, or faults that each say where.
pub(crate) fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Err(faults) = parse(&text, Path::new("/"), &MonitorSettings::default()) {
        assert!(!faults.is_empty());
        let lines = text.matches('\n').count() + 1;
        for fault in faults {
            assert!((1..=lines).contains(&fault.line) && fault.column >= 1 && !fault.message.is_empty(), "{fault:?}");
        }
    }
}

/// Scripts' first lines, activation scripts, `pyvenv.cfg`.
pub(crate) fn shebang(bytes: &[u8]) {
    venv::fuzz(bytes);
}
