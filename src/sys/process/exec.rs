//! exec by hand, as execvp(3) does it, with everything that allocates done before the fork.
//!
//! Nothing is allocated between fork and exec, where only async-signal-safe calls are allowed (signal-safety(7)).
//!
//! One of the files with unsafe code: exec has no safe form that does not allocate.

use crate::sys::fs::metadata::head as read_prefix;
use nix::unistd::{AccessFlags, access};
use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The most bytes of a program's first line that the kernel reads (`BINPRM_BUF_SIZE`).
const LONGEST_FIRST_LINE: usize = 256;

/// Where execvp(3) looks when there is no PATH.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The strings of an exec and the arrays that point at them, made before the fork.
pub(crate) struct Prepared {
    /// Whether the candidates are places of PATH, as against the one that was named.
    searched: bool,
    candidates: Vec<CString>,
    arguments: Pointers,
    /// `sh FILE ARGUMENT…`, as execvp(3) has it for a file without an interpreter line; FILE is set when it is known.
    through_shell: Pointers,
    environment: Pointers,
}

/// A null-terminated array of C strings, as execve(2) takes it.
struct Pointers {
    array: Vec<*const libc::c_char>,
    /// What the array points at.
    _strings: Vec<CString>,
}

impl Pointers {
    fn to(strings: Vec<CString>) -> Self {
        // The strings' bytes are on the heap and stay where they are when the vector of them moves.
        let array = strings.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect();
        Self { array, _strings: strings }
    }
}

impl Prepared {
    /// Makes everything that allocates.
    ///
    /// # Errors
    /// A NUL in an argument or a variable.
    pub(crate) fn new(command: &[OsString], variables: &[(String, OsString)]) -> io::Result<Self> {
        let text = |bytes: Vec<u8>| CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        let name = command.first().map(OsString::as_os_str).unwrap_or_default();
        let candidates: Vec<CString> =
            places(name, search_path(variables).as_deref()).into_iter().map(text).collect::<io::Result<_>>()?;
        let arguments: Vec<CString> =
            command.iter().map(|argument| text(argument.as_bytes().to_vec())).collect::<io::Result<_>>()?;
        let mut through_shell = vec![text(b"sh".to_vec())?, text(Vec::new())?];
        through_shell.extend(arguments.iter().skip(1).cloned());
        // Of several values the last counts, as with env(1); getenv(3) would find the first.
        let set = variables.iter().map(|(name, value)| (name.into(), value.clone()));
        let environment: BTreeMap<OsString, OsString> = std::env::vars_os().chain(set).collect();
        let environment =
            environment.iter().map(|(name, value)| text([name.as_bytes(), b"=", value.as_bytes()].concat()));
        Ok(Self {
            searched: !name.as_bytes().contains(&b'/'),
            candidates,
            arguments: Pointers::to(arguments),
            through_shell: Pointers::to(through_shell),
            environment: Pointers::to(environment.collect::<io::Result<_>>()?),
        })
    }

    /// Tries every candidate as execvp(3) does; the errno that tells most where none works. Called in the child.
    pub(crate) fn exec(&mut self) -> i32 {
        let Self { searched, candidates, arguments, through_shell, environment } = self;
        let mut forbidden = false;
        for file in candidates {
            let mut errno = exec_once(file, arguments, environment);
            if errno == libc::ENOEXEC {
                if let Some(place) = through_shell.array.get_mut(1) {
                    *place = file.as_ptr();
                }
                errno = exec_once(c"/bin/sh", through_shell, environment);
            }
            match errno {
                // A folder of PATH that may not be searched answers so too, and no program was found there: shells go on
                // and say "not found", where execvp(3) would forbid.
                libc::EACCES => forbidden |= !*searched || access(file.as_c_str(), AccessFlags::F_OK).is_ok(),
                libc::ENOENT | libc::ENOTDIR => {}
                other => return other,
            }
        }
        if forbidden { libc::EACCES } else { libc::ENOENT }
    }
}

/// The PATH by which a program with these variables is looked for: its own, as env(1) has it.
fn search_path(variables: &[(String, OsString)]) -> Option<OsString> {
    let set = variables.iter().rfind(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    set.or_else(|| std::env::var_os("PATH"))
}

/// The files that execvp(3) would try for this name.
fn places(name: &OsStr, path: Option<&OsStr>) -> Vec<Vec<u8>> {
    if name.as_bytes().contains(&b'/') || name.is_empty() {
        return vec![name.as_bytes().to_vec()];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let folders = path.as_bytes().split(|&byte| byte == b':');
    // An empty element means the current folder.
    let folders = folders.map(|folder| if folder.is_empty() { b"." } else { folder });
    folders.map(|folder| [folder, b"/", name.as_bytes()].concat()).collect()
}

/// The interpreter that the first line of a program names, where the program is there and that interpreter is not:
/// execve(2) answers both with `ENOENT`.
pub(crate) fn missing_interpreter(name: &OsStr, variables: &[(String, OsString)]) -> Option<String> {
    places(name, search_path(variables).as_deref()).into_iter().find_map(|place| {
        let path = PathBuf::from(OsString::from_vec(place));
        let head = read_prefix(&path, LONGEST_FIRST_LINE).ok()?;
        let line = head.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
        // As the kernel splits it: at blanks and tabs alone, so that a carriage return is part of the name.
        let interpreter = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
        let is_missing = !Path::new(OsStr::from_bytes(interpreter)).exists();
        is_missing.then(|| String::from_utf8_lossy(interpreter).into_owned())
    })
}

fn exec_once(file: &std::ffi::CStr, arguments: &Pointers, environment: &Pointers) -> i32 {
    // SAFETY: both arrays hold pointers to NUL-terminated strings that outlive the call and end with a null pointer.
    // execve(2) is async-signal-safe, and returns only on failure.
    #[expect(unsafe_code, reason = "nix's execve allocates between fork and exec")]
    unsafe {
        libc::execve(file.as_ptr(), arguments.array.as_ptr(), environment.array.as_ptr());
    }
    nix::errno::Errno::last_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_where_execvp_looks() {
        let places = |name: &str, path: Option<&str>| -> Vec<String> {
            let found = crate::sys::process::exec::places(OsStr::new(name), path.map(OsStr::new));
            found.into_iter().map(|place| String::from_utf8(place).unwrap()).collect()
        };
        assert_eq!(places("ls", Some("/a::/b")), ["/a/ls", "./ls", "/b/ls"]);
        assert_eq!(places("./ls", Some("/a")), ["./ls"]);
        assert_eq!(places("", Some("/a")), [""]);
        assert_eq!(places("ls", None).len(), 3);
    }
}
