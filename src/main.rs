//! Start: everything else is the library's.
//!
//! On Linux with glibc it is called by the C library, not by std. std's own start reads a list of this process's memory to
//! learn where its stack ends, and makes a second one for the signal handlers that tell of an overflow: a tenth of the
//! time of a short command. What this program needs of it, the library does. With musl std learns the arguments in no
//! other way; what its start costs on macOS nobody has measured.
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(test))))]
fn main() {
    dogwatch::main()
}

// SAFETY: with `no_main` there is no other function of the name; `main` takes no arguments or two (C11, 5.1.2.2.1). A panic
// that came this far would abort.
#[cfg(all(target_os = "linux", target_env = "gnu", not(test)))]
#[expect(unsafe_code, reason = "the name is the C library's")]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    dogwatch::main()
}
