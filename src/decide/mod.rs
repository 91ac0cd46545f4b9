//! Pure judgement: what one look at a step, with what earlier looks left in memory, means at a moment.
//!
//! Nothing here reads a clock, a file or the environment, and nothing acts. **Time is an argument**, so that a stall of
//! a day is tested in microseconds, and a pending verdict names the moment until which time alone changes nothing:
//! that is what allows a loop to sleep instead of polling.

pub(crate) mod breaker;
mod claim;
pub(crate) mod history;
pub(crate) mod judge;
mod left_over;
pub(crate) mod marker;
pub(crate) mod observation;
pub(crate) mod policy;
pub(crate) mod recovery;
pub(crate) mod remark;
pub(crate) mod severity;

#[cfg(test)]
mod tests;
