//! The file that `preflight --init` writes: checks of what was found in the project, and the other kinds as comments.
//! Called by `ops::preflight`; pure. Of a service's URL only host and port are written: the rest may hold a password.

use crate::preflight::SuggestedFix;
use crate::preflight::checks::tcp::Address;
use std::path::Path;

/// What was found in a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProjectFindings {
    /// Whether it has `.venv`.
    pub(crate) venv: bool,
    /// What `preflight` suggests as its fix.
    pub(crate) venv_fix: Option<SuggestedFix>,
    /// Files that the work needs.
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

/// The services that these variables name, in order of the variables' names.
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
pub(crate) fn text(project: &ProjectFindings, folder: &Path) -> String {
    let name = folder.file_name().map_or_else(|| "this project".into(), |name| name.to_string_lossy());
    // A control character of the folder's name must not end the comment line.
    let name: String = name.chars().filter(|one| !one.is_control()).collect();
    let mut parts = vec![
        format!("# What must hold before work begins in {name}. Check it: dogwatch preflight\n"),
        include_str!("template.toml").to_owned(),
    ];
    if project.venv {
        let fix = project.venv_fix.as_ref().map_or_else(String::new, fix_lines);
        parts.push(format!(
            "\n# Console scripts start and run this environment's own Python, and activate names it. Renaming the folder breaks both.\n\
             [[check]]\nname = \"venv\"\nkind = \"venv\"\nvenv = \".venv\"\n{fix}"
        ));
    }
    for file in &project.files {
        let file = quoted(file);
        parts.push(format!("\n[[check]]\nname = {file}\nkind = \"file\"\nfile = {file}\n"));
    }
    for (variable, address) in &project.services {
        parts.push(format!(
            "\n# ${variable}\n[[check]]\nname = {}\nkind = \"tcp\"\naddress = {}\n# fix = \"docker compose up -d --wait\"\n",
            quoted(variable),
            quoted(&address.to_string())
        ));
    }
    parts.push(format!("\n{}", include_str!("template_examples.toml")));
    parts.concat()
}

/// The suggested fix as `fix = …`; commented out where enabling it is a decision.
fn fix_lines(fix: &SuggestedFix) -> String {
    let line = format!("fix = {}\n", quoted(&fix.command));
    if fix.is_lossless {
        return line;
    }
    format!(
        "# The suggested fix may lose packages that no file lists. To let --fix run it, remove the \"# \" before it.\n# {line}"
    )
}

/// A TOML string: as JSON has it, but that DEL must be escaped too (TOML 1.0, String).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::MonitorSettings;
    use crate::preflight::config::parse;
    use proptest::prelude::*;

    fn lossless(command: &str) -> SuggestedFix {
        SuggestedFix { command: command.to_owned(), is_lossless: true }
    }

    #[test]
    fn the_suggested_fix_is_enabled_or_one_edit_away_and_never_another() {
        let fix = |fix: Option<SuggestedFix>| {
            let project = ProjectFindings { venv: true, venv_fix: fix, ..ProjectFindings::default() };
            text(&project, Path::new("/a/b"))
        };
        let read = |text: &str| {
            let checks = parse(text, Path::new("/"), &MonitorSettings::default()).unwrap();
            checks.into_iter().find(|check| check.name == "venv").unwrap().fix
        };
        let command = "echo \"a b\" && x";
        assert_eq!(read(&fix(Some(lossless(command)))).as_deref(), Some(command));
        let lossy = fix(Some(SuggestedFix { command: command.to_owned(), is_lossless: false }));
        assert_eq!(read(&lossy), None);
        assert_eq!(read(&lossy.replacen("\n# fix = ", "\nfix = ", 1)).as_deref(), Some(command));
        assert_eq!(read(&fix(None)), None);
    }

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
    fn the_file_is_valid_with_its_examples_and_without() {
        let address = Address::parse("localhost:5432").unwrap();
        let project = ProjectFindings {
            venv: true,
            venv_fix: Some(lossless("uv venv --clear && uv sync")),
            files: vec!["uv.lock".into()],
            services: vec![("DATABASE_URL".into(), address)],
        };
        let text = text(&project, Path::new("/a/b"));
        let read = |text: &str| parse(text, Path::new("/"), &MonitorSettings::default()).unwrap().len();
        assert_eq!(read(&text), 5);
        let (head, examples) = text.split_once("# The other kinds:\n#\n").unwrap();
        let lines: Vec<&str> = examples.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
        let examples = lines.join("\n");
        assert_eq!(read(&format!("{head}{examples}")), 11, "{examples}");
    }

    proptest! {
        #[test]
        fn no_name_breaks_the_file(name in "\\PC{1,20}", fix in "[\"\\\\\n'a-z\u{1}]{1,20}", url in "[a-z]*(://)?[:@/,\\[\\]a-z0-9]*") {
            let project = ProjectFindings { venv: true, venv_fix: Some(lossless(&fix)), files: vec![format!("x{name}")], ..ProjectFindings::default() };
            let read = parse(&text(&project, Path::new(&name)), Path::new("/"), &MonitorSettings::default());
            prop_assert!(read.is_ok(), "{:?}", read.err());
            let _service = service(&url);
        }
    }
}
