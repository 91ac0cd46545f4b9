//! What holds of every codec for any bytes: harnesses, shared by the fuzz targets and the property tests.
//!
//! Built for these two alone. Refuses to repeat a codec: each is held against what its neighbour, a second reading, or
//! the naive rule says.

use crate::record::breaker::BreakerRecord;
use crate::record::file_names::{Record, file_name, parse_file_name, parse_temporary_name, temporary_name};
use crate::record::line_splitter::LineSplitter;
use crate::record::meta::ParsedMeta;
use crate::record::pid::ParsedPid;
use crate::record::result::{ParsedResult, one_line};
use crate::record::sanitize::{StreamSanitizer, quote, sanitize_for_terminal, sanitize_json};
use crate::record::status::ParsedStatus;
use crate::record::step_name::StepName;
use crate::record::{evidence, units};
use serde_json::Value;

/// Two pieces of the bytes, cut where the first byte says.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (cut, rest) = bytes.split_first().map_or((0, bytes), |(cut, rest)| (usize::from(*cut), rest));
    rest.split_at(cut.min(rest.len()))
}

/// `STEP.status`.
pub(crate) fn status(bytes: &[u8]) {
    let read = ParsedStatus::parse(bytes);
    let text = String::from_utf8_lossy(bytes).to_ascii_uppercase();
    let blank = |one: char| one.is_ascii_whitespace() || one == '\0';
    let first = text.split(blank).find(|word| !word.is_empty()).unwrap_or_default().to_owned();
    let begins = ["SUCCESS", "FAILED"].iter().any(|word| word.starts_with(&first));
    match &read {
        ParsedStatus::Complete(word) => assert_eq!(first.trim_end_matches(':'), word.as_str()),
        ParsedStatus::FailedWith(said) => assert!(first.starts_with("FAILED:") && !said.is_empty(), "{bytes:?}"),
        ParsedStatus::Unfinished(_) => assert!(begins && first != "SUCCESS" && first != "FAILED", "{bytes:?}"),
        ParsedStatus::Odd(_) => assert!(!begins, "{bytes:?}"),
    }
    if let ParsedStatus::Complete(word) = read {
        assert_eq!(ParsedStatus::parse(word.line().as_bytes()), read);
    }
}

/// `STEP.result`.
pub(crate) fn result(bytes: &[u8]) {
    let strictly = serde_json::from_slice::<Value>(bytes);
    match ParsedResult::parse(bytes) {
        ParsedResult::Json(value) => {
            let shown = one_line(&value);
            assert!(!shown.get().contains('\n'), "{shown}");
            let safe = sanitize_json(shown.get());
            assert!(!safe.contains(|one: char| one.is_control() && one != '\t' && one != '\r'), "{safe:?}");
            let same = (serde_json::from_str::<Value>(&safe).ok(), serde_json::from_str::<Value>(shown.get()).ok());
            assert_eq!(same.0, same.1);
            // Numbers beyond any float's reach are JSON and no value: they are kept as written.
            if let (Ok(value), Ok(shown)) = (strictly, serde_json::from_str::<Value>(shown.get())) {
                assert_eq!(value, shown);
            }
        }
        ParsedResult::Unfinished(_) => assert!(strictly.is_err(), "{bytes:?}"),
    }
}

/// `STEP.meta`.
pub(crate) fn meta(bytes: &[u8]) {
    if let ParsedMeta::Known(meta) = ParsedMeta::parse(bytes) {
        let _all = (meta.began(), meta.took(), meta.heartbeat_interval(), meta.speaks_of(None));
        assert_eq!(ParsedMeta::parse(&meta.encode()), ParsedMeta::Known(meta.clone()));
    }
}

/// `NAME.breaker`.
pub(crate) fn breaker(bytes: &[u8]) {
    if let Ok(record) = BreakerRecord::parse(bytes) {
        assert_eq!(BreakerRecord::parse(&record.encode()).as_ref(), Ok(&record));
    }
}

/// `STEP.pid`.
pub(crate) fn pid(bytes: &[u8]) {
    if let ParsedPid::Pid(pid) = ParsedPid::parse(bytes) {
        assert!(pid > 0);
        assert_eq!(ParsedPid::parse(format!("{pid}\n").as_bytes()), ParsedPid::Pid(pid));
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(text.trim_matches(|one: char| one.is_ascii_whitespace() || one == '\0').parse(), Ok(pid));
    }
}

/// Step names, and the file names that are made of them.
pub(crate) fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let fits = |one: u8| one.is_ascii_alphanumeric() || b"._@+=:-".contains(&one);
    let good = (1..=100).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with(['.', '-']);
    let name = StepName::parse(&text);
    assert_eq!(name.is_ok(), good, "{text:?}");
    for record in Record::ALL {
        let Ok(name) = &name else { continue };
        assert_eq!(parse_file_name(&file_name(name, record)), Some((name.as_str(), record)));
        let hidden = temporary_name(name, record, "7-7-7");
        assert_eq!(parse_file_name(&hidden), None);
        assert_eq!(parse_temporary_name(&hidden), Some(name.as_str()));
    }
    if let Some((step, _)) = parse_file_name(&text) {
        assert!(!step.contains('/') && StepName::parse(step).is_ok());
    }
    let _none = parse_temporary_name(&text);
}

/// Durations and sizes as people write them.
pub(crate) fn quantities(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(span) = units::duration(&text) {
        assert!(!units::shown(crate::record::time::millis(span)).is_empty());
    }
    if let Ok(size) = units::size(&text) {
        assert!(!units::bytes(size).is_empty());
    }
}

/// Somebody else's text made fit to be shown, whole and in two pieces.
pub(crate) fn text(bytes: &[u8]) {
    let obeyed = |one: char| one.is_control() && one != '\t' && one != '\n';
    let (first, second) = two(bytes);
    let mut cleaner = StreamSanitizer::default();
    let in_pieces = cleaner.feed(first) + &cleaner.feed(second) + &cleaner.finish();
    let mut cleaner = StreamSanitizer::default();
    let at_once = cleaner.feed(&[first, second].concat()) + &cleaner.finish();
    assert_eq!(in_pieces, at_once, "{first:?} {second:?}");
    assert!(!at_once.contains(obeyed), "{at_once:?}");
    assert!(!sanitize_for_terminal(&String::from_utf8_lossy(bytes)).contains(|one: char| obeyed(one) || one == '\n'));
    assert!(!quote(bytes).contains(|one: char| one.is_control()));
    if let Some(line) = evidence::command_line(bytes) {
        assert!(!line.contains(|one: char| one.is_control()), "{line:?}");
    }
}

/// Bytes cut into lines, whole and in two pieces.
pub(crate) fn lines(bytes: &[u8]) {
    let (first, second) = two(bytes);
    let cut = |pieces: &[&[u8]]| {
        let (mut lines, mut found) = (LineSplitter::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, &mut |line| found.push(line.to_vec()));
        }
        lines.finish(&mut |line| found.push(line.to_vec()));
        found
    };
    let whole = cut(&[&[first, second].concat()]);
    assert_eq!(cut(&[first, second]), whole, "{first:?} {second:?}");
    assert!(whole.iter().all(|line| !line.is_empty() && !line.contains(&b'\n')));
}
