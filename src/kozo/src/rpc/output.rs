//! What a Node says to a program, encoded.

use rmpv::Value;

use super::Encoding;

/// An object of JSON or MessagePack, whose members have names known here.
pub(crate) fn object<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A value as MessagePack.
pub(crate) fn packed(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_packed(&mut bytes, value);
    bytes
}

pub(crate) fn put_packed(out: &mut Vec<u8>, value: &Value) {
    // Writing to memory cannot fail.
    let _ = rmpv::encode::write_value(out, value);
}

pub(crate) fn put_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // What is given here comes from memory and has texts as keys; then nothing fails.
    let _ = serde_json::to_writer(out, value);
}

impl Encoding {
    /// Something that the program is to know.
    pub(crate) fn notify(self, out: &mut Vec<u8>, method: &str, params: &Value) {
        self.begin_notification(out, method);
        self.put(out, params);
        self.end(out);
    }

    /// Something that the program is to answer.
    pub(crate) fn request(self, out: &mut Vec<u8>, id: u64, method: &str, params: &Value) {
        self.begin_call(out, Some(id), method);
        self.put(out, params);
        self.end(out);
    }

    /// What became of a request, given its id as it was encoded.
    pub(crate) fn answer(self, out: &mut Vec<u8>, id: &[u8], result: &Value) {
        self.begin_answer(out, id, "result");
        self.put(out, result);
        self.end(out);
    }

    /// Why nothing became of a request, or of something that was none.
    pub(crate) fn refuse(self, out: &mut Vec<u8>, id: Option<&[u8]>, code: i32, text: &str) {
        let null = match self {
            Encoding::Json => &b"null"[..],
            Encoding::MessagePack => &[0xc0],
        };
        self.begin_answer(out, id.unwrap_or(null), "error");
        self.put(out, &object([("code", code.into()), ("message", text.into())]));
        self.end(out);
    }

    pub(crate) fn begin_notification(self, out: &mut Vec<u8>, method: &str) {
        self.begin_call(out, None, method);
    }

    fn begin_call(self, out: &mut Vec<u8>, id: Option<u64>, method: &str) {
        match self {
            Encoding::Json => {
                out.extend_from_slice(br#"{"jsonrpc":"2.0","#);
                if let Some(id) = id {
                    out.extend_from_slice(br#""id":"#);
                    put_json(out, &id);
                    out.push(b',');
                }
                out.extend_from_slice(br#""method":""#);
                out.extend_from_slice(method.as_bytes());
                out.extend_from_slice(br#"","params":"#);
            }
            Encoding::MessagePack => {
                put_map(out, if id.is_some() { 4 } else { 3 });
                put_member(out, "jsonrpc", "2.0");
                if let Some(id) = id {
                    put_number(out, "id", id);
                }
                put_member(out, "method", method);
                put_text(out, "params");
            }
        }
    }

    fn begin_answer(self, out: &mut Vec<u8>, id: &[u8], what: &str) {
        match self {
            Encoding::Json => {
                out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
                out.extend_from_slice(id);
                out.extend_from_slice(b",\"");
                out.extend_from_slice(what.as_bytes());
                out.extend_from_slice(b"\":");
            }
            Encoding::MessagePack => {
                put_map(out, 3);
                put_member(out, "jsonrpc", "2.0");
                put_text(out, "id");
                out.extend_from_slice(id);
                put_text(out, what);
            }
        }
    }

    fn put(self, out: &mut Vec<u8>, value: &Value) {
        match self {
            Encoding::Json => put_json(out, value),
            Encoding::MessagePack => put_packed(out, value),
        }
    }

    pub(crate) fn end(self, out: &mut Vec<u8>) {
        if self == Encoding::Json {
            out.extend_from_slice(b"}\n");
        }
    }
}

// Writing to memory cannot fail.

pub(crate) fn put_map(out: &mut Vec<u8>, members: u32) {
    let _ = rmp::encode::write_map_len(out, members);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let _ = rmp::encode::write_str(out, text);
}

pub(crate) fn put_member(out: &mut Vec<u8>, name: &str, text: &str) {
    put_text(out, name);
    put_text(out, text);
}

pub(crate) fn put_number(out: &mut Vec<u8>, name: &str, number: u64) {
    put_text(out, name);
    let _ = rmp::encode::write_uint(out, number);
}
