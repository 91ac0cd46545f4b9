//! Pure judgement: what one look at a step, with what earlier looks left in memory, means at a moment.
//!
//! Nothing here reads a clock, a file or the environment, and nothing acts. **Time is an argument**, so that a stall of
//! a day is tested in microseconds, and a pending verdict names the moment until which time alone changes nothing:
//! that is what allows a loop to sleep instead of polling.

pub(crate) mod breaker;
mod left_over;
pub(crate) mod liveness;
pub(crate) mod log_match;
pub(crate) mod policy;
pub(crate) mod recovery;
pub(crate) mod snapshot;
pub(crate) mod tracker;
pub(crate) mod verdict;
pub(crate) mod warning;

#[cfg(test)]
mod tests;
