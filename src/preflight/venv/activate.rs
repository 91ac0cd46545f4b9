//! Reads which folder an environment's activation scripts name. Called by `venv::check`.
//!
//! Reinstalling packages rewrites console scripts and leaves `bin/activate` as it was, so after a move the two can disagree:
//! the scripts run, and who sources `activate` gets another Python or none.

use crate::preflight::venv::shebang::{HEAD, first_line_ends_with_cr};
use crate::preflight::venv::{Problem, Venv, VenvProblem};
use crate::record::shell_word::first_shell_word;
use crate::sys::fs::metadata;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The scripts for POSIX shells, fish and csh. `Activate.ps1` and `activate.nu` find their folder at run time.
const SCRIPTS: [&str; 3] = ["activate", "activate.fish", "activate.csh"];
/// What precedes the folder on its line, and whether that shell reads quotes as POSIX shells do, backslashes included:
/// Python `Lib/venv/scripts`, virtualenv `activation/*`, uv `uv-virtualenv/src/activator`.
const ASSIGNMENTS: [(&[u8], bool); 5] = [
    (b"VIRTUAL_ENV=", true),
    (b"export VIRTUAL_ENV=", true),
    (b"set -gx VIRTUAL_ENV ", false),
    (b"setenv VIRTUAL_ENV ", false),
    (b"set _virtualenv_dir=", false),
];
/// How many bytes of a script are read; uv's are the longest, with 4 KiB.
const LONGEST_SCRIPT: usize = 64 << 10;

/// The problem with the activation scripts, if there is one; `is_moved` where other problems already tell of the move.
pub(super) fn inspect(venv: &Venv<'_>, is_moved: bool) -> Option<Problem> {
    let mut stale: Vec<&str> = Vec::new();
    let mut with_cr: Vec<&str> = Vec::new();
    let mut named = None;
    for name in SCRIPTS {
        // An environment without activation scripts is complete: nothing but a person's shell needs them.
        let Ok(text) = metadata::head(&venv.bin.join(name), LONGEST_SCRIPT.max(HEAD)) else { continue };
        if first_line_ends_with_cr(&text) {
            with_cr.push(name);
        }
        if let Some(folder) = virtual_env(&text)
            && folder != venv.folder
            && metadata::resolved(&folder).map_or(true, |real| real != venv.folder)
        {
            stale.push(name);
            named.get_or_insert(folder);
        }
    }
    let here = venv.folder.display();
    if let Some(old) = named {
        let (state, cause) = match metadata::is_there(&old) {
            true => ("another environment", format!("{here} was copied from {}; ", old.display())),
            false if is_moved => ("which is not there", String::new()),
            false => {
                ("which is not there", format!("the folder was renamed or moved from {} to {here}; ", old.display()))
            }
        };
        let verb = if stale.len() == 1 { "names" } else { "name" };
        return Some(Problem {
            symptom: format!("{} {verb} {}, {state}", stale.join(", "), old.display()),
            cause: format!("{cause}reinstalling packages does not rewrite activation scripts"),
            kind: VenvProblem::Activate,
        });
    }
    if with_cr.is_empty() {
        return None;
    }
    let verb = if with_cr.len() == 1 { "has" } else { "have" };
    Some(Problem {
        symptom: format!("{} {verb} CRLF line ends, which no shell here can source", with_cr.join(", ")),
        cause: "an editor, git's autocrlf or an archive changed the line ends".to_owned(),
        kind: VenvProblem::Activate,
    })
}

/// The absolute folder that a script assigns to `VIRTUAL_ENV`; `None` where it computes the folder at run time, as
/// relocatable environments do.
pub(crate) fn virtual_env(script: &[u8]) -> Option<PathBuf> {
    script.split(|&byte| byte == b'\n').find_map(|line| {
        let line = line.trim_ascii();
        let (value, posix) =
            ASSIGNMENTS.iter().find_map(|(prefix, posix)| Some((line.strip_prefix(*prefix)?, *posix)))?;
        // fish and csh escape by other rules; a wrong guess would report a sound environment.
        if !posix && value.contains(&b'\\') {
            return None;
        }
        let word = first_shell_word(value)?;
        word.starts_with(b"/").then(|| OsString::from_vec(word).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_folder_is_read_as_venv_virtualenv_and_uv_write_it() {
        for (script, expected) in [
            // CPython 3.11 and 3.13.
            ("    unset VIRTUAL_ENV\nVIRTUAL_ENV=\"/a b/.venv\"\nexport VIRTUAL_ENV\n", Some("/a b/.venv")),
            (
                "case \"$(uname)\" in\n    CYGWIN*)\n        VIRTUAL_ENV=$(cygpath '/x')\n        ;;\n    *)\n        \
                 export VIRTUAL_ENV='/it'\"'\"'s/.venv'\n",
                Some("/it's/.venv"),
            ),
            ("set -gx VIRTUAL_ENV '/a/.venv'\n", Some("/a/.venv")),
            ("set -gx VIRTUAL_ENV '/it\\'s two/.venv'\n", None),
            ("setenv VIRTUAL_ENV /a/.venv\r\n", Some("/a/.venv")),
            // virtualenv 21.
            ("    VIRTUAL_ENV=\"$CURRENT_ENV\"\n    unset CURRENT_ENV\nelse\n    VIRTUAL_ENV=/a/ve\n", Some("/a/ve")),
            ("set _virtualenv_dir='/a/ve'\nsetenv VIRTUAL_ENV \"$_virtualenv_dir:q\"\n", Some("/a/ve")),
            // uv 0.13, plain and relocatable.
            ("VIRTUAL_ENV='/a/.venv'\n    VIRTUAL_ENV=$(cygpath -u \"$VIRTUAL_ENV\")\n", Some("/a/.venv")),
            ("VIRTUAL_ENV=''\"$(dirname -- \"$(dirname -- \"$(realpath -- \"$SCRIPT_PATH\")\")\")\"''\n", None),
            ("set -gx VIRTUAL_ENV ''(dirname -- (dirname -- (realpath -- (status -f))))''\n", None),
            ("VIRTUAL_ENV='/unended\n", None),
            ("", None),
        ] {
            assert_eq!(virtual_env(script.as_bytes()), expected.map(PathBuf::from), "{script}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), value in "[\"'$()/\\\\ a\n]*") {
            let _any = virtual_env(&bytes);
            let _assigned = virtual_env(format!("VIRTUAL_ENV={value}").as_bytes());
        }
    }
}
