//! The file that `preflight --init` writes: what this project shows, and the rest as comments.
//!
//! Pure: what was found comes in, text goes out. Refuses to write a service's whole URL, which may hold a password.

use crate::preflight::network::Address;
use std::path::Path;

/// What a project shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Whether it has `.venv`.
    pub(crate) venv: bool,
    /// What makes that anew without loss, where that can be said.
    pub(crate) venv_fix: Option<String>,
    /// Files that work cannot begin without.
    pub(crate) files: Vec<String>,
    /// Variables that name a service, and where it listens.
    pub(crate) services: Vec<(String, Address)>,
}

/// Where a service listens when its URL does not say.
const PORTS: [(&str, u16); 13] = [
    ("postgres", 5432),
    ("postgresql", 5432),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("mssql", 1433),
    ("redis", 6379),
    ("valkey", 6379),
    ("mongodb", 27017),
    ("amqp", 5672),
    ("nats", 4222),
    ("kafka", 9092),
    ("memcached", 11211),
    ("ldap", 389),
];

/// Which of these variables name a service, in order of their names.
pub(crate) fn services(variables: &[(String, String)]) -> Vec<(String, Address)> {
    let named = |name: &str| ["_URL", "_URI", "_DSN"].iter().any(|end| name.ends_with(end));
    let found = variables.iter().filter(|(name, _)| named(name));
    let mut services: Vec<_> = found.filter_map(|(name, value)| Some((name.clone(), service(value)?))).collect();
    services.sort_by(|one, other| one.0.cmp(&other.0));
    services
}

/// The host and port of a service's URL: `scheme[+driver]://[user[:password]@]host[:port][/…]`.
fn service(url: &str) -> Option<Address> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.split('+').next()?.to_ascii_lowercase();
    let (_, port) = PORTS.iter().find(|(known, _)| *known == scheme)?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    // A cluster's several hosts: the first stands for all.
    let host = host.split(',').next()?;
    Address::parse(host).or_else(|_| Address::parse(&format!("{host}:{port}"))).ok()
}

/// The file's text.
pub(crate) fn text(shown: &Shown, project: &Path) -> String {
    let name = project.file_name().map_or_else(|| "this project".into(), |name| name.to_string_lossy());
    // What a line of a comment could be ended by must not come from a folder's name.
    let name: String = name.chars().filter(|one| !one.is_control()).collect();
    let mut parts = vec![format!(
        "# What has to hold before work begins in {name}. Check it with: dogwatch preflight\n\
         # Mend what can be mended with: dogwatch preflight --fix\n\
         #\n\
         # Every check has a `name` of its own and a `kind`, and may have a `timeout` (\"10s\") and a `fix`: a shell\n\
         # command that --fix runs once when the check fails, before it is repeated. Paths begin in this file's folder.\n\
         \n\
         # The directory of `dogwatch run` and `dogwatch wait`: private, writable, with events, locks and a clock.\n\
         [[check]]\n\
         name = \"monitor\"\n\
         kind = \"monitor\"\n\
         \n\
         # Room for what the work writes.\n\
         [[check]]\n\
         name = \"disk\"\n\
         kind = \"disk\"\n\
         path = \".\"\n\
         min_free = \"1GB\"\n"
    )];
    if shown.venv {
        let fix = shown.venv_fix.as_ref().map_or_else(
            || "# fix = \"…\" # a command that makes it anew with all its packages\n".to_owned(),
            |fix| format!("fix = {}\n", quoted(fix)),
        );
        parts.push(format!(
            "\n# Every console script starts, by this environment's own Python. A folder that was renamed breaks them all.\n\
             [[check]]\nname = \"venv\"\nkind = \"venv\"\nvenv = \".venv\"\n{fix}"
        ));
    }
    for file in &shown.files {
        let file = quoted(file);
        parts.push(format!("\n[[check]]\nname = {file}\nkind = \"file\"\nfile = {file}\n"));
    }
    for (variable, address) in &shown.services {
        parts.push(format!(
            "\n# ${variable}\n[[check]]\nname = {}\nkind = \"tcp\"\naddress = {}\n# fix = \"docker compose up -d --wait\"\n",
            quoted(variable),
            quoted(&address.to_string())
        ));
    }
    parts.push(EXAMPLES.to_owned());
    parts.concat()
}

/// The kinds that nothing pointed to.
const EXAMPLES: &str = r#"
# The other kinds:
#
# [[check]]
# name = "tests are built"
# kind = "command"                        # passes with exit code 0
# command = "cargo test --no-run"
# timeout = "5m"
# fix = "cargo fetch"
#
# [[check]]
# name = "numpy"
# kind = "python-import"
# module = "numpy"
# python = ".venv/bin/python"             # default: python3
# fix = "uv sync"
#
# [[check]]
# name = "web"
# kind = "http"                           # passes with 2xx; http only
# url = "http://localhost:8080/health"
#
# [[check]]
# name = "database"
# kind = "tcp"
# address = "localhost:5432"
#
# [[check]]
# name = "key"
# kind = "env"
# variable = "API_KEY"
# matches = "^sk-"                        # a regular expression; may be left out
#
# [[check]]
# name = "data"
# kind = "file"
# file = "data/train.csv"
"#;

/// Text as TOML takes it.
fn quoted(text: &str) -> String {
    let piece = |one: char| match one {
        '"' | '\\' => format!("\\{one}"),
        one if one.is_control() => format!("\\u{:04X}", u32::from(one)),
        one => one.to_string(),
    };
    format!("\"{}\"", text.chars().map(piece).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::Place;
    use crate::preflight::config::parse;
    use proptest::prelude::*;

    #[test]
    fn services_are_found_without_their_passwords() {
        for (url, expected) in [
            ("postgresql+psycopg://me:p%40ss@db.local/app?sslmode=off", Some("db.local:5432")),
            ("redis://localhost", Some("localhost:6379")),
            ("redis://:secret@[::1]:6380/0", Some("[::1]:6380")),
            ("mongodb://a:1,b:2/x", Some("a:1")),
            ("https://pypi.org/simple", None),
            ("sqlite:///x.db", None),
            ("postgres://", None),
            ("x", None),
        ] {
            assert_eq!(service(url).map(|address| address.to_string()).as_deref(), expected, "{url}");
        }
        let variable = |name: &str| (name.to_owned(), "redis://h:1".to_owned());
        let found = services(&[variable("REDIS_URL"), variable("CACHE_URI"), variable("URLS")]);
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["CACHE_URI", "REDIS_URL"]);
    }

    #[test]
    fn the_file_is_sound_with_its_examples_and_without() {
        let address = Address::parse("localhost:5432").unwrap();
        let shown = Shown {
            venv: true,
            venv_fix: Some("uv venv --clear && uv sync".into()),
            files: vec!["uv.lock".into()],
            services: vec![("DATABASE_URL".into(), address)],
        };
        let text = text(&shown, Path::new("/a/b"));
        let read = |text: &str| parse(text, Path::new("/"), &Place::default()).unwrap().len();
        assert_eq!(read(&text), 5);
        let (head, examples) = text.split_once("# The other kinds:\n#\n").unwrap();
        let lines: Vec<&str> = examples.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
        let examples = lines.join("\n");
        assert_eq!(read(&format!("{head}{examples}")), 11, "{examples}");
    }

    proptest! {
        #[test]
        fn no_name_breaks_the_file(name in "\\PC{1,20}", fix in "[\"\\\\\n'a-z\u{1}]{1,20}", url in "[a-z]*(://)?[:@/,\\[\\]a-z0-9]*") {
            let shown = Shown { venv: true, venv_fix: Some(fix), files: vec![format!("x{name}")], ..Shown::default() };
            let read = parse(&text(&shown, Path::new(&name)), Path::new("/"), &Place::default());
            prop_assert!(read.is_ok(), "{:?}", read.err());
            let _service = service(&url);
        }
    }
}
