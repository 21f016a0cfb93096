//! Arguments of calls as D-Bus writes them, little-endian.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// An argument of a call.
#[derive(Arbitrary, Debug)]
pub enum Argument<'a> {
    Text(&'a str),
    Variant(Value<'a>),
    Options(Vec<(&'a str, Value<'a>)>),
    Bare(Value<'a>),
}

/// A value.
#[derive(Arbitrary, Clone, Debug)]
pub enum Value<'a> {
    Byte(u8),
    Boolean(u32),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Text(&'a str),
    Path(&'a str),
    Signature(&'a str),
    Descriptor(u32),
    Bytes(&'a [u8]),
    Texts(Vec<&'a str>),
    Numbers(Vec<u64>),
    Variants(Vec<Value<'a>>),
    Structure(Vec<Value<'a>>),
    Dictionary(Vec<(&'a str, Value<'a>)>),
    Nested(Vec<Vec<(u8, i64)>>),
    Variant(Box<Value<'a>>),
}

/// Bytes of a message, aligned from its beginning.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub fn u32(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.align(8);
        self.0.extend(number.to_le_bytes());
    }

    pub fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// A signature of at most 255 bytes; what is longer is none.
    pub fn signature(&mut self, text: &str) {
        let text = if text.len() > 255 { "" } else { text };
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub fn array(&mut self, align: usize, items: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let at = self.0.len();
        self.align(align);
        let start = self.0.len();
        items(self);
        let length = (self.0.len() - start) as u32;
        self.0[at - 4..at].copy_from_slice(&length.to_le_bytes());
    }

    fn variant(&mut self, value: &Value<'_>) {
        self.signature(&value.signature());
        value.put(self);
    }

    fn dictionary(&mut self, entries: &[(&str, Value<'_>)]) {
        self.array(8, |out| {
            for (key, value) in entries {
                out.align(8);
                out.text(key);
                out.variant(value);
            }
        });
    }
}

impl Argument<'_> {
    pub fn signature(&self) -> String {
        match self {
            Argument::Text(_) => "s".to_owned(),
            Argument::Variant(_) => "v".to_owned(),
            Argument::Options(_) => "a{sv}".to_owned(),
            Argument::Bare(value) => value.signature(),
        }
    }

    pub fn put(&self, out: &mut Writer) {
        match self {
            Argument::Text(text) => out.text(text),
            Argument::Variant(value) => out.variant(value),
            Argument::Options(entries) => out.dictionary(entries),
            Argument::Bare(value) => value.put(out),
        }
    }
}

impl Value<'_> {
    fn signature(&self) -> String {
        let fixed = match self {
            Value::Byte(_) => "y",
            Value::Boolean(_) => "b",
            Value::Int16(_) => "n",
            Value::Uint16(_) => "q",
            Value::Int32(_) => "i",
            Value::Uint32(_) => "u",
            Value::Int64(_) => "x",
            Value::Uint64(_) => "t",
            Value::Double(_) => "d",
            Value::Text(_) => "s",
            Value::Path(_) => "o",
            Value::Signature(_) => "g",
            Value::Descriptor(_) => "h",
            Value::Bytes(_) => "ay",
            Value::Texts(_) => "as",
            Value::Numbers(_) => "at",
            Value::Variants(_) => "av",
            Value::Dictionary(_) => "a{sv}",
            Value::Nested(_) => "aa(yx)",
            Value::Variant(_) => "v",
            Value::Structure(fields) => {
                let fields: String = fields.iter().map(Value::signature).collect();
                return format!("({fields})");
            }
        };
        fixed.to_owned()
    }

    fn put(&self, out: &mut Writer) {
        match self {
            Value::Byte(byte) => out.0.push(*byte),
            Value::Int16(number) => out.short(*number as u16),
            Value::Uint16(number) => out.short(*number),
            Value::Boolean(number) | Value::Uint32(number) | Value::Descriptor(number) => {
                out.u32(*number)
            }
            Value::Int32(number) => out.u32(*number as u32),
            Value::Int64(number) => out.u64(*number as u64),
            Value::Uint64(number) => out.u64(*number),
            Value::Double(number) => out.u64(number.to_bits()),
            Value::Text(text) | Value::Path(text) => out.text(text),
            Value::Signature(text) => out.signature(text),
            Value::Bytes(bytes) => out.array(1, |out| out.0.extend(*bytes)),
            Value::Texts(texts) => out.array(4, |out| texts.iter().for_each(|text| out.text(text))),
            Value::Numbers(numbers) => {
                out.array(8, |out| numbers.iter().for_each(|number| out.u64(*number)))
            }
            Value::Variants(values) => {
                out.array(1, |out| values.iter().for_each(|value| out.variant(value)))
            }
            Value::Dictionary(entries) => out.dictionary(entries),
            Value::Variant(value) => out.variant(value),
            Value::Structure(fields) => {
                out.align(8);
                fields.iter().for_each(|field| field.put(out));
            }
            Value::Nested(rows) => out.array(4, |out| {
                for row in rows {
                    out.array(8, |out| {
                        for (byte, number) in row {
                            out.align(8);
                            out.0.push(*byte);
                            out.u64(*number as u64);
                        }
                    });
                }
            }),
        }
    }
}

impl Writer {
    fn short(&mut self, number: u16) {
        self.align(2);
        self.0.extend(number.to_le_bytes());
    }
}
