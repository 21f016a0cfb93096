//! What a Node says to a program, encoded.

use base64ct::{Base64, Encoding as _};
use kozo_core::monitored::MonitoredMessage;
use rmpv::Value;

use super::Encoding;
use crate::message::{self, Message};

/// An object of JSON or MessagePack, whose members have names known here.
pub(super) fn object<'n>(members: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A value as MessagePack.
pub(super) fn packed(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_packed(&mut bytes, value);
    bytes
}

fn put_packed(out: &mut Vec<u8>, value: &Value) {
    // Writing to memory cannot fail.
    let _ = rmpv::encode::write_value(out, value);
}

fn put_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    // What is given here comes from memory and has texts as keys; then nothing fails.
    let _ = serde_json::to_writer(out, value);
}

impl Encoding {
    /// Something that the program is to know.
    pub(super) fn notify(self, out: &mut Vec<u8>, method: &str, params: &Value) {
        self.begin_notification(out, method);
        self.put(out, params);
        self.end(out);
    }

    /// What became of a request, given its id as it was encoded.
    pub(super) fn answer(self, out: &mut Vec<u8>, id: &[u8], result: &Value) {
        self.begin_answer(out, id, "result");
        self.put(out, result);
        self.end(out);
    }

    /// Why nothing became of a request, or of something that was none.
    pub(super) fn refuse(self, out: &mut Vec<u8>, id: Option<&[u8]>, code: i32, text: &str) {
        let null = match self {
            Encoding::Json => &b"null"[..],
            Encoding::MessagePack => &[0xc0],
        };
        self.begin_answer(out, id.unwrap_or(null), "error");
        self.put(out, &object([("code", code.into()), ("message", text.into())]));
        self.end(out);
    }

    /// A Message for the program.
    pub(super) fn message(self, out: &mut Vec<u8>, message: &Message) {
        self.begin_notification(out, "message");
        match self {
            Encoding::Json => put_json(out, &MonitoredMessage::of(message)),
            Encoding::MessagePack => put_message(out, message),
        }
        self.end(out);
    }

    fn begin_notification(self, out: &mut Vec<u8>, method: &str) {
        match self {
            Encoding::Json => {
                out.extend_from_slice(br#"{"jsonrpc":"2.0","method":""#);
                out.extend_from_slice(method.as_bytes());
                out.extend_from_slice(br#"","params":"#);
            }
            Encoding::MessagePack => {
                put_map(out, 3);
                put_member(out, "jsonrpc", "2.0");
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

    fn end(self, out: &mut Vec<u8>) {
        if self == Encoding::Json {
            out.extend_from_slice(b"}\n");
        }
    }
}

/// The members of [`MonitoredMessage`], with the data as it is. Only data that is not one value cannot be put there.
fn put_message(out: &mut Vec<u8>, message: &Message) {
    let data = message.data();
    let is_value = message::check(data).is_ok();
    put_map(out, if is_value { 9 } else { 10 });
    put_number(out, "time", message.timestamp());
    put_member(out, "node", &message.origin().node);
    put_number(out, "boot", message.origin().boot);
    put_number(out, "id", message.sequence());
    put_member(out, "role", message.role());
    put_member(out, "kind", message.kind().name());
    put_member(out, "type", message.message_type());
    put_text(out, "channel");
    match message.channel() {
        Some(channel) => put_text(out, channel),
        None => put_packed(out, &Value::Nil),
    }
    put_text(out, "data");
    if is_value {
        out.extend_from_slice(data);
    } else {
        put_packed(out, &Value::Nil);
        put_text(out, "msgpack");
        put_packed(out, &Value::from(data));
    }
}

// Writing to memory cannot fail.

fn put_map(out: &mut Vec<u8>, members: u32) {
    let _ = rmp::encode::write_map_len(out, members);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let _ = rmp::encode::write_str(out, text);
}

fn put_member(out: &mut Vec<u8>, name: &str, text: &str) {
    put_text(out, name);
    put_text(out, text);
}

fn put_number(out: &mut Vec<u8>, name: &str, number: u64) {
    put_text(out, name);
    let _ = rmp::encode::write_uint(out, number);
}

/// A value as it goes into a JSON object, and what goes beside it where JSON cannot say all of it: its MessagePack in Base64.
pub(super) fn json_or_packed(value: Value) -> (Value, Option<Value>) {
    if kozo_core::value::json::is_exact(&value) {
        return (kozo_core::value::json::with_marked_bytes(value), None);
    }
    (Value::Nil, Some(Base64::encode_string(&packed(&value)).into()))
}
