//! Parses a script's first two lines into its interpreter. Called by `venv::scripts` and `venv::activate`; pure.
//!
//! Only the forms that installers write are understood (distlib `scripts.py`, `_build_shebang`; uv
//! `uv-install-wheel/src/wheel.rs`, `format_shebang`); any other shell script is run by its shell.

use crate::record::shell_word::first_shell_word;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// How many bytes of a script are read: two lines, the second with a path of the longest length (`PATH_MAX`).
pub(crate) const HEAD: usize = 4096 + 256;

/// What runs a script.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shebang {
    /// No first line says so: a binary, or a file that a shell reads.
    None,
    /// The program that `env` finds in PATH when the script is started.
    Search,
    /// The program with this path.
    Program(PathBuf),
    /// The program with this name in the script's own folder.
    Beside(PathBuf),
}

/// Whether the first line ends with CRLF: no kernel trims the carriage return (Linux: `fs/binfmt_script.c`), so it becomes
/// part of the interpreter's name or of its last argument.
pub(crate) fn first_line_ends_with_cr(head: &[u8]) -> bool {
    head.split(|&byte| byte == b'\n').next().is_some_and(|line| line.len() < head.len() && line.ends_with(b"\r"))
}

/// Parses the first bytes of a script. A carriage return at the line's end is left out of the interpreter's name.
pub(crate) fn parse(head: &[u8]) -> Shebang {
    let Some(rest) = head.strip_prefix(b"#!") else { return Shebang::None };
    let mut lines = rest.split(|&byte| byte == b'\n');
    // What follows the first blank is an argument (execve(2), Interpreter scripts).
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let first = lines.next().unwrap_or_default();
    let program = first.split(blank).find(|word| !word.is_empty()).unwrap_or_default();
    if program.is_empty() {
        return Shebang::None;
    }
    match program.rsplit(|&byte| byte == b'/').next() {
        Some(b"env") => Shebang::Search,
        Some(b"sh" | b"bash" | b"dash") => {
            let second = lines.next().unwrap_or_default();
            second.strip_prefix(b"'''exec' ").and_then(through_shell).unwrap_or_else(|| Shebang::Program(path(program)))
        }
        _ => Shebang::Program(path(program)),
    }
}

/// What `'''exec' WORD "$0" "$@"` starts: to a shell it is `exec`, to Python the beginning of a string.
fn through_shell(line: &[u8]) -> Option<Shebang> {
    // A relocatable environment's word begins with a substitution that yields the script's folder.
    if line.starts_with(b"\"$(") {
        const END: &[u8] = b")\"/";
        let end = line.windows(END.len()).rposition(|three| three == END)?;
        return first_shell_word(&line[end + END.len()..]).map(|name| Shebang::Beside(path(&name)));
    }
    first_shell_word(line).map(|program| Shebang::Program(path(&program)))
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_that_installers_write_is_read() {
        let program = |path: &str| Shebang::Program(path.into());
        for (head, expected) in [
            ("#!/v/bin/python\nimport sys\n", program("/v/bin/python")),
            ("#!/v/bin/python3.11 -sE\r\n", program("/v/bin/python3.11")),
            ("#! /v/bin/python", program("/v/bin/python")),
            ("#!/usr/bin/env python3\n", Shebang::Search),
            ("#!/usr/bin/env -S python3 -u\n", Shebang::Search),
            // pip: a path with a blank, and one that is too long for the kernel.
            ("#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n", program("/a b/bin/python")),
            ("#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n' '''\n", program("/long/bin/python")),
            // uv.
            ("#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" \"$@\"\n' '''\n", program("/a b/bin/python")),
            ("#!/bin/sh\n'''exec' '/it'\"'\"'s/bin/python' \"$0\"\n", program("/it's/bin/python")),
            (
                "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n",
                Shebang::Beside("python".into()),
            ),
            (
                "#!/bin/sh\n'''exec' \"$(CDPATH= cd -- \"$(dirname -- \"$0\")\" && echo \"$PWD\")\"/'python' \"$0\" \"$@\"\n",
                Shebang::Beside("python".into()),
            ),
            ("#!/bin/sh\necho hello\n", program("/bin/sh")),
            ("#!/bin/bash\n", program("/bin/bash")),
            ("#!/bin/sh\n'''exec' \"/unended \n", program("/bin/sh")),
            ("#!/bin/sh\n'''exec' \"$(dirname", program("/bin/sh")),
            ("#!", Shebang::None),
            ("#!\n/v/bin/python", Shebang::None),
            ("\u{7f}ELF", Shebang::None),
            ("", Shebang::None),
            // Only the first line counts.
            ("# comment\n#!/v/bin/python\n", Shebang::None),
        ] {
            assert_eq!(parse(head.as_bytes()), expected, "{head:?}");
        }
    }

    #[test]
    fn a_carriage_return_before_the_first_line_end_is_found() {
        for (head, expected) in [
            ("#!/v/bin/python\r\n", true),
            ("#!/v/bin/python -sE\r\nx\n", true),
            ("\r\n", true),
            ("#!/v/bin/python\nx\r\n", false),
            ("#!/v/bin/python\r", false),
            ("", false),
        ] {
            assert_eq!(first_line_ends_with_cr(head.as_bytes()), expected, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), line in "[\"'$()/\\\\ a\n]*") {
            let _any = parse(&bytes);
            let _line = parse(format!("#!/bin/sh\n'''exec' {line}").as_bytes());
        }
    }
}
