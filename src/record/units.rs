//! Durations and sizes as people write them, there and back.
//!
//! Negative spans, numbers with an unknown unit and empty text are errors.

use crate::error::Error;
use std::time::Duration;

/// Reads a duration: `90s`, `1m 30s`, `500ms`; a bare number is seconds, as in timeout(1).
///
/// # Errors
/// [`Error`].
pub(crate) fn duration(text: &str) -> Result<Duration, Error> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        // Also refuses NaN, infinities and what 64 bits of seconds do not hold.
        return Duration::try_from_secs_f64(seconds).map_err(|_| unfit(text));
    }
    humantime::parse_duration(text).map_err(|_| unfit(text))
}

fn unfit(text: &str) -> Error {
    Error::invalid_options(format!(
        "{text:?} is no duration; write it like 90s, 1m 30s, 500ms, or as a number of seconds"
    ))
}

/// Reads a size in bytes: `1GiB`, `500M`, `10kB`; a bare number is bytes.
///
/// # Errors
/// [`Error`].
pub(crate) fn size(text: &str) -> Result<u64, Error> {
    let text = text.trim();
    let unfit = || {
        let form = "write it like 1GiB, 500MB, 64K, or as a number of bytes";
        Error::invalid_options(format!("{text:?} is no size; {form}"))
    };
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().map_err(|_| unfit())?;
    let unit = text[end..].trim().to_ascii_lowercase();
    // As coreutils have it: K and KiB are 1024, KB is 1000 (info coreutils, "Block size").
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(unfit()),
    };
    number.checked_mul(factor).ok_or_else(unfit)
}

/// Reads a whole number, as a count or a process id.
///
/// # Errors
/// [`Error`].
pub(crate) fn whole<Number: std::str::FromStr>(text: &str) -> Result<Number, Error> {
    let unfit =
        |_| Error::invalid_options(format!("{text:?} is no whole number from 0 up; write it in digits, like 20"));
    text.trim().parse().map_err(unfit)
}

/// A span for people: one unit below a minute, two above.
pub(crate) fn shown(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A size for people, in the units that disks are sold in.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(factor, _)| bytes >= *factor) {
        Some((factor, unit)) => format!("{}.{} {unit}", bytes / factor, bytes % factor / (factor / 10)),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_humantime_does_and_bare_numbers_as_seconds() {
        for (text, millis) in [
            ("90", 90_000),
            ("0", 0),
            ("1.5", 1500),
            ("90s", 90_000),
            ("1m 30s", 90_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("2h", 7_200_000),
            (" 7 ", 7000),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(millis), "{text:?}");
        }
        for text in ["", "-1", "soon", "5 parsecs", "1e400", "NaN", "inf", "--", "1m-30s"] {
            assert!(duration(text).unwrap_err().to_string().contains("is no duration"), "{text:?}");
        }
        assert!(duration("18446744073709551615s").is_ok());
    }

    #[test]
    fn sizes_take_both_families_of_units() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("1GiB", 1 << 30), ("1g", 1 << 30), ("10MB", 10_000_000), ("64 K", 65_536)]
        {
            assert_eq!(size(text).unwrap(), bytes, "{text:?}");
        }
        for text in ["", "x", "1XB", "-1", "1.5G", "99999999999999999999", "99999999999TB"] {
            assert!(size(text).unwrap_err().to_string().contains("is no size"), "{text:?}");
        }
    }

    #[test]
    fn a_shown_size_has_one_digit_after_the_point() {
        for (size, text) in [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5_499_999_999, "5.4 GB")] {
            assert_eq!(bytes(size), text);
        }
        assert_eq!(bytes(u64::MAX), "18446744.0 TB");
    }

    #[test]
    fn a_shown_span_has_at_most_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (1234, "1.2s"),
            (59_999, "59.9s"),
            (61_000, "1m 1s"),
            (3_600_000, "1h 0m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(shown(millis), text);
        }
    }
}
