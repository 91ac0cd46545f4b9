//! Fuzzes a whole monitor directory under a running wait; refuses to add to the harness that the tests share with it.
#![no_main]

#[path = "../../support/scribble.rs"]
mod scribble;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scribble::scribble(bytes));
