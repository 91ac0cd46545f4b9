//! Parses `preflight.toml` into checks, or into every error with its line and column. Called by `ops::preflight`; pure.
//!
//! An unknown key is an error, since a misspelt one would silently test less.

use crate::error::Error;
use crate::preflight::checks::http::Url;
use crate::preflight::checks::tcp::Address;
use crate::preflight::{Check, CheckKind, DEFAULT_TIMEOUT, MonitorSettings};
use crate::record::units;
use std::path::Path;
use std::time::Duration;
use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

/// The most checks in a file: each has a thread of its own.
const MAX_CHECKS: usize = 500;
/// The longest timeout.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The keys that every check may have.
const COMMON_KEYS: [&str; 4] = ["name", "kind", "timeout", "fix"];
/// A kind with its own keys.
type Kind = (&'static str, &'static [&'static str]);
const KINDS: [Kind; 9] = [
    ("command", &["command"]),
    ("python-import", &["module", "python"]),
    ("venv", &["venv"]),
    ("http", &["url"]),
    ("tcp", &["address"]),
    ("env", &["variable", "matches"]),
    ("file", &["file"]),
    ("disk", &["path", "min_free"]),
    ("monitor", &[]),
];
/// The error of a file without any check.
const NO_CHECK: &str = "this file holds no check; add a [[check]], or remove the file to run the default checks";

/// Reads a key's text.
type Parse<T> = fn(&str) -> Result<T, Error>;

/// One error in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The line, counted from one.
    pub(crate) line: usize,
    /// The column in characters, counted from one.
    pub(crate) column: usize,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

/// Parses a file's text; its relative paths begin in `folder`.
///
/// # Errors
/// Every error, in the file's order. A file without a check is one: it would let any work pass.
pub(crate) fn parse(text: &str, folder: &Path, monitor: &MonitorSettings) -> Result<Vec<Check>, Vec<ConfigError>> {
    let mut reader = Reader { text, folder, monitor, errors: Vec::new() };
    let checks = reader.file();
    if reader.errors.is_empty() && checks.is_empty() {
        reader.error(0, NO_CHECK);
    }
    if reader.errors.is_empty() {
        return Ok(checks);
    }
    reader.errors.sort_by_key(|error| (error.line, error.column));
    Err(reader.errors)
}

/// The line and the column right after a text.
pub(crate) fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last.chars().count() + 1)
}

struct Reader<'text> {
    text: &'text str,
    folder: &'text Path,
    monitor: &'text MonitorSettings,
    errors: Vec<ConfigError>,
}

/// One `[[check]]` with its byte offset.
#[derive(Clone, Copy)]
struct Entry<'text> {
    table: &'text DeTable<'text>,
    at: usize,
}

impl Entry<'_> {
    /// Where the value of a key begins, or the table where it has no such key.
    fn place_of(self, key: &str) -> usize {
        self.table.get(key).map_or(self.at, |value| value.span().start)
    }
}

impl Reader<'_> {
    /// The line and the column of a byte offset.
    fn place(&self, at: usize) -> (usize, usize) {
        end_of(self.text.get(..at).unwrap_or(self.text))
    }

    fn error(&mut self, at: usize, message: impl Into<String>) {
        let (line, column) = self.place(at);
        self.errors.push(ConfigError { line, column, message: message.into() });
    }

    /// Reports an error in place of a value.
    fn refuse<T>(&mut self, at: usize, message: impl Into<String>) -> Option<T> {
        self.error(at, message);
        None
    }

    fn file(&mut self) -> Vec<Check> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                self.error(error.span().map_or(0, |span| span.start), format!("this is not TOML: {message}"));
                return Vec::new();
            }
        };
        let mut checks = Vec::new();
        for (key, value) in &table {
            let (name, at) = (key.get_ref(), key.span().start);
            if name != "check" {
                let hint = nearest(name, &["check"]).map_or("", |_| "; did you mean [[check]]?");
                self.error(at, format!("unknown key {name:?}; a preflight file holds [[check]] tables{hint}"));
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                self.error(at, "checks are a list: write [[check]], with two brackets on each side");
                continue;
            };
            if entries.len() > MAX_CHECKS {
                self.error(at, format!("{} checks are too many; at most {MAX_CHECKS} can be run", entries.len()));
            }
            for entry in entries {
                let at = entry.span().start;
                match entry.get_ref().as_table() {
                    Some(table) => checks.extend(self.check(Entry { table, at })),
                    None => self.error(at, "a check is a table: write [[check]] above its keys"),
                }
            }
        }
        self.check_unique(&checks);
        checks.into_iter().map(|(check, _)| check).collect()
    }

    /// Reports names that occur twice: a report could not tell the checks apart.
    fn check_unique(&mut self, checks: &[(Check, usize)]) {
        for (index, (check, at)) in checks.iter().enumerate() {
            if let Some((_, first)) = checks[..index].iter().find(|(other, _)| other.name == check.name) {
                let line = self.place(*first).0;
                self.error(*at, format!("line {line} names a check {:?} already; rename one", check.name));
            }
        }
    }

    fn check(&mut self, entry: Entry<'_>) -> Option<(Check, usize)> {
        let before = self.errors.len();
        let name_at = entry.place_of("name");
        let name = self.string(entry, "name", "every check needs a name of its own");
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            self.error(name_at, "the name is empty; every check needs a name of its own");
        }
        let kind = self.kind_word(entry);
        if let Some((word, own)) = kind {
            self.unknown_keys(entry, word, own);
        }
        let timeout = self.timeout(entry);
        let fix = self.optional(entry, "fix");
        let kind = kind.and_then(|(word, _)| self.kind(entry, word));
        if self.errors.len() > before {
            return None;
        }
        let check = Check { name: name?, kind: kind?, timeout, fix, folder: self.folder.to_path_buf() };
        Some((check, name_at))
    }

    fn kind_word(&mut self, entry: Entry<'_>) -> Option<Kind> {
        let words = KINDS.map(|(word, _)| word);
        let word = self.string(entry, "kind", &format!("write what to test: one of {}", words.join(", ")))?;
        let known = KINDS.into_iter().find(|(known, _)| *known == word);
        known.or_else(|| {
            let hint = hint(&word, &words, "the kinds are");
            self.refuse(entry.place_of("kind"), format!("there is no kind {word:?}; {hint}"))
        })
    }

    fn unknown_keys(&mut self, entry: Entry<'_>, word: &str, own: &[&str]) {
        let known: Vec<&str> = COMMON_KEYS.iter().chain(own).copied().collect();
        for (key, _) in entry.table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let hint = hint(name, &known, "it takes");
                self.error(key.span().start, format!("a check of kind {word} has no key {name:?}; {hint}"));
            }
        }
    }

    fn timeout(&mut self, entry: Entry<'_>) -> Duration {
        let Some(value) = entry.table.get("timeout") else { return DEFAULT_TIMEOUT };
        let value = value.get_ref();
        let number = || value.as_integer().map(DeInteger::as_str).or(value.as_float().map(DeFloat::as_str));
        let read = match value.as_str().or_else(number) {
            Some(text) => units::duration(text).map_err(|error| error.to_string()),
            None => Err(format!("\"timeout\" is {}; write a duration like \"10s\"", type_name(value))),
        };
        let fault = match read {
            Ok(Duration::ZERO) => "a timeout of 0 leaves no time; write one like \"10s\"".to_owned(),
            Ok(limit) if limit > MAX_TIMEOUT => "a timeout may be a day at most; write one like \"10s\"".to_owned(),
            Ok(limit) => return limit,
            Err(fault) => fault,
        };
        self.error(entry.place_of("timeout"), fault);
        DEFAULT_TIMEOUT
    }

    fn kind(&mut self, entry: Entry<'_>, word: &str) -> Option<CheckKind> {
        let want = format!("a check of kind {word} needs it");
        match word {
            "command" => self.string(entry, "command", &want).map(CheckKind::Command),
            "python-import" => {
                let module = self.parsed(entry, "module", &want, module)?;
                let python = self.optional(entry, "python").unwrap_or_else(|| "python3".to_owned());
                Some(CheckKind::PythonImport { module, python })
            }
            "venv" => self.string(entry, "venv", &want).map(|folder| CheckKind::Venv(folder.into())),
            "http" => self.parsed(entry, "url", &want, Url::parse).map(CheckKind::Http),
            "tcp" => self.parsed(entry, "address", &want, Address::parse).map(CheckKind::Tcp),
            "env" => {
                let variable = self.parsed(entry, "variable", &want, variable)?;
                let matches = self.optional(entry, "matches");
                let matches = matches.and_then(|text| self.parse(entry, "matches", &text, pattern));
                Some(CheckKind::Env { variable, matches })
            }
            "file" => self.string(entry, "file", &want).map(|path| CheckKind::File(path.into())),
            "disk" => {
                let path = self.string(entry, "path", &want);
                let number = entry.table.get("min_free").and_then(|value| value.get_ref().as_integer());
                let min_free = match number {
                    Some(number) => self.parse(entry, "min_free", number.as_str(), units::size),
                    None => self.parsed(entry, "min_free", &want, units::size),
                };
                Some(CheckKind::Disk { path: path?.into(), min_free: min_free? })
            }
            _ => Some(CheckKind::Monitor(self.monitor.clone())),
        }
    }

    /// A key's text, parsed.
    fn parsed<T>(&mut self, entry: Entry<'_>, key: &str, why: &str, parse: Parse<T>) -> Option<T> {
        let text = self.string(entry, key, why)?;
        self.parse(entry, key, &text, parse)
    }

    fn parse<T>(&mut self, entry: Entry<'_>, key: &str, text: &str, parse: Parse<T>) -> Option<T> {
        parse(text).map_or_else(|error| self.refuse(entry.place_of(key), error.to_string()), Some)
    }

    fn optional(&mut self, entry: Entry<'_>, key: &str) -> Option<String> {
        entry.table.get(key)?;
        self.string(entry, key, "")
    }

    /// A required key's text, which must not be empty.
    fn string(&mut self, entry: Entry<'_>, key: &str, why: &str) -> Option<String> {
        let at = entry.place_of(key);
        let Some(value) = entry.table.get(key) else {
            return self.refuse(at, format!("this check has no {key:?}: {why}"));
        };
        match value.get_ref().as_str() {
            None => self.refuse(at, format!("{key:?} is {}; write text in quotes", type_name(value.get_ref()))),
            Some(text) if text.contains('\0') => {
                self.refuse(at, format!("{key:?} holds a NUL character, which no file or command can"))
            }
            Some("") if key != "name" => self.refuse(at, format!("{key:?} is empty; write a value or remove the key")),
            Some(text) => Some(text.to_owned()),
        }
    }
}

/// A value's type, for a message.
fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Parses a module's name: Python names with dots between them, and so nothing that a shell expands.
///
/// # Errors
/// It is none; a sentence that shows one.
pub(crate) fn module(text: &str) -> Result<String, Error> {
    let is_name = |part: &str| {
        part.chars().all(|one| one == '_' || one.is_alphanumeric()) && !part.starts_with(|one: char| one.is_numeric())
    };
    let fits = text.split('.').all(|part| !part.is_empty() && is_name(part));
    fits.then(|| text.to_owned()).ok_or_else(|| {
        Error::invalid_options(format!("{text:?} is not a module; write it like numpy or google.protobuf"))
    })
}

/// Parses a variable's name.
///
/// # Errors
/// It is none; a sentence that shows one.
pub(crate) fn variable(text: &str) -> Result<String, Error> {
    let fits = !text.is_empty() && !text.contains(['=', '\0', '$']) && !text.contains(char::is_whitespace);
    fits.then(|| text.to_owned())
        .ok_or_else(|| Error::invalid_options(format!("{text:?} is not a variable; write its name, like DATABASE_URL")))
}

fn pattern(text: &str) -> Result<regex_lite::Regex, Error> {
    regex_lite::Regex::new(text)
        .map_err(|error| Error::invalid_options(format!("{text:?} is not a regular expression: {error}")))
}

/// What was probably meant, else all that is known.
fn hint(word: &str, known: &[&str], all: &str) -> String {
    nearest(word, known).map_or_else(|| format!("{all} {}", known.join(", ")), |near| format!("did you mean {near:?}?"))
}

/// The word that was probably meant: at most one typo for every three letters.
fn nearest<'word>(word: &str, known: &[&'word str]) -> Option<&'word str> {
    let distance = |candidate: &&'word str| strsim::osa_distance(word, candidate);
    let near = known.iter().min_by_key(|candidate| distance(candidate))?;
    (distance(near) <= (word.chars().count() / 3).max(1)).then_some(*near)
}

#[cfg(test)]
mod tests;
