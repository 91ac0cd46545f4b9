//! PID namespaces, which macOS does not have. Called by `ops::sandbox`.

use crate::sys::process::namespace::Origin;

/// Where this process comes from within a PID namespace: always `None`.
pub(crate) fn origin() -> Option<Origin> {
    None
}
