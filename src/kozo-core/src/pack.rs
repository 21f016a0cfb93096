//! MessagePack from elsewhere: whether bytes are one value, and not too many, before anything is made of them.
//!
//! A byte can be a value, and a value in memory takes dozens of bytes. So code that makes values of bytes that
//! others sent, or that a disk kept, has them counted here first, which takes no memory.

use rmp::Marker;

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
    let mut rest = data;
    // How many values each array or map still lacks, from the outermost on.
    let mut open: Vec<u64> = Vec::new();
    let mut values = 0;
    loop {
        values += 1;
        if values > most {
            return Err(Problem::TooMany(most));
        }
        let inside = take_head(&mut rest).map_err(|what| Problem::Malformed(what.to_owned()))?;
        if inside > 0 {
            if open.len() >= max_depth {
                return Err(Problem::Malformed("it is nested too deeply".to_owned()));
            }
            open.push(inside);
            continue;
        }
        // A value is complete, and with it perhaps the ones around it.
        loop {
            match open.last_mut() {
                None if rest.is_empty() => return Ok(()),
                None => {
                    return Err(Problem::Malformed(format!("{} bytes too many", rest.len())));
                }
                Some(missing) if *missing > 1 => {
                    *missing -= 1;
                    break;
                }
                Some(_) => {
                    open.pop();
                }
            }
        }
    }
}

/// Takes a value but for what is inside of it; gives how many values that is.
fn take_head(rest: &mut &[u8]) -> Result<u64, &'static str> {
    let marker = take_number(rest, 1)?;
    let bytes = match Marker::from_u8(u8::try_from(marker).unwrap_or_default()) {
        Marker::Reserved => return Err("there is no value that begins with c1"),
        Marker::FixArray(count) => return Ok(count.into()),
        Marker::Array16 => return take_number(rest, 2),
        Marker::Array32 => return take_number(rest, 4),
        Marker::FixMap(count) => return Ok(2 * u64::from(count)),
        Marker::Map16 => return Ok(2 * take_number(rest, 2)?),
        Marker::Map32 => return Ok(2 * take_number(rest, 4)?),
        Marker::Null | Marker::True | Marker::False | Marker::FixPos(_) | Marker::FixNeg(_) => 0,
        Marker::U8 | Marker::I8 => 1,
        Marker::U16 | Marker::I16 => 2,
        Marker::U32 | Marker::I32 | Marker::F32 => 4,
        Marker::U64 | Marker::I64 | Marker::F64 => 8,
        Marker::FixStr(length) => length.into(),
        Marker::Str8 | Marker::Bin8 => take_number(rest, 1)?,
        Marker::Str16 | Marker::Bin16 => take_number(rest, 2)?,
        Marker::Str32 | Marker::Bin32 => take_number(rest, 4)?,
        // The type of an extension is a byte.
        Marker::FixExt1 => 1 + 1,
        Marker::FixExt2 => 1 + 2,
        Marker::FixExt4 => 1 + 4,
        Marker::FixExt8 => 1 + 8,
        Marker::FixExt16 => 1 + 16,
        Marker::Ext8 => 1 + take_number(rest, 1)?,
        Marker::Ext16 => 1 + take_number(rest, 2)?,
        Marker::Ext32 => 1 + take_number(rest, 4)?,
    };
    take(rest, usize::try_from(bytes).unwrap_or(usize::MAX))?;
    Ok(0)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], &'static str> {
    let (taken, after) = rest.split_at_checked(count).ok_or("it ends too early")?;
    *rest = after;
    Ok(taken)
}

fn take_number(rest: &mut &[u8], bytes: usize) -> Result<u64, &'static str> {
    Ok(take(rest, bytes)?.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rmpv::Value;

    use super::*;

    fn encoded(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        rmpv::encode::write_value(&mut out, value).unwrap();
        out
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            vec(any::<u8>(), 0..300).prop_map(Value::from),
            (any::<i8>(), vec(any::<u8>(), 0..20)).prop_map(|(kind, data)| Value::Ext(kind, data)),
        ];
        leaf.prop_recursive(4, 60, 20, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..20).prop_map(Value::Array),
                vec((inner.clone(), inner), 0..20).prop_map(Value::Map),
            ]
        })
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
