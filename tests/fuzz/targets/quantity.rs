//! Fuzzes the harness `quantity` of the crate; refuses to add to it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dogwatch::fuzzing::harness("quantity", bytes));
