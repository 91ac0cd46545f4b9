//! Valid files, and one file for every error, each with its line, column and message.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Vec<Check>, Vec<ConfigError>> {
    parse(text, Path::new("/project"), &MonitorSettings::default())
}

const EVERY_KIND: &str = r#"
[[check]]
name = "tests"
kind = "command"
command = "make -n"
timeout = "1m 30s"
fix = "make deps"
[[check]]
name = "numpy"
kind = "python-import"
module = "numpy.linalg"
python = ".venv/bin/python"
[[check]]
name = "venv"
kind = "venv"
venv = ".venv"
[[check]]
name = "web"
kind = "http"
url = "http://localhost:8080/health"
timeout = 2
[[check]]
name = "db"
kind = "tcp"
address = "[::1]:5432"
[[check]]
name = "key"
kind = "env"
variable = "API_KEY"
matches = "^sk-"
[[check]]
name = "lock"
kind = "file"
file = "uv.lock"
[[check]]
name = "room"
kind = "disk"
path = "."
min_free = "5GB"
[[check]]
name = "monitor"
kind = "monitor"
"#;

#[test]
fn every_kind_is_read_in_the_files_order() {
    let checks = read(EVERY_KIND).unwrap();
    let kinds: Vec<&str> = checks.iter().map(|check| check.kind.describe().0).collect();
    assert_eq!(kinds, KINDS.map(|(word, _)| word));
    assert_eq!((checks[0].timeout, checks[0].fix.as_deref()), (Duration::from_secs(90), Some("make deps")));
    assert_eq!((checks[3].timeout, checks[1].timeout), (Duration::from_secs(2), DEFAULT_TIMEOUT));
    assert!(matches!(checks[7].kind, CheckKind::Disk { min_free: 5_000_000_000, .. }));
}

#[test]
fn every_error_has_its_place_and_its_message() {
    let head = "[[check]]\nname = \"a\"\n";
    for (text, line, column, words) in [
        (
            format!("{head}kind = \"comand\"\ncommand = \"x\""),
            3,
            8,
            "there is no kind \"comand\"; did you mean \"command\"?",
        ),
        (format!("{head}kind = \"ssh\""), 3, 8, "the kinds are command, python-import"),
        (format!("{head}kind = \"tcp\"\nadress = \"h:1\""), 1, 1, "this check has no \"address\""),
        (
            format!("{head}kind = \"tcp\"\naddress = \"h:1\"\ntimout = \"1s\""),
            5,
            1,
            "no key \"timout\"; did you mean \"timeout\"?",
        ),
        (
            format!("{head}kind = \"tcp\"\naddress = \"h:1\"\n  url = \"x\""),
            5,
            3,
            "it takes name, kind, timeout, fix, address",
        ),
        (format!("{head}kind = \"tcp\"\naddress = \"h\""), 4, 11, "\"h\" is not an address"),
        (format!("{head}kind = \"tcp\"\naddress = 80"), 4, 11, "\"address\" is a number; write text in quotes"),
        (format!("{head}kind = \"http\"\nurl = \"https://h\""), 4, 7, "needs TLS"),
        (format!("{head}kind = \"disk\"\npath = \".\"\nmin_free = \"5 parsecs\""), 5, 12, "\"5 parsecs\" is no size"),
        (format!("{head}kind = \"env\"\nvariable = \"X\"\nmatches = \"(\""), 5, 11, "is not a regular expression"),
        (format!("{head}kind = \"python-import\"\nmodule = \"a; rm -rf\""), 4, 10, "is not a module"),
        (format!("{head}kind = \"monitor\"\ntimeout = \"soon\""), 4, 11, "is no duration"),
        (format!("{head}kind = \"monitor\"\ntimeout = [1]"), 4, 11, "\"timeout\" is a list"),
        (format!("{head}kind = \"monitor\"\ntimeout = \"0s\""), 4, 11, "leaves no time"),
        (format!("{head}kind = \"monitor\"\n\n{head}kind = \"monitor\""), 6, 8, "line 2 names a check \"a\" already"),
        (
            "check = [{ name = \"a\", kind = \"monitor\" }, { name = \"a\", kind = \"monitor\" }]".to_owned(),
            1,
            53,
            "line 1 names a check \"a\" already",
        ),
        ("[[check]]\nkind = \"monitor\"".to_owned(), 1, 1, "this check has no \"name\""),
        ("[[check]]\nname = \"\"\nkind = \"monitor\"".to_owned(), 2, 8, "the name is empty"),
        (head.to_owned(), 1, 1, "this check has no \"kind\""),
        ("[check]\nname = \"a\"".to_owned(), 1, 2, "two brackets"),
        ("[[checks]]\nname = \"a\"".to_owned(), 1, 3, "did you mean [[check]]?"),
        ("check = [1]".to_owned(), 1, 10, "a check is a table"),
        ("grün = 1\n[[check]".to_owned(), 2, 9, "this is not TOML"),
        (String::new(), 1, 1, "this file holds no check"),
        ("\n# nothing but a comment\n".to_owned(), 1, 1, "this file holds no check"),
        ("check = []".to_owned(), 1, 1, "this file holds no check"),
        (format!("{head}kind = \"file\"\nfile = \"ä\\u0000\""), 4, 8, "NUL"),
    ] {
        let errors = read(&text).unwrap_err();
        let found = errors.iter().any(|error| {
            (error.line, error.column) == (line, column)
                && error.message.contains(words)
                && !error.message.contains('\n')
        });
        assert!(found, "{text}\n{line}:{column} {words}\n{errors:?}");
    }
}

#[test]
fn all_errors_of_a_file_are_reported_in_its_order() {
    let errors = read("[[check]]\nname = 1\nkind = \"tpc\"\n[[check]]\nname = \"b\"\nkind = \"disk\"\npath = \".\"")
        .unwrap_err();
    let places: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(places, [2, 3, 4], "{errors:?}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*", cut in 0usize..600, noise in "[\"=\\[\\]\n\u{0}ä]{0,3}") {
        let _any = read(&text);
        let cut = cut.min(EVERY_KIND.len());
        let _broken = read(&format!("{}{noise}{}", &EVERY_KIND[..cut], &EVERY_KIND[cut..]));
    }
}
