//! MessagePack from elsewhere: whether bytes are one value, and not too many, before anything is made of them.
//!
//! A byte can be a value, and a value in memory takes dozens of bytes. So code that makes values of bytes that
//! others sent, or that a disk kept, has them counted here first, which takes no memory.

use rmp::Marker;
use smallvec::SmallVec;

/// Why no value is made of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// They are not exactly one value.
    #[error("{0}")]
    Malformed(String),
    /// There are more values in it than are looked at.
    #[error("it has more than {0} values, too many for its size")]
    TooMany(usize),
}

/// Most values that are made of so many bytes: what they take in memory is in proportion to the bytes.
pub fn most_values(bytes: usize) -> usize {
    64 * 1024 + bytes / 8
}

/// Checks that the bytes are one value, with no more than `most` values in it and itself, nested no deeper.
pub fn check(data: &[u8], max_depth: usize, most: usize) -> Result<(), Problem> {
    if most > 0 && flat_length(data) == Some(data.len()) {
        return Ok(());
    }
    let mut scanner = Scanner::default();
    match scanner.scan(data, max_depth, most)? {
        Some(length) if length == data.len() => Ok(()),
        Some(length) => Err(Problem::Malformed(format!("{} bytes too many", data.len() - length))),
        None => Err(Problem::Malformed("it ends too early".to_owned())),
    }
}

/// Finds the end of a value whose bytes come in pieces. Takes memory only for how deep it is nested, if
/// that is deeper than a Message.
#[derive(Debug)]
pub struct Scanner {
    /// How many values the innermost array or map still lacks; at first the value itself.
    missing: u64,
    /// The same of each array and map around it, from the outermost on.
    around: SmallVec<[u64; 4]>,
    values: usize,
    /// Bytes that are known to belong to it, some of which may be still to come.
    known: usize,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner { missing: 1, around: SmallVec::new(), values: 0, known: 0 }
    }
}

impl Scanner {
    /// Goes on with the bytes that are there by now, from the beginning of the value on. Gives its length once all of it
    /// is there.
    ///
    /// # Errors
    /// When it is none, nested deeper than `max_depth`, or has more than `most` values in it and itself.
    pub fn scan(
        &mut self,
        data: &[u8],
        max_depth: usize,
        most: usize,
    ) -> Result<Option<usize>, Problem> {
        loop {
            // What is inside of a text or of bytes may be still to come; nothing can be wrong with it.
            let Some(rest) = data.get(self.known..) else { return Ok(None) };
            if self.missing == 0 {
                return Ok(Some(self.known));
            }
            let Some(head) = head(rest) else { return Ok(None) };
            let Some(bytes) = head.bytes else {
                return Err(Problem::Malformed("there is no value that begins with c1".to_owned()));
            };
            self.values += 1;
            if self.values > most {
                return Err(Problem::TooMany(most));
            }
            self.known = self.known.saturating_add(bytes);
            self.missing -= 1;
            if head.inside > 0 {
                if self.around.len() >= max_depth {
                    return Err(Problem::Malformed("it is nested too deeply".to_owned()));
                }
                self.around.push(self.missing);
                self.missing = head.inside;
            }
            while self.missing == 0
                && let Some(outer) = self.around.pop()
            {
                self.missing = outer;
            }
        }
    }

    /// Bytes that the value has at least.
    pub fn known(&self) -> usize {
        self.known
    }

    /// Values that were found so far.
    pub fn values(&self) -> usize {
        self.values
    }
}

/// The beginning of a value.
struct Head {
    /// Bytes of the value but for the values inside of it. None: there is no such value.
    bytes: Option<usize>,
    /// Values inside of it.
    inside: u64,
}

/// What the bytes begin with, if that is there.
fn head(data: &[u8]) -> Option<Head> {
    let (marker, after) = data.split_first()?;
    let values = |size: usize, inside: u64| Some(Head { bytes: Some(1 + size), inside });
    let bytes = |size: usize, length: u64| {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Some(Head { bytes: Some(length.saturating_add(1 + size)), inside: 0 })
    };
    match Marker::from_u8(*marker) {
        Marker::Reserved => Some(Head { bytes: None, inside: 0 }),
        Marker::FixArray(count) => values(0, count.into()),
        Marker::Array16 => values(2, number::<2>(after)?),
        Marker::Array32 => values(4, number::<4>(after)?),
        Marker::FixMap(count) => values(0, 2 * u64::from(count)),
        Marker::Map16 => values(2, 2 * number::<2>(after)?),
        Marker::Map32 => values(4, 2 * number::<4>(after)?),
        Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => {
            bytes(0, 0)
        }
        Marker::U8 | Marker::I8 => bytes(0, 1),
        Marker::U16 | Marker::I16 => bytes(0, 2),
        Marker::U32 | Marker::I32 | Marker::F32 => bytes(0, 4),
        Marker::U64 | Marker::I64 | Marker::F64 => bytes(0, 8),
        Marker::FixStr(length) => bytes(0, length.into()),
        Marker::Str8 | Marker::Bin8 => bytes(1, number::<1>(after)?),
        Marker::Str16 | Marker::Bin16 => bytes(2, number::<2>(after)?),
        Marker::Str32 | Marker::Bin32 => bytes(4, number::<4>(after)?),
        // The type of an extension is a byte.
        Marker::FixExt1 => bytes(1, 1),
        Marker::FixExt2 => bytes(1, 2),
        Marker::FixExt4 => bytes(1, 4),
        Marker::FixExt8 => bytes(1, 8),
        Marker::FixExt16 => bytes(1, 16),
        Marker::Ext8 => bytes(2, number::<1>(after)?),
        Marker::Ext16 => bytes(3, number::<2>(after)?),
        Marker::Ext32 => bytes(5, number::<4>(after)?),
    }
}

/// The length of the value that comes first, if it is whole and has none inside of it: found without a [`Scanner`].
pub fn flat_length(data: &[u8]) -> Option<usize> {
    let head = head(data)?;
    head.bytes.filter(|bytes| head.inside == 0 && *bytes <= data.len())
}

/// The number in so many bytes, the highest first.
fn number<const BYTES: usize>(data: &[u8]) -> Option<u64> {
    let bytes = data.first_chunk::<BYTES>()?;
    Some(bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rmpv::Value;

    use super::*;
    use crate::values;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        rmpv::encode::write_value(&mut out, value).unwrap();
        out
    }

    fn value() -> impl Strategy<Value = Value> {
        values::value(values::leaf(), |inner| values::map(inner.clone(), inner))
    }

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Map(items) => items.iter().map(|(key, value)| count(key) + count(value)).sum(),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_one_value_and_counted(value in value()) {
            let (data, values) = (encoded(&value), count(&value));
            prop_assert_eq!(check(&data, 9, values), Ok(()));
            prop_assert_eq!(check(&data, 9, values - 1), Err(Problem::TooMany(values - 1)));
            for end in 0..data.len().min(64) {
                prop_assert!(check(data.get(..end).unwrap(), 9, values).is_err());
            }
        }

        #[test]
        fn the_end_is_found_however_the_bytes_come(value in value(), step in 1_usize..50) {
            let (data, mut scanner) = (encoded(&value), Scanner::default());
            let with_more = [&data[..], &[0xc1]].concat();
            let mut there = 0;
            let length = loop {
                if let Some(length) = scanner.scan(&with_more[..there], 9, usize::MAX).unwrap() {
                    break length;
                }
                there = (there + step).min(with_more.len());
            };
            prop_assert_eq!((length, scanner.values()), (data.len(), count(&value)));
        }

        #[test]
        fn what_is_flat_is_as_long_as_the_scanner_says(value in value()) {
            let data = encoded(&value);
            let empty = matches!(&value, Value::Array(items) if items.is_empty())
                || matches!(&value, Value::Map(items) if items.is_empty());
            let is_flat = empty || !matches!(value, Value::Array(_) | Value::Map(_));
            prop_assert_eq!(flat_length(&data), is_flat.then_some(data.len()));
            prop_assert_eq!(flat_length(&data[..data.len() - 1]), None);
        }

        #[test]
        fn whatever_it_takes_can_be_read(data in vec(any::<u8>(), 0..100)) {
            let read = rmpv::decode::read_value(&mut data.as_slice());
            if check(&data, 99, 99) == Ok(()) {
                prop_assert!(read.is_ok());
            }
        }
    }

    #[test]
    fn long_ones_and_deep_ones() {
        let long = Value::Array(vec![Value::from(&[0; 70_000][..]); 10]);
        assert_eq!(check(&encoded(&long), 1, 11), Ok(()));
        let nils = Value::Array(vec![Value::Nil; 70_000]);
        assert_eq!(check(&encoded(&nils), 1, 70_001), Ok(()));
        let nested = [&[0x91; 5][..], &[0xc0]].concat();
        assert_eq!(check(&nested, 5, 6), Ok(()));
        assert!(check(&nested, 4, 6).is_err());
        assert!(check(&[0xdd, 0xff, 0xff, 0xff, 0xff], 9, 9).is_err());
        assert!(check(&[0xc0, 0xc0], 9, 9).is_err());
    }
}
