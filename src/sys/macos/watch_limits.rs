//! What the kernel has left for directory events: kqueue has no supply but the process's own descriptors.

use crate::sys::fs::probe::Supplies;

/// The kernel's supplies for directory events: nothing, since kqueue has none that could run out for a user.
pub(crate) fn supplies() -> Option<Supplies> {
    None
}
