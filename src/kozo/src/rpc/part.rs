//! What a program said, taken apart without making more of it than is asked for: a value that is still encoded, and
//! where in the line it stands.

use std::borrow::Cow;
use std::fmt;

use kozo_core::pack::{self, Scanner};
use kozo_core::value::{json, show};
use rmp::Marker;
use rmpv::Value;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess};
use serde::de::{SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::Encoding;
use super::fault::{Fault, code};
use crate::message;

/// Nesting of what a program says beyond which it is refused.
pub(crate) const MAX_DEPTH: usize = 256;

/// What kind of value there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Object,
    List,
    Text,
    Truth,
    Null,
    Number,
    Bytes,
    Extension,
    Nothing,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Shape::Object => "an object",
            Shape::List => "a list",
            Shape::Text => "a text",
            Shape::Truth => "true or false",
            Shape::Null => "null",
            Shape::Number => "a number",
            Shape::Bytes => "bytes",
            Shape::Extension => "an extension",
            Shape::Nothing => "nothing",
        })
    }
}

/// A value that is still encoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    encoded: Encoded<'a>,
    /// Bytes of the line before it.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Encoded<'a> {
    Json(&'a str),
    Pack(&'a [u8]),
}

impl<'a> Part<'a> {
    /// All of a line, or of a value of MessagePack.
    ///
    /// # Errors
    /// When a line is not UTF-8.
    pub(crate) fn new(encoding: Encoding, line: &'a [u8]) -> Result<Part<'a>, Fault> {
        let encoded = match encoding {
            Encoding::MessagePack => Encoded::Pack(line),
            Encoding::Json => Encoded::Json(std::str::from_utf8(line).map_err(|error| Fault {
                at: Some(error.valid_up_to()),
                ..Fault::new(code::PARSE, "this is not UTF-8")
            })?),
        };
        Ok(Part { encoded, at: 0 })
    }

    /// Whether there is nothing at all.
    pub(crate) fn is_blank(&self) -> bool {
        matches!(self.encoded, Encoded::Json(text) if text.trim_ascii().is_empty())
    }

    /// Something is wrong with it.
    pub(crate) fn fault(&self, code: i32, text: impl Into<String>) -> Fault {
        Fault { at: Some(self.at), ..Fault::new(code, text) }
    }

    /// It should be something else.
    fn mismatch(&self, what: &str, wanted: &str) -> Fault {
        let text = format!("{what} is {wanted}, and this is {}", self.shape());
        self.fault(code::INVALID_PARAMS, text)
    }

    fn shape(&self) -> Shape {
        match self.encoded {
            Encoded::Json(text) => match text.trim_ascii_start().bytes().next() {
                Some(b'{') => Shape::Object,
                Some(b'[') => Shape::List,
                Some(b'"') => Shape::Text,
                Some(b't' | b'f') => Shape::Truth,
                Some(b'n') => Shape::Null,
                Some(b'-' | b'0'..=b'9') => Shape::Number,
                _ => Shape::Nothing,
            },
            Encoded::Pack(bytes) => match bytes.first().map(|first| Marker::from_u8(*first)) {
                Some(Marker::FixMap(_) | Marker::Map16 | Marker::Map32) => Shape::Object,
                Some(Marker::FixArray(_) | Marker::Array16 | Marker::Array32) => Shape::List,
                Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                    Shape::Text
                }
                Some(Marker::True | Marker::False) => Shape::Truth,
                Some(Marker::Null) => Shape::Null,
                Some(Marker::Bin8 | Marker::Bin16 | Marker::Bin32) => Shape::Bytes,
                Some(marker) if is_number(marker) => Shape::Number,
                _ => Shape::Extension,
            },
        }
    }

    /// Its members of these names, which may be missing. All others are passed over.
    ///
    /// # Errors
    /// When it is no object, or has one of them twice; `code` says what kind of error that is.
    pub(crate) fn pick<const N: usize>(
        &self,
        names: [&'static str; N],
        code: i32,
    ) -> Result<[Option<Part<'a>>; N], Fault> {
        match self.encoded {
            Encoded::Json(text) => {
                let mut deserializer = serde_json::Deserializer::from_str(text);
                let found = deserializer
                    .deserialize_map(Members(names))
                    .and_then(|found| deserializer.end().map(|()| found))
                    .map_err(|error| self.json_fault(&error, code))?;
                Ok(found.map(|raw| raw.map(|raw| self.inner(text, raw.get()))))
            }
            Encoded::Pack(bytes) => {
                let mut rest = bytes;
                let Ok(count) = rmp::decode::read_map_len(&mut rest) else {
                    let text = format!("this is {} instead of an object", self.shape());
                    return Err(self.fault(code, text));
                };
                let mut found = [None; N];
                for left in (0..count).rev() {
                    let key = self.take(&mut rest)?;
                    // The last one needs no search for its end.
                    let value = if left == 0 { self.last(rest) } else { self.take(&mut rest)? };
                    let name = key.pack_text().unwrap_or_default();
                    let place = names.iter().position(|known| known.as_bytes() == name);
                    let Some(place) = place.and_then(|place| found.get_mut(place)) else {
                        continue;
                    };
                    if place.replace(value).is_some() {
                        return Err(key.fault(code, "this key appears twice"));
                    }
                }
                Ok(found)
            }
        }
    }

    /// What is in a list, at most so many.
    ///
    /// # Errors
    /// When it is no list, or has more in it.
    pub(crate) fn items(&self, what: &str, most: usize) -> Result<Vec<Part<'a>>, Fault> {
        if self.shape() != Shape::List {
            return Err(self.mismatch(what, "a list"));
        }
        let too_many =
            || self.fault(code::INVALID_PARAMS, format!("{what} has more than {most} items"));
        match self.encoded {
            Encoded::Json(text) => {
                let items = serde_json::Deserializer::from_str(text)
                    .deserialize_seq(Items(most))
                    .map_err(|error| self.json_fault(&error, code::INVALID_PARAMS))?;
                let items = items.ok_or_else(too_many)?;
                Ok(items.into_iter().map(|raw| self.inner(text, raw.get())).collect())
            }
            Encoded::Pack(bytes) => {
                let mut rest = bytes;
                let count = rmp::decode::read_array_len(&mut rest).unwrap_or_default();
                if usize::try_from(count).is_ok_and(|count| count <= most) {
                    (0..count).map(|_| self.take(&mut rest)).collect()
                } else {
                    Err(too_many())
                }
            }
        }
    }

    /// Itself, unless it is null.
    pub(crate) fn some(self) -> Option<Part<'a>> {
        (self.shape() != Shape::Null).then_some(self)
    }

    /// A text.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn text(&self, what: &str) -> Result<Cow<'a, str>, Fault> {
        match self.encoded {
            Encoded::Json(text) if self.shape() == Shape::Text => {
                // Most have nothing in them that would have to be copied.
                if let Ok(text) = serde_json::from_str::<&str>(text) {
                    return Ok(Cow::Borrowed(text));
                }
                let text = serde_json::from_str::<String>(text);
                text.map(Cow::Owned).map_err(|error| self.json_fault(&error, code::PARSE))
            }
            Encoded::Pack(bytes) if self.shape() == Shape::Text => match utf8(bytes) {
                Some(text) => Ok(Cow::Borrowed(text)),
                None => Err(self.fault(code::PARSE, format!("{what} is not UTF-8"))),
            },
            _ => Err(self.mismatch(what, "a text")),
        }
    }

    /// Whether it is an object.
    pub(crate) fn is_object(&self) -> bool {
        self.shape() == Shape::Object
    }

    /// True or false.
    ///
    /// # Errors
    /// When it is neither.
    pub(crate) fn truth(&self, what: &str) -> Result<bool, Fault> {
        match self.value()? {
            Value::Boolean(truth) => Ok(truth),
            _ => Err(self.mismatch(what, "true or false")),
        }
    }

    /// The id of a request, as it is encoded.
    ///
    /// # Errors
    /// When it is something that is no id.
    pub(crate) fn id(&self) -> Result<&'a [u8], Fault> {
        let bytes = match self.encoded {
            Encoded::Json(text) => text.as_bytes(),
            Encoded::Pack(bytes) => bytes,
        };
        let fault = |text| self.fault(code::INVALID_REQUEST, text);
        match self.shape() {
            Shape::Text | Shape::Number if bytes.len() > LONGEST_ID => {
                Err(fault(format!("an id has at most {LONGEST_ID} bytes")))
            }
            // It goes back as it is, so it has to be readable.
            Shape::Text | Shape::Number | Shape::Null => match self.value() {
                Ok(_) => Ok(bytes),
                Err(unreadable) => Err(fault(format!("an id cannot be read: {}", unreadable.text))),
            },
            other => Err(fault(format!("an id is a text or a number, and this is {other}"))),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// When it is nested too deeply, has too many values for its size, or a key twice.
    pub(crate) fn value(&self) -> Result<Value, Fault> {
        match self.encoded {
            Encoded::Json(text) => json::parse_in_proportion(text)
                .map_err(|error| self.json_fault(&error, code::INVALID_PARAMS)),
            Encoded::Pack(bytes) => message::decode(bytes)
                .map_err(|error| self.fault(code::INVALID_PARAMS, error.to_string())),
        }
    }

    /// The value as MessagePack.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub(crate) fn packed(&self) -> Result<Cow<'a, [u8]>, Fault> {
        match self.encoded {
            Encoded::Json(_) => Ok(Cow::Owned(super::output::packed(&self.value()?))),
            Encoded::Pack(bytes) => self.checked(bytes).map(Cow::Borrowed),
        }
    }

    /// The value that is in it as MessagePack: in Base64, or as bytes.
    ///
    /// # Errors
    /// When it is something else, or not one value.
    pub(crate) fn unpacked(&self, what: &str) -> Result<Cow<'a, [u8]>, Fault> {
        if let Encoded::Pack(mut bytes) = self.encoded
            && self.shape() == Shape::Bytes
            && rmp::decode::read_bin_len(&mut bytes).is_ok()
        {
            return self.checked(bytes).map(Cow::Borrowed);
        }
        let bytes = json::bytes(&self.text(what)?).map_err(|error| {
            self.fault(code::INVALID_PARAMS, format!("{what} is not Base64: {error}"))
        })?;
        self.checked(&bytes)?;
        Ok(Cow::Owned(bytes))
    }

    fn checked<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        match message::check(bytes) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(self.fault(code::INVALID_PARAMS, error.to_string())),
        }
    }

    /// A piece of its own text.
    fn inner(&self, whole: &'a str, inner: &'a str) -> Part<'a> {
        let offset = inner.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
        Part { encoded: Encoded::Json(inner), at: self.at + offset }
    }

    /// Takes the next value of MessagePack. That all of them are there was found out before.
    fn take(&self, rest: &mut &'a [u8]) -> Result<Part<'a>, Fault> {
        let all = self.length();
        let length = match pack::flat_length(rest) {
            Some(length) => Some(length),
            None => Scanner::default()
                .scan(rest, MAX_DEPTH, usize::MAX)
                .map_err(|problem| Fault::malformed(&problem))?,
        };
        let (value, after) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| self.fault(code::PARSE, "it ends too early"))?;
        let part = Part { encoded: Encoded::Pack(value), at: self.at + all - rest.len() };
        *rest = after;
        Ok(part)
    }

    /// The value of MessagePack that is all the rest of this one.
    fn last(&self, rest: &'a [u8]) -> Part<'a> {
        Part { encoded: Encoded::Pack(rest), at: self.at + self.length() - rest.len() }
    }

    fn length(&self) -> usize {
        match self.encoded {
            Encoded::Json(text) => text.len(),
            Encoded::Pack(bytes) => bytes.len(),
        }
    }

    /// The bytes of a text of MessagePack.
    fn pack_text(&self) -> Option<&'a [u8]> {
        match self.encoded {
            Encoded::Pack(bytes) => pack_text(bytes),
            Encoded::Json(_) => None,
        }
    }

    /// What a reader of JSON complained of. `code` is for what is JSON, but not what it should be.
    fn json_fault(&self, error: &serde_json::Error, code: i32) -> Fault {
        let text = error.to_string();
        // Its place in the line says more than that in the value.
        let text = text.rsplit_once(" at line ").map_or(&*text, |(text, _)| text);
        let text = show::shown(&Value::from(text), 200);
        let at = self.at + error.column().saturating_sub(1);
        match error.classify() {
            Category::Data => Fault { at: Some(at), ..Fault::new(code, text) },
            _ => Fault {
                at: Some(at),
                ..Fault::new(code::PARSE, format!("this is not JSON: {text}"))
            },
        }
    }
}

/// Longest id of a request, in bytes.
const LONGEST_ID: usize = 256;

fn is_number(marker: Marker) -> bool {
    use Marker::{F32, F64, FixNeg, FixPos, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(
        marker,
        FixPos(_) | FixNeg(_) | U8 | U16 | U32 | U64 | I8 | I16 | I32 | I64 | F32 | F64
    )
}

fn pack_text(mut bytes: &[u8]) -> Option<&[u8]> {
    rmp::decode::read_str_len(&mut bytes).ok()?;
    Some(bytes)
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(pack_text(bytes)?).ok()
}

/// Reads an object of JSON, but only its members of these names.
struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = entries.next_key_seed(Name(&self.0))? {
            let Some(place) = name.and_then(|name| found.get_mut(name)) else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if place.is_some() {
                return Err(A::Error::custom("this key appears twice"));
            }
            *place = Some(entries.next_value()?);
        }
        Ok(found)
    }
}

/// Finds the place of a name.
struct Name<'n>(&'n [&'static str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Reads a list of JSON, unless it has more items than this.
struct Items(usize);

impl<'de> Visitor<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            if all.len() == self.0 {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
            all.push(item);
        }
        Ok(Some(all))
    }
}
