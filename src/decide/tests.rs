//! `evaluate` over a grid of every kind of observation and policy, and `RunTracker` over scripted looks.

mod clocks;
mod edges;
mod grid;
mod interleavings;
mod liveness;
mod looks;
