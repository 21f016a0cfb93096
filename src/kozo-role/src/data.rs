//! The data of Messages and what a Role has stored: values that are still encoded.

use std::borrow::Cow;
use std::fmt;

use base64ct::{Base64, Encoding as _};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Encoding, Error};

/// The name of the one member of an object that stands for bytes in JSON.
const BASE64: &str = "$base64";

/// Bytes, in data or a part of it: as they are in MessagePack, `{"$base64": TEXT}` in JSON.
///
/// `Vec<u8>` and `&[u8]` are lists of numbers to serde.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary<'a>(pub Cow<'a, [u8]>);

impl Serialize for Binary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_bytes(&self.0);
        }
        let mut object = serializer.serialize_map(Some(1))?;
        object.serialize_entry(BASE64, &Base64::encode_string(&self.0))?;
        object.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Binary<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_map(BinaryVisitor)
        } else {
            deserializer.deserialize_bytes(BinaryVisitor)
        }
    }
}

struct BinaryVisitor;

impl<'de> Visitor<'de> for BinaryVisitor {
    type Value = Binary<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("bytes")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Binary<'de>, E> {
        Ok(Binary(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Binary<'de>, E> {
        Ok(Binary(Cow::Owned(bytes.to_vec())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Binary<'de>, A::Error> {
        let entry = object.next_entry::<String, String>()?.filter(|(name, _)| name == BASE64);
        let Some((_, text)) = entry else {
            return Err(A::Error::custom("this is not an object for bytes"));
        };
        let bytes =
            Base64::decode_vec(&text).map_err(|_| A::Error::custom("this is not Base64"))?;
        Ok(Binary(Cow::Owned(bytes)))
    }
}

/// Reads a value.
pub(crate) fn decode<'a, T: Deserialize<'a>>(
    encoding: Encoding,
    bytes: &'a [u8],
) -> Result<T, Error> {
    match encoding {
        Encoding::Json => {
            serde_json::from_slice(bytes).map_err(|error| Error::Decode(error.to_string()))
        }
        Encoding::MessagePack => {
            rmp_serde::from_slice(bytes).map_err(|error| Error::Decode(error.to_string()))
        }
    }
}

/// Writes a value. Nothing is written where that fails.
pub(crate) fn encode<T: Serialize + ?Sized>(
    encoding: Encoding,
    out: &mut Vec<u8>,
    value: &T,
) -> Result<(), Error> {
    let before = out.len();
    let written = match encoding {
        Encoding::Json => serde_json::to_writer(&mut *out, value)
            .map_err(|error| Error::Encode(error.to_string())),
        Encoding::MessagePack => rmp_serde::encode::write_named(&mut *out, value)
            .map_err(|error| Error::Encode(error.to_string())),
    };
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Bytes that stand in a text as Base64.
pub(crate) fn from_base64(text: &str) -> Result<Vec<u8>, Error> {
    Base64::decode_vec(text).map_err(|_| Error::Protocol("this is not Base64".to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Picture<'a> {
        name: String,
        #[serde(borrow)]
        pixels: Binary<'a>,
    }

    #[test]
    fn bytes_within_data_survive_both_encodings() {
        let picture =
            Picture { name: "ö\n".to_owned(), pixels: Binary(Cow::Borrowed(&[0, 255, 10])) };
        for encoding in [Encoding::Json, Encoding::MessagePack] {
            let mut out = Vec::new();
            encode(encoding, &mut out, &picture).unwrap();
            assert_eq!(decode::<Picture<'_>>(encoding, &out).unwrap(), picture);
            if encoding == Encoding::Json {
                let said: serde_json::Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(said, json!({"name": "ö\n", "pixels": {"$base64": "AP8K"}}));
            } else {
                assert!(out.windows(5).any(|part| part == [0xc4, 3, 0, 255, 10]), "{out:?}");
            }
        }
        assert!(decode::<Binary<'_>>(Encoding::Json, br#"{"$base64": "A"}"#).is_err());
        assert!(decode::<Binary<'_>>(Encoding::Json, br#"{"base64": "AAAA"}"#).is_err());
    }

    #[test]
    fn nothing_is_left_of_a_value_that_cannot_be_encoded() {
        let keys = std::collections::BTreeMap::from([(vec![1], 2)]);
        let mut out = b"before".to_vec();
        assert!(matches!(encode(Encoding::Json, &mut out, &keys), Err(Error::Encode(_))));
        assert_eq!(out, b"before");
        encode(Encoding::MessagePack, &mut out, &keys).unwrap();
    }
}
