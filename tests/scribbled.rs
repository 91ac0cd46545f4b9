//! Directories written at random under a running `wait`: the harness of the fuzz target `directory`, in every test run.
//!
//! Nothing may be signalled: the pids in these files are random.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn a_wait_over_a_directory_written_at_random_ends_in_time_and_invents_no_success() {
    // No file of failures: the seed is printed, and the input itself.
    let config = Config { failure_persistence: None, ..Config::with_cases(60) };
    let bytes = proptest::collection::vec(any::<u8>(), 0..400);
    TestRunner::new(config)
        .run(&bytes, |bytes| {
            crate::scribble::scribble(&bytes);
            Ok(())
        })
        .unwrap();
}
