//! Every other platform: refused when compiling, so that nobody gets a program that only seems to watch.

compile_error!("dogwatch runs on Linux and macOS");
