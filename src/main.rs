//! Start: everything else is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    dogwatch::main()
}
