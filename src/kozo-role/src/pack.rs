//! Where values of MessagePack begin and end.

use crate::Error;

/// Finds the end of a value that comes in pieces. What was looked at once is not looked at again.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// Bytes of the value that are accounted for, which may be more than are there.
    at: usize,
    /// Values that have not begun.
    missing: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner { at: 0, missing: 1 }
    }
}

impl Scanner {
    /// How long the value is at whose beginning `bytes` are; nothing while some of it is missing.
    ///
    /// # Errors
    /// When it is no MessagePack.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        while self.missing > 0 {
            let Some(rest) = bytes.get(self.at..).filter(|rest| !rest.is_empty()) else {
                return Ok(None);
            };
            let Some((length, within)) = head(rest)? else { return Ok(None) };
            self.at = self.at.saturating_add(length);
            self.missing = self.missing.saturating_add(within) - 1;
        }
        Ok(Some(self.at).filter(|at| *at <= bytes.len()))
    }

    /// Bytes that the value has at least.
    pub(crate) fn known(&self) -> usize {
        self.at
    }
}

/// The length of the value that begins here, without the values within it, and how many those are.
fn head(bytes: &[u8]) -> Result<Option<(usize, u64)>, Error> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let low = |mask: u8| usize::from(first & mask);
    let fixed = |length| Ok(Some((length, 0)));
    let sized = |width: usize, more: usize| {
        Ok(number(rest, width).map(|length| (length.saturating_add(1 + width + more), 0)))
    };
    let nested = |width: usize, each: u64| {
        let count = number(rest, width);
        Ok(count.map(|count| {
            (1 + width, u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(each))
        }))
    };
    match first {
        0x80..=0x8f => Ok(Some((1, u64::from(first & 0x0f) * 2))),
        0x90..=0x9f => Ok(Some((1, u64::from(first & 0x0f)))),
        0xa0..=0xbf => fixed(1 + low(0x1f)),
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => fixed(1),
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => fixed(2),
        0xcd | 0xd1 | 0xd4 => fixed(3),
        0xd5 => fixed(4),
        0xca | 0xce | 0xd2 => fixed(5),
        0xd6 => fixed(6),
        0xcb | 0xcf | 0xd3 => fixed(9),
        0xd7 => fixed(10),
        0xd8 => fixed(18),
        0xdc => nested(2, 1),
        0xdd => nested(4, 1),
        0xde => nested(2, 2),
        0xdf => nested(4, 2),
        0xc1 => Err(Error::Protocol("this is not MessagePack: it has a byte 0xc1".to_owned())),
    }
}

fn number(bytes: &[u8], width: usize) -> Option<usize> {
    let bytes = bytes.get(..width)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// Takes a value off the front.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let length = Scanner::default().scan(rest)?;
    let (value, after) = length
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| Error::Protocol("a value of MessagePack ends too early".to_owned()))?;
    *rest = after;
    Ok(value)
}

/// Gives each member of an object to `each`: its name, and its value as it is encoded.
pub(crate) fn members<'a>(
    object: &'a [u8],
    mut each: impl FnMut(&'a str, &'a [u8]),
) -> Result<(), Error> {
    let mut rest = object;
    let count = rmp::decode::read_map_len(&mut rest)
        .map_err(|_| Error::Protocol("this is not an object".to_owned()))?;
    for _ in 0..count {
        let name = take(&mut rest)?;
        let value = take(&mut rest)?;
        each(text(name).unwrap_or_default(), value);
    }
    Ok(())
}

/// A text, if it is one.
pub(crate) fn text(mut value: &[u8]) -> Option<&str> {
    rmp::decode::read_str_len(&mut value).ok()?;
    std::str::from_utf8(value).ok()
}

/// A whole number, if it is one that is not negative.
pub(crate) fn unsigned(mut value: &[u8]) -> Option<u64> {
    rmp::decode::read_int(&mut value).ok()
}

/// Bytes, if they are some.
pub(crate) fn binary(mut value: &[u8]) -> Option<&[u8]> {
    rmp::decode::read_bin_len(&mut value).ok()?;
    Some(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn values_of_every_kind_end_where_they_end() {
        let long = "x".repeat(70_000);
        let many: Vec<u32> = (0..70_000).collect();
        let values = [
            json!(null),
            json!(true),
            json!(-1),
            json!(-200),
            json!(-40_000),
            json!(i64::MIN),
            json!(7),
            json!(200),
            json!(60_000),
            json!(5_000_000),
            json!(u64::MAX),
            json!(1.5),
            json!(""),
            json!("x".repeat(40)),
            json!("x".repeat(300)),
            json!(long),
            json!([]),
            json!([1, [2, {"a": 3}]]),
            json!(many),
            json!({"a": {"b": []}}),
        ];
        for value in values {
            let bytes = rmp_serde::to_vec(&value).unwrap();
            let behind = [&bytes[..], &[0xc0, 0xc0]].concat();
            assert_eq!(Scanner::default().scan(&behind).unwrap(), Some(bytes.len()));
        }
        for (length, first) in [(3, 0xd4), (4, 0xd5), (6, 0xd6), (10, 0xd7), (18, 0xd8)] {
            let mut bytes = vec![0; length];
            bytes[0] = first;
            assert_eq!(Scanner::default().scan(&bytes).unwrap(), Some(length));
            assert_eq!(Scanner::default().scan(&bytes[..length - 1]).unwrap(), None);
        }
        assert_eq!(Scanner::default().scan(&[0xc7, 2, 1, 0, 0]).unwrap(), Some(5));
        assert!(Scanner::default().scan(&[0x91, 0xc1]).is_err());
    }

    proptest! {
        #[test]
        fn a_value_that_comes_in_pieces_ends_where_a_whole_one_does(texts in prop::collection::vec(".*", 0..20), cut in 1usize..9) {
            let value = json!({"a": texts, "b": [1, 2.5, {"c": null}]});
            let bytes = rmp_serde::to_vec(&value).unwrap();
            let mut scanner = Scanner::default();
            for end in (1..bytes.len()).step_by(cut) {
                prop_assert_eq!(scanner.scan(&bytes[..end]).unwrap(), None);
            }
            prop_assert_eq!(scanner.scan(&bytes).unwrap(), Some(bytes.len()));
        }

        #[test]
        fn any_bytes_are_looked_at_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Scanner::default().scan(&bytes);
            let _ = members(&bytes, |_, value| {
                let _ = (text(value), unsigned(value), binary(value));
            });
        }
    }

    #[test]
    fn members_are_found_by_name() {
        let bytes = rmp_serde::to_vec(&json!({"a": 7, "b": "x", "c": [1, 2]})).unwrap();
        let mut found = Vec::new();
        members(&bytes, |name, value| found.push((name, unsigned(value), text(value)))).unwrap();
        assert_eq!(found, [("a", Some(7), None), ("b", None, Some("x")), ("c", None, None)]);
        assert!(members(&rmp_serde::to_vec(&Value::Null).unwrap(), |_, _| ()).is_err());
    }
}
