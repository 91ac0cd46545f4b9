//! Parses `pyvenv.cfg`. Called by `venv`; pure.
//!
//! Reads it as Python does (`Lib/site.py`): one `key = value` a line, keys in any case, other lines skipped.

use std::fmt;
use std::path::PathBuf;

/// The file's name.
pub(crate) const NAME: &str = "pyvenv.cfg";

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cfg {
    /// The folder of the Python that it was made from.
    pub(crate) home: Option<PathBuf>,
    /// That Python's version: `version` of venv, `version_info` of virtualenv and uv.
    pub(crate) version: Option<Version>,
    /// Whether uv made it.
    pub(crate) by_uv: bool,
    /// Whether it sees the system's packages.
    pub(crate) system_packages: bool,
}

/// A Python's version. Two with the same first two numbers share packages; the third changes with every update of the
/// system, and the environment stays valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    text: String,
}

impl Version {
    /// Reads `3.11.7`, `3.11.7.final.0`, `3.13.0rc1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut numbers = text.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?;
        let digits = minor.find(|one: char| !one.is_ascii_digit()).unwrap_or(minor.len());
        let minor = minor[..digits].parse().ok()?;
        let text = text.split('.').take(3).collect::<Vec<_>>().join(".");
        Some(Self { major, minor, text })
    }

    /// Whether packages of the one are found by the other.
    pub(crate) fn shares_packages_with(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Reads the file.
pub(crate) fn parse(text: &str) -> Cfg {
    let mut cfg = Cfg::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "home" if !value.is_empty() => cfg.home = Some(value.into()),
            "version" | "version_info" => cfg.version = Version::parse(value).or(cfg.version),
            "uv" => cfg.by_uv = true,
            "include-system-site-packages" => cfg.system_packages = value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }
    cfg
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_venv_virtualenv_and_uv_write_is_read() {
        for (text, home, version, by_uv) in [
            ("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n", "/usr/bin", "3.11.2", false),
            ("home = /a b\nimplementation = CPython\nuv = 0.13.9\nversion_info = 3.11.7\n", "/a b", "3.11.7", true),
            ("HOME=/usr/bin\r\nversion_info = 3.12.1.final.0\r\nversion = 3.12.1\r\n", "/usr/bin", "3.12.1", false),
            ("no\n= x\nhome = /x\nversion = ?\nversion_info = 3.14.0rc1", "/x", "3.14.0rc1", false),
        ] {
            let cfg = parse(text);
            assert_eq!(cfg.home, Some(home.into()));
            assert_eq!(cfg.version.unwrap().to_string(), version);
            assert_eq!(cfg.by_uv, by_uv);
        }
        assert_eq!(parse(""), Cfg::default());
        assert!(parse("include-system-site-packages = true\n").system_packages);
        assert!(!parse("include-system-site-packages = false\n").system_packages);
    }

    #[test]
    fn the_first_two_numbers_decide() {
        let version = |text: &str| Version::parse(text).unwrap();
        assert!(version("3.11.2").shares_packages_with(&version("3.11.9")));
        assert!(version("3.14rc1").shares_packages_with(&version("3.14.0")));
        for other in ["3.1.2", "3.12.2", "4.11.2"] {
            assert!(!version("3.11.2").shares_packages_with(&version(other)));
        }
        for text in ["", "3", "x.1", "3.x", "3..1", "99999999999.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", lines in "(home|version|uv| |=|[0-9.é]|\n)*") {
            for text in [text, lines] {
                let _cfg = parse(&text);
                let _version = Version::parse(&text);
            }
        }
    }
}
