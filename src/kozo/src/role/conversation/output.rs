//! What a Node says to a program that is a Role alone, encoded.

use data_encoding::BASE64;
use kozo_core::monitored::MonitoredMessage;
use rmpv::Value;

use crate::message::{self, Message};
use crate::rpc::Encoding;
use crate::rpc::output::packed;
use crate::rpc::output::{put_json, put_map, put_member, put_number, put_packed, put_text};

impl Encoding {
    /// A Message for the program.
    pub(super) fn message(self, out: &mut Vec<u8>, message: &Message) {
        self.begin_notification(out, "message");
        match self {
            Encoding::Json => put_json(out, &MonitoredMessage::of(message)),
            Encoding::MessagePack => put_message(out, message),
        }
        self.end(out);
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

/// A value as it goes into a JSON object, and what goes beside it where JSON cannot say all of it: its MessagePack in Base64.
pub(super) fn json_or_packed(value: Value) -> (Value, Option<Value>) {
    if kozo_core::value::json::is_exact(&value) {
        return (kozo_core::value::json::with_marked_bytes(value), None);
    }
    (Value::Nil, Some(BASE64.encode(&packed(&value)).into()))
}
