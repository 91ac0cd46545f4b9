//! What holds of every codec for any bytes: harnesses, shared by the fuzz targets and the property tests.
//!
//! Built for these two alone. Refuses to repeat a codec: each is held against what its neighbour, a second reading, or
//! the naive rule says.

use super::breaker::BreakerRecord;
use super::layout::{Record, file_name, parse_file_name, parse_temporary_name, temporary_name};
use super::lines::Lines;
use super::meta::{EndedMeta, MetaText};
use super::pid::PidText;
use super::result::{ResultText, one_line};
use super::status::StatusText;
use super::step::StepName;
use super::text::{Cleaner, harmless, harmless_json, quote};
use super::{evidence, quantity};
use serde_json::Value;

/// Two pieces of the bytes, cut where the first byte says.
fn two(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (cut, rest) = bytes.split_first().map_or((0, bytes), |(cut, rest)| (usize::from(*cut), rest));
    rest.split_at(cut.min(rest.len()))
}

/// `STEP.status`.
pub(crate) fn status(bytes: &[u8]) {
    let read = StatusText::parse(bytes);
    let text = String::from_utf8_lossy(bytes).to_ascii_uppercase();
    let blank = |one: char| one.is_ascii_whitespace() || one == '\0';
    let first = text.split(blank).find(|word| !word.is_empty()).unwrap_or_default().to_owned();
    let begins = ["SUCCESS", "FAILED"].iter().any(|word| word.starts_with(&first));
    match &read {
        StatusText::Complete(word) => assert_eq!(first, word.as_str()),
        StatusText::Unfinished(_) => assert!(begins && first != "SUCCESS" && first != "FAILED", "{bytes:?}"),
        StatusText::Odd(_) => assert!(!begins, "{bytes:?}"),
    }
    if let StatusText::Complete(word) = read {
        assert_eq!(StatusText::parse(word.line().as_bytes()), read);
    }
}

/// `STEP.result`.
pub(crate) fn result(bytes: &[u8]) {
    let strictly = serde_json::from_slice::<Value>(bytes);
    match ResultText::parse(bytes) {
        ResultText::Json(value) => {
            let shown = one_line(&value);
            assert!(!shown.get().contains('\n'), "{shown}");
            let safe = harmless_json(shown.get());
            assert!(!safe.contains(|one: char| one.is_control() && one != '\t' && one != '\r'), "{safe:?}");
            let same = (serde_json::from_str::<Value>(&safe).ok(), serde_json::from_str::<Value>(shown.get()).ok());
            assert_eq!(same.0, same.1);
            // Numbers beyond any float's reach are JSON and no value: they are kept as written.
            if let (Ok(value), Ok(shown)) = (strictly, serde_json::from_str::<Value>(shown.get())) {
                assert_eq!(value, shown);
            }
        }
        ResultText::Unfinished(_) => assert!(strictly.is_err(), "{bytes:?}"),
    }
}

/// `STEP.meta`.
pub(crate) fn meta(bytes: &[u8]) {
    let glance = EndedMeta::parse(bytes);
    if let Some(glance) = &glance {
        let _took = glance.took();
    }
    if let MetaText::Known(meta) = MetaText::parse(bytes) {
        let _all = (meta.began(), meta.took(), meta.heartbeat_interval(), meta.speaks_of(None));
        assert_eq!(MetaText::parse(&meta.encode()), MetaText::Known(meta.clone()));
        if let Some(glance) = glance {
            assert_eq!((Some(glance.pid), Some(glance.reason)), (meta.pid, meta.reason));
        }
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
    if let PidText::Pid(pid) = PidText::parse(bytes) {
        assert!(pid > 0);
        assert_eq!(PidText::parse(format!("{pid}\n").as_bytes()), PidText::Pid(pid));
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
    if let Ok(span) = quantity::duration(&text) {
        assert!(!quantity::shown(super::time::millis(span)).is_empty());
    }
    if let Ok(size) = quantity::size(&text) {
        assert!(!quantity::bytes(size).is_empty());
    }
}

/// Somebody else's text made fit to be shown, whole and in two pieces.
pub(crate) fn text(bytes: &[u8]) {
    let obeyed = |one: char| one.is_control() && one != '\t' && one != '\n';
    let (first, second) = two(bytes);
    let mut cleaner = Cleaner::default();
    let in_pieces = cleaner.feed(first) + &cleaner.feed(second) + &cleaner.finish();
    let mut cleaner = Cleaner::default();
    let at_once = cleaner.feed(&[first, second].concat()) + &cleaner.finish();
    assert_eq!(in_pieces, at_once, "{first:?} {second:?}");
    assert!(!at_once.contains(obeyed), "{at_once:?}");
    assert!(!harmless(&String::from_utf8_lossy(bytes)).contains(|one: char| obeyed(one) || one == '\n'));
    assert!(!quote(bytes).contains(|one: char| one.is_control()));
    if let Some(line) = evidence::command_line(bytes) {
        assert!(!line.contains(|one: char| one.is_control()), "{line:?}");
    }
}

/// Bytes cut into lines, whole and in two pieces.
pub(crate) fn lines(bytes: &[u8]) {
    let (first, second) = two(bytes);
    let cut = |pieces: &[&[u8]]| {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
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
