//! `preflight.toml` to checks: every fault with its line and column, and the nearest valid word.
//!
//! Pure: text comes in, checks go out. Refuses to stop at the first fault, since whoever mends one wants to know of the
//! others, and to guess: a key that the kind does not take is a fault, for a misspelt one would silently test less.

use crate::preflight::network::{Address, Url};
use crate::preflight::{Check, Kind, LIMIT, Place};
use crate::record::units;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most checks in a file: each has a thread of its own.
const MOST: usize = 500;
/// The longest time limit: no check of readiness is worth more than a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// What every check may have.
const GENERAL: [&str; 4] = ["name", "kind", "timeout", "fix"];
/// The kinds, and the keys of each; those before the bar must be there.
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

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, counted from one.
    pub(crate) line: usize,
    /// The column in characters, counted from one.
    pub(crate) column: usize,
    /// The sentence.
    pub(crate) sentence: String,
}

/// Reads a file's text; its checks' paths begin in `folder`.
///
/// # Errors
/// Every fault, in the file's order.
pub(crate) fn parse(text: &str, folder: &Path, place: &Place) -> Result<Vec<Check>, Vec<Fault>> {
    let mut reader = Reader { text, folder, place, faults: Vec::new() };
    let checks = reader.file();
    let mut faults = reader.faults;
    if faults.is_empty() {
        return Ok(checks);
    }
    faults.sort_by_key(|(at, _)| *at);
    Err(faults.into_iter().map(|(at, sentence)| fault(text, at, sentence)).collect())
}

fn fault(text: &str, at: usize, sentence: String) -> Fault {
    let (line, column) = end_of(text.get(..at).unwrap_or(text));
    Fault { line, column, sentence }
}

/// The line and the column of what follows a text.
pub(crate) fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last.chars().count() + 1)
}

struct Reader<'text> {
    text: &'text str,
    folder: &'text Path,
    place: &'text Place,
    faults: Vec<(usize, String)>,
}

/// One `[[check]]`, its keys with where they stand.
struct Entry<'table, 'text> {
    table: &'table DeTable<'text>,
    at: usize,
}

impl Reader<'_> {
    fn fault<T>(&mut self, span: &Range<usize>, sentence: impl Into<String>) -> Option<T> {
        self.faults.push((span.start, sentence.into()));
        None
    }

    fn file(&mut self) -> Vec<Check> {
        let table = match DeTable::parse(self.text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let sentence = error.message().lines().collect::<Vec<_>>().join(", ");
                self.fault::<()>(&span, format!("this is no TOML: {sentence}"));
                return Vec::new();
            }
        };
        let mut checks = Vec::new();
        for (key, value) in &table {
            if key.get_ref() != "check" {
                let hint = nearest(key.get_ref(), &["check"]).map_or("", |_| "; did you mean [[check]]?");
                let sentence = format!("{:?} is nothing that a preflight file holds{hint}", key.get_ref());
                self.fault::<()>(&key.span(), sentence);
                continue;
            }
            let DeValue::Array(entries) = value.get_ref() else {
                let sentence = "checks are a list: write [[check]], with two brackets on each side";
                self.fault::<()>(&key.span(), sentence);
                continue;
            };
            if entries.len() > MOST {
                self.fault::<()>(&key.span(), format!("{} checks are too many; at most {MOST} are run", entries.len()));
            }
            for entry in entries {
                let Some(table) = entry.get_ref().as_table() else {
                    let sentence = "a check is a table: write [[check]] above its keys";
                    self.fault::<()>(&entry.span(), sentence);
                    continue;
                };
                checks.extend(self.check(&Entry { table, at: entry.span().start }));
            }
        }
        self.unique(&checks);
        checks.into_iter().map(|(check, _)| check).collect()
    }

    /// Two checks of one name could not be told apart in a report.
    fn unique(&mut self, checks: &[(Check, usize)]) {
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (check, at) in checks {
            let line = fault(self.text, *at, String::new()).line;
            if let Some(first) = lines.get(check.name.as_str()) {
                let sentence = format!("there is a check named {:?} already, in line {first}; rename one", check.name);
                self.faults.push((*at, sentence));
            } else {
                lines.insert(check.name.as_str(), line);
            }
        }
    }

    fn check(&mut self, entry: &Entry<'_, '_>) -> Option<(Check, usize)> {
        let before = self.faults.len();
        let name_at = entry.table.get_key_value("name").map_or(entry.at, |(_, value)| value.span().start);
        let name = self.string(entry, "name", "every check needs a name of its own");
        if name.as_deref().is_some_and(|name| name.trim().is_empty()) {
            self.faults.push((name_at, "the name is empty; every check needs a name of its own".to_owned()));
        }
        let kind = self.kind_word(entry);
        if let Some((word, must, may)) = kind {
            self.unknown_keys(entry, word, &[must, may].concat());
        }
        let limit = self.limit(entry);
        let fix = self.optional(entry, "fix");
        let kind = kind.and_then(|(word, _, _)| self.kind(entry, word));
        if self.faults.len() > before {
            return None;
        }
        let check = Check { name: name?, kind: kind?, limit, fix, folder: self.folder.to_path_buf() };
        Some((check, name_at))
    }

    fn kind_word(
        &mut self,
        entry: &Entry<'_, '_>,
    ) -> Option<(&'static str, &'static [&'static str], &'static [&'static str])> {
        let words = KINDS.map(|(word, _, _)| word);
        let word = self.string(entry, "kind", &format!("say what to test: one of {}", words.join(", ")))?;
        if let Some(known) = KINDS.iter().find(|(known, _, _)| *known == word) {
            return Some(*known);
        }
        let hint = nearest(&word, &words).map_or_else(
            || format!("; the kinds are {}", words.join(", ")),
            |near| format!("; did you mean {near:?}?"),
        );
        let span = entry.table.get("kind").map_or(entry.at..entry.at, Spanned::span);
        self.fault(&span, format!("there is no kind {word:?}{hint}"))
    }

    fn unknown_keys(&mut self, entry: &Entry<'_, '_>, word: &str, own: &[&str]) {
        let known: Vec<&str> = GENERAL.iter().chain(own).copied().collect();
        for (key, _) in entry.table {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, &known) {
                Some(near) => format!("; did you mean {near:?}?"),
                None => format!("; it takes {}", known.join(", ")),
            };
            self.fault::<()>(&key.span(), format!("a check of kind {word} has no key {name:?}{hint}"));
        }
    }

    fn limit(&mut self, entry: &Entry<'_, '_>) -> Duration {
        let Some(value) = entry.table.get("timeout") else { return LIMIT };
        let read = match value.get_ref() {
            DeValue::String(text) => units::duration(text),
            DeValue::Integer(number) => units::duration(number.as_str()),
            DeValue::Float(number) => units::duration(number.as_str()),
            other @ (DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_)) => {
                Err(format!("\"timeout\" is {}, and has to be a duration like \"10s\"", called(other)))
            }
        };
        let bounded = read.and_then(|limit| match limit {
            Duration::ZERO => Err("a timeout of 0 leaves no time; write one like \"10s\"".to_owned()),
            limit if limit > LONGEST => Err("a timeout of more than a day is none; write one like \"10s\"".to_owned()),
            limit => Ok(limit),
        });
        bounded.unwrap_or_else(|sentence| {
            self.fault::<()>(&value.span(), sentence);
            LIMIT
        })
    }

    fn kind(&mut self, entry: &Entry<'_, '_>, word: &str) -> Option<Kind> {
        let want = format!("a check of kind {word} needs it");
        match word {
            "command" => self.string(entry, "command", &want).map(Kind::Command),
            "python-import" => {
                let module = self.parsed(entry, "module", &want, module)?;
                let python = self.optional(entry, "python").unwrap_or_else(|| "python3".to_owned());
                Some(Kind::PythonImport { module, python })
            }
            "venv" => self.string(entry, "venv", &want).map(|folder| Kind::Venv(folder.into())),
            "http" => self.parsed(entry, "url", &want, Url::parse).map(Kind::Http),
            "tcp" => self.parsed(entry, "address", &want, Address::parse).map(Kind::Tcp),
            "env" => {
                let variable = self.parsed(entry, "variable", &want, variable)?;
                let matches = match entry.table.get("matches") {
                    Some(_) => Some(self.parsed(entry, "matches", "", pattern)?),
                    None => None,
                };
                Some(Kind::Env { variable, matches })
            }
            "file" => self.string(entry, "file", &want).map(|path| Kind::File(path.into())),
            "disk" => {
                let path = self.string(entry, "path", &want);
                let min_free = self.size(entry, &want);
                Some(Kind::Disk { path: path?.into(), min_free: min_free? })
            }
            _ => Some(Kind::Monitor(self.place.clone())),
        }
    }

    fn size(&mut self, entry: &Entry<'_, '_>, why: &str) -> Option<u64> {
        if let Some(value) = entry.table.get("min_free")
            && let DeValue::Integer(number) = value.get_ref()
        {
            let size = units::size(number.as_str());
            return size.map_or_else(|sentence| self.fault(&value.span(), sentence), Some);
        }
        self.parsed(entry, "min_free", why, units::size)
    }

    /// A key's text, made into what it means.
    fn parsed<T>(
        &mut self,
        entry: &Entry<'_, '_>,
        key: &str,
        why: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.string(entry, key, why)?;
        let span = entry.table.get(key).map_or(entry.at..entry.at, Spanned::span);
        parse(&text).map_or_else(|sentence| self.fault(&span, sentence), Some)
    }

    fn optional(&mut self, entry: &Entry<'_, '_>, key: &str) -> Option<String> {
        entry.table.get(key)?;
        self.string(entry, key, "")
    }

    /// A key's text, which must be there and not be empty.
    fn string(&mut self, entry: &Entry<'_, '_>, key: &str, why: &str) -> Option<String> {
        let Some(value) = entry.table.get(key) else {
            return self.fault(&(entry.at..entry.at), format!("this check has no {key:?}: {why}"));
        };
        match value.get_ref() {
            DeValue::String(text) if text.contains('\0') => {
                self.fault(&value.span(), format!("{key:?} holds a NUL character, which no file or command can"))
            }
            DeValue::String(text) if text.is_empty() && key != "name" => {
                self.fault(&value.span(), format!("{key:?} is empty; leave the key out or say what is meant"))
            }
            DeValue::String(text) => Some(text.to_string()),
            other @ (DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_)) => {
                self.fault(&value.span(), format!("{key:?} is {}, and has to be text in quotes", called(other)))
            }
        }
    }
}

/// What a value is, for a message.
fn called(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Reads a module's name: dots between names that Python takes, and nothing that a shell would read otherwise.
///
/// # Errors
/// A sentence.
pub(crate) fn module(text: &str) -> Result<String, String> {
    let is_name = |part: &str| {
        part.chars().all(|one| one == '_' || one.is_alphanumeric()) && !part.starts_with(|one: char| one.is_numeric())
    };
    let fits = text.split('.').all(|part| !part.is_empty() && is_name(part));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no module; write it like numpy or google.protobuf"))
    }
}

/// Reads a variable's name.
///
/// # Errors
/// A sentence.
pub(crate) fn variable(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && !text.contains(['=', '\0', '$']) && !text.contains(char::is_whitespace);
    if fits { Ok(text.to_owned()) } else { Err(format!("{text:?} is no variable; write its name, like DATABASE_URL")) }
}

fn pattern(text: &str) -> Result<regex_lite::Regex, String> {
    regex_lite::Regex::new(text).map_err(|error| format!("{text:?} is no regular expression: {error}"))
}

/// The word that was probably meant: at most one slip for every three letters.
fn nearest<'word>(word: &str, known: &[&'word str]) -> Option<&'word str> {
    let distance = |candidate: &&'word str| strsim::osa_distance(word, candidate);
    let near = known.iter().min_by_key(|candidate| distance(candidate))?;
    (distance(near) <= (word.chars().count() / 3).max(1)).then_some(*near)
}

#[cfg(test)]
mod tests;
