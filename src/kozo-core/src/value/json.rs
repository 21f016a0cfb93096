//! Values as JSON that is read back as the same.
//!
//! JSON says all that a Message can carry but bytes and what only MessagePack has; bytes are an object with one
//! entry, `{"$base64": "AAEC"}`. Whole numbers of 64 bits are kept, and the order of entries where it is read and by
//! [`with_marked_bytes`]; [`of`] sorts them.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use data_encoding::{BASE64, BASE64_NOPAD, DecodeError};
use rmpv::Value;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::show;
use crate::pack;

/// The key that marks bytes.
const BASE64_KEY: &str = "$base64";

/// Nesting beyond which a value is not written as JSON: readers have bounds of their own, of which 128 is a low one, and
/// the value is inside of others.
pub const MAX_DEPTH: usize = 100;

/// A whole number as a text, for fields that may be beyond 2^53, which many readers of JSON round.
pub mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes it.
    ///
    /// # Errors
    /// When the serializer has some.
    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    /// Reads it, also as the number that older versions write.
    ///
    /// # Errors
    /// When it is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(number),
            Written::Text(text) => text.parse().map_err(de::Error::custom),
        }
    }
}

/// Reads one value, which must be the whole text.
///
/// # Errors
/// When it is not JSON, nested more than 127 deep, a key appears twice or bytes are no Base64.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    parse_within(text, usize::MAX)
}

/// Reads one value from a stranger: what is made of it takes memory in proportion to its size.
///
/// # Errors
/// As [`parse`], and when it has too many values for its size.
pub fn parse_in_proportion(text: &str) -> Result<Value, serde_json::Error> {
    parse_within(text, pack::most_values(text.len()))
}

fn parse_within(text: &str, most: usize) -> Result<Value, serde_json::Error> {
    let left = Cell::new(most);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Json { left: &left, most }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A value as JSON that [`parse`] takes as the same, as far as JSON goes: keys that are no texts, and
/// what only MessagePack has, become texts.
pub fn of(value: &Value) -> serde_json::Value {
    match value {
        Value::Binary(bytes) => serde_json::json!({ BASE64_KEY: BASE64.encode(bytes) }),
        Value::Array(items) => items.iter().map(of).collect(),
        Value::Map(entries) => {
            let key = |key: &Value| key.as_str().map_or_else(|| show::text(key), str::to_owned);
            entries.iter().map(|(name, value)| (key(name), of(value))).collect()
        }
        other => show::json(other),
    }
}

/// The value with bytes as [`of`] says them, where nothing makes JSON of it that knows of them.
pub fn with_marked_bytes(value: Value) -> Value {
    match value {
        Value::Binary(bytes) => Value::Map(vec![(BASE64_KEY.into(), BASE64.encode(&bytes).into())]),
        Value::Array(items) => items.into_iter().map(with_marked_bytes).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            let marked = |(key, value)| (key, with_marked_bytes(value));
            Value::Map(entries.into_iter().map(marked).collect())
        }
        other => other,
    }
}

/// Whether [`of`] says all of the value but the order of entries, in JSON that [`parse`] takes as the same. (A number of
/// 32 bits with a fraction becomes one of 64.)
pub fn is_exact(value: &Value) -> bool {
    is_exact_within(value, MAX_DEPTH)
}

fn is_exact_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::Nil | Value::Boolean(_) | Value::Integer(_) | Value::Binary(_) => true,
        Value::F32(number) => number.is_finite(),
        Value::F64(number) => number.is_finite(),
        Value::String(text) => text.is_str(),
        Value::Ext(..) => false,
        Value::Array(items) => {
            depth > 0 && items.iter().all(|item| is_exact_within(item, depth - 1))
        }
        Value::Map(entries) => {
            let mut keys = HashSet::new();
            let exact = |(key, value): &(Value, Value)| {
                key.as_str().is_some_and(|key| keys.insert(key.to_owned()))
                    && is_exact_within(value, depth - 1)
            };
            depth > 0 && marked_bytes(entries).is_none() && entries.iter().all(exact)
        }
    }
}

/// Whether arrays and maps are nested no deeper than [`MAX_DEPTH`].
pub fn is_shallow(value: &Value) -> bool {
    fn within(value: &Value, depth: usize) -> bool {
        match value {
            Value::Array(items) => depth > 0 && items.iter().all(|item| within(item, depth - 1)),
            Value::Map(entries) => {
                depth > 0
                    && entries
                        .iter()
                        .all(|(key, value)| within(key, depth - 1) && within(value, depth - 1))
            }
            _ => true,
        }
    }
    within(value, MAX_DEPTH)
}

/// The text of a map that stands for bytes.
fn marked_bytes(entries: &[(Value, Value)]) -> Option<&str> {
    match entries {
        [(key, Value::String(text))] if key.as_str() == Some(BASE64_KEY) => {
            Some(text.as_str().unwrap_or_default())
        }
        _ => None,
    }
}

/// Reads bytes from Base64. Many programs leave out the padding.
///
/// # Errors
/// When it is none.
pub fn bytes(text: &str) -> Result<Vec<u8>, DecodeError> {
    BASE64.decode(text.as_bytes()).or_else(|_| BASE64_NOPAD.decode(text.as_bytes()))
}

/// Reads a value, and counts those that are in it.
#[derive(Clone, Copy)]
struct Json<'a> {
    left: &'a Cell<usize>,
    most: usize,
}

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(de::Error::custom(pack::Problem::TooMany(self.most)));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all: Vec<(Value, Value)> = Vec::new();
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                return Err(de::Error::custom(format_args!("the key '{key}' appears twice")));
            }
            let value = entries.next_value_seed(self)?;
            keys.insert(key.clone());
            all.push((key.into(), value));
        }
        match marked_bytes(&all) {
            Some(text) => bytes(text).map(Value::Binary).map_err(de::Error::custom),
            None => Ok(Value::Map(all)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::values;

    fn value() -> impl Strategy<Value = Value> {
        let key = prop_oneof![Just(BASE64_KEY.to_owned()), ".{0,5}"].prop_map(Value::from).boxed();
        values::value(values::sayable_leaf(), move |inner| values::map(key.clone(), inner))
    }

    proptest! {
        #[test]
        fn what_json_can_say_comes_back_the_same(value in value()) {
            let said = of(&value);
            if is_exact(&value) {
                let marked = serde_json::to_string(&with_marked_bytes(value.clone())).unwrap();
                prop_assert_eq!(parse(&marked).unwrap(), value);
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&marked).unwrap(), said);
            }
        }
    }

    fn problem(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_place() {
        assert_eq!(
            problem(r#"{"a": 1, "b": {"c": 1, "c": 2}}"#),
            "the key 'c' appears twice at line 1 column 26"
        );
        assert_eq!(problem("[1, x]"), "expected value at line 1 column 5");
        assert_eq!(problem("1 2"), "trailing characters at line 1 column 3");
        assert!(problem(r#"{"$base64": "?"}"#).contains("line 1 column"));
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&deep(127)).is_ok());
        assert!(problem(&deep(128)).starts_with("recursion limit exceeded"));
    }

    #[test]
    fn values_that_take_a_byte_each_are_counted() {
        let nulls = |count: usize| format!("[{}1]", "1,".repeat(count));
        assert!(parse_in_proportion(&nulls(20_000)).is_ok());
        let many = nulls(200_000);
        assert!(parse(&many).is_ok());
        let problem = parse_in_proportion(&many).unwrap_err().to_string();
        let most = pack::most_values(many.len());
        assert!(problem.starts_with(&format!("it has more than {most} values")), "{problem}");
    }

    #[test]
    fn what_is_nested_deeply_is_not_exact() {
        let nested = |depth: usize| (0..depth).fold(Value::Nil, |inner, _| vec![inner].into());
        assert!(is_exact(&nested(MAX_DEPTH)) && is_shallow(&nested(MAX_DEPTH)));
        assert!(!is_exact(&nested(MAX_DEPTH + 1)) && !is_shallow(&nested(MAX_DEPTH + 1)));
    }

    #[test]
    fn a_map_that_looks_like_bytes_is_not_exact() {
        let map = |value: Value| Value::Map(vec![(BASE64_KEY.into(), value)]);
        assert!(!is_exact(&map("AAEC".into())));
        assert!(is_exact(&map(1.into())));
    }
}
