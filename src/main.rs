//! Start: everything else is the library's.
//!
//! On Linux with glibc it is called by the C library, not by std. std's own start reads a list of this process's memory to
//! learn where its stack ends, and makes a second one for the signal handlers that tell of an overflow: a tenth of the
//! time of a short command. What this program needs of it, the library does. Elsewhere std has no other way to the
//! arguments.
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn main() {
    dogwatch::main()
}

// SAFETY: with `no_main` there is no other function of the name; `main` takes no arguments or two (C11, 5.1.2.2.1), and
// what it calls never returns, nor panics.
#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
#[expect(unsafe_code, reason = "the name is the C library's")]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    dogwatch::main()
}
