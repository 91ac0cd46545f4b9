//! Parses `preflight.toml` into checks, or into every error with its line and column. Called by `ops::preflight`; pure.
//!
//! An unknown key is an error, since a misspelt one would silently test less.

use crate::error::Error;
use crate::preflight::checks::http::Url;
use crate::preflight::checks::tcp::Address;
use crate::preflight::{Check, CheckKind, DEFAULT_TIMEOUT, MonitorSettings};
use crate::record::units;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most checks in a file: each has a thread of its own.
const MAX_CHECKS: usize = 500;
/// The longest timeout.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The keys that every check may have.
const COMMON_KEYS: [&str; 4] = ["name", "kind", "timeout", "fix"];
/// Each kind with its required keys and its optional keys.
const KINDS: [(&str, &[&str], &[&str]); 9] = [
    ("command", &["command"], &[]),
    ("python-import", &["module"], &["python"]),
    ("venv", &["venv"], &[]),
    ("http", &["url"], &[]),
    ("tcp", &["address"], &[]),
    ("env", &["variable"], &["matches"]),
    ("file", &["file"], &[]),
    ("disk", &["path", "min_free"], &[]),
    ("monitor", &[], &[]),
];
/// The error of a file without any check.
const NO_CHECK: &str = "this file holds no check; add a [[check]], or remove the file to run the default checks";

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
    let mut errors = reader.errors;
    if errors.is_empty() && checks.is_empty() {
        errors.push((0, NO_CHECK.to_owned()));
    }
    if errors.is_empty() {
        return Ok(checks);
    }
    errors.sort_by_key(|(at, _)| *at);
    Err(errors.into_iter().map(|(at, message)| config_error(text, at, message)).collect())
}

fn config_error(text: &str, at: usize, message: String) -> ConfigError {
    let (line, column) = end_of(text.get(..at).unwrap_or(text));
    ConfigError { line, column, message }
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
    errors: Vec<(usize, String)>,
}

/// One `[[check]]` with its byte offset.
struct TableEntry<'table, 'text> {
    table: &'table DeTable<'text>,
    at: usize,
}

impl Reader<'_> {
    fn error<T>(&mut self, span: &Range<usize>, message: impl Into<String>) -> Option<T> {
        self.errors.push((span.start, message.into()));
        None
    }

    fn file(&mut self) -> Vec<Check> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                self.error::<()>(&span, format!("this is not TOML: {message}"));
                return Vec::new();
            }
        };
        let mut checks = Vec::new();
        for (key, value) in &table {
            if key.get_ref() != "check" {
                let hint = nearest(key.get_ref(), &["check"]).map_or("", |_| "; did you mean [[check]]?");
                let message = format!("unknown key {:?}; a preflight file holds [[check]] tables{hint}", key.get_ref());
                self.error::<()>(&key.span(), message);
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                let message = "checks are a list: write [[check]], with two brackets on each side";
                self.error::<()>(&key.span(), message);
                continue;
            };
            if entries.len() > MAX_CHECKS {
                self.error::<()>(
                    &key.span(),
                    format!("{} checks are too many; at most {MAX_CHECKS} can be run", entries.len()),
                );
            }
            for entry in entries {
                let Some(table) = entry.get_ref().as_table() else {
                    let message = "a check is a table: write [[check]] above its keys";
                    self.error::<()>(&entry.span(), message);
                    continue;
                };
                checks.extend(self.check(&TableEntry { table, at: entry.span().start }));
            }
        }
        self.check_unique(&checks);
        checks.into_iter().map(|(check, _)| check).collect()
    }

    /// Reports names that occur twice: a report could not tell the checks apart.
    fn check_unique(&mut self, checks: &[(Check, usize)]) {
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (check, at) in checks {
            let line = config_error(self.text, *at, String::new()).line;
            if let Some(first) = lines.get(check.name.as_str()) {
                let message = format!("line {first} names a check {:?} already; rename one", check.name);
                self.errors.push((*at, message));
            } else {
                lines.insert(check.name.as_str(), line);
            }
        }
    }

    fn check(&mut self, entry: &TableEntry<'_, '_>) -> Option<(Check, usize)> {
        let before = self.errors.len();
        let name_at = entry.table.get_key_value("name").map_or(entry.at, |(_, value)| value.span().start);
        let name = self.string(entry, "name", "every check needs a name of its own");
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            self.errors.push((name_at, "the name is empty; every check needs a name of its own".to_owned()));
        }
        let kind = self.kind_word(entry);
        if let Some((word, must, may)) = kind {
            self.unknown_keys(entry, word, &[must, may].concat());
        }
        let timeout = self.timeout(entry);
        let fix = self.optional(entry, "fix");
        let kind = kind.and_then(|(word, _, _)| self.kind(entry, word));
        if self.errors.len() > before {
            return None;
        }
        let check = Check { name: name?, kind: kind?, timeout, fix, folder: self.folder.to_path_buf() };
        Some((check, name_at))
    }

    fn kind_word(
        &mut self,
        entry: &TableEntry<'_, '_>,
    ) -> Option<(&'static str, &'static [&'static str], &'static [&'static str])> {
        let words = KINDS.map(|(word, _, _)| word);
        let word = self.string(entry, "kind", &format!("write what to test: one of {}", words.join(", ")))?;
        if let Some(known) = KINDS.iter().find(|(known, _, _)| *known == word) {
            return Some(*known);
        }
        let hint = nearest(&word, &words).map_or_else(
            || format!("; the kinds are {}", words.join(", ")),
            |near| format!("; did you mean {near:?}?"),
        );
        let span = entry.table.get("kind").map_or(entry.at..entry.at, Spanned::span);
        self.error(&span, format!("there is no kind {word:?}{hint}"))
    }

    fn unknown_keys(&mut self, entry: &TableEntry<'_, '_>, word: &str, own: &[&str]) {
        let known: Vec<&str> = COMMON_KEYS.iter().chain(own).copied().collect();
        for (key, _) in entry.table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &known) {
                Some(near) => format!("; did you mean {near:?}?"),
                None => format!("; it takes {}", known.join(", ")),
            };
            self.error::<()>(&key.span(), format!("a check of kind {word} has no key {name:?}{hint}"));
        }
    }

    fn timeout(&mut self, entry: &TableEntry<'_, '_>) -> Duration {
        let Some(value) = entry.table.get("timeout") else { return DEFAULT_TIMEOUT };
        let read = match value.get_ref() {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => units::duration(number.as_str()),
            DeValue::Float(number) => units::duration(number.as_str()),
            other @ (DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_)) => Err(
                Error::invalid_options(format!("\"timeout\" is {}; write a duration like \"10s\"", type_name(other))),
            ),
        };
        let bounded = read.and_then(|limit| match limit {
            Duration::ZERO => Err(Error::invalid_options("a timeout of 0 leaves no time; write one like \"10s\"")),
            limit if limit > MAX_TIMEOUT => {
                Err(Error::invalid_options("a timeout may be a day at most; write one like \"10s\""))
            }
            limit => Ok(limit),
        });
        bounded.unwrap_or_else(|message| {
            self.error::<()>(&value.span(), message.to_string());
            DEFAULT_TIMEOUT
        })
    }

    fn kind(&mut self, entry: &TableEntry<'_, '_>, word: &str) -> Option<CheckKind> {
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
                let matches = match entry.table.get("matches") {
                    Some(_) => Some(self.parsed(entry, "matches", "", pattern)?),
                    None => None,
                };
                Some(CheckKind::Env { variable, matches })
            }
            "file" => self.string(entry, "file", &want).map(|path| CheckKind::File(path.into())),
            "disk" => {
                let path = self.string(entry, "path", &want);
                let min_free = self.size(entry, &want);
                Some(CheckKind::Disk { path: path?.into(), min_free: min_free? })
            }
            _ => Some(CheckKind::Monitor(self.monitor.clone())),
        }
    }

    fn size(&mut self, entry: &TableEntry<'_, '_>, why: &str) -> Option<u64> {
        if let Some(value) = entry.table.get("min_free")
            && let DeValue::Integer(number) = value.get_ref()
        {
            let size = units::size(number.as_str());
            return size.map_or_else(|message| self.error(&value.span(), message.to_string()), Some);
        }
        self.parsed(entry, "min_free", why, units::size)
    }

    /// A key's text, parsed.
    fn parsed<T>(
        &mut self,
        entry: &TableEntry<'_, '_>,
        key: &str,
        why: &str,
        parse: impl Fn(&str) -> Result<T, Error>,
    ) -> Option<T> {
        let text = self.string(entry, key, why)?;
        let span = entry.table.get(key).map_or(entry.at..entry.at, Spanned::span);
        parse(&text).map_or_else(|message| self.error(&span, message.to_string()), Some)
    }

    fn optional(&mut self, entry: &TableEntry<'_, '_>, key: &str) -> Option<String> {
        entry.table.get(key)?;
        self.string(entry, key, "")
    }

    /// A required key's text, which must not be empty.
    fn string(&mut self, entry: &TableEntry<'_, '_>, key: &str, why: &str) -> Option<String> {
        let Some(value) = entry.table.get(key) else {
            return self.error(&(entry.at..entry.at), format!("this check has no {key:?}: {why}"));
        };
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.error(&value.span(), format!("{key:?} holds a NUL character, which no file or command can"))
            }
            DeValue::String(text) if text.is_empty() && key != "name" => {
                self.error(&value.span(), format!("{key:?} is empty; write a value or remove the key"))
            }
            DeValue::String(text) => Some(text.to_string()),
            other @ (DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_)) => {
                self.error(&value.span(), format!("{key:?} is {}; write text in quotes", type_name(other)))
            }
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
/// [`Error`].
pub(crate) fn module(text: &str) -> Result<String, Error> {
    let is_name = |part: &str| {
        part.chars().all(|one| one == '_' || one.is_alphanumeric()) && !part.starts_with(|one: char| one.is_numeric())
    };
    let fits = text.split('.').all(|part| !part.is_empty() && is_name(part));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Error::invalid_options(format!("{text:?} is not a module; write it like numpy or google.protobuf")))
    }
}

/// Parses a variable's name.
///
/// # Errors
/// [`Error`].
pub(crate) fn variable(text: &str) -> Result<String, Error> {
    let fits = !text.is_empty() && !text.contains(['=', '\0', '$']) && !text.contains(char::is_whitespace);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Error::invalid_options(format!("{text:?} is not a variable; write its name, like DATABASE_URL")))
    }
}

fn pattern(text: &str) -> Result<regex_lite::Regex, Error> {
    regex_lite::Regex::new(text)
        .map_err(|error| Error::invalid_options(format!("{text:?} is not a regular expression: {error}")))
}

/// The word that was probably meant: at most one typo for every three letters.
fn nearest<'word>(word: &str, known: &[&'word str]) -> Option<&'word str> {
    let distance = |candidate: &&'word str| strsim::osa_distance(word, candidate);
    let near = known.iter().min_by_key(|candidate| distance(candidate))?;
    (distance(near) <= (word.chars().count() / 3).max(1)).then_some(*near)
}

#[cfg(test)]
mod tests;
