//! Deadlines by the thousand: the hierarchical timing wheel.
//!
//! Pure: `now` is passed in, in ticks of one millisecond since an origin that the caller owns. It refuses to be early.
//! Whoever turns moments into ticks rounds a deadline up and the present down; then a timer is handed out at most one
//! tick late and never before its time.

mod wheel;

#[cfg(test)]
mod tests;

pub(crate) use wheel::{Timer, Wheel};
