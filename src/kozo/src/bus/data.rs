//! The data of injected Messages: from D-Bus values to MessagePack.
//!
//! A value of D-Bus is written as MessagePack while it is read, so that it never takes much more memory
//! than the Message: `ay` becomes bytes, other arrays and structures become arrays, dictionaries maps,
//! and all integers keep their value. What D-Bus has no types for comes as JSON or as MessagePack.

use std::fmt;

use rmp::encode;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use zbus::{Signature, Type};

use super::error::Error;
use crate::message::{self, MAX_MESSAGE};

/// How data is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As a value of D-Bus.
    DBus,
    /// As a text with JSON.
    Json,
    /// As bytes with MessagePack.
    MessagePack,
}

/// A value of D-Bus as one MessagePack value, or none when that is larger than any Message.
#[derive(Debug, Default)]
pub(super) struct Data(Option<Vec<u8>>);

impl Data {
    /// The MessagePack for data that was given like this.
    pub(super) fn read(self, encoding: Encoding) -> Result<Vec<u8>, Error> {
        let given = self.0.ok_or_else(too_large)?;
        match encoding {
            Encoding::DBus => Ok(given),
            Encoding::Json => from_json(&given),
            Encoding::MessagePack => from_message_pack(&given),
        }
    }
}

fn too_large() -> Error {
    Error::MessageTooLarge(format!("the data is larger than any message: {MAX_MESSAGE} bytes"))
}

fn from_json(given: &[u8]) -> Result<Vec<u8>, Error> {
    let invalid =
        |problem: &str| Error::InvalidArgument(format!("the data is not JSON: {problem}"));
    let mut given = given;
    let value =
        rmpv::decode::read_value_ref(&mut given).map_err(|_| invalid("it is not a text"))?;
    let rmpv::ValueRef::String(text) = value else { return Err(invalid("it is not a text")) };
    let text = text.as_str().ok_or_else(|| invalid("it is not a text"))?;
    let mut out = Writer::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let written = Json(&mut out).deserialize(&mut json).and_then(|()| json.end());
    written.map_err(|error| invalid(&error.to_string()))?;
    if out.too_large { Err(too_large()) } else { Ok(out.bytes) }
}

fn from_message_pack(given: &[u8]) -> Result<Vec<u8>, Error> {
    let invalid =
        |problem: &str| Error::InvalidArgument(format!("the data is not MessagePack: {problem}"));
    let mut given = given;
    let value = rmpv::decode::read_value_ref(&mut given).map_err(|_| invalid("it is not bytes"))?;
    let rmpv::ValueRef::Binary(bytes) = value else { return Err(invalid("it is not bytes")) };
    message::check(bytes).map_err(|error| Error::InvalidArgument(error.to_string()))?;
    Ok(bytes.to_vec())
}

impl Type for Data {
    const SIGNATURE: &'static Signature = &Signature::Variant;
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        let mut out = Writer::default();
        deserializer.deserialize_any(Variant(&mut out))?;
        Ok(Data((!out.too_large).then_some(out.bytes)))
    }
}

/// MessagePack, as far as it fits into a Message.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    too_large: bool,
}

impl Writer {
    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.too_large {
            write(&mut self.bytes);
            if self.bytes.len() > MAX_MESSAGE {
                self.too_large = true;
                self.bytes = Vec::new();
            }
        }
    }

    /// Puts the head of an array or map in front of what was written since.
    fn put_head(&mut self, start: usize, head: impl FnOnce(&mut Vec<u8>)) {
        if !self.too_large {
            let mut bytes = Vec::with_capacity(5);
            head(&mut bytes);
            self.bytes.splice(start..start, bytes);
        }
    }
}

// Writing to memory cannot fail; what `rmp` gives back is of no use.
macro_rules! writes {
    ($method:ident($type:ty) as $write:ident) => {
        fn $method<E>(self, value: $type) -> Result<(), E> {
            self.writer().write(|out| drop(encode::$write(out, value.into())));
            Ok(())
        }
    };
}

/// A value that is given as JSON.
struct Json<'o>(&'o mut Writer);

impl<'o> Json<'o> {
    fn writer(self) -> &'o mut Writer {
        self.0
    }
}

impl<'de> DeserializeSeed<'de> for Json<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Json<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    writes!(visit_u64(u64) as write_uint);
    writes!(visit_i64(i64) as write_sint);
    writes!(visit_f64(f64) as write_f64);
    writes!(visit_bool(bool) as write_bool);

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.write(|out| drop(encode::write_nil(out)));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.write(|out| drop(encode::write_str(out, value)));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.0.bytes.len();
        let mut length = 0;
        while items.next_element_seed(Json(self.0))?.is_some() {
            length += 1;
        }
        self.0.put_head(start, |out| drop(encode::write_array_len(out, length)));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let start = self.0.bytes.len();
        let mut length = 0;
        while entries.next_key_seed(Json(self.0))?.is_some() {
            entries.next_value_seed(Json(self.0))?;
            length += 1;
        }
        self.0.put_head(start, |out| drop(encode::write_map_len(out, length)));
        Ok(())
    }
}

/// A variant: a signature, and a value of that.
struct Variant<'o>(&'o mut Writer);

impl<'de> Visitor<'de> for Variant<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a variant")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<(), A::Error> {
        let missing = |what| de::Error::custom(format_args!("a variant without {what}"));
        let signature: Signature = parts.next_element()?.ok_or_else(|| missing("a signature"))?;
        let value = Value { signature: &signature, out: self.0 };
        parts.next_element_seed(value)?.ok_or_else(|| missing("a value"))
    }
}

/// A value of a known signature.
struct Value<'s, 'o> {
    signature: &'s Signature,
    out: &'o mut Writer,
}

impl<'o> Value<'_, 'o> {
    fn writer(self) -> &'o mut Writer {
        self.out
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.signature {
            Signature::Variant => deserializer.deserialize_any(Variant(self.out)),
            Signature::Array(child) if **child == Signature::U8 => {
                deserializer.deserialize_bytes(self)
            }
            Signature::Fd => Err(de::Error::custom("a file descriptor cannot be sent")),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {}", self.signature)
    }

    writes!(visit_bool(bool) as write_bool);
    writes!(visit_u8(u8) as write_uint);
    writes!(visit_u16(u16) as write_uint);
    writes!(visit_u32(u32) as write_uint);
    writes!(visit_u64(u64) as write_uint);
    writes!(visit_i16(i16) as write_sint);
    writes!(visit_i32(i32) as write_sint);
    writes!(visit_i64(i64) as write_sint);
    writes!(visit_f64(f64) as write_f64);

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.out.write(|out| drop(encode::write_str(out, value)));
        Ok(())
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<(), E> {
        self.out.write(|out| drop(encode::write_bin(out, value)));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.out.bytes.len();
        let mut length = 0;
        loop {
            let signature = match self.signature {
                Signature::Array(child) => Some(&**child),
                Signature::Structure(fields) => fields.iter().nth(length),
                _ => None,
            };
            // A structure has no more items than fields; what is asked about one more is not used.
            let signature = signature.unwrap_or(&Signature::Unit);
            match items.next_element_seed(Value { signature, out: self.out })? {
                Some(()) => length += 1,
                None => break,
            }
        }
        let length = count(length)?;
        self.out.put_head(start, |out| drop(encode::write_array_len(out, length)));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Signature::Dict { key, value } = self.signature else {
            return Err(de::Error::custom("a dictionary where there should be none"));
        };
        let start = self.out.bytes.len();
        let mut length = 0;
        while entries.next_key_seed(Value { signature: key, out: self.out })?.is_some() {
            entries.next_value_seed(Value { signature: value, out: self.out })?;
            length += 1;
        }
        let length = count(length)?;
        self.out.put_head(start, |out| drop(encode::write_map_len(out, length)));
        Ok(())
    }
}

fn count<E: de::Error>(length: usize) -> Result<u32, E> {
    u32::try_from(length).map_err(|_| de::Error::custom("too many items"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rmpv::Value;
    use zbus::wire::serialized::Context;
    use zbus::wire::{LE, to_bytes};

    use super::*;

    fn sent(value: &zbus::Variant<'_>) -> Value {
        let bytes = to_bytes(Context::new(LE, 0), value).unwrap();
        let data: Data = bytes.deserialize().unwrap().0;
        unpacked(&data.read(Encoding::DBus).unwrap())
    }

    fn unpacked(mut bytes: &[u8]) -> Value {
        let value = rmpv::decode::read_value(&mut bytes).unwrap();
        assert!(bytes.is_empty());
        value
    }

    fn read(value: &zbus::Variant<'_>, encoding: Encoding) -> Result<Value, Error> {
        let bytes = to_bytes(Context::new(LE, 0), value).unwrap();
        let data: Data = bytes.deserialize().unwrap().0;
        data.read(encoding).map(|bytes| unpacked(&bytes))
    }

    #[test]
    fn values_keep_what_they_mean() {
        use zbus::Variant as V;
        let nested = V::new(V::new(V::from(7_u32)));
        let map = BTreeMap::from([("a", V::from(1_u8)), ("b", V::from("é"))]);
        let wanted_map = Value::Map(vec![("a".into(), 1.into()), ("b".into(), Value::from("é"))]);
        let numbers = BTreeMap::from([(i64::MIN, true)]);
        for (given, wanted) in [
            (V::from(true), Value::from(true)),
            (V::from(u8::MAX), 255.into()),
            (V::from(i16::MIN), i16::MIN.into()),
            (V::from(u16::MAX), u16::MAX.into()),
            (V::from(i32::MIN), i32::MIN.into()),
            (V::from(u32::MAX), u32::MAX.into()),
            (V::from(i64::MIN), i64::MIN.into()),
            (V::from(u64::MAX), u64::MAX.into()),
            (V::from(2.5), 2.5.into()),
            (V::from(f64::INFINITY), f64::INFINITY.into()),
            (V::from("é"), "é".into()),
            (V::from(zbus::ObjectPath::try_from("/a").unwrap()), "/a".into()),
            (V::from(Signature::U8), "y".into()),
            (V::from(&[0_u8, 255][..]), Value::Binary(vec![0, 255])),
            (V::from(Vec::<u8>::new()), Value::Binary(vec![])),
            (V::from(vec!["a", "b"]), Value::Array(vec!["a".into(), "b".into()])),
            (V::from(Vec::<i32>::new()), Value::Array(vec![])),
            (V::from(vec![V::from(1_i64), V::from("x")]), Value::Array(vec![1.into(), "x".into()])),
            (
                V::from((1_u8, "x", vec![vec![1_u8], vec![]])),
                Value::Array(vec![
                    1.into(),
                    "x".into(),
                    Value::Array(vec![Value::Binary(vec![1]), Value::Binary(vec![])]),
                ]),
            ),
            (V::from(map), wanted_map),
            (V::from(numbers), Value::Map(vec![(i64::MIN.into(), true.into())])),
            (nested, 7.into()),
        ] {
            assert_eq!(sent(&given), wanted, "{given:?}");
        }
    }

    #[test]
    fn long_arrays_get_long_heads() {
        let items: Vec<u32> = (0..70_000).collect();
        let wanted = items.iter().map(|item| Value::from(*item)).collect();
        assert_eq!(sent(&zbus::Variant::from(items)), Value::Array(wanted));
    }

    #[test]
    fn json_and_message_pack_say_what_d_bus_cannot() {
        let json = r#"{"b": [1, 2.5, "é", null, true], "a": 18446744073709551615, "c": -9223372036854775808}"#;
        let wanted = Value::Map(vec![
            (
                "b".into(),
                Value::Array(vec![1.into(), 2.5.into(), "é".into(), Value::Nil, true.into()]),
            ),
            ("a".into(), u64::MAX.into()),
            ("c".into(), i64::MIN.into()),
        ]);
        assert_eq!(read(&json.into(), Encoding::Json).unwrap(), wanted);
        let mut packed = Vec::new();
        let odd = Value::Map(vec![(Value::Nil, Value::Ext(3, vec![1]))]);
        rmpv::encode::write_value(&mut packed, &odd).unwrap();
        assert_eq!(read(&packed.into(), Encoding::MessagePack).unwrap(), odd);
        for (given, encoding, problem) in [
            (zbus::Variant::from("[1"), Encoding::Json, "the data is not JSON: EOF"),
            (zbus::Variant::from(1_u8), Encoding::Json, "it is not a text"),
            (zbus::Variant::from("x"), Encoding::MessagePack, "it is not bytes"),
        ] {
            let Err(Error::InvalidArgument(text)) = read(&given, encoding) else {
                unreachable!("{given:?} is taken")
            };
            assert!(text.contains(problem), "{text}");
        }
    }

    #[test]
    fn many_small_values_are_packed_without_more_memory() {
        // Every value two bytes of JSON, and one of MessagePack.
        let json = format!("[{}1]", "1,".repeat(3_000_000));
        let bytes = to_bytes(Context::new(LE, 0), &zbus::Variant::from(json)).unwrap();
        let data: Data = bytes.deserialize().unwrap().0;
        let packed = data.read(Encoding::Json).unwrap();
        assert_eq!(packed.len(), 5 + 3_000_001);
        let bytes = to_bytes(Context::new(LE, 0), &zbus::Variant::from(packed.clone())).unwrap();
        let data: Data = bytes.deserialize().unwrap().0;
        assert_eq!(data.read(Encoding::MessagePack).unwrap(), packed);
    }

    #[test]
    fn what_is_too_large_takes_no_memory() {
        let large = zbus::Variant::from(vec![0_u8; MAX_MESSAGE + 1]);
        assert!(matches!(read(&large, Encoding::DBus), Err(Error::MessageTooLarge(_))));
    }
}
