//! Texts -> durations, sizes and the like; and how those are shown to people.

use std::time::Duration;

const NANOS: u128 = 1_000_000_000;

/// Units of durations with their nanoseconds; the first name of each is the one that is shown.
const DURATIONS: &[(&[&str], u128)] = &[
    (&["ms"], NANOS / 1000),
    (&["s", "sec", "second", "seconds"], NANOS),
    (&["min", "m", "minute", "minutes"], 60 * NANOS),
    (&["h", "hr", "hour", "hours"], 3600 * NANOS),
    (&["d", "day", "days"], 24 * 3600 * NANOS),
];

/// Units of sizes with their bytes; the first name of each is the one that is shown.
const SIZES: &[(&[&str], u128)] = &[
    (&["B", "byte", "bytes"], 1),
    (&["kB"], 1000),
    (&["KiB", "K"], 1 << 10),
    (&["MB"], 1_000_000),
    (&["MiB", "M"], 1 << 20),
    (&["GB"], 1_000_000_000),
    (&["GiB", "G"], 1 << 30),
];

/// A duration: seconds, or numbers with units.
pub fn duration(text: &str) -> Option<Duration> {
    let nanos = sum(text, NANOS, |unit| {
        DURATIONS.iter().find(|(names, _)| names.contains(&unit)).map(|(_, nanos)| *nanos)
    })?;
    let seconds = u64::try_from(nanos / NANOS).ok()?;
    let rest = u32::try_from(nanos % NANOS).ok()?;
    Some(Duration::new(seconds, rest))
}

/// A size: bytes, or a number with a unit. Upper and lower case of units make no difference.
pub(crate) fn size(text: &str) -> Option<u64> {
    let bytes = sum(text, 1, |unit| {
        let named = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(unit));
        SIZES.iter().find(|(names, _)| named(names)).map(|(_, bytes)| *bytes)
    })?;
    u64::try_from(bytes).ok()
}

/// A number.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A whole number.
pub(super) fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// `true` or `false`, in any of YAML's spellings.
pub(super) fn flag(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Some(true),
        "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A number by itself, in `bare` units; or numbers with units one after the other, added up.
fn sum(text: &str, bare: u128, unit: impl Fn(&str) -> Option<u128>) -> Option<u128> {
    let mut rest = text.trim();
    let mut total: Option<u128> = None;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (name, after) = after.split_at_checked(end)?;
        let worth = match name {
            "" if total.is_none() && after.is_empty() => bare,
            "" => return None,
            name => unit(name)?,
        };
        total = Some(total.unwrap_or(0).checked_add(times(number, worth)?)?);
        rest = after.trim_start();
    }
    total
}

/// A decimal number times a unit, rounded down.
fn times(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u128>().ok()? };
    let whole = whole.checked_mul(unit)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    // Digits beyond these are below what any unit can tell apart.
    let digits = fraction.get(..fraction.len().min(18))?;
    let part = unit.checked_mul(digits.parse().ok()?)?;
    whole.checked_add(part / 10u128.pow(u32::try_from(digits.len()).ok()?))
}

/// A duration as people write it: in the largest unit of which it is a whole number.
pub fn show_duration(duration: Duration) -> String {
    if duration.is_zero() {
        return "0 s".to_owned();
    }
    show(duration.as_nanos(), DURATIONS).unwrap_or_else(|| format!("{duration:?}"))
}

/// A size as people write it: in the largest binary unit of which it is a whole number.
pub fn show_size(bytes: u64) -> String {
    let binary: Vec<_> =
        SIZES.iter().filter(|(_, worth)| worth.is_power_of_two()).copied().collect();
    match show(u128::from(bytes), &binary) {
        Some(shown) if !shown.ends_with(" B") => shown,
        _ if bytes == 1 => "1 byte".to_owned(),
        _ => format!("{bytes} bytes"),
    }
}

fn show(value: u128, units: &[(&[&str], u128)]) -> Option<String> {
    let (names, worth) =
        units.iter().rev().find(|(_, worth)| value >= *worth && value.is_multiple_of(*worth))?;
    Some(format!("{} {}", value / worth, names.first()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("60", ms(60_000)),
            ("0.5", ms(500)),
            (".5", ms(500)),
            ("500ms", ms(500)),
            ("30s", ms(30_000)),
            ("1.5 s", ms(1500)),
            ("5min", ms(300_000)),
            ("2h", ms(7_200_000)),
            ("1d", ms(86_400_000)),
            ("1min 30s", ms(90_000)),
            ("1min30s", ms(90_000)),
            ("0", ms(0)),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        for text in ["", "s", "-5", "1 2", "1s 2", "1 fortnight", "1,5", "1..5", "4 * 2", "1e3"] {
            assert_eq!(duration(text), None, "{text}");
        }
        assert_eq!(duration("99999999999999999999999999999999999999999"), None);
        assert_eq!(duration("999999999999999999999999999999d"), None);
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("4194304", 4_194_304),
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            ("64kib", 65_536),
            ("4MiB", 4_194_304),
            ("1.5MiB", 1_572_864),
            ("4MB", 4_000_000),
            ("8kB", 8000),
            ("8K", 8192),
            ("1GiB", 1_073_741_824),
            ("12 bytes", 12),
        ] {
            assert_eq!(size(text), Some(expected), "{text}");
        }
        for text in ["", "4 * 1024 * 1024", "-1", "4 mebibytes", "0x10", "99999999999999999999"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn flags() {
        for text in ["true", "True", "TRUE", "yes", "on"] {
            assert_eq!(flag(text), Some(true), "{text}");
        }
        for text in ["false", "no", "Off"] {
            assert_eq!(flag(text), Some(false), "{text}");
        }
        for text in ["", "y", "1", "ja"] {
            assert_eq!(flag(text), None, "{text}");
        }
    }

    #[test]
    fn shown_to_people() {
        assert_eq!(show_duration(Duration::from_millis(1)), "1 ms");
        assert_eq!(show_duration(Duration::from_secs(90)), "90 s");
        assert_eq!(show_duration(Duration::from_secs(3600)), "1 h");
        assert_eq!(show_size(4 * 1024 * 1024), "4 MiB");
        assert_eq!(show_size(1000), "1000 bytes");
        assert_eq!(show_size(1), "1 byte");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 1u64..10_000_000_000, bytes in 0u64..1 << 40) {
            let given = Duration::from_millis(ms);
            prop_assert_eq!(duration(&show_duration(given)), Some(given));
            prop_assert_eq!(size(&show_size(bytes)), Some(bytes));
        }

        #[test]
        fn any_text_is_survived(text in "[0-9a-zA-Z. *-]{0,40}") {
            let _ = (duration(&text), size(&text), integer(&text), flag(&text));
        }

        #[test]
        fn fractions_agree_with_milliseconds(whole in 0u64..1_000_000, thousandths in 0u64..1000) {
            let text = format!("{whole}.{thousandths:03}");
            let expected = Duration::from_millis(whole * 1000 + thousandths);
            prop_assert_eq!(duration(&text), Some(expected));
        }
    }
}
